//! Connects to an outbox, in whichever kind of database it is.

use chrono::{DateTime, Utc};

#[cfg(feature = "postgres")]
use super::postgres::Postgres;
use super::source::{OutboxCounts, Source};
#[cfg(any(feature = "file", feature = "rusqlite"))]
use super::sqlite::Sqlite;
use super::url::{Database, OutboxUrl};
#[cfg(feature = "cli")]
use crate::transaction::Dialect;
use crate::transaction::{BoxError, TransactionError};

/// Connects to an outbox.
pub(super) fn open(url: &OutboxUrl) -> Result<Box<dyn Source>, BoxError> {
    match url.database() {
        #[cfg(any(feature = "file", feature = "rusqlite"))]
        Database::Sqlite(file) => Ok(Box::new(Sqlite::open(file)?)),
        #[cfg(feature = "postgres")]
        Database::Postgres(url) => Ok(Box::new(Postgres::open(url)?)),
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

/// Checks that a relay can move the rows of an outbox. Fails with the problem, and whether the server may only be away.
#[cfg(feature = "cli")]
pub(crate) fn check(url: &OutboxUrl, now: DateTime<Utc>) -> Result<(), (TransactionError, bool)> {
    open(url).and_then(|mut source| source.check(now.timestamp_millis())).map_err(|error| {
        #[cfg(feature = "postgres")]
        let is_final = super::postgres::is_final(&error);
        #[cfg(not(feature = "postgres"))]
        let is_final = false;
        let may_be_away = url.dialect() == Dialect::Postgres && !is_final;
        (TransactionError::new(error, url.dialect()), may_be_away)
    })
}

/// Returns why this program cannot move the rows of such a database, if so.
pub(crate) fn unsupported(url: &OutboxUrl) -> Option<String> {
    let feature = match url.database() {
        Database::Sqlite(_) if cfg!(any(feature = "file", feature = "rusqlite")) => return None,
        Database::Postgres(_) if cfg!(feature = "postgres") => return None,
        Database::Sqlite(_) => "rusqlite",
        Database::Postgres(_) => "postgres",
    };
    Some(format!("this program was built without pulpo's feature `{feature}`, which moves jobs from there"))
}
