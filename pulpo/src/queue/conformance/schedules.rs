//! Schedules: one worker steps an entry, together with the messages that it publishes.

use std::sync::Mutex;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::harness::Harness;
use super::steps::{ConsumerExt as _, HarnessExt as _, message};
use crate::keys::{OnDuplicate, UniqueFor};
use crate::queue::{
    DequeueFilter, Filter, MessageId, MessageState, Occurrence, QueueError, ScheduleStep, ScheduleStore, Settlement,
    Stepped, Unique,
};

/// Returns the part that keeps schedules, if this queue has one.
fn store(harness: &dyn Harness) -> Option<&dyn ScheduleStore> {
    let store = harness.queue().schedules();
    assert_eq!(store.is_some(), harness.queue().capabilities().schedules, "the capability says whether there is one");
    store
}

fn whole_second(harness: &dyn Harness) -> DateTime<Utc> {
    DateTime::from_timestamp(harness.now().timestamp(), 0).expect("a time of now")
}

/// Creates an entry that is settled until this time.
fn begin(store: &dyn ScheduleStore, text: &str, settled: DateTime<Utc>) {
    let begun = store.step_schedule(&ScheduleStep::new("report", text, None, settled)).expect("step");
    assert_eq!(begun, Stepped::Done(Vec::new()));
}

/// Creates a step over these occurrences, which settles the entry until the last one.
fn step(text: &str, from: DateTime<Utc>, occurrences: &[DateTime<Utc>]) -> ScheduleStep {
    let to = occurrences.last().copied().unwrap_or(from);
    let mut step = ScheduleStep::new("report", text, Some(from), to);
    step.occurrences = occurrences.iter().map(|at| Occurrence::new(*at, message(&at.to_rfc3339()))).collect();
    step
}

fn take_step(store: &dyn ScheduleStore, step: &ScheduleStep) -> Vec<Option<MessageId>> {
    match store.step_schedule(step).expect("step") {
        Stepped::Done(ids) => ids,
        Stepped::Beaten => panic!("expected the step to be taken"),
    }
}

fn count(harness: &dyn Harness) -> usize {
    harness.queue().list(&Filter::all()).expect("list").len()
}

pub(super) fn a_queue_keeps_schedules_or_says_that_it_does_not(harness: &dyn Harness) {
    let Some(store) = store(harness) else { return };
    let schedules = store.read_schedules().expect("read");
    assert_eq!((schedules.entries, schedules.paused), (Vec::new(), Vec::new()));
    let apart = (schedules.now - harness.now()).num_seconds().abs();
    assert!(apart <= 5, "expected the time of the queue, got one {apart} s apart");
}

pub(super) fn a_step_settles_and_publishes(harness: &dyn Harness) {
    let Some(store) = store(harness) else { return };
    let start = whole_second(harness);
    begin(store, "every 1s", start);
    let at = [start + TimeDelta::seconds(1), start + TimeDelta::seconds(2)];
    let mut both = step("every 1s", start, &at);
    both.overlap = true;
    both.next = Some(start + TimeDelta::seconds(3));
    let ids = take_step(store, &both);
    let schedules = store.read_schedules().expect("read");
    let entry = schedules.entry("report", "every 1s").expect("the entry");
    assert_eq!((entry.settled, entry.next, entry.last), (at[1], both.next, Some(at[1])));
    assert_eq!(entry.message, ids[1]);
    let mut consumer = harness.consumer();
    assert_eq!([consumer.work(), consumer.work()], at.map(|at| at.to_rfc3339()));
    consumer.nothing();
}

pub(super) fn an_entry_is_made_once(harness: &dyn Harness) {
    let Some(store) = store(harness) else { return };
    let start = whole_second(harness);
    begin(store, "every 1s", start);
    let again = ScheduleStep::new("report", "every 1s", None, start + TimeDelta::seconds(60));
    assert_eq!(store.step_schedule(&again).expect("step"), Stepped::Beaten);
    // Other entries are independent.
    begin(store, "every 2s", start);
    let mut other = ScheduleStep::new("other", "every 1s", None, start);
    other.next = Some(start);
    assert_eq!(store.step_schedule(&other).expect("step"), Stepped::Done(Vec::new()));
    let schedules = store.read_schedules().expect("read");
    let known: Vec<_> = schedules.entries.iter().map(|entry| (entry.name.as_str(), entry.text.as_str())).collect();
    assert_eq!(known, [("other", "every 1s"), ("report", "every 1s"), ("report", "every 2s")]);
    assert_eq!(schedules.entry("report", "every 1s").map(|entry| entry.settled), Some(start));
}

