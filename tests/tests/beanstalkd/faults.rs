//! The beanstalkd queue when the server, or the connection to it, fails.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pulpo::clock::SystemClock;
use pulpo::queue::beanstalkd::{BeanstalkdOptions, BeanstalkdQueue};
use pulpo::queue::{
    Consumer, DequeueFilter, Filter, Inspection, MessageState, NewMessage, QueueAdapter as _, QueueError, Settlement,
};
use pulpo_tests::beanstalkd::{BeanstalkdServer, Options, free_port};
use pulpo_tests::proxy::Proxy;
use pulpo_tests::touch;
use pulpo_tests::wait::{until, within};
use tempfile::TempDir;

const QUEUE: &str = "faults";

/// How long the impatient wait for an answer. A server on a busy machine may be silent for a moment, too.
const SILENCE: Duration = Duration::from_secs(3);

fn queue_at(port: u16) -> BeanstalkdQueue {
    with_patience(port, Duration::from_secs(30))
}

fn impatient_queue_at(port: u16) -> BeanstalkdQueue {
    with_patience(port, SILENCE)
}

fn with_patience(port: u16, patience: Duration) -> BeanstalkdQueue {
    let options = BeanstalkdOptions::new("127.0.0.1").port(port).socket_timeout(patience);
    BeanstalkdQueue::new(options, Arc::new(SystemClock::new()))
}

fn message(text: &str) -> NewMessage {
    NewMessage::new(QUEUE, "type", text)
}

