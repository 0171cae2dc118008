//! The result of a run in a test.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::job::Job;
use crate::message::MessageId;
use crate::outcome::SNOOZED;
use crate::queue::Progress;

/// A message that was taken from the queue and settled, with its outcome.
#[derive(Clone, Debug)]
pub struct Run {
    id: MessageId,
    request_type: String,
    attempt: u32,
    settled: Settled,
    progress: Option<Progress>,
    rest: Vec<Run>,
}

/// The outcome of a run for its message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled {
    /// The handler returned `Ok`: the message is deleted.
    Done,
    /// The run failed, or could not begin yet: the message is tried again.
    #[non_exhaustive]
    PutBack {
        /// The delay.
        after: Duration,
        /// The reason.
        reason: String,
    },
    /// The message is kept for a person.
    #[non_exhaustive]
    Buried {
        /// The reason.
        reason: String,
    },
    /// Its expiration had passed: the message is deleted without a run.
    Expired,
    /// The lease was lost during the run, so the result did not count.
    Lost,
}

impl fmt::Display for Settled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::PutBack { after, reason } => {
                write!(f, "put back for {}: {reason}", humantime::format_duration(*after))
            }
            Self::Buried { reason } => write!(f, "buried: {reason}"),
            Self::Expired => f.write_str("expired"),
            Self::Lost => f.write_str("without effect, as the lease was lost"),
        }
    }
}

impl Run {
    pub(super) fn new(id: MessageId, request_type: String, attempt: u32, settled: Settled) -> Self {
        Self { id, request_type, attempt, settled, progress: None, rest: Vec::new() }
    }

    /// Returns the first run with the others of its batch; `None` without any run.
    pub(super) fn together(mut runs: Vec<Self>) -> Option<Self> {
        let rest = runs.split_off(runs.len().min(1));
        runs.pop().map(|first| Self { rest, ..first })
    }

    /// Returns all messages of the run separately.
    pub(super) fn apart(mut self) -> impl Iterator<Item = Self> {
        let rest = std::mem::take(&mut self.rest);
        std::iter::once(self).chain(rest)
    }

    /// Returns the id of the message.
    #[must_use]
    pub fn id(&self) -> &MessageId {
        &self.id
    }

    /// Returns the request type; empty if it could not be read.
    #[must_use]
    pub fn request_type(&self) -> &str {
        &self.request_type
    }

    /// Returns whether it was a message of this job.
    #[must_use]
    pub fn is_of<J: Job>(&self) -> bool {
        is_of::<J>(&self.request_type)
    }

    /// Returns the number of the run: 1 for the first.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Returns the outcome for the message.
    #[must_use]
    pub fn settled(&self) -> &Settled {
        &self.settled
    }

    /// Returns whether the job is done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.settled == Settled::Done
    }

    /// Returns why the message was put back or buried; `None` if it was neither.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match &self.settled {
            Settled::PutBack { reason, .. } | Settled::Buried { reason } => Some(reason),
            _ => None,
        }
    }

    /// Returns the last progress that the handler [reported](crate::Context::progress); of a batch, for its first
    /// message. `None` if it reported none.
    #[must_use]
    pub fn progress(&self) -> Option<&Progress> {
        self.progress.as_ref()
    }

    pub(super) fn set_progress(&mut self, progress: Option<Progress>) {
        self.progress = progress;
    }

    /// Returns the other messages that a batch handler was given together with this one, in order. Empty for other
    /// handlers, and in the result of [`drain`](super::TestPulpo::drain), which lists them all.
    #[must_use]
    pub fn rest(&self) -> &[Run] {
        &self.rest
    }

    /// Asserts that the job is done.
    ///
    /// # Panics
    /// If it is not; reports what happened to it.
    #[track_caller]
    pub fn assert_done(&self) {
        assert!(self.is_done(), "expected {self} to be done");
    }

    /// Asserts that the message was buried, with this text in its reason.
    ///
    /// # Panics
    /// If it was not; reports what happened to it.
    #[track_caller]
    pub fn assert_buried(&self, part: &str) {
        let fits = matches!(&self.settled, Settled::Buried { reason } if reason.contains(part));
        assert!(fits, "expected {self} to be buried with {part:?}");
    }

    /// Asserts that the message is retried after this time: a [`Duration`], or a range of them if the backoff is
    /// jittered.
    ///
    /// # Panics
    /// If it is not; reports what happened to it.
    #[track_caller]
    pub fn assert_retried_after(&self, delay: impl Into<Delay>) {
        let delay = delay.into();
        assert!(self.was_put_back(&delay), "expected {self} to be tried again after {delay}");
    }

    /// Asserts that the handler snoozed the job, `Err(pulpo::snooze(delay))`, for this time: a [`Duration`], or a range
    /// of them.
    ///
    /// # Panics
    /// If it has not; reports what happened to it.
    #[track_caller]
    pub fn assert_snoozed(&self, delay: impl Into<Delay>) {
        let delay = delay.into();
        assert!(self.was_snoozed(&delay), "expected {self} to be snoozed for {delay}");
    }

    pub(super) fn was_snoozed(&self, delay: &Delay) -> bool {
        self.reason().is_some_and(|reason| reason.starts_with(SNOOZED)) && self.was_put_back(delay)
    }

    pub(super) fn was_put_back(&self, delay: &Delay) -> bool {
        matches!(&self.settled, Settled::PutBack { after, .. } if delay.0.contains(after))
    }
}

/// Writes `attempt 2 of message 7 (`send_email`), which was buried: …`.
impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, request_type, attempt, settled, .. } = self;
        write!(f, "attempt {attempt} of message {id} (`{request_type}`), which was {settled},")
    }
}

/// Returns whether a message of this request type belongs to the job.
pub(super) fn is_of<J: Job>(request_type: &str) -> bool {
    J::REQUEST_TYPE == request_type || J::ALIASES.contains(&request_type)
}

/// A time, or a range of times with both ends, that an assertion expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay(pub(super) RangeInclusive<Duration>);

impl From<Duration> for Delay {
    fn from(exactly: Duration) -> Self {
        Self(exactly..=exactly)
    }
}

impl From<RangeInclusive<Duration>> for Delay {
    fn from(range: RangeInclusive<Duration>) -> Self {
        Self(range)
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (humantime::format_duration(*self.0.start()), humantime::format_duration(*self.0.end()));
        if self.0.start() == self.0.end() { write!(f, "{first}") } else { write!(f, "{first} to {last}") }
    }
}
