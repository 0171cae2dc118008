//! Messages that are leased ahead, deferred commits, and processes that die at such times.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use pulpo::clock::SystemClock;
use pulpo::queue::file::FileQueue;
use pulpo::queue::{
    Consumer, Delivery, DequeueFilter, Filter, Inspection, MessageState, NewMessage, QueueAdapter as _, QueueError,
    Settlement, StoredMessage,
};
use pulpo::{MessageId, Priority};
use pulpo_tests::ids;
use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::until;

const WORKER: &str = env!("CARGO_BIN_EXE_long_lease_worker");

/// A queue in a folder, to which several processes may be connected.
struct Disk(tempfile::TempDir);

impl Disk {
    fn with(count: usize) -> (Self, Vec<MessageId>) {
        let disk = Self(tempfile::tempdir().expect("a folder"));
        let ids = ids(disk.process().enqueue((0..count).map(|_| message(100)).collect()).expect("published"));
        (disk, ids)
    }

    fn process(&self) -> FileQueue {
        FileQueue::open(self.0.path(), false, Arc::new(SystemClock::new())).expect("a queue")
    }
}

/// Returns a message whose lease would outlast the test.
fn message(priority: u32) -> NewMessage {
    let mut message = of_type("x");
    message.priority = Priority::new(priority);
    message
}

fn of_type(request_type: &str) -> NewMessage {
    let mut message = NewMessage::new("pulpo", request_type, "{}");
    message.ttr = Duration::from_secs(3600);
    message
}

fn consumer(process: &FileQueue) -> Box<dyn Consumer> {
    process.consumer(&["pulpo".to_owned()]).expect("a consumer")
}

fn take(consumer: &mut Box<dyn Consumer>) -> Delivery {
    consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("a message")
}

fn in_state(process: &FileQueue, state: MessageState) -> Vec<StoredMessage> {
    process.list(&Filter::all().state(state)).expect("a list")
}

/// Runs short jobs until others are leased ahead. Returns the job in hand.
fn lease_ahead(process: &FileQueue, consumer: &mut Box<dyn Consumer>) -> Delivery {
    let mut delivery = take(consumer);
    // At first the duration of the jobs is unknown, and a slow machine may take until the leased
    // messages have been returned.
    until("some are leased ahead", || {
        consumer.settle(&delivery.lease, &mut Settlement::deferrable_commit()).expect("committed");
        delivery = take(consumer);
        in_state(process, MessageState::Reserved).len() > 3
    });
    delivery
}

#[test]
fn runs_of_a_dead_process_count_and_messages_it_had_leased_ahead_do_not() {
    let (disk, _) = Disk::with(2000);
    let (one, other) = (disk.process(), disk.process());
    let mut survivor = consumer(&other);
    let mut dying = consumer(&one);
    let running = lease_ahead(&one, &mut dying);
    // As the system does at the end of a process: the files are closed.
    drop((dying, one));
    until("all is ready again", || in_state(&other, MessageState::Reserved).is_empty());
    let ready = in_state(&other, MessageState::Ready);
    for message in &ready {
        let expected = u32::from(message.id == running.lease.id);
        assert_eq!(message.attempts, expected, "message {}", message.id);
        assert_eq!(message.last_error.is_some(), expected == 1);
    }
    assert!(ready.iter().any(|message| message.id == running.lease.id));
    let again = take(&mut survivor);
    assert_eq!((again.lease.id, again.attempts, again.abandoned), (running.lease.id, 1, 1));
}

#[test]
fn a_new_process_frees_at_once_what_dead_ones_have_left() {
    let (disk, ids) = Disk::with(1);
    let gone = disk.process();
    drop(take(&mut consumer(&gone)));
    drop(gone);
    let delivery = take(&mut consumer(&disk.process()));
    assert_eq!((&delivery.lease.id, delivery.attempts, delivery.abandoned), (&ids[0], 1, 1));
}

