//! A queue that knows which rows of an outbox it has accepted.

use super::QueueError;
use crate::message::MessageId;

/// A queue that accepts each [`NewMessage::outbox_id`](super::NewMessage::outbox_id) once: if it already has a message
/// with that id, [`enqueue`](super::QueueAdapter::enqueue) stores nothing and returns the earlier message. It remembers
/// the id in the transaction that stores the message.
pub trait OutboxIds {
    /// Informs the queue that the rows with these ids are no longer in their outbox. The queue may forget them once no
    /// relay can have read them before: after an hour.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn rows_are_gone(&self, outbox_ids: &[String]) -> Result<(), QueueError>;

    /// Returns the message of the row with this number; `None` if the queue has none, or has forgotten it.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn message_of_row(&self, number: u64) -> Result<Option<MessageId>, QueueError>;
}
