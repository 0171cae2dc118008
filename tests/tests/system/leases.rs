//! The right to settle a message: a worker that stood still for longer than its lease has lost it,
//! and the lease of a job that has ended is no longer renewed.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pulpo::clock::{Clock as _, ManualClock};
use pulpo::queue::file::FileQueue;
use pulpo::queue::{
    Capabilities, Consumer, Delivery, DequeueFilter, Enqueued, Lease, NewMessage, QueueAdapter, QueueError, Settlement,
};
use pulpo::worker::WorkerOptions;
use pulpo::{MessageId, Pulpo};
use pulpo_tests::program::{Running, Sandbox};
use pulpo_tests::touch;
use pulpo_tests::wait::{until, within};
use serde_json::Value;

use crate::jobs::{Act, Hurry, What, free, runs};

on_each_queue! {
    a_worker_that_stood_still_commits_nothing
    a_worker_that_stood_still_puts_nothing_back
    a_worker_that_stood_still_buries_nothing
    a_worker_that_stood_still_and_then_panics_settles_nothing
}

const PERILS: &str = env!("CARGO_BIN_EXE_crashing_worker");

fn worker(place: &Sandbox, log: &str) -> Running {
    place.start_with_log(place.command(PERILS, &["work", "--concurrency", "1"]), log)
}

fn a_worker_that_stood_still_commits_nothing(place: &Sandbox) {
    stand_still(place, "ok");
}

fn a_worker_that_stood_still_puts_nothing_back(place: &Sandbox) {
    stand_still(place, "fail");
}

fn a_worker_that_stood_still_buries_nothing(place: &Sandbox) {
    stand_still(place, "fatal");
}

fn a_worker_that_stood_still_and_then_panics_settles_nothing(place: &Sandbox) {
    stand_still(place, "panic");
}

fn stand_still(place: &Sandbox, then: &str) {
    // Now and then the server (1.12) forgets the ttr of a connection that sends nothing at all. In
    // that case, try another job.
    let tries = if place.is_on_a_server() { 5 } else { 1 };
    assert!((0..tries).any(|number| wakes_up_too_late(place, &format!("{then}{number}"), then)), "{}", place.record());
}