fn seat(queue: &BeanstalkdQueue) -> Box<dyn Consumer> {
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
fn drain(queue: &BeanstalkdQueue) -> BTreeSet<String> {
    let mut seat = seat(queue);
    let mut texts = BTreeSet::new();
    while let Some(delivery) = insist(|| seat.dequeue(&DequeueFilter::all(), Duration::from_secs(1))) {
        texts.insert(String::from_utf8(delivery.text).unwrap());
        match seat.settle(&delivery.lease, &mut Settlement::commit()) {
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
    let mut seat = seat(&queue);
    for _ in 0..2 {
        let error = in_time(|| queue.enqueue(vec![message("lost in silence")]));
        assert!(error.is_transient() && error.source().unwrap().to_string().contains("did not answer within 3s"));
        assert!(in_time(|| seat.dequeue(&DequeueFilter::all(), Duration::from_secs(60))).is_transient());
    }
    drop(silent);
    let _server = Options::new().port(port).start();
    insist(|| queue.enqueue(vec![message("heard")]));
    let delivery = insist(|| seat.dequeue(&DequeueFilter::all(), Duration::from_secs(1))).unwrap();
    assert_eq!(delivery.text, b"heard");
    seat.settle(&delivery.lease, &mut Settlement::commit()).unwrap();
}

#[test]
fn a_server_that_falls_silent_is_reported_in_time_in_each_call() {
    let server = BeanstalkdServer::start();
    let queue = impatient_queue_at(server.port());
    let mut waiting = seat(&queue);
    queue.enqueue(vec![message("held")]).unwrap();
    let mut holding = seat(&queue);
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
    let mut working = seat(&queue);
    let mut idle = seat(&queue);
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
    let mut seat = seat(&queue);
    let done = seat.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap();
    seat.settle(&done.lease, &mut Settlement::deferrable_commit()).unwrap();
    let again = seat.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap();
    assert!(queue.peek(&done.lease.id).unwrap().is_none(), "deleted by the next dequeue");
    seat.settle(&again.lease, &mut Settlement::deferrable_commit()).unwrap();
    assert!(
        matches!(seat.settle(&again.lease, &mut Settlement::deferrable_commit()), Err(QueueError::LeaseLost { .. })),
        "it is settled"
    );
    assert!(seat.take_lost_leases().is_empty());

    queue.enqueue(vec![message("again")]).unwrap();
    let again = seat.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap();
    seat.settle(&again.lease, &mut Settlement::deferrable_commit()).unwrap();
    server.kill();
    assert!(seat.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap_err().is_transient());
    assert_eq!(seat.take_lost_leases(), [again.lease]);
    assert!(seat.take_lost_leases().is_empty());
    seat.flush().unwrap();
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
    let mut seat = seat(&queue);
    let error = queue.enqueue(vec![message("early")]).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot publish to beanstalkd at 127.0.0.1:{port}"));
    assert!(error.source().unwrap().to_string().contains("refused"), "{:?}", error.source());
    assert!(seat.dequeue(&DequeueFilter::all(), Duration::from_secs(5)).unwrap_err().is_transient());
    let _server = Options::new().port(port).start();
    queue.enqueue(vec![message("on time")]).unwrap();
    assert_eq!(seat.dequeue(&DequeueFilter::all(), Duration::from_secs(1)).unwrap().unwrap().text, b"on time");
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
fn a_message_that_the_server_does_not_take_is_a_clear_error() {
    let server = Options::new().max_job_size(1000).start();
    let queue = queue_at(server.port());
    let error = queue.enqueue(vec![message(&"x".repeat(1001))]).unwrap_err();
    assert!(error.to_string().starts_with("the message has 1001 bytes"), "{error}");
    assert!(error.to_string().contains("takes at most 1000"), "{error}");
    assert!(!error.is_transient());

    let error = queue.enqueue(vec![NewMessage::new("two words", "type", "x")]).unwrap_err();
    assert!(error.to_string().starts_with("\"two words\" cannot be the name of a queue here"), "{error}");
    assert!(queue.consumer(&["x".repeat(201)]).is_err());

    let mut late = message("late");
    late.delay = Some(chrono::Utc::now() + chrono::TimeDelta::days(365 * 150));
    assert!(matches!(queue.enqueue(vec![late]), Err(QueueError::DelayTooLong { .. })));

    // The first messages of the batch are in the queue, and the error says which.
    let batch = vec![message("a"), message("b"), message(&"x".repeat(2000)), message("c")];
    match queue.enqueue(batch).unwrap_err() {
        QueueError::PartOfBatch { ids, of: 4, source } => {
            assert_eq!(ids.len(), 2);
            assert!(matches!(*source, QueueError::TooBig { size: 2000, limit: Some(1000), .. }), "{source}");
        }
        other => panic!("expected a part of the batch, got {other}"),
    }
    assert_eq!(drain(&queue), BTreeSet::from(["a", "b"].map(str::to_owned)));
}

#[test]
fn follow_ups_that_are_kept_are_not_published_again() {
    let server = Options::new().max_job_size(1000).start();
    let queue = queue_at(server.port());
    queue.enqueue(vec![message("done")]).unwrap();
    let mut seat = seat(&queue);
    let delivery = seat.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap();
    let follow_ups = vec![message("a"), message("b"), message(&"x".repeat(2000)), message("c")];
    let mut commit = Settlement::commit_with(follow_ups);
    let error = seat.settle(&delivery.lease, &mut commit).unwrap_err();
    assert!(matches!(error, QueueError::TooBig { size: 2000, .. }), "{error}");
    let left: Vec<_> = commit.follow_ups().iter().map(|message| message.text.len()).collect();
    assert_eq!(left, [2000, 1]);
    let mut commit = Settlement::commit_with(commit.follow_ups()[1..].to_vec());
    seat.settle(&delivery.lease, &mut commit).unwrap();
    assert!(commit.follow_ups().is_empty());
    assert_eq!(drain(&queue), BTreeSet::from(["a", "b", "c"].map(str::to_owned)));
}

#[test]
fn a_server_out_of_memory_says_so_and_keeps_what_it_took() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(server.port());
    server.limit_memory(8 << 20);
    let text = |number: usize| format!("{number} {}", "x".repeat(60_000));
    let mut kept = BTreeSet::new();
    let error = loop {
        assert!(kept.len() < 1000, "it has more memory than it should");
        let text = text(kept.len());
        match queue.enqueue(vec![message(&text)]) {
            Ok(_) => drop(kept.insert(text)),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, QueueError::OutOfMemory { .. }) && error.is_transient(), "{error}");
    assert!(!kept.is_empty());
    assert_eq!(drain(&queue), kept);
    queue.enqueue(vec![message("room again")]).unwrap();
}

/// Until it is full, the server accepts all messages of a batch. Then it rejects the big ones, but
/// would accept small ones after them.
#[test]
fn of_a_batch_that_does_not_fit_into_memory_the_first_ones_are_kept_and_no_others() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(server.port());
    server.limit_memory(8 << 20);
    let mut kept = BTreeSet::new();
    let mut number = 0;
    loop {
        assert!(number < 1000, "it has more memory than it should");
        let texts: Vec<_> = (0..4)
            .map(|_| {
                number += 1;
                format!("{number} {}", "x".repeat(if number % 2 == 0 { 60_000 } else { 10 }))
            })
            .collect();
        match queue.enqueue(texts.iter().map(|text| message(text)).collect()) {
            Ok(ids) => {
                assert_eq!(ids.len(), 4);
                kept.extend(texts);
                continue;
            }
            Err(QueueError::PartOfBatch { ids, of: 4, source }) => {
                assert!(matches!(*source, QueueError::OutOfMemory { .. }), "{source}");
                for (id, text) in ids.iter().zip(&texts) {
                    assert_eq!(String::from_utf8_lossy(&queue.peek(id).unwrap().expect("it is there").text), *text);
                }
                assert!(ids.len() == 1 || ids.len() == 3, "a big one was refused, not number {}", ids.len());
                kept.extend(texts.into_iter().take(ids.len()));
            }
            Err(error) => panic!("expected a part of the batch, got {error}"),
        }
        break;
    }
    assert_eq!(drain(&queue), kept);
}

#[test]
fn a_batch_that_is_cut_off_says_which_ones_are_certain() {
    let server = BeanstalkdServer::start();
    let direct = queue_at(server.port());
    // The cut is far into the answers to the second half, which is a separate write.
    let proxy = Proxy::start(server.port(), |number| if number % 2 == 0 { 4000 } else { 120_000 });
    for _ in 0..4 {
        let queue = queue_at(proxy.port());
        let texts: Vec<_> = (0..600).map(|number| format!("{number} {}", "x".repeat(300))).collect();
        let error = queue.enqueue(texts.iter().map(|text| message(text)).collect()).expect_err("it is cut");
        let (certain, source) = match error {
            QueueError::PartOfBatch { ids, of: 600, source } => (ids, *source),
            other => (Vec::new(), other),
        };
        for (id, text) in certain.iter().zip(&texts) {
            let stored = direct.peek(id).unwrap().expect("what is certain is there");
            assert_eq!(String::from_utf8_lossy(&stored.text), *text);
        }
        let is_in_doubt = matches!(source, QueueError::UnknownOutcome { .. });
        assert!(is_in_doubt || certain.is_empty(), "{} are certain, and then: {source}", certain.len());
        drain(&direct);
    }
}

#[test]
fn a_draining_server_takes_nothing_and_gives_all() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(server.port());
    queue.enqueue(vec![message("before")]).unwrap();
    server.signal("USR1");
    let deadline = Instant::now() + Duration::from_secs(60);
    let error = loop {
        match queue.enqueue(vec![message("before")]) {
            Err(error) => break error,
            Ok(_) => assert!(Instant::now() < deadline, "it does not drain"),
        }
    };
    assert!(matches!(error, QueueError::Draining { .. }), "{error}");
    assert!(error.is_transient());
    assert_eq!(drain(&queue), BTreeSet::from(["before".to_owned()]));
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
            let mut seat = seat(&queue);
            let mut worked = BTreeSet::new();
            while !over.load(Ordering::SeqCst) {
                let Ok(Some(delivery)) = seat.dequeue(&DequeueFilter::all(), Duration::ZERO) else {
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                };
                worked.insert(String::from_utf8(delivery.text).unwrap());
                let _ = seat.settle(&delivery.lease, &mut Settlement::commit());
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

/// Cuts each connection a few bytes later than the previous one.
fn creeping(number: u64) -> u64 {
    40 + number * 3 % 700
}

/// Cuts at each byte of the answers to the first few commands.
fn early(number: u64) -> u64 {
    number % 220
}

#[test]
fn cut_connections_lose_nothing_that_was_published() {
    cut(creeping);
}

#[test]
fn connections_cut_at_the_start_lose_nothing_that_was_published() {
    cut(early);
}

/// Sets the flag when its thread ends, even by a panic.
struct Over<'flag>(&'flag AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn cut(cuts: fn(u64) -> u64) {
    let server = BeanstalkdServer::start();
    let proxy = Proxy::start(server.port(), cuts);
    let published = AtomicBool::new(false);
    let (sent, worked) = std::thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            let _over = Over(&published);
            let queue = queue_at(proxy.port());
            let direct = queue_at(server.port());
            let mut sent = BTreeSet::new();
            for n in 0.. {
                let text = format!("message {n}");
                if let Ok(ids) = queue.enqueue(vec![message(&text)]) {
                    // The job may be done by now, but it is the right one.
                    if let Some(stored) = direct.peek(&ids[0].id).unwrap() {
                        assert_eq!(String::from_utf8_lossy(&stored.text), text, "the id is right");
                    }
                    sent.insert(text);
                }
                // The worker may have used up most of the connections.
                if proxy.connections() > 600 && sent.len() > 50 || n > 3000 {
                    break;
                }
            }
            sent
        });
        let worker = scope.spawn(|| {
            let queue = queue_at(proxy.port());
            let mut seat = seat(&queue);
            let mut worked = BTreeSet::new();
            while !published.load(Ordering::SeqCst) {
                let Ok(Some(delivery)) = seat.dequeue(&DequeueFilter::all(), Duration::ZERO) else { continue };
                if delivery.attempts % 2 == 0 {
                    let _ = seat.settle(&delivery.lease, &mut Settlement::rollback(Duration::ZERO, "again", true));
                } else {
                    // Record it before the commit, which may succeed although its answer is lost.
                    worked.insert(String::from_utf8(delivery.text).unwrap());
                    let _ = seat.settle(&delivery.lease, &mut Settlement::commit());
                }
            }
            worked
        });
        (publisher.join().unwrap(), worker.join().unwrap())
    });
    proxy.spare();
    let mut all = drain(&queue_at(proxy.port()));
    all.extend(worked);
    let lost: Vec<_> = sent.difference(&all).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), sent.len());
    assert!(sent.len() > 50, "only {} were published", sent.len());
    let left = queue_at(server.port()).list(&Filter::all().state(MessageState::Reserved)).unwrap();
    assert!(left.is_empty(), "{left:?}");
}

