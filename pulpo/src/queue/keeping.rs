//! For how long a queue keeps messages whose jobs are over.

use std::time::Duration;

use super::QueueError;

/// For how long messages are kept whose jobs are over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Those that are done or have expired, with their results; zero: not at
    /// all. `None`, the default: as the queue was opened, with an archive, which
    /// keeps them for ever, or without one.
    pub done: Option<Duration>,
    /// Those that are buried. `None`, the default: for ever.
    pub buried: Option<Duration>,
}

impl Retention {
    /// Keeps what is done for this time.
    #[must_use]
    pub fn done(mut self, time: Duration) -> Self {
        self.done = Some(time);
        self
    }

    /// Keeps what is buried for this time.
    #[must_use]
    pub fn buried(mut self, time: Duration) -> Self {
        self.buried = Some(time);
        self
    }

    /// The shorter of the two times, if there is one after which anything is
    /// deleted.
    #[must_use]
    pub fn shortest(&self) -> Option<Duration> {
        self.done.into_iter().chain(self.buried).filter(|time| !time.is_zero()).min()
    }
}

/// What has become of what was kept for too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// How many messages were deleted.
    pub messages: u64,
    /// Whether there may be more.
    pub more: bool,
}

impl Pruned {
    /// This many; `more`: not all.
    #[must_use]
    pub fn new(messages: u64, more: bool) -> Self {
        Self { messages, more }
    }
}

/// What a queue does that keeps messages whose jobs are done:
/// [`Capabilities::archive`](super::Capabilities).
pub trait Keeping {
    /// From now on keeps messages for this time, in this process.
    fn set_retention(&self, retention: Retention);

    /// Deletes what has been kept for longer than the retention says, by the
    /// queue's clock: a thousand messages at most, in one transaction. A worker
    /// calls it now and then, and again while there are more.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn prune(&self) -> Result<Pruned, QueueError>;

    /// Sees that nothing of the messages that were deleted is left in the files
    /// of the queue. That may take as long as to write all that is in it, and
    /// others cannot write then; unless it is `thorough`, it is only done where
    /// it takes little and nobody is in the way. A queue in a database leaves it
    /// to the database.
    ///
    /// # Errors
    /// If it is thorough and something may be left; says what to do about it.
    fn erase_deleted(&self, thorough: bool) -> Result<(), QueueError> {
        let _ = thorough;
        Ok(())
    }
}
