//! The wall clock jumps, the year has its odd hours, and no effect is larger than the jump itself.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use pulpo::clock::{Clock as _, ManualClock};
use pulpo::queue::file::FileQueue;
use pulpo::queue::{
    Consumer, Delivery, DequeueFilter, Filter, Inspection, MessageState, NewMessage, QueueAdapter as _, QueueError,
    Settlement,
};
use pulpo_tests::program::Sandbox;
use pulpo_tests::touch;

const WORKER: &str = env!("CARGO_BIN_EXE_worker");

const SECOND: Duration = Duration::from_secs(1);

/// How long leases last in these tests.
const TTR: Duration = Duration::from_secs(60);

/// A queue on disk to which several processes are connected, and the clock of their machine.
struct Machine {
    clock: ManualClock,
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let clock = ManualClock::at("2026-11-23T09:00:00Z".parse().expect("a time"));
        Self { clock, folder: tempfile::tempdir().expect("a folder") }
    }

    fn process(&self) -> FileQueue {
        FileQueue::open(self.folder.path(), false, Arc::new(self.clock.clone())).expect("a queue")
    }

    fn publish(&self, delay: Option<TimeDelta>) {
        let mut message = NewMessage::new("pulpo", "x", "{}");
        message.ttr = TTR;
        message.delay = delay.map(|delay| self.clock.now() + delay);
        self.process().enqueue(vec![message]).expect("published");
    }
}

fn consumer(process: &FileQueue) -> Box<dyn Consumer> {
    let mut consumer = process.consumer(&["pulpo".to_owned()]).expect("a consumer");
    // The consumer has seen the time before it jumps.
    assert!(take(&mut consumer).is_none());
    consumer
}

fn take(consumer: &mut Box<dyn Consumer>) -> Option<Delivery> {
    consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue")
}

#[track_caller]
fn taken(consumer: &mut Box<dyn Consumer>) -> Delivery {
    take(consumer).expect("a message")
}

#[test]
fn a_jump_forward_leaves_the_leases_of_live_workers_alone() {
    let machine = Machine::new();
    let (one, other) = (machine.process(), machine.process());
    let (mut busy, mut idle) = (consumer(&one), consumer(&other));
    machine.publish(None);
    let delivery = taken(&mut busy);
    machine.clock.jump(TimeDelta::hours(1));
    assert!(take(&mut idle).is_none() && take(&mut busy).is_none(), "both know of the jump");
    // The time of its next heartbeat.
    machine.clock.advance(TTR / 3);
    assert!(take(&mut idle).is_none());
    touch(&mut *busy, &delivery.lease).expect("still its own");
    machine.clock.advance(TTR / 2);
    assert!(take(&mut idle).is_none());
    busy.settle(&delivery.lease, &mut Settlement::commit()).expect("still its own");
    assert!(take(&mut idle).is_none(), "it ran once");
}

#[test]
fn several_jumps_forward_leave_the_leases_of_live_workers_alone() {
    let machine = Machine::new();
    let (one, other) = (machine.process(), machine.process());
    let (mut busy, mut idle) = (consumer(&one), consumer(&other));
    machine.publish(None);
    let delivery = taken(&mut busy);
    for hours in [1, 2, 1] {
        machine.clock.jump(TimeDelta::hours(hours));
        assert!(take(&mut idle).is_none(), "it knows of the jump");
        // Less than a heartbeat.
        machine.clock.advance(TTR / 10);
        assert!(take(&mut idle).is_none());
    }
    machine.clock.advance(TTR / 30);
    touch(&mut *busy, &delivery.lease).expect("still its own");
    busy.settle(&delivery.lease, &mut Settlement::commit()).expect("still its own");
    assert!(take(&mut idle).is_none(), "it ran once");
}

