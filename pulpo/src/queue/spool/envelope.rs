//! The form of a message in the spool: the whole message, with the details that only the queue gets. All spooled
//! messages have one priority and are due at once, so that they are sent in the order of their arrival.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::message::{MessageId, Priority};
use crate::queue::{LimitKeys, NewMessage, StoredMessage, Unique};

/// The prefix of the id of a spooled message; its number in the spool follows.
pub(super) const PREFIX: &str = "spool/";

/// The queue within the spool that holds all its messages.
pub(super) const QUEUE: &str = "spool";

/// The fields of [`NewMessage`], as JSON.
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
    /// Its unique key, for how long the key is held, and how duplicates are treated.
    #[serde(default)]
    unique: Option<(String, String, String)>,
    /// The keys of its rate limit and of its limit on runs at the same time.
    #[serde(default)]
    limit_keys: (Option<String>, Option<String>),
}

impl Envelope {
    /// Wraps a message for the queue into one for the spool.
    pub(super) fn wrap(message: NewMessage, lease: Duration) -> NewMessage {
        // Name each field, so that a new one is not forgotten here.
        let NewMessage { queue, request_type, priority, delay, ttr, text, outbox_id, unique, limit_keys } = message;
        let unique = unique
            .map(|Unique { key, unique_for, on_duplicate }| (key, unique_for.to_string(), on_duplicate.to_string()));
        let limit_keys = (limit_keys.rate, limit_keys.running);
        let (name, priority) = (request_type.clone(), priority.get());
        let envelope = Self { queue, request_type: name, priority, delay, ttr, text, outbox_id, unique, limit_keys };
        let text = serde_json::to_string(&envelope).expect("texts, numbers and times can be written as JSON");
        let mut wrapped = NewMessage::new(QUEUE, request_type, text);
        wrapped.ttr = lease;
        wrapped
    }

    /// Unwraps the message for the queue.
    pub(super) fn open(text: &[u8]) -> Result<NewMessage, serde_json::Error> {
        let Self { queue, request_type, priority, delay, ttr, text, outbox_id, unique, limit_keys } =
            serde_json::from_slice(text)?;
        let unique = unique.map(|(key, unique_for, on_duplicate)| {
            let (unique_for, on_duplicate) = (unique_for.parse(), on_duplicate.parse());
            Unique::new(key).unique_for(unique_for.unwrap_or_default()).on_duplicate(on_duplicate.unwrap_or_default())
        });
        let (priority, limit_keys) = (Priority::new(priority), LimitKeys::new(limit_keys.0, limit_keys.1));
        Ok(NewMessage { queue, request_type, priority, delay, ttr, text, outbox_id, unique, limit_keys })
    }

    /// Shows a message to people without its envelope. One that cannot be opened is shown as it is.
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
