use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::{Clock as _, ManualClock};
use crate::queue::file::FileQueue;
use crate::queue::{
    Activity, ActivityFilter, ActivityLog as _, ActivityStep, Consumer, Delivery, DequeueFilter, Inspection as _,
    NewMessage, QueueAdapter as _, Settlement,
};

struct Timed {
    clock: ManualClock,
    queue: FileQueue,
}

impl Timed {
    fn new() -> Self {
        let clock = ManualClock::at("2026-11-23T09:00:30Z".parse().expect("a time"));
        let queue = FileQueue::memory(false, Arc::new(clock.clone())).expect("a queue");
        Self { clock, queue }
    }

    fn pass(&self, minutes: u64) {
        self.clock.advance(Duration::from_secs(minutes * 60));
    }

    fn publish(&self, count: usize) {
        let messages = vec![NewMessage::new("q", "a", "{}"); count];
        self.queue.enqueue(messages).expect("enqueue");
    }

    fn publish_of(&self, request_type: &str) {
        self.queue.enqueue(vec![NewMessage::new("q", request_type, "{}")]).expect("enqueue");
    }

    fn consumer(&self) -> Box<dyn Consumer> {
        self.queue.consumer(&["q".to_owned()]).expect("consumer")
    }

    fn read(&self, step: ActivityStep) -> Vec<Activity> {
        let asked = ActivityFilter::since(step, self.clock.now() - TimeDelta::days(60));
        self.queue.read_activity(&asked).expect("read")
    }

    /// Returns how many rows the tables have.
    fn rows(&self) -> (i64, i64) {
        self.queue.0.writer.with_connection(|connection| {
            let count = |table: &str| {
                connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("a count")
            };
            (count("activity"), count("activity_total"))
        })
    }
}

fn take(consumer: &mut Box<dyn Consumer>) -> Delivery {
    consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("a message")
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

#[test]
fn minutes_become_hours() {
    let timed = Timed::new();
    timed.publish(2);
    timed.pass(1);
    timed.publish(3);
    timed.pass(60);
    timed.publish(4);
    let minutes = timed.read(ActivityStep::Minute);
    let published: Vec<_> =
        minutes.iter().filter(|step| step.published > 0).map(|step| (step.at, step.published)).collect();
    let expected = [(at("2026-11-23T09:00:00Z"), 2), (at("2026-11-23T09:01:00Z"), 3), (at("2026-11-23T10:01:00Z"), 4)];
    assert_eq!(published, expected);
    let hours = timed.read(ActivityStep::Hour);
    let published: Vec<_> =
        hours.iter().filter(|step| step.published > 0).map(|step| (step.at, step.published)).collect();
    assert_eq!(published, [(at("2026-11-23T09:00:00Z"), 5), (at("2026-11-23T10:00:00Z"), 4)]);
}

#[test]
fn the_number_of_waiting_messages_is_known_for_the_end_of_each_step() {
    let timed = Timed::new();
    let start = timed.clock.now();
    timed.publish(3);
    timed.pass(10);
    timed.publish(2);
    timed.pass(10);
    let mut consumer = timed.consumer();
    take(&mut consumer);
    timed.publish(1);
    let minutes = timed.read(ActivityStep::Minute);
    let waiting = |time: &str| {
        // Gaps are filled as the charts fill them: with the next known step.
        let known = minutes.iter().find(|step| step.at >= at(time)).expect("a step");
        (known.waiting, known.oldest_ready)
    };
    assert_eq!(waiting("2026-11-23T09:00:00Z"), (Some(3), Some(start)));
    assert_eq!(waiting("2026-11-23T09:05:00Z"), (Some(3), Some(start)));
    // Leased messages do not wait.
    assert_eq!(waiting("2026-11-23T09:19:00Z"), (Some(4), Some(start)));
    assert_eq!(waiting("2026-11-23T09:20:00Z"), (Some(5), Some(start)));
}

#[test]
fn numbers_that_are_too_old_are_deleted() {
    let timed = Timed::new();
    // A type that is no longer used leaves nothing behind either.
    timed.publish_of("given up");
    for _ in 0..40 * 24 {
        timed.pass(60);
        timed.publish(1);
    }
    let (of_kinds, totals) = timed.rows();
    // The hours of a month, and the minutes of a day: here one per hour, and its neighbour.
    assert!((31 * 24..=31 * 24 + 30).contains(&of_kinds), "{of_kinds} rows of kinds");
    assert!((31 * 24..=31 * 24 + 60).contains(&totals), "{totals} rows of all kinds");
    let hours = timed.read(ActivityStep::Hour);
    assert!((31 * 24..=31 * 24 + 1).contains(&hours.len()), "{} hours", hours.len());
    let day = ActivityFilter::since(ActivityStep::Minute, timed.clock.now() - TimeDelta::days(60)).queue("q");
    assert_eq!(timed.queue.read_activity(&day).expect("read").iter().map(|step| step.published).sum::<u64>(), 25);
}

#[test]
fn a_clock_that_is_set_back_loses_nothing() {
    let timed = Timed::new();
    timed.publish(1);
    timed.pass(5);
    timed.publish(2);
    timed.clock.set(at("2026-11-23T09:00:40Z"));
    timed.publish(4);
    timed.pass(5);
    timed.publish(8);
    let minutes = timed.read(ActivityStep::Minute);
    let published: Vec<_> =
        minutes.iter().filter(|step| step.published > 0).map(|step| (step.at, step.published)).collect();
    assert_eq!(published, [(at("2026-11-23T09:00:00Z"), 5), (at("2026-11-23T09:05:00Z"), 10)]);
}

#[test]
fn a_run_that_was_not_committed_is_not_counted() {
    let timed = Timed::new();
    timed.publish(1);
    let mut consumer = timed.consumer();
    let held = take(&mut consumer);
    timed.clock.advance(held.ttr + Duration::from_secs(1));
    // Another worker has it by now.
    let mut other = timed.consumer();
    let again = take(&mut other);
    let late =
        Settlement::Commit { follow_ups: vec![NewMessage::new("q", "b", "{}")], deferrable: false, result: None };
    consumer.settle(&held.lease, &mut { late }).expect_err("its lease is over");
    other.settle(&again.lease, &mut Settlement::commit()).expect("commit");
    other.flush().expect("flush");
    let mut sum = Activity::none(timed.clock.now());
    timed.read(ActivityStep::Hour).iter().for_each(|step| sum.add(step));
    assert_eq!((sum.published, sum.done), (1, 1));
    assert_eq!(timed.queue.stats().expect("stats").total(), 0);
}

#[test]
fn after_a_pause_what_is_old_is_deleted_in_parts() {
    let timed = Timed::new();
    timed.publish(1);
    timed.queue.0.writer.with_connection(|connection| {
        let fill = "WITH RECURSIVE n(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM n WHERE x < 4999)
            INSERT INTO activity SELECT 1, x, 1, 0, 0, 0, 0, 0 FROM n";
        connection.execute(fill, []).expect("filled");
    });
    let mut left = Vec::new();
    for _ in 0..60 {
        timed.pass(1);
        timed.publish(1);
        left.push(timed.rows().0);
    }
    assert!(left[0] > 4000, "{left:?}");
    assert!(*left.last().expect("some") < 100, "{left:?}");
}
