//! Keeps messages whose jobs are over, in the table `archive`.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::history;
use super::picked::Conditions;
use super::values::{count, micros, number, text, time};
use crate::message::{MessageId, Priority};
use crate::queue::{Filter, MessageState, StoredMessage};

/// How a message ended: done or expired.
#[derive(Clone, Copy)]
pub(super) struct End<'a> {
    pub(super) outcome: &'a str,
    pub(super) result: Option<&'a str>,
    /// The time to keep it at; `None` if it is not kept.
    pub(super) kept_at: Option<i64>,
}

impl End<'_> {
    pub(super) const EXPIRED: &'static str = "expired";
    pub(super) const DONE: &'static str = "done";
}

/// Deletes a message that has not been cancelled, and moves it to the archive if that is wanted. Returns its kind;
/// `None` if nothing was deleted.
pub(super) fn end(connection: &Connection, id: i64, token: &str, end: End<'_>) -> rusqlite::Result<Option<i64>> {
    if let Some(now) = end.kept_at {
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO archive(id, queue, request_type, outcome, attempts, enqueued_at, archived_at, text,
                    result, priority, lost)
                 SELECT id, queue, (SELECT request_type FROM kind WHERE kind.id = message.kind), ?3, attempts,
                    enqueued_at, ?4, coalesce(text, (SELECT text FROM long_text WHERE long_text.id = message.id), ''),
                    ?5, priority, lost
                 FROM message WHERE id = ?1 AND lease = ?2 AND cancelled IS NULL",
            )?
            .execute(params![id, token, end.outcome, now, end.result])?;
    }
    // A reserved message is not in any count.
    let gone: Option<(bool, bool, i64)> = connection
        .prepare_cached(
            "DELETE FROM message WHERE id = ?1 AND lease = ?2 AND cancelled IS NULL RETURNING text IS NULL, runs > 0, kind",
        )?
        .query_row(params![id, token], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((is_long, has_failed, kind)) = gone else { return Ok(None) };
    if is_long {
        connection.prepare_cached("DELETE FROM long_text WHERE id = ?1")?.execute([id])?;
    }
    if has_failed && end.kept_at.is_none() {
        history::forget(connection, id)?;
    }
    Ok(Some(kind))
}

/// Returns the conditions of a query; `None` if the filter matches nothing.
fn conditions(filter: &Filter) -> Option<Conditions> {
    // Done messages have no errors.
    if !filter.has_state(MessageState::Done) || filter.reason.is_some() {
        return None;
    }
    let mut picked = Conditions::of_ids(filter);
    if let Some(queue) = &filter.queue {
        picked.and("queue = :queue", ":queue", queue.clone());
    }
    if let Some(request_type) = &filter.request_type {
        picked.and("request_type = :type", ":type", request_type.clone());
    }
    for (time, condition, name) in [
        (filter.older_than, "archived_at < :older", ":older"),
        (filter.newer_than, "archived_at >= :newer", ":newer"),
        (filter.published_before, "enqueued_at < :before", ":before"),
        (filter.published_after, "enqueued_at >= :not_before", ":not_before"),
    ] {
        if let Some(time) = time {
            picked.and(condition, name, Value::from(micros(time)));
        }
    }
    Some(picked)
}

/// Returns the done messages that match the filter, the newest first.
pub(super) fn list(connection: &Connection, filter: &Filter, texts: bool) -> rusqlite::Result<Vec<StoredMessage>> {
    let Some(picked) = conditions(filter) else { return Ok(Vec::new()) };
    let text = if texts || !filter.body.is_empty() { "text" } else { "''" };
    let sql = format!(
        "SELECT id, queue, request_type, outcome, attempts, lost, priority, enqueued_at, archived_at, result,
            {text} AS text
         FROM archive WHERE {} ORDER BY id DESC LIMIT :limit",
        picked.conditions
    );
    picked.select(connection, &sql, filter, texts, stored)
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredMessage> {
    let id = MessageId::from(row.get::<_, i64>("id")?.to_string());
    let bytes = row.get_ref("text")?.as_bytes_or_null()?.unwrap_or_default().to_owned();
    let mut message = StoredMessage::new(id, text(row.get_ref("queue")?)?, MessageState::Done, bytes);
    message.request_type = text(row.get_ref("request_type")?)?;
    message.since = Some(time(row.get("archived_at")?));
    message.priority = Priority::new(row.get::<_, Option<i64>>("priority")?.map_or(Priority::DEFAULT.get(), count));
    message.attempts = count(row.get("attempts")?);
    message.abandoned = count(row.get("lost")?);
    message.enqueued_at = Some(time(row.get("enqueued_at")?));
    message.result = row.get("result")?;
    message.has_expired = row.get_ref("outcome")?.as_str()? == End::EXPIRED;
    Ok(message)
}

/// Returns the ids of the done messages that match, the newest first.
pub(super) fn ids(connection: &Connection, filter: &Filter) -> rusqlite::Result<Vec<MessageId>> {
    Ok(list(connection, filter, false)?.into_iter().map(|message| message.id).collect())
}

/// Deletes the done messages that match, with all that belongs to them.
pub(super) fn delete(connection: &Connection, filter: &Filter) -> rusqlite::Result<u64> {
    let ids = ids(connection, filter)?;
    for id in ids.iter().filter_map(number) {
        connection.prepare_cached("DELETE FROM timed_key WHERE message = ?1")?.execute([id])?;
        remove(connection, id)?;
    }
    Ok(ids.len() as u64)
}

fn remove(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM archive WHERE id = ?1")?.execute([id])?;
    history::forget(connection, id)
}

/// Returns whether any message was archived at this time or before.
pub(super) fn any_until(connection: &Connection, time: i64) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM archive WHERE archived_at <= ?1)")?
        .query_row([time], |row| row.get(0))
}

/// Deletes at most `most` messages that were archived at this time or before. Returns how many.
pub(super) fn prune(connection: &Connection, time: i64, most: i64) -> rusqlite::Result<u64> {
    let ids = connection
        .prepare_cached("SELECT id FROM archive WHERE archived_at <= ?1 ORDER BY archived_at LIMIT ?2")?
        .query_map([time, most], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<i64>>>()?;
    ids.iter().try_for_each(|id| remove(connection, *id))?;
    Ok(ids.len() as u64)
}
