//! A spool as commands see it: its contents, and the way to send them.

use std::fmt;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::queue::{Filter, QueueError, StoredMessage};

/// The spool in front of a queue: see [`QueueAdapter::spool`](crate::queue::QueueAdapter::spool).
pub trait Spool: fmt::Debug + Send + Sync {
    /// Returns the folder of the spool.
    #[must_use]
    fn folder(&self) -> &Path;

    /// Counts the messages in the spool.
    ///
    /// # Errors
    /// If the spool exists and cannot be read.
    fn spooled(&self) -> Result<Spooled, QueueError>;

    /// Returns the messages in the spool that match the filter, newest first.
    ///
    /// # Errors
    /// If the spool exists and cannot be read.
    fn messages(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError>;

    /// Sends the waiting messages, in order, until the spool is empty or no server accepts the next one. With
    /// `refused`, also sends those that were refused permanently.
    ///
    /// # Errors
    /// If the spool cannot be read. If no server accepts the next message, [`Flushed::stopped_by`] says so.
    fn flush(&self, refused: bool) -> Result<Flushed, QueueError>;
}

/// The content of a spool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Spooled {
    /// The number of messages that wait for a server.
    pub waiting: u64,
    /// When the oldest of them began to wait.
    pub oldest: Option<DateTime<Utc>>,
    /// The number of messages that the queue refused permanently when they were sent. They stay until a person flushes
    /// or deletes them.
    pub refused: u64,
}

/// The result of a flush.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Flushed {
    /// The number of messages that the queue accepted.
    pub sent: u64,
    /// The number of messages that it refused permanently. They stay in the spool, with the reason.
    pub refused: u64,
    /// Why it ended before the spool was empty; `None` if it is empty, or if
    /// another process is flushing it.
    pub stopped_by: Option<QueueError>,
    /// Another process is flushing it.
    pub is_busy: bool,
}
