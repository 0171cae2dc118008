//! Edits of waiting messages.

use std::time::Duration;

use super::MessageState;
use crate::message::Priority;

/// The changes to a waiting message; `None` leaves a value as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Edit {
    /// The new priority.
    pub priority: Option<Priority>,
    /// The new time until it is ready, whatever the old one was; zero means now.
    pub delay: Option<Duration>,
    /// The new queue.
    pub queue: Option<String>,
}

impl Edit {
    /// Sets the priority.
    #[must_use]
    pub fn priority(mut self, priority: impl Into<Priority>) -> Self {
        self.priority = Some(priority.into());
        self
    }

    /// Makes it ready after this time.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Moves it to this queue.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Returns whether nothing is to be changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The result of an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Edited {
    /// The message was changed.
    Changed,
    /// The message was left alone, because it does not wait: it is in this state.
    Not(MessageState),
    /// There is no such message.
    Missing,
}
