//! Keeps, for all workers of a queue, which occurrences of which schedules are settled.

use chrono::{DateTime, Utc};
use std::time::Duration;

use super::{NewMessage, QueueError};
use crate::message::MessageId;

/// The part of a queue that keeps schedules; see
/// [`QueueAdapter::schedules`](super::QueueAdapter::schedules).
///
/// It knows names, times and messages, but not the meaning of an expression. All of its times are by the clock of the
/// queue.
///
/// An entry is *settled until* a time: each occurrence that fell due by then has been published, or never will be. A
/// worker reads that, decides, and [steps](Self::step_schedule) on from there. If several do so at the same time, one
/// succeeds.
pub trait ScheduleStore: Send + Sync {
    /// Returns all entries, by name and text, and the time.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn read_schedules(&self) -> Result<Schedules, QueueError>;

    /// Settles an entry until a later time and publishes occurrences: both or neither, and only if the entry is still
    /// settled until the time that the step names.
    ///
    /// An occurrence is skipped if its schedule is paused, if another entry of the same name has already had its last
    /// one at that time, or, without [`ScheduleStep::overlap`], while the message of that name's last occurrence is
    /// unfinished: neither gone nor buried.
    ///
    /// # Errors
    /// If the queue cannot be reached, or refuses the messages. Nothing is changed then.
    fn step_schedule(&self, step: &ScheduleStep) -> Result<Stepped, QueueError>;

    /// Pauses or resumes the schedule of this name. Resuming settles the occurrences that fell due until now. Returns
    /// whether it was paused before.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn pause_schedule(&self, name: &str, paused: bool) -> Result<bool, QueueError>;

    /// Removes the entries on which no worker has stepped for this long. Returns how many.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn forget_schedules(&self, unattended_for: Duration) -> Result<u64, QueueError>;
}

/// The schedules that a queue keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Schedules {
    /// The current time of the queue.
    pub now: DateTime<Utc>,
    /// By name, then by text.
    pub entries: Vec<StoredEntry>,
    /// The names that are paused, even without an entry.
    pub paused: Vec<String>,
}

impl Schedules {
    /// Creates an empty value for this time.
    #[must_use]
    pub fn new(now: DateTime<Utc>, entries: Vec<StoredEntry>, paused: Vec<String>) -> Self {
        Self { now, entries, paused }
    }

    /// Returns the stored state of an entry.
    #[must_use]
    pub fn entry(&self, name: &str, text: &str) -> Option<&StoredEntry> {
        self.entries.iter().find(|entry| (entry.name.as_str(), entry.text.as_str()) == (name, text))
    }

    /// Returns whether a schedule is paused.
    #[must_use]
    pub fn is_paused(&self, name: &str) -> bool {
        self.paused.iter().any(|paused| paused == name)
    }
}

/// One entry, as the queue keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredEntry {
    /// The request type.
    pub name: String,
    /// The text of its expression, which is its identity.
    pub text: String,
    /// The time until which it is settled.
    pub settled: DateTime<Utc>,
    /// The next due time, as given by the last step.
    pub next: Option<DateTime<Utc>>,
    /// The time of the last occurrence that was published.
    pub last: Option<DateTime<Utc>>,
    /// The message of that occurrence.
    pub message: Option<MessageId>,
}

impl StoredEntry {
    /// Creates an entry without an occurrence.
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<String>, settled: DateTime<Utc>) -> Self {
        Self { name: name.into(), text: text.into(), settled, next: None, last: None, message: None }
    }
}

/// A step of one entry.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScheduleStep {
    /// The request type.
    pub name: String,
    /// The text of the entry.
    pub text: String,
    /// The time until which it is settled now; `None` if the queue does not know the entry yet.
    pub from: Option<DateTime<Utc>>,
    /// The time until which it is settled afterwards.
    pub to: DateTime<Utc>,
    /// The next due time.
    pub next: Option<DateTime<Utc>>,
    /// The occurrences to publish, in this order.
    pub occurrences: Vec<Occurrence>,
    /// Whether to publish while the previous occurrence is unfinished.
    pub overlap: bool,
}

impl ScheduleStep {
    /// Creates a step that publishes nothing.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        text: impl Into<String>,
        from: Option<DateTime<Utc>>,
        to: DateTime<Utc>,
    ) -> Self {
        Self { name: name.into(), text: text.into(), from, to, next: None, occurrences: Vec::new(), overlap: false }
    }
}

/// One occurrence to publish.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Occurrence {
    /// The time that it is for.
    pub at: DateTime<Utc>,
    /// Its message.
    pub message: OccurrenceMessage,
}

impl Occurrence {
    /// Creates an occurrence that is published with the step.
    #[must_use]
    pub fn new(at: DateTime<Utc>, message: NewMessage) -> Self {
        Self { at, message: OccurrenceMessage::New(message) }
    }

    /// Creates an occurrence that was already published into another queue, under this id.
    #[must_use]
    pub fn published(at: DateTime<Utc>, id: MessageId) -> Self {
        Self { at, message: OccurrenceMessage::Published(id) }
    }
}

impl Occurrence {
    /// Returns the queue of its message; empty if the message is already in another one.
    #[must_use]
    pub fn queue(&self) -> &str {
        match &self.message {
            OccurrenceMessage::New(message) => &message.queue,
            OccurrenceMessage::Published(_) => "",
        }
    }
}

/// The message of an occurrence.
#[derive(Clone, Debug)]
pub enum OccurrenceMessage {
    /// A message to enqueue here.
    New(NewMessage),
    /// The id of a message that is already in another queue, to be recorded.
    Published(MessageId),
}

/// The result of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stepped {
    /// It is done. One entry for each occurrence: its message, or `None` if it was skipped.
    Done(Vec<Option<MessageId>>),
    /// Another worker was faster, and nothing was changed: read the schedules again.
    Beaten,
}
