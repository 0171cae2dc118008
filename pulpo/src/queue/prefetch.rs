//! Leasing ahead and deferred commits, for every adapter that can settle and
//! lease in one step.
//!
//! A round trip to the database or the server costs many times what a short
//! job does. So one lane fetches for all lanes that wait, and where jobs are
//! short it leases some more ahead, which lie in a [`PrefetchBuffer`] until a
//! lane takes them. And the commit of a short job is *deferred*: it goes with
//! the next fetch of the process, or after [`LONGEST_DEFERRAL`] on its own.
//!
//! # How an adapter uses it
//!
//! 1. Implement [`LeaseStore`] for what your consumers share. Its heart is
//!    [`exchange`](LeaseStore::exchange): settle these, lease up to that many
//!    of those, in one transaction or one write.
//! 2. Keep one [`Prefetch`] beside it, and in each consumer a [`Lane`] from
//!    [`Prefetch::lane`].
//! 3. `dequeue` asks [`Lane::try_take`] and then [`Lane::next`], and waits in
//!    between as the adapter can: on a notification, for a time.
//! 4. `settle` of a deferrable commit calls [`Lane::defer_commit`]; any other
//!    settlement goes to the store at once, after [`Lane::was_long`].
//! 5. `flush` calls [`Prefetch::flush`] and then [`Prefetch::release`] with
//!    what [`Lane::take_all`] says; `take_lost_leases` calls the lane's.
//! 6. A thread of the adapter's calls [`Prefetch::tend`] when the store is
//!    [woken](LeaseStore::wake_upkeep), and again after the time that it says:
//!    an [`Upkeep`](upkeep::Upkeep) is one.
//!
//! An adapter that cannot lease ahead (a server that counts each delivery as an
//! attempt) says so by [`LeaseStore::can_prefetch`], or uses
//! [`DeferredCommits`] alone.
//!
//! # Invariants
//! - A commit that fails takes no other one, and no fetch, with it.
//! - What lies in a buffer was not handed to a lane: it goes back uncounted, at
//!   a stop, at a pause, or when no lane has taken it for about ten
//!   milliseconds.
//! - Whatever becomes of a lane that fetches, the lanes that wait for it go on.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

use self::buffer::PrefetchBuffer;
pub(crate) use self::buffer::{Found, Leased, NextMessage};
pub(crate) use self::deferred::{CommitBatch, DeferredCommit, DeferredCommits, LONGEST_DEFERRAL, LostLeases};
use super::{DequeueFilter, Lease};
use crate::sync::{Arc, Mutex, lock};

pub(crate) mod buffer;
pub(crate) mod deferred;
pub(crate) mod upkeep;

/// How often the upkeep looks while something waits.
const TICK: Duration = Duration::from_millis(1);

/// How long the upkeep waits when the queue is in trouble.
const PAUSE: Duration = Duration::from_millis(100);

/// What an adapter does in one transaction, or one write.
pub(crate) trait LeaseStore: Send + Sync + 'static {
    /// What the adapter keeps of a lease beside what every queue has.
    type Tag: Clone + fmt::Debug + Send + Sync + 'static;
    type Error: StoreError;

    /// Commits these messages, and leases what the request asks for. A commit
    /// whose lease has ended changes nothing. All of it is done, or nothing.
    fn exchange(&self, exchange: &Arc<Exchange<Self::Tag>>) -> Result<Exchanged<Self::Tag>, Self::Error>;

    /// Makes ready again, uncounted, what no lane was given.
    fn release(&self, queues: &[String], leases: Vec<Lease>) -> Result<(), Self::Error>;

    /// Looks without keeping others waiting, before a lane that has found
    /// nothing fetches again.
    fn look(&self, request: &LeaseRequest) -> Result<Look, Self::Error> {
        let _ = request;
        Ok(Look::Unknown)
    }

    /// Whether others would know, should this process die, which leases no
    /// lane was given: only then may it lease ahead.
    fn can_prefetch(&self) -> bool {
        true
    }

    /// The time that leases go by.
    fn now(&self) -> DateTime<Utc>;

    /// What was notified so far, for a wait that follows a look.
    fn generation(&self) -> u64;

    /// Something waits: [`Prefetch::tend`] is to be called within a
    /// millisecond.
    fn wake_upkeep(&self);
}

/// An error that can be told to all who waited for the same step.
pub(crate) trait StoreError: Clone + fmt::Debug + fmt::Display + Send + 'static {
    /// Whether another try may succeed, with nothing changed by us.
    fn is_transient(&self) -> bool;
}

