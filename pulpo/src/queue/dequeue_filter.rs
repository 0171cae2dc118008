//! What a consumer may take.

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

    /// None of this queue.
    #[must_use]
    pub fn except_queue(mut self, queue: impl Into<String>) -> Self {
        self.except_queues.push(queue.into());
        self
    }
}
