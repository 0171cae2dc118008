use std::collections::{BTreeMap, HashSet};
use std::sync::mpsc;
use std::thread;

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::guard::catch;
use crate::queue::{Delivery, Limit, LimitKind, LimitScope};
use crate::sync::atomic::{AtomicUsize, Ordering};

/// A queue in a map, with switches for its failures.
#[derive(Debug, Default)]
struct Map {
    waiting: Mutex<BTreeMap<u64, String>>,
    leased: Mutex<HashSet<u64>>,
    /// Commits that fail permanently.
    stuck: Mutex<HashSet<u64>>,
    /// Messages that cannot be released now.
    locked: Mutex<HashSet<u64>>,
    /// Nothing can be written now.
    is_down: Mutex<bool>,
    /// The next exchange panics.
    panics: Mutex<bool>,
    /// How much time has passed since the first fetch.
    passed: Mutex<TimeDelta>,
    /// Each exchange signals that it has begun, and waits until it may continue.
    gate: Mutex<Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>>,
    exchanges: AtomicUsize,
    releases: AtomicUsize,
    woken: AtomicUsize,
    /// Whose buffers are looked at when the upkeep is woken.
    prefetch: Mutex<std::sync::Weak<Prefetch<Arc<Map>>>>,
    /// How often they held something then.
    woken_for_buffers: AtomicUsize,
}

#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
struct Failure(&'static str);

impl StoreError for Failure {
    fn is_transient(&self) -> bool {
        self.0 == "down"
    }
}

impl LeaseStore for Arc<Map> {
    type Tag = u64;
    type Error = Failure;

    fn exchange(&self, exchange: &Arc<Exchange<u64>>) -> Result<Exchanged<u64>, Failure> {
        self.exchanges.fetch_add(1, Ordering::SeqCst);
        let gate = lock(&self.gate).take();
        if let Some((began, go)) = gate {
            began.send(()).expect("heard");
            go.recv().expect("told");
        }
        assert!(!std::mem::take(&mut *lock(&self.panics)), "it panics");
        if *lock(&self.is_down) {
            return Err(Failure("down"));
        }
        if exchange.commits.iter().any(|commit| lock(&self.stuck).contains(&commit.tag)) {
            return Err(Failure("a constraint"));
        }
        let committed = exchange.commits.iter().map(|commit| lock(&self.leased).remove(&commit.tag)).collect();
        let Some(request) = &exchange.lease else {
            return Ok(Exchanged { committed, leased: Offer::NothingBefore(None) });
        };
        let mut waiting = lock(&self.waiting);
        let fitting = waiting.iter().filter(|(_, kind)| !request.filter.except_types.contains(kind));
        let ids: Vec<_> = fitting.map(|(id, _)| *id).take(request.at_once + request.ahead).collect();
        let leased: Vec<_> = ids
            .into_iter()
            .map(|id| {
                let kind = waiting.remove(&id).expect("it waits");
                lock(&self.leased).insert(id);
                let lease = Lease { id: id.into(), token: "x".into() };
                let delivery =
                    Delivery::new(lease, "q", DateTime::UNIX_EPOCH, Duration::from_secs(60), kind.clone().into());
                Leased { delivery, request_type: kind.into(), leased_at: DateTime::UNIX_EPOCH, tag: id }
            })
            .collect();
        let leased = if leased.is_empty() { Offer::NothingBefore(None) } else { Offer::Messages(leased) };
        Ok(Exchanged { committed, leased })
    }

    fn release(&self, _: &[String], leases: Vec<Lease>) -> Result<(), Failure> {
        self.releases.fetch_add(1, Ordering::SeqCst);
        if *lock(&self.is_down) {
            return Err(Failure("down"));
        }
        let ids: Vec<u64> = leases.iter().map(|lease| lease.id.as_str().parse().expect("a number")).collect();
        if ids.iter().any(|id| lock(&self.locked).contains(id)) {
            return Err(Failure("down"));
        }
        for id in ids {
            assert!(lock(&self.leased).remove(&id));
            lock(&self.waiting).insert(id, "job".to_owned());
        }
        Ok(())
    }

    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + *lock(&self.passed)
    }

    fn generation(&self) -> u64 {
        0
    }

    fn wake_upkeep(&self) {
        self.woken.fetch_add(1, Ordering::SeqCst);
        let prefetch = lock(&self.prefetch).upgrade();
        if prefetch.is_some_and(|prefetch| prefetch.all().iter().any(|buffer| !buffer.is_empty())) {
            self.woken_for_buffers.fetch_add(1, Ordering::SeqCst);
        }
    }
}