/// Returns false if no other worker got the job while its first one stood still.
fn wakes_up_too_late(place: &Sandbox, name: &str, then: &str) -> bool {
    let record = |what: &str| place.record().lines().any(|line| line == format!("{name} {what}"));
    let (log_a, log_b) = (format!("{name}-a.log"), format!("{name}-b.log"));
    let a = worker(place, &log_a);
    let body = format!(r#"{{"name": "{name}", "then": "{then}"}}"#);
    assert_eq!(place.run(PERILS, &["publish", "held", "--body", &body]).code, 0);
    until("it runs", || record("begun 1"));
    a.signal("STOP");
    let b = worker(place, &log_b);
    // Where the server may forget the ttr, it is not worth waiting for long.
    let patience = if place.is_on_a_server() { 20 } else { 120 };
    let taken = within(Duration::from_secs(patience), || record("begun 2"));
    a.signal("CONT");
    if taken {
        // It cannot renew the lease, notices that, and logs it.
        until("its heartbeat finds the lease lost", || {
            place.log_named(&log_a).contains("the lease was lost while the job is running: its result will not count")
        });
        release(place, name, 1);
        // Nor can it settle the message, in any way.
        until("it says that its result does not count", || {
            place.log_named(&log_a).contains("the outcome of a run does not count")
        });
        assert!(place.log_named(&log_a).contains("is lost: it may be another worker's now"));
        let message = &listed(place)[0];
        assert_eq!((&message["state"], &message["attempts"]), (&"reserved".into(), &1.into()), "{message}");
    }
    [1, 2].into_iter().for_each(|attempt| release(place, name, attempt));
    // The worker that holds the lease settles it.
    until("it is settled", || listed(place).iter().all(|message| message["state"] == "buried"));
    for buried in listed(place) {
        assert!(!taken && then == "fatal", "{buried}");
        let id = buried["id"].as_str().expect("an id");
        assert_eq!(place.run(PERILS, &["delete", id]).code, 0);
    }
    for worker in [a, b] {
        worker.signal("TERM");
        assert_eq!(worker.end(), 0);
    }
    if taken {
        assert!(record("over 1") && record("over 2") && !record("begun 3"), "{}", place.record());
        let log = place.log_named(&log_b);
        assert!(log.contains("done id=") && !log.contains("does not count"), "{log}");
        let log = place.log_named(&log_a);
        assert!(!log.contains("done id=") && !log.contains("put back") && !log.contains("buried:"), "{log}");
    }
    taken
}

fn release(place: &Sandbox, name: &str, attempt: u32) {
    let file: &Path = &place.path(&format!("{name}.{attempt}"));
    std::fs::write(file, "").expect("written");
}

fn listed(place: &Sandbox) -> Vec<Value> {
    let said = place.run(PERILS, &["list", "--json"]);
    assert_eq!(said.code, 0, "{}", said.err);
    serde_json::from_str(&said.out).expect("JSON")
}

/// The number of renewals of each lease.
type Touches = Arc<Mutex<HashMap<String, u32>>>;

/// A queue that counts the renewals.
#[derive(Debug)]
struct Counting {
    queue: FileQueue,
    touches: Touches,
}

struct CountingConsumer {
    consumer: Box<dyn Consumer>,
    touches: Touches,
}

impl QueueAdapter for Counting {
    fn capabilities(&self) -> Capabilities {
        self.queue.capabilities()
    }
    fn enqueue(&self, messages: Vec<NewMessage>) -> Result<Vec<Enqueued>, QueueError> {
        self.queue.enqueue(messages)
    }
    fn consumer(&self, queues: &[String]) -> Result<Box<dyn Consumer>, QueueError> {
        let consumer = self.queue.consumer(queues)?;
        Ok(Box::new(CountingConsumer { consumer, touches: self.touches.clone() }))
    }
    fn interrupt(&self) {
        self.queue.interrupt();
    }
}

pulpo_tests::inspect_through!(Counting, queue);

impl Consumer for CountingConsumer {
    fn dequeue(&mut self, filter: &DequeueFilter, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        self.consumer.dequeue(filter, wait)
    }
    fn settle(&mut self, lease: &Lease, settlement: &mut Settlement) -> Result<(), QueueError> {
        self.consumer.settle(lease, settlement)
    }
    fn touch(&mut self, leases: &[Lease]) -> Result<Vec<Lease>, QueueError> {
        for lease in leases {
            let touches = &mut *self.touches.lock().expect("no panic");
            *touches.entry(format!("{} {}", lease.id, lease.token)).or_default() += 1;
        }
        self.consumer.touch(leases)
    }
}

/// Returns the number of renewals of each lease of this message so far.
fn each(touches: &Touches, id: &MessageId) -> HashMap<String, u32> {
    let mut touches = touches.lock().expect("no panic").clone();
    touches.retain(|lease, _| lease.split(' ').next() == Some(id.as_str()));
    touches
}

/// Returns the number of renewals of all leases of this message.
fn of(touches: &Touches, id: &MessageId) -> u32 {
    each(touches, id).values().sum()
}

#[test]
fn heartbeats_end_with_their_job_however_it_ends() {
    let clock = ManualClock::at("2026-11-23T09:00:00Z".parse().expect("a time"));
    let touches = Touches::default();
    let queue = FileQueue::memory(false, Arc::new(clock.clone())).expect("a queue");
    let queue = Arc::new(Counting { queue, touches: touches.clone() });
    let mut options = WorkerOptions::default();
    options.concurrency = 2;
    options.handle_signals = false;
    let pulpo = Pulpo::with_queue(queue, options, Arc::new(clock.clone()));
    let worker = pulpo.worker().expect("handlers");
    let stopper = worker.stopper();
    let thread = std::thread::spawn(move || worker.run().expect("a run"));

    let publish = |act: Act| pulpo.publish(act).expect("published").id().expect("an id").clone();
    let beat = |id: &MessageId| {
        let before = of(&touches, id);
        clock.advance(Duration::from_secs(21));
        until("the lease is renewed", || of(&touches, id) > before);
    };
    for what in [What::Block, What::BlockThenFail, What::BlockThenPanic] {
        let key = format!("heartbeat {what:?}");
        let id = publish(Act::new(&key, what));
        until("it runs", || runs(&key) == 1);
        beat(&id);
        beat(&id);
        free(&key);
        let settled =
            || pulpo.queue().peek(&id).expect("the queue answers").is_none_or(|message| message.attempts == 1);
        until("its run is settled", settled);
        let renewed = each(&touches, &id);
        // The monitor renews the lease of another job several times.
        let other = format!("beside {what:?}");
        let other_id = publish(Act::new(&other, What::Block));
        until("the other runs", || runs(&other) == 1);
        (0..6).for_each(|_| beat(&other_id));
        // Later runs have other leases.
        let mut after = each(&touches, &id);
        after.retain(|lease, _| renewed.contains_key(lease));
        assert_eq!(after, renewed, "after the end of {what:?}");
        free(&other);
    }

    // A handler that exceeded its timeout runs on, but its lease is not renewed.
    let key = "heartbeat of a timeout";
    let sent = pulpo.publish(Hurry(Act::new(key, What::Block))).expect("published");
    let id = sent.id().expect("an id");
    until("it runs", || runs(key) == 1);
    beat(id);
    clock.advance(Duration::from_secs(10));
    until("it has timed out", || {
        pulpo.queue().peek(id).expect("the queue answers").is_some_and(|message| message.attempts == 1)
    });
    let renewed = of(&touches, id);
    let due = pulpo.queue().peek(id).expect("the queue answers").and_then(|message| message.until).expect("a time");
    while clock.now() + chrono::TimeDelta::seconds(1) < due {
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(of(&touches, id), renewed);
    free(key);
    stopper.stop();
    thread.join().expect("no panic");
}

const TTR: Duration = Duration::from_secs(60);

/// A queue on disk that another process keeps locked, as a process does that stands still in the
/// middle of a write.
struct Locked {
    clock: ManualClock,
    folder: tempfile::TempDir,
}

impl Locked {
    fn new() -> Self {
        let clock = ManualClock::at("2026-11-23T09:00:00Z".parse().expect("a time"));
        let locked = Self { clock, folder: tempfile::tempdir().expect("a folder") };
        let mut message = NewMessage::new("pulpo", "x", "{}");
        message.ttr = TTR;
        locked.process().enqueue(vec![message]).expect("published");
        locked
    }

    fn process(&self) -> FileQueue {
        FileQueue::open(self.folder.path(), false, Arc::new(self.clock.clone())).expect("a queue")
    }

    /// Runs `write`, which has to wait for two ttrs. Returns its result.
    fn while_all_wait<R: Send>(&self, write: impl FnOnce() -> R + Send) -> R {
        let lock = rusqlite::Connection::open(self.folder.path().join("queue.db")).expect("opened");
        lock.execute_batch("BEGIN IMMEDIATE").expect("locked");
        std::thread::scope(|scope| {
            let writing = scope.spawn(write);
            assert!(!within(Duration::from_millis(300), || writing.is_finished()), "it waits");
            self.clock.advance(2 * TTR);
            lock.execute_batch("COMMIT").expect("unlocked");
            writing.join().expect("no panic")
        })
    }
}

fn consumer(process: &FileQueue) -> Box<dyn Consumer> {
    process.consumer(&["pulpo".to_owned()]).expect("a consumer")
}

fn take(consumer: &mut Box<dyn Consumer>) -> Option<Delivery> {
    consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue")
}

#[test]
fn a_lease_lasts_from_when_it_is_given() {
    let locked = Locked::new();
    let (one, other) = (locked.process(), locked.process());
    let (mut busy, mut idle) = (consumer(&one), consumer(&other));
    let delivery = locked.while_all_wait(|| take(&mut busy)).expect("the message");
    assert!(take(&mut idle).is_none(), "it has a ttr before it");
    busy.settle(&delivery.lease, &mut Settlement::commit()).expect("still its own");
}

#[test]
fn a_lease_is_renewed_from_when_that_could_be_done() {
    let locked = Locked::new();
    let (one, other) = (locked.process(), locked.process());
    let (mut busy, mut idle) = (consumer(&one), consumer(&other));
    let delivery = take(&mut busy).expect("the message");
    locked.while_all_wait(|| touch(&mut *busy, &delivery.lease)).expect("renewed");
    assert!(take(&mut idle).is_none(), "it has a ttr before it");
    busy.settle(&delivery.lease, &mut Settlement::commit()).expect("still its own");
}

#[test]
fn leases_that_ended_while_all_had_to_wait_are_spared_for_two_heartbeats() {
    let locked = Locked::new();
    let (one, other) = (locked.process(), locked.process());
    let (mut busy, mut idle) = (consumer(&one), consumer(&other));
    let delivery = take(&mut busy).expect("the message");
    assert!(locked.while_all_wait(|| take(&mut idle)).is_none(), "its worker could not renew it");
    locked.clock.advance(TTR / 3);
    assert!(take(&mut idle).is_none());
    // A worker that does not renew it by then is dead.
    locked.clock.advance(TTR / 3);
    let again = take(&mut idle).expect("the message");
    assert_eq!((again.lease.id, again.attempts), (delivery.lease.id, 1));
}
