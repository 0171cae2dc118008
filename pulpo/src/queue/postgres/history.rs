//! The history of messages: each of the last failed runs has a row in `attempt`.
//!
//! A trigger deletes these rows with their message. It fires only for messages
//! that have failed. If a message is kept when it is done, its history stays.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::connection::{Connection, Sql};
use super::error::PostgresError;
use crate::queue::{ABANDONED, Attempt, AttemptOutcome, FailedRun, Imported, KEPT_ATTEMPTS, worker_of};

/// Stores the runs in `ended`, and deletes the oldest ones of each message. A run
/// that did not report its start is taken to have begun with the lease.
macro_rules! keep_lines {
    () => {
        "lines AS (INSERT INTO SCHEMA.attempt(message, number, started_at, took, worker, outcome, error)
            SELECT id, runs, coalesce(started, leased_at),
                coalesce(took, (extract(epoch FROM now() - leased_at) * 1000000)::bigint),
                regexp_replace(token, '-[^-]*$', ''), coalesce(outcome, 'failed'), reason
            FROM ended WHERE is_line
            ON CONFLICT (message, number) DO UPDATE SET started_at = excluded.started_at, took = excluded.took,
                worker = excluded.worker, outcome = excluded.outcome, error = excluded.error),
        too_old AS (DELETE FROM SCHEMA.attempt USING ended
            WHERE ended.runs > 20 AND attempt.message = ended.id AND attempt.number <= ended.runs - 20)"
    };
}
pub(super) use keep_lines;

const _: () = assert!(KEPT_ATTEMPTS == 20, "as the statement says");

/// The run of a lease whose worker died.
macro_rules! ended_run {
    () => {
        "message.id, message.runs, before.since AS leased_at, before.lease AS token,
            'its worker died, or was silent for longer than its ttr' AS reason, NULL::timestamptz AS started,
            NULL::bigint AS took, 'abandoned' AS outcome,
            NOT before.ahead AND before.cancelled_at IS NULL AS is_line,
            message.queue, message.request_type, message.last_error_at = now() AS is_attempt"
    };
}
pub(super) use ended_run;

const OF: Sql = "SELECT number, started_at, took, worker, outcome, error FROM SCHEMA.attempt WHERE message = $1
    ORDER BY number";

/// A run that ended unsettled, before the statement that ends its lease.
const UNNOTICED: Sql = "SELECT since, (extract(epoch FROM lease_ends - since) * 1000000)::bigint, lease, runs
    FROM SCHEMA.message WHERE id = $1 AND state = 2 AND lease_ends <= now() AND NOT ahead
        AND cancelled_at IS NULL";

const KEEP: Sql = "INSERT INTO SCHEMA.attempt(message, number, started_at, took, worker, outcome, error)
    SELECT * FROM unnest($1::bigint[], $2::integer[], $3::timestamptz[], $4::bigint[], $5::text[], $6::text[], $7::text[])
    ON CONFLICT DO NOTHING";

const COUNT: Sql = "UPDATE SCHEMA.message SET runs = last.number
    FROM unnest($1::bigint[], $2::integer[]) AS last(id, number) WHERE message.id = last.id";

/// Returns the history of this message, oldest first.
pub(super) fn of(connection: &mut Connection, id: i64) -> Result<Vec<Attempt>, PostgresError> {
    let mut lines = Vec::new();
    for row in connection.run(OF, &[(&id, Type::INT8)])? {
        let outcome: String = row.try_get(4)?;
        let run = FailedRun::new(row.try_get(1)?, micros(row.try_get(2)?), AttemptOutcome::of_word(&outcome));
        lines.push(Attempt::new(number(row.try_get(0)?), run, row.try_get(3)?, row.try_get::<_, String>(5)?));
    }
    if let Some(row) = connection.run(UNNOTICED, &[(&id, Type::INT8)])?.first() {
        let run = FailedRun::new(row.try_get(0)?, micros(row.try_get(1)?), AttemptOutcome::Abandoned);
        let lease: Option<String> = row.try_get(2)?;
        let next = number(row.try_get::<_, i32>(3)?.saturating_add(1));
        lines.push(Attempt::new(next, run, lease.as_deref().and_then(worker_of), ABANDONED));
    }
    Ok(lines)
}

fn micros(took: i64) -> Duration {
    Duration::from_micros(u64::try_from(took).unwrap_or_default())
}

fn number(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

/// Stores the histories of messages that were just imported from another queue.
pub(super) fn import(connection: &mut Connection, messages: &[(i64, &Imported)]) -> Result<(), PostgresError> {
    let lines: Vec<(i64, &Attempt)> =
        messages.iter().flat_map(|(id, imported)| imported.history.iter().map(|line| (*id, line))).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let whole = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let ids: Vec<i64> = lines.iter().map(|(id, _)| *id).collect();
    let numbers: Vec<i32> = lines.iter().map(|(_, line)| whole(line.number)).collect();
    let started: Vec<_> = lines.iter().map(|(_, line)| line.started_at).collect();
    let took: Vec<i64> =
        lines.iter().map(|(_, line)| i64::try_from(line.took.as_micros()).unwrap_or(i64::MAX)).collect();
    let workers: Vec<_> = lines.iter().map(|(_, line)| line.worker.as_deref()).collect();
    let outcomes: Vec<&str> = lines.iter().map(|(_, line)| line.outcome.as_str()).collect();
    // PostgreSQL cannot store NUL in a text.
    let errors: Vec<String> = lines.iter().map(|(_, line)| line.error.replace('\0', "\u{FFFD}")).collect();
    connection.run(
        KEEP,
        &[
            (&ids, Type::INT8_ARRAY),
            (&numbers, Type::INT4_ARRAY),
            (&started, Type::TIMESTAMPTZ_ARRAY),
            (&took, Type::INT8_ARRAY),
            (&workers, Type::TEXT_ARRAY),
            (&outcomes, Type::TEXT_ARRAY),
            (&errors, Type::TEXT_ARRAY),
        ],
    )?;
    let last = |imported: &Imported| whole(imported.history.iter().map(|line| line.number).max().unwrap_or_default());
    let (ids, numbers): (Vec<i64>, Vec<i32>) = messages.iter().map(|(id, imported)| (*id, last(imported))).unzip();
    connection.run(COUNT, &[(&ids, Type::INT8_ARRAY), (&numbers, Type::INT4_ARRAY)]).map(drop)
}