type Queue = (Arc<Map>, Prefetch<Arc<Map>>, Lane<Arc<Map>>);

fn queue(messages: u64) -> Queue {
    let map = Map { waiting: Mutex::new((1..=messages).map(|id| (id, "job".to_owned())).collect()), ..Map::default() };
    let prefetch = Prefetch::default();
    let lane = prefetch.lane(&["q".to_owned()].into());
    (Arc::new(map), prefetch, lane)
}

fn take(lane: &mut Lane<Arc<Map>>, prefetch: &Prefetch<Arc<Map>>, map: &Arc<Map>) -> Leased<u64> {
    // Each job took a lane two microseconds.
    if let Some(leased) = lane.try_take(map, &DequeueFilter::all(), Some(Duration::from_micros(2))) {
        return leased;
    }
    match lane.next(prefetch, map, &DequeueFilter::all(), false).expect("the queue answers") {
        Found::Leased(leased) => leased,
        Found::Nothing(_) => panic!("expected a message"),
    }
}

fn defer(lane: &mut Lane<Arc<Map>>, prefetch: &Prefetch<Arc<Map>>, map: &Arc<Map>, leased: &Leased<u64>) {
    lane.defer_commit(prefetch, map, leased.delivery.lease.clone(), leased.tag, None);
}

#[test]
fn a_deferred_commit_goes_with_the_next_fetch() {
    let (map, prefetch, mut lane) = queue(2);
    let first = take(&mut lane, &prefetch, &map);
    defer(&mut lane, &prefetch, &map, &first);
    assert_eq!(map.woken.load(Ordering::SeqCst), 1);
    assert!(prefetch.deferred.any() && prefetch.deferred.waited().is_some());
    let second = take(&mut lane, &prefetch, &map);
    assert_eq!((second.tag, map.exchanges.load(Ordering::SeqCst)), (2, 2));
    assert_eq!(*lock(&map.leased), [2].into());
    assert!(!prefetch.deferred.any() && prefetch.is_empty());
}

#[test]
fn short_jobs_have_more_leased_ahead_and_long_ones_none() {
    let (map, prefetch, mut lane) = queue(1000);
    for _ in 0..20 {
        let leased = take(&mut lane, &prefetch, &map);
        defer(&mut lane, &prefetch, &map, &leased);
    }
    assert!(map.exchanges.load(Ordering::SeqCst) <= 4, "{map:?}");
    prefetch.release_all(&map).expect("given back");
    lane.was_long();
    take(&mut lane, &prefetch, &map);
    assert!(prefetch.all().iter().all(|buffer| buffer.is_empty()));
}

#[test]
fn a_commit_that_fails_for_good_takes_no_other_and_no_fetch_with_it() {
    let (map, prefetch, mut lane) = queue(4);
    let leased: Vec<_> = (0..3).map(|_| take(&mut lane, &prefetch, &map)).collect();
    lock(&map.stuck).insert(2);
    leased.iter().for_each(|leased| defer(&mut lane, &prefetch, &map, leased));
    assert_eq!(take(&mut lane, &prefetch, &map).tag, 4);
    assert_eq!(*lock(&map.leased), [2, 4].into());
    assert!(!prefetch.deferred.any(), "it is given up");
    assert_eq!(lane.take_lost_leases(), [leased[1].delivery.lease.clone()]);
    assert_eq!(lane.take_lost_leases(), [], "each is reported once");
}

#[test]
fn a_commit_that_may_succeed_later_stays() {
    let (map, prefetch, mut lane) = queue(3);
    let first = take(&mut lane, &prefetch, &map);
    defer(&mut lane, &prefetch, &map, &first);
    *lock(&map.is_down) = true;
    lane.next(&prefetch, &map, &DequeueFilter::all(), false).expect_err("it is down");
    prefetch.flush(&map).expect_err("it is down");
    assert!(prefetch.deferred.any() && prefetch.deferred.waited().is_some());
    // Also in a batch in which one commit fails permanently.
    *lock(&map.is_down) = false;
    prefetch.flush(&map).expect("it is up again");
    assert!(!prefetch.deferred.any() && lock(&map.leased).is_empty());
    assert_eq!(lane.take_lost_leases(), []);
}