pub(super) fn a_step_that_another_worker_took_does_nothing(harness: &dyn Harness) {
    let Some(store) = store(harness) else { return };
    let start = whole_second(harness);
    let at = start + TimeDelta::seconds(1);
    // Also for an entry that does not exist.
    assert_eq!(store.step_schedule(&step("every 1s", start, &[at])).expect("step"), Stepped::Beaten);
    begin(store, "every 1s", start);
    for wrong in [start - TimeDelta::microseconds(1), at] {
        assert_eq!(store.step_schedule(&step("every 1s", wrong, &[at])).expect("step"), Stepped::Beaten);
    }
    assert_eq!(count(harness), 0);
    take_step(store, &step("every 1s", start, &[at]));
    assert_eq!(store.step_schedule(&step("every 1s", start, &[at])).expect("step"), Stepped::Beaten);
    assert_eq!(count(harness), 1);
}

pub(super) fn one_of_many_workers_publishes_an_occurrence(harness: &dyn Harness) {
    let Some(store) = store(harness) else { return };
    let start = whole_second(harness);
    begin(store, "every 1s", start);
    let published = Mutex::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let schedules = store.read_schedules().expect("read");
                    let settled = schedules.entry("report", "every 1s").expect("the entry").settled;
                    if settled >= start + TimeDelta::seconds(10) {
                        return;
                    }
                    let mut next = step("every 1s", settled, &[settled + TimeDelta::seconds(1)]);
                    next.overlap = true;
                    if let Stepped::Done(ids) = store.step_schedule(&next).expect("step") {
                        *published.lock().expect("no panic") += ids.len();
                    }
                }
            });
        }
    });
    assert_eq!(*published.lock().expect("no panic"), 10);
    assert_eq!(count(harness), 10);
}

pub(super) fn an_occurrence_is_left_out_while_the_one_before_is_unfinished(harness: &dyn Harness) {
    let Some(store) = store(harness) else { return };
    let start = whole_second(harness);
    begin(store, "every 1s", start);
    let at: Vec<_> = (0..8).map(|second| start + TimeDelta::seconds(second)).collect();
    let first = take_step(store, &step("every 1s", at[0], &at[1..2]))[0].clone().expect("the first is published");
    // Within one step as well as in the next one, whatever the state of the message.
    assert_eq!(take_step(store, &step("every 1s", at[1], &at[2..4])), [None, None]);
    let mut consumer = harness.consumer();
    let held = consumer.take();
    assert_eq!(held.lease.id, first);
    assert_eq!(take_step(store, &step("every 1s", at[3], &at[4..5])), [None]);
    consumer.settle(&held.lease, &mut Settlement::rollback(Duration::from_secs(600), "later", true)).expect("rollback");
    assert_eq!(take_step(store, &step("every 1s", at[4], &at[5..6])), [None]);
    let schedules = store.read_schedules().expect("read");
    let entry = schedules.entry("report", "every 1s").expect("the entry");
    assert_eq!((entry.settled, entry.last), (at[5], Some(at[1])));
    // Another entry of the same job is one more reason for it to run.
    begin(store, "every 2s", start);
    assert_eq!(take_step(store, &step("every 2s", start, &at[6..7])), [None]);
    harness.queue().delete(&Filter::all().id(first)).expect("delete");
    assert!(take_step(store, &step("every 1s", at[5], &at[6..7]))[0].is_some());
}

pub(super) fn a_finished_or_buried_occurrence_does_not_hold_up_the_next(harness: &dyn Harness) {
    let Some(store) = store(harness) else { return };
    let start = whole_second(harness);
    begin(store, "every 1s", start);
    let at: Vec<_> = (0..4).map(|second| start + TimeDelta::seconds(second)).collect();
    let mut consumer = harness.consumer();
    take_step(store, &step("every 1s", at[0], &at[1..2]));
    consumer.work();
    consumer.flush().expect("flush");
    let second = take_step(store, &step("every 1s", at[1], &at[2..3]))[0].clone().expect("the second is published");
    let held = consumer.take();
    consumer.settle(&held.lease, &mut Settlement::bury("broken", true)).expect("bury");
    assert_eq!(harness.state(&second), MessageState::Buried);
    assert!(take_step(store, &step("every 1s", at[2], &at[3..4]))[0].is_some());
}

pub(super) fn a_time_that_two_entries_share_is_one_occurrence(harness: &dyn Harness) {
    let Some(store) = store(harness) else { return };
    let start = whole_second(harness);
    let at = start + TimeDelta::seconds(2);
    for text in ["every 1s", "every 2s"] {
        begin(store, text, start);
    }
    let shared = |text| {
        let mut shared = step(text, start, &[at]);
        shared.overlap = true;
        take_step(store, &shared)[0].is_some()
    };
    assert_eq!([shared("every 2s"), shared("every 1s")], [true, false]);
    assert_eq!(count(harness), 1);
}

