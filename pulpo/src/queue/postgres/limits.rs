//! Limits across all workers: how a worker sends its limits to the database, and
//! which jobs are held back. The function `claim_limited` enforces them.

use std::time::Duration;

use serde_json::json;
use tokio_postgres::types::Type;

use super::connection::{Connection, Sql};
use super::error::PostgresError;
use crate::queue::{Limit, LimitKeys, LimitKind, LimitScope};

/// The interval between two checks while runs in other processes use up a limit.
/// The end of a run in this process wakes the lanes.
pub(super) const CHECK_AGAIN: Duration = Duration::from_millis(100);

const HOLD: Sql = "INSERT INTO SCHEMA.held_back(request_type, key, began, until)
    VALUES ($1, $2, now(), now() + $3 * interval '1 microsecond')
    ON CONFLICT (request_type, key) DO UPDATE SET began = excluded.began, until = excluded.until";

const LET_GO: Sql = "DELETE FROM SCHEMA.held_back WHERE request_type = $1 AND (key = $2 OR $2 = '') OR until <= now()";

/// Gives back the starts that were counted for these deliveries, of which no
/// handler was called; without an id, those of all of the token.
pub(super) const GIVE_BACK: Sql = "SELECT SCHEMA.give_back($1, $2)";

/// A thousand years, in microseconds: times of PostgreSQL go further, but not
/// for ever.
const LONGEST: i64 = 31_556_952_000_000_000;

/// Holds back a request type, or only its messages with this key, for this time.
pub(super) fn hold_back(
    connection: &mut Connection,
    request_type: &str,
    key: &str,
    time: Duration,
) -> Result<(), PostgresError> {
    let (micros, key) = (micros(time), LimitKeys::stored(key));
    if micros == 0 {
        return connection.run(LET_GO, &[(&request_type, Type::TEXT), (&key, Type::TEXT)]).map(drop);
    }
    connection.run(HOLD, &[(&request_type, Type::TEXT), (&key, Type::TEXT), (&micros, Type::INT8)]).map(drop)
}

/// Returns the limits in the form that `claim_limited` reads.
pub(super) fn as_json(limits: &[Limit]) -> String {
    let limits: Vec<_> = limits
        .iter()
        .map(|limit| {
            let (most, period) = match limit.kind {
                LimitKind::Rate(rate) => (rate.starts, Some(micros(rate.period).max(1))),
                LimitKind::Running(most) => (most, None),
            };
            let (queue, types, batches) = match &limit.scope {
                LimitScope::Queue(queue) => (Some(queue), &[] as &[String], false),
                LimitScope::Handler { names, takes_batches } => (None, names.as_slice(), *takes_batches),
            };
            json!({ "scopes": scopes(limit), "queue": queue, "types": types, "most": most, "period": period,
                "by_key": limit.by_key, "batches": batches })
        })
        .collect();
    json!(limits).to_string()
}

/// Returns the names under which starts of this limit are counted: one for each
/// request type, so that a worker that knows only some of them counts the same
/// starts. A limit for all and one by key are counted separately.
fn scopes(limit: &Limit) -> Vec<String> {
    let by = if limit.by_key { " by key" } else { "" };
    match &limit.scope {
        LimitScope::Handler { names, .. } => names.iter().map(|name| format!("handler {name}{by}")).collect(),
        LimitScope::Queue(queue) => vec![format!("queue {queue}{by}")],
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(LONGEST).min(LONGEST)
}
