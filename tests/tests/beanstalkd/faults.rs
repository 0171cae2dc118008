//! The beanstalkd queue when the server is silent, away, or killed and started again.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pulpo::clock::SystemClock;
use pulpo::queue::beanstalkd::{BeanstalkdOptions, BeanstalkdQueue};
use pulpo::queue::{Consumer, DequeueFilter, Inspection as _, NewMessage, QueueAdapter as _, QueueError, Settlement};
use pulpo_tests::beanstalkd::{BeanstalkdServer, Options, free_port};
use pulpo_tests::touch;
use pulpo_tests::wait::within;
use tempfile::TempDir;

const QUEUE: &str = "faults";

/// How long the impatient wait for an answer. A server on a busy machine may be silent for a moment, too.
const SILENCE: Duration = Duration::from_secs(3);

pub(crate) fn queue_at(port: u16) -> BeanstalkdQueue {
    with_patience(port, Duration::from_secs(30))
}

fn impatient_queue_at(port: u16) -> BeanstalkdQueue {
    with_patience(port, SILENCE)
}

fn with_patience(port: u16, patience: Duration) -> BeanstalkdQueue {
    let options = BeanstalkdOptions::new("127.0.0.1").port(port).socket_timeout(patience);
    BeanstalkdQueue::new(options, Arc::new(SystemClock::new()))
}

pub(crate) fn message(text: &str) -> NewMessage {
    NewMessage::new(QUEUE, "type", text)
}

pub(crate) fn consumer(queue: &BeanstalkdQueue) -> Box<dyn Consumer> {
    queue.consumer(&[QUEUE.to_owned()]).unwrap()
}

/// Repeats a call until it succeeds, as a lane does.
fn insist<R>(mut call: impl FnMut() -> Result<R, QueueError>) -> R {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match call() {
            Ok(result) => return result,
            Err(error) => {
                assert!(error.is_transient(), "{error}: {:?}", error.source());
                assert!(Instant::now() < deadline, "it does not recover: {error}: {:?}", error.source());
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Takes and settles all available messages.
pub(crate) fn drain(queue: &BeanstalkdQueue) -> BTreeSet<String> {
    let mut consumer = consumer(queue);
    let mut texts = BTreeSet::new();
    while let Some(delivery) = insist(|| consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(1))) {
        texts.insert(String::from_utf8(delivery.text).unwrap());
        match consumer.settle(&delivery.lease, &mut Settlement::commit()) {
            Ok(()) | Err(QueueError::LeaseLost { .. }) => {}
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }
    texts
}

/// Checks that the call ends at about the time when the patience with the server does.
#[track_caller]
fn in_time<R: std::fmt::Debug>(call: impl FnOnce() -> Result<R, QueueError>) -> QueueError {
    let start = Instant::now();
    let error = call().expect_err("there is no server that answers");
    // A connection that is given up takes ten times that long.
    assert!(start.elapsed() < SILENCE * 9, "it took {:?}", start.elapsed());
    error
}

/// Returns a server that accepts connections (the operating system does) and never answers, until it is dropped.
fn silent_server(port: u16) -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap()
}

#[test]
fn a_silent_server_is_reported_in_time_and_replaced_by_a_good_one() {
    let port = free_port();
    let silent = silent_server(port);
    let queue = impatient_queue_at(port);
    let mut consumer = consumer(&queue);
    for _ in 0..2 {
        let error = in_time(|| queue.enqueue(vec![message("lost in silence")]));
        assert!(error.is_transient() && error.source().unwrap().to_string().contains("did not answer within 3s"));
        assert!(in_time(|| consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(60))).is_transient());
    }
    drop(silent);
    let _server = Options::new().port(port).start();
    insist(|| queue.enqueue(vec![message("heard")]));
    let delivery = insist(|| consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(1))).unwrap();
    assert_eq!(delivery.text, b"heard");
    consumer.settle(&delivery.lease, &mut Settlement::commit()).unwrap();
}

