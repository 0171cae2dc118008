//! A queue that knows which rows of an outbox it has taken.

use super::QueueError;
use crate::message::MessageId;

/// What a queue does that takes each [`NewMessage::outbox_id`](super::NewMessage::outbox_id)
/// once: [`enqueue`](super::QueueAdapter::enqueue) keeps nothing of a message
/// whose id it has taken before, and returns the message that was made of it
/// then. It remembers the id in the transaction that keeps the message.
pub trait OutboxIds {
    /// The rows with these ids are no longer in their outbox. The queue may
    /// forget them when no relay can have read them before: an hour later.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn rows_are_gone(&self, outbox_ids: &[String]) -> Result<(), QueueError>;

    /// The message that was made of the row with this number; `None` if there is
    /// none, or it is forgotten.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn message_of_row(&self, number: u64) -> Result<Option<MessageId>, QueueError>;
}
