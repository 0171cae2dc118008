use std::path::Path;

use chrono::TimeDelta;

use super::super::FileQueue;
use super::super::leases::process_lock::{ProcessLock, RunRecord, new_id};
use super::*;
use crate::clock::{ManualClock, SystemClock};
use crate::queue::prefetch::{LeaseRequest, buffer::fetch};
use crate::queue::{Filter, Inspection as _, QueueAdapter as _};

type BoxedConsumer = Box<dyn Consumer>;

fn open(folder: &Path) -> FileQueue {
    FileQueue::open(folder, false, Arc::new(SystemClock::new())).expect("a queue")
}

fn consumer(queue: &FileQueue) -> BoxedConsumer {
    queue.consumer(&["pulpo".to_owned()]).expect("a consumer")
}

fn publish(queue: &FileQueue, count: usize) {
    queue.enqueue(vec![NewMessage::new("pulpo", "job", "{}"); count]).expect("published");
}

fn take(consumer: &mut BoxedConsumer) -> Delivery {
    consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("a message")
}

fn write(queue: &FileQueue, statement: &'static str) {
    queue.0.writer.write(Durability::Lazy, move |connection| connection.execute_batch(statement)).expect("written");
}

#[test]
fn a_commit_that_fails_for_good_hides_no_message_and_takes_no_other_commit_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let queue = open(folder.path());
    publish(&queue, 4);
    write(
        &queue,
        "CREATE TRIGGER stays BEFORE DELETE ON message WHEN old.id = 2 BEGIN SELECT raise(ABORT, 'it stays'); END",
    );
    let mut consumer = consumer(&queue);
    for _ in 0..3 {
        let lease = take(&mut consumer).lease;
        consumer.settle(&lease, &mut Settlement::deferrable_commit()).expect("put off");
    }
    assert_eq!(take(&mut consumer).lease.id, "4");
    consumer.flush().expect("nothing is left to be done");
    let left: Vec<_> = queue.list(&Filter::all()).expect("a list").into_iter().map(|one| one.id).collect();
    assert_eq!(left, ["4", "2"]);
    let lost: Vec<_> = consumer.take_lost_leases().into_iter().map(|lease| lease.id).collect();
    assert_eq!(lost, ["2"]);
}

#[test]
fn a_consumer_hears_of_its_own_lost_leases_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let queue = open(folder.path());
    publish(&queue, 2);
    let (mut first, mut second) = (consumer(&queue), consumer(&queue));
    let (lost, kept) = (take(&mut first).lease, take(&mut second).lease);
    write(&queue, "UPDATE message SET lease = 'another-1' WHERE id = 1");
    first.settle(&lost, &mut Settlement::deferrable_commit()).expect("put off");
    second.settle(&kept, &mut Settlement::deferrable_commit()).expect("put off");
    second.flush().expect("all are settled");
    assert_eq!(second.take_lost_leases(), []);
    assert_eq!(first.take_lost_leases(), [lost]);
    assert_eq!(first.take_lost_leases(), [], "each is reported once");
}

#[test]
fn a_job_of_a_batch_that_is_done_does_not_look_as_if_it_ran() {
    let folder = tempfile::tempdir().expect("a folder");
    let queue = open(folder.path());
    publish(&queue, 4);
    let mut consumer = consumer(&queue);
    let leases: Vec<_> = (0..4).map(|_| take(&mut consumer).lease).collect();
    // The view of another process if this one died now.
    let seen = || {
        let other = ProcessLock::new(new_id().expect("an id"), Some(folder.path()));
        let record = RunRecord::of(&other, Some(folder.path()), queue.0.process_lock.id());
        let counts = |lease: &Lease| {
            let (_, number) = lease.token.rsplit_once('-').expect("a token");
            record.counts(Run {
                message: lease.id.as_str().parse().expect("a number"),
                lease: number.parse().expect("a number"),
            })
        };
        leases.iter().map(counts).collect::<Vec<_>>()
    };
    assert_eq!(seen(), [true; 4]);
    for (done, lease) in leases.iter().enumerate().take(3) {
        consumer.settle(lease, &mut Settlement::deferrable_commit()).expect("put off");
        let expected: Vec<_> = (0..4).map(|n| n > done).collect();
        assert_eq!(seen(), expected);
    }
    consumer.settle(&leases[3], &mut Settlement::deferrable_commit()).expect("put off");
    consumer.flush().expect("settled");
    assert_eq!(seen(), [false; 4]);
}

fn fetch_any(queue: &FileQueue) -> Result<Found<Vec<Leased<Run>>>, super::super::storage::error::SqliteError> {
    let request =
        LeaseRequest { queues: ["pulpo".to_owned()].into(), filter: DequeueFilter::all(), at_once: 1, ahead: 0 };
    fetch(&queue.0.prefetch.deferred, &queue.0, request, true)
}

