//! Cancelling messages.
//!
//! A waiting message is buried at once. A running message is marked in its row,
//! and is buried when its lease ends: by its settlement, in this file, or by the
//! statement that ends the lease of a dead or silent worker.

use std::collections::HashSet;

use tokio_postgres::types::Type;

use super::connection::{Connection, Sql};
use super::error::PostgresError;
use super::history::keep_lines;
use super::inspect::{self, MAX_CHANGED_AT_ONCE};
use super::values::lazily;
use crate::message::MessageId;
use crate::queue::{Cancelled, Filter};

/// The columns that burying a message sets.
macro_rules! bury {
    () => {
        "state = 3, due = NULL, lease = NULL, lease_ends = NULL, ahead = false, alone = false, cancelled_at = NULL,
            progress = NULL, progress_text = NULL, progress_at = NULL, last_error = 'cancelled', last_error_at = now(),
            since = now(), left_since = NULL"
    };
}

const BURY_MARKED: Sql = concat!(
    "WITH ",
    lazily!(),
    ", ended AS (UPDATE SCHEMA.message SET runs = message.runs + 1, ",
    bury!(),
    " FROM unnest($1::bigint[], $2::text[]) AS held(id, token) JOIN SCHEMA.message AS before ON before.id = held.id
        WHERE message.id = held.id AND message.lease = held.token AND message.cancelled_at IS NOT NULL
        RETURNING message.id, message.runs, before.since AS leased_at, held.token, 'cancelled' AS reason,
            NULL::timestamptz AS started, NULL::bigint AS took, 'cancelled' AS outcome, true AS is_line), ",
    keep_lines!(),
    " SELECT id FROM ended, lazily"
);

/// The messages that can be cancelled.
const NOT_BURIED: &str = "state <> 3";

/// Cancels some of the messages that the filter picks. Returns also the last one
/// that was looked at, if there may be more.
pub(super) fn part(
    connection: &mut Connection,
    filter: &Filter,
) -> Result<(Cancelled, Option<MessageId>), PostgresError> {
    let most = filter.limit.unwrap_or(MAX_CHANGED_AT_ONCE).min(MAX_CHANGED_AT_ONCE);
    let mut part = filter.clone().limit(most);
    let mut next = None;
    if !filter.body.is_empty() {
        (part, next) = inspect::exactly(connection, &part, most, "SCHEMA.message")?;
    }
    let picked = inspect::live(&part, NOT_BURIED);
    let sql = format!(
        "WITH picked AS MATERIALIZED (SELECT id, state = 2 AND lease_ends > now() AS runs
            FROM SCHEMA.message WHERE {} ORDER BY id DESC LIMIT {} FOR UPDATE),
        marked AS (UPDATE SCHEMA.message SET cancelled_at = coalesce(cancelled_at, now())
            WHERE id = ANY (ARRAY(SELECT id FROM picked WHERE runs)) RETURNING 1),
        buried AS (UPDATE SCHEMA.message SET {} WHERE id = ANY (ARRAY(SELECT id FROM picked WHERE NOT runs)) RETURNING 1)
        SELECT (SELECT count(*) FROM buried), (SELECT count(*) FROM marked), (SELECT min(id) FROM picked),
            (SELECT count(*) FROM picked)",
        picked.conditions,
        picked.limit(),
        bury!()
    );
    let rows = connection.run_text(&sql, &picked.parameters())?;
    let Some(row) = rows.first() else { return Ok((Cancelled::default(), None)) };
    let count =
        |column| -> Result<u64, PostgresError> { Ok(u64::try_from(row.try_get::<_, i64>(column)?).unwrap_or(0)) };
    let (last, looked): (Option<i64>, u64) = (row.try_get(2)?, count(3)?);
    let last = last.filter(|_| usize::try_from(looked).unwrap_or_default() >= most);
    let last = if filter.body.is_empty() { last.map(|id| MessageId::from(id.cast_unsigned())) } else { next };
    Ok((Cancelled::new(count(0)?, count(1)?), last))
}

/// Buries the marked messages among these leases, and returns their ids.
pub(super) fn bury_marked(
    connection: &mut Connection,
    ids: &[i64],
    tokens: &[&str],
) -> Result<HashSet<i64>, PostgresError> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = connection.run(BURY_MARKED, &[(&ids, Type::INT8_ARRAY), (&tokens, Type::TEXT_ARRAY)])?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
