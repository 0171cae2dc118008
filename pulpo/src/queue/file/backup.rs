//! Copies the queue while others use it.

use std::fs;
use std::io;
use std::path::Path;

use rusqlite::{Connection, params};

use super::storage::error::SqliteError;
use super::storage::folder::{self, unavailable};
use crate::queue::QueueError;

/// Writes a consistent snapshot of the database into a new file that only this user can read, and returns its size. The
/// copy is a complete queue.
pub(super) fn write(connection: &Connection, place: &str, file: &Path) -> Result<u64, QueueError> {
    // SQLite also writes into an empty file, and leaves its permissions alone.
    let mut options = fs::OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => QueueError::Exists { file: file.to_owned() },
        _ => unavailable("create the file", file, error),
    })?;
    let written = fill(connection, place, file);
    if written.is_err() {
        // Half a copy must not be mistaken for a backup. The first error says more than an error of this removal would.
        let _ = fs::remove_file(file);
    }
    written
}

fn fill(connection: &Connection, place: &str, file: &Path) -> Result<u64, QueueError> {
    // Passed as bytes, since a path need not be UTF-8; SQLite expects a text.
    let name = file.as_os_str().as_encoded_bytes();
    connection.execute("VACUUM INTO CAST(?1 AS TEXT)", params![name]).map_err(|error| {
        SqliteError::from(error).into_queue_error("copy", &format!("{place} into {}", file.display()))
    })?;
    let size = fs::File::open(file)
        .and_then(|copy| copy.sync_all().and_then(|()| copy.metadata()))
        .map_err(|error| unavailable("sync the file", file, error))?
        .len();
    folder::sync(file.parent().unwrap_or(Path::new(".")))
        .map_err(|error| unavailable("sync the folder of", file, error))?;
    Ok(size)
}