#[test]
fn a_fetch_that_finds_nothing_takes_no_lock_that_others_need() {
    let folder = tempfile::tempdir().expect("a folder");
    let queue = open(folder.path());
    let mut consumer = consumer(&queue);
    assert!(consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").is_none());
    // Another process has begun to write, and does not finish.
    let other = Connection::open(folder.path().join("queue.db")).expect("opened");
    other.execute_batch("BEGIN IMMEDIATE").expect("begun");
    let found = fetch_any(&queue).expect("the queue answers");
    assert!(matches!(found, Found::Nothing(nothing) if nothing.next.is_none()));
    other.execute_batch("ROLLBACK").expect("ended");
    // Messages that are ready or due, or whose leases have ended, are found.
    for statement in [
        "UPDATE message SET state = 0",
        "UPDATE message SET state = 1, due = 5; UPDATE kind SET ready = 0, delayed = 1",
        "UPDATE message SET state = 2, lease_ends = 5, lease = 'x-1'; UPDATE kind SET ready = 0",
    ] {
        publish(&queue, 1);
        write(&queue, statement);
        let found = fetch_any(&queue).expect("the queue answers");
        assert!(matches!(found, Found::Leased(_)), "{statement}");
        queue.delete(&Filter::all()).expect("deleted");
        write(&queue, "DELETE FROM message; DELETE FROM kind");
    }
}

#[test]
fn a_stop_waits_shortly_for_another_process_that_writes() {
    let folder = tempfile::tempdir().expect("a folder");
    let queue = open(folder.path());
    publish(&queue, 3);
    let mut consumer = consumer(&queue);
    let leases: Vec<_> = (0..3).map(|_| take(&mut consumer).lease).collect();
    let other = Connection::open(folder.path().join("queue.db")).expect("opened");
    other.execute_batch("BEGIN IMMEDIATE").expect("begun");
    queue.interrupt();
    let started = std::time::Instant::now();
    for lease in &leases {
        let error = consumer
            .settle(lease, &mut Settlement::rollback(Duration::ZERO, "stopped", false))
            .expect_err("it is locked");
        assert!(error.is_transient());
    }
    let took = started.elapsed();
    // A call that loses something waits for ten seconds.
    assert!(took < Duration::from_secs(9), "{took:?}");
    other.execute_batch("ROLLBACK").expect("ended");
    for lease in &leases {
        consumer.settle(lease, &mut Settlement::rollback(Duration::ZERO, "stopped", false)).expect("given back");
    }
}

#[test]
fn a_message_left_to_others_says_since_when_until_it_is_settled() {
    let clock = ManualClock::at("2026-11-23T09:00:00Z".parse().expect("a time"));
    let queue = FileQueue::memory(false, Arc::new(clock.clone())).expect("a queue");
    publish(&queue, 1);
    let mut consumer = consumer(&queue);
    let start = crate::clock::Clock::now(&clock);
    let minutes = |minutes| start + TimeDelta::minutes(minutes);
    let mut next = |settle: &dyn Fn(&mut BoxedConsumer, &Lease)| {
        clock.advance(Duration::from_secs(60));
        let delivery = take(&mut consumer);
        settle(&mut consumer, &delivery.lease);
        delivery.left_since
    };
    let leave = |consumer: &mut BoxedConsumer, lease: &Lease| {
        consumer.settle(lease, &mut Settlement::leave_to_others(Duration::from_secs(1), "unknown")).expect("left");
    };
    let fail = |consumer: &mut BoxedConsumer, lease: &Lease| {
        consumer.settle(lease, &mut Settlement::rollback(Duration::from_secs(1), "failed", true)).expect("put back");
    };
    let vanish = |_: &mut BoxedConsumer, _: &Lease| {};
    let bury = |consumer: &mut BoxedConsumer, lease: &Lease| {
        consumer.settle(lease, &mut Settlement::bury("failed", true)).expect("buried");
        assert_eq!(queue.kick(&Filter::all()).expect("kicked"), 1);
    };
    assert_eq!(next(&fail), None);
    assert_eq!(next(&leave), None, "this is the first look");
    assert_eq!(next(&leave), Some(minutes(2)));
    assert_eq!(next(&fail), Some(minutes(2)));
    assert_eq!(next(&leave), None);
    assert_eq!(next(&vanish), Some(minutes(5)));
    assert_eq!(next(&leave), None, "its worker died");
    assert_eq!(next(&bury), Some(minutes(7)));
    assert_eq!(next(&leave), None, "it was kicked");
}