#[test]
fn a_lease_that_had_ended_is_reported_to_its_own_consumer() {
    let (map, prefetch, mut first) = queue(2);
    let mut second = prefetch.lane(&["q".to_owned()].into());
    let (lost, kept) = (take(&mut first, &prefetch, &map), take(&mut second, &prefetch, &map));
    lock(&map.leased).remove(&lost.tag);
    defer(&mut first, &prefetch, &map, &lost);
    defer(&mut second, &prefetch, &map, &kept);
    prefetch.flush(&map).expect("carried out");
    assert_eq!(second.take_lost_leases(), []);
    assert_eq!(first.take_lost_leases(), [lost.delivery.lease]);
}

#[test]
fn an_exchange_that_panics_loses_no_commit_and_keeps_no_lane_waiting() {
    let (map, prefetch, mut lane) = queue(2);
    let first = take(&mut lane, &prefetch, &map);
    defer(&mut lane, &prefetch, &map, &first);
    *lock(&map.panics) = true;
    let next = || lane.next(&prefetch, &map, &DequeueFilter::all(), false).map(drop);
    catch(next).expect_err("it panicked");
    assert!(prefetch.deferred.any());
    assert_eq!(take(&mut lane, &prefetch, &map).tag, 2);
    assert!(!prefetch.deferred.any());
    assert_eq!(*lock(&map.leased), [2].into());
}

#[test]
fn a_flush_waits_for_the_commits_that_another_thread_carries_out() {
    let (map, prefetch, mut lane) = queue(2);
    let first = take(&mut lane, &prefetch, &map);
    defer(&mut lane, &prefetch, &map, &first);
    let (began, has_begun) = mpsc::channel();
    let (go, may_go) = mpsc::channel();
    *lock(&map.gate) = Some((began, may_go));
    let (done, is_done) = mpsc::channel();
    thread::scope(|scope| {
        let (prefetch, map) = (&prefetch, &map);
        scope.spawn(move || take(&mut lane, prefetch, map));
        has_begun.recv().expect("begun");
        scope.spawn(move || {
            prefetch.flush(map).expect("carried out");
            done.send(lock(&map.leased).contains(&1)).expect("heard");
        });
        assert!(is_done.recv_timeout(Duration::from_millis(50)).is_err(), "it waits");
        go.send(()).expect("heard");
        assert!(!is_done.recv().expect("done"), "the first one is committed");
    });
}

#[test]
fn a_lane_takes_of_what_lies_ready_only_what_it_may() {
    let (map, prefetch, mut lane) = queue(30);
    for number in 0..3 {
        lock(&map.waiting).insert(number * 10 + 1, "other".to_owned());
    }
    // All messages are leased, and wait in the buffer.
    for _ in 0..3 {
        let leased = take(&mut lane, &prefetch, &map);
        defer(&mut lane, &prefetch, &map, &leased);
    }
    let filter = DequeueFilter::all().except_type("other");
    let mut next = || match lane.next(&prefetch, &map, &filter, false).expect("the queue answers") {
        Found::Leased(leased) => Some(leased.request_type),
        Found::Nothing(_) => None,
    };
    let taken: Vec<_> = std::iter::from_fn(&mut next).collect();
    assert!(taken.iter().all(|kind| &**kind == "job") && taken.len() >= 24, "{taken:?}");
}

#[test]
fn the_upkeep_is_woken_when_the_messages_that_it_looks_after_are_in_the_buffer() {
    let (map, prefetch, mut lane) = queue(30);
    let prefetch = std::sync::Arc::new(prefetch);
    *lock(&map.prefetch) = std::sync::Arc::downgrade(&prefetch);
    let first = take(&mut lane, &prefetch, &map);
    prefetch.flush(&map).expect("nothing to do");
    defer(&mut lane, &prefetch, &map, &first);
    assert_eq!(map.woken_for_buffers.load(Ordering::SeqCst), 0, "for the commit");
    take(&mut lane, &prefetch, &map);
    assert!(prefetch.all().iter().any(|buffer| !buffer.is_empty()), "more was leased ahead");
    assert_eq!(map.woken_for_buffers.load(Ordering::SeqCst), 1);
}

