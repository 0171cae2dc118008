//! Limits that hold over all processes of a queue.

use crate::keys::LimitKeys;
use crate::policy::Rate;

/// A limit that a worker asks a queue to keep to when it hands out messages.
/// Each worker brings its own, so that two versions of a program may differ
/// while one takes the place of the other.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limit {
    /// Which messages fall under it.
    pub scope: LimitScope,
    /// What it allows.
    pub kind: LimitKind,
    /// Whether it holds for each key by itself
    /// ([`NewMessage::limit_keys`](super::NewMessage)). Messages without a key
    /// are one key together.
    pub by_key: bool,
}

impl Limit {
    /// A limit of all messages in this scope together.
    #[must_use]
    pub fn new(scope: LimitScope, kind: LimitKind) -> Self {
        Self { scope, kind, by_key: false }
    }

    /// A limit of each key by itself.
    #[must_use]
    pub fn by_key(mut self) -> Self {
        self.by_key = true;
        self
    }
}

/// Which messages fall under a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitScope {
    /// Those of a handler, in whatever queue.
    Handler {
        /// Its request type, and then its aliases. What is counted is counted
        /// under the first one.
        names: Vec<String>,
        /// Whether it takes several messages in one run: then only what
        /// [joins](super::DequeueFilter::joins) a run is handed out together.
        takes_batches: bool,
    },
    /// Those in this queue.
    Queue(String),
}

impl LimitScope {
    /// The messages of a handler.
    pub fn handler(names: impl IntoIterator<Item = impl Into<String>>, takes_batches: bool) -> Self {
        Self::Handler { names: names.into_iter().map(Into::into).collect(), takes_batches }
    }
}

/// What a limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// This many starts in any such time. A message that is handed out starts.
    Rate(Rate),
    /// This many runs at the same time. A message runs while it is leased;
    /// those that [joined](super::DequeueFilter::joins) a run are one with it.
    Running(u32),
}

impl LimitKind {
    /// Which of its keys the message has for this kind of limit.
    #[must_use]
    pub fn key(self, keys: &LimitKeys) -> Option<&str> {
        match self {
            Self::Rate(_) => keys.rate.as_deref(),
            Self::Running(_) => keys.running.as_deref(),
        }
    }
}
