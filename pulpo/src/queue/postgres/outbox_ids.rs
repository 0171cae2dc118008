//! Which rows of outboxes the queue has taken: so that one that comes again,
//! since a relay died before it could delete it, is not taken twice.
//!
//! An id is kept until the relay says that the row is gone, and an hour longer,
//! since another relay may have read the row before; and as long as the message
//! is there.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use super::connection::{Connection, Sql};
use super::error::PostgresError;
use super::publish;
use crate::queue::{Imported, NewMessage};

/// Waits for another transaction that takes the same rows. In one order, so that
/// two never wait for each other.
const TAKE: Sql = "INSERT INTO SCHEMA.outbox_id(outbox_id)
    SELECT outbox_id FROM unnest($1::text[]) WITH ORDINALITY AS new(outbox_id, place) ORDER BY place
    ON CONFLICT DO NOTHING RETURNING outbox_id";

const REMEMBER: Sql = "UPDATE SCHEMA.outbox_id SET message = made.message
    FROM unnest($1::text[], $2::bigint[]) AS made(id, message) WHERE outbox_id = made.id";

const KNOWN: Sql = "SELECT outbox_id, message FROM SCHEMA.outbox_id WHERE outbox_id = ANY($1::text[])";

const GONE: Sql = "UPDATE SCHEMA.outbox_id SET gone_at = now() WHERE outbox_id = ANY($1::text[])";

/// Of a message that is still there, it is looked at again later.
const FORGET: Sql = "WITH old AS (SELECT outbox_id,
        EXISTS (SELECT FROM SCHEMA.message WHERE message.id = outbox_id.message)
        OR EXISTS (SELECT FROM SCHEMA.archive WHERE archive.id = outbox_id.message) AS is_there
        FROM SCHEMA.outbox_id WHERE gone_at < now() - interval '1 hour' LIMIT 500),
    kept AS (UPDATE SCHEMA.outbox_id SET gone_at = now() FROM old WHERE outbox_id.outbox_id = old.outbox_id AND is_there)
    DELETE FROM SCHEMA.outbox_id USING old WHERE outbox_id.outbox_id = old.outbox_id AND NOT is_there";

const HISTORY: Sql = "UPDATE SCHEMA.message SET attempts = was.attempts, abandoned = was.abandoned,
        state = CASE WHEN was.buried THEN 3 ELSE state END, due = CASE WHEN was.buried THEN NULL ELSE due END,
        enqueued_at = coalesce(was.enqueued_at, message.enqueued_at),
        since = CASE WHEN was.buried THEN coalesce(was.last_error_at, since) ELSE since END,
        last_error = was.last_error, last_error_at = was.last_error_at
    FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::boolean[], $5::timestamptz[], $6::text[],
        $7::timestamptz[]) AS was(id, attempts, abandoned, buried, enqueued_at, last_error, last_error_at)
    WHERE message.id = was.id";

/// `0` comes after `/`.
const OF_ROW: Sql = "SELECT max(message) FROM SCHEMA.outbox_id WHERE outbox_id >= $1 AND outbox_id < $2";

/// A message in the queue.
#[derive(Clone, Copy, Debug)]
struct Kept {
    id: i64,
    /// Whether it was made now.
    is_new: bool,
}

/// Keeps those messages that were not taken before, and says the ids of all.
pub(super) fn insert(connection: &mut Connection, messages: &[NewMessage]) -> Result<Vec<i64>, PostgresError> {
    at_once(connection, |connection| Ok(insert_within(connection, messages)?.into_iter().map(|kept| kept.id).collect()))
}

/// The same for messages of another queue, with what has become of them there.
pub(super) fn import(connection: &mut Connection, messages: &[Imported]) -> Result<Vec<i64>, PostgresError> {
    at_once(connection, |connection| {
        let new: Vec<_> = messages.iter().map(|imported| imported.message.clone()).collect();
        let kept = insert_within(connection, &new)?;
        let mut history = History::default();
        for (imported, kept) in messages.iter().zip(&kept).filter(|(_, kept)| kept.is_new) {
            history.ids.push(kept.id);
            history.attempts.push(i32::try_from(imported.attempts).unwrap_or(i32::MAX));
            history.abandoned.push(i32::try_from(imported.abandoned).unwrap_or(i32::MAX));
            history.buried.push(imported.is_buried);
            history.enqueued.push(imported.enqueued_at);
            // PostgreSQL keeps no NUL in a text.
            history.errors.push(imported.last_error.as_ref().map(|error| error.replace('\0', "\u{FFFD}")));
            history.failed.push(imported.last_error_at);
        }
        connection.run(
            HISTORY,
            &[
                (&history.ids, Type::INT8_ARRAY),
                (&history.attempts, Type::INT4_ARRAY),
                (&history.abandoned, Type::INT4_ARRAY),
                (&history.buried, Type::BOOL_ARRAY),
                (&history.enqueued, Type::TIMESTAMPTZ_ARRAY),
                (&history.errors, Type::TEXT_ARRAY),
                (&history.failed, Type::TIMESTAMPTZ_ARRAY),
            ],
        )?;
        let made = messages.iter().zip(&kept).filter(|(_, kept)| kept.is_new);
        let made: Vec<_> = made.map(|(imported, kept)| (kept.id, imported)).collect();
        super::history::import(connection, &made)?;
        Ok(kept.into_iter().map(|kept| kept.id).collect())
    })
}