#[test]
fn a_jump_forward_keeps_the_message_of_a_frozen_worker_no_longer_than_its_ttr() {
    let machine = Machine::new();
    let other = machine.process();
    let mut idle = consumer(&other);
    machine.publish(None);
    let frozen = machine.process();
    drop(taken(&mut frozen.consumer(&["pulpo".to_owned()]).expect("a consumer")));
    machine.clock.jump(TimeDelta::hours(1));
    assert!(take(&mut idle).is_none());
    machine.clock.advance(TTR * 2 / 3);
    assert_eq!(taken(&mut idle).attempts, 1);
}

#[test]
fn a_worker_that_starts_after_a_jump_forward_may_run_a_job_twice_and_the_old_one_learns_it() {
    let machine = Machine::new();
    let one = machine.process();
    let mut busy = consumer(&one);
    machine.publish(None);
    let old = taken(&mut busy);
    machine.clock.jump(TimeDelta::hours(1));
    let newcomer = machine.process();
    let mut fresh = newcomer.consumer(&["pulpo".to_owned()]).expect("a consumer");
    let new = taken(&mut fresh);
    assert!(matches!(touch(&mut *busy, &old.lease), Err(QueueError::LeaseLost { .. })));
    assert!(matches!(busy.settle(&old.lease, &mut Settlement::commit()), Err(QueueError::LeaseLost { .. })));
    fresh.settle(&new.lease, &mut Settlement::commit()).expect("its own");
}

#[test]
fn a_jump_back_keeps_the_message_of_a_frozen_worker_no_longer_than_its_ttr() {
    for comes_later in [false, true] {
        let machine = Machine::new();
        let other = machine.process();
        let mut idle = consumer(&other);
        machine.publish(None);
        let frozen = machine.process();
        drop(taken(&mut frozen.consumer(&["pulpo".to_owned()]).expect("a consumer")));
        machine.clock.jump(TimeDelta::hours(-1));
        let newcomer = machine.process();
        if comes_later {
            idle = consumer(&newcomer);
        }
        assert!(take(&mut idle).is_none());
        machine.clock.advance(TTR);
        assert_eq!(taken(&mut idle).attempts, 1);
    }
}

#[test]
fn a_jump_back_does_not_end_the_leases_of_live_workers() {
    let machine = Machine::new();
    let (one, other) = (machine.process(), machine.process());
    let (mut busy, mut idle) = (consumer(&one), consumer(&other));
    machine.publish(None);
    let delivery = taken(&mut busy);
    machine.clock.jump(TimeDelta::hours(-1));
    for _ in 0..9 {
        assert!(take(&mut idle).is_none());
        machine.clock.advance(TTR / 3);
        touch(&mut *busy, &delivery.lease).expect("still its own");
    }
    busy.settle(&delivery.lease, &mut Settlement::commit()).expect("still its own");
}

#[test]
fn a_small_step_of_the_clock_is_not_a_jump() {
    let machine = Machine::new();
    let (one, other) = (machine.process(), machine.process());
    let (mut busy, mut idle) = (consumer(&one), consumer(&other));
    machine.publish(None);
    let delivery = taken(&mut busy);
    machine.clock.advance(TTR - SECOND / 2);
    assert!(take(&mut idle).is_none());
    machine.clock.jump(TimeDelta::milliseconds(500));
    let again = taken(&mut idle);
    assert_eq!((again.lease.id, again.attempts), (delivery.lease.id, 1));
}

#[test]
fn a_delay_is_over_when_the_clock_says_so_and_never_before() {
    let machine = Machine::new();
    let queue = machine.process();
    let mut consumer = consumer(&queue);
    machine.publish(Some(TimeDelta::minutes(90)));
    machine.clock.jump(TimeDelta::hours(1));
    assert!(take(&mut consumer).is_none());
    machine.clock.advance(Duration::from_secs(30 * 60) - SECOND);
    assert!(take(&mut consumer).is_none());
    machine.clock.advance(SECOND);
    assert!(take(&mut consumer).is_some(), "early by the jump, not by more");

    machine.publish(Some(TimeDelta::minutes(30)));
    machine.clock.jump(TimeDelta::hours(-1));
    machine.clock.advance(Duration::from_secs(90 * 60) - SECOND);
    // The lease of the first message ended long ago.
    assert_eq!(taken(&mut consumer).lease.id, "1");
    assert!(take(&mut consumer).is_none());
    machine.clock.advance(SECOND);
    assert!(take(&mut consumer).is_some_and(|delivery| delivery.lease.id == "2"), "late by the jump, not by more");
}

