//! Numbers over time: each event is counted once.

use std::time::{Duration, Instant};

use chrono::TimeDelta;

use super::harness::Harness;
use super::steps::{ConsumerExt as _, HarnessExt as _, QUEUE, SECOND, message, queue, ttr};
use crate::queue::{
    Activity, ActivityFilter, ActivityLog, ActivityStep, DequeueFilter, Filter, MessageState, Settlement,
};

/// How long it may take until an event can be read.
const DEADLINE: Duration = Duration::from_secs(60);

/// Returns the part that keeps numbers over time, if this queue has one.
fn log(harness: &dyn Harness) -> Option<&dyn ActivityLog> {
    let log = harness.queue().activity();
    assert_eq!(log.is_some(), harness.queue().capabilities().activity, "the capability says whether there is one");
    log
}

/// Published, done, failed, buried and expired in the last hour.
type Numbers = [u64; 5];

fn numbers(log: &dyn ActivityLog, asked: &ActivityFilter) -> Numbers {
    let mut sum = Activity::none(asked.since);
    let steps = log.read_activity(asked).expect("read");
    assert!(steps.windows(2).all(|two| two[0].at < two[1].at), "each step once, the oldest first: {steps:?}");
    assert!(
        steps.iter().all(|step| step.at == asked.step.begin_of(step.at)),
        "steps begin at full minutes or hours: {steps:?}"
    );
    if asked.queue.is_none() && asked.request_type.is_none() {
        let knows = steps.iter().map(|step| step.waiting.is_some());
        assert!(
            knows.into_iter().all(|knows| knows == log.knows_waiting()),
            "`waiting` is known as `knows_waiting` says: {steps:?}"
        );
    }
    steps.iter().for_each(|step| sum.add(step));
    [sum.published, sum.done, sum.failed, sum.buried, sum.expired]
}

/// Waits for these numbers, which may be written a moment later.
#[track_caller]
fn expect(log: &dyn ActivityLog, asked: &ActivityFilter, expected: Numbers) {
    let end = Instant::now() + DEADLINE;
    loop {
        let found = numbers(log, asked);
        if found == expected {
            return;
        }
        assert!(Instant::now() < end, "expected {expected:?}, got {found:?} for {asked:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn last_hour(harness: &dyn Harness, step: ActivityStep) -> ActivityFilter {
    ActivityFilter::since(step, harness.now() - TimeDelta::hours(1))
}

pub(super) fn a_queue_keeps_activity_or_says_that_it_does_not(harness: &dyn Harness) {
    let Some(log) = log(harness) else { return };
    for step in ActivityStep::ALL {
        assert_eq!(numbers(log, &last_hour(harness, step)), [0; 5], "nothing has happened yet");
    }
}

pub(super) fn each_event_is_counted_once(harness: &dyn Harness) {
    let Some(log) = log(harness) else { return };
    for name in ["done", "retried", "buried", "expired"] {
        harness.put(message(name));
    }
    harness.queue().enqueue(vec![message("late"), queue(message("elsewhere"), "elsewhere")]).expect("enqueue");
    let mut consumer = harness.consumer();
    assert_eq!(consumer.work(), "done");
    for (counted, settlement) in [
        (true, Settlement::rollback(Duration::ZERO, "again", true)),
        (false, Settlement::rollback(Duration::ZERO, "stopped", false)),
    ] {
        let held = consumer.take();
        let mut settlement = settlement;
        consumer.settle(&held.lease, &mut settlement).unwrap_or_else(|error| panic!("{error}, of counted: {counted}"));
    }
    assert_eq!(consumer.work(), "retried");
    for mut settlement in [Settlement::bury("for good", true), Settlement::Expire] {
        let held = consumer.take();
        consumer.settle(&held.lease, &mut settlement).expect("settle");
        // Too late: it has been settled, and is counted once.
        consumer.settle(&held.lease, &mut settlement).expect_err("its lease is over");
    }
    let held = consumer.take();
    let mut deferred = Settlement::deferrable_commit();
    consumer.settle(&held.lease, &mut deferred).expect("commit");
    consumer.flush().expect("flush");
    for step in ActivityStep::ALL {
        let all = last_hour(harness, step);
        expect(log, &all, [6, 3, 1, 1, 1]);
        expect(log, &all.clone().queue(QUEUE), [5, 3, 1, 1, 1]);
        expect(log, &all.clone().queue("elsewhere").request_type("type"), [1, 0, 0, 0, 0]);
        expect(log, &all.clone().request_type("another"), [0; 5]);
    }
}

pub(super) fn a_cancelled_job_does_not_count_as_a_failure(harness: &dyn Harness) {
    let Some(log) = log(harness) else { return };
    if !harness.queue().capabilities().cancels {
        return;
    }
    let running = harness.put(message("runs"));
    let mut consumer = harness.consumer();
    let held = consumer.take();
    harness.put(message("waits"));
    harness.queue().cancel(&Filter::all()).expect("cancelled");
    consumer.settle(&held.lease, &mut Settlement::bury("cancelled", false)).expect_err("it is buried already");
    assert_eq!(harness.peek(&running).state, MessageState::Buried);
    // Something else, so that the numbers are there.
    harness.put(message("fails"));
    let held = consumer.take();
    consumer.settle(&held.lease, &mut Settlement::bury("for good", true)).expect("settle");
    expect(log, &last_hour(harness, ActivityStep::Minute), [3, 0, 0, 1, 0]);
}

pub(super) fn follow_ups_of_a_job_are_counted_as_published(harness: &dyn Harness) {
    let Some(log) = log(harness) else { return };
    harness.put(message("first"));
    let mut consumer = harness.consumer();
    let held = consumer.take();
    let mut done = Settlement::commit_with(vec![message("second"), message("third")]);
    consumer.settle(&held.lease, &mut done).expect("commit");
    expect(log, &last_hour(harness, ActivityStep::Minute), [3, 1, 0, 0, 0]);
}

pub(super) fn a_run_that_ended_with_its_worker_is_counted_as_failed(harness: &dyn Harness) {
    let Some(log) = log(harness) else { return };
    harness.put(ttr(message("x"), SECOND));
    let mut consumer = harness.consumer();
    consumer.take();
    harness.pass(SECOND * 2);
    let end = Instant::now() + DEADLINE;
    while harness.consumer().dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").is_none() {
        assert!(Instant::now() < end, "the lease ends");
        std::thread::sleep(Duration::from_millis(50));
    }
    expect(log, &last_hour(harness, ActivityStep::Minute), [1, 0, 1, 0, 0]);
}

pub(super) fn earlier_events_are_left_out(harness: &dyn Harness) {
    let Some(log) = log(harness) else { return };
    harness.put(message("x"));
    expect(log, &last_hour(harness, ActivityStep::Hour), [1, 0, 0, 0, 0]);
    for step in ActivityStep::ALL {
        let later = ActivityFilter::since(step, harness.now() + TimeDelta::hours(2));
        assert_eq!(numbers(log, &later), [0; 5], "nothing has happened since {}", later.since);
    }
}
