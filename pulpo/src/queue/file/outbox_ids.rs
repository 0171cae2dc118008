//! Remembers which outbox rows the queue has taken, so that a row that comes again, because a relay died before it
//! could delete it, is not taken twice.
//!
//! An id is kept until the relay reports that the row is gone, and for another hour, since another relay may have read
//! the row before. It is also kept as long as its message exists, so that the message can be found by the number of its
//! row in the outbox.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::message::MessageId;
use crate::queue::NewMessage;

/// How long to keep an id after its row is gone.
const KEPT_FOR: Duration = Duration::from_secs(3600);

/// The maximum number of ids to forget in one transaction.
const MAX_FORGOTTEN_AT_ONCE: i64 = 500;

/// Returns the message that was made of this row before.
pub(super) fn taken(connection: &Connection, message: &NewMessage) -> rusqlite::Result<Option<MessageId>> {
    let Some(outbox_id) = &message.outbox_id else { return Ok(None) };
    connection
        .prepare_cached("SELECT message FROM outbox_id WHERE outbox_id = ?1")?
        .query_row([outbox_id], |row| Ok(MessageId::from(row.get::<_, i64>(0)?.to_string())))
        .optional()
}

/// Records that this row has become this message.
pub(super) fn remember(connection: &Connection, message: &NewMessage, id: i64) -> rusqlite::Result<()> {
    let Some(outbox_id) = &message.outbox_id else { return Ok(()) };
    connection
        .prepare_cached("INSERT INTO outbox_id(outbox_id, message) VALUES (?1, ?2)")?
        .execute(params![outbox_id, id])
        .map(drop)
}

/// Records that these rows are gone, and forgets ids whose time is over.
pub(super) fn rows_are_gone(connection: &Connection, outbox_ids: &[String], now: i64) -> rusqlite::Result<()> {
    let mut gone = connection.prepare_cached("UPDATE outbox_id SET gone_at = ?2 WHERE outbox_id = ?1")?;
    for outbox_id in outbox_ids {
        gone.execute(params![outbox_id, now])?;
    }
    let before = now.saturating_sub(i64::try_from(KEPT_FOR.as_micros()).unwrap_or(i64::MAX));
    // If the message still exists, the id is checked again later.
    connection
        .prepare_cached(
            "UPDATE outbox_id SET gone_at = ?2 WHERE outbox_id IN (
                SELECT outbox_id FROM outbox_id WHERE gone_at < ?1 AND (
                    EXISTS (SELECT 1 FROM message WHERE message.id = outbox_id.message)
                    OR EXISTS (SELECT 1 FROM archive WHERE archive.id = outbox_id.message))
                LIMIT ?3)",
        )?
        .execute(params![before, now, MAX_FORGOTTEN_AT_ONCE])?;
    connection
        .prepare_cached(
            "DELETE FROM outbox_id WHERE outbox_id IN (
                SELECT outbox_id FROM outbox_id WHERE gone_at < ?1 AND
                    NOT EXISTS (SELECT 1 FROM message WHERE message.id = outbox_id.message)
                    AND NOT EXISTS (SELECT 1 FROM archive WHERE archive.id = outbox_id.message)
                LIMIT ?2)",
        )?
        .execute(params![before, MAX_FORGOTTEN_AT_ONCE])?;
    Ok(())
}

/// Returns the message of the outbox row with this number; that of the last one if there are several outboxes.
pub(super) fn message_of(connection: &Connection, number: u64) -> rusqlite::Result<Option<MessageId>> {
    // `0` comes after `/`.
    let (from, to) = (format!("{number}/"), format!("{number}0"));
    connection
        .prepare_cached("SELECT max(message) FROM outbox_id WHERE outbox_id >= ?1 AND outbox_id < ?2")?
        .query_row([from, to], |row| row.get::<_, Option<i64>>(0))
        .map(|id| id.map(|id| MessageId::from(id.to_string())))
}
