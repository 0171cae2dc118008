//! A copy of the queue, made while others use it.

use std::fs;
use std::io;
use std::path::Path;

use rusqlite::{Connection, params};

use super::error::SqliteError;
use super::folder::{self, unavailable};
use crate::queue::QueueError;

/// Writes what is in the database at one moment into a new file, for this user
/// alone, and says its size. The file is a queue like the first one.
pub(super) fn write(connection: &Connection, place: &str, file: &Path) -> Result<u64, QueueError> {
    // SQLite writes into an empty file too, and leaves its permissions alone.
    let mut options = fs::OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => QueueError::Exists { file: file.to_owned() },
        _ => unavailable("make the file", file, error),
    })?;
    let written = fill(connection, place, file);
    if written.is_err() {
        // Half a copy must not be taken for one. The first error says more
        // than one of this.
        let _ = fs::remove_file(file);
    }
    written
}

fn fill(connection: &Connection, place: &str, file: &Path) -> Result<u64, QueueError> {
    // As bytes, since a path may be no UTF-8; SQLite wants a text.
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
