//! Limits across all processes of a queue.

use crate::keys::LimitKeys;
use crate::policy::Rate;

/// A limit that a queue applies when it hands out messages. Each worker brings its own limits, so that two versions of
/// a program may differ during a rolling deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limit {
    /// The messages that it applies to.
    pub scope: LimitScope,
    /// The kind of limit.
    pub kind: LimitKind,
    /// Whether it applies to each key separately ([`NewMessage::limit_keys`](super::NewMessage)). Messages without a
    /// key share one limit.
    pub by_key: bool,
}

impl Limit {
    /// Creates a limit for all messages in this scope together.
    #[must_use]
    pub fn new(scope: LimitScope, kind: LimitKind) -> Self {
        Self { scope, kind, by_key: false }
    }

    /// Makes the limit apply to each key separately.
    #[must_use]
    pub fn by_key(mut self) -> Self {
        self.by_key = true;
        self
    }
}

/// The messages that a limit applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitScope {
    /// The messages of a handler, in any queue.
    Handler {
        /// Its request type, followed by its aliases. They share the limit. Starts are counted under the request type
        /// of each message, so that a worker that knows only some of the names counts the same starts.
        names: Vec<String>,
        /// Whether it takes several messages in one run. If so, only a message that
        /// [joins](super::DequeueFilter::joins) a run is handed out together with it.
        takes_batches: bool,
    },
    /// The messages in this queue.
    Queue(String),
}

impl LimitScope {
    /// Creates the scope of a handler's messages.
    pub fn handler(names: impl IntoIterator<Item = impl Into<String>>, takes_batches: bool) -> Self {
        Self::Handler { names: names.into_iter().map(Into::into).collect(), takes_batches }
    }
}

/// The kind of a limit, with its amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// This many starts in any such period. A message starts when it is handed out.
    Rate(Rate),
    /// This many runs at the same time. A message runs while it is leased; messages that
    /// [joined](super::DequeueFilter::joins) a run count as one with it.
    Running(u32),
}

impl LimitKind {
    /// Returns the message's key for this kind of limit.
    #[must_use]
    pub fn key(self, keys: &LimitKeys) -> Option<&str> {
        let key = match self {
            Self::Rate(_) => keys.rate.as_deref(),
            Self::Running(_) => keys.running.as_deref(),
        };
        key.filter(|key| !key.is_empty())
    }
}