#[test]
fn messages_that_are_too_old_and_cannot_be_released_now_are_released_later() {
    let (map, prefetch, mut lane) = queue(30);
    let first = take(&mut lane, &prefetch, &map);
    defer(&mut lane, &prefetch, &map, &first);
    take(&mut lane, &prefetch, &map);
    assert!(!prefetch.is_empty(), "some are leased ahead");
    // The process was stopped for an hour.
    *lock(&map.passed) = TimeDelta::hours(1);
    *lock(&map.is_down) = true;
    assert!(lane.next(&prefetch, &map, &DequeueFilter::all(), false).is_err(), "it is down");
    *lock(&map.is_down) = false;
    let done = (0..100).any(|_| prefetch.run_upkeep(&map).is_none());
    assert!(done && prefetch.is_empty());
    assert_eq!(*lock(&map.leased), [2].into());
    assert_eq!(lock(&map.waiting).len(), 28);
}

#[test]
fn messages_that_cannot_be_released_now_are_released_later() {
    let (map, prefetch, mut lane) = queue(30);
    let first = take(&mut lane, &prefetch, &map);
    defer(&mut lane, &prefetch, &map, &first);
    take(&mut lane, &prefetch, &map);
    *lock(&map.is_down) = true;
    let woken = map.woken.load(Ordering::SeqCst);
    for _ in 0..20 {
        assert!(prefetch.run_upkeep(&map).is_some(), "something waits");
    }
    assert_eq!(map.woken.load(Ordering::SeqCst), woken, "it would go on without a pause");
    prefetch.release(&map, lane.queues(), lane.take_all()).expect_err("it is down");
    assert_eq!(map.woken.load(Ordering::SeqCst), woken + 1, "for what stays");
    assert!(!prefetch.is_empty());
    *lock(&map.is_down) = false;
    assert_eq!(prefetch.run_upkeep(&map), None, "all is done");
    assert!(prefetch.is_empty());
    // Only the message that a lane has is still leased.
    assert_eq!(*lock(&map.leased), [2].into());
    assert_eq!(lock(&map.waiting).len(), 28);
}

#[test]
fn a_queue_that_is_down_is_asked_once_and_not_for_each_release_that_waits() {
    let (map, prefetch, mut lane) = queue(3);
    let leases: Vec<_> = (0..3).map(|_| take(&mut lane, &prefetch, &map).delivery.lease).collect();
    *lock(&map.is_down) = true;
    for (asked, lease) in (1..).zip(leases) {
        prefetch.release(&map, lane.queues(), vec![lease]).expect_err("it is down");
        assert_eq!(map.releases.load(Ordering::SeqCst), asked);
    }
    assert!(prefetch.run_upkeep(&map).is_some(), "something waits");
    assert_eq!(map.releases.load(Ordering::SeqCst), 4);
    *lock(&map.is_down) = false;
    assert_eq!(prefetch.run_upkeep(&map), None, "all is done");
    assert!(prefetch.is_empty() && lock(&map.leased).is_empty());
}

#[test]
fn a_message_that_cannot_be_released_now_keeps_no_other_one() {
    let (map, prefetch, mut lane) = queue(3);
    let leases: Vec<_> = (0..3).map(|_| take(&mut lane, &prefetch, &map).delivery.lease).collect();
    *lock(&map.locked) = [1].into();
    for lease in leases {
        let _ = prefetch.release(&map, lane.queues(), vec![lease]);
    }
    assert!(prefetch.run_upkeep(&map).is_some() && prefetch.run_upkeep(&map).is_some(), "the first one waits");
    assert_eq!(*lock(&map.leased), [1].into());
    lock(&map.locked).clear();
    assert_eq!(prefetch.run_upkeep(&map), None, "all is done");
    assert!(lock(&map.leased).is_empty());
}

