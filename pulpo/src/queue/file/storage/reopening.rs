//! A connection that notices when the file at its path is no longer the one that it opened.
//!
//! The system lets a program write into a file that was deleted, or replaced by a restored backup. Messages
//! acknowledged there would vanish with the last process that has the file open, and no other process would ever see
//! them. So the file is checked before each use, which costs a system call of a microsecond.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::error::SqliteError;
use super::file_id::{FileId, log_of};
use super::foreign_log::OpenHere;
use super::{folder, schema};
use crate::queue::QueueError;
use crate::report::chain;

/// A connection, and the file that it has open.
#[derive(Debug)]
pub(in crate::queue::file) struct ReopeningConnection {
    connection: Connection,
    /// `None` in memory.
    file: Option<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    log_path: PathBuf,
    open: Open,
    database: FileId,
    log: FileId,
    /// Whether the entries of the folder are known to be on the disk.
    folder_synced: bool,
    /// Whether it must be reopened even if the file is the same.
    stale: bool,
    /// Dropped after the connection.
    _open: OpenHere,
}

type Open = fn(&Path) -> Result<Connection, QueueError>;

impl ReopeningConnection {
    pub(in crate::queue::file) fn open(path: &Path, open: Open) -> Result<Self, QueueError> {
        // Taken first, so that a replacement in between is noticed.
        let database = FileId::of(path);
        let is_here = OpenHere::new(path, database)?;
        let connection = open(path)?;
        let log_path = log_of(path);
        let log = FileId::of(&log_path);
        let file = OpenFile {
            path: path.to_owned(),
            log_path,
            open,
            database,
            log,
            folder_synced: false,
            stale: false,
            _open: is_here,
        };
        Ok(Self { connection, file: Some(file) })
    }

    /// Opens a connection for copies and rewrites, which SQLite treats as writing. The database is checked as by any other
    /// one: moving the log of another database into it would damage it.
    pub(in crate::queue::file) fn copier(path: &Path) -> Result<Self, QueueError> {
        Self::open(path, schema::open_copier)
    }

    /// Returns the path of the database; `None` in memory.
    pub(in crate::queue::file) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| &*file.path)
    }

    pub(in crate::queue::file) fn in_memory(connection: Connection) -> Self {
        Self { connection, file: None }
    }

    /// Returns the connection to the file that is at the path now, and whether that is a different file from last time.
    pub(in crate::queue::file) fn current(&mut self) -> Result<(&Connection, bool), SqliteError> {
        let Some(file) = &self.file else { return Ok((&self.connection, false)) };
        let database = FileId::of(&file.path);
        let log = FileId::of(&file.log_path);
        let replaced = database != file.database || log != file.log;
        if !replaced && !file.stale {
            return Ok((&self.connection, false));
        }
        if database.is_none() {
            return Err(SqliteError::gone());
        }
        if replaced && database == file.database && self.connection.is_autocommit() {
            // Only the log was removed: move its contents into the database while this connection still has it open.
            let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
        let again = Self::open(&file.path, file.open).map_err(|error| match error {
            QueueError::NewerVersion { found, known, .. } => SqliteError::other_version(found, known),
            error => SqliteError::other(chain(&error)),
        })?;
        if replaced {
            tracing::warn!(
                file = file.path.display().to_string(),
                "the file of the queue, or its log `-wal`, was replaced under this program: continuing with the current one"
            );
        }
        *self = again;
        Ok((&self.connection, true))
    }

    /// Has the connection reopened before its next use.
    pub(in crate::queue::file) fn reopen(&mut self) {
        if let Some(file) = &mut self.file {
            file.stale = true;
        }
    }

    pub(in crate::queue::file) fn connection(&self) -> &Connection {
        &self.connection
    }

    #[cfg(test)]
    pub(in crate::queue::file) fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Ensures, once, that a power cut cannot remove the log's entry from the folder: another process may have created
    /// the log without syncing the folder.
    pub(in crate::queue::file) fn sync_folder(&mut self) -> Result<(), SqliteError> {
        let Some(file) = self.file.as_mut().filter(|file| !file.folder_synced) else { return Ok(()) };
        folder::sync(file.path.parent().unwrap_or(Path::new(".")))
            .map_err(|error| SqliteError::other(format!("its folder cannot be synced: {error}")))?;
        file.folder_synced = true;
        Ok(())
    }
}
