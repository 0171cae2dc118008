//! Looking at the messages of the embedded queue, and kicking them.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, named_params};

use super::{schema, time};
use crate::message::{MessageId, Priority};
use crate::queue::{Filter, State, Stats, StoredMessage};

/// The message as it is at `:now`: one whose wait has ended is ready, though
/// no worker has looked at it since.
const SEEN: &str = "
    SELECT id, queue, request_type, priority, enqueued_at, last_error, last_error_at, text,
        iif(until <= :now, 0, state) AS state,
        iif(until <= :now, NULL, until) AS until,
        attempts + (state = 2 AND until <= :now) AS attempts
    FROM message";

/// The conditions of a [`Filter`], on any query that has these columns.
const PICKED: &str = "
    (:id IS NULL OR id = :id) AND (:state IS NULL OR state = :state)
    AND (:queue IS NULL OR queue = :queue) AND (:type IS NULL OR request_type = :type)";

pub(super) fn list(connection: &Connection, filter: &Filter, now: i64) -> rusqlite::Result<Vec<StoredMessage>> {
    let Ok(id) = number(filter) else { return Ok(Vec::new()) };
    connection
        .prepare_cached(&format!(
            "SELECT * FROM ({SEEN} WHERE :id IS NULL OR id = :id) WHERE {PICKED} ORDER BY id LIMIT :limit"
        ))?
        .query_map(
            named_params! {
                ":now": now, ":id": id, ":state": filter.state.map(schema::code), ":queue": filter.queue,
                ":type": filter.request_type, ":limit": limit(filter),
            },
            stored,
        )?
        .collect()
}

/// Only the queue gives ids, and it gives numbers: another text is no message.
fn number(filter: &Filter) -> Result<Option<i64>, std::num::ParseIntError> {
    filter.id.as_ref().map(|id| id.as_str().parse()).transpose()
}

/// SQLite takes a negative limit as none.
fn limit(filter: &Filter) -> i64 {
    filter.limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredMessage> {
    let at = |name: &str| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(name)?.map(time));
    Ok(StoredMessage {
        id: MessageId::from(row.get::<_, i64>("id")?.to_string()),
        queue: text(row.get_ref("queue")?)?,
        request_type: text(row.get_ref("request_type")?)?,
        state: schema::state(row.get("state")?),
        priority: Priority::new(count(row.get("priority")?)),
        until: at("until")?,
        attempts: count(row.get("attempts")?),
        enqueued_at: at("enqueued_at")?,
        last_error: Some(row.get_ref("last_error")?).filter(|at| *at != ValueRef::Null).map(text).transpose()?,
        last_error_at: at("last_error_at")?,
        text: row.get_ref("text")?.as_bytes()?.to_owned(),
    })
}

/// A number as it stands there, or the nearest one that can be.
pub(super) fn count(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// A text as it stands there: one that was damaged must not hide all others.
fn text(value: ValueRef<'_>) -> rusqlite::Result<String> {
    Ok(String::from_utf8_lossy(value.as_bytes()?).into_owned())
}

pub(super) fn stats(connection: &Connection, now: i64) -> rusqlite::Result<Vec<Stats>> {
    let mut statement = connection.prepare_cached(
        "SELECT queue, request_type, iif(until <= :now, 0, state) AS seen, count(*) FROM message
         GROUP BY queue, request_type, seen ORDER BY queue, request_type",
    )?;
    let mut rows = statement.query(named_params! { ":now": now })?;
    let mut all: Vec<Stats> = Vec::new();
    while let Some(row) = rows.next()? {
        let (queue, request_type) = (text(row.get_ref(0)?)?, text(row.get_ref(1)?)?);
        if all.last().is_none_or(|last| last.queue != queue || last.request_type != request_type) {
            all.push(Stats { queue, request_type, ..Stats::default() });
        }
        let Some(stats) = all.last_mut() else { continue };
        let count = match schema::state(row.get(2)?) {
            State::Ready => &mut stats.ready,
            State::Delayed => &mut stats.delayed,
            State::Reserved => &mut stats.reserved,
            State::Buried => &mut stats.buried,
        };
        *count = u64::try_from(row.get::<_, i64>(3)?).unwrap_or_default();
    }
    Ok(all)
}

/// A kicked message starts anew: with all attempts before it, and due now.
pub(super) fn kick(connection: &Connection, filter: &Filter, now: i64) -> rusqlite::Result<u64> {
    let Ok(id) = number(filter) else { return Ok(0) };
    let kicked = connection
        .prepare_cached(&format!(
            "UPDATE message SET state = 0, attempts = 0, lost = 0, due_since = :now
             WHERE id IN (SELECT id FROM message WHERE state = 3 AND {PICKED} ORDER BY id LIMIT :limit)"
        ))?
        .execute(named_params! {
            ":now": now, ":id": id, ":state": filter.state.map(schema::code), ":queue": filter.queue,
            ":type": filter.request_type, ":limit": limit(filter),
        })?;
    Ok(kicked as u64)
}