#[test]
fn a_server_that_falls_silent_is_reported_in_time_in_each_call() {
    let server = BeanstalkdServer::start();
    let queue = impatient_queue_at(server.port());
    let mut waiting = consumer(&queue);
    queue.enqueue(vec![message("held")]).unwrap();
    let mut holding = consumer(&queue);
    let held = holding.dequeue(&DequeueFilter::all(), Duration::from_secs(1)).unwrap().unwrap();
    assert!(waiting.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().is_none());

    server.signal("STOP");
    // On a connection that was just used, the outcome is unknown.
    let error = in_time(|| queue.enqueue(vec![message("in doubt")]));
    assert!(matches!(error, QueueError::UnknownOutcome { .. } | QueueError::Unavailable { .. }), "{error}");
    in_time(|| queue.enqueue(vec![message("not sent")]));
    in_time(|| touch(&mut *holding, &held.lease));
    // The server is asked to wait for up to a second.
    assert!(in_time(|| waiting.dequeue(&DequeueFilter::all(), Duration::ZERO)).is_transient());
    in_time(|| queue.stats());
    server.signal("CONT");

    // The server may now execute the commands that it had received; held messages stay held.
    let texts = drain(&queue);
    assert!(!texts.contains("held") && !texts.contains("not sent"), "{texts:?}");
    holding.settle(&held.lease, &mut Settlement::commit()).unwrap();
    assert_eq!(queue.stats().unwrap().total(), 0);
}

#[test]
fn silence_does_not_pile_up_threads() {
    let port = free_port();
    let silent = silent_server(port);
    let queue = with_patience(port, Duration::from_millis(50));
    let threads = || {
        let all = std::fs::read_dir("/proc/self/task").unwrap();
        let name =
            |entry: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(entry.unwrap().path().join("comm"));
        all.filter(|_| true)
            .filter_map(|entry| name(entry).ok())
            .filter(|name| name.starts_with("pulpo-beanstalk"))
            .count()
    };
    let before = threads();
    for _ in 0..40 {
        queue.enqueue(vec![message("x")]).unwrap_err();
    }
    // Other tests of this process have connections too, but rarely more than that.
    assert!(within(SILENCE, || threads() < before + 20), "{before} threads became {}", threads());
    drop(silent);
}

#[test]
fn messages_that_a_killed_server_kept_are_there_after_its_restart() {
    let folder = TempDir::new().unwrap();
    let mut server = Options::new().binlog(folder.path()).start();
    let queue = queue_at(server.port());
    let mut working = consumer(&queue);
    let mut idle = consumer(&queue);
    assert!(idle.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().is_none());
    for text in ["a", "b", "c"] {
        queue.enqueue(vec![message(text)]).unwrap();
    }
    let first = working.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap();
    working.settle(&first.lease, &mut Settlement::commit()).unwrap();
    let second = working.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap();
    assert_eq!(second.text, b"b");

    server.kill();
    let refused = queue.enqueue(vec![message("refused")]).unwrap_err();
    assert!(!matches!(refused, QueueError::LeaseLost { .. }), "{refused}");
    assert!(idle.dequeue(&DequeueFilter::all(), Duration::from_secs(1)).unwrap_err().is_transient());
    server.restart();

    // The restarted server knows nothing of the lease.
    let settled = working.settle(&second.lease, &mut Settlement::commit());
    assert!(matches!(settled, Err(QueueError::LeaseLost { .. })), "{settled:?}");
    insist(|| queue.enqueue(vec![message("d")]));
    let third = insist(|| idle.dequeue(&DequeueFilter::all(), Duration::from_secs(1))).unwrap();
    assert_eq!(third.text, b"b", "what was held is ready again");
    idle.settle(&third.lease, &mut Settlement::commit()).unwrap();
    assert_eq!(drain(&queue), BTreeSet::from(["c", "d"].map(str::to_owned)));
}

#[test]
fn a_deferred_commit_that_did_not_come_through_is_reported_once_and_its_job_runs_again() {
    let folder = TempDir::new().unwrap();
    let mut server = Options::new().binlog(folder.path()).start();
    let queue = queue_at(server.port());
    queue.enqueue(vec![message("done"), message("again")]).unwrap();
    let mut consumer = consumer(&queue);
    let done = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap();
    consumer.settle(&done.lease, &mut Settlement::deferrable_commit()).unwrap();
    let again = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap();
    assert!(queue.peek(&done.lease.id).unwrap().is_none(), "deleted by the next dequeue");
    consumer.settle(&again.lease, &mut Settlement::deferrable_commit()).unwrap();
    assert!(
        matches!(
            consumer.settle(&again.lease, &mut Settlement::deferrable_commit()),
            Err(QueueError::LeaseLost { .. })
        ),
        "it is settled"
    );
    assert!(consumer.take_lost_leases().is_empty());

    queue.enqueue(vec![message("again")]).unwrap();
    let again = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap();
    consumer.settle(&again.lease, &mut Settlement::deferrable_commit()).unwrap();
    server.kill();
    assert!(consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap_err().is_transient());
    assert_eq!(consumer.take_lost_leases(), [again.lease]);
    assert!(consumer.take_lost_leases().is_empty());
    consumer.flush().unwrap();
    server.restart();
    assert_eq!(drain(&queue), BTreeSet::from(["again".to_owned()]));
}