#[test]
fn a_process_that_ends_cleanly_leaves_nothing_behind() {
    let (disk, _) = Disk::with(2000);
    let process = disk.process();
    let mut one = consumer(&process);
    let last = lease_ahead(&process, &mut one);
    one.settle(&last.lease, &mut Settlement::deferrable_commit()).expect("committed");
    one.flush().expect("finished");
    assert!(in_state(&process, MessageState::Reserved).is_empty());
    assert!(process.peek(&last.lease.id).expect("the queue answers").is_none(), "what was put off is done");
    assert!(in_state(&process, MessageState::Ready).iter().all(|message| message.attempts == 0));
    drop((one, process));
    let files = std::fs::read_dir(disk.0.path().join("workers")).expect("a folder");
    let left: Vec<_> = files.map(|file| file.expect("a file").file_name()).filter(|name| name != "running").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn messages_leased_ahead_go_back_when_the_lanes_become_busy() {
    let (disk, _) = Disk::with(2000);
    let process = disk.process();
    let mut busy = consumer(&process);
    let long = lease_ahead(&process, &mut busy);
    until("only what is being run is leased", || {
        let leased = in_state(&process, MessageState::Reserved);
        leased.len() == 1 && leased[0].id == long.lease.id
    });
    busy.settle(&long.lease, &mut Settlement::commit()).expect("still its own");
}

#[test]
fn a_pause_takes_back_what_is_leased_ahead() {
    let (disk, _) = Disk::with(2000);
    let process = disk.process();
    let mut one = consumer(&process);
    let last = lease_ahead(&process, &mut one);
    process.pause("pulpo", Duration::from_secs(3600)).expect("paused");
    one.settle(&last.lease, &mut Settlement::deferrable_commit()).expect("committed");
    assert!(one.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").is_none());
}

#[test]
fn of_what_is_limited_one_message_is_leased_and_none_ahead_of_it() {
    let disk = Disk(tempfile::tempdir().expect("a folder"));
    let process = disk.process();
    let new = |queue: &str, request_type: &str| {
        let mut message = of_type(request_type);
        message.queue = queue.to_owned();
        message.text = format!("{{\"type\": \"{request_type}\"}}");
        message
    };
    // A third of the messages has a limited type, and a third is in a limited queue.
    let mixed = |n: usize| match n % 3 {
        0 => new("pulpo", "limited"),
        1 => new("pulpo", "x"),
        _ => new("limited", "y"),
    };
    process.enqueue((0..3000).map(mixed).collect()).expect("published");
    let mut one = process.consumer(&["pulpo".to_owned(), "limited".to_owned()]).expect("a consumer");
    let filter = DequeueFilter::all().single_type("limited").single_queue("limited");
    let mut settled = HashSet::new();
    for _ in 0..300 {
        let delivery = one.dequeue(&filter, Duration::ZERO).expect("dequeue").expect("a message");
        // A commit that was put off may be carried out at this moment.
        let mut leased = in_state(&process, MessageState::Reserved);
        leased.retain(|message| !settled.contains(&message.id));
        let of_type = leased.iter().filter(|message| message.request_type == "limited").count();
        let of_queue = leased.iter().filter(|message| message.queue == "limited").count();
        assert!(of_type <= 1 && of_queue <= 1, "{of_type} of the type, {of_queue} of the queue");
        one.settle(&delivery.lease, &mut Settlement::deferrable_commit()).expect("committed");
        settled.insert(delivery.lease.id);
    }
    // They are not leased ahead while other types are excluded either.
    let filter = filter.except_type("x");
    for _ in 0..20 {
        let delivery = one.dequeue(&filter, Duration::ZERO).expect("dequeue").expect("a message");
        assert!(!String::from_utf8_lossy(&delivery.text).contains("\"x\""), "it is left out");
        one.settle(&delivery.lease, &mut Settlement::commit()).expect("committed");
    }
}

#[test]
fn an_urgent_message_waits_for_no_more_than_what_is_leased_ahead() {
    let (disk, _) = Disk::with(3000);
    let process = disk.process();
    let mut one = consumer(&process);
    for _ in 0..1000 {
        let delivery = take(&mut one);
        one.settle(&delivery.lease, &mut Settlement::deferrable_commit()).expect("committed");
    }
    let urgent = process.enqueue(vec![message(1)]).expect("published").remove(0).id;
    let later = (0..).find(|_| {
        let delivery = take(&mut one);
        one.settle(&delivery.lease, &mut Settlement::deferrable_commit()).expect("committed");
        delivery.lease.id == urgent
    });
    assert!(later.is_some_and(|later| later <= 256), "{later:?}");
}

#[test]
fn a_commit_that_was_put_off_is_done_within_moments_without_any_further_call() {
    let (disk, ids) = Disk::with(1);
    let process = disk.process();
    let mut one = consumer(&process);
    let delivery = take(&mut one);
    one.settle(&delivery.lease, &mut Settlement::deferrable_commit()).expect("committed");
    until("it is done", || process.peek(&ids[0]).expect("the queue answers").is_none());
    assert!(one.take_lost_leases().is_empty());
    assert!(matches!(
        one.settle(&delivery.lease, &mut Settlement::deferrable_commit()),
        Err(QueueError::LeaseLost { .. })
    ));
}

/// Runs a worker of one lane that ends when it has found nothing for eight seconds.
fn drain(place: &Sandbox) -> i32 {
    let mut command = place.command(WORKER, &["work", "--concurrency", "1", "--log-level", "warn"]);
    command.env("PULPO_SLEEP_DURATION", "8s").env("PULPO_SHUTDOWN_AFTER_NUMBER_OF_EMPTY_ITERATIONS", "1");
    place.start(command).end()
}

#[test]
fn a_job_that_kills_its_worker_takes_no_neighbour_with_it() {
    let place = Sandbox::new();
    let publish = |count: &str, what: &str| {
        assert_eq!(place.run(WORKER, &["publish", "fuse", "--payload", what, "--count", count]).code, 0);
    };
    publish("300", "fine");
    publish("1", "bang");
    publish("300", "fine");
    assert_eq!(drain(&place), -1, "it is killed");
    assert_eq!(drain(&place), 0, "{}", place.log());
    let said = place.run(WORKER, &["list", "--json"]);
    let left: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    let left = left.as_array().expect("a list");
    assert_eq!(left.len(), 1, "only the one that kills is buried: {}", said.out);
    assert_eq!((&left[0]["state"], &left[0]["attempts"]), (&"buried".into(), &1.into()));
    assert!(place.record().matches("fine").count() >= 600, "all others ran");
    assert_eq!(place.record().matches("bang").count(), 1);
}

#[test]
fn the_job_of_a_killed_worker_is_taken_at_once_by_another_that_waits() {
    let place = Sandbox::new();
    assert_eq!(place.run(WORKER, &["publish", "hang", "--body", "3600000"]).code, 0);
    let worker = |log: &str| {
        let mut command = place.command(WORKER, &["work", "--concurrency", "1"]);
        command.env("PULPO_SLEEP_DURATION", "1h").env("RECORD", place.path(log));
        place.start(command)
    };
    let record = |name: &str| std::fs::read_to_string(place.path(name)).unwrap_or_default();
    let first = worker("first");
    until("it has begun", || record("first").contains("asleep"));
    let second = worker("second");
    until("the other waits", || place.log().matches("the worker starts").count() == 2);
    first.signal("KILL");
    assert_eq!(first.end(), -1);
    // Its lease would last for an hour.
    until("the other has taken it", || record("second").contains("asleep"));
    second.signal("KILL");
    assert_eq!(second.end(), -1);
}
