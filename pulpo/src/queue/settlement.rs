//! Settlements: what happens to a message when its lease ends.

use std::sync::Arc;
use std::time::Duration;

use super::{FailedRun, NewMessage};

/// How a consumer settles a message whose job has ended. The worker decides; the queue carries it out. A new kind of
/// outcome is a new variant, so that an adapter that does not know it does not compile.
#[derive(Clone, Debug)]
pub enum Settlement {
    /// The job is done: delete the message, and publish its follow-ups.
    #[non_exhaustive]
    Commit {
        /// Messages to enqueue together with the commit, as safely as [`QueueAdapter::enqueue`](super::QueueAdapter::enqueue) does. A queue removes
        /// the messages that it has stored from the list, so that a second attempt does not store them twice. A queue
        /// that cannot do both at once stores them first ([`enqueue_follow_ups`](super::enqueue_follow_ups)).
        follow_ups: Vec<NewMessage>,
        /// The result of the job, as JSON. It is kept with the message, if done messages are kept
        /// ([`Keeping`](super::Keeping)).
        result: Option<Arc<str>>,
        /// Whether the commit may be deferred by up to five milliseconds, to be
        /// carried out together with others or with the next
        /// [`dequeue`](super::Consumer::dequeue): the job took less than a
        /// millisecond, or is part of a batch. If the process dies before that,
        /// the job runs again.
        deferrable: bool,
    },
    /// Failed for now: make the message ready again.
    #[non_exhaustive]
    Rollback {
        /// After this time.
        delay: Duration,
        /// The reason.
        reason: String,
        /// Whether the run counts as an attempt.
        counted: bool,
        /// Whether a handler was called. If not, the delivery does not count as a start for a
        /// [rate](super::LimitKind::Rate).
        ran: bool,
        /// Details of the run. If they are given, or the run counts, it is recorded in the
        /// [history](super::StoredMessage::history) of the message.
        run: Option<FailedRun>,
    },
    /// Not for this worker: make the message ready again for a worker that knows it, without counting an attempt or a
    /// start. The next delivery has the time since when the message has been left to others
    /// ([`Delivery::left_since`](super::Delivery)). A queue that cannot keep that treats this as a rollback that does
    /// not count.
    #[non_exhaustive]
    LeaveToOthers {
        /// After this time.
        delay: Duration,
        /// The reason.
        reason: String,
    },
    /// Failed permanently: keep the message until it is requeued or deleted.
    #[non_exhaustive]
    Bury {
        /// The reason.
        reason: String,
        /// Whether the run counts as an attempt.
        counted: bool,
        /// Whether a handler was called. If not, the delivery does not count as a start for a
        /// [rate](super::LimitKind::Rate).
        ran: bool,
        /// Details of the run. If they are given, or the run counts, it is recorded in the
        /// [history](super::StoredMessage::history) of the message.
        run: Option<FailedRun>,
    },
    /// It has expired: delete the message without a run, which does not count as a start either.
    Expire,
}

impl Settlement {
    /// Commits without follow-ups.
    #[must_use]
    pub const fn commit() -> Self {
        Self::Commit { follow_ups: Vec::new(), result: None, deferrable: false }
    }

    /// Commits with these follow-ups.
    #[must_use]
    pub const fn commit_with(follow_ups: Vec<NewMessage>) -> Self {
        Self::Commit { follow_ups, result: None, deferrable: false }
    }

    /// Commits, and allows deferring the commit.
    #[must_use]
    pub const fn deferrable_commit() -> Self {
        Self::Commit { follow_ups: Vec::new(), result: None, deferrable: true }
    }

    /// Puts the message back.
    #[must_use]
    pub fn rollback(delay: Duration, reason: impl Into<String>, counted: bool) -> Self {
        Self::Rollback { delay, reason: reason.into(), counted, ran: true, run: None }
    }

    /// Commits with this result, which is JSON.
    #[must_use]
    pub fn commit_result(result: impl Into<Arc<str>>) -> Self {
        Self::Commit { follow_ups: Vec::new(), result: Some(result.into()), deferrable: false }
    }

    /// Adds the details of the run.
    #[must_use]
    pub fn of_run(mut self, of: FailedRun) -> Self {
        if let Self::Rollback { run, .. } | Self::Bury { run, .. } = &mut self {
            *run = Some(of);
        }
        self
    }

    /// Says that no handler was called.
    #[must_use]
    pub fn without_run(mut self) -> Self {
        if let Self::Rollback { ran, .. } | Self::Bury { ran, .. } = &mut self {
            *ran = false;
        }
        self
    }

    /// Returns whether a handler was called for this delivery.
    #[must_use]
    pub const fn has_run(&self) -> bool {
        match self {
            Self::Commit { .. } => true,
            Self::Rollback { ran, .. } | Self::Bury { ran, .. } => *ran,
            Self::LeaveToOthers { .. } | Self::Expire => false,
        }
    }

    /// Leaves the message to other workers.
    #[must_use]
    pub fn leave_to_others(delay: Duration, reason: impl Into<String>) -> Self {
        Self::LeaveToOthers { delay, reason: reason.into() }
    }

    /// Buries the message.
    #[must_use]
    pub fn bury(reason: impl Into<String>, counted: bool) -> Self {
        Self::Bury { reason: reason.into(), counted, ran: true, run: None }
    }

    /// Returns the follow-ups that are not yet stored.
    #[must_use]
    pub fn follow_ups(&self) -> &[NewMessage] {
        match self {
            Self::Commit { follow_ups, .. } => follow_ups,
            _ => &[],
        }
    }
}