/// What is to be done in one step.
#[derive(Debug)]
pub(crate) struct Exchange<T> {
    pub(crate) commits: Arc<[DeferredCommit<T>]>,
    pub(crate) lease: Option<LeaseRequest>,
}

/// Which messages are to be leased.
#[derive(Clone, Debug)]
pub(crate) struct LeaseRequest {
    pub(crate) queues: Arc<[String]>,
    pub(crate) filter: DequeueFilter,
    /// How many lanes wait for one.
    pub(crate) at_once: usize,
    /// How many more, which lanes will take in a few milliseconds.
    pub(crate) ahead: usize,
}

impl LeaseRequest {
    #[allow(dead_code, reason = "for the models, which compile this file too")]
    pub(crate) fn most(&self) -> usize {
        self.at_once + self.ahead
    }
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Exchanged<T> {
    /// For each commit, whether its lease was still this one.
    pub(crate) committed: Vec<bool>,
    pub(crate) leased: Offer<T>,
}

/// What there was to lease.
#[derive(Debug)]
pub(crate) enum Offer<T> {
    /// At least one, in their order.
    Messages(Vec<Leased<T>>),
    /// Nothing; at this time there may be something.
    NothingBefore(Option<DateTime<Utc>>),
}

/// What a look has seen.
#[derive(Debug)]
pub(crate) enum Look {
    /// There may be something to take or to end.
    Unknown,
    /// There is nothing to take and nothing to end before this time.
    NothingBefore(Option<DateTime<Utc>>),
}

/// What lies ready and what is to be committed, of all consumers of an adapter.
pub(crate) struct Prefetch<S: LeaseStore> {
    pub(crate) deferred: DeferredCommits<S::Tag>,
    /// One for each choice of queues that its consumers serve.
    buffers: Mutex<Vec<Arc<PrefetchBuffer<S>>>>,
}

impl<S: LeaseStore> fmt::Debug for Prefetch<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefetch").finish_non_exhaustive()
    }
}

impl<S: LeaseStore> Default for Prefetch<S> {
    fn default() -> Self {
        Self { deferred: DeferredCommits::default(), buffers: Mutex::new(Vec::new()) }
    }
}

impl<S: LeaseStore> Prefetch<S> {
    /// For a consumer of these queues.
    pub(crate) fn lane(&self, queues: &Arc<[String]>) -> Lane<S> {
        let mut buffers = lock(&self.buffers);
        let known = buffers.iter().find(|buffer| buffer.queues == *queues).cloned();
        let buffer = known.unwrap_or_else(|| {
            let buffer = Arc::new(PrefetchBuffer::new(queues.clone()));
            buffers.push(buffer.clone());
            buffer
        });
        drop(buffers);
        buffer.enter();
        Lane { buffer, may_prefetch: false, lost: Arc::default() }
    }

    /// Returns when all commits that were deferred before are carried out.
    pub(crate) fn flush(&self, store: &S) -> Result<(), S::Error> {
        self.deferred.flush(|batch| commit(store, batch))
    }

    /// Makes ready again what was leased ahead and no lane was given.
    pub(crate) fn release(&self, store: &S, queues: &[String], leases: Vec<Lease>) -> Result<(), S::Error> {
        if leases.is_empty() { Ok(()) } else { store.release(queues, leases) }
    }

    /// Makes ready again all of it.
    pub(crate) fn release_all(&self, store: &S) -> Result<(), S::Error> {
        self.all().iter().try_for_each(|buffer| self.release(store, &buffer.queues, buffer.take_all()))
    }

    /// Does what is due; when it is to be called again, if anything waits.
    pub(crate) fn tend(&self, store: &S) -> Option<Duration> {
        let mut again = TICK;
        if self.deferred.waited().is_some_and(|waited| waited + TICK >= LONGEST_DEFERRAL)
            && let Err(error) = self.flush(store)
        {
            tracing::debug!(%error, "cannot settle short jobs, trying again");
            again = PAUSE;
        }
        let buffers = self.all();
        for buffer in &buffers {
            if let Err(error) = self.release(store, &buffer.queues, buffer.take_stale()) {
                tracing::debug!(%error, "cannot release prefetched messages: their leases will expire");
            }
        }
        let waits = self.deferred.any() || buffers.iter().any(|buffer| !buffer.is_empty());
        waits.then_some(again)
    }

    /// Whether nothing is left that this process has leased ahead or is to
    /// commit.
    pub(crate) fn is_empty(&self) -> bool {
        !self.deferred.any() && self.all().iter().all(|buffer| buffer.is_empty())
    }

