//! Unique keys. A unique index ensures that at most one message holds each key.
//!
//! The key is a column of its message, so it ends with the message, even if a process is killed. `holds_key` marks the
//! message that holds the key. It is null while the message remembers a key that it does not hold: it is buried, or it
//! runs and was unique while it waited, or it came back from such a run after another one had been published. A key
//! that is taken for a fixed time has a separate row, which may outlive the message. It is free once that time is over,
//! and if that time began more than a minute from now: then the clock was set back.
//!
//! # Invariants
//! A key that becomes free goes to the newest message that waits with it, if there is one.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::storage::schema;
use super::storage::values::micros_up;
use crate::keys::{OnDuplicate, Unique, UniqueFor};
use crate::message::{Incoming, MessageId};
use crate::queue::{MessageState, NewMessage};

/// The values of `key_mode`: for how long the key is taken.
const UNFINISHED: i64 = 0;
pub(super) const WAITING: i64 = 1;
const TIMED: i64 = 2;

/// The maximum number of expired keys to forget with each new one.
const FORGOTTEN_AT_ONCE: i64 = 16;

/// A unique key in the form of its message's columns.
pub(super) struct Columns {
    pub(super) key: String,
    mode: i64,
    /// When a key with a fixed time expires, and how long that time is.
    ends: Option<(i64, i64)>,
}

impl Columns {
    pub(super) fn of(request_type: &str, unique: &Unique, now: i64) -> Self {
        let key = format!("{request_type}\n{}", unique.key);
        let (mode, ends) = match unique.unique_for {
            UniqueFor::Unfinished => (UNFINISHED, None),
            UniqueFor::Waiting => (WAITING, None),
            UniqueFor::Time(time) => {
                let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX).max(1);
                (TIMED, Some((now.saturating_add(micros), micros)))
            }
        };
        Self { key, mode, ends }
    }

    /// Has this message, which has just been enqueued, remember the key without holding it.
    pub(super) fn remember(&self, connection: &Connection, id: i64) -> rusqlite::Result<()> {
        connection
            .prepare_cached("UPDATE message SET unique_key = ?2, key_mode = ?3 WHERE id = ?1")?
            .execute(params![id, self.key, self.mode])
            .map(drop)
    }

    /// Gives the key to this message, which has just been enqueued.
    pub(super) fn give(&self, connection: &Connection, id: i64, now: i64) -> rusqlite::Result<()> {
        connection
            .prepare_cached("UPDATE message SET unique_key = ?2, key_mode = ?3, holds_key = ?4 WHERE id = ?1")?
            .execute(params![id, self.key, self.mode, self.ends.is_none().then_some(1)])?;
        let Some((ends, length)) = self.ends else { return Ok(()) };
        connection
            .prepare_cached("INSERT OR REPLACE INTO timed_key(key, message, ends, length) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![self.key, id, ends, length])?;
        forget_over(connection, now, FORGOTTEN_AT_ONCE).map(drop)
    }
}

/// Returns whether any key has expired.
pub(super) fn any_over(connection: &Connection, now: i64) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM timed_key WHERE ends <= ?1)")?
        .query_row([now], |row| row.get(0))
}

/// Forgets at most `most` expired keys. Returns how many.
pub(super) fn forget_over(connection: &Connection, now: i64, most: i64) -> rusqlite::Result<u64> {
    let forgotten = connection
        .prepare_cached(
            "DELETE FROM timed_key
             WHERE key IN (SELECT key FROM timed_key WHERE ends <= ?1 ORDER BY ends LIMIT ?2)",
        )?
        .execute([now, most])?;
    Ok(forgotten as u64)
}

/// Converts the columns back into a key; one with a fixed time has the microseconds that are left. `None` if it has
/// expired.
pub(super) fn read(column: &str, mode: i64, ends_in: Option<i64>) -> Option<Unique> {
    let unique_for = match mode {
        UNFINISHED => UniqueFor::Unfinished,
        WAITING => UniqueFor::Waiting,
        _ => UniqueFor::Time(Duration::from_micros(ends_in?.try_into().ok()?)),
    };
    let (_, key) = column.split_once('\n').unwrap_or(("", column));
    Some(Unique::new(key).unique_for(unique_for))
}

/// The message that holds a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    pub(super) id: i64,
    /// Whether it waits and can be replaced.
    pub(super) waits: bool,
    /// Whether it gives up the key to the new message: its expiration has passed and no worker has noticed yet, or it
    /// is running and the new message is unique only among those that wait.
    gives_way: bool,
}

