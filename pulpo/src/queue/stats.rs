//! How much there is, and how much has come and gone.

use chrono::{DateTime, Utc};
use serde::Serialize;

/// What a queue adapter holds, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// The messages by queue and request type, in this order; only where there
    /// are any.
    pub counts: Vec<Counts>,
    /// The queues that are paused.
    pub paused: Vec<Paused>,
    /// How many messages have come and gone. Two looks tell a rate.
    pub totals: Vec<Totals>,
    /// The servers that did not answer, of whose messages nothing is known.
    pub unreachable: Vec<Unreachable>,
}

/// A server that did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unreachable {
    /// Which server.
    pub server: String,
    /// Why not.
    pub error: String,
}

impl Unreachable {
    /// This server, for this reason.
    #[must_use]
    pub fn new(server: impl Into<String>, error: impl Into<String>) -> Self {
        Self { server: server.into(), error: error.into() }
    }
}

impl Stats {
    /// How many messages there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().map(Counts::total).sum()
    }

    /// Until when this queue is paused, if it is.
    #[must_use]
    pub fn paused_until(&self, queue: &str) -> Option<DateTime<Utc>> {
        self.paused.iter().find(|paused| paused.queue == queue).map(|paused| paused.until)
    }
}

/// The messages of one queue and request type, counted by state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Which queue.
    pub queue: String,
    /// Which request type; empty for all together, in queues that do not look.
    pub request_type: String,
    /// Waiting for a worker.
    pub ready: u64,
    /// Waiting for their time.
    pub delayed: u64,
    /// Being worked on.
    pub reserved: u64,
    /// Failed for good.
    pub buried: u64,
    /// Since when the oldest of those that are ready could have been started;
    /// with beanstalkd, the one that is next.
    pub oldest_ready: Option<DateTime<Utc>>,
}

impl Counts {
    /// Of this queue and request type, none yet.
    #[must_use]
    pub fn new(queue: impl Into<String>, request_type: impl Into<String>) -> Self {
        Self { queue: queue.into(), request_type: request_type.into(), ..Self::default() }
    }

    /// In any state.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.ready + self.delayed + self.reserved + self.buried
    }
}

/// A queue that hands out nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Paused {
    /// Which queue.
    pub queue: String,
    /// Until when, if nobody resumes it before.
    pub until: DateTime<Utc>,
}

impl Paused {
    /// This queue, until this time.
    #[must_use]
    pub fn new(queue: impl Into<String>, until: DateTime<Utc>) -> Self {
        Self { queue: queue.into(), until }
    }
}

/// How many messages have come and gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Totals {
    /// Of which queue; `None`: of all together, in an adapter that counts so.
    pub queue: Option<String>,
    /// How many were ever published. beanstalkd counts since the queue was last
    /// without messages and workers, or the server started.
    pub published: u64,
    /// How many of them have left: done, expired or deleted.
    pub finished: u64,
}

impl Totals {
    /// Of this queue, or of all.
    #[must_use]
    pub fn new(queue: Option<String>, published: u64, finished: u64) -> Self {
        Self { queue, published, finished }
    }
}
