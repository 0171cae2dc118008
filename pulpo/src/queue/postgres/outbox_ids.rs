//! The rows of outboxes that the queue has taken. A row that comes again, because
//! a relay died before it could delete it, is not taken twice.
//!
//! An id is kept until the relay reports that the row is deleted, and for another
//! hour, since another relay may have read the row before. It is also kept while
//! its message exists.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use super::connection::{Connection, Sql};
use super::error::PostgresError;
use super::values::number;
use super::{publish, unique};
use crate::keys::Publication;
use crate::queue::{Enqueued, Imported, NewMessage};

/// Waits for other transactions that take the same rows: always in one order, to
/// avoid deadlocks.
const TAKE: Sql = "INSERT INTO SCHEMA.outbox_id(outbox_id)
    SELECT outbox_id FROM unnest($1::text[]) WITH ORDINALITY AS new(outbox_id, place) ORDER BY place
    ON CONFLICT DO NOTHING RETURNING outbox_id";

const REMEMBER: Sql = "UPDATE SCHEMA.outbox_id SET message = made.message
    FROM unnest($1::text[], $2::bigint[]) AS made(id, message) WHERE outbox_id = made.id";

const KNOWN: Sql = "SELECT outbox_id, message FROM SCHEMA.outbox_id WHERE outbox_id = ANY($1::text[])";

const GONE: Sql = "UPDATE SCHEMA.outbox_id SET gone_at = now() WHERE outbox_id = ANY($1::text[])";

/// An id whose message still exists is looked at again later.
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
        last_error = was.last_error, last_error_at = was.last_error_at,
        unique_key = coalesce(was.unique_key, message.unique_key), key_mode = coalesce(was.key_mode, message.key_mode)
    FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::boolean[], $5::timestamptz[], $6::text[],
        $7::timestamptz[], $8::text[], $9::integer[])
        AS was(id, attempts, abandoned, buried, enqueued_at, last_error, last_error_at, unique_key, key_mode)
    WHERE message.id = was.id";

/// Finds the ids from one prefix to the next: `0` comes after `/`.
const OF_ROW: Sql = "SELECT max(message) FROM SCHEMA.outbox_id WHERE outbox_id >= $1 AND outbox_id < $2";

/// Stores the messages that were not taken before, and returns the result for
/// each.
pub(super) fn insert(connection: &mut Connection, messages: &[NewMessage]) -> Result<Vec<Enqueued>, PostgresError> {
    connection.in_transaction(|connection| insert_within(connection, messages).map(|kept| kept.0))
}

/// Does the same for messages of another queue, with their attempts and history.
pub(super) fn import(connection: &mut Connection, messages: &[Imported]) -> Result<Vec<Enqueued>, PostgresError> {
    let new: Vec<_> = messages.iter().map(Imported::to_enqueue).collect();
    connection.in_transaction(|connection| {
        let (kept, made) = insert_within(connection, &new)?;
        let mut history = History::default();
        for (imported, kept) in messages.iter().zip(&kept) {
            let Some(id) = number(kept.id.as_str()).filter(|id| made.contains(id)) else { continue };
            history.add(id, imported);
        }
        history.write(connection)?;
        let made = messages
            .iter()
            .zip(&kept)
            .filter_map(|(imported, kept)| Some((number(kept.id.as_str()).filter(|id| made.contains(id))?, imported)));
        super::history::import(connection, &made.collect::<Vec<_>>())?;
        Ok(kept)
    })
}

/// Messages, column by column.
#[derive(Default)]
struct History {
    ids: Vec<i64>,
    attempts: Vec<i32>,
    abandoned: Vec<i32>,
    buried: Vec<bool>,
    enqueued: Vec<Option<DateTime<Utc>>>,
    errors: Vec<Option<String>>,
    failed: Vec<Option<DateTime<Utc>>>,
    /// The unique keys that the messages remember but do not hold.
    keys: Vec<Option<String>>,
    modes: Vec<Option<i32>>,
}

impl History {
    fn add(&mut self, id: i64, imported: &Imported) {
        self.ids.push(id);
        self.attempts.push(i32::try_from(imported.attempts).unwrap_or(i32::MAX));
        self.abandoned.push(i32::try_from(imported.abandoned).unwrap_or(i32::MAX));
        self.buried.push(imported.is_buried);
        self.enqueued.push(imported.enqueued_at);
        // PostgreSQL cannot store NUL in a text.
        self.errors.push(imported.last_error.as_ref().map(|error| error.replace('\0', "\u{FFFD}")));
        self.failed.push(imported.last_error_at);
        let remembered = imported.message.unique.as_ref().filter(|_| !imported.has_key);
        self.keys.push(remembered.map(|key| unique::key(&imported.message.request_type, key)));
        self.modes.push(remembered.map(|key| unique::mode(key.unique_for).0));
    }

