//! Importing messages from another queue, with their history there.

use chrono::{DateTime, Utc};

use super::{Attempt, Enqueued, MessageState, NewMessage, QueueError, StoredMessage};
use crate::keys::OnDuplicate;

/// A message that is imported from another queue.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Imported {
    /// The message itself, delayed if it was delayed there. If its unique key, which it keeps, is taken here, the
    /// message is refused.
    pub message: NewMessage,
    /// Whether it holds its unique key there. Otherwise it only remembers the key, like a buried message, and does so
    /// here too.
    pub has_key: bool,
    /// Number of runs that failed there.
    pub attempts: u32,
    /// Number of these runs that ended without being settled.
    pub abandoned: u32,
    /// Whether it is buried.
    pub is_buried: bool,
    /// When it was published, if the other queue knows.
    pub enqueued_at: Option<DateTime<Utc>>,
    /// The error of its last run, or the reason of its burial.
    pub last_error: Option<String>,
    /// The time of that error.
    pub last_error_at: Option<DateTime<Utc>>,
    /// Its last failed runs.
    pub history: Vec<Attempt>,
}

impl Imported {
    /// Converts the view that another queue gives of a message; `None` if its text is not UTF-8, or if it is
    /// [reserved](MessageState::Reserved) by a worker.
    #[must_use]
    pub fn of(stored: StoredMessage) -> Option<Self> {
        let StoredMessage { queue, request_type, state, priority, until, ttr, attempts, abandoned, .. } = stored;
        let text = String::from_utf8(stored.text)
            .ok()
            .filter(|_| !matches!(state, MessageState::Reserved | MessageState::Done))?;
        let mut message = NewMessage::new(queue, request_type, text);
        message.priority = priority;
        message.delay = until.filter(|_| state == MessageState::Delayed);
        message.ttr = ttr.unwrap_or(message.ttr);
        message.limit_keys = stored.limit_keys;
        message.unique = stored.unique.map(|unique| unique.on_duplicate(OnDuplicate::Reject));
        Some(Self {
            message,
            has_key: stored.has_key,
            attempts,
            abandoned,
            is_buried: state == MessageState::Buried,
            enqueued_at: stored.enqueued_at,
            last_error: stored.last_error,
            last_error_at: stored.last_error_at,
            history: stored.history,
        })
    }

    /// Returns the message for a queue that keeps no history: with the key that it holds, but not with one that it only
    /// remembers.
    #[must_use]
    pub fn to_enqueue(&self) -> NewMessage {
        let mut message = self.message.clone();
        message.unique = message.unique.filter(|_| self.has_key);
        message
    }
}

/// A queue that can import messages with their failed runs and errors, and keep buried ones buried.
pub trait Import {
    /// Stores these messages, all or none, as [`enqueue`](super::QueueAdapter::enqueue) does, including their
    /// [`outbox_id`](NewMessage::outbox_id).
    ///
    /// # Errors
    /// If they could not be stored.
    fn import(&self, messages: Vec<Imported>) -> Result<Vec<Enqueued>, QueueError>;
}
