//! Keeps messages whose jobs are over, in the table `archive`.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params};

use super::history;
use super::picked::Conditions;
use super::storage::values::{Ids, count, micros, number, one_or_many, text, time};
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
        keep(connection, id, token, end, now)?;
    }
    let gone = delete_leased(connection, &[id], token, end.kept_at.is_some())?;
    Ok(gone.first().map(|gone| gone.kind))
}

fn keep(connection: &Connection, id: i64, token: &str, end: End<'_>, now: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO archive(id, queue, request_type, outcome, attempts, enqueued_at, archived_at, text,
                result, priority, lost)
             SELECT id, queue, (SELECT request_type FROM kind WHERE kind.id = message.kind), ?3, attempts,
                enqueued_at, ?4, coalesce(text, (SELECT text FROM long_text WHERE long_text.id = message.id), ''),
                ?5, priority, lost
             FROM message WHERE id = ?1 AND lease = ?2 AND cancelled IS NULL",
        )?
        .execute(params![id, token, end.outcome, now, end.result])
        .map(drop)
}

/// A message that was deleted because its job is over.
pub(super) struct Gone {
    pub(super) id: i64,
    pub(super) kind: i64,
    is_long: bool,
    has_failed: bool,
}

/// Deletes those of these messages that have this lease and have not been cancelled, and returns them by id. `is_kept`:
/// whether they are in the archive, so that their failed runs stay.
pub(super) fn delete_leased(
    connection: &Connection,
    ids: &[i64],
    token: &str,
    is_kept: bool,
) -> rusqlite::Result<Vec<Gone>> {
    let mut all = Vec::with_capacity(ids.len());
    for ids in Ids::split(ids) {
        match ids {
            Ids::Range(first, last) => match delete_plain(connection, (first, last), token)? {
                Some(kind) => all.extend((first..=last).map(|id| Gone { id, kind, is_long: false, has_failed: false })),
                None => delete_each(connection, &(first..=last).collect::<Vec<_>>(), token, is_kept, &mut all)?,
            },
            Ids::List(ids) => delete_each(connection, &ids, token, is_kept, &mut all)?,
        }
    }
    all.sort_unstable_by_key(|gone| gone.id);
    Ok(all)
}

/// Deletes all messages from the first id to the last, if they all have this lease and are of one kind, and nothing
/// else belongs to any of them. Returns the kind; otherwise deletes none.
fn delete_plain(connection: &Connection, (first, last): (i64, i64), token: &str) -> rusqlite::Result<Option<i64>> {
    let (plain, kind, other_kind, any_long): (i64, Option<i64>, Option<i64>, bool) = connection
        .prepare_cached(
            "SELECT count(*), min(kind), max(kind), EXISTS (SELECT 1 FROM long_text WHERE id BETWEEN ?1 AND ?2)
             FROM message WHERE id BETWEEN ?1 AND ?2 AND lease = ?3 AND runs = 0 AND cancelled IS NULL",
        )?
        .query_row(params![first, last, token], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    if plain != last - first + 1 || kind != other_kind || any_long {
        return Ok(None);
    }
    // Without `RETURNING` this takes half the time, since SQLite deletes each row as it meets it.
    connection.prepare_cached("DELETE FROM message WHERE id BETWEEN ?1 AND ?2")?.execute([first, last])?;
    Ok(kind)
}

/// Deletes these messages, as [`delete_leased`] does, and adds them to `all`.
fn delete_each(
    connection: &Connection,
    ids: &[i64],
    token: &str,
    is_kept: bool,
    all: &mut Vec<Gone>,
) -> rusqlite::Result<()> {
    macro_rules! delete {
        ($ids:literal) => {
            concat!(
                "DELETE FROM message WHERE id ",
                $ids,
                " AND lease = ?2 AND cancelled IS NULL RETURNING id, kind, text IS NULL, runs > 0"
            )
        };
    }
    let delete = if ids.len() == 1 { delete!("= ?1") } else { delete!("IN (SELECT value FROM json_each(?1))") };
    // A reserved message is not in any count.
    let gone = connection
        .prepare_cached(delete)?
        .query_map(params![one_or_many(ids), token], |row| {
            Ok(Gone { id: row.get(0)?, kind: row.get(1)?, is_long: row.get(2)?, has_failed: row.get(3)? })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for gone in &gone {
        if gone.is_long {
            connection.prepare_cached("DELETE FROM long_text WHERE id = ?1")?.execute([gone.id])?;
        }
        if gone.has_failed && !is_kept {
            history::forget(connection, gone.id)?;
        }
    }
    all.extend(gone);
    Ok(())
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
    let result = if texts { "result" } else { "NULL" };
    let sql = format!(
        "SELECT id, queue, request_type, outcome, attempts, lost, priority, enqueued_at, archived_at,
            {result} AS result, {text} AS text
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
