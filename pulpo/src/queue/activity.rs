//! Numbers over time: messages published, done and failed, by minute and by hour.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::QueueError;

/// The part of a queue that keeps numbers over time; see
/// [`QueueAdapter::activity`](super::QueueAdapter::activity).
///
/// The queue records them along with other writes or a few seconds later, and never by counting all messages.
pub trait ActivityLog: Send + Sync {
    /// Returns the steps since this time, oldest first. Steps in which nothing happened may be left out.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn read_activity(&self, asked: &ActivityFilter) -> Result<Vec<Activity>, QueueError>;

    /// Returns whether each step of all queues and types together has [`Activity::waiting`]. Default: no.
    fn knows_waiting(&self) -> bool {
        false
    }
}

/// An event in the life of a message that is counted.
#[cfg(any(feature = "file", feature = "postgres"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Published,
    Done,
    Failed,
    Buried,
    Expired,
}

/// The length of a step of [`Activity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActivityStep {
    /// Kept for a day.
    Minute,
    /// Kept for 31 days.
    Hour,
}

impl ActivityStep {
    /// Both lengths.
    pub const ALL: [Self; 2] = [Self::Minute, Self::Hour];

    /// Returns the length in minutes.
    #[must_use]
    pub const fn minutes(self) -> i64 {
        match self {
            Self::Minute => 1,
            Self::Hour => 60,
        }
    }

    /// Returns for how many minutes steps of this length are kept.
    #[must_use]
    pub const fn kept_minutes(self) -> i64 {
        match self {
            Self::Minute => 24 * 60,
            Self::Hour => 31 * 24 * 60,
        }
    }

    /// Returns the beginning of the step that contains this time.
    #[must_use]
    pub fn begin_of(self, time: DateTime<Utc>) -> DateTime<Utc> {
        let seconds = time.timestamp();
        let begin = seconds - seconds.rem_euclid(self.minutes() * 60);
        DateTime::from_timestamp(begin, 0).unwrap_or(time)
    }
}

/// The numbers to read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActivityFilter {
    /// The length of each step.
    pub step: ActivityStep,
    /// The first step is the one that contains this time.
    pub since: DateTime<Utc>,
    /// Only this queue, if given.
    pub queue: Option<String>,
    /// Only this request type, if given.
    pub request_type: Option<String>,
}

impl ActivityFilter {
    /// Asks for the numbers of all queues and types since this time.
    #[must_use]
    pub fn since(step: ActivityStep, since: DateTime<Utc>) -> Self {
        Self { step, since, queue: None, request_type: None }
    }

    /// Restricts them to this queue.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Restricts them to this request type.
    #[must_use]
    pub fn request_type(mut self, request_type: impl Into<String>) -> Self {
        self.request_type = Some(request_type.into());
        self
    }

    /// Returns the beginning of the first step, within the time for which steps are kept.
    #[must_use]
    pub fn begin(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let kept = TimeDelta::minutes(self.step.kept_minutes());
        self.step.begin_of(self.since.max(now.checked_sub_signed(kept).unwrap_or(self.since)))
    }
}

/// The numbers of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Activity {
    /// The beginning of the step.
    pub at: DateTime<Utc>,
    /// Messages that were published.
    pub published: u64,
    /// Jobs that were done.
    pub done: u64,
    /// Runs that failed, after which the job waits for another attempt.
    pub failed: u64,
    /// Jobs that failed permanently. Those that a person cancelled are not counted.
    pub buried: u64,
    /// Messages that were deleted without a run because their expiration had passed.
    pub expired: u64,
    /// Number of messages that were ready at the end of the step, or a moment later. `None` if the queue does not know,
    /// and if only a part of it is asked for. A step that was left out ended like the next one that is present.
    pub waiting: Option<u64>,
    /// The time since which the oldest of these could have started. `None` as for `waiting`, and if no message was
    /// ready.
    pub oldest_ready: Option<DateTime<Utc>>,
}

/// Fills in the steps without a record of what was ready. Nothing happened between such a step and the next recorded
/// one, so the same messages were ready at the end of both. `now` is how many are ready now, and since when the oldest is.
#[cfg(any(feature = "file", feature = "postgres"))]
pub(crate) fn fill_waiting(all: &mut [Activity], now: (Option<u64>, Option<DateTime<Utc>>)) {
    let mut later = now;
    for activity in all.iter_mut().rev() {
        if activity.waiting.is_some() {
            later = (activity.waiting, activity.oldest_ready);
        } else {
            (activity.waiting, activity.oldest_ready) = later;
        }
    }
}

impl Activity {
    /// Creates a step in which nothing has happened.
    #[must_use]
    pub const fn none(at: DateTime<Utc>) -> Self {
        Self { at, published: 0, done: 0, failed: 0, buried: 0, expired: 0, waiting: None, oldest_ready: None }
    }

    /// Adds the numbers of a later step; its state at the end replaces the earlier one.
    pub fn add(&mut self, later: &Self) {
        self.published += later.published;
        self.done += later.done;
        self.failed += later.failed;
        self.buried += later.buried;
        self.expired += later.expired;
        if later.waiting.is_some() {
            (self.waiting, self.oldest_ready) = (later.waiting, later.oldest_ready);
        }
    }
}
