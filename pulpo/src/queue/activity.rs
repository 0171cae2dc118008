//! Numbers over time: how many messages came, were done and failed, by minute
//! and by hour.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::QueueError;

/// The part of a queue that keeps numbers over time; see
/// [`QueueAdapter::activity`](super::QueueAdapter::activity).
///
/// They are written in passing, with what is written anyway or a few seconds
/// later, and never by counting messages.
pub trait ActivityLog: Send + Sync {
    /// The steps since this time, the oldest first; those in which nothing has
    /// happened may be left out.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn read_activity(&self, asked: &ActivityFilter) -> Result<Vec<Activity>, QueueError>;
}

/// How long a step of [`Activity`] is, and how long it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActivityStep {
    /// Kept for a day.
    Minute,
    /// Kept for 31 days.
    Hour,
}

impl ActivityStep {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Minute, Self::Hour];

    /// How many minutes a step has.
    #[must_use]
    pub const fn minutes(self) -> i64 {
        match self {
            Self::Minute => 1,
            Self::Hour => 60,
        }
    }

    /// For how many minutes it is kept.
    #[must_use]
    pub const fn kept_minutes(self) -> i64 {
        match self {
            Self::Minute => 24 * 60,
            Self::Hour => 31 * 24 * 60,
        }
    }

    /// When the step that holds this time began.
    #[must_use]
    pub fn begin_of(self, time: DateTime<Utc>) -> DateTime<Utc> {
        let seconds = time.timestamp();
        let begin = seconds - seconds.rem_euclid(self.minutes() * 60);
        DateTime::from_timestamp(begin, 0).unwrap_or(time)
    }
}

/// Which numbers are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActivityFilter {
    /// How long each step is.
    pub step: ActivityStep,
    /// The first step is the one that holds this time.
    pub since: DateTime<Utc>,
    /// Only of this queue.
    pub queue: Option<String>,
    /// Only of this request type.
    pub request_type: Option<String>,
}

impl ActivityFilter {
    /// Of all queues and types, since this time.
    #[must_use]
    pub fn since(step: ActivityStep, since: DateTime<Utc>) -> Self {
        Self { step, since, queue: None, request_type: None }
    }

    /// Only of this queue.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Only of this request type.
    #[must_use]
    pub fn request_type(mut self, request_type: impl Into<String>) -> Self {
        self.request_type = Some(request_type.into());
        self
    }

    /// The time that the first step begins at; not before what is kept.
    #[must_use]
    pub fn begin(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let kept = TimeDelta::minutes(self.step.kept_minutes());
        self.step.begin_of(self.since.max(now.checked_sub_signed(kept).unwrap_or(self.since)))
    }
}

/// What happened in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Activity {
    /// When the step began.
    pub at: DateTime<Utc>,
    /// Messages that came into the queue.
    pub published: u64,
    /// Jobs that were done.
    pub done: u64,
    /// Runs that failed, after which the job waits for another attempt.
    pub failed: u64,
    /// Jobs that failed for good.
    pub buried: u64,
    /// Messages that were deleted unprocessed, as their expiration had passed.
    pub expired: u64,
    /// How many messages were ready at the end of the step, or a moment later.
    /// `None` if the queue does not know, and where only a part of it is asked
    /// for. A step that was left out ended as the next one that is there.
    pub waiting: Option<u64>,
    /// Since when the oldest of those could have been started; `None` as for
    /// `waiting`, and where none was ready.
    pub oldest_ready: Option<DateTime<Utc>>,
}

impl Activity {
    /// A step in which nothing has happened.
    #[must_use]
    pub const fn none(at: DateTime<Utc>) -> Self {
        Self { at, published: 0, done: 0, failed: 0, buried: 0, expired: 0, waiting: None, oldest_ready: None }
    }

    /// Adds what happened in another step; what is known of its end counts.
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
