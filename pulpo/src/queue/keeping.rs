//! The retention of messages whose jobs are over.

use std::time::Duration;

use super::QueueError;

/// How long messages whose jobs are over are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Retention of messages that are done or have expired, with their results; zero keeps none. `None`, the default,
    /// keeps them as the queue was opened: forever with an archive, and not at all without one.
    pub done: Option<Duration>,
    /// Retention of buried messages. `None`, the default, keeps them forever.
    pub buried: Option<Duration>,
}

impl Retention {
    /// Keeps done messages for this time.
    #[must_use]
    pub fn done(mut self, time: Duration) -> Self {
        self.done = Some(time);
        self
    }

    /// Keeps buried messages for this time.
    #[must_use]
    pub fn buried(mut self, time: Duration) -> Self {
        self.buried = Some(time);
        self
    }
}

/// The result of pruning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// The number of messages that were deleted.
    pub messages: u64,
    /// Whether there may be more.
    pub more: bool,
}

impl Pruned {
    /// Creates a result of this many messages; `more` means that the retention of others may be over too.
    #[must_use]
    pub fn new(messages: u64, more: bool) -> Self {
        Self { messages, more }
    }
}

/// A queue that keeps messages whose jobs are done: [`Capabilities::archive`](super::Capabilities).
pub trait Keeping {
    /// Sets the retention, for this process and from now on.
    fn set_retention(&self, retention: Retention);

    /// Deletes messages whose retention is over, by the queue's clock: at most a thousand, in one transaction. A worker
    /// calls it now and then, and again while there are more.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn prune(&self) -> Result<Pruned, QueueError>;

    /// Erases the remains of deleted messages from the files of the queue. That may take as long as writing the whole
    /// queue, and blocks other writers. Unless it is `thorough`, it is only done if it is quick and blocks no other
    /// program. A queue in a database leaves it to the database.
    ///
    /// # Errors
    /// If it is thorough and something may be left, with the remedy.
    fn erase_deleted(&self, thorough: bool) -> Result<(), QueueError> {
        let _ = thorough;
        Ok(())
    }
}
