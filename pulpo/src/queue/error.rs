//! Why a queue did not do what it was asked.

use std::path::PathBuf;
use std::time::Duration;

use crate::message::MessageId;
pub use crate::process::fork::Forked;

/// Why a queue did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The lease has ended and the message may be another worker's: what the
    /// call would have done was not done.
    #[error("the lease of message {id} is lost: it may be another worker's now")]
    LeaseLost {
        /// The message.
        id: MessageId,
    },
    /// The message was cancelled while it ran: it is buried now, whatever its
    /// run has ended with.
    #[error("message {id} was cancelled while it ran: it is buried")]
    Cancelled {
        /// The message.
        id: MessageId,
    },
    /// The queue cannot be had now; another try may succeed.
    #[error("cannot {doing}")]
    Unavailable {
        /// What was tried, and on what.
        doing: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The queue refuses it, and would refuse it again.
    #[error("cannot {doing}: retrying will not help")]
    Rejected {
        /// What was tried, and on what.
        doing: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no room for the message.
    #[error("cannot {doing}: no space is left; free some, nothing that was published is lost")]
    Full {
        /// What was tried, and on what.
        doing: String,
    },
    /// The server has no memory for the message.
    #[error("{place} is out of memory: the message was not enqueued; work off or delete some, or give it more")]
    OutOfMemory {
        /// Which server.
        place: String,
    },
    /// The server is about to be stopped.
    #[error("{place} is draining: it takes no new messages until it is restarted")]
    Draining {
        /// Which server.
        place: String,
    },
    /// The message is bigger than this queue takes.
    #[error(
        "the message has {size} bytes and {place} takes at most {limit}: \
         put the data elsewhere and its address into the message, or start the server with a greater `-z`",
        limit = limit.map_or_else(|| "fewer".to_owned(), |limit| limit.to_string())
    )]
    TooBig {
        /// Which server.
        place: String,
        /// How many bytes the message has, header and all.
        size: usize,
        /// How many it may have, if the server says so.
        limit: Option<u64>,
    },
    /// The queue does not take this name.
    #[error("{name:?} cannot be the name of a queue here: {problem}")]
    BadQueueName {
        /// The name.
        name: String,
        /// What it should be.
        problem: &'static str,
    },
    /// There is no queue of this name.
    #[error("{place} has no queue {queue:?}: it knows one only while there are messages or workers for it")]
    NoSuchQueue {
        /// The name.
        queue: String,
        /// Which server.
        place: String,
    },
    /// A file is not written over.
    #[error("{} already exists: name a new file", file.display())]
    Exists {
        /// The file.
        file: PathBuf,
    },
    /// The message is to wait for longer than this queue can count.
    #[error(
        "expected a delay of at most {longest}, got {delay}",
        longest = humantime::format_duration(*.longest), delay = humantime::format_duration(*.delay)
    )]
    DelayTooLong {
        /// How long it is to wait.
        delay: Duration,
        /// How long it can.
        longest: Duration,
    },
    /// The message was sent, and no answer came: it may be in the queue or
    /// not. To enqueue it again may make two of it.
    #[error("tried to {doing}, and cannot know whether it succeeded: check before you retry")]
    UnknownOutcome {
        /// What was tried, and on what.
        doing: String,
        /// Why there is no answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Some messages of a batch were enqueued, the first ones.
    #[error("enqueued the first {} of {of} messages, not all", ids.len())]
    PartOfBatch {
        /// Their ids.
        ids: Vec<MessageId>,
        /// How many the batch has.
        of: usize,
        /// Why not the next one.
        source: Box<QueueError>,
    },
    /// Another message has the unique key, and this one was to be rejected
    /// then. Nothing was enqueued.
    #[error("message {id} has the same unique key")]
    Duplicate {
        /// The message that has it.
        id: MessageId,
    },
    /// There is nothing to look at or to administer.
    #[error("there is no queue at {place}: check PULPO_QUEUE; the first publication or worker creates one")]
    NoQueue {
        /// The folder.
        place: String,
    },
    /// What is there is not a queue of ours.
    #[error("{place} is not a pulpo queue: {found}; name another place in PULPO_QUEUE or move this one away")]
    NotAQueue {
        /// The file.
        place: String,
        /// What it is instead.
        found: String,
    },
    /// A backup was put beside the log of the database that was there before.
    #[error(
        "{place} is a copy that was put beside the log of another database: while no program uses the queue, \
         move `{place}-wal` and `{place}-shm` away"
    )]
    ForeignLog {
        /// The file.
        place: String,
    },
    /// A newer pulpo wrote it, and this one would damage it.
    #[error(
        "{place} was written by a newer pulpo (schema {found}, this one knows up to {known}): upgrade this program"
    )]
    NewerVersion {
        /// The file.
        place: String,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The queue is damaged.
    #[error(
        "{place} is damaged: {found}; stop the workers, keep a copy, and recover it with `sqlite3 {place} .recover`"
    )]
    Corrupt {
        /// The file.
        place: String,
        /// What was noticed.
        found: String,
    },
    /// This process is a fork of the one that opened the queue, whose
    /// connections, locks and threads it cannot use.
    #[error("cannot use {place} in a fork")]
    Forked {
        /// Which queue.
        place: String,
        /// Which process had opened it.
        source: Forked,
    },
    /// This queue cannot do that.
    #[error("this queue cannot {0}")]
    Unsupported(&'static str),
}

impl QueueError {
    /// What a queue without [`Capabilities::unique_keys`](super::Capabilities)
    /// says of a unique message.
    pub const NO_UNIQUE_KEYS: Self = Self::Unsupported(
        "keep messages unique: use one that can (`file:FOLDER`, `postgres://…`), or remove `unique` from the job",
    );

    /// What a queue without [`Capabilities::cancels`](super::Capabilities) says
    /// of [`Inspection::cancel`](super::Inspection::cancel).
    pub const NO_CANCELS: Self = Self::Unsupported(
        "cancel messages: `delete` those that wait, or use a queue that can (`file:FOLDER`, `postgres://…`)",
    );

    /// What [`Pulpo::workers`](crate::Pulpo::workers) says of a queue without
    /// [`Capabilities::workers`](super::Capabilities).
    pub const NO_WORKERS: Self =
        Self::Unsupported("list its workers: it does not know them; use one that does (`file:FOLDER`, `postgres://…`)");

    /// Whether the same call may succeed later, with nothing changed by us.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Full { .. } | Self::OutOfMemory { .. } | Self::Draining { .. } => true,
            // A person may put a good file in its place while we wait.
            Self::Corrupt { .. } | Self::NotAQueue { .. } | Self::ForeignLog { .. } => true,
            _ => false,
        }
    }
}
