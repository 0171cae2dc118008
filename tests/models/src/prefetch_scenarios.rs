//! The prefetch buffer and the deferred commits: lanes that take and settle, the upkeep beside
//! them, fetches that fail or panic, and a stop.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use shuttle::thread;

use crate::guard::catch;
use crate::queue::prefetch::{
    Availability, Exchange, Exchanged, Found, Lane, LeaseRequest, LeaseStore, Leased, Offer, Prefetch, StoreError,
};
use crate::queue::{Delivery, DequeueFilter, Lease};
use crate::sync::{Arc, Mutex, lock};

/// Messages by number.
#[derive(Default)]
struct Messages {
    ready: BTreeSet<u32>,
    leased: BTreeSet<u32>,
    done: BTreeSet<u32>,
    /// The number of exchanges that will panic, and of those that will fail temporarily.
    panics: u32,
    failures: u32,
}

#[derive(Clone, Default)]
struct Store(Arc<Mutex<Messages>>);

#[derive(Clone, Debug)]
struct Failure;

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not now")
    }
}

impl StoreError for Failure {
    fn is_transient(&self) -> bool {
        true
    }
}

impl LeaseStore for Store {
    type Tag = u32;
    type Error = Failure;

    fn exchange(&self, exchange: &Arc<Exchange<u32>>) -> Result<Exchanged<u32>, Failure> {
        thread::yield_now();
        let mut messages = lock(&self.0);
        if messages.panics > 0 {
            messages.panics -= 1;
            drop(messages);
            panic!("a clock of the user's");
        }
        if messages.failures > 0 {
            messages.failures -= 1;
            return Err(Failure);
        }
        let mut committed = Vec::new();
        for commit in exchange.commits.iter() {
            let was_leased = messages.leased.remove(&commit.tag);
            assert!(!was_leased || messages.done.insert(commit.tag), "{} is committed twice", commit.tag);
            committed.push(was_leased);
        }
        let most = exchange.lease.as_ref().map_or(0, LeaseRequest::most);
        let ids: Vec<_> = messages.ready.iter().copied().take(most).collect();
        let lease = |id: u32| {
            assert!(messages.ready.remove(&id) && messages.leased.insert(id));
            let lease = Lease { id: u64::from(id).into(), token: "x".into() };
            let delivery = Delivery::new(lease, "q", DateTime::UNIX_EPOCH, Duration::from_secs(60), Vec::new());
            Leased { delivery, request_type: "job".into(), leased_at: DateTime::UNIX_EPOCH, tag: id }
        };
        let leased: Vec<_> = ids.into_iter().map(lease).collect();
        let leased = if leased.is_empty() { Offer::NothingBefore(None) } else { Offer::Messages(leased) };
        Ok(Exchanged { committed, leased })
    }

    fn release(&self, _: &[String], leases: Vec<Lease>) -> Result<(), Failure> {
        thread::yield_now();
        let mut messages = lock(&self.0);
        for lease in leases {
            let id = lease.id.as_str().parse().expect("a number");
            assert!(messages.leased.remove(&id), "{id} goes back though it is not leased");
            messages.ready.insert(id);
        }
        Ok(())
    }

    fn availability(&self, _: &LeaseRequest) -> Result<Availability, Failure> {
        Ok(if lock(&self.0).ready.is_empty() { Availability::NothingBefore(None) } else { Availability::Unknown })
    }

    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }

    fn generation(&self) -> u64 {
        0
    }

    fn wake_upkeep(&self) {}
}

struct Process {
    store: Store,
    prefetch: Prefetch<Store>,
    /// The messages that lanes received, each time.
    ran: Mutex<Vec<u32>>,
}

fn process(messages: Messages) -> Arc<Process> {
    Arc::new(Process {
        store: Store(Arc::new(Mutex::new(messages))),
        prefetch: Prefetch::default(),
        ran: Mutex::new(Vec::new()),
    })
}

