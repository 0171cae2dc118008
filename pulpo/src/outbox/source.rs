//! An outbox from the relay's point of view: rows are claimed for a short time, and deleted when the queue has them.
#![cfg_attr(
    not(any(feature = "file", feature = "rusqlite", feature = "postgres")),
    allow(dead_code, reason = "for programs that can read an outbox")
)]

use std::time::Duration;

use crate::transaction::BoxError;

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
    /// Number of jobs that wait to be moved.
    pub waiting: u64,
    /// Number of other jobs, which the queue refuses. They are tried again every ten minutes; the log gives the reason.
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

    /// Checks that rows can be claimed and deleted, without changing any.
    #[cfg(feature = "cli")]
    fn check(&mut self, now: i64) -> Result<(), BoxError> {
        self.counts(now).map(drop)
    }
}
