//! The errors of PostgreSQL, classified for the queue.

use std::error::Error as _;

use tokio_postgres::error::{DbError, ErrorPosition, Severity, SqlState};

use super::tls;
use crate::message::MessageId;
use crate::process::fork::Forked;
use crate::queue::QueueError;
use crate::queue::prefetch::StoreError;

/// An error that can be cloned, for all threads that waited for the same
/// transaction.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct PostgresError {
    kind: Kind,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The server could not be reached: nothing was done.
    Unreachable,
    /// The server has no such database, or refuses access.
    Denied,
    /// The connection ended, or was silent for too long, while a statement was in
    /// progress: it may or may not have been done.
    Broken,
    /// The server did not do it, but another try may succeed.
    Transient,
    /// This transaction was in conflict with another one, and was rolled back.
    Conflict,
    /// This message has the unique key.
    Duplicate(i64),
    /// The disk of the server is full.
    Full,
    /// The server would refuse it every time.
    Permanent,
    /// The prepared statement belongs to another session, so a pooler shares
    /// this one.
    ForeignSession,
    /// This process was forked at a moment at which no connection could be opened in it.
    Forked(Forked),
    /// There are no tables, and they are not to be created.
    NoQueue,
    /// The tables do not belong to a queue of pulpo.
    NotAQueue,
    /// The tables are for newer programs.
    Newer { found: i32, known: i32 },
}

impl PostgresError {
    /// An error of connecting.
    pub(super) fn connecting(error: &tokio_postgres::Error) -> Self {
        let mut text = words(error);
        if let Some(hint) = connect_hint(error, &text) {
            text.push_str("; ");
            text.push_str(hint);
        }
        let denied = error.code().is_some_and(|code| matches!(code.code().get(..2), Some("28" | "3D")));
        Self { kind: if denied { Kind::Denied } else { Kind::Unreachable }, text }
    }

    /// The error if there are no tables.
    pub(super) fn no_queue() -> Self {
        Self { kind: Kind::NoQueue, text: "there are no tables of a queue".to_owned() }
    }

    /// The error if the tables do not belong to a queue.
    pub(super) fn not_a_queue() -> Self {
        Self { kind: Kind::NotAQueue, text: "the schema has a table `message` that is not ours".to_owned() }
    }

    /// The error if the tables are for newer programs.
    pub(super) fn newer(found: i32, known: i32) -> Self {
        let text =
            format!("the tables are for programs of version {found} and newer, and this program has version {known}");
        Self { kind: Kind::Newer { found, known }, text }
    }

    /// Returns whether the server could not be reached or could not do it now.
    pub(super) fn is_outage(&self) -> bool {
        matches!(self.kind, Kind::Unreachable | Kind::Broken | Kind::Transient | Kind::Conflict)
    }

    /// The error of a fork that cannot connect.
    pub(super) fn forked(source: Forked) -> Self {
        Self { kind: Kind::Forked(source), text: source.to_string() }
    }

    /// The error if connecting took longer than this.
    pub(super) fn connecting_took_too_long(limit: std::time::Duration) -> Self {
        let text = format!("no connection within {}", humantime::format_duration(limit));
        Self { kind: Kind::Unreachable, text }
    }

    /// A transient error that did not come from the server. Nothing was done.
    pub(super) fn unreachable(text: impl Into<String>) -> Self {
        Self { kind: Kind::Unreachable, text: text.into() }
    }

    /// The error if the server did not answer within this time.
    pub(super) fn silent(limit: std::time::Duration) -> Self {
        let text = format!(
            "no answer within {} (`statement_timeout`); look for a lock or an overloaded server",
            humantime::format_duration(limit)
        );
        Self { kind: Kind::Broken, text }
    }

    /// An error that another try would meet again.
    pub(super) fn permanent(text: impl Into<String>) -> Self {
        Self { kind: Kind::Permanent, text: text.into() }
    }

    /// The error if the leader of a group panicked.
    pub(super) fn abandoned() -> Self {
        Self { kind: Kind::Broken, text: "the thread that wrote it has panicked".to_owned() }
    }

