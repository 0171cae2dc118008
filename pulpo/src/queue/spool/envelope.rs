//! A message as it lies in the spool: whole, with what only the queue is told.
//! All of them have one priority and are due at once, so that they go out in
//! the order in which they came.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{PREFIX, QUEUE};
use crate::message::Priority;
use crate::queue::{MessageId, NewMessage, StoredMessage};

/// What [`NewMessage`] has, as JSON.
#[derive(Serialize, Deserialize)]
pub(super) struct Envelope {
    queue: String,
    request_type: String,
    priority: u32,
    delay: Option<DateTime<Utc>>,
    ttr: Duration,
    text: String,
    #[serde(default)]
    outbox_id: Option<String>,
}

impl Envelope {
    /// A message for the spool around one for the queue.
    pub(super) fn wrap(message: NewMessage, lease: Duration) -> NewMessage {
        // Each field by its name: a new one is not forgotten here.
        let NewMessage { queue, request_type, priority, delay, ttr, text, outbox_id } = message;
        let envelope =
            Self { queue, request_type: request_type.clone(), priority: priority.get(), delay, ttr, text, outbox_id };
        let text = serde_json::to_string(&envelope).expect("texts, numbers and times can be written as JSON");
        let mut wrapped = NewMessage::new(QUEUE, request_type, text);
        wrapped.ttr = lease;
        wrapped
    }

    /// The message for the queue.
    pub(super) fn open(text: &[u8]) -> Result<NewMessage, serde_json::Error> {
        let Self { queue, request_type, priority, delay, ttr, text, outbox_id } = serde_json::from_slice(text)?;
        Ok(NewMessage { queue, request_type, priority: Priority::new(priority), delay, ttr, text, outbox_id })
    }

    /// The message as people look at it: as if it lay there without its
    /// envelope. One that cannot be opened is shown as it is.
    pub(super) fn unwrap(mut stored: StoredMessage) -> StoredMessage {
        stored.id = MessageId::from(format!("{PREFIX}{}", stored.id));
        if let Ok(message) = Self::open(&stored.text) {
            stored.queue = message.queue;
            stored.priority = message.priority;
            stored.text = message.text.into_bytes();
        }
        stored
    }
}