    fn all(&self) -> Vec<Arc<PrefetchBuffer<S>>> {
        lock(&self.buffers).clone()
    }
}

/// What one consumer has of it.
pub(crate) struct Lane<S: LeaseStore> {
    buffer: Arc<PrefetchBuffer<S>>,
    /// Whether the last job was so short that others may be leased ahead.
    may_prefetch: bool,
    lost: Arc<LostLeases>,
}

impl<S: LeaseStore> Lane<S> {
    pub(crate) fn queues(&self) -> &Arc<[String]> {
        &self.buffer.queues
    }

    /// One that lies ready and fits, unless it is this lane's turn to fetch.
    /// `took`: for how long it was busy with the job before.
    pub(crate) fn try_take(&self, store: &S, filter: &DequeueFilter, took: Option<Duration>) -> Option<Leased<S::Tag>> {
        self.buffer.try_take(store, filter, self.may_prefetch, took)
    }

    /// The next message that fits, fetched if none lies ready. `looks_first`:
    /// there may be nothing.
    pub(crate) fn next(
        &mut self,
        prefetch: &Prefetch<S>,
        store: &S,
        filter: &DequeueFilter,
        looks_first: bool,
    ) -> NextMessage<S> {
        let found = self.buffer.take(&prefetch.deferred, store, filter, self.may_prefetch, looks_first);
        if matches!(found, Ok(Found::Nothing(_))) {
            self.may_prefetch = false;
        }
        found
    }

    /// The last job was not settled in passing: nothing is leased ahead after it.
    pub(crate) fn was_long(&mut self) {
        self.may_prefetch = false;
    }

    /// Commits with the next fetch, or in a moment.
    pub(crate) fn defer_commit(
        &mut self,
        prefetch: &Prefetch<S>,
        store: &S,
        lease: Lease,
        tag: S::Tag,
        result: Option<std::sync::Arc<str>>,
    ) {
        self.may_prefetch = true;
        if prefetch.deferred.add(DeferredCommit { lease, tag, result, lost: self.lost.clone() }) {
            store.wake_upkeep();
        }
    }

    /// All that lies ready for lanes of these queues.
    pub(crate) fn take_all(&self) -> Vec<Lease> {
        self.buffer.take_all()
    }

    /// Whether there are any of those that [`take_lost_leases`](Self::take_lost_leases) says.
    pub(crate) fn any_lost(&self) -> bool {
        self.lost.any()
    }

    /// Leases whose deferred commits did nothing, each once.
    pub(crate) fn take_lost_leases(&self) -> Vec<Lease> {
        self.lost.take()
    }

    /// The consumer goes.
    pub(crate) fn leave(&self) {
        self.buffer.leave();
    }
}

/// Carries these commits out, and leases what is asked for.
fn exchange<S: LeaseStore>(
    store: &S,
    batch: CommitBatch<'_, S::Tag>,
    lease: Option<LeaseRequest>,
) -> Result<Offer<S::Tag>, S::Error> {
    let step = Arc::new(Exchange { commits: batch.commits().clone(), lease });
    match store.exchange(&step) {
        Ok(done) => {
            batch.complete(&done.committed);
            Ok(done.leased)
        }
        Err(error) if error.is_transient() || step.commits.is_empty() => Err(error),
        Err(_) => {
            commit_each(store, batch)?;
            let lease = step.lease.clone();
            store.exchange(&Arc::new(Exchange { commits: Arc::from([]), lease })).map(|done| done.leased)
        }
    }
}

fn commit<S: LeaseStore>(store: &S, batch: CommitBatch<'_, S::Tag>) -> Result<(), S::Error> {
    exchange(store, batch, None).map(drop)
}

/// One of them cannot be carried out: it must not take the others with it. It
/// is given up; those that may succeed later stay.
fn commit_each<S: LeaseStore>(store: &S, mut batch: CommitBatch<'_, S::Tag>) -> Result<(), S::Error> {
    let all = batch.commits().clone();
    for commit in all.iter() {
        let step = Exchange { commits: Arc::from([commit.clone()]), lease: None };
        let committed = match store.exchange(&Arc::new(step)) {
            Ok(done) => done.committed.first() == Some(&true),
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                tracing::error!(id = %commit.lease.id, %error, "cannot settle a job that is done: it will run again");
                false
            }
        };
        batch.complete_next(committed);
    }
    Ok(())
}

// Not where `tests/models` compiles this file.
#[cfg(all(test, feature = "file"))]
mod tests;
