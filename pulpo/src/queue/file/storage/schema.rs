//! Creates and opens the database, with the settings of each connection.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags};

use super::busy;
use super::error::SqliteError;
pub(in crate::queue::file) use super::migrations::VERSION;
use super::migrations::{MIGRATIONS, Refusal, migrate, recognise};
use crate::queue::{MessageState, QueueError};

/// The longest ttr that the database accepts, in milliseconds.
pub(in crate::queue::file) const LONGEST_TTR: i64 = 31_556_952_000_000;

/// The longest text, in bytes, that is stored in the row of its message.
pub(in crate::queue::file) const LONGEST_INLINE_TEXT: usize = 1000;

/// Returns the code of a state in the database.
pub(in crate::queue::file) fn code(state: MessageState) -> i64 {
    match state {
        MessageState::Ready => 0,
        MessageState::Delayed => 1,
        MessageState::Reserved => 2,
        MessageState::Buried => 3,
        // Never in a row of `message`: see `done.rs`.
        MessageState::Done => 4,
    }
}

/// Returns the state with this code.
pub(in crate::queue::file) fn state(code: i64) -> MessageState {
    match code {
        0 => MessageState::Ready,
        1 => MessageState::Delayed,
        2 => MessageState::Reserved,
        _ => MessageState::Buried,
    }
}

/// Opens the connection for writing, and brings the schema up to date.
pub(in crate::queue::file) fn open(file: &Path) -> Result<Connection, QueueError> {
    open_writer(file, Missing::IsMade)
}

/// Opens it only if the database has a schema already.
pub(in crate::queue::file) fn open_existing(file: &Path) -> Result<Connection, QueueError> {
    open_writer(file, Missing::IsRefused)
}

/// How to treat a database without a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    IsMade,
    IsRefused,
}

fn open_writer(file: &Path, missing: Missing) -> Result<Connection, QueueError> {
    let place = file.display().to_string();
    let open = || -> Result<Connection, Refusal> {
        let connection = connect(file)?;
        // SQLite falls back to reading where it may not write.
        if connection.is_readonly(MAIN_DB)? {
            return Err(Refusal::ReadOnly);
        }
        // Checked before anything is changed: is it pulpo's, and not newer?
        if recognise(&connection)? == 0 && missing == Missing::IsRefused {
            return Err(Refusal::Empty(file.parent().unwrap_or(file).display().to_string()));
        }
        become_wal(&connection)?;
        // Also erases what a migration deletes.
        connection.execute_batch("PRAGMA secure_delete = ON;")?;
        migrate(&connection, MIGRATIONS, Some(file))?;
        connection.execute_batch(
            // `synchronous` is set for each transaction, see the writer. For the reasons for these sizes see
            // ARCHITECTURE.md.
            "PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -16000;",
        )?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    };
    open().map_err(|refusal| refusal.into_queue_error(&place))
}

/// Opens the connection for reading only.
pub(in crate::queue::file) fn open_reader(file: &Path) -> Result<Connection, QueueError> {
    open_another(file, "PRAGMA query_only = ON;")
}

/// Opens a connection for making copies, which SQLite treats as writing.
pub(in crate::queue::file) fn open_copier(file: &Path) -> Result<Connection, QueueError> {
    open_another(file, "")
}

/// Opens another connection to a database that is open already.
fn open_another(file: &Path, pragmas: &str) -> Result<Connection, QueueError> {
    let open = || -> rusqlite::Result<Connection> {
        let connection = connect(file)?;
        connection.execute_batch(pragmas)?;
        Ok(connection)
    };
    open().map_err(|error| SqliteError::from(error).into_queue_error("read", &file.display().to_string()))
}

/// Creates a database in memory with the same schema.
pub(in crate::queue::file) fn open_in_memory() -> Result<Connection, QueueError> {
    let open = || -> Result<Connection, Refusal> {
        let connection = Connection::open_in_memory()?;
        migrate(&connection, MIGRATIONS, None)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    };
    open().map_err(|refusal| refusal.into_queue_error("memory:"))
}

/// Connects to an existing file, with the settings that all our connections share.
#[allow(unused_mut, reason = "rusqlite before 0.41 sets the handler through a shared reference")]
pub(in crate::queue::file) fn connect(file: &Path) -> rusqlite::Result<Connection> {
    // Our own locks guard each connection.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags)?;
    connection.busy_handler(Some(busy::handler))?;
    connection.execute_batch(EVERYWHERE)?;
    Ok(connection)
}

/// Settings for every connection. Sorting, statement journals and copies use no temporary file, since there may be no
/// folder for one. Apple's `fsync` leaves data in the drive's cache unless told otherwise; on other systems these
/// settings change nothing.
const EVERYWHERE: &str = "PRAGMA temp_store = MEMORY; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;";

/// Switches to write-ahead logging, so that readers do not wait for writers. The switch needs exclusive access, and
/// SQLite does not wait for that.
fn become_wal(connection: &Connection) -> Result<(), Refusal> {
    for tries in 0.. {
        let switched = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0));
        match switched {
            Ok(mode) if mode.eq_ignore_ascii_case("wal") => return Ok(()),
            Ok(mode) => return Err(Refusal::Foreign(format!("a file that cannot be shared (journal mode {mode})"))),
            Err(error) => {
                let error = SqliteError::from(error);
                if !error.is(ErrorCode::DatabaseBusy) || !busy::handler(tries) {
                    return Err(Refusal::Sqlite(error));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
