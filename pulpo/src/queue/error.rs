//! Errors of queues.

use std::path::PathBuf;
use std::time::Duration;

use crate::message::MessageId;
pub use crate::process::fork::Forked;

/// Errors of queues.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The lease has ended and another worker may have the message: the call
    /// did nothing.
    #[error("the lease of message {id} is lost: it may be another worker's now")]
    LeaseLost {
        /// The message.
        id: MessageId,
    },
    /// The message was cancelled while it ran. It is buried now, however its run ended.
    #[error("message {id} was cancelled while it ran: it is buried")]
    Cancelled {
        /// The message.
        id: MessageId,
    },
    /// The queue is not available now; retrying may succeed.
    #[error("cannot {doing}")]
    Unavailable {
        /// The operation, and the queue.
        doing: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The queue refuses it, and would refuse it again.
    #[error("cannot {doing}: retrying will not help")]
    Rejected {
        /// The operation, and the queue.
        doing: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no space for the message.
    #[error("cannot {doing}: no space is left; free some, nothing that was published is lost")]
    Full {
        /// The operation, and the queue.
        doing: String,
    },
    /// The server has no memory for the message.
    #[error("{place} is out of memory: the message was not enqueued; run or delete some, or give it more memory")]
    OutOfMemory {
        /// The server.
        place: String,
    },
    /// The server is about to be stopped.
    #[error("{place} is draining: it takes no new messages until it is restarted")]
    Draining {
        /// The server.
        place: String,
    },
    /// The message is larger than this queue allows.
    #[error(
        "the message has {size} bytes and {place} takes {limit}: \
         store the data elsewhere and put its address into the message, or start the server with a greater `-z`",
        limit = limit.map_or_else(|| "fewer".to_owned(), |limit| format!("at most {limit}"))
    )]
    TooBig {
        /// The server.
        place: String,
        /// The size of the message with its header, in bytes.
        size: usize,
        /// The limit in bytes, if the server reports it.
        limit: Option<u64>,
    },
    /// The queue does not accept this name.
    #[error("{name:?} cannot be the name of a queue here: {problem}")]
    BadQueueName {
        /// The name.
        name: String,
        /// The rule for names.
        problem: &'static str,
    },
    /// There is no queue with this name.
    #[error(
        "{place} has no queue {queue:?}: it knows one only while there are messages or workers for it; start a worker \
         for it first"
    )]
    NoSuchQueue {
        /// The name.
        queue: String,
        /// The server.
        place: String,
    },
    /// The file already exists and is not overwritten.
    #[error("{} already exists: name a new file", file.display())]
    Exists {
        /// The file.
        file: PathBuf,
    },
    /// The delay is longer than this queue can handle.
    #[error(
        "expected a delay of at most {longest}, got {delay}",
        longest = humantime::format_duration(*.longest), delay = humantime::format_duration(*.delay)
    )]
    DelayTooLong {
        /// The delay.
        delay: Duration,
        /// The longest delay.
        longest: Duration,
    },
    /// The message was sent, and no answer came: it may be in the queue or not.
    /// Enqueueing it again may duplicate it. An
    /// [atomic batch](super::Capabilities::atomic_batches) is there as a whole or not
    /// at all.
    #[error("tried to {doing}, and cannot know whether it succeeded: check before you retry")]
    UnknownOutcome {
        /// The operation, and the queue.
        doing: String,
        /// Why there was no answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Only the first messages of a batch were enqueued.
    #[error("enqueued the first {} of {of} messages, not all", ids.len())]
    PartOfBatch {
        /// Their ids.
        ids: Vec<MessageId>,
        /// The size of the batch.
        of: usize,
        /// Why the next one was not.
        source: Box<QueueError>,
    },
    /// Another message has the unique key, and duplicates are rejected. Nothing
    /// was enqueued.
    #[error("message {id} has the same unique key")]
    Duplicate {
        /// The message that has it.
        id: MessageId,
    },
    /// There is no queue to inspect or administer.
    #[error("there is no queue at {place}: check PULPO_QUEUE; the first publication or worker creates one")]
    NoQueue {
        /// The folder.
        place: String,
    },
    /// The file is not a queue of pulpo.
    #[error("{place} is not a pulpo queue: {found}; name another place in PULPO_QUEUE or move this one away")]
    NotAQueue {
        /// The file.
        place: String,
        /// The actual content.
        found: String,
    },
    /// A backup was put beside the log of another database.
    #[error(
        "{place} is a copy that was put beside the log of another database: while no program uses the queue, \
         move `{place}-wal` and `{place}-shm` away"
    )]
    ForeignLog {
        /// The file.
        place: String,
    },
    /// The file was written by a newer pulpo, and this one could damage it.
    #[error(
        "{place} was written by a newer pulpo (schema {found}, this one knows up to {known}): upgrade this program"
    )]
    NewerVersion {
        /// The file.
        place: String,
        /// Its version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The queue is damaged.
    #[error(
        "{place} is damaged: {found}; stop the workers, keep a copy, and recover it with `sqlite3 {place} .recover`"
    )]
    Corrupt {
        /// The file.
        place: String,
        /// The sign of the damage.
        found: String,
    },
    /// Deleted messages are no longer in the queue, but copies of them may still be in its files.
    #[error(
        "what was deleted may still be in the files of {place}, since a program has been reading the queue since \
         before: end that program, a backup or an `sqlite3` for instance, and run the same command again"
    )]
    NotErased {
        /// The file.
        place: String,
    },
    /// This process is a fork of the one that opened the queue, and cannot use
    /// its connections, locks and threads.
    #[error("cannot use {place} in a fork")]
    Forked {
        /// The queue.
        place: String,
        /// The process that opened it.
        source: Forked,
    },
    /// This queue does not support the operation.
    #[error("this queue cannot {0}")]
    Unsupported(&'static str),
}

impl QueueError {
    /// The error of a queue without [`Capabilities::unique_keys`](super::Capabilities) for a unique message.
    pub const NO_UNIQUE_KEYS: Self = Self::Unsupported(
        "keep messages unique: use one that can (`file:FOLDER`, `postgres://…`), or remove `unique` from the job",
    );

    /// The error of a queue without [`Capabilities::cancels`](super::Capabilities) for
    /// [`Inspection::cancel`](super::Inspection::cancel).
    pub const NO_CANCELS: Self = Self::Unsupported(
        "cancel messages: `delete` those that wait, or use a queue that can (`file:FOLDER`, `postgres://…`)",
    );

    /// The error of [`Pulpo::workers`](crate::Pulpo::workers) for a queue without
    /// [`Capabilities::workers`](super::Capabilities).
    pub const NO_WORKERS: Self =
        Self::Unsupported("list its workers: it does not know them; use one that does (`file:FOLDER`, `postgres://…`)");

    /// Returns whether the queue certainly did nothing, so that another one may be tried, or the same one later.
    pub(crate) fn is_outage(&self) -> bool {
        matches!(
            self,
            // A server that speaks another protocol may stand in for one that is away.
            Self::Unavailable { .. } | Self::NotAQueue { .. }
        ) || self.is_refusal()
    }

    /// Returns whether the queue can be reached, and accepts no publication now.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Draining { .. } | Self::OutOfMemory { .. } | Self::Full { .. })
    }

    /// Returns whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Full { .. } | Self::OutOfMemory { .. } | Self::Draining { .. } => true,
            Self::NotErased { .. } => true,
            // A person may put a good file in its place in the meantime.
            Self::Corrupt { .. } | Self::NotAQueue { .. } | Self::ForeignLog { .. } => true,
            _ => false,
        }
    }
}
