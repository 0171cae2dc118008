//! Runs that exceed their timeout and do not return, and lanes for which the system provides no thread.

use std::fs;
use std::process::Command;
use std::time::Duration;

use pulpo_tests::http::{get, status, value};
use pulpo_tests::program::{Running, Sandbox};
use pulpo_tests::wait::{until, within};

use crate::health::somewhere;

const WORKER: &str = env!("CARGO_BIN_EXE_operator_worker");

/// Publishes jobs that hang until the file `go` exists, with a timeout of a tenth of a second each.
/// Returns the command of a worker, and its address.
fn hanging(place: &Sandbox, jobs: u32, settings: &[&str]) -> (Command, std::net::SocketAddr) {
    let said = place.run(WORKER, &["publish", "until", "--payload", "go", "--count", &jobs.to_string()]);
    assert_eq!(said.code, 0, "{}", said.err);
    let address = somewhere();
    let listen = format!("listen={address}");
    let all = ["handlers.until.timeout=100ms", "handlers.until.backoff=1s..1s", &listen];
    let arguments: Vec<_> = all.iter().chain(settings).flat_map(|setting| ["--set", setting]).collect();
    (place.command(WORKER, &[&["work"], &*arguments].concat()), address)
}

fn threads(worker: &Running, name: &str) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", worker.id())).expect("a process");
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|found| found.trim() == name).count()
}

#[test]
fn abandoned_runs_are_bounded_and_a_worker_that_takes_nothing_says_so() {
    let place = Sandbox::new();
    let (command, address) = hanging(&place, 40, &["concurrency=8"]);
    let worker = place.start(command);
    until("no lane is left", || {
        let many = threads(&worker, "pulpo-lane");
        assert!(many <= 16, "as many lanes as are wanted, and as many abandoned runs: {many}");
        status(address, "/healthz") == 503
    });
    let text = get(address, "/healthz").expect("an answer").1;
    let expected = "16 runs have exceeded their timeout and have not returned, and no more than 8 may be abandoned";
    assert!(text.contains(expected), "{text}");
    let metrics = get(address, "/metrics").expect("metrics").1;
    assert_eq!(value(&metrics, "pulpo_worker_abandoned_runs"), Some(8.0), "{metrics}");
    assert_eq!(value(&metrics, "pulpo_worker_lanes"), Some(0.0), "{metrics}");
    assert_eq!(value(&metrics, r#"pulpo_jobs_started_total{request_type="until"}"#), Some(16.0), "{metrics}");
    assert!(place.log().contains("no lane is left"), "{}", place.log());

    fs::write(place.path("go"), "").expect("written");
    until("it is healthy again", || status(address, "/healthz") == 200);
    until("all are done", || {
        let metrics = get(address, "/metrics").expect("metrics").1;
        value(&metrics, r#"pulpo_jobs_done_total{request_type="until"}"#) == Some(40.0)
    });
    for (metric, expected) in [("pulpo_worker_abandoned_runs", 0.0), ("pulpo_worker_lanes", 8.0)] {
        // A run that a busy machine held up for longer than its timeout counts for a moment.
        until(metric, || get(address, "/metrics").is_some_and(|(_, text)| value(&text, metric) == Some(expected)));
    }
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

#[test]
fn the_bound_of_abandoned_runs_is_configured_and_a_worker_without_lanes_still_stops() {
    let place = Sandbox::new();
    let (command, address) = hanging(&place, 9, &["concurrency=2", "max_abandoned_runs=3"]);
    let worker = place.start(command);
    until("no lane is left", || status(address, "/healthz") == 503);
    let metrics = get(address, "/metrics").expect("metrics").1;
    assert_eq!(value(&metrics, "pulpo_worker_abandoned_runs"), Some(3.0), "{metrics}");
    assert_eq!(threads(&worker, "pulpo-lane"), 5);
    // The worker does not end as if the queue were empty.
    let mut worker = worker;
    assert!(!within(Duration::from_millis(300), || worker.has_ended()));
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

/// Limits the address space so that no further thread fits in, or lifts the limit.
fn limit_memory(worker: &Running, limited: bool) {
    let status = fs::read_to_string(format!("/proc/{}/status", worker.id())).expect("a process");
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("a size");
    let kilobytes: u64 = size.trim().trim_end_matches(" kB").parse().expect("a number");
    let limit = if limited { ((kilobytes + 1024) * 1024).to_string() } else { "unlimited".to_owned() };
    let arguments = [format!("--pid={}", worker.id()), format!("--as={limit}:unlimited")];
    let said = Command::new("prlimit").args(arguments).output().expect("prlimit is there");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

/// Starts a worker with four lanes that all hang, and without memory for more threads.
fn without_threads(place: &Sandbox, settings: &[&str]) -> (Running, std::net::SocketAddr) {
    let settings = [&["concurrency=4", "handlers.until.timeout=12s"], settings].concat();
    let (command, address) = hanging(place, 4, &settings);
    let worker = place.start(command);
    // The stacks of two or three threads that have ended may be reused.
    until("all have begun", || {
        // A question to the worker itself would leave the stack of another thread.
        let reserved = place.run(WORKER, &["list", "--state", "reserved", "--json"]).out;
        reserved.matches("\"id\"").count() >= 4
    });
    limit_memory(&worker, true);
    (worker, address)
}

#[test]
fn a_lane_that_gets_no_thread_is_tried_again() {
    let place = Sandbox::new();
    let (worker, address) = without_threads(&place, &[]);
    until("it gets no thread", || place.log().contains("no thread available for a lane, retrying"));
    let (code, text) = get(address, "/healthz").expect("an answer");
    assert_eq!((code, text.contains("lanes of 4 are left")), (503, true), "{text}");
    limit_memory(&worker, false);
    until("it has all lanes again", || place.log().contains("all lanes are running again"));
    fs::write(place.path("go"), "").expect("written");
    until("it is healthy", || status(address, "/healthz") == 200);
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

#[test]
fn a_worker_that_gets_no_thread_for_a_lane_for_the_grace_ends_with_an_error() {
    let place = Sandbox::new();
    let (worker, _) = without_threads(&place, &["shutdown_grace=1s"]);
    assert_eq!(worker.end(), 1);
    let log = place.log();
    assert!(log.contains("error: no thread was available for a lane for 1s: the worker has stopped"), "{log}");
}