    /// Returns whether the connection can no longer be used.
    pub(super) fn breaks_connection(&self) -> bool {
        matches!(self.kind, Kind::Unreachable | Kind::Denied | Kind::Broken | Kind::ForeignSession)
    }

    /// Returns whether the statement may have been done after all.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.kind == Kind::Broken
    }

    /// Returns whether it was a conflict with another transaction. Nothing was done.
    pub(super) fn is_conflict(&self) -> bool {
        self.kind == Kind::Conflict
    }

    /// Returns whether a pooler gives the session to others between two statements.
    pub(super) fn is_foreign_session(&self) -> bool {
        self.kind == Kind::ForeignSession
    }

    /// Returns whether another try may succeed without a change on our side.
    fn may_pass(&self) -> bool {
        !matches!(
            self.kind,
            Kind::Permanent | Kind::NoQueue | Kind::Newer { .. } | Kind::Duplicate(_) | Kind::Forked(_)
        )
    }

    pub(super) fn into_queue_error(self, verb: &str, place: &str) -> QueueError {
        let doing = format!("{verb} {place}");
        match self.kind {
            Kind::Full => QueueError::Full { doing },
            Kind::Duplicate(id) => QueueError::Duplicate { id: MessageId::from(id.cast_unsigned()) },
            Kind::NoQueue => QueueError::NoQueue { place: place.to_owned() },
            Kind::NotAQueue => QueueError::NotAQueue { place: place.to_owned(), found: self.text },
            Kind::Newer { found, known } => {
                QueueError::NewerVersion { place: place.to_owned(), found: found.into(), known: known.into() }
            }
            Kind::Forked(source) => QueueError::Forked { place: place.to_owned(), source },
            Kind::Permanent => QueueError::Rejected { doing, source: Box::new(self) },
            _ => QueueError::Unavailable { doing, source: Box::new(self) },
        }
    }

    /// Converts the error of a publication, which must not be sent twice.
    pub(super) fn into_publish_error(self, place: &str) -> QueueError {
        if self.is_in_doubt() {
            QueueError::UnknownOutcome { doing: format!("publish to {place}"), source: Box::new(self) }
        } else {
            self.into_queue_error("publish to", place)
        }
    }
}

impl StoreError for PostgresError {
    fn is_transient(&self) -> bool {
        self.may_pass()
    }
}

impl From<tokio_postgres::Error> for PostgresError {
    fn from(error: tokio_postgres::Error) -> Self {
        let mut text = words(&error);
        let kind = match error.as_db_error() {
            // The session has ended, and its last statement may have been done.
            Some(database) if fatal(database.parsed_severity()) => Kind::Broken,
            Some(database) => {
                if let Some(hint) = hint(database.code()) {
                    text.push_str("; ");
                    text.push_str(hint);
                }
                duplicate(database).unwrap_or_else(|| kind(database.code()))
            }
            None if error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>()) => {
                Kind::Broken
            }
            // A value that cannot be sent, or an answer that was not expected.
            None => Kind::Permanent,
        };
        Self { kind, text }
    }
}

fn fatal(severity: Option<Severity>) -> bool {
    matches!(severity, Some(Severity::Fatal | Severity::Panic))
}

/// Returns the kind if a unique key is taken. The function `keep` raises that
/// error, with the id of the message in the detail.
fn duplicate(error: &DbError) -> Option<Kind> {
    let is_ours = *error.code() == SqlState::UNIQUE_VIOLATION && error.constraint() == Some("message_key");
    if !is_ours {
        return None;
    }
    // The index has raised it: another transaction was faster.
    Some(error.detail().and_then(|id| id.parse().ok()).map_or(Kind::Conflict, Kind::Duplicate))
}

fn kind(code: &SqlState) -> Kind {
    match *code {
        SqlState::DISK_FULL => Kind::Full,
        SqlState::T_R_DEADLOCK_DETECTED | SqlState::T_R_SERIALIZATION_FAILURE => Kind::Conflict,
        SqlState::INVALID_SQL_STATEMENT_NAME | SqlState::DUPLICATE_PSTATEMENT => Kind::ForeignSession,
        // A standby, or a read-only database.
        SqlState::READ_ONLY_SQL_TRANSACTION | SqlState::LOCK_NOT_AVAILABLE => Kind::Transient,
        // A prepared statement whose tables a migration has changed.
        SqlState::FEATURE_NOT_SUPPORTED => Kind::Transient,
        _ => match code.code().get(..2) {
            // Connection, insufficient resources, intervention, conflicts,
            // system, internal.
            Some("08" | "53" | "57" | "40" | "58" | "XX" | "25") => Kind::Transient,
            _ => Kind::Permanent,
        },
    }
}

