//! The store that an adapter provides: it settles and leases in one step.

use std::fmt;

use chrono::{DateTime, Utc};

use super::deferred::{CommitBatch, DeferredCommit};
use crate::queue::{Delivery, DequeueFilter, Lease};
use crate::sync::Arc;

/// The storage of an adapter: each method is one transaction, or one write.
pub(crate) trait LeaseStore: Send + Sync + 'static {
    /// The adapter's own data for a lease, beside what every queue has.
    type Tag: Clone + fmt::Debug + Send + Sync + 'static;
    type Error: StoreError;

    /// Commits these messages and leases those that the request asks for, all or nothing. A commit whose lease has
    /// ended changes nothing.
    fn exchange(&self, exchange: &Arc<Exchange<Self::Tag>>) -> Result<Exchanged<Self::Tag>, Self::Error>;

    /// Makes messages ready again, uncounted, that were not handed to a lane.
    fn release(&self, queues: &[String], leases: Vec<Lease>) -> Result<(), Self::Error>;

    /// Checks for messages without blocking others, before a lane that found nothing fetches again.
    fn availability(&self, request: &LeaseRequest) -> Result<Availability, Self::Error> {
        let _ = request;
        Ok(Availability::Unknown)
    }

    /// Returns whether other processes could see, if this one died, which leases were not handed to a lane. Only then
    /// may it lease ahead.
    fn can_prefetch(&self) -> bool {
        true
    }

    /// Returns the current time, by which leases end.
    fn now(&self) -> DateTime<Utc>;

    /// Returns the number of notifications so far, for a wait after a check.
    fn generation(&self) -> u64;

    /// Requests a call of [`Prefetch::run_upkeep`](super::Prefetch::run_upkeep) within a millisecond, because something
    /// is waiting.
    fn wake_upkeep(&self);
}

/// An error that can be passed to all lanes that waited for the same step.
pub(crate) trait StoreError: Clone + fmt::Debug + fmt::Display + Send + 'static {
    /// Returns whether another try may succeed without any change on our side.
    fn is_transient(&self) -> bool;
}

/// The work of one step.
#[derive(Debug)]
pub(crate) struct Exchange<T> {
    pub(crate) commits: Arc<[DeferredCommit<T>]>,
    pub(crate) lease: Option<LeaseRequest>,
}

/// The messages to lease.
#[derive(Clone, Debug)]
pub(crate) struct LeaseRequest {
    pub(crate) queues: Arc<[String]>,
    pub(crate) filter: DequeueFilter,
    /// Number of lanes that wait for a message.
    pub(crate) at_once: usize,
    /// Number of further messages, which lanes will take within milliseconds.
    pub(crate) ahead: usize,
}

impl LeaseRequest {
    #[allow(dead_code, reason = "for the models, which compile this file too")]
    pub(crate) fn most(&self) -> usize {
        self.at_once + self.ahead
    }
}

/// The result of an exchange.
#[derive(Debug)]
pub(crate) struct Exchanged<T> {
    /// For each commit, whether its lease was still valid.
    pub(crate) committed: Vec<bool>,
    pub(crate) leased: Offer<T>,
}

/// The result of leasing.
#[derive(Debug)]
pub(crate) enum Offer<T> {
    /// At least one message, in order.
    Messages(Vec<Leased<T>>),
    /// No message; there may be one at this time.
    NothingBefore(Option<DateTime<Utc>>),
}

/// The result of a check.
#[derive(Debug)]
pub(crate) enum Availability {
    /// There may be messages to take, or leases to expire.
    Unknown,
    /// There is nothing to take and no lease to expire before this time.
    NothingBefore(Option<DateTime<Utc>>),
}

/// A message that this process has leased.
#[derive(Clone, Debug)]
pub(crate) struct Leased<T> {
    pub(crate) delivery: Delivery,
    pub(crate) request_type: Arc<str>,
    pub(crate) leased_at: DateTime<Utc>,
    /// The adapter's own data for the lease.
    #[cfg_attr(not(feature = "file"), allow(dead_code, reason = "for the embedded queue"))]
    pub(crate) tag: T,
}

/// Carries out these commits, and leases the messages that are asked for.
pub(super) fn exchange<S: LeaseStore>(
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

pub(super) fn commit<S: LeaseStore>(store: &S, batch: CommitBatch<'_, S::Tag>) -> Result<(), S::Error> {
    exchange(store, batch, None).map(drop)
}

/// Carries out commits one by one after a failure, so that one that fails does not affect the others. That one is
/// dropped; commits that may succeed later stay.
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
