//! Unique keys: one message of each has it, by a unique index.
//!
//! The key stands in its message, so it ends with it, whatever is killed. A
//! message that has the key says so in `holds_key`; that is null while it
//! remembers a key that it does not have: it is buried, or runs and was unique
//! while it waited, or came back from such a run after another one had been
//! published. A key that is taken for a time has a row of its own, which may
//! outlive the message.
//!
//! # Invariants
//! Whatever frees a key gives it to the newest message that waits with it, if
//! there is one.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::schema;
use super::values::micros_up;
use crate::keys::{OnDuplicate, Unique, UniqueFor};
use crate::message::{Incoming, MessageId};
use crate::queue::{MessageState, NewMessage};

/// How `key_mode` says for how long the key is taken.
const UNFINISHED: i64 = 0;
pub(super) const WAITING: i64 = 1;
const TIMED: i64 = 2;

/// How many keys whose time is over are forgotten with each new one.
const FORGOTTEN_AT_ONCE: i64 = 16;

/// A unique key as the columns of its message say it.
pub(super) struct Columns {
    pub(super) key: String,
    mode: i64,
    /// When a timed one ends.
    ends: Option<i64>,
}

impl Columns {
    pub(super) fn of(request_type: &str, unique: &Unique, now: i64) -> Self {
        let key = format!("{request_type}\n{}", unique.key);
        let (mode, ends) = match unique.unique_for {
            UniqueFor::Unfinished => (UNFINISHED, None),
            UniqueFor::Waiting => (WAITING, None),
            UniqueFor::Time(time) => {
                let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX).max(1);
                (TIMED, Some(now.saturating_add(micros)))
            }
        };
        Self { key, mode, ends }
    }

    /// Has this message, which has just been enqueued, remember the key without
    /// having it.
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
        let Some(ends) = self.ends else { return Ok(()) };
        connection
            .prepare_cached("INSERT OR REPLACE INTO timed_key(key, message, ends) VALUES (?1, ?2, ?3)")?
            .execute(params![self.key, id, ends])?;
        forget_over(connection, now, FORGOTTEN_AT_ONCE).map(drop)
    }
}

/// Whether the time of any key is over.
pub(super) fn any_over(connection: &Connection, now: i64) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM timed_key WHERE ends <= ?1)")?
        .query_row([now], |row| row.get(0))
}

/// Forgets some of those; how many.
pub(super) fn forget_over(connection: &Connection, now: i64, most: i64) -> rusqlite::Result<u64> {
    let forgotten = connection
        .prepare_cached(
            "DELETE FROM timed_key
             WHERE key IN (SELECT key FROM timed_key WHERE ends <= ?1 ORDER BY ends LIMIT ?2)",
        )?
        .execute([now, most])?;
    Ok(forgotten as u64)
}

/// The reverse: a key as a row has it, of a timed one with the microseconds that
/// are left; `None` if its time is over.
pub(super) fn read(column: &str, mode: i64, ends_in: Option<i64>) -> Option<Unique> {
    let unique_for = match mode {
        UNFINISHED => UniqueFor::Unfinished,
        WAITING => UniqueFor::Waiting,
        _ => UniqueFor::Time(Duration::from_micros(ends_in?.try_into().ok()?)),
    };
    let (_, key) = column.split_once('\n').unwrap_or(("", column));
    Some(Unique::new(key).unique_for(unique_for))
}

/// The message that has a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    pub(super) id: i64,
    /// Whether it waits and can be replaced.
    pub(super) waits: bool,
    /// Whether it may go on without the key: its expiration has passed and
    /// no worker has noticed yet, or it runs and the new one is unique only
    /// among those that wait.
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
            .prepare_cached("SELECT message FROM timed_key WHERE key = ?1 AND ends > ?2")?
            .query_row(params![new.key, now], |row| Ok(Self { id: row.get(0)?, waits: false, gives_way: false }))
            .optional()?;
        Ok(timed.or(holder))
    }

    /// Whether it has the key for good. One that has not, gives it up.
    pub(super) fn keeps(self, connection: &Connection) -> rusqlite::Result<bool> {
        if self.gives_way {
            connection.prepare_cached("UPDATE message SET holds_key = NULL WHERE id = ?1")?.execute([self.id])?;
        }
        Ok(!self.gives_way)
    }
}

/// Whether it will never be run, since its time has passed.
fn has_expired(text: &[u8], now: i64) -> bool {
    let expiration = Incoming::read(text).ok().and_then(|message| message.header.expiration());
    expiration.is_some_and(|expiration| micros_up(expiration) < now)
}

/// The message on account of which one of these is rejected. `ends`: a message
/// that will be gone by then.
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

/// A message that was unique while it waited has begun to run, or is about to
/// go: the newest other one that waits with its key has it now.
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

/// A message waits again after a run: it has its key again unless a newer one
/// waits with that.
pub(super) fn waits_again(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    take_if_free(connection, id, WAITING).map(drop)
}

/// The message is buried, or is about to go: others may have its key.
pub(super) fn buried(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    let freed = connection
        .prepare_cached("UPDATE message SET holds_key = NULL WHERE id = ?1 AND holds_key IS NOT NULL")?
        .execute([id])?;
    if freed > 0 { self::freed(connection, id) } else { Ok(()) }
}

/// A buried message is to be ready again: false if another one has its key.
pub(super) fn kicked(connection: &Connection, id: i64, now: i64) -> rusqlite::Result<bool> {
    if taken_by(connection, id, now)?.is_some() {
        return Ok(false);
    }
    [UNFINISHED, WAITING].into_iter().try_for_each(|mode| take_if_free(connection, id, mode).map(drop))?;
    Ok(true)
}

/// The message that has the key of this one, if that is another one.
pub(super) fn taken_by(connection: &Connection, id: i64, now: i64) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "SELECT coalesce(
                (SELECT id FROM message WHERE unique_key = this.unique_key AND holds_key = 1 AND id <> ?1),
                (SELECT message FROM timed_key WHERE key = this.unique_key AND ends > ?2 AND message <> ?1))
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
