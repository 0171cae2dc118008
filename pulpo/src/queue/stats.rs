//! Statistics of a queue.

use chrono::{DateTime, Utc};
use serde::Serialize;

/// The content of a queue at one moment, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// The messages by queue and request type, in this order. Pairs without messages are left out.
    pub counts: Vec<Counts>,
    /// The queues that are paused.
    pub paused: Vec<Paused>,
    /// How many messages have come and gone. The difference of two counts gives
    /// a rate.
    pub totals: Vec<Totals>,
    /// The servers that did not answer, whose messages are not counted.
    pub unreachable: Vec<Unreachable>,
    /// Causes of slowness that you can remove, as sentences.
    pub warnings: Vec<String>,
}

/// A server that did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unreachable {
    /// The server.
    pub server: String,
    /// The error.
    pub error: String,
}

impl Unreachable {
    /// Creates the entry of a server.
    #[must_use]
    pub fn new(server: impl Into<String>, error: impl Into<String>) -> Self {
        Self { server: server.into(), error: error.into() }
    }

    /// Returns whether it stands for all servers of the queue.
    pub(crate) fn is_whole_queue(&self) -> bool {
        self.server == WHOLE_QUEUE
    }
}

/// The name under which a queue is unreachable of which no server answers.
const WHOLE_QUEUE: &str = "the queue";

impl Stats {
    /// Creates the statistics of a queue of which no server answers.
    pub(crate) fn unknown(error: String) -> Self {
        Self { unreachable: vec![Unreachable::new(WHOLE_QUEUE, error)], ..Self::default() }
    }

    /// Returns why no server answers, if so.
    pub(crate) fn outage(&self) -> Option<&str> {
        self.unreachable.iter().find(|one| one.is_whole_queue()).map(|one| one.error.as_str())
    }

    /// Returns the total number of messages.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().map(Counts::total).sum()
    }

    /// Returns the time until which this queue is paused, if it is.
    #[must_use]
    pub fn paused_until(&self, queue: &str) -> Option<DateTime<Utc>> {
        self.paused.iter().find(|paused| paused.queue == queue).map(|paused| paused.until)
    }
}

/// The messages of one queue and request type, counted by state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// The queue.
    pub queue: String,
    /// The request type; empty for all together, in queues that do not
    /// distinguish them.
    pub request_type: String,
    /// Waiting for a worker.
    pub ready: u64,
    /// Waiting for their time.
    pub delayed: u64,
    /// Leased to a worker.
    pub reserved: u64,
    /// Failed permanently.
    pub buried: u64,
    /// The time since which the oldest ready message could have started; with
    /// beanstalkd, the next one.
    pub oldest_ready: Option<DateTime<Utc>>,
}

impl Counts {
    /// Creates counts of zero for this queue and request type.
    #[must_use]
    pub fn new(queue: impl Into<String>, request_type: impl Into<String>) -> Self {
        Self { queue: queue.into(), request_type: request_type.into(), ..Self::default() }
    }

    /// Returns the total over all states.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.ready + self.delayed + self.reserved + self.buried
    }
}

/// A paused queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Paused {
    /// The queue.
    pub queue: String,
    /// The time until which it is paused, unless it is resumed before.
    pub until: DateTime<Utc>,
}

impl Paused {
    /// Creates the entry of a queue that is paused until this time.
    #[must_use]
    pub fn new(queue: impl Into<String>, until: DateTime<Utc>) -> Self {
        Self { queue: queue.into(), until }
    }
}

/// How many messages have come and gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Totals {
    /// The queue; `None` for all together, in an adapter that counts that way.
    pub queue: Option<String>,
    /// Number of messages ever published. beanstalkd counts since the queue last had
    /// neither messages nor workers, or the server started.
    pub published: u64,
    /// Number of these messages that have left: done, expired or deleted.
    pub finished: u64,
}

impl Totals {
    /// Creates the totals of this queue, or of all.
    #[must_use]
    pub fn new(queue: Option<String>, published: u64, finished: u64) -> Self {
        Self { queue, published, finished }
    }
}