#[test]
fn a_lane_that_fetches_early_and_finds_nothing_takes_what_is_in_the_buffer() {
    let (map, prefetch, mut lane) = queue(10);
    // With a second lane, a lane fetches while the buffer still has messages. The other one is busy.
    let _busy = prefetch.lane(&["q".to_owned()].into());
    let taken: Vec<_> = (0..10)
        .map(|_| {
            let leased = take(&mut lane, &prefetch, &map);
            defer(&mut lane, &prefetch, &map, &leased);
            leased.tag
        })
        .collect();
    assert_eq!(taken, (1..=10).collect::<Vec<_>>());
    // One for a single message, one for all others, and one that found nothing: it is not repeated.
    assert_eq!(map.exchanges.load(Ordering::SeqCst), 3);
}

#[test]
fn what_joins_a_run_is_leased_alone() {
    let (map, prefetch, mut lane) = queue(100);
    let scope = LimitScope::handler(["job"], true);
    let limited = |kind| DequeueFilter::all().limits([Limit::new(scope.clone(), kind)]).joins(7.into());
    let rated = limited(LimitKind::Rate(crate::Rate::new(1000, Duration::from_secs(1))));
    let mut next = |filter: &DequeueFilter| {
        let before = lock(&map.waiting).len();
        // Short jobs, for which more would be leased ahead.
        assert!(lane.try_take(&map, filter, Some(Duration::from_micros(2))).is_none());
        let Found::Leased(leased) = lane.next(&prefetch, &map, filter, false).expect("the queue answers") else {
            panic!("expected a message")
        };
        defer(&mut lane, &prefetch, &map, &leased);
        before - lock(&map.waiting).len()
    };
    assert_eq!(next(&limited(LimitKind::Running(2))), 1);
    assert_eq!(next(&limited(LimitKind::Running(2))), 1);
    assert!(next(&rated) > 1, "starts count for themselves");
    let of_another = limited(LimitKind::Running(2)).request_type("other");
    assert!(next(&of_another) > 1, "the limit is that of another handler");
}

#[test]
fn the_next_messages_are_fetched_before_those_of_the_last_fetch_run_out() {
    let (map, prefetch, mut lane) = queue(10_000);
    let _busy = prefetch.lane(&["q".to_owned()].into());
    let in_buffer = || 10_000 - lock(&map.waiting).len();
    let mut most = 0;
    for taken in 1..=2000 {
        let leased = take(&mut lane, &prefetch, &map);
        defer(&mut lane, &prefetch, &map, &leased);
        let left = in_buffer() - taken;
        assert!(taken < 600 || left >= 255, "{left} are left after {taken}");
        most = most.max(left);
    }
    assert!(most <= 512, "{most}");
}

#[test]
fn the_upkeep_leaves_commits_to_the_lanes_as_long_as_these_fetch() {
    let (map, prefetch, mut lane) = queue(1);
    let (began, has_begun) = mpsc::channel();
    let (go, may_go) = mpsc::channel();
    *lock(&map.gate) = Some((began, may_go));
    thread::scope(|scope| {
        let (prefetch, map) = (&prefetch, &map);
        let fetch = scope.spawn(move || take(&mut lane, prefetch, map));
        has_begun.recv().expect("begun");
        assert!(prefetch.are_fetching(&prefetch.all()));
        assert!(prefetch.are_fetching(&prefetch.all()), "it is under way");
        go.send(()).expect("heard");
        fetch.join().expect("no panic");
    });
    assert!(!prefetch.are_fetching(&prefetch.all()), "it began before the last check");
    let mut other = prefetch.lane(&["q".to_owned()].into());
    let found = other.next(&prefetch, &map, &DequeueFilter::all(), false).expect("the queue answers");
    assert!(matches!(found, Found::Nothing(_)));
    assert!(prefetch.are_fetching(&prefetch.all()), "it began since");
    assert!(!prefetch.are_fetching(&prefetch.all()));
}

#[test]
fn a_commit_waits_two_milliseconds_or_five_between_fetches() {
    let due = |are_fetching| (0..10).find(|waited| is_due(Duration::from_millis(*waited), are_fetching));
    // The upkeep checks again a millisecond later.
    assert_eq!((due(false), due(true)), (Some(1), Some(4)));
}
