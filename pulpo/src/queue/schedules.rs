//! Which occurrences of which schedules have been dealt with, kept for all
//! workers of a queue.

use chrono::{DateTime, Utc};
use std::time::Duration;

use super::{MessageId, NewMessage, QueueError};

/// The part of a queue that keeps schedules; see
/// [`QueueAdapter::schedules`](super::QueueAdapter::schedules).
///
/// It knows names, times and messages, and nothing of what an expression
/// means. All of its times are by the clock of the queue.
///
/// An entry is *settled until* a time: what fell due until then has been
/// published, or is not going to be. A worker reads that, decides, and
/// [steps](Self::step_schedule) on from there; of several that do so at the same time one
/// succeeds.
pub trait ScheduleStore: Send + Sync {
    /// All entries, by name and text, and the time.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn read_schedules(&self) -> Result<Schedules, QueueError>;

    /// Settles an entry until another time, and publishes occurrences: both or
    /// neither, and only if it is settled until the time that the step says.
    ///
    /// An occurrence is left out if its schedule is paused, if another entry of
    /// the same name has had its last one at that time, or, without
    /// [`ScheduleStep::overlap`], while the message of the last occurrence of
    /// that name is unfinished: neither gone nor buried.
    ///
    /// # Errors
    /// If the queue cannot be reached, or does not take the messages. Nothing is
    /// changed then.
    fn step_schedule(&self, step: &ScheduleStep) -> Result<Stepped, QueueError>;

    /// Publishes no occurrence of this name any more, or does again: then those
    /// that fell due until now are settled. Says whether it was paused.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn pause_schedule(&self, name: &str, paused: bool) -> Result<bool, QueueError>;

    /// Removes the entries that nobody has stepped on for this long. Says how
    /// many.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn forget_schedules(&self, unattended_for: Duration) -> Result<u64, QueueError>;
}

/// What a queue knows of schedules.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Schedules {
    /// The time that the queue goes by.
    pub now: DateTime<Utc>,
    /// By name, then by text.
    pub entries: Vec<StoredEntry>,
    /// The names that are paused, with an entry or not.
    pub paused: Vec<String>,
}

impl Schedules {
    /// What is known at this time.
    #[must_use]
    pub fn new(now: DateTime<Utc>, entries: Vec<StoredEntry>, paused: Vec<String>) -> Self {
        Self { now, entries, paused }
    }

    /// What is known of an entry.
    #[must_use]
    pub fn entry(&self, name: &str, text: &str) -> Option<&StoredEntry> {
        self.entries.iter().find(|entry| (entry.name.as_str(), entry.text.as_str()) == (name, text))
    }

    /// Whether a schedule is paused.
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
    /// What it says, and is known by.
    pub text: String,
    /// Until when it is settled.
    pub settled: DateTime<Utc>,
    /// When it is due next, as who stepped last has said.
    pub next: Option<DateTime<Utc>>,
    /// The last occurrence that was published.
    pub last: Option<DateTime<Utc>>,
    /// Its message.
    pub message: Option<MessageId>,
}

impl StoredEntry {
    /// An entry that has had no occurrence yet.
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
    /// Until when it is settled now; `None`: nobody knows the entry yet.
    pub from: Option<DateTime<Utc>>,
    /// Until when it is settled then.
    pub to: DateTime<Utc>,
    /// When it is due next.
    pub next: Option<DateTime<Utc>>,
    /// What to publish, in this order.
    pub occurrences: Vec<Occurrence>,
    /// Whether to publish while the occurrence before is unfinished.
    pub overlap: bool,
}

impl ScheduleStep {
    /// A step that publishes nothing.
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
    /// To be published with the step.
    #[must_use]
    pub fn new(at: DateTime<Utc>, message: NewMessage) -> Self {
        Self { at, message: OccurrenceMessage::New(message) }
    }

    /// Published already, into another queue, under this id.
    #[must_use]
    pub fn published(at: DateTime<Utc>, id: MessageId) -> Self {
        Self { at, message: OccurrenceMessage::Published(id) }
    }
}

impl Occurrence {
    /// The queue of its message; empty if that is in another one already.
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
    /// To be put into this queue.
    New(NewMessage),
    /// In another queue already: to be noted.
    Published(MessageId),
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stepped {
    /// It is done, with these messages: one for each occurrence, `None` for
    /// those that were left out.
    Done(Vec<Option<MessageId>>),
    /// Another worker was faster, and nothing was changed: read again.
    Beaten,
}
