//! The statements that write a new message.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::activity::Event;
use super::counts::Changes;
use super::values::micros_up;
use super::{history, schema};
use crate::queue::{MessageState, NewMessage};

/// The columns that a message determines.
struct Row<'a> {
    state: MessageState,
    due: Option<i64>,
    ttr: i64,
    limit_key: Option<String>,
    /// `None` if the text is long.
    inline: Option<&'a str>,
}

impl<'a> Row<'a> {
    fn of(message: &'a NewMessage, now: i64) -> Self {
        let due = message.delay.map(micros_up).filter(|due| *due > now);
        Self {
            state: if due.is_some() { MessageState::Delayed } else { MessageState::Ready },
            due,
            ttr: i64::try_from(message.ttr.as_millis()).unwrap_or(i64::MAX).clamp(1, schema::LONGEST_TTR),
            limit_key: message.limit_keys.joined(),
            inline: (message.text.len() <= schema::LONGEST_INLINE_TEXT).then_some(&message.text),
        }
    }
}

/// Inserts a new message of this kind. Returns its id.
pub(super) fn insert(
    connection: &Connection,
    message: &NewMessage,
    kind: i64,
    now: i64,
    counts: &mut Changes,
) -> rusqlite::Result<i64> {
    let Row { state, due, ttr, limit_key, inline } = Row::of(message, now);
    let mut insert = connection.prepare_cached(
        "INSERT INTO message(queue, kind, state, priority, due, ttr, due_since, enqueued_at, since, text, limit_key)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9, ?10)",
    )?;
    let id = insert.insert(params![
        message.queue,
        kind,
        schema::code(state),
        message.priority.get(),
        due,
        ttr,
        due.unwrap_or(now),
        now,
        inline,
        limit_key,
    ])?;
    if inline.is_none() {
        insert_long(connection, id, &message.text)?;
    }
    counts.add(kind, state);
    counts.event(kind, Event::Published, now);
    Ok(id)
}

fn insert_long(connection: &Connection, id: i64, text: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("INSERT INTO long_text(id, text) VALUES (?1, ?2)")?.execute(params![id, text]).map(drop)
}

/// Replaces a waiting message with a new one, under the same id.
pub(super) fn replace(
    connection: &Connection,
    id: i64,
    message: &NewMessage,
    kind: i64,
    now: i64,
    counts: &mut Changes,
) -> rusqlite::Result<()> {
    let Row { state, due, ttr, limit_key, inline } = Row::of(message, now);
    let before: Option<(i64, i64, bool, bool)> = connection
        .prepare_cached("SELECT kind, state, text IS NULL, runs > 0 FROM message WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((old_kind, old_state, was_long, has_failed)) = before else { return Ok(()) };
    if has_failed {
        history::forget(connection, id)?;
    }
    // A message that stays ready has waited since it was first ready.
    let still_ready = schema::state(old_state) == MessageState::Ready && state == MessageState::Ready;
    connection
        .prepare_cached(
            "UPDATE message SET queue = ?2, kind = ?3, state = ?4, priority = ?5, due = ?6, ttr = ?7,
                due_since = iif(?9, due_since, ?8), since = iif(?9, since, ?10), attempts = 0, lost = 0,
                left_since = NULL, last_error = NULL, last_error_at = NULL, runs = 0, key_mode = 1, limit_key = ?11,
                text = ?12
             WHERE id = ?1",
        )?
        .execute(params![
            id,
            message.queue,
            kind,
            schema::code(state),
            message.priority.get(),
            due,
            ttr,
            due.unwrap_or(now),
            still_ready,
            now,
            limit_key,
            inline,
        ])?;
    if was_long {
        connection.prepare_cached("DELETE FROM long_text WHERE id = ?1")?.execute([id])?;
    }
    if inline.is_none() {
        insert_long(connection, id, &message.text)?;
    }
    counts.remove(old_kind, schema::state(old_state));
    counts.add(kind, state);
    Ok(())
}
