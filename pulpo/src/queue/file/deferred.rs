//! Commits that are deferred: they go out with the next transaction of the
//! process, or with the maintenance thread's.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::error::SqliteError;
use super::writer::Deferred;
use crate::clock::lock;
use crate::message::MessageId;
use crate::queue::Lease;

/// For how long a commit is deferred at most, until it is on its way.
pub(super) const LONGEST: Duration = Duration::from_millis(2);

/// The leases of one consumer that had ended before its deferred commits were
/// written.
#[derive(Debug, Default)]
pub(super) struct LostLeases {
    any: AtomicBool,
    leases: Mutex<Vec<Lease>>,
}

impl LostLeases {
    pub(super) fn take(&self) -> Vec<Lease> {
        if !self.any.swap(false, Ordering::SeqCst) {
            return Vec::new();
        }
        std::mem::take(&mut lock(&self.leases))
    }

    fn add(&self, lease: Lease) {
        lock(&self.leases).push(lease);
        self.any.store(true, Ordering::SeqCst);
    }
}

/// A message that is done.
#[derive(Debug)]
pub(super) struct DeferredCommit {
    id: i64,
    token: Arc<str>,
    archive_at: Option<i64>,
    lost: Arc<LostLeases>,
    removed: usize,
}

impl DeferredCommit {
    pub(super) fn new(id: i64, token: Arc<str>, archive_at: Option<i64>, lost: Arc<LostLeases>) -> Self {
        Self { id, token, archive_at, lost, removed: 0 }
    }
}

impl Deferred for DeferredCommit {
    fn write(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.removed = remove(connection, self.id, &self.token, "done", self.archive_at)?;
        Ok(())
    }

    fn complete(&mut self, result: Result<(), &SqliteError>) {
        if let Err(error) = &result {
            tracing::error!(id = self.id, %error, "cannot settle a job that is done: it will run again");
        }
        if result.is_err() || self.removed == 0 {
            self.lost.add(Lease { id: MessageId::from(self.id.cast_unsigned()), token: self.token.clone() });
        }
    }
}

/// Deletes a message, and archives it at this time if that is wanted.
pub(super) fn remove(
    connection: &Connection,
    id: i64,
    token: &str,
    outcome: &str,
    archive_at: Option<i64>,
) -> rusqlite::Result<usize> {
    if let Some(now) = archive_at {
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO archive(id, queue, request_type, outcome, attempts, enqueued_at, archived_at, text)
                 SELECT id, queue, (SELECT request_type FROM kind WHERE kind.id = message.kind), ?3, attempts,
                    enqueued_at, ?4, coalesce(text, (SELECT text FROM long_text WHERE long_text.id = message.id), '')
                 FROM message WHERE id = ?1 AND lease = ?2",
            )?
            .execute(params![id, token, outcome, now])?;
    }
    // A reserved message is in no count.
    let is_long: Option<bool> = connection
        .prepare_cached("DELETE FROM message WHERE id = ?1 AND lease = ?2 RETURNING text IS NULL")?
        .query_row(params![id, token], |row| row.get(0))
        .optional()?;
    if is_long == Some(true) {
        connection.prepare_cached("DELETE FROM long_text WHERE id = ?1")?.execute([id])?;
    }
    Ok(is_long.map_or(0, |_| 1))
}
