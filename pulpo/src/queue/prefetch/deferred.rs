//! Deferred commits: those that wait, and those that some thread is carrying out.
//!
//! # Invariants
//! Each commit is in the list or in one batch. A batch that is dropped before it is complete goes back to the front of
//! the list, also in a panic.

use std::time::Duration;

use crate::clock::{Clock as _, SystemClock};
use crate::queue::Lease;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Condvar, Mutex, lock, wait_while};

/// The longest time from deferring a commit until it is sent, if no lane fetches.
pub(crate) const LONGEST_DEFERRAL: Duration = Duration::from_millis(2);

/// The longest time while one fetch follows another: a fetch that is under way is followed by one that takes
/// the commit along. A step of its own in between would hold up both.
pub(crate) const LONGEST_DEFERRAL_BETWEEN_FETCHES: Duration = Duration::from_millis(5);

/// A message that is done.
#[derive(Clone, Debug)]
pub(crate) struct DeferredCommit<T> {
    pub(crate) lease: Lease,
    pub(crate) tag: T,
    /// The result of its job, as JSON.
    pub(crate) result: Option<std::sync::Arc<str>>,
    /// Where to report to its consumer that the lease had ended.
    pub(crate) lost: Arc<LostLeases>,
}

/// The leases of one consumer that had ended before its deferred commits were
/// carried out.
#[derive(Debug, Default)]
pub(crate) struct LostLeases {
    any: AtomicBool,
    leases: Mutex<Vec<Lease>>,
}

impl LostLeases {
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::SeqCst)
    }

    pub(crate) fn take(&self) -> Vec<Lease> {
        if !self.any.swap(false, Ordering::SeqCst) {
            return Vec::new();
        }
        std::mem::take(&mut lock(&self.leases))
    }

    fn add(&self, lease: Lease) {
        lock(&self.leases).push(lease);
        self.any.store(true, Ordering::SeqCst);
    }
}

#[derive(Debug)]
pub(crate) struct DeferredCommits<T> {
    /// Whether any commit is in the list or being carried out.
    any: AtomicBool,
    state: Mutex<State<T>>,
    ended: Condvar,
    /// Real time, whatever clock the queue has.
    clock: SystemClock,
}

#[derive(Debug)]
struct State<T> {
    waiting: Vec<DeferredCommit<T>>,
    /// When the first commit of the list was added.
    since: Option<Duration>,
    /// The numbers of the batches in progress.
    in_flight: Vec<u64>,
    next_batch: u64,
    /// Whether some commits in the list were in a batch before.
    has_returned: bool,
    /// Number of threads that wait for the batches of others.
    flushing: usize,
}

impl<T> Default for DeferredCommits<T> {
    fn default() -> Self {
        let state = State {
            waiting: Vec::new(),
            since: None,
            in_flight: Vec::new(),
            next_batch: 0,
            has_returned: false,
            flushing: 0,
        };
        Self { any: AtomicBool::new(false), state: Mutex::new(state), ended: Condvar::new(), clock: SystemClock::new() }
    }
}

impl<T: Clone> DeferredCommits<T> {
    /// Adds a commit. Returns whether it is the first in the list.
    pub(crate) fn add(&self, commit: DeferredCommit<T>) -> bool {
        let mut state = lock(&self.state);
        state.waiting.push(commit);
        self.any.store(true, Ordering::SeqCst);
        let is_first = state.since.is_none();
        if is_first {
            state.since = Some(self.clock.uptime());
        }
        is_first
    }

    /// Takes the whole list, for this thread to carry out.
    pub(crate) fn take(&self) -> CommitBatch<'_, T> {
        let nothing = || CommitBatch { all: self, number: None, commits: Arc::from([]), done: 0 };
        if !self.any() {
            return nothing();
        }
        let mut state = lock(&self.state);
        if state.waiting.is_empty() {
            return nothing();
        }
        let number = state.next_batch;
        state.next_batch += 1;
        state.in_flight.push(number);
        state.since = None;
        state.has_returned = false;
        let commits = std::mem::take(&mut state.waiting);
        drop(state);
        CommitBatch { all: self, number: Some(number), commits: commits.into(), done: 0 }
    }

    /// Returns when all commits that were added before are carried out, by this thread or by those that have them in
    /// progress.
    pub(crate) fn flush<E>(&self, mut commit: impl FnMut(CommitBatch<'_, T>) -> Result<(), E>) -> Result<(), E> {
        if !self.any() {
            return Ok(());
        }
        loop {
            let batch = self.take();
            if !batch.commits().is_empty() {
                commit(batch)?;
            }
            let mut state = lock(&self.state);
            // Read after the list was taken: another thread may have been faster, and its batch counts too.
            let before = state.next_batch;
            let theirs = |state: &mut State<T>| state.in_flight.iter().any(|number| *number < before);
            state.flushing += 1;
            state = wait_while(&self.ended, state, theirs);
            state.flushing -= 1;
            if !state.has_returned {
                return Ok(());
            }
        }
    }

    /// Returns how long the first commit of the list has waited.
    pub(crate) fn waited(&self) -> Option<Duration> {
        if !self.any() {
            return None;
        }
        let since = lock(&self.state).since;
        since.map(|since| self.clock.uptime().saturating_sub(since))
    }

    /// Returns whether any commit is not carried out yet.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::SeqCst)
    }
}

/// Commits that one thread carries out.
#[derive(Debug)]
pub(crate) struct CommitBatch<'a, T: Clone> {
    all: &'a DeferredCommits<T>,
    /// The number of the batch; `None` if it is empty.
    number: Option<u64>,
    commits: Arc<[DeferredCommit<T>]>,
    /// Number of its commits that are carried out or given up.
    done: usize,
}

impl<T: Clone> CommitBatch<'_, T> {
    pub(crate) fn commits(&self) -> &Arc<[DeferredCommit<T>]> {
        &self.commits
    }

    /// Completes the batch. `committed`: for each commit, whether its lease was still valid.
    pub(crate) fn complete(mut self, committed: &[bool]) {
        for index in 0..self.commits.len() {
            self.complete_next(committed.get(index) == Some(&true));
        }
    }

    /// Completes the next commit, which was carried out or given up.
    pub(crate) fn complete_next(&mut self, committed: bool) {
        let Some(commit) = self.commits.get(self.done) else { return };
        self.done += 1;
        if !committed {
            commit.lost.add(commit.lease.clone());
        }
    }
}

impl<T: Clone> Drop for CommitBatch<'_, T> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut state = lock(&self.all.state);
        let left = &self.commits[self.done..];
        if !left.is_empty() {
            let newer = std::mem::take(&mut state.waiting);
            state.waiting = left.iter().cloned().chain(newer).collect();
            state.has_returned = true;
            let now = self.all.clock.uptime();
            state.since.get_or_insert(now);
        }
        state.in_flight.retain(|other| *other != number);
        let any = !state.waiting.is_empty() || !state.in_flight.is_empty();
        self.all.any.store(any, Ordering::SeqCst);
        // Notifying without a waiter would still be a system call.
        if state.flushing > 0 {
            drop(state);
            self.all.ended.notify_all();
        }
    }
}
