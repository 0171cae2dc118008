//! Looking at the messages of the embedded queue, kicking and deleting them.

use std::time::Duration;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, named_params};

use super::{micros, pauses, schema, time};
use crate::message::{MessageId, Priority};
use crate::queue::{Counts, Filter, State, Stats, StoredMessage, Totals};

/// The state at `:now`: a message whose wait has ended is ready, though no
/// worker has looked at it since.
const SEEN: &str = "iif(until <= :now, 0, state)";

/// Since when it is in that state. What an older version has not written is
/// near what it has.
const SEEN_SINCE: &str = "iif(until <= :now, until, coalesce(since, iif(state = 0,
    max(due_since, coalesce(last_error_at, 0)), coalesce(last_error_at, enqueued_at))))";

/// A [`Filter`] as the conditions of a query.
struct Picked {
    conditions: String,
    values: Vec<(&'static str, Value)>,
}

impl Picked {
    fn new(filter: &Filter, now: i64) -> Self {
        let mut picked = Self { conditions: ":now IS NOT NULL".to_owned(), values: vec![(":now", now.into())] };
        if let Some(ids) = &filter.ids {
            let ids: Vec<_> = ids.iter().filter_map(number).map(|id| id.to_string()).collect();
            let ids = format!("[{}]", ids.join(","));
            picked.and("id IN (SELECT value FROM json_each(:ids))", ":ids", ids);
        }
        if let Some(after) = &filter.after {
            picked.and("id < :after", ":after", number(after).unwrap_or(i64::MIN));
        }
        if !filter.states.is_empty() {
            let codes: Vec<_> = filter.states.iter().map(|state| schema::code(*state).to_string()).collect();
            picked.conditions.push_str(&format!(" AND {SEEN} IN ({})", codes.join(",")));
            if filter.states.iter().all(|state| *state == State::Buried) {
                // Those have an index.
                picked.conditions.push_str(&format!(" AND state = {}", schema::code(State::Buried)));
            }
        }
        if let Some(queue) = &filter.queue {
            picked.and("queue = :queue", ":queue", queue.clone());
        }
        if let Some(request_type) = &filter.request_type {
            picked.and("request_type = :type", ":type", request_type.clone());
        }
        if let Some(time) = filter.older_than {
            picked.and(&format!("{SEEN_SINCE} < :older"), ":older", micros(time));
        }
        if let Some(time) = filter.newer_than {
            picked.and(&format!("{SEEN_SINCE} >= :newer"), ":newer", micros(time));
        }
        if let Some(time) = filter.published_before {
            picked.and("enqueued_at < :before", ":before", micros(time));
        }
        if let Some(time) = filter.published_after {
            picked.and("enqueued_at >= :not_before", ":not_before", micros(time));
        }
        if let Some(text) = &filter.reason {
            picked.and("instr(lower(last_error), lower(:reason)) > 0", ":reason", text.clone());
        }
        // SQLite takes a negative limit as none.
        let limit = filter.limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
        picked.values.push((":limit", limit.into()));
        picked
    }

    fn and(&mut self, condition: &str, name: &'static str, value: impl Into<Value>) {
        self.conditions.push_str(" AND ");
        self.conditions.push_str(condition);
        self.values.push((name, value.into()));
    }

    fn parameters(&self) -> Vec<(&str, &dyn rusqlite::ToSql)> {
        self.values.iter().map(|(name, value)| (*name, value as &dyn rusqlite::ToSql)).collect()
    }

