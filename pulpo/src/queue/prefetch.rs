//! Leasing ahead and deferred commits, for every adapter that can settle and lease in one step.
//!
//! A round trip to the database or the server costs many times what a short job does. So one lane fetches for all
//! waiting lanes, and if jobs are short it leases some more ahead, which stay in a [`PrefetchBuffer`] until a lane
//! takes them. The commit of a short job is *deferred*: it goes with the next fetch of the process, or on its own after
//! [`LONGEST_DEFERRAL`] if no lane fetches.
//!
//! # Use in an adapter
//!
//! 1. Implement [`LeaseStore`] for the part that your consumers share. Its heart is [`exchange`](LeaseStore::exchange):
//!    settle these messages and lease up to that many others, in one transaction or one write.
//! 2. Keep one [`Prefetch`] beside it, and in each consumer a [`Lane`] from [`Prefetch::lane`].
//! 3. `dequeue` calls [`Lane::try_take`] and then [`Lane::next`], and waits in between by the adapter's own means: for
//!    a notification, or for a time.
//! 4. `settle` calls [`Lane::defer_commit`] for a deferrable commit; any other settlement goes to the store at once,
//!    after [`Lane::was_long`].
//! 5. `flush` calls [`Prefetch::flush`], and then [`Prefetch::release`] with the result of [`Lane::take_all`];
//!    `take_lost_leases` calls the lane's.
//! 6. A thread of the adapter calls [`Prefetch::run_upkeep`] when the store is [woken](LeaseStore::wake_upkeep), and again
//!    after the time that it returns: an [`Upkeep`](upkeep::Upkeep) does that.
//!
//! An adapter that cannot lease ahead (because its server counts each delivery as an attempt) returns false from
//! [`LeaseStore::can_prefetch`], or uses [`DeferredCommits`] alone.
//!
//! # Invariants
//! - A commit that fails does not affect other commits or the fetch.
//! - A message in a buffer was not handed to a lane. It goes back uncounted: at a stop, at a pause, or if no lane has
//!   taken it for about ten milliseconds.
//! - Whatever happens to a fetching lane, the lanes that wait for it continue.

use std::fmt;
use std::time::Duration;

use self::buffer::PrefetchBuffer;
pub(crate) use self::buffer::{Found, NextMessage};
use self::deferred::LONGEST_DEFERRAL_BETWEEN_FETCHES;
pub(crate) use self::deferred::{DeferredCommit, DeferredCommits, LONGEST_DEFERRAL, LostLeases};
use self::store::commit;
pub(crate) use self::store::{Availability, Exchange, Exchanged, LeaseRequest, LeaseStore, Leased, Offer, StoreError};
use super::{DequeueFilter, Lease};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, lock};

pub(crate) mod buffer;
pub(crate) mod deferred;
mod store;
pub(crate) mod upkeep;

/// How often the upkeep checks while something is waiting.
const TICK: Duration = Duration::from_millis(1);

/// How long the upkeep waits when the queue cannot be reached.
const PAUSE: Duration = Duration::from_millis(100);

/// Queues, and messages of these that no lane took.
type Unreleased = (Arc<[String]>, Vec<Lease>);

/// The prefetched messages and deferred commits of all consumers of an adapter.
pub(crate) struct Prefetch<S: LeaseStore> {
    pub(crate) deferred: DeferredCommits<S::Tag>,
    /// One buffer for each set of queues that its consumers serve.
    buffers: Mutex<Vec<Arc<PrefetchBuffer<S>>>>,
    /// Those that could not be released yet. Locked while some are being released, so that a lane which ends waits for
    /// what the upkeep has in hand.
    unreleased: Mutex<Vec<Unreleased>>,
    /// The number of fetches that had begun when the upkeep last looked.
    fetches: AtomicU64,
}

impl<S: LeaseStore> fmt::Debug for Prefetch<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefetch").finish_non_exhaustive()
    }
}

impl<S: LeaseStore> Default for Prefetch<S> {
    fn default() -> Self {
        Self {
            deferred: DeferredCommits::default(),
            buffers: Mutex::new(Vec::new()),
            unreleased: Mutex::new(Vec::new()),
            fetches: AtomicU64::new(0),
        }
    }
}

impl<S: LeaseStore> Prefetch<S> {
    /// Creates the lane of a consumer of these queues.
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

    /// Carries out all commits that were deferred before, and returns when they are done.
    pub(crate) fn flush(&self, store: &S) -> Result<(), S::Error> {
        self.deferred.flush(|batch| commit(store, batch))
    }

    /// Makes messages ready again that were leased ahead and not handed to a lane. Those for which that fails for now
    /// stay here, and the upkeep tries again.
    pub(crate) fn release(&self, store: &S, queues: &Arc<[String]>, leases: Vec<Lease>) -> Result<(), S::Error> {
        self.release_those(store, queues, || leases).inspect_err(|_| store.wake_upkeep())
    }

