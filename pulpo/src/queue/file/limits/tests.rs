//! Limits and a clock that is moved.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use rusqlite::StatementStatus;

use super::starts::READ;
use super::{Reach, SearchPoints, Wanted};
use crate::clock::{Clock as _, ManualClock};
use crate::keys::{Publication, UniqueFor};
use crate::policy::Rate;
use crate::queue::file::FileQueue;
use crate::queue::file::storage::values::micros;
use crate::queue::file::storage::writer::Durability;
use crate::queue::{
    DequeueFilter, Filter, Inspection as _, Limit, LimitKeys, LimitKind, LimitScope, NewMessage, QueueAdapter as _,
    Settlement, Unique,
};

const ONE: Wanted = Wanted { at_once: 1, ahead: 0 };

fn queue(clock: &ManualClock) -> FileQueue {
    FileQueue::memory(false, Arc::new(clock.clone())).expect("a queue")
}

fn at_nine() -> ManualClock {
    ManualClock::at("2026-11-23T09:00:00Z".parse().expect("a time"))
}

fn job(key: &str) -> NewMessage {
    NewMessage::new("a", "job", r#"{"header": {"request_type": "job"}, "body": {}}"#).limit_keys(LimitKeys::of(key))
}

fn within(rate: Rate) -> [Limit; 1] {
    [Limit::new(LimitScope::handler(["job"], false), LimitKind::Rate(rate))]
}

/// Starts all messages that these limits let start, and returns how many.
fn start_all(queue: &FileQueue, limits: &[Limit]) -> usize {
    let mut consumer = queue.consumer(&["a".to_owned()]).expect("a consumer");
    let filter = DequeueFilter::all().limits(limits);
    let mut count = 0;
    while let Some(delivery) = consumer.dequeue(&filter, Duration::ZERO).expect("dequeue") {
        consumer.settle(&delivery.lease, &mut Settlement::commit()).expect("done");
        count += 1;
    }
    count
}

fn rows(queue: &FileQueue) -> i64 {
    let count = queue.0.writer.write(Durability::Lazy, |connection| {
        connection.query_row("SELECT count(*) FROM started", [], |row| row.get(0))
    });
    count.expect("counted")
}

#[test]
fn a_long_rate_has_few_rows_however_much_has_started() {
    let (clock, day) = (at_nine(), Duration::from_secs(24 * 60 * 60));
    let queue = queue(&clock);
    queue.enqueue(vec![job("a"); 6000]).expect("published");
    let limits = within(Rate::new(5000, day));
    let mut consumer = queue.consumer(&["a".to_owned()]).expect("a consumer");
    let filter = DequeueFilter::all().limits(limits.clone());
    for _ in 0..4000 {
        // Each at a time of its own.
        clock.advance(Duration::from_millis(3));
        let delivery = consumer.dequeue(&filter, Duration::ZERO).expect("dequeue").expect("a message");
        consumer.settle(&delivery.lease, &mut Settlement::commit()).expect("done");
    }
    assert!(rows(&queue) <= 3, "{} rows", rows(&queue));
    drop(consumer);
    assert_eq!(start_all(&queue, &limits), 1000);
    // None leaves the period early, and all do at most a thousandth of it late.
    clock.advance(day - Duration::from_millis(3 * 4001));
    assert_eq!(start_all(&queue, &limits), 0);
    clock.advance(Duration::from_secs(2 * 87));
    assert_eq!(start_all(&queue, &limits), 1000);
}

#[test]
fn messages_are_examined_one_by_one_only_if_a_limit_may_refuse_one() {
    let (clock, day) = (at_nine(), Duration::from_secs(24 * 60 * 60));
    let queue = queue(&clock);
    queue.enqueue(vec![job("a"); 300]).expect("published");
    let scope = || LimitScope::handler(["job"], false);
    let rate = |starts| Limit::new(scope(), LimitKind::Rate(Rate::new(starts, day)));
    let running = |most| Limit::new(scope(), LimitKind::Running(most));
    // The limit, how many are wanted for waiting lanes and ahead, how many may start, and whether each was examined.
    let cases = [
        (rate(100), 100, 0, 100, false),
        (rate(100), 101, 0, 100, true),
        (rate(100).by_key(), 10, 0, 10, true),
        (rate(100), 10, 40, 50, false),
        (rate(100), 10, 41, 50, true),
        (rate(63), 1, 1, 1, true),
        (running(100), 10, 90, 100, false),
        (running(100), 10, 91, 100, true),
        (running(100).by_key(), 10, 10, 20, true),
    ];
    queue
        .0
        .writer
        .write(Durability::Lazy, move |connection| {
            for (limit, at_once, ahead, count, is_examined) in &cases {
                let filter = DequeueFilter::all().limits([limit.clone()]);
                let wanted = Wanted { at_once: *at_once, ahead: *ahead };
                let now = micros(clock.now());
                let picked = super::next(connection, &["a".to_owned()], &filter, wanted, &Reach::All, now)?;
                assert_eq!(picked.ids.len(), *count, "{limit:?} {wanted:?}");
                assert_eq!(!picked.keys.is_empty(), *is_examined, "{limit:?} {wanted:?}");
            }
            Ok(())
        })
        .expect("picked");
}

#[test]
fn a_start_of_one_key_costs_the_same_however_many_keys_have_started() {
    let clock = at_nine();
    let queue = queue(&clock);
    let [limit] = within(Rate::new(100, Duration::from_secs(86_400)));
    let limits = [limit.by_key()];
    queue.enqueue((0..3000).map(|key| job(&key.to_string())).collect()).expect("published");
    assert_eq!(start_all(&queue, &limits), 3000);
    queue.enqueue(vec![job("7")]).expect("published");
    let steps = queue.0.writer.write(Durability::Lazy, move |connection| {
        let filter = DequeueFilter::all().limits(limits.clone());
        connection.prepare_cached(READ)?.reset_status(StatementStatus::VmStep);
        let picked = super::next(connection, &["a".to_owned()], &filter, ONE, &Reach::All, micros(clock.now()))?;
        assert_eq!(picked.ids.len(), 1);
        Ok(connection.prepare_cached(READ)?.get_status(StatementStatus::VmStep))
    });
    let steps = steps.expect("picked");
    assert!((1..100).contains(&steps), "{steps} steps");
}

/// Publishes two messages of each of 2000 keys, and starts one of each, which is all that these limits let start.
fn use_up_keys(queue: &FileQueue) -> [Limit; 1] {
    let [limit] = within(Rate::new(1, Duration::from_secs(86_400)));
    let limits = [limit.by_key()];
    queue.enqueue((0..4000).map(|number| job(&format!("{:04}", number % 2000))).collect()).expect("published");
    assert_eq!(start_all(queue, &limits), 2000);
    limits
}

#[test]
fn a_key_behind_thousands_that_must_wait_starts_at_once() {
    for key in ["0000a", "1000a", "9999"] {
        let queue = queue(&at_nine());
        let limits = use_up_keys(&queue);
        queue.enqueue(vec![job(key), job(key)]).expect("published");
        assert_eq!(start_all(&queue, &limits), 1, "{key}");
        assert_eq!(start_all(&queue, &limits), 0, "{key}");
    }
}

#[test]
fn a_claim_examines_few_keys_under_the_lock_and_the_next_one_goes_on_from_there() {
    let clock = at_nine();
    let queue = queue(&clock);
    let limits = use_up_keys(&queue);
    queue.enqueue(vec![job("9999")]).expect("published");
    let found = queue.0.writer.write(Durability::Lazy, move |connection| {
        let filter = DequeueFilter::all().limits(limits.clone());
        let (points, now) = (SearchPoints::default(), micros(clock.now()));
        let claim = |reach: &Reach| -> rusqlite::Result<_> {
            connection.prepare_cached(READ)?.reset_status(StatementStatus::Run);
            let picked = super::next(connection, &["a".to_owned()], &filter, ONE, reach, now)?;
            points.note(&picked);
            Ok((picked, connection.prepare_cached(READ)?.get_status(StatementStatus::Run)))
        };
        let mut claims = 0;
        loop {
            let (picked, reads) = claim(&points.reach())?;
            claims += 1;
            assert!(reads < 1000, "{reads} keys in claim {claims}");
            if !picked.is_cut {
                assert_eq!(picked.ids.len(), 1);
                break;
            }
            assert!(picked.ids.is_empty() && claims < 20, "{claims} claims");
        }
        // A search of all keys says where the one is that may start.
        let fresh = SearchPoints::default();
        let (picked, _) = claim(&Reach::All)?;
        fresh.note(&picked);
        assert_eq!(claim(&fresh.reach())?.0.ids, picked.ids);
        Ok(claims)
    });
    assert!(found.expect("picked") > 5);
}

#[test]
fn keys_behind_thousands_that_must_wait_start_while_other_jobs_do() {
    let queue = queue(&at_nine());
    let limits = use_up_keys(&queue);
    queue.enqueue(vec![job("9999")]).expect("published");
    let other = || NewMessage::new("a", "other", r#"{"header": {"request_type": "other"}, "body": {}}"#);
    queue.enqueue((0..40).map(|_| other()).collect()).expect("published");
    let mut consumer = queue.consumer(&["a".to_owned()]).expect("a consumer");
    let filter = DequeueFilter::all().limits(limits);
    let mut types = Vec::new();
    while let Some(delivery) = consumer.dequeue(&filter, Duration::ZERO).expect("dequeue") {
        types.push(delivery.text.windows(5).any(|text| text == b"other"));
        consumer.settle(&delivery.lease, &mut Settlement::commit()).expect("done");
    }
    assert_eq!(types.len(), 41);
    assert!(types[..20].contains(&false), "behind all of the others: {types:?}");
}

#[test]
fn a_clock_that_goes_back_ends_what_is_held_back() {
    let clock = at_nine();
    let queue = queue(&clock);
    queue.enqueue(vec![job("a"), job("b")]).expect("published");
    for key in [None, Some("a")] {
        queue.hold_back("job", key, Duration::from_secs(600)).expect("held back");
        let held = if key.is_none() { 0 } else { 1 };
        assert_eq!(start_all(&queue, &[]), held);
        clock.jump(TimeDelta::seconds(-59));
        assert_eq!(start_all(&queue, &[]), 0, "a little back changes little");
        clock.jump(TimeDelta::days(-365));
        assert_eq!(start_all(&queue, &[]), 2 - held);
        queue.enqueue(vec![job("a"), job("b")]).expect("published");
        clock.jump(TimeDelta::days(365));
        queue.hold_back("job", None, Duration::ZERO).expect("no longer");
    }
    assert_eq!(queue.list(&Filter::all()).expect("a list").len(), 2);
}

#[test]
fn a_clock_that_goes_back_frees_the_keys_that_are_taken_for_a_time() {
    let clock = at_nine();
    let queue = queue(&clock);
    let timed = || job("a").unique(Unique::new("key").unique_for(UniqueFor::Time(Duration::from_secs(600))));
    let publish = || queue.enqueue(vec![timed()]).expect("published").remove(0).publication;
    assert_eq!([publish(), publish()], [Publication::New, Publication::Kept]);
    clock.jump(TimeDelta::seconds(-59));
    assert_eq!(publish(), Publication::Kept);
    clock.jump(TimeDelta::days(-365));
    assert_eq!([publish(), publish()], [Publication::New, Publication::Kept]);
    let has_key = || queue.list(&Filter::all()).expect("a list").iter().filter(|message| message.has_key).count();
    assert_eq!(has_key(), 1);
    // It is free after its time by the clock as it is now.
    clock.advance(Duration::from_secs(601));
    assert_eq!(publish(), Publication::New);
}

#[test]
fn a_clock_that_goes_back_ends_a_rate() {
    let clock = at_nine();
    let queue = queue(&clock);
    queue.enqueue(vec![job("a"); 9]).expect("published");
    let limits = within(Rate::new(2, Duration::from_secs(600)));
    assert_eq!(start_all(&queue, &limits), 2);
    clock.jump(TimeDelta::days(-365));
    assert_eq!(start_all(&queue, &limits), 2);
    assert_eq!(start_all(&queue, &limits), 0);
}
