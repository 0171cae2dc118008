//! Recognises a copy of a database beside the log (`queue.db-wal`) of the original, where a backup was restored after a
//! program had been killed. SQLite would mix the pages of both.
//!
//! Nothing in a log says to which database it belongs, but each of these proves that it does not belong to this one:
//! - The database was never written through a log, according to its header. A copy by `VACUUM INTO` is like that.
//! - Its schema number is higher without the log than with it. SQLite raises that number with each change of the schema
//!   and in a copy by `VACUUM INTO`, and never lowers it; and a database without its log is an earlier state of itself.
//! - Its schema number is lower without the log, and both together are damaged. A copy by SQLite's `.backup` begins to
//!   count again. The number of a healthy database differs only if its schema changes in the log, and then both together
//!   are whole; so they are if all that has changed since the copy is in the log, which is then used.
//!
//! Whatever they do not prove is accepted, since the log of a healthy database contains acknowledged messages.
//!
//! # Invariants
//! The header is read only while no connection of this process has the database open: closing any descriptor of a file
//! ends all locks that the process holds on it, SQLite's included.

use std::cmp::Ordering;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use super::file_id::{FileId, log_of};
use super::schema;
use crate::process::fork::PerProcess;
use crate::queue::QueueError;
use crate::sync::lock;

/// The files that connections of this process have open. A fork has none open.
static OPEN: PerProcess<Mutex<Vec<OpenFile>>> = PerProcess::new();

#[derive(Debug)]
struct OpenFile {
    file: FileId,
    connections: usize,
    /// Whether its log belongs to another database; `None` before the first connection has checked that. Locked
    /// during that check, so that the next ones wait for its result.
    has_foreign_log: Arc<Mutex<Option<bool>>>,
}

/// Counts a connection of this process while it lives.
#[derive(Debug)]
pub(in crate::queue::file) struct OpenHere(FileId);

impl OpenHere {
    /// Counts the connection that is opened next. The first one of a file checks its log.
    ///
    /// # Errors
    /// [`QueueError::ForeignLog`] if the log belongs to another database.
    pub(in crate::queue::file) fn new(path: &Path, database: FileId) -> Result<Self, QueueError> {
        let mut open = lock(OPEN.get());
        let at = open.iter().position(|known| known.file == database).unwrap_or_else(|| {
            open.push(OpenFile { file: database, connections: 0, has_foreign_log: Arc::default() });
            open.len() - 1
        });
        open[at].connections += 1;
        let has_foreign_log = open[at].has_foreign_log.clone();
        drop(open);
        let here = Self(database);
        let check = || is_foreign(path) && FileId::of(path) == database;
        if *lock(&has_foreign_log).get_or_insert_with(check) {
            return Err(QueueError::ForeignLog { place: path.display().to_string() });
        }
        Ok(here)
    }
}

impl Drop for OpenHere {
    fn drop(&mut self) {
        let mut open = lock(OPEN.get());
        if let Some(known) = open.iter_mut().find(|known| known.file == self.0) {
            known.connections -= 1;
        }
        open.retain(|known| known.connections > 0);
    }
}

fn is_foreign(database: &Path) -> bool {
    log_of(database).metadata().is_ok_and(|log| log.len() > 0)
        && Header::read(database).is_some_and(|header| header.has_foreign_log(database))
}

/// The content of the first page of a database, without the log.
#[derive(Clone, Copy, Debug)]
struct Header {
    was_logged: bool,
    schema: i32,
}

impl Header {
    fn read(database: &Path) -> Option<Self> {
        let mut bytes = [0; 44];
        File::open(database).and_then(|mut file| file.read_exact(&mut bytes)).ok()?;
        let [.., a, b, c, d] = bytes;
        Some(Self { was_logged: bytes[18] != 1, schema: i32::from_be_bytes([a, b, c, d]) })
    }

    /// Returns whether the log beside the database with this header belongs to another one. Changes neither.
    fn has_foreign_log(self, database: &Path) -> bool {
        // Where it cannot be read through the log, the connection that is opened next tells why.
        !self.was_logged || self.contradicts_log(database).unwrap_or(false)
    }

    fn contradicts_log(self, database: &Path) -> rusqlite::Result<bool> {
        let connection = schema::connect(database)?;
        // Otherwise, the last connection to end would move the log into the database.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let through_log: i32 = connection.query_row("PRAGMA schema_version", [], |row| row.get(0))?;
        match self.schema.cmp(&through_log) {
            Ordering::Greater => Ok(true),
            Ordering::Equal => Ok(false),
            Ordering::Less => is_damaged(&connection),
        }
    }
}

fn is_damaged(connection: &Connection) -> rusqlite::Result<bool> {
    match connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0)) {
        Ok(found) => Ok(found != "ok"),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Puts the first page, with the schema number, into each log.
#[derive(Debug)]
pub(in crate::queue::file) struct FirstPage {
    #[cfg(unix)]
    log: Option<File>,
    /// The number of the log that has it.
    written: Option<u64>,
}

impl FirstPage {
    /// `database` has been read, so that it has a log; `None` in memory.
    #[cfg_attr(not(unix), allow(unused_variables, reason = "an open log could not be removed"))]
    pub(in crate::queue::file) fn of(database: Option<&Path>) -> Self {
        Self {
            #[cfg(unix)]
            log: database.and_then(|database| File::open(log_of(database)).ok()),
            written: None,
        }
    }

    /// Writes the page in this transaction, unless the log has it. `version` is that of the schema.
    pub(in crate::queue::file) fn write(&mut self, connection: &Connection, version: i64) -> rusqlite::Result<()> {
        let number = self.number();
        if self.written != Some(number) {
            // SQLite writes the page although nothing in it changes.
            connection.execute_batch(&format!("PRAGMA user_version = {version}"))?;
            self.written = Some(number);
        }
        Ok(())
    }

    /// Forgets that the page was written, because the transaction was rolled back.
    pub(in crate::queue::file) fn forget(&mut self) {
        self.written = None;
    }

    /// Returns the number that SQLite gives each log; 0 before its first transaction, and where it is unknown.
    fn number(&self) -> u64 {
        #[cfg(unix)]
        if let Some(log) = &self.log {
            let mut number = [0; 8];
            let read = std::os::unix::fs::FileExt::read_exact_at(log, &mut number, 16);
            return read.map_or(0, |()| u64::from_be_bytes(number));
        }
        0
    }
}

#[cfg(test)]
mod tests;
