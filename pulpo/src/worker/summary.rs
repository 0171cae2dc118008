//! Counts the messages that a worker has settled, by outcome.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::disposition::Disposition;
use crate::queue::QueueError;

/// How many messages a worker has settled, by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// Jobs done.
    pub done: u64,
    /// Runs that failed or could not begin, and will be retried.
    pub retried: u64,
    /// Messages buried, those that a person cancelled among them.
    pub buried: u64,
    /// Messages deleted without a run because they had expired.
    pub expired: u64,
    /// Runs that lost their lease, so that their result did not count.
    pub lost_leases: u64,
    /// Messages put back without counting an attempt when the worker stopped.
    pub released: u64,
}

/// The outcome of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SettledAs {
    Done,
    Retried,
    /// Put back without counting an attempt.
    Released,
    Expired,
    Buried,
    /// Buried because a person has cancelled it.
    Cancelled,
    /// Not settled: its lease had ended before.
    LeaseLost,
}

impl SettledAs {
    /// Returns the outcome of a decision, given the answer of the queue.
    pub(super) fn of(disposition: &Disposition, result: &Result<(), QueueError>) -> Self {
        match (result, disposition) {
            (Err(QueueError::Cancelled { .. }), _) => Self::Cancelled,
            (Err(_), _) => Self::LeaseLost,
            (Ok(()), Disposition::Commit) => Self::Done,
            (Ok(()), Disposition::Expire) => Self::Expired,
            (Ok(()), Disposition::Rollback { delay, counted, .. }) if *counted || !delay.is_zero() => Self::Retried,
            (Ok(()), Disposition::Rollback { .. }) => Self::Released,
            (Ok(()), Disposition::LeaveToOthers { .. }) => Self::Retried,
            (Ok(()), Disposition::Bury { .. }) => Self::Buried,
        }
    }

    /// Returns its name in the span of a run.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Retried => "retried",
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Buried => "buried",
            Self::Cancelled => "cancelled",
            Self::LeaseLost => "lost",
        }
    }
}

/// The counts behind a [`Summary`], updated by all lanes.
#[derive(Debug, Default)]
pub(super) struct Counts {
    done: AtomicU64,
    retried: AtomicU64,
    buried: AtomicU64,
    expired: AtomicU64,
    lost: AtomicU64,
    released: AtomicU64,
}

impl Counts {
    pub(super) fn add(&self, settled: SettledAs) {
        let count = match settled {
            SettledAs::Done => &self.done,
            SettledAs::Retried => &self.retried,
            SettledAs::Released => &self.released,
            SettledAs::Expired => &self.expired,
            SettledAs::Buried | SettledAs::Cancelled => &self.buried,
            SettledAs::LeaseLost => &self.lost,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Corrects the count of a job that was counted as done: its commit came too late.
    pub(super) fn done_is_lost(&self) {
        self.done.fetch_sub(1, Ordering::Relaxed);
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn summary(&self) -> Summary {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Summary {
            done: read(&self.done),
            retried: read(&self.retried),
            buried: read(&self.buried),
            expired: read(&self.expired),
            lost_leases: read(&self.lost),
            released: read(&self.released),
        }
    }
}
