//! Starts the service on a free port, and sends HTTP requests to it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_web-orders");

/// The service, killed on drop.
struct Service {
    child: Child,
    address: String,
}

impl Service {
    fn start(folder: &Path, worker: &str) -> Self {
        let mut command = Command::new(PROGRAM);
        command.current_dir(folder).env("PORT", "0").env("WORKER", worker).stdout(Stdio::piped());
        let mut child = command.spawn().expect("started");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
        let address = line.trim_end().strip_prefix("listening on http://").expect("its address").to_owned();
        Self { child, address }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let body = body.to_string();
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
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    fn order(&self, item: &str, count: i64) -> (u16, Value) {
        self.ask("POST", "/orders", &json!({ "item": item, "count": count }))
    }

    fn is_confirmed(&self, order: &Value) -> bool {
        self.ask("GET", &format!("/orders/{order}"), &json!(null)).1["confirmed"] == true
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < end, "timed out waiting until {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

fn command(folder: &Path, arguments: &[&str]) -> String {
    let said = Command::new(PROGRAM)
        .args(arguments)
        .current_dir(folder)
        .env("PULPO_OUTBOX", "sqlite:shop.db")
        .output()
        .expect("started");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).into_owned()
}

#[test]
fn an_order_is_confirmed_and_one_that_is_rolled_back_has_no_job() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start(folder.path(), "on");
    let (status, placed) = service.order("tea", 60);
    assert_eq!(status, 201);
    // There are 40 left: the order and its job are rolled back together.
    assert_eq!(service.order("tea", 41).0, 409);
    assert_eq!(service.order("gold", 1).0, 409);
    let (status, last) = service.order("coffee", 1);
    assert_eq!(status, 201);
    until("both are confirmed", || service.is_confirmed(&placed["order"]) && service.is_confirmed(&last["order"]));
    until("nothing waits", || command(folder.path(), &["outbox"]).ends_with("shop.db: 0 waiting, 0 refused\n"));
    // No job was buried for an order that does not exist, and no other job was published.
    assert_eq!(command(folder.path(), &["list", "--json"]).trim(), "[]");
}

#[test]
fn an_order_outlives_a_service_that_is_killed_right_after_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start(folder.path(), "off");
    let (status, placed) = service.order("tea", 1);
    assert_eq!((status, service.is_confirmed(&placed["order"])), (201, false));
    drop(service);
    let work = ["work", "--set", "shutdown_after_number_of_empty_iterations=1", "--set", "sleep_duration=100ms"];
    command(folder.path(), &work);
    let service = Service::start(folder.path(), "off");
    assert!(service.is_confirmed(&placed["order"]));
}
