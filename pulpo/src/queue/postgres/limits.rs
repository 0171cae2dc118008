//! Limits over all workers: what a worker tells the database of its own, and what
//! is held back. The function `claim_limited` keeps to them.

use std::time::Duration;

use serde_json::json;
use tokio_postgres::types::Type;

use super::connection::{Connection, Sql};
use super::error::PostgresError;
use crate::queue::{Limit, LimitKind, LimitScope};

/// When to look again while others run that are in the way. In this process
/// their end is told.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(100);

const HOLD: Sql = "INSERT INTO SCHEMA.held_back(request_type, key, until)
    VALUES ($1, $2, now() + $3 * interval '1 microsecond')
    ON CONFLICT (request_type, key) DO UPDATE SET until = excluded.until";

const LET_GO: Sql = "DELETE FROM SCHEMA.held_back WHERE request_type = $1 AND key = $2 OR until <= now()";

/// Holds back a request type, or with a key what has that, for this long.
pub(super) fn hold_back(
    connection: &mut Connection,
    request_type: &str,
    key: &str,
    time: Duration,
) -> Result<(), PostgresError> {
    // A thousand years.
    let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX).min(31_556_952_000_000_000);
    if micros == 0 {
        return connection.run(LET_GO, &[(&request_type, Type::TEXT), (&key, Type::TEXT)]).map(drop);
    }
    connection.run(HOLD, &[(&request_type, Type::TEXT), (&key, Type::TEXT), (&micros, Type::INT8)]).map(drop)
}

/// As `claim_limited` reads them.
pub(super) fn as_json(limits: &[Limit]) -> String {
    let limits: Vec<_> = limits
        .iter()
        .map(|limit| {
            let (most, period) = match limit.kind {
                LimitKind::Rate(rate) => {
                    (rate.starts, Some(i64::try_from(rate.period.as_micros()).unwrap_or(i64::MAX)))
                }
                LimitKind::Running(most) => (most, None),
            };
            let (queue, types, batches) = match &limit.scope {
                LimitScope::Queue(queue) => (Some(queue), &[] as &[String], false),
                LimitScope::Handler { names, takes_batches } => (None, names.as_slice(), *takes_batches),
            };
            json!({ "scope": scope(limit), "queue": queue, "types": types, "most": most, "period": period,
                "by_key": limit.by_key, "batches": batches })
        })
        .collect();
    json!(limits).to_string()
}

/// Under which name starts are counted: a limit for all and one by key are
/// apart.
fn scope(limit: &Limit) -> String {
    let by = if limit.by_key { " by key" } else { "" };
    match &limit.scope {
        LimitScope::Handler { names, .. } => format!("handler {}{by}", names.first().map_or("", String::as_str)),
        LimitScope::Queue(queue) => format!("queue {queue}{by}"),
    }
}