/// Column by column.
#[derive(Default)]
struct History {
    ids: Vec<i64>,
    attempts: Vec<i32>,
    abandoned: Vec<i32>,
    buried: Vec<bool>,
    enqueued: Vec<Option<DateTime<Utc>>>,
    errors: Vec<Option<String>>,
    failed: Vec<Option<DateTime<Utc>>>,
}

/// All or none.
fn at_once(
    connection: &mut Connection,
    work: impl FnOnce(&mut Connection) -> Result<Vec<i64>, PostgresError>,
) -> Result<Vec<i64>, PostgresError> {
    connection.run_script("BEGIN")?;
    match work(connection) {
        Ok(ids) => connection.run_script("COMMIT").map(|()| ids),
        Err(error) => {
            // Where the connection is over, so is the transaction.
            let undone = connection.run_script("ROLLBACK");
            Err(undone.err().unwrap_or(error))
        }
    }
}

fn insert_within(connection: &mut Connection, messages: &[NewMessage]) -> Result<Vec<Kept>, PostgresError> {
    let all: BTreeSet<&str> = messages.iter().filter_map(|message| message.outbox_id.as_deref()).collect();
    let all: Vec<&str> = all.into_iter().collect();
    let rows = connection.run(TAKE, &[(&all, Type::TEXT_ARRAY)])?;
    let mut fresh = rows.iter().map(|row| row.try_get(0)).collect::<Result<BTreeSet<String>, _>>()?;
    // Of one that stands twice in the batch, the first.
    let new: Vec<&NewMessage> = messages
        .iter()
        .filter(|message| message.outbox_id.as_ref().is_none_or(|outbox_id| fresh.remove(outbox_id)))
        .collect();
    let mut made = if new.is_empty() { Vec::new() } else { publish::insert_within(connection, &new)? }.into_iter();
    let mut ids = BTreeMap::new();
    let mut others = Vec::new();
    for (message, id) in new.iter().zip(made.by_ref()) {
        match &message.outbox_id {
            Some(outbox_id) => drop(ids.insert(outbox_id.clone(), id)),
            None => others.push(id),
        }
    }
    let made: BTreeSet<i64> = ids.values().copied().collect();
    let (taken, messages_of): (Vec<&str>, Vec<i64>) =
        ids.iter().map(|(outbox_id, id)| (outbox_id.as_str(), *id)).unzip();
    connection.run(REMEMBER, &[(&taken, Type::TEXT_ARRAY), (&messages_of, Type::INT8_ARRAY)])?;
    for row in connection.run(KNOWN, &[(&all, Type::TEXT_ARRAY)])? {
        ids.insert(row.try_get(0)?, row.try_get::<_, Option<i64>>(1)?.unwrap_or_default());
    }
    let mut others = others.into_iter();
    let kept = |message: &NewMessage| match &message.outbox_id {
        Some(outbox_id) => ids.get(outbox_id).map(|id| Kept { id: *id, is_new: made.contains(id) }),
        None => others.next().map(|id| Kept { id, is_new: true }),
    };
    Ok(messages.iter().filter_map(kept).collect())
}

/// These rows are gone. Forgets those that have been gone for long.
pub(super) fn rows_are_gone(connection: &mut Connection, outbox_ids: &[String]) -> Result<(), PostgresError> {
    connection.run(GONE, &[(&outbox_ids, Type::TEXT_ARRAY)])?;
    connection.run(FORGET, &[])?;
    Ok(())
}

/// The message of the row with this number, of the last one if there are several
/// outboxes.
pub(super) fn message_of(connection: &mut Connection, number: u64) -> Result<Option<i64>, PostgresError> {
    let (from, to) = (format!("{number}/"), format!("{number}0"));
    let rows = connection.run(OF_ROW, &[(&from, Type::TEXT), (&to, Type::TEXT)])?;
    Ok(rows.first().map(|row| row.try_get::<_, Option<i64>>(0)).transpose()?.flatten())
}
