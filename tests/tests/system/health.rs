//! A worker's HTTP answers while it works, and while it cannot.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use pulpo::Pulpo;
use pulpo::clock::{Clock, ManualClock};
use pulpo::queue::beanstalkd::{BeanstalkdOptions, BeanstalkdQueue};
use pulpo::worker::WorkerOptions;
use pulpo_tests::beanstalkd::{BeanstalkdServer, free_port};
use pulpo_tests::http::{get, status, value};
use pulpo_tests::program::{Running, Sandbox};
use pulpo_tests::wait::until;

const WORKER: &str = env!("CARGO_BIN_EXE_operator_worker");

fn work(place: &Sandbox, address: SocketAddr) -> Running {
    place.start(place.command(WORKER, &["work", "--concurrency", "3", "--listen", &address.to_string()]))
}

pub(crate) fn somewhere() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

#[track_caller]
fn publish(place: &Sandbox, arguments: &[&str]) {
    let said = place.run(WORKER, &[&["publish"], arguments].concat());
    assert_eq!(said.code, 0, "{}", said.err);
}

#[test]
fn the_metrics_are_read_while_jobs_run() {
    for place in [Sandbox::new(), Sandbox::with_beanstalkd()] {
        publish(&place, &["until", "--payload", "go"]);
        publish(&place, &["talk", "--payload", "hello", "--count", "5"]);
        publish(&place, &["pay", "--body", r#"{"card": 0}"#]);
        publish(&place, &["note", "--payload", "later", "--delay", "1h"]);
        let address = somewhere();
        let worker = work(&place, address);
        let read = || get(address, "/metrics").filter(|(status, _)| *status == 200).map(|(_, text)| text);
        let shows = |metric: &str, expected: f64| {
            until(metric, || read().is_some_and(|text| value(&text, metric) == Some(expected)));
        };
        shows(r#"pulpo_jobs_done_total{request_type="note"}"#, 5.0);
        for (metric, expected) in [
            (r#"pulpo_jobs_in_flight{request_type="until"}"#, 1.0),
            (r#"pulpo_jobs_started_total{request_type="until"}"#, 1.0),
            (r#"pulpo_jobs_done_total{request_type="until"}"#, 0.0),
            (r#"pulpo_jobs_started_total{request_type="talk"}"#, 5.0),
            (r#"pulpo_jobs_done_total{request_type="talk"}"#, 5.0),
            (r#"pulpo_jobs_published_total{request_type="note",queue="notes"}"#, 5.0),
            (r#"pulpo_job_run_seconds_count{request_type="talk"}"#, 5.0),
            (r#"pulpo_job_wait_seconds_count{request_type="talk"}"#, 5.0),
            (r#"pulpo_worker_lanes"#, 3.0),
            (r#"pulpo_queue_oldest_ready_seconds{queue="pulpo"}"#, 0.0),
            (r#"pulpo_queue_reachable"#, 1.0),
        ] {
            shows(metric, expected);
        }
        for (queue, request_type, state, expected) in [
            ("notes", "note", "delayed", 1.0),
            ("pulpo", "until", "reserved", 1.0),
            ("pulpo", "until", "ready", 0.0),
            // Its handler exists, but no message has come.
            ("notes", "note", "buried", 0.0),
        ] {
            // beanstalkd does not know types.
            let request_type =
                if place.is_on_a_server() { String::new() } else { format!(r#"request_type="{request_type}","#) };
            let metric = format!(r#"pulpo_queue_messages{{queue="{queue}",{request_type}state="{state}"}}"#);
            shows(&metric, expected);
        }
        shows(r#"pulpo_jobs_buried_total{request_type="pay"}"#, 1.0);
        let text = read().expect("metrics");
        assert!(
            text.contains("# HELP pulpo_jobs_done_total jobs done\n# TYPE pulpo_jobs_done_total counter\n"),
            "{text}"
        );
        assert!(text.contains(r#"pulpo_job_run_seconds_bucket{request_type="talk",le="0.001"}"#), "{text}");
        std::fs::write(place.path("go"), "").expect("written");
        shows(r#"pulpo_jobs_done_total{request_type="until"}"#, 1.0);
        shows(r#"pulpo_jobs_in_flight{request_type="until"}"#, 0.0);
        assert_eq!(status(address, "/healthz"), 200);
        until("it is ready", || status(address, "/readyz?verbose") == 200);
        // The dashboard answers only its own hosts.
        assert_eq!(status(address, "/"), 403);
        worker.signal("TERM");
        assert_eq!(worker.end(), 0);
    }
}

#[test]
fn a_job_that_a_person_cancels_is_counted_as_cancelled_and_not_as_buried() {
    let place = Sandbox::new();
    let file = place.path("go").display().to_string();
    publish(&place, &["until", "--payload", &file]);
    let address = somewhere();
    let worker = work(&place, address);
    let shows = |metric: &str, expected: f64| {
        let read = || get(address, "/metrics").and_then(|(_, text)| value(&text, metric));
        until(metric, || read() == Some(expected));
    };
    shows(r#"pulpo_jobs_in_flight{request_type="until"}"#, 1.0);
    shows(r#"pulpo_jobs_cancelled_total{request_type="until"}"#, 0.0);
    let said = place.run(WORKER, &["cancel", "1"]);
    assert_eq!(said.code, 0, "{}", said.err);
    std::fs::write(&file, "").expect("written");
    shows(r#"pulpo_jobs_cancelled_total{request_type="until"}"#, 1.0);
    for (counter, expected) in [("buried", 0.0), ("done", 0.0), ("lost", 0.0), ("retried", 0.0)] {
        shows(&format!(r#"pulpo_jobs_{counter}_total{{request_type="until"}}"#), expected);
    }
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

#[test]
fn a_silent_server_makes_a_worker_not_ready_and_leaves_it_alive() {
    let place = Sandbox::new();
    let server = BeanstalkdServer::start();
    let address = somewhere();
    let mut command = place.command(WORKER, &["work", "--listen", &address.to_string()]);
    command
        .env("PULPO_QUEUE", format!("beanstalkd://127.0.0.1:{}", server.port()))
        .env("PULPO_BEANSTALKD_QUEUE_ADAPTER__SOCKET_TIMEOUT", "60");
    let worker = place.start(command);
    until("it is ready", || status(address, "/readyz") == 200);
    server.signal("STOP");
    let (code, text) = get(address, "/readyz").expect("an answer, within the bound");
    assert_eq!(code, 503, "{text}");
    assert!(text.starts_with("the queue did not answer within 2s; it last did "), "{text}");
    assert_eq!(status(address, "/healthz"), 200);
    let text = get(address, "/metrics").expect("metrics, all the same").1;
    assert_eq!(value(&text, "pulpo_queue_reachable"), Some(0.0), "{text}");
    server.signal("CONT");
    until("it is ready again", || status(address, "/readyz") == 200);
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

#[test]
fn the_metrics_of_several_servers_are_those_of_the_servers_that_answer() {
    let place = Sandbox::new();
    let (one, mut two) = (BeanstalkdServer::start(), BeanstalkdServer::start());
    let (first, second) = (format!("127.0.0.1:{}", one.port()), format!("127.0.0.1:{}", two.port()));
    let publish = |servers: &str, count: &str| {
        let arguments = ["publish", "note", "--payload", "later", "--delay", "1h", "--count", count];
        let mut command = place.command(WORKER, &arguments);
        command.env("PULPO_QUEUE", format!("beanstalkd://{servers}"));
        let said = place.to_end(&mut command);
        assert_eq!(said.code, 0, "{}", said.err);
    };
    publish(&first, "2");
    publish(&second, "5");
    let address = somewhere();
    let mut command = place.command(WORKER, &["work", "--listen", &address.to_string()]);
    command.env("PULPO_QUEUE", format!("beanstalkd://{first},{second}"));
    let worker = place.start(command);
    let shows = |metric: &str, expected: f64| {
        let read = || get(address, "/metrics").and_then(|(_, text)| value(&text, metric));
        until(&format!("{metric} is {expected}"), || read() == Some(expected));
    };
    let delayed = r#"pulpo_queue_messages{queue="notes",state="delayed"}"#;
    let away = "pulpo_queue_servers_unreachable";
    shows(delayed, 7.0);
    shows(away, 0.0);
    two.kill();
    shows(away, 1.0);
    shows(delayed, 2.0);
    publish(&first, "1");
    shows(delayed, 3.0);
    shows("pulpo_queue_reachable", 1.0);
    until("it is ready", || get(address, "/readyz") == Some((200, "ready\n".to_owned())));
    drop(one);
    shows("pulpo_queue_reachable", 0.0);
    shows(away, 2.0);
    shows(delayed, 3.0);
    assert_eq!(status(address, "/readyz"), 503);
    two.restart();
    shows("pulpo_queue_reachable", 1.0);
    shows(away, 1.0);
    shows(delayed, 0.0);
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

#[test]
fn a_worker_that_stops_is_not_ready() {
    let place = Sandbox::new();
    publish(&place, &["until", "--payload", "go"]);
    let address = somewhere();
    let worker = work(&place, address);
    let in_flight = r#"pulpo_jobs_in_flight{request_type="until"}"#;
    until("it has begun", || get(address, "/metrics").is_some_and(|(_, text)| value(&text, in_flight) == Some(1.0)));
    worker.signal("TERM");
    until("it is not ready", || status(address, "/readyz") == 503);
    assert_eq!(status(address, "/healthz"), 200);
    std::fs::write(place.path("go"), "").expect("written");
    assert_eq!(worker.end(), 0);
}

#[test]
fn lanes_that_do_not_come_back_from_the_queue_are_stuck() {
    let server = BeanstalkdServer::start();
    // No timeout ends its calls within this test, and only the test moves the clock.
    let clock = ManualClock::at("2026-11-23T09:00:00Z".parse().expect("a time"));
    let at_server = BeanstalkdOptions::new("127.0.0.1").port(server.port()).socket_timeout(Duration::from_secs(600));
    let queue = Arc::new(BeanstalkdQueue::new(at_server, Arc::new(clock.clone()) as Arc<dyn Clock>));
    let mut options = WorkerOptions::default();
    options.concurrency = 2;
    options.handle_signals = false;
    options.sleep_duration = Duration::from_secs(5);
    let address = somewhere();
    options.listen = Some(address);
    let pulpo = Pulpo::with_queue(queue, options, Arc::new(clock.clone()));
    let worker = pulpo.worker().expect("handlers");
    let stopper = worker.stopper();
    let working = std::thread::spawn(move || worker.run().expect("works"));
    until("it is ready", || status(address, "/readyz") == 200);
    assert_eq!(status(address, "/healthz"), 200);
    server.signal("STOP");
    clock.advance(Duration::from_secs(3600));
    until("it is stuck", || {
        clock.advance(Duration::from_secs(3600));
        get(address, "/healthz")
            .is_some_and(|(code, text)| code == 503 && text.contains("not come back from the queue"))
    });
    server.signal("CONT");
    until("it is alive again", || status(address, "/healthz") == 200);
    stopper.stop();
    working.join().expect("no panic");
}
