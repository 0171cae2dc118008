//! A server that is killed, silent or slow, under a busy worker.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pulpo::clock::SystemClock;
use pulpo::queue::beanstalkd::{BeanstalkdOptions, BeanstalkdQueue};
use pulpo::queue::{Inspection, NewMessage, QueueAdapter as _, QueueError};
use pulpo_tests::beanstalkd::{BeanstalkdServer, Options, free_port};
use pulpo_tests::program::{Running, Sandbox};
use pulpo_tests::wait::until;

const WORKER: &str = env!("CARGO_BIN_EXE_worker");
/// Its job `held` lasts until a file exists.
const HOLDING: &str = env!("CARGO_BIN_EXE_crashing_worker");

/// Starts a worker with four lanes on this server, which waits this many seconds for an answer.
fn worker(place: &Sandbox, program: &str, port: u16, patience: &str) -> Running {
    let mut command = place.command(program, &["work", "--concurrency", "4"]);
    command
        .env("PULPO_QUEUE", format!("beanstalkd://127.0.0.1:{port}"))
        .env("PULPO_BEANSTALKD_QUEUE_ADAPTER__SOCKET_TIMEOUT", patience);
    place.start(command)
}

/// Longer than a server on a busy machine stands still.
const LONG: &str = "30";

fn queue(port: u16) -> BeanstalkdQueue {
    let options = BeanstalkdOptions::new("127.0.0.1").port(port).socket_timeout(Duration::from_secs(30));
    BeanstalkdQueue::new(options, Arc::new(SystemClock::new()))
}

