//! Messages that are kept after their jobs are done: the table `archive`.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::connection::{Connection, Sql};
use super::error::PostgresError;
use super::picked::Conditions;
use super::values::count;
use crate::message::{MessageId, Priority};
use crate::queue::{Filter, MessageState, Pruned, Retention, StoredMessage};

/// The maximum number of messages that one statement prunes.
const MAX_PRUNED_AT_ONCE: i64 = 1000;

/// Returns the conditions of a query; `None` if nothing can match.
pub(super) fn conditions(filter: &Filter) -> Option<Conditions> {
    // A done message has no error.
    if !filter.has_state(MessageState::Done) || filter.reason.is_some() {
        return None;
    }
    let mut picked = Conditions::of_ids(filter);
    picked.of_queue_and_type(filter);
    picked.of_times(filter, "archived_at");
    Some(picked)
}

/// Lists the done messages that the filter picks, newest first.
pub(super) fn list(
    connection: &mut Connection,
    filter: &Filter,
    texts: bool,
) -> Result<Vec<StoredMessage>, PostgresError> {
    let Some(picked) = conditions(filter) else { return Ok(Vec::new()) };
    let columns = "queue, request_type, outcome, attempts, abandoned, priority, enqueued_at, archived_at";
    let result = if texts { "result" } else { "NULL::text AS result" };
    let columns = format!("{columns}, {result}");
    picked.select(connection, ("SCHEMA.archive", &columns), filter, texts, stored)
}

fn stored(row: &Row) -> Result<StoredMessage, PostgresError> {
    let id: i64 = row.try_get("id")?;
    let text: String = row.try_get("text")?;
    let id = MessageId::from(id.cast_unsigned());
    let mut message = StoredMessage::new(id, row.try_get::<_, String>("queue")?, MessageState::Done, text);
    message.request_type = row.try_get("request_type")?;
    message.since = row.try_get("archived_at")?;
    message.priority = Priority::new(u32::try_from(row.try_get::<_, i64>("priority")?).unwrap_or(u32::MAX));
    message.attempts = count(row.try_get("attempts")?);
    message.abandoned = count(row.try_get("abandoned")?);
    message.enqueued_at = row.try_get("enqueued_at")?;
    message.result = row.try_get("result")?;
    message.has_expired = row.try_get::<_, String>("outcome")? == "expired";
    Ok(message)
}

const PRUNE_DONE: Sql = "WITH gone AS (DELETE FROM SCHEMA.archive WHERE id = ANY (ARRAY(
        SELECT id FROM SCHEMA.archive WHERE archived_at <= now() - $1 * interval '1 microsecond'
        ORDER BY archived_at LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1)
    SELECT count(*) FROM gone";

const PRUNE_BURIED: Sql = "WITH gone AS (DELETE FROM SCHEMA.message WHERE id = ANY (ARRAY(
        SELECT id FROM SCHEMA.message WHERE state = 3 AND since <= now() - $1 * interval '1 microsecond'
        ORDER BY since LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1)
    SELECT count(*) FROM gone";

/// Deletes some of the messages that have been kept for longer than this.
pub(super) fn prune(connection: &mut Connection, retention: Retention) -> Result<Pruned, PostgresError> {
    let (mut messages, mut more) = (0, false);
    for (time, sql) in [(retention.done, PRUNE_DONE), (retention.buried, PRUNE_BURIED)] {
        let Some(time) = time else { continue };
        let rows = connection.run(sql, &[(&micros(time), Type::INT8), (&MAX_PRUNED_AT_ONCE, Type::INT8)])?;
        let gone: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
        messages += gone.cast_unsigned();
        more |= gone >= MAX_PRUNED_AT_ONCE;
    }
    Ok(Pruned::new(messages, more))
}

/// At most a thousand years.
fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX).min(31_556_952_000_000_000)
}