    fn write(&self, connection: &mut Connection) -> Result<(), PostgresError> {
        connection
            .run(
                HISTORY,
                &[
                    (&self.ids, Type::INT8_ARRAY),
                    (&self.attempts, Type::INT4_ARRAY),
                    (&self.abandoned, Type::INT4_ARRAY),
                    (&self.buried, Type::BOOL_ARRAY),
                    (&self.enqueued, Type::TIMESTAMPTZ_ARRAY),
                    (&self.errors, Type::TEXT_ARRAY),
                    (&self.failed, Type::TIMESTAMPTZ_ARRAY),
                    (&self.keys, Type::TEXT_ARRAY),
                    (&self.modes, Type::INT4_ARRAY),
                ],
            )
            .map(drop)
    }
}

/// Returns the result for each message, and which messages are new.
fn insert_within(
    connection: &mut Connection,
    messages: &[NewMessage],
) -> Result<(Vec<Enqueued>, BTreeSet<i64>), PostgresError> {
    let all: BTreeSet<&str> = messages.iter().filter_map(|message| message.outbox_id.as_deref()).collect();
    let all: Vec<&str> = all.into_iter().collect();
    let rows = connection.run(TAKE, &[(&all, Type::TEXT_ARRAY)])?;
    let mut fresh = rows.iter().map(|row| row.try_get(0)).collect::<Result<BTreeSet<String>, _>>()?;
    // If an id is twice in the batch, the first one counts.
    let new: Vec<&NewMessage> = messages
        .iter()
        .filter(|message| message.outbox_id.as_ref().is_none_or(|outbox_id| fresh.remove(outbox_id)))
        .collect();
    let kept = if new.is_empty() { Vec::new() } else { publish::insert_within(connection, &new)? };
    let is_new = |kept: &&Enqueued| kept.publication == Publication::New;
    let made = kept.iter().filter(is_new).filter_map(|kept| number(kept.id.as_str())).collect();
    let mut of_row = BTreeMap::new();
    let mut others = Vec::new();
    for (message, kept) in new.iter().zip(kept) {
        match &message.outbox_id {
            Some(outbox_id) => drop(of_row.insert(outbox_id.clone(), kept)),
            None => others.push(kept),
        }
    }
    let (taken, ids): (Vec<&str>, Vec<i64>) = of_row
        .iter()
        .map(|(outbox_id, kept)| (outbox_id.as_str(), number(kept.id.as_str()).unwrap_or_default()))
        .unzip();
    connection.run(REMEMBER, &[(&taken, Type::TEXT_ARRAY), (&ids, Type::INT8_ARRAY)])?;
    for row in connection.run(KNOWN, &[(&all, Type::TEXT_ARRAY)])? {
        let id = row.try_get::<_, Option<i64>>(1)?.unwrap_or_default();
        of_row.entry(row.try_get(0)?).or_insert_with(|| Enqueued::new(id.cast_unsigned()));
    }
    let mut others = others.into_iter();
    let kept = |message: &NewMessage| match &message.outbox_id {
        Some(outbox_id) => of_row.get(outbox_id).cloned(),
        None => others.next(),
    };
    Ok((messages.iter().filter_map(kept).collect(), made))
}

/// Records that these rows are deleted, and forgets those that were deleted long
/// ago.
pub(super) fn rows_are_gone(connection: &mut Connection, outbox_ids: &[String]) -> Result<(), PostgresError> {
    connection.run(GONE, &[(&outbox_ids, Type::TEXT_ARRAY)])?;
    connection.run(FORGET, &[])?;
    Ok(())
}

/// Returns the message of the row with this number: the newest, if there are
/// several outboxes.
pub(super) fn message_of(connection: &mut Connection, number: u64) -> Result<Option<i64>, PostgresError> {
    let (from, to) = (format!("{number}/"), format!("{number}0"));
    let rows = connection.run(OF_ROW, &[(&from, Type::TEXT), (&to, Type::TEXT)])?;
    Ok(rows.first().map(|row| row.try_get::<_, Option<i64>>(0)).transpose()?.flatten())
}
