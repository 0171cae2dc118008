//! Sees that nothing is left of what was deleted.
//!
//! SQLite overwrites what it deletes (`secure_delete`), and still two places
//! keep copies: the log `queue.db-wal`, until it is moved into the database and
//! cut off; and pages from which rows were moved to others, which are not
//! cleared. So the database is written again, and the log is cut off then.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::error::SqliteError;
use super::schema;
use super::shared::{Leftover, Shared};
use crate::clock::{Clock as _, lock};
use crate::queue::QueueError;

/// A bigger database is not written again in memory.
const MOST_IN_MEMORY: u64 = 64 << 20;

/// What a worker prunes is cleared at once from a database of this size, in
/// some tens of milliseconds, and from a bigger one now and then.
const SMALL: u64 = 16 << 20;

/// How long to wait for others where it need not be done.
const QUICK: Duration = Duration::from_millis(200);

/// How often the database is written again that is bigger, at most.
const REWRITE_EVERY: Duration = Duration::from_secs(24 * 3600);

/// What was deleted is nowhere in the files.
///
/// # Errors
/// If it may be, since another program reads what was there before, or the
/// database cannot be written again.
pub(super) fn all(file: &Path) -> Result<(), QueueError> {
    let place = file.display().to_string();
    let connection = schema::open_copier(file)?;
    let rewritten = rewrite(&connection, file).map_err(|error| error.into_queue_error("write again", &place));
    let cut = cut_log(&connection, &place);
    rewritten.and(cut)
}

/// The same if it takes little, and nobody is in the way.
pub(super) fn if_quick(file: &Path) -> Result<(), QueueError> {
    if is_small(file) {
        let connection = schema::open_copier(file)?;
        let place = file.display().to_string();
        let done = connection.busy_timeout(QUICK).map_err(SqliteError::from).and_then(|()| rewrite(&connection, file));
        let _ = done.map_err(|error| tracing::debug!(%error, "cannot write the database again"));
        let _ = cut_log(&connection, &place).map_err(|error| tracing::debug!(%error, "cannot cut off the log"));
    }
    Ok(())
}

fn is_small(file: &Path) -> bool {
    file.metadata().is_ok_and(|file| file.len() <= SMALL)
}

fn rewrite(connection: &Connection, file: &Path) -> Result<(), SqliteError> {
    let is_big = file.metadata().is_ok_and(|file| file.len() > MOST_IN_MEMORY);
    if is_big {
        connection.execute_batch("PRAGMA temp_store = FILE")?;
        // There may be no folder for temporary files.
        if connection.execute_batch("VACUUM").is_ok() {
            return Ok(());
        }
        connection.execute_batch("PRAGMA temp_store = MEMORY")?;
    }
    Ok(connection.execute_batch("VACUUM")?)
}

/// Moves the log into the database and leaves nothing of it.
fn cut_log(connection: &Connection, place: &str) -> Result<(), QueueError> {
    let is_busy: Result<bool, _> =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok(row.get::<_, i64>(0)? != 0));
    match is_busy {
        Ok(false) => Ok(()),
        Ok(true) => Err(QueueError::NotErased { place: place.to_owned() }),
        Err(error) => Err(SqliteError::from(error).into_queue_error("empty the log of", place)),
    }
}

/// After a worker has pruned all that it found: the same, at once if that takes
/// little, and else now and then.
pub(super) fn after_pruning(shared: &Shared) -> Result<(), QueueError> {
    let Some(file) = &shared.file else { return Ok(()) };
    let uptime = shared.real.uptime();
    let mut leftover = lock(&shared.pruned);
    if leftover.in_log {
        leftover.in_pages = true;
    }
    let is_due = leftover.rewritten.is_none_or(|at| uptime.saturating_sub(at) >= REWRITE_EVERY);
    if leftover.in_pages && (is_small(file) || is_due) {
        all(file)?;
        *leftover = Leftover { rewritten: Some(uptime), ..Leftover::default() };
    } else if leftover.in_log {
        cut_log(&schema::open_copier(file)?, &file.display().to_string())?;
        leftover.in_log = false;
    }
    Ok(())
}
