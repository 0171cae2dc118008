//! A connection that notices when its file is no longer the one that stands
//! at its path.
//!
//! The system lets a program write into a file that was deleted or replaced
//! by a restored backup. What it acknowledged then would be gone with its
//! last process, and no other process would ever see it. So the file is
//! looked at before each use, which costs a system call of a microsecond.

#[cfg(unix)]
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
#[cfg(target_os = "linux")]
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use super::error::SqliteError;
use super::folder;
use crate::queue::QueueError;
use crate::report::chain;

/// A connection, and the file that it was opened on.
#[derive(Debug)]
pub(super) struct ReopeningConnection {
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
    /// It must be reopened, though the file is the same.
    stale: bool,
}

type Open = fn(&Path) -> Result<Connection, QueueError>;

/// Which file it is, whatever it is called; `None` if there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId(Option<(u64, u64)>);

impl FileId {
    pub(super) fn is_none(self) -> bool {
        self.0.is_none()
    }

    pub(super) fn of(path: &Path) -> Self {
        // Asked for nothing but its number: since Linux 6.13, a file whose times
        // were looked at gets new ones with the next write, finer than those of
        // the clock's ticks, and each sync has to write them to the disk too.
        #[cfg(target_os = "linux")]
        if let Ok(file) = statx(CWD, path, AtFlags::empty(), StatxFlags::INO) {
            let device = u64::from(file.stx_dev_major) << 32 | u64::from(file.stx_dev_minor);
            return Self(Some((device, file.stx_ino)));
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            Self(fs::metadata(path).ok().map(|file| (file.dev(), file.ino())))
        }
        // Elsewhere the system keeps a file that is open where it is.
        #[cfg(not(unix))]
        Self(path.exists().then_some((0, 0)))
    }
}

impl ReopeningConnection {
    pub(super) fn open(path: &Path, open: Open) -> Result<Self, QueueError> {
        // Taken before: a file that is replaced in between is noticed then.
        let database = FileId::of(path);
        let connection = open(path)?;
        let log_path = log_of(path);
        let log = FileId::of(&log_path);
        let file =
            OpenFile { path: path.to_owned(), log_path, open, database, log, folder_synced: false, stale: false };
        Ok(Self { connection, file: Some(file) })
    }

    pub(super) fn in_memory(connection: Connection) -> Self {
        Self { connection, file: None }
    }

    /// The connection, to the file that stands at the path now. True if that
    /// is another one than the last time.
    pub(super) fn current(&mut self) -> Result<(&Connection, bool), SqliteError> {
        let Some(file) = &self.file else { return Ok((&self.connection, false)) };
        let database = FileId::of(&file.path);
        let log = FileId::of(&file.log_path);
        let replaced = database != file.database || log != file.log;
        if !replaced && !file.stale {
            return Ok((&self.connection, false));
        }
        if database.0.is_none() {
            return Err(SqliteError::gone());
        }
        if replaced && database == file.database && self.connection.is_autocommit() {
            // Only the log was taken away: what is in it goes into the
            // database while we still have it in our hands.
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

    /// Has it reopened before its next use.
    pub(super) fn reopen(&mut self) {
        if let Some(file) = &mut self.file {
            file.stale = true;
        }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    #[cfg(test)]
    pub(super) fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Sees to it, once, that a power cut does not take the name of the log
    /// away: another process may have made it, and not have synced it.
    pub(super) fn sync_folder(&mut self) -> Result<(), SqliteError> {
        let Some(file) = self.file.as_mut().filter(|file| !file.folder_synced) else { return Ok(()) };
        folder::sync(file.path.parent().unwrap_or(Path::new(".")))
            .map_err(|error| SqliteError::other(format!("its folder cannot be synced: {error}")))?;
        file.folder_synced = true;
        Ok(())
    }
}

/// Where SQLite keeps the log of this database.
pub(super) fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}