pub(super) fn a_paused_schedule_is_not_caught_up(harness: &dyn Harness) {
    let Some(store) = store(harness) else { return };
    let start = whole_second(harness);
    begin(store, "every 1s", start);
    assert!(!store.pause_schedule("report", true).expect("pause"));
    assert!(store.pause_schedule("report", true).expect("pause again"));
    assert!(store.read_schedules().expect("read").is_paused("report"));
    let at = start + TimeDelta::seconds(1);
    assert_eq!(take_step(store, &step("every 1s", start, &[at])), [None]);
    harness.pass(Duration::from_secs(3));
    assert!(store.pause_schedule("report", false).expect("resume"));
    assert!(!store.pause_schedule("report", false).expect("resume again"));
    let schedules = store.read_schedules().expect("read");
    assert_eq!(schedules.paused, [""; 0]);
    let settled = schedules.entry("report", "every 1s").expect("the entry").settled;
    assert!(settled >= start + TimeDelta::seconds(3), "settled until {settled}");
    // An unknown schedule can be paused before a worker comes that has it.
    assert!(!store.pause_schedule("unknown", true).expect("pause"));
    assert_eq!(store.read_schedules().expect("read").paused, ["unknown"]);
}

pub(super) fn entries_that_no_worker_has_had_for_long_are_forgotten(harness: &dyn Harness) {
    let Some(store) = store(harness) else { return };
    let start = whole_second(harness);
    begin(store, "old", start - TimeDelta::days(31));
    begin(store, "new", start - TimeDelta::days(29));
    assert_eq!(store.forget_schedules(Duration::from_secs(30 * 24 * 60 * 60)).expect("forget"), 1);
    let schedules = store.read_schedules().expect("read");
    assert!(schedules.entry("report", "old").is_none() && schedules.entry("report", "new").is_some());
}

pub(super) fn a_time_that_was_published_elsewhere_is_noted(harness: &dyn Harness) {
    let Some(store) = store(harness) else { return };
    let start = whole_second(harness);
    begin(store, "every 1s", start);
    let at = start + TimeDelta::seconds(1);
    let elsewhere = MessageId::from("beanstalkd-42");
    let mut step = ScheduleStep::new("report", "every 1s", Some(start), at);
    step.occurrences = vec![Occurrence::published(at, elsewhere.clone())];
    assert_eq!(take_step(store, &step), [Some(elsewhere.clone())]);
    let schedules = store.read_schedules().expect("read");
    let entry = schedules.entry("report", "every 1s").expect("the entry");
    assert_eq!((entry.last, entry.message.clone()), (Some(at), Some(elsewhere)));
    assert_eq!(count(harness), 0);
}

pub(super) fn an_occurrence_ends_a_wait(harness: &dyn Harness) {
    let Some(store) = store(harness) else { return };
    let start = whole_second(harness);
    begin(store, "every 1s", start);
    let (started, ended) = super::waiting::wait(harness.consumer());
    started.recv_timeout(super::waiting::DEADLINE).expect("the thread starts");
    take_step(store, &step("every 1s", start, &[start + TimeDelta::seconds(1)]));
    let waited: Result<_, QueueError> = ended.recv_timeout(super::waiting::DEADLINE).expect("the wait ends");
    assert!(waited.expect("dequeue").is_some());
    let mut consumer = harness.consumer();
    assert!(consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").is_none());
}

pub(super) fn an_occurrence_that_is_unique_is_published_once(harness: &dyn Harness) {
    let Some(store) = store(harness).filter(|_| harness.queue().capabilities().unique_keys) else { return };
    let start = whole_second(harness);
    begin(store, "every 1s", start);
    let all = [OnDuplicate::Keep, OnDuplicate::Reject, OnDuplicate::Replace];
    let unique = |on_duplicate| {
        let key = Unique::new("a").on_duplicate(on_duplicate);
        message(&on_duplicate.to_string()).unique(key.unique_for(UniqueFor::Waiting))
    };
    let there = harness.put(unique(OnDuplicate::Keep));
    let mut from = start;
    for (on_duplicate, seconds) in all.into_iter().zip(1..) {
        let at = start + TimeDelta::seconds(seconds);
        let mut step = ScheduleStep::new("report", "every 1s", Some(from), at);
        step.occurrences.push(Occurrence::new(at, unique(on_duplicate)));
        step.overlap = true;
        assert_eq!(take_step(store, &step), [Some(there.clone())], "{on_duplicate}");
        from = at;
    }
    let mut consumer = harness.consumer();
    assert_eq!(consumer.work(), "replace");
    consumer.nothing();
    // The key is free again.
    let at = start + TimeDelta::seconds(4);
    let mut step = ScheduleStep::new("report", "every 1s", Some(from), at);
    step.occurrences.push(Occurrence::new(at, unique(OnDuplicate::Reject)));
    let ids = take_step(store, &step);
    assert!(ids.len() == 1 && ids[0].is_some() && ids[0] != Some(there), "{ids:?}");
    assert_eq!(count(harness), 1);
}