/// Takes and runs short jobs, until there are no more or this many are done; then it flushes, as a
/// lane does at a stop.
fn work(process: &Process, most: usize) {
    let Process { store, prefetch, ran } = process;
    let mut lane = prefetch.lane(&["q".to_owned()].into());
    let all = DequeueFilter::all();
    let mut ours = Vec::new();
    for turn in 0..most {
        let took = (turn > 0).then_some(Duration::from_micros(10));
        let next = |lane: &mut Lane<Store>| match lane.try_take(store, &all, took) {
            Some(leased) => Ok(Found::Leased(leased)),
            None => lane.next(prefetch, store, &all, false),
        };
        match catch(|| next(&mut lane)) {
            Ok(Ok(Found::Leased(leased))) => {
                lock(ran).push(leased.tag);
                ours.push(leased.tag);
                lane.defer_commit(prefetch, store, leased.delivery.lease, leased.tag, None);
            }
            Ok(Ok(Found::Nothing(_))) => break,
            // The queue is in trouble, so the worker tries again.
            Ok(Err(_)) | Err(_) => {}
        }
    }
    while catch(|| prefetch.flush(store)).is_err_or_failed() {}
    // The process may end as soon as its lanes have.
    assert!(
        ours.iter().all(|tag| lock(&store.0).done.contains(tag)),
        "a commit of a lane that has flushed is not done"
    );
    prefetch.release(store, &lane.queues().clone(), lane.take_all()).expect("given back");
    assert_eq!(lane.take_lost_leases(), []);
    lane.leave();
}

trait Failed {
    fn is_err_or_failed(&self) -> bool;
}

impl Failed for Result<Result<(), Failure>, String> {
    fn is_err_or_failed(&self) -> bool {
        !matches!(self, Ok(Ok(())))
    }
}

/// Checks that nothing is leased when all lanes have ended, and that each message that a lane
/// received is done and ran once.
fn assert_nothing_is_left_behind(process: &Process) {
    let messages = lock(&process.store.0);
    let mut ran = lock(&process.ran).clone();
    ran.sort_unstable();
    assert!(ran.windows(2).all(|pair| pair[0] < pair[1]), "some ran twice: {ran:?}");
    assert_eq!(messages.done.iter().copied().collect::<Vec<_>>(), ran);
    assert!(messages.leased.is_empty() && process.prefetch.is_empty(), "{:?} are leased", messages.leased);
}

fn run(messages: Messages, lanes: usize, most: usize) {
    let process = process(messages);
    let upkeep = {
        let process = process.clone();
        thread::spawn(move || {
            for _ in 0..12 {
                let _ = catch(|| process.prefetch.run_upkeep(&process.store));
                thread::yield_now();
            }
        })
    };
    let lanes: Vec<_> = (0..lanes)
        .map(|_| {
            let process = process.clone();
            thread::spawn(move || work(&process, most))
        })
        .collect();
    lanes.into_iter().for_each(|lane| lane.join().expect("no panic"));
    // The process may end now, and does not wait for the upkeep.
    assert_nothing_is_left_behind(&process);
    upkeep.join().expect("no panic");
}

fn ready(count: u32) -> Messages {
    Messages { ready: (1..=count).collect(), ..Messages::default() }
}

/// Lanes drain a queue.
pub fn each_message_runs_once() {
    run(ready(20), 3, 30);
}

/// Each lane stops halfway, with other messages leased ahead.
pub fn a_stop_leaves_nothing_leased() {
    run(ready(30), 3, 4);
}

/// Fetches panic in one lane while other lanes wait for them.
pub fn a_fetch_that_panics_strands_no_thread() {
    run(Messages { panics: 2, ..ready(12) }, 3, 20);
}

/// Steps that contain commits fail temporarily.
pub fn a_step_that_fails_for_now_loses_no_commit() {
    run(Messages { failures: 3, ..ready(12) }, 2, 20);
}
