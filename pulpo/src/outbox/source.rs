//! An outbox from the relay's point of view: rows are claimed for a short time, and deleted when the queue has them.
#![cfg_attr(
    not(any(feature = "file", feature = "rusqlite", feature = "postgres")),
    allow(dead_code, reason = "for programs that can read an outbox")
)]

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::url::{OutboxUrl, Place};
use crate::transaction::{BoxError, TransactionError};

/// The maximum number of rows that are moved at once.
pub(super) const MAX_ROWS: usize = 256;

/// How long a relay's claim on rows lasts. If the relay dies, another one takes them after this time.
pub(super) const CLAIM: Duration = Duration::from_secs(5);

/// How long a row is left alone that the queue refuses permanently.
pub(super) const REFUSED_FOR: Duration = Duration::from_secs(600);

/// The longest time that a database may keep the relay waiting.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A row of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) number: i64,
    pub(super) token: String,
    pub(super) message: String,
}

impl Row {
    /// Returns the id that distinguishes it from any other row of any outbox.
    pub(super) fn outbox_id(&self) -> String {
        format!("{}/{}", self.number, self.token)
    }
}

/// The content of an outbox, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxCounts {
    /// Number of waiting jobs.
    pub waiting: u64,
    /// Number of these jobs that the queue refuses. They are tried again every ten minutes; the log gives the reason.
    pub refused: u64,
}

/// A connection to an outbox. Times are milliseconds since 1970.
pub(super) trait Source: Send {
    /// Claims up to [`MAX_ROWS`] unclaimed rows, in order.
    fn claim(&mut self, now: i64) -> Result<Vec<Row>, BoxError>;

    /// Deletes rows.
    fn delete(&mut self, rows: &[Row]) -> Result<(), BoxError>;

    /// Releases rows to any relay, after this time from now.
    fn release(&mut self, rows: &[Row], now: i64, after: Duration) -> Result<(), BoxError>;

    /// Counts the rows.
    fn counts(&mut self, now: i64) -> Result<OutboxCounts, BoxError>;
}

/// Connects to an outbox.
pub(super) fn open(url: &OutboxUrl) -> Result<Box<dyn Source>, BoxError> {
    match url.place() {
        #[cfg(any(feature = "file", feature = "rusqlite"))]
        Place::Sqlite(file) => Ok(Box::new(super::sqlite::Sqlite::open(file)?)),
        #[cfg(feature = "postgres")]
        Place::Postgres(url) => Ok(Box::new(super::postgres::Postgres::open(url)?)),
        #[allow(unreachable_patterns, reason = "with all features there is no other")]
        _ => Err(unsupported(url).unwrap_or_default().into()),
    }
}

/// Returns the number of jobs in an outbox at this time. It connects to the database, and blocks.
///
/// # Errors
/// If the database cannot be read, has no table `pulpo_outbox`, or is of a kind
/// that this program was built without.
pub fn counts(url: &OutboxUrl, now: DateTime<Utc>) -> Result<OutboxCounts, TransactionError> {
    let counted = open(url).and_then(|mut source| source.counts(now.timestamp_millis()));
    counted.map_err(|error| TransactionError::new(error, url.dialect()))
}

/// Returns why this program cannot move the rows of such a database, if so.
pub(crate) fn unsupported(url: &OutboxUrl) -> Option<String> {
    let feature = match url.place() {
        Place::Sqlite(_) if cfg!(any(feature = "file", feature = "rusqlite")) => return None,
        Place::Postgres(_) if cfg!(feature = "postgres") => return None,
        Place::Sqlite(_) => "rusqlite",
        Place::Postgres(_) => "postgres",
    };
    Some(format!("this program was built without pulpo's feature `{feature}`, which moves jobs from there"))
}