    /// Changes what is picked, and says how many that were.
    fn change(&self, connection: &Connection, change: &str, only: &str) -> rusqlite::Result<u64> {
        let conditions = &self.conditions;
        let changed = connection
            .prepare_cached(&format!(
                "{change} WHERE id IN (SELECT id FROM message WHERE {conditions} AND {only} ORDER BY id DESC LIMIT :limit)"
            ))?
            .execute(&*self.parameters())?;
        Ok(changed as u64)
    }
}

/// Only the queue gives ids, and it gives numbers: another text is no message.
fn number(id: &MessageId) -> Option<i64> {
    id.as_str().parse().ok()
}

pub(super) fn list(connection: &Connection, filter: &Filter, now: i64) -> rusqlite::Result<Vec<StoredMessage>> {
    let picked = Picked::new(filter, now);
    connection
        .prepare_cached(&format!(
            "SELECT id, queue, request_type, priority, lease, ttr, lost, due_since, enqueued_at, last_error,
                last_error_at, text, {SEEN} AS seen, {SEEN_SINCE} AS seen_since, until <= :now AS over, until, state, attempts
             FROM message WHERE {} ORDER BY id DESC LIMIT :limit",
            picked.conditions
        ))?
        .query_map(&*picked.parameters(), stored)?
        .collect()
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredMessage> {
    let at = |name: &str| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(name)?.map(time));
    let over = row.get::<_, Option<bool>>("over")?.unwrap_or_default();
    // A run that ended without a word, though nobody has noticed yet.
    let lost = u32::from(over && schema::state(row.get("state")?) == State::Reserved);
    Ok(StoredMessage {
        id: MessageId::from(row.get::<_, i64>("id")?.to_string()),
        queue: text(row.get_ref("queue")?)?,
        request_type: text(row.get_ref("request_type")?)?,
        state: schema::state(row.get("seen")?),
        since: at("seen_since")?,
        priority: Priority::new(count(row.get("priority")?)),
        until: at("until")?.filter(|_| !over),
        lease: row.get::<_, Option<String>>("lease")?.filter(|_| !over),
        attempts: count(row.get("attempts")?).saturating_add(lost),
        lost: count(row.get("lost")?).saturating_add(lost),
        kicks: None,
        enqueued_at: at("enqueued_at")?,
        due_since: at("due_since")?,
        ttr: u64::try_from(row.get::<_, i64>("ttr")?).ok().map(Duration::from_millis),
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

pub(super) fn stats(connection: &Connection, now: i64) -> rusqlite::Result<Stats> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT queue, request_type, {SEEN} AS seen, count(*), min(due_since) FROM message
         GROUP BY queue, request_type, seen ORDER BY queue, request_type",
    ))?;
    let mut rows = statement.query(named_params! { ":now": now })?;
    let mut all: Vec<Counts> = Vec::new();
    while let Some(row) = rows.next()? {
        let (queue, request_type) = (text(row.get_ref(0)?)?, text(row.get_ref(1)?)?);
        if all.last().is_none_or(|last| last.queue != queue || last.request_type != request_type) {
            all.push(Counts::new(queue, request_type));
        }
        let Some(counts) = all.last_mut() else { continue };
        let state = schema::state(row.get(2)?);
        let count = match state {
            State::Ready => &mut counts.ready,
            State::Delayed => &mut counts.delayed,
            State::Reserved => &mut counts.reserved,
            State::Buried => &mut counts.buried,
        };
        *count = u64::try_from(row.get::<_, i64>(3)?).unwrap_or_default();
        if state == State::Ready {
            counts.oldest_ready = Some(time(row.get(4)?));
        }
    }
    // Ids are never used again, so the last one is the number of publications.
    let published: u64 = connection
        .prepare_cached("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'message'")?
        .query_row([], |row| row.get::<_, i64>(0))?
        .try_into()
        .unwrap_or_default();
    let present: u64 = all.iter().map(Counts::total).sum();
    let totals = vec![Totals::new(None, published, published.saturating_sub(present))];
    Ok(Stats { counts: all, paused: pauses::all(connection, now)?, totals })
}

/// A kicked message starts anew: with all attempts before it, and due now.
pub(super) fn kick(connection: &Connection, filter: &Filter, now: i64) -> rusqlite::Result<u64> {
    let kick = "UPDATE message SET state = 0, attempts = 0, lost = 0, due_since = :now, since = :now,
        left_since = NULL";
    Picked::new(filter, now).change(connection, kick, "state = 3")
}

/// What a worker has is its own until its lease ends.
pub(super) fn delete(connection: &Connection, filter: &Filter, now: i64) -> rusqlite::Result<u64> {
    Picked::new(filter, now).change(connection, "DELETE FROM message", &format!("{SEEN} != 2"))
}
