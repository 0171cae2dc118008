//! New messages, and the answers of the queue to them.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::error::QueueError;
use crate::keys::{LimitKeys, Publication, Unique};
use crate::message::{MessageId, Priority};

/// The destination of the jobs of a request type, as its worker knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Route {
    /// The request type.
    pub request_type: String,
    /// The queue.
    pub queue: String,
    /// The priority of messages that set none.
    pub priority: Priority,
    /// How long a lease lasts.
    pub ttr: Duration,
}

/// A message that is about to enter a queue.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewMessage {
    /// The queue.
    pub queue: String,
    /// The request type, for lists and statistics; the text contains it too.
    pub request_type: String,
    /// The priority.
    pub priority: Priority,
    /// The time before which it is not ready, if any.
    pub delay: Option<DateTime<Utc>>,
    /// How long a lease lasts.
    pub ttr: Duration,
    /// The row of an [outbox](crate::outbox) that it came from, if any: see
    /// [`QueueAdapter::outbox_ids`](super::QueueAdapter::outbox_ids).
    pub outbox_id: Option<String>,
    /// Its unique key, if any: see [`Capabilities::unique_keys`](super::Capabilities::unique_keys).
    pub unique: Option<Unique>,
    /// The keys of its limits, if any: see [`Capabilities::limits`](super::Capabilities::limits).
    pub limit_keys: LimitKeys,
    /// The wire form.
    pub text: String,
}

impl NewMessage {
    /// Creates a message with default priority and ttr for `queue`.
    #[must_use]
    pub fn new(queue: impl Into<String>, request_type: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            queue: queue.into(),
            request_type: request_type.into(),
            priority: Priority::DEFAULT,
            delay: None,
            ttr: crate::policy::Policy::DEFAULT.ttr,
            outbox_id: None,
            unique: None,
            limit_keys: LimitKeys::default(),
            text: text.into(),
        }
    }

    /// Sets the row of an outbox that it came from.
    #[must_use]
    pub fn outbox_id(mut self, outbox_id: impl Into<String>) -> Self {
        self.outbox_id = Some(outbox_id.into());
        self
    }

    /// Sets the unique key.
    #[must_use]
    pub fn unique(mut self, unique: Unique) -> Self {
        self.unique = Some(unique);
        self
    }

    /// Sets the keys of its limits.
    #[must_use]
    pub fn limit_keys(mut self, limit_keys: LimitKeys) -> Self {
        self.limit_keys = limit_keys;
        self
    }
}

/// The result of enqueueing from async code.
#[must_use = "nothing is enqueued until the future is awaited"]
pub enum EnqueueAsync {
    /// They are being enqueued once this is polled, even if it is then dropped.
    Pending(EnqueueFuture),
    /// The queue can only block, and returns the messages.
    Blocks(Vec<NewMessage>),
}

/// An [`enqueue`](super::QueueAdapter::enqueue) in progress.
pub type EnqueueFuture = Pin<Box<dyn Future<Output = Result<Vec<Enqueued>, QueueError>> + Send>>;

impl fmt::Debug for EnqueueAsync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending(_) => f.write_str("Pending"),
            Self::Blocks(messages) => f.debug_tuple("Blocks").field(messages).finish(),
        }
    }
}

/// The result of enqueueing a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Enqueued {
    /// The id that the queue assigned; for one that was kept or replaced, the
    /// id of the message that has its unique key.
    pub id: MessageId,
    /// Whether it is a new message.
    pub publication: Publication,
}

impl Enqueued {
    /// Creates the result for a new message with this id.
    #[must_use]
    pub fn new(id: impl Into<MessageId>) -> Self {
        Self { id: id.into(), publication: Publication::New }
    }

    /// Creates the result for a duplicate of the message with this id.
    #[must_use]
    pub fn duplicate(id: impl Into<MessageId>, publication: Publication) -> Self {
        Self { id: id.into(), publication }
    }
}