impl Holder {
    pub(super) fn find(connection: &Connection, new: &Columns, now: i64) -> rusqlite::Result<Option<Self>> {
        let holder = connection
            .prepare_cached(
                "SELECT id, state, coalesce(text, (SELECT text FROM long_text WHERE long_text.id = message.id))
                 FROM message WHERE unique_key = ?1 AND holds_key = 1",
            )?
            .query_row([&new.key], |row| {
                let waits = schema::state(row.get(1)?) != MessageState::Reserved;
                let gives_way = if waits {
                    has_expired(row.get_ref(2)?.as_bytes_or_null()?.unwrap_or_default(), now)
                } else {
                    new.mode == WAITING
                };
                Ok(Self { id: row.get(0)?, waits, gives_way })
            })
            .optional()?;
        if let Some(holder) = holder.filter(|holder| !holder.gives_way) {
            return Ok(Some(holder));
        }
        let timed = connection
            .prepare_cached(
                "SELECT message FROM timed_key WHERE key = ?1 AND ends > ?2 AND ends - length <= ?2 + 60000000",
            )?
            .query_row(params![new.key, now], |row| Ok(Self { id: row.get(0)?, waits: false, gives_way: false }))
            .optional()?;
        Ok(timed.or(holder))
    }

    /// Returns whether the message keeps the key. If not, takes it away.
    pub(super) fn keeps(self, connection: &Connection) -> rusqlite::Result<bool> {
        if self.gives_way {
            connection.prepare_cached("UPDATE message SET holds_key = NULL WHERE id = ?1")?.execute([self.id])?;
        }
        Ok(!self.gives_way)
    }
}

/// Returns whether the message has expired and will never run.
fn has_expired(text: &[u8], now: i64) -> bool {
    let expiration = Incoming::read(text).ok().and_then(|message| message.header.expiration());
    expiration.is_some_and(|expiration| micros_up(expiration) < now)
}

/// Returns the existing message because of which one of these is rejected. `ends` is a message that will be gone by
/// then.
pub(super) fn rejection(
    connection: &Connection,
    messages: &[NewMessage],
    now: i64,
    ends: Option<i64>,
) -> rusqlite::Result<Option<MessageId>> {
    for message in messages {
        let Some(unique) = message.unique.as_ref().filter(|unique| unique.on_duplicate == OnDuplicate::Reject) else {
            continue;
        };
        let holder = Holder::find(connection, &Columns::of(&message.request_type, unique, now), now)?;
        if let Some(holder) = holder.filter(|holder| !holder.gives_way && Some(holder.id) != ends) {
            return Ok(Some(MessageId::from(holder.id.cast_unsigned())));
        }
    }
    Ok(None)
}

/// Gives the key to the newest other message that waits with it, because this one, unique while it waited, has begun to
/// run or is about to be deleted.
pub(super) fn freed(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE message SET holds_key = 1 WHERE id = (
                SELECT other.id FROM message AS other
                WHERE other.unique_key = (SELECT unique_key FROM message WHERE id = ?1) AND other.holds_key IS NULL
                    AND other.key_mode = 1 AND other.state IN (0, 1) AND other.id <> ?1
                ORDER BY other.id DESC LIMIT 1)
             AND NOT EXISTS (SELECT 1 FROM message AS holder
                WHERE holder.unique_key = message.unique_key AND holder.holds_key = 1)",
        )?
        .execute([id])
        .map(drop)
}

/// Gives the key back to a message that waits again after a run, unless a newer message waits with it.
pub(super) fn waits_again(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    take_if_free(connection, id, WAITING).map(drop)
}

/// Frees the key of a message that is buried or about to be deleted.
pub(super) fn buried(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    let freed = connection
        .prepare_cached("UPDATE message SET holds_key = NULL WHERE id = ?1 AND holds_key IS NOT NULL")?
        .execute([id])?;
    if freed > 0 { self::freed(connection, id) } else { Ok(()) }
}

/// Takes the key for a buried message that is to be ready again. False if another message has it.
pub(super) fn kicked(connection: &Connection, id: i64, now: i64) -> rusqlite::Result<bool> {
    if taken_by(connection, id, now)?.is_some() {
        return Ok(false);
    }
    [UNFINISHED, WAITING].into_iter().try_for_each(|mode| take_if_free(connection, id, mode).map(drop))?;
    Ok(true)
}

/// Returns the other message that has the key of this one, if any.
pub(super) fn taken_by(connection: &Connection, id: i64, now: i64) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "SELECT coalesce(
                (SELECT id FROM message WHERE unique_key = this.unique_key AND holds_key = 1 AND id <> ?1),
                (SELECT message FROM timed_key
                    WHERE key = this.unique_key AND ends > ?2 AND ends - length <= ?2 + 60000000 AND message <> ?1))
             FROM message AS this WHERE id = ?1 AND unique_key IS NOT NULL",
        )?
        .query_row([id, now], |row| row.get(0))
        .optional()
        .map(Option::flatten)
}

fn take_if_free(connection: &Connection, id: i64, mode: i64) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "UPDATE message SET holds_key = 1 WHERE id = ?1 AND key_mode = ?2 AND NOT EXISTS (
                SELECT 1 FROM message AS holder
                WHERE holder.unique_key = message.unique_key AND holder.holds_key = 1)",
        )?
        .execute([id, mode])
}