/// Publishes the job with this number. Returns false if it is unknown whether the job is in the queue.
fn publish(queue: &BeanstalkdQueue, number: u64) -> bool {
    let text = format!(r#"{{"header":{{"request_type":"record"}},"body":{{"number":{number}}}}}"#);
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        match queue.enqueue(vec![NewMessage::new("pulpo", "record", text.as_str())]) {
            Ok(_) => return true,
            Err(QueueError::UnknownOutcome { .. }) => return false,
            Err(error) => assert!(error.is_transient() && Instant::now() < end, "{error}"),
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn ran(place: &Sandbox, number: u64) -> bool {
    place.record().contains(&format!(" {number} 0 false\n"))
}

const JOBS: u64 = 5000;

#[test]
fn a_server_that_is_killed_under_work_loses_nothing() {
    let place = Sandbox::new();
    let binlog = place.path("binlog");
    std::fs::create_dir(&binlog).expect("made");
    let mut server = Options::new().binlog(Path::new(&binlog)).start();
    let port = server.port();
    let worker = worker(&place, WORKER, port, LONG);
    let published = std::thread::scope(|scope| {
        let producer = scope.spawn(|| {
            let queue = queue(port);
            (0..JOBS).filter(|number| publish(&queue, *number)).collect::<Vec<_>>()
        });
        for kill in 1..=3 {
            let enough = usize::try_from(kill * JOBS / 5).expect("few");
            until("some of them have run", || place.record().lines().count() > enough || producer.is_finished());
            server.kill();
            server.restart();
        }
        producer.join().expect("no panic")
    });
    assert!(published.len() as u64 > JOBS - 10, "{} of {JOBS}", published.len());
    let queue = queue(port);
    until("nothing is left", || queue.stats().is_ok_and(|stats| stats.counts.is_empty()));
    let record = place.record();
    let numbers: std::collections::HashSet<u64> =
        record.lines().filter_map(|line| line.split(' ').nth(2)?.parse().ok()).collect();
    let lost: Vec<_> = published.iter().filter(|number| !numbers.contains(number)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    let again = record.lines().count() - numbers.len();
    assert!(again <= 3 * 4, "{again} runs again, with four lanes and three kills");
    let log = place.log();
    let outages = log.matches("cannot take messages").count();
    assert!((1..=3).contains(&outages), "once for each outage, not for each try: {outages}\n{log}");
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

#[test]
fn a_silent_server_is_reported_in_time_and_work_goes_on_when_a_good_one_takes_its_place() {
    let port = free_port();
    let silent = TcpListener::bind(("127.0.0.1", port)).expect("a port");
    let place = Sandbox::new();
    let started = Instant::now();
    let worker = worker(&place, WORKER, port, "1");
    until("the worker says so", || place.log().contains("cannot take messages"));
    // A socket timeout of one second, plus one second.
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());

    let started = Instant::now();
    let mut command = place.command(WORKER, &["publish", "record", "--body", r#"{"number": 1}"#]);
    command
        .env("PULPO_QUEUE", format!("beanstalkd://127.0.0.1:{port}"))
        .env("PULPO_BEANSTALKD_QUEUE_ADAPTER__SOCKET_TIMEOUT", "1");
    let said = command.output().expect("started");
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    let error = String::from_utf8_lossy(&said.stderr);
    assert!(!said.status.success() && error.contains("it did not answer within 1s"), "{error}");

    drop(silent);
    let _server = Options::new().port(port).start();
    assert!(publish(&queue(port), 1));
    until("the job has run", || ran(&place, 1));
    until("all lanes are back", || place.log().contains("the queue is back"));
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

#[test]
fn a_worker_may_start_before_its_server() {
    let place = Sandbox::new();
    let port = free_port();
    let worker = worker(&place, WORKER, port, LONG);
    until("the worker says so", || place.log().contains("cannot take messages"));
    let _server = Options::new().port(port).start();
    assert!(publish(&queue(port), 7));
    until("the job has run", || ran(&place, 7));
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

#[test]
fn a_name_that_the_server_would_refuse_is_refused_at_start() {
    let server = BeanstalkdServer::start();
    let place = Sandbox::new();
    let place_of = |tube: &str| format!("beanstalkd://127.0.0.1:{}{tube}", server.port());
    for (arguments, queue, told) in [
        (&["work", "--queues", "two words"][..], place_of(""), r#"names of tubes, not "two words""#),
        (&["work"], place_of("/-hyphen"), "-hyphen"),
        (&["publish", "record", "--body", r#"{"number": 1}"#], place_of("/-x"), "-x"),
    ] {
        let said = place.command(WORKER, arguments).env("PULPO_QUEUE", queue).output().expect("started");
        let error = String::from_utf8_lossy(&said.stderr);
        let refused = error.contains("a name has only") || error.contains("a name does not begin with");
        assert!(said.status.code() == Some(1) && refused && error.contains(told), "{error}");
    }
}

/// Restarts a server while a handler runs, with or without its stored jobs.
fn restart_while_a_handler_runs(options: Options, place: &Sandbox) {
    let mut server = options.start();
    let port = server.port();
    let worker = worker(place, HOLDING, port, LONG);
    let publish = |name: &str| {
        let held = format!(r#"{{"header":{{"request_type":"held"}},"body":{{"name":"{name}","then":"ok"}}}}"#);
        queue(port).enqueue(vec![NewMessage::new("pulpo", "held", held)]).expect("published");
    };
    publish("first");
    until("it has begun", || place.record().contains("first begun 1\n"));
    server.kill();
    server.restart();
    (1..9).for_each(|attempt| std::fs::write(place.path(&format!("first.{attempt}")), "").expect("written"));
    until("its lease is known to be lost", || place.log().contains("the outcome of a run does not count"));
    std::fs::write(place.path("second.1"), "").expect("written");
    publish("second");
    until("the worker goes on", || place.record().contains("second over 1\n"));
    let queue = queue(port);
    until("nothing is left", || queue.stats().is_ok_and(|stats| stats.counts.is_empty()));
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

#[test]
fn a_server_that_forgets_its_jobs_under_a_handler_does_not_stop_the_worker() {
    let place = Sandbox::new();
    restart_while_a_handler_runs(Options::new(), &place);
    assert_eq!(place.record().matches("first begun").count(), 1, "{}", place.record());
}

#[test]
fn a_job_that_a_restarted_server_kept_runs_again() {
    let place = Sandbox::new();
    let binlog = place.path("binlog");
    std::fs::create_dir(&binlog).expect("made");
    restart_while_a_handler_runs(Options::new().binlog(&binlog), &place);
    assert_eq!(place.record().matches("first over").count(), 2, "{}", place.record());
}
