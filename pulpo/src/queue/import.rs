//! Taking messages over from another queue, with what has become of them there.

use chrono::{DateTime, Utc};

use super::{Attempt, Enqueued, MessageState, NewMessage, QueueError, StoredMessage};
use crate::keys::OnDuplicate;

/// A message that comes from another queue.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Imported {
    /// The message itself. It is delayed if it was. Its unique key is that which
    /// it has there; taken here, it refuses the message.
    pub message: NewMessage,
    /// Whether it has its unique key there; else it only remembers that, as a
    /// buried message does, and so it does here.
    pub has_key: bool,
    /// How many runs failed there.
    pub attempts: u32,
    /// How many of them ended without being settled.
    pub abandoned: u32,
    /// Whether it is buried.
    pub is_buried: bool,
    /// When it was published, if the other queue knows.
    pub enqueued_at: Option<DateTime<Utc>>,
    /// Why its last run failed, or it was buried.
    pub last_error: Option<String>,
    /// When that was.
    pub last_error_at: Option<DateTime<Utc>>,
    /// Its last failed runs.
    pub history: Vec<Attempt>,
}

impl Imported {
    /// What another queue shows of a message; `None` if its text is not UTF-8,
    /// or it is [reserved](MessageState::Reserved): then a worker has it.
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

    /// The message as a queue enqueues it that keeps nothing of its history: with
    /// the key that it has, and none that it only remembers.
    #[must_use]
    pub fn to_enqueue(&self) -> NewMessage {
        let mut message = self.message.clone();
        message.unique = message.unique.filter(|_| self.has_key);
        message
    }
}

/// What a queue does that keeps of such a message how often it has failed and
/// why, and a buried one buried.
pub trait Import {
    /// Keeps these messages, all or none, as
    /// [`enqueue`](super::QueueAdapter::enqueue) does, their
    /// [`outbox_id`](NewMessage::outbox_id) included.
    ///
    /// # Errors
    /// If they could not be kept.
    fn import(&self, messages: Vec<Imported>) -> Result<Vec<Enqueued>, QueueError>;
}
