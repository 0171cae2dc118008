//! Rewrites the files, so that they hold no traces of deleted messages.
//!
//! SQLite overwrites what it deletes (`secure_delete`), but copies remain in two places: in the log `queue.db-wal`,
//! until it is moved into the database and truncated, and in pages whose rows were moved to other pages, which are not
//! cleared. So the database is rewritten, and then the log is truncated.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use rusqlite::Connection;

use super::error::SqliteError;
use super::file_id::log_of;
use super::reopening::ReopeningConnection;
use crate::queue::QueueError;
use crate::sync::lock;

/// A database with more content than this is not rewritten in memory, and not when a worker stops: that would take more
/// than a second, in which no other process can write.
const MOST_IN_MEMORY: u64 = 64 << 20;

/// A database with up to this much content is rewritten after each pruning, which takes some tens of milliseconds; a
/// larger one only now and then.
pub(in crate::queue::file) const SMALL: u64 = 16 << 20;

/// How long to wait for others when the rewrite is optional.
const QUICK: Duration = Duration::from_millis(200);

/// How long nothing must have been written until a running program clears the files.
const QUIET: Duration = Duration::from_secs(30);

/// Rewrites the database and truncates the log, so that no file contains what was deleted.
///
/// # Errors
/// If traces may remain: another program is reading an older snapshot, or the database cannot be rewritten.
pub(in crate::queue::file) fn all(file: &Path) -> Result<(), QueueError> {
    let place = file.display().to_string();
    let copier = ReopeningConnection::copier(file)?;
    let rewritten = rewrite(copier.connection()).map_err(|error| error.into_queue_error("write again", &place));
    let cut = cut_log(copier.connection(), &place);
    rewritten.and(cut)
}

/// Does the same only if it is quick and no other program is in the way.
pub(in crate::queue::file) fn if_quick(file: &Path) -> Result<(), QueueError> {
    let copier = ReopeningConnection::copier(file)?;
    if has_at_most(MOST_IN_MEMORY, copier.connection()) {
        quickly(copier.connection(), file);
    }
    Ok(())
}

/// Rewrites the database and truncates the log, unless others are in the way.
fn quickly(connection: &Connection, file: &Path) {
    let place = file.display().to_string();
    let done = connection.busy_timeout(QUICK).map_err(SqliteError::from).and_then(|()| rewrite(connection));
    let _ = done.map_err(|error| tracing::debug!(%error, "cannot write the database again"));
    let _ = cut_log(connection, &place).map_err(|error| tracing::debug!(%error, "cannot cut off the log"));
}

/// Notices when nothing has been written for a while. A worker that runs for months clears traces then, not only when it
/// stops.
#[derive(Debug, Default)]
pub(in crate::queue::file) struct Quiet(Mutex<Option<LogState>>);

/// The state of the log at a check.
#[derive(Clone, Copy, Debug)]
struct LogState {
    /// In real uptime.
    at: Duration,
    /// Its size and when it was last written; `None` if it is empty.
    written: Option<(u64, Option<SystemTime>)>,
}

impl Quiet {
    /// Clears the files if something has been written since the last time, but not since the last check.
    ///
    /// # Errors
    /// If the database cannot be opened.
    pub(in crate::queue::file) fn clear_if_quiet(&self, file: &Path, uptime: Duration) -> Result<(), QueueError> {
        let mut last = lock(&self.0);
        if last.is_some_and(|last| uptime.saturating_sub(last.at) < QUIET) {
            return Ok(());
        }
        let log = fs::metadata(log_of(file)).ok().filter(|log| log.len() > 0);
        let written = log.map(|log| (log.len(), log.modified().ok()));
        let before = last.replace(LogState { at: uptime, written });
        drop(last);
        if written.is_none() || before.is_none_or(|before| before.written != written) {
            return Ok(());
        }
        let copier = ReopeningConnection::copier(file)?;
        let connection = copier.connection();
        // If a reader is in the way, each rewrite would make the log longer.
        let place = file.display().to_string();
        let is_free = connection.busy_timeout(QUICK).is_ok() && cut_log(connection, &place).is_ok();
        if is_free && has_at_most(SMALL, connection) {
            quickly(connection, file);
        }
        Ok(())
    }
}

/// Returns whether the database has at most this many bytes of content. The time of a rewrite depends on them, and not on
/// the size of the file, most of which is free once the jobs are done.
pub(in crate::queue::file) fn has_at_most(bytes: u64, connection: &Connection) -> bool {
    let size = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let used = || Ok::<_, rusqlite::Error>((size("page_count")? - size("freelist_count")?) * size("page_size")?);
    used().is_ok_and(|used| used.unsigned_abs() <= bytes)
}

fn rewrite(connection: &Connection) -> Result<(), SqliteError> {
    if !has_at_most(MOST_IN_MEMORY, connection) {
        connection.execute_batch("PRAGMA temp_store = FILE")?;
        // There may be no folder for temporary files.
        if connection.execute_batch("VACUUM").is_ok() {
            return Ok(());
        }
        connection.execute_batch("PRAGMA temp_store = MEMORY")?;
    }
    Ok(connection.execute_batch("VACUUM")?)
}

/// Moves the log into the database and truncates it.
pub(in crate::queue::file) fn cut_log(connection: &Connection, place: &str) -> Result<(), QueueError> {
    let is_busy: Result<bool, _> =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok(row.get::<_, i64>(0)? != 0));
    match is_busy {
        Ok(false) => Ok(()),
        Ok(true) => Err(QueueError::NotErased { place: place.to_owned() }),
        Err(error) => Err(SqliteError::from(error).into_queue_error("empty the log of", place)),
    }
}
