//! What is changed of a message that waits.

use std::time::Duration;

use super::MessageState;
use crate::message::Priority;

/// What is changed of a message that waits; `None`: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Edit {
    /// Its place in the queue.
    pub priority: Option<Priority>,
    /// It is ready in so long, whenever it would have been; zero: now.
    pub delay: Option<Duration>,
    /// The queue that it waits in.
    pub queue: Option<String>,
}

impl Edit {
    /// With this priority.
    #[must_use]
    pub fn priority(mut self, priority: impl Into<Priority>) -> Self {
        self.priority = Some(priority.into());
        self
    }

    /// Ready after this time.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// In this queue.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Edited {
    /// It is changed.
    Changed,
    /// It does not wait, and is as it was: it is in this state.
    Not(MessageState),
    /// There is no such message.
    Missing,
}
