//! Records the failed runs of messages. The last ones of each message have a row each.
//!
//! The number of a run is counted in its message, so that a message that never failed costs nothing here, neither when
//! it is settled nor when it is deleted.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::storage::values::{count, micros, time};
use crate::queue::{Attempt, AttemptOutcome, FailedRun, KEPT_ATTEMPTS, worker_of};

/// A failed run that is to be recorded.
pub(super) struct Ended<'a> {
    pub(super) message: i64,
    /// The token of its lease, which names the worker.
    pub(super) token: &'a str,
    pub(super) run: FailedRun,
    pub(super) error: &'a str,
}

impl Ended<'_> {
    /// Records the run under the number that its message has counted.
    pub(super) fn write(&self, connection: &Connection, number: i64) -> rusqlite::Result<()> {
        let FailedRun { started_at, took, outcome } = self.run;
        let took = i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
        insert(
            connection,
            self.message,
            number,
            &Attempt {
                number: count(number),
                started_at,
                took: Duration::from_micros(took.cast_unsigned()),
                worker: worker_of(self.token),
                outcome,
                error: self.error.to_owned(),
            },
        )?;
        let kept = i64::try_from(KEPT_ATTEMPTS).unwrap_or(i64::MAX);
        if number > kept {
            connection
                .prepare_cached("DELETE FROM attempt WHERE message = ?1 AND number <= ?2")?
                .execute([self.message, number - kept])?;
        }
        Ok(())
    }
}

/// Inserts a failed run of this message.
pub(super) fn insert(connection: &Connection, message: i64, number: i64, attempt: &Attempt) -> rusqlite::Result<()> {
    let Attempt { started_at, took, worker, outcome, error, .. } = attempt;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO attempt(message, number, started_at, took, worker, outcome, error)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            message,
            number,
            micros(*started_at),
            i64::try_from(took.as_micros()).unwrap_or(i64::MAX),
            worker,
            outcome.as_str(),
            error,
        ])
        .map(drop)
}

/// Describes a run that was not reported: it has lasted since its message was leased. `None` if the lease is no longer
/// valid.
pub(super) fn unreported(
    connection: &Connection,
    message: &str,
    token: &str,
    outcome: AttemptOutcome,
    now: i64,
) -> rusqlite::Result<Option<FailedRun>> {
    let since: Option<i64> = connection
        .prepare_cached("SELECT since FROM message WHERE id = ?1 AND lease = ?2")?
        .query_row([message, token], |row| row.get(0))
        .optional()?;
    Ok(since.map(|since| FailedRun::new(time(since), took(since, now), outcome)))
}

pub(super) fn took(since: i64, until: i64) -> Duration {
    Duration::from_micros(u64::try_from(until.saturating_sub(since)).unwrap_or_default())
}

/// Returns the recorded runs of this message, the oldest first.
pub(super) fn of(connection: &Connection, message: i64) -> rusqlite::Result<Vec<Attempt>> {
    connection
        .prepare_cached(
            "SELECT number, started_at, took, worker, outcome, error FROM attempt WHERE message = ?1 ORDER BY number",
        )?
        .query_map([message], |row| {
            let outcome: String = row.get(4)?;
            Ok(Attempt {
                number: count(row.get(0)?),
                started_at: time(row.get(1)?),
                took: Duration::from_micros(u64::try_from(row.get::<_, i64>(2)?).unwrap_or_default()),
                worker: row.get(3)?,
                outcome: AttemptOutcome::of_word(&outcome),
                error: row.get(5)?,
            })
        })?
        .collect()
}

/// Deletes the recorded runs of a message that is deleted or starts afresh.
pub(super) fn forget(connection: &Connection, message: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM attempt WHERE message = ?1")?.execute([message]).map(drop)
}
