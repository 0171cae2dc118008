//! What a consumer may take.

use std::sync::Arc;

use super::Limit;
use crate::message::MessageId;

/// What a consumer may take: all that waits, but for what is said here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DequeueFilter {
    /// Only this request type, if one is said.
    pub request_type: Option<String>,
    /// None of these request types.
    pub except_types: Vec<String>,
    /// None of these queues.
    pub except_queues: Vec<String>,
    /// Of each of these request types one message at most, and none leased
    /// ahead: the worker may run no more of them now. For queues that lease
    /// several messages at once.
    pub single_types: Vec<String>,
    /// Of each of these queues one message at most, and none leased ahead.
    pub single_queues: Vec<String>,
    /// How many more messages the caller is about to take after this one, for
    /// a batch: a queue may lease them together. What the caller does not take
    /// after all is made ready again by [`Consumer::flush`](super::Consumer::flush).
    pub more: usize,
    /// No more than these allow, over all processes. Only a queue with
    /// [`Capabilities::limits`](super::Capabilities) keeps to them.
    pub limits: Arc<[Limit]>,
    /// A message that is in hand already: what is taken is run together with
    /// it, as one run.
    pub joins: Option<MessageId>,
}

impl DequeueFilter {
    /// All that waits.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Only this request type.
    #[must_use]
    pub fn request_type(mut self, request_type: impl Into<String>) -> Self {
        self.request_type = Some(request_type.into());
        self
    }

    /// None of this request type.
    #[must_use]
    pub fn except_type(mut self, request_type: impl Into<String>) -> Self {
        self.except_types.push(request_type.into());
        self
    }

    /// This many more are taken right after this one.
    #[must_use]
    pub fn more(mut self, more: usize) -> Self {
        self.more = more;
        self
    }

    /// None of this queue.
    #[must_use]
    pub fn except_queue(mut self, queue: impl Into<String>) -> Self {
        self.except_queues.push(queue.into());
        self
    }

    /// One message of this request type at most.
    #[must_use]
    pub fn single_type(mut self, request_type: impl Into<String>) -> Self {
        self.single_types.push(request_type.into());
        self
    }

    /// One message of this queue at most.
    #[must_use]
    pub fn single_queue(mut self, queue: impl Into<String>) -> Self {
        self.single_queues.push(queue.into());
        self
    }

    /// Within these limits.
    #[must_use]
    pub fn limits(mut self, limits: impl Into<Arc<[Limit]>>) -> Self {
        self.limits = limits.into();
        self
    }

    /// Only what is run together with this message.
    #[must_use]
    pub fn joins(mut self, first: MessageId) -> Self {
        self.joins = Some(first);
        self
    }
}
