//! Converts SQLite's errors into the queue's errors.

use rusqlite::{ErrorCode, ffi};

use super::folder;
use crate::queue::QueueError;

/// An error of SQLite that can be cloned for several callers who waited for the same transaction.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub(in crate::queue::file) struct SqliteError {
    kind: Kind,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sqlite {
        code: ErrorCode,
        /// The extended error code of SQLite.
        extended: i32,
    },
    /// A value that the queue never writes.
    Damaged,
    /// Another program has migrated the schema to this version.
    OtherVersion {
        found: i64,
        known: i64,
    },
    /// An error that a retry does not help.
    Permanent,
    Other,
}

impl From<rusqlite::Error> for SqliteError {
    fn from(error: rusqlite::Error) -> Self {
        let mut text = error.to_string();
        let kind = match &error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..) => Kind::Damaged,
            error => match error.sqlite_error() {
                Some(error) => Kind::Sqlite { code: error.code, extended: error.extended_code },
                None => Kind::Permanent,
            },
        };
        if matches!(kind, Kind::Sqlite { code: ErrorCode::SystemIoFailure, .. }) {
            // SQLite does not report the system's own message.
            text.push_str(
                "; look for a full disk, a quota, a limit on the size of files (`ulimit -f`), or a failing disk",
            );
        }
        Self { kind, text }
    }
}

impl SqliteError {
    /// Returns the error for a path without a file.
    pub(in crate::queue::file) fn gone() -> Self {
        Self::other(
            "the file was deleted or moved away under this program; put it back, \
             or restart a program of this queue to begin with an empty one"
                .to_owned(),
        )
    }

    /// Returns the error for a file that could only be opened for reading.
    pub(in crate::queue::file) fn read_only() -> Self {
        let kind = Kind::Sqlite { code: ErrorCode::ReadOnly, extended: ffi::SQLITE_READONLY };
        Self { kind, text: "it is read-only".to_owned() }
    }

    /// Returns the error for a schema of another version than the one that this program knows.
    pub(in crate::queue::file) fn other_version(found: i64, known: i64) -> Self {
        let text = format!("the schema has version {found} by now, and this program knows {known}");
        Self { kind: Kind::OtherVersion { found, known }, text }
    }

    /// Returns an error that does not come from SQLite.
    pub(in crate::queue::file) fn other(text: String) -> Self {
        Self { kind: Kind::Other, text }
    }

    pub(in crate::queue::file) fn is(&self, wanted: ErrorCode) -> bool {
        matches!(self.kind, Kind::Sqlite { code, .. } if code == wanted)
    }

    /// Returns whether the system could not write data to the disk.
    pub(in crate::queue::file) fn is_lost_sync(&self) -> bool {
        let syncs = [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC];
        matches!(self.kind, Kind::Sqlite { extended, .. } if syncs.contains(&extended))
    }

    /// Returns whether a retry may succeed without any change of ours.
    pub(in crate::queue::file) fn is_transient(&self) -> bool {
        match self.kind {
            Kind::Sqlite { code, .. } => !is_permanent(code),
            // An operator may put a good file in its place.
            Kind::Damaged | Kind::Other => true,
            Kind::Permanent => false,
            Kind::OtherVersion { found, known } => found < known,
        }
    }

    pub(in crate::queue::file) fn into_queue_error(mut self, verb: &str, place: &str) -> QueueError {
        let place = place.to_owned();
        let doing = format!("{verb} {place}");
        match self.kind {
            Kind::Damaged | Kind::Sqlite { code: ErrorCode::DatabaseCorrupt, .. } => {
                QueueError::Corrupt { place, found: self.text }
            }
            Kind::OtherVersion { found, known } if found > known => QueueError::NewerVersion { place, found, known },
            Kind::Sqlite { code: ErrorCode::DiskFull, .. } => QueueError::Full { doing },
            Kind::Sqlite { code: ErrorCode::NotADatabase, .. } => {
                QueueError::NotAQueue { place, found: "a file that is not an SQLite database".to_owned() }
            }
            _ if !self.is_transient() => {
                if self.is(ErrorCode::TooBig) {
                    self.text.push_str("; store the data elsewhere and put its address into the message");
                }
                QueueError::Rejected { doing, source: Box::new(self) }
            }
            Kind::Sqlite { code, .. } => {
                if matches!(code, ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) {
                    self.text.push_str("; ");
                    self.text.push_str(folder::NEEDS);
                }
                if matches!(code, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) {
                    self.text.push_str("; another process has been writing to it for too long");
                }
                QueueError::Unavailable { doing, source: Box::new(self) }
            }
            _ => QueueError::Unavailable { doing, source: Box::new(self) },
        }
    }
}

/// Returns whether the statement or its values are at fault, and not the environment.
fn is_permanent(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::TooBig
            | ErrorCode::ConstraintViolation
            | ErrorCode::TypeMismatch
            | ErrorCode::ApiMisuse
            | ErrorCode::ParameterOutOfRange
            | ErrorCode::NoLargeFileSupport
            | ErrorCode::InternalMalfunction
            | ErrorCode::AuthorizationForStatementDenied
            // SQLITE_ERROR: no such table or column, or an unknown statement.
            | ErrorCode::Unknown
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_another_try_cannot_help_is_not_transient() {
        let of = |code| {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            SqliteError::from(error).into_queue_error("write to", "queue.db")
        };
        for code in [
            ffi::SQLITE_TOOBIG,
            ffi::SQLITE_CONSTRAINT,
            ffi::SQLITE_CONSTRAINT_PRIMARYKEY,
            ffi::SQLITE_MISMATCH,
            ffi::SQLITE_MISUSE,
            ffi::SQLITE_RANGE,
            ffi::SQLITE_ERROR,
        ] {
            let error = of(code);
            assert!(matches!(error, QueueError::Rejected { .. }) && !error.is_transient(), "{code}: {error:?}");
        }
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_IOERR, ffi::SQLITE_FULL, ffi::SQLITE_CORRUPT, ffi::SQLITE_NOMEM] {
            assert!(of(code).is_transient(), "{code}");
        }
        let connection = rusqlite::Connection::open_in_memory().expect("opened");
        let error = SqliteError::from(connection.execute("INSERT INTO missing VALUES (1)", []).expect_err("refused"));
        assert!(!error.is_transient(), "{error}");
    }
}