fn at_each_byte(number: u64) -> u64 {
    number + 1
}

/// The commands with which a job is taken and given back uncounted, cut off after each byte of them and their answers.
#[test]
fn a_cut_while_a_job_is_given_back_costs_it_an_attempt_at_most_and_none_if_it_was_given_back() {
    let server = BeanstalkdServer::start();
    let proxy = Proxy::start(server.port(), at_each_byte);
    let direct = queue_at(server.port());
    let (mut given_back, mut in_between) = (0, 0);
    while given_back < 3 {
        let id = direct.enqueue(vec![message("{}")]).unwrap().remove(0).id;
        let queue = queue_at(proxy.port());
        let mut consumer = seat(&queue);
        let taken = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).ok().flatten();
        let was_taken = taken.is_some();
        let ended =
            taken.map(|taken| consumer.settle(&taken.lease, &mut Settlement::rollback(Duration::ZERO, "x", false)));
        drop(consumer);
        let mut now = direct.peek(&id).unwrap().unwrap();
        until("it is free again", || {
            now = direct.peek(&id).unwrap().unwrap();
            now.state != MessageState::Reserved
        });
        match ended {
            Some(Ok(())) => {
                assert_eq!((now.state.as_str(), now.attempts, now.abandoned), ("ready", 0, 0));
                given_back += 1;
            }
            _ => assert!(now.attempts <= 1, "{now:?}"),
        }
        in_between += u32::from(was_taken && given_back == 0);
        assert_eq!(direct.delete(&Filter::all().id(id)).unwrap(), 1);
        assert!(proxy.connections() < 5000, "it was given back after some byte");
    }
    assert!(in_between > 20, "cut during the settlement: {in_between} times");
}