#[test]
fn an_idle_publisher_does_not_notice_a_restart() {
    let mut server = BeanstalkdServer::start();
    let queue = queue_at(server.port());
    queue.enqueue(vec![message("before")]).unwrap();
    server.kill();
    server.restart();
    // Longer than a connection is trusted without asking.
    std::thread::sleep(Duration::from_millis(150));
    queue.enqueue(vec![message("after")]).unwrap();
    assert_eq!(drain(&queue), BTreeSet::from(["after".to_owned()]));
}

#[test]
fn a_server_that_comes_late_is_found() {
    let port = free_port();
    let queue = queue_at(port);
    let mut consumer = consumer(&queue);
    let error = queue.enqueue(vec![message("early")]).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot publish to beanstalkd at 127.0.0.1:{port}"));
    assert!(error.source().unwrap().to_string().contains("refused"), "{:?}", error.source());
    assert!(consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(5)).unwrap_err().is_transient());
    let _server = Options::new().port(port).start();
    queue.enqueue(vec![message("on time")]).unwrap();
    assert_eq!(consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(1)).unwrap().unwrap().text, b"on time");
}

#[test]
fn something_else_on_the_port_is_recognised() {
    let listener = silent_server(0);
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            let _ = std::io::Write::write_all(&mut socket, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let error = queue_at(port).enqueue(vec![message("x")]).unwrap_err();
    assert!(matches!(error, QueueError::NotAQueue { .. }), "{error}");
    assert!(error.to_string().contains("HTTP/1.1 400"), "{error}");
}

#[test]
fn a_name_that_does_not_resolve_is_an_error_and_no_panic() {
    let queue = BeanstalkdQueue::new(BeanstalkdOptions::new("no-such-host.invalid"), Arc::new(SystemClock::new()));
    let error = queue.enqueue(vec![message("x")]).unwrap_err();
    assert!(error.is_transient());
    assert!(error.source().unwrap().to_string().contains("does not resolve"), "{:?}", error.source());
}

#[test]
fn a_server_killed_again_and_again_under_work_loses_nothing_it_took() {
    let folder = TempDir::new().unwrap();
    let mut server = Options::new().binlog(folder.path()).start();
    let port = server.port();
    let over = AtomicBool::new(false);
    let (sent, mut worked) = std::thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            let _over = Over(&over);
            let queue = queue_at(port);
            let texts = (0..1500).map(|n| format!("message {n}"));
            let publish = |text: &String| loop {
                match queue.enqueue(vec![message(text)]) {
                    Ok(_) => break true,
                    Err(QueueError::UnknownOutcome { .. }) => break false,
                    Err(error) => assert!(error.is_transient(), "{error}"),
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            texts.filter(publish).collect::<BTreeSet<_>>()
        });
        let lane = || {
            let queue = queue_at(port);
            let mut consumer = consumer(&queue);
            let mut worked = BTreeSet::new();
            while !over.load(Ordering::SeqCst) {
                let Ok(Some(delivery)) = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO) else {
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                };
                worked.insert(String::from_utf8(delivery.text).unwrap());
                let _ = consumer.settle(&delivery.lease, &mut Settlement::commit());
            }
            worked
        };
        let lanes: Vec<_> = (0..4).map(|_| scope.spawn(lane)).collect();
        while !over.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(100));
            server.kill();
            server.restart();
        }
        let worked: BTreeSet<_> = lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect();
        (publisher.join().unwrap(), worked)
    });
    let queue = queue_at(port);
    worked.extend(drain(&queue));
    let lost: Vec<_> = sent.difference(&worked).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), sent.len());
    assert!(sent.len() > 300, "only {} were published", sent.len());
    assert!(queue.stats().unwrap().counts.is_empty(), "nothing is left");
}

/// Sets the flag when its thread ends, even by a panic.
pub(crate) struct Over<'flag>(pub(crate) &'flag AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
