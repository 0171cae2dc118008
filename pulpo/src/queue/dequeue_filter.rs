//! Filters for dequeueing.

use std::sync::Arc;

use super::Limit;
use crate::message::MessageId;

/// Restricts which waiting messages a consumer takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DequeueFilter {
    /// Only this request type, if given.
    pub request_type: Option<String>,
    /// None of these request types.
    pub except_types: Vec<String>,
    /// None of these queues.
    pub except_queues: Vec<String>,
    /// At most one message of each of these request types, and none leased ahead, because the worker may not run more
    /// of them now. For queues that lease several messages at once.
    pub single_types: Vec<String>,
    /// At most one message of each of these queues, and none leased ahead.
    pub single_queues: Vec<String>,
    /// Request types that are not leased ahead, because their messages have only
    /// one attempt. It matters for queues that cannot tell, after the death of a
    /// worker, which of the messages that it had leased ahead it had begun.
    pub never_ahead: Arc<[String]>,
    /// How many more messages the caller will take after this one, for a batch, so that a queue may lease them
    /// together. [`Consumer::flush`](super::Consumer::flush) releases those that the caller does not take.
    pub more: usize,
    /// Limits across all processes. Only a queue with
    /// [`Capabilities::limits`](super::Capabilities) applies them.
    pub limits: Arc<[Limit]>,
    /// A message that the caller already has: the next one runs together with it, as one run.
    pub joins: Option<MessageId>,
}

impl DequeueFilter {
    /// Allows all waiting messages.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Allows only this request type.
    #[must_use]
    pub fn request_type(mut self, request_type: impl Into<String>) -> Self {
        self.request_type = Some(request_type.into());
        self
    }

    /// Excludes this request type.
    #[must_use]
    pub fn except_type(mut self, request_type: impl Into<String>) -> Self {
        self.except_types.push(request_type.into());
        self
    }

    /// Announces that the caller takes this many more messages right after.
    #[must_use]
    pub fn more(mut self, more: usize) -> Self {
        self.more = more;
        self
    }

    /// Excludes this queue.
    #[must_use]
    pub fn except_queue(mut self, queue: impl Into<String>) -> Self {
        self.except_queues.push(queue.into());
        self
    }

    /// Allows at most one message of this request type.
    #[must_use]
    pub fn single_type(mut self, request_type: impl Into<String>) -> Self {
        self.single_types.push(request_type.into());
        self
    }

    /// Allows at most one message of this queue.
    #[must_use]
    pub fn single_queue(mut self, queue: impl Into<String>) -> Self {
        self.single_queues.push(queue.into());
        self
    }

    /// Leases none of these request types ahead.
    #[must_use]
    pub fn never_ahead(mut self, request_types: impl Into<Arc<[String]>>) -> Self {
        self.never_ahead = request_types.into();
        self
    }

    /// Applies these limits.
    #[must_use]
    pub fn limits(mut self, limits: impl Into<Arc<[Limit]>>) -> Self {
        self.limits = limits.into();
        self
    }

    /// Allows only messages that run together with this one.
    #[must_use]
    pub fn joins(mut self, first: MessageId) -> Self {
        self.joins = Some(first);
        self
    }
}