fn hint(code: &SqlState) -> Option<&'static str> {
    Some(match *code {
        SqlState::READ_ONLY_SQL_TRANSACTION => {
            "name the primary server in the URL, or add `target_session_attrs=read-write` to it; if it is that server, \
             look at the role's `default_transaction_read_only`"
        }
        SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_FUNCTION | SqlState::INVALID_SCHEMA_NAME => {
            "the schema is not as this program needs it: run the command `migrate`"
        }
        SqlState::INSUFFICIENT_PRIVILEGE => {
            "grant the role USAGE on the schema, SELECT, INSERT, UPDATE, DELETE on its tables and SELECT on the sequence \
             of `message`; if it must create the tables, CREATE on the database, or run the command `migrate` as a role \
             that has it"
        }
        SqlState::QUERY_CANCELED => "it exceeded a time limit of the server, or a person cancelled it",
        SqlState::CHARACTER_NOT_IN_REPERTOIRE | SqlState::UNTRANSLATABLE_CHARACTER => {
            "PostgreSQL cannot store NUL characters in text"
        }
        _ => return None,
    })
}

fn connect_hint(error: &tokio_postgres::Error, text: &str) -> Option<&'static str> {
    if text.contains("unsupported startup parameter") {
        return Some("a pooler is in front of the server: set `notify = false`");
    }
    // The server has rules for encrypted connections only.
    if text.contains("no encryption") || text.contains("SSL off") {
        return Some(
            "if the server demands encryption, set `sslmode=require` in the URL, and build the program with the feature \
             `postgres-tls` of pulpo",
        );
    }
    if let Some(code) = error.code() {
        return Some(match *code {
            SqlState::TOO_MANY_CONNECTIONS => "raise `max_connections`, or put a pooler in front of the server",
            SqlState::INVALID_CATALOG_NAME => "create it with `createdb`",
            SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                "check the user and the password in the URL, or PGPASSWORD"
            }
            _ => return None,
        });
    }
    tls::hint(text)
}

/// Returns the messages of the error and its causes, each once. The detail is
/// left out: it may contain values of the statement, which may be secrets.
fn words(error: &tokio_postgres::Error) -> String {
    if let Some(database) = error.as_db_error() {
        let mut text = format!("{} (SQLSTATE {})", database.message(), database.code().code());
        if let Some(ErrorPosition::Original(position)) = database.position() {
            text.push_str(&format!(", at character {position}"));
        }
        return text;
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_another_try_cannot_help_is_not_transient() {
        for (code, expected) in [
            ("53100", Kind::Full),
            ("53300", Kind::Transient),
            ("57014", Kind::Transient),
            ("57P03", Kind::Transient),
            ("40001", Kind::Conflict),
            ("40P01", Kind::Conflict),
            ("55P03", Kind::Transient),
            ("25006", Kind::Transient),
            ("23514", Kind::Permanent),
            ("22021", Kind::Permanent),
            ("42P01", Kind::Permanent),
            ("42501", Kind::Permanent),
            ("54000", Kind::Permanent),
            ("26000", Kind::ForeignSession),
        ] {
            assert_eq!(kind(&SqlState::from_code(code)), expected, "{code}");
        }
    }

    #[test]
    fn a_publication_without_an_answer_is_in_doubt_and_one_that_was_not_sent_is_not() {
        let silent = PostgresError::silent(std::time::Duration::from_secs(1)).into_publish_error("here");
        assert!(matches!(silent, QueueError::UnknownOutcome { .. }), "{silent:?}");
        let unreachable = PostgresError::unreachable("refused").into_publish_error("here");
        assert!(matches!(unreachable, QueueError::Unavailable { .. }), "{unreachable:?}");
    }
}
