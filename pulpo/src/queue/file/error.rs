//! SQLite's errors, in the words of the queue.

use rusqlite::ErrorCode;

use super::folder;
use crate::queue::QueueError;

/// An error of SQLite that can be told to several who waited for the same
/// transaction.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct SqliteError {
    code: Option<ErrorCode>,
    text: String,
}

impl From<rusqlite::Error> for SqliteError {
    fn from(error: rusqlite::Error) -> Self {
        let mut text = error.to_string();
        let code = match &error {
            // A value that we never wrote.
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..) => Some(ErrorCode::DatabaseCorrupt),
            _ => error.sqlite_error_code(),
        };
        if code == Some(ErrorCode::SystemIoFailure) {
            // SQLite keeps the system's own words to itself.
            text.push_str(
                "; look for a full disk, a quota, a limit on the size of files (`ulimit -f`), or a failing disk",
            );
        }
        Self { code, text }
    }
}

impl SqliteError {
    /// Nothing stands any more where the file was.
    pub(super) fn gone() -> Self {
        Self::other(
            "the file was deleted or moved away under this program; put it back, \
             or restart a program of this queue to begin with an empty one"
                .to_owned(),
        )
    }

    /// It was opened, and can only be read.
    pub(super) fn read_only() -> Self {
        Self { code: Some(ErrorCode::ReadOnly), text: "it can only be read".to_owned() }
    }

    /// What is no error of SQLite's.
    pub(super) fn other(text: String) -> Self {
        Self { code: None, text }
    }

    pub(super) fn is(&self, code: ErrorCode) -> bool {
        self.code == Some(code)
    }

    pub(super) fn into_queue_error(mut self, verb: &str, place: &str) -> QueueError {
        let place = place.to_owned();
        match self.code {
            Some(ErrorCode::DiskFull) => QueueError::Full { doing: format!("{verb} {place}") },
            Some(ErrorCode::NotADatabase) => {
                QueueError::NotAQueue { place, found: "a file that is not an SQLite database".to_owned() }
            }
            Some(ErrorCode::DatabaseCorrupt) => QueueError::Corrupt { place, found: self.text },
            code => {
                if matches!(code, Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied)) {
                    self.text.push_str("; ");
                    self.text.push_str(folder::NEEDS);
                }
                if matches!(code, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) {
                    self.text.push_str("; another process has been writing to it for too long");
                }
                QueueError::Unavailable { doing: format!("{verb} {place}"), source: Box::new(self) }
            }
        }
    }
}
