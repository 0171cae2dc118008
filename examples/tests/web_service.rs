//! Starts the web service on a free port, and sends HTTP requests to it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::until;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_web_service");

/// The service, killed on drop.
struct Service {
    child: Child,
    address: String,
}

struct Answer {
    status: u16,
    location: Option<String>,
    body: Value,
}

impl Service {
    fn start(place: &Sandbox, worker: &str) -> Self {
        let mut command = place.command(PROGRAM, &[]);
        command.env("PORT", "0").env("WORKER", worker).stdout(Stdio::piped());
        let mut child = command.spawn().expect("started");
        let mut line = String::new();
        let out = child.stdout.as_mut().expect("a pipe");
        BufReader::new(out).read_line(&mut line).expect("a line");
        let address = line.trim_end().strip_prefix("listening on http://").expect("its address").to_owned();
        Self { child, address }
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let location = head.lines().find_map(|line| line.strip_prefix("location: ")).map(str::to_owned);
        Answer { status, location, body: serde_json::from_str(body).unwrap_or_default() }
    }

    fn post(&self, country: &str) -> String {
        let answer = self.ask("POST", "/reports", &json!({ "country": country }).to_string());
        assert_eq!(answer.status, 202);
        answer.location.expect("where to ask")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_request_is_answered_at_once_and_its_job_is_done_later() {
    let place = Sandbox::new();
    let service = Service::start(&place, "on");
    let job = service.post("FI");
    let mut answer = service.ask("GET", &job, "");
    until("the report is made", || {
        answer = service.ask("GET", &job, "");
        answer.status == 303
    });
    assert_eq!(answer.body["state"], "done");
    let report = service.ask("GET", &answer.location.expect("the report"), "");
    assert_eq!((report.status, &report.body["country"]), (200, &json!("FI")));
    let orders = pulpo_examples::orders::read().expect("orders").0;
    let orders: Vec<_> = orders.into_iter().filter(|order| order.country == "FI").collect();
    let total: rust_decimal::Decimal = orders.iter().map(|order| order.eur).sum();
    assert_eq!(report.body["orders"], orders.len());
    assert_eq!(report.body["eur"], total.to_string());
}

#[test]
fn a_job_that_cannot_be_done_says_why() {
    let place = Sandbox::new();
    let service = Service::start(&place, "on");
    let job = service.post("XX");
    until("the job has failed", || service.ask("GET", &job, "").body["state"] == "failed");
    let answer = service.ask("GET", &job, "");
    assert_eq!((answer.status, &answer.body["reason"]), (200, &json!("nobody in \"XX\" has ever ordered")));
    assert_eq!(service.ask("GET", "/jobs/999", "").status, 404);
    assert_eq!(service.ask("GET", "/jobs/..%2F..%2Fsecret", "").status, 404);
    assert_eq!(service.ask("POST", "/reports", r#"{"country": 5}"#).status, 422);
}

#[test]
fn a_worker_elsewhere_does_the_jobs() {
    let place = Sandbox::new();
    let service = Service::start(&place, "off");
    let job = service.post("PL");
    let answer = service.ask("GET", &job, "");
    assert_eq!((answer.status, &answer.body["state"]), (200, &json!("ready")));
    let mut worker = place.start(place.command(PROGRAM, &["work"]));
    until("the report is made", || service.ask("GET", &job, "").status == 303);
    assert!(!worker.has_ended());
}

#[test]
fn one_signal_ends_the_service_and_its_worker() {
    let place = Sandbox::new();
    let mut service = Service::start(&place, "on");
    let job = service.post("FI");
    until("the report is made", || service.ask("GET", &job, "").status == 303);
    let sent = Command::new("kill").args(["-TERM", &service.child.id().to_string()]).status();
    assert!(sent.expect("kill is there").success());
    until("it ends", || service.child.try_wait().expect("a child of ours").is_some());
    assert!(service.child.wait().expect("a child of ours").success());
}