    /// Does the same without a wake, for the upkeep: it would find no pause.
    fn release_those(
        &self,
        store: &S,
        queues: &Arc<[String]>,
        leases: impl FnOnce() -> Vec<Lease>,
    ) -> Result<(), S::Error> {
        let mut unreleased = lock(&self.unreleased);
        let leases = leases();
        if !leases.is_empty() {
            unreleased.push((queues.clone(), leases));
        }
        let (mut failed, mut stops) = (None, false);
        unreleased.retain(|(queues, leases)| {
            // Each may take as long as the store waits for a server that is silent.
            if stops {
                return true;
            }
            let Err(error) = store.release(queues, leases.clone()) else { return false };
            stops = error.is_transient();
            // The last error counts: if it may pass, the caller tries again.
            failed = Some(error);
            stops
        });
        if stops {
            // The next call begins with another one, since it may be these alone that fail.
            unreleased.rotate_left(1);
        }
        drop(unreleased);
        failed.map_or(Ok(()), Err)
    }

    /// Makes all messages ready again that were leased ahead.
    pub(crate) fn release_all(&self, store: &S) -> Result<(), S::Error> {
        self.all().iter().try_for_each(|buffer| self.release(store, &buffer.queues, buffer.take_all()))
    }

    /// Does the work that is due, and returns when to call it again, if anything is waiting.
    pub(crate) fn run_upkeep(&self, store: &S) -> Option<Duration> {
        let mut again = TICK;
        let buffers = self.all();
        let are_fetching = self.are_fetching(&buffers);
        if self.deferred.waited().is_some_and(|waited| is_due(waited, are_fetching))
            && let Err(error) = self.flush(store)
        {
            tracing::debug!(%error, "cannot settle short jobs, trying again");
            again = PAUSE;
        }
        for buffer in &buffers {
            if let Err(error) = self.release_those(store, &buffer.queues, || buffer.take_stale()) {
                tracing::debug!(%error, "cannot release prefetched messages");
                again = PAUSE;
            }
        }
        let waits = self.deferred.any() || !self.holds_nothing(&buffers);
        waits.then_some(again)
    }

    /// Returns whether this process has no prefetched message and no deferred commit left.
    pub(crate) fn is_empty(&self) -> bool {
        !self.deferred.any() && self.holds_nothing(&self.all())
    }

    fn holds_nothing(&self, buffers: &[Arc<PrefetchBuffer<S>>]) -> bool {
        lock(&self.unreleased).is_empty() && buffers.iter().all(|buffer| buffer.is_empty())
    }

    /// Returns whether a lane is fetching, or has begun to fetch since the last call; for the upkeep.
    fn are_fetching(&self, buffers: &[Arc<PrefetchBuffer<S>>]) -> bool {
        let all = buffers.iter().map(|buffer| buffer.fetches());
        let (begun, any) = all.fold((0, false), |(begun, any), (more, now)| (begun + more, any || now));
        self.fetches.swap(begun, Ordering::Relaxed) != begun || any
    }

    fn all(&self) -> Vec<Arc<PrefetchBuffer<S>>> {
        lock(&self.buffers).clone()
    }
}

/// Returns whether the upkeep must carry out commits of which the first has waited this long, since it may be too late
/// when it looks again.
fn is_due(waited: Duration, are_fetching: bool) -> bool {
    waited + TICK >= if are_fetching { LONGEST_DEFERRAL_BETWEEN_FETCHES } else { LONGEST_DEFERRAL }
}

/// The share of one consumer in a [`Prefetch`].
pub(crate) struct Lane<S: LeaseStore> {
    buffer: Arc<PrefetchBuffer<S>>,
    /// Whether the last job was so short that more messages may be leased ahead.
    may_prefetch: bool,
    lost: Arc<LostLeases>,
}

impl<S: LeaseStore> Lane<S> {
    pub(crate) fn queues(&self) -> &Arc<[String]> {
        &self.buffer.queues
    }

    /// Takes a prefetched message that matches, unless it is this lane's turn to fetch. `took`: the duration of the
    /// lane's previous job.
    pub(crate) fn try_take(&self, store: &S, filter: &DequeueFilter, took: Option<Duration>) -> Option<Leased<S::Tag>> {
        self.buffer.try_take(store, filter, self.may_prefetch, took)
    }

    /// Returns the next message that matches, and fetches if none is in the buffer. `checks_first`: there may be no
    /// message.
    pub(crate) fn next(
        &mut self,
        prefetch: &Prefetch<S>,
        store: &S,
        filter: &DequeueFilter,
        checks_first: bool,
    ) -> NextMessage<S> {
        let found = self.buffer.take(&prefetch.deferred, store, filter, self.may_prefetch, checks_first);
        if matches!(found, Ok(Found::Nothing(_))) {
            self.may_prefetch = false;
        }
        found
    }

    /// Records that the last job was not settled with a deferred commit, so nothing is leased ahead after it.
    pub(crate) fn was_long(&mut self) {
        self.may_prefetch = false;
    }

    /// Defers a commit to the next fetch, or for a moment.
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

    /// Takes all prefetched messages for lanes of these queues.
    pub(crate) fn take_all(&self) -> Vec<Lease> {
        self.buffer.take_all()
    }

    /// Returns whether [`take_lost_leases`](Self::take_lost_leases) would return any.
    pub(crate) fn any_lost(&self) -> bool {
        self.lost.any()
    }

    /// Returns the leases whose deferred commits did nothing, each once.
    pub(crate) fn take_lost_leases(&self) -> Vec<Lease> {
        self.lost.take()
    }

    /// Records that the consumer is gone.
    pub(crate) fn leave(&self) {
        self.buffer.leave();
    }
}

// Left out where `tests/models` compiles this file.
#[cfg(all(test, feature = "file"))]
mod tests;
