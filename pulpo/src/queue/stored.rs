//! Messages as a queue shows them.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::history::Attempt;
use super::running::Progress;
use crate::keys::{LimitKeys, Unique};
use crate::message::{MessageId, Priority};

/// The state of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageState {
    /// Waiting for a worker.
    Ready,
    /// Waiting for its time.
    Delayed,
    /// A worker has it.
    Reserved,
    /// Failed permanently; kept until you requeue or delete it.
    Buried,
    /// Its job is done, or it has expired, and it is kept. A [`Filter`](super::Filter) matches such messages only if it names this
    /// state.
    Done,
}

impl MessageState {
    /// All states, in the order of a message's life.
    pub const ALL: [Self; 5] = [Self::Ready, Self::Delayed, Self::Reserved, Self::Buried, Self::Done];

    /// The states of messages that are not over: all but [`Done`](Self::Done).
    pub const LIVE: [Self; 4] = [Self::Ready, Self::Delayed, Self::Reserved, Self::Buried];

    /// Returns whether the job is still to be done: the message waits or runs.
    #[must_use]
    pub const fn is_unfinished(self) -> bool {
        matches!(self, Self::Ready | Self::Delayed | Self::Reserved)
    }

    /// Returns the name of the state.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Delayed => "delayed",
            Self::Reserved => "reserved",
            Self::Buried => "buried",
            Self::Done => "done",
        }
    }
}

impl fmt::Display for MessageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for MessageState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("expected ready, delayed, reserved, buried or done, got {text:?}"))
    }
}

/// A message as it is stored in the queue.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoredMessage {
    /// The id in the queue.
    pub id: MessageId,
    /// The queue.
    pub queue: String,
    /// The request type; empty if it has none.
    pub request_type: String,
    /// Its state.
    pub state: MessageState,
    /// When it entered this state, if the queue knows: when it was published,
    /// put back, due, leased, buried or kicked. Filters by age use it, see
    /// [`Filter::older_than`](super::Filter::older_than).
    pub since: Option<DateTime<Utc>>,
    /// The priority.
    pub priority: Priority,
    /// When a delayed message becomes ready, and when the lease of a reserved
    /// one ends.
    pub until: Option<DateTime<Utc>>,
    /// The token of the lease of a reserved message, if the queue knows. It
    /// begins with the part that identifies the worker.
    pub lease: Option<String>,
    /// How many runs have failed so far.
    pub attempts: u32,
    /// How many of them ended unsettled.
    pub abandoned: u32,
    /// How often it was kicked, if the queue counts that.
    pub kicks: Option<u32>,
    /// When it was published, if the queue knows.
    pub enqueued_at: Option<DateTime<Utc>>,
    /// The time from which it can start, if the queue knows.
    pub due_since: Option<DateTime<Utc>>,
    /// How long a lease of it lasts, if the queue knows.
    pub ttr: Option<Duration>,
    /// Why its last run failed, if the queue knows.
    pub last_error: Option<String>,
    /// The time of that failure.
    pub last_error_at: Option<DateTime<Utc>>,
    /// How far its run is, if it is reserved and its handler has reported it.
    pub progress: Option<Progress>,
    /// Whether it is reserved and was cancelled: it is buried when its run ends.
    pub cancelled: bool,
    /// Its unique key, if it has or remembers one, and for how long from now it keeps the key.
    pub unique: Option<Unique>,
    /// Whether it has that key now: a buried message only remembers it, and so
    /// does one that runs and was unique while it waited.
    pub has_key: bool,
    /// The keys by which its limits count it.
    pub limit_keys: LimitKeys,
    /// Its last failed runs, the oldest first, 20 at most. Only
    /// [`Inspection::peek`](super::Inspection::peek) fills it, with [`Capabilities::history`](super::Capabilities::history).
    pub history: Vec<Attempt>,
    /// The result of its job as JSON, if it is done and its handler stored one.
    pub result: Option<String>,
    /// For a message that is [over](MessageState::Done): whether its expiration had passed, so that it was not run.
    pub has_expired: bool,
    /// The wire form, as it was written.
    pub text: Vec<u8>,
}

impl StoredMessage {
    /// Creates a message in this state with nothing else known.
    #[must_use]
    pub fn new(id: MessageId, queue: impl Into<String>, state: MessageState, text: impl Into<Vec<u8>>) -> Self {
        Self {
            id,
            queue: queue.into(),
            request_type: String::new(),
            state,
            since: None,
            priority: Priority::DEFAULT,
            until: None,
            lease: None,
            attempts: 0,
            abandoned: 0,
            kicks: None,
            enqueued_at: None,
            due_since: None,
            ttr: None,
            last_error: None,
            last_error_at: None,
            progress: None,
            cancelled: false,
            history: Vec::new(),
            result: None,
            has_expired: false,
            unique: None,
            has_key: false,
            limit_keys: LimitKeys::default(),
            text: text.into(),
        }
    }
}

/// The result of a survey of a queue.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Survey {
    /// The messages that match the filter, newest first.
    pub messages: Vec<StoredMessage>,
    /// How many more messages in the queue and states of the filter could not
    /// be seen: 0 with [`Capabilities::complete_lists`](super::Capabilities::complete_lists).
    pub unseen: u64,
}

impl Survey {
    /// Creates a survey of these messages, and how many more there are.
    #[must_use]
    pub fn new(messages: Vec<StoredMessage>, unseen: u64) -> Self {
        Self { messages, unseen }
    }
}
