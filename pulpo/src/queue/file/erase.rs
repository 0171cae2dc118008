//! Ensures that deleted messages leave no traces in the files.
//!
//! SQLite overwrites what it deletes (`secure_delete`), but copies remain in two places: in the log `queue.db-wal`,
//! until it is moved into the database and truncated, and in pages whose rows were moved to other pages, which are not
//! cleared. So the database is rewritten, and then the log is truncated.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::error::SqliteError;
use super::schema;
use super::shared::{Leftover, Shared};
use crate::clock::{Clock as _, lock};
use crate::queue::QueueError;

/// A database with more content than this is not rewritten in memory, and not when a worker stops: that would take more
/// than a second, in which no other process can write.
const MOST_IN_MEMORY: u64 = 64 << 20;

/// A database with up to this much content is rewritten after each pruning, which takes some tens of milliseconds; a
/// larger one only now and then.
const SMALL: u64 = 16 << 20;

/// How long to wait for others when the rewrite is optional.
const QUICK: Duration = Duration::from_millis(200);

/// The minimum time between two rewrites of a larger database.
const REWRITE_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Rewrites the database and truncates the log, so that no file contains what was deleted.
///
/// # Errors
/// If traces may remain: another program is reading an older snapshot, or the database cannot be rewritten.
pub(super) fn all(file: &Path) -> Result<(), QueueError> {
    let place = file.display().to_string();
    let connection = schema::open_copier(file)?;
    let rewritten = rewrite(&connection).map_err(|error| error.into_queue_error("write again", &place));
    let cut = cut_log(&connection, &place);
    rewritten.and(cut)
}

/// Does the same only if it is quick and no other program is in the way.
pub(super) fn if_quick(file: &Path) -> Result<(), QueueError> {
    let connection = schema::open_copier(file)?;
    if has_at_most(MOST_IN_MEMORY, &connection) {
        let place = file.display().to_string();
        let done = connection.busy_timeout(QUICK).map_err(SqliteError::from).and_then(|()| rewrite(&connection));
        let _ = done.map_err(|error| tracing::debug!(%error, "cannot write the database again"));
        let _ = cut_log(&connection, &place).map_err(|error| tracing::debug!(%error, "cannot cut off the log"));
    }
    Ok(())
}

/// Returns whether the database has at most this many bytes of content. The time of a rewrite depends on them, and not on
/// the size of the file, most of which is free once the jobs are done.
fn has_at_most(bytes: u64, connection: &Connection) -> bool {
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
fn cut_log(connection: &Connection, place: &str) -> Result<(), QueueError> {
    let is_busy: Result<bool, _> =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok(row.get::<_, i64>(0)? != 0));
    match is_busy {
        Ok(false) => Ok(()),
        Ok(true) => Err(QueueError::NotErased { place: place.to_owned() }),
        Err(error) => Err(SqliteError::from(error).into_queue_error("empty the log of", place)),
    }
}

/// Erases what a worker has pruned: immediately if that is quick, otherwise now and then.
pub(super) fn after_pruning(shared: &Shared) -> Result<(), QueueError> {
    let Some(file) = &shared.file else { return Ok(()) };
    let uptime = shared.real.uptime();
    let mut leftover = lock(&shared.pruned);
    if leftover.in_log {
        leftover.in_pages = true;
    }
    let is_due = leftover.rewritten.is_none_or(|at| uptime.saturating_sub(at) >= REWRITE_EVERY);
    let is_small = || Ok::<_, QueueError>(has_at_most(SMALL, &schema::open_copier(file)?));
    if leftover.in_pages && (is_due || is_small()?) {
        all(file)?;
        *leftover = Leftover { rewritten: Some(uptime), ..Leftover::default() };
    } else if leftover.in_log {
        cut_log(&schema::open_copier(file)?, &file.display().to_string())?;
        leftover.in_log = false;
    }
    Ok(())
}