#[test]
fn a_worker_that_waits_hears_of_a_jump() {
    let machine = Machine::new();
    let queue = machine.process();
    let mut waiting = consumer(&queue);
    machine.publish(Some(TimeDelta::minutes(60)));
    std::thread::scope(|scope| {
        let waiting =
            scope.spawn(move || waiting.dequeue(&DequeueFilter::all(), Duration::from_secs(7200)).expect("dequeue"));
        machine.clock.jump(TimeDelta::hours(1));
        assert!(waiting.join().expect("no panic").is_some());
    });
}

/// While nothing could be written, no worker could renew a lease.
#[test]
fn an_outage_leaves_the_leases_of_live_workers_alone() {
    let machine = Machine::new();
    let (one, other) = (machine.process(), machine.process());
    let (mut busy, mut idle) = (consumer(&one), consumer(&other));
    machine.publish(None);
    let delivery = taken(&mut busy);
    let (file, away) = (machine.folder.path().join("queue.db"), machine.folder.path().join("away"));
    std::fs::rename(&file, &away).expect("moved");
    let error = touch(&mut *busy, &delivery.lease).expect_err("refused");
    assert!(error.is_transient(), "{error}");
    assert!(idle.dequeue(&DequeueFilter::all(), Duration::ZERO).is_err());
    machine.clock.advance(2 * TTR);
    assert!(idle.dequeue(&DequeueFilter::all(), Duration::ZERO).is_err());
    std::fs::rename(&away, &file).expect("moved");
    assert!(take(&mut idle).is_none());
    machine.clock.advance(TTR / 3);
    assert!(take(&mut idle).is_none());
    busy.settle(&delivery.lease, &mut Settlement::commit()).expect("still its own");
}

/// A time without a zone is read as the worker's local time.
#[test]
fn daylight_saving_never_makes_a_time_come_early() {
    let place = Sandbox::new();
    for (delay, expected) in [
        // 2100-03-28, 02:30 does not exist; it is counted on from 01:30.
        ("2100-03-28 02:30:00", "2100-03-28T01:30:00Z"),
        // 2100-10-31, 02:30 occurs twice; the later one counts.
        ("2100-10-31 02:30:00", "2100-10-31T01:30:00Z"),
        ("2100-07-01 12:00:00.25", "2100-07-01T10:00:00.250Z"),
        ("2100-07-01 12:00:00+00:00", "2100-07-01T12:00:00Z"),
        // A leap second is the end of its minute.
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
    ] {
        let text = format!(r#"{{"header":{{"request_type":"record","delay":{delay:?}}},"body":{{"number":1}}}}"#);
        let clock = Arc::new(pulpo::clock::SystemClock::new());
        let queue = FileQueue::open(&place.path("pulpo-data"), false, clock).expect("a queue");
        let id = queue.enqueue(vec![NewMessage::new("pulpo", "record", text)]).expect("published").remove(0).id;
        let worked = place
            .command(WORKER, &["--set", "sleep_duration=100ms"])
            .env("TZ", "Europe/Berlin")
            .env("PULPO_SHUTDOWN_AFTER_NUMBER_OF_EMPTY_ITERATIONS", "1")
            .output()
            .expect("started");
        assert!(worked.status.success());
        let expected: DateTime<Utc> = expected.parse().expect("a time");
        match queue.peek(&id).expect("the queue answers") {
            // The worker has put it back until its delay is over.
            Some(message) => {
                assert_eq!(message.state, MessageState::Delayed);
                let early = expected - message.until.expect("a time");
                assert!(early <= TimeDelta::zero() && early > TimeDelta::seconds(-5), "{delay}: {early}");
            }
            None => assert!(expected < Utc::now(), "{delay} was run"),
        }
        queue.delete(&Filter::all().id(id)).expect("deleted");
    }
}
