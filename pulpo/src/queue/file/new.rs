//! The statements that write a new message.

use std::fmt::Write as _;

use once_cell::race::OnceBox;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::activity::Event;
use super::counts::Changes;
use super::history;
use super::storage::schema;
use super::storage::values::micros_up;
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
            inline: is_inline(message).then_some(&message.text),
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

/// How many messages one statement inserts. Each statement opens the table and all of its indexes, which takes as long
/// as writing a row.
const AT_ONCE: usize = 16;

/// The number of parameters that all rows of [`insert_many_sql`] share, and of those that each row has.
const SHARED: usize = 3;
const OF_EACH: usize = 7;

/// Returns the statement that inserts [`AT_ONCE`] messages.
fn insert_many_sql() -> &'static str {
    // No thread can leave it locked for a fork.
    static SQL: OnceBox<String> = OnceBox::new();
    SQL.get_or_init(|| Box::new(written()))
}

fn written() -> String {
    let mut sql = "INSERT INTO message(queue, kind, enqueued_at, since, state, priority, due, ttr, due_since, text,
            limit_key)
         VALUES "
        .to_owned();
    for row in 0..AT_ONCE {
        let comma = if row > 0 { ", " } else { "" };
        let _ = write!(sql, "{comma}(?1, ?2, ?3, ?3");
        for parameter in 0..OF_EACH {
            let _ = write!(sql, ", ?{}", SHARED + row * OF_EACH + parameter + 1);
        }
        sql.push(')');
    }
    sql
}

/// Inserts new messages of this queue and kind, and calls `inserted` with the id of each, in their order.
pub(super) fn insert_all(
    connection: &Connection,
    messages: &[NewMessage],
    kind: i64,
    now: i64,
    counts: &mut Changes,
    mut inserted: impl FnMut(i64),
) -> rusqlite::Result<()> {
    let mut chunks = messages.chunks_exact(AT_ONCE);
    for chunk in &mut chunks {
        let first = insert_many(connection, chunk, kind, now, counts)?;
        (first..).take(AT_ONCE).for_each(&mut inserted);
    }
    for message in chunks.remainder() {
        inserted(insert(connection, message, kind, now, counts)?);
    }
    Ok(())
}

/// Inserts [`AT_ONCE`] messages of one queue and kind. Returns the id of the first; the others follow it, since each id
/// is one more than the largest before.
fn insert_many(
    connection: &Connection,
    messages: &[NewMessage],
    kind: i64,
    now: i64,
    counts: &mut Changes,
) -> rusqlite::Result<i64> {
    let mut insert = connection.prepare_cached(insert_many_sql())?;
    insert.raw_bind_parameter(1, &messages[0].queue)?;
    insert.raw_bind_parameter(2, kind)?;
    insert.raw_bind_parameter(3, now)?;
    for (place, message) in messages.iter().enumerate() {
        let Row { state, due, ttr, limit_key, inline } = Row::of(message, now);
        let first = SHARED + place * OF_EACH;
        insert.raw_bind_parameter(first + 1, schema::code(state))?;
        insert.raw_bind_parameter(first + 2, message.priority.get())?;
        insert.raw_bind_parameter(first + 3, due)?;
        insert.raw_bind_parameter(first + 4, ttr)?;
        insert.raw_bind_parameter(first + 5, due.unwrap_or(now))?;
        insert.raw_bind_parameter(first + 6, inline)?;
        insert.raw_bind_parameter(first + 7, limit_key)?;
        counts.add(kind, state);
        counts.event(kind, Event::Published, now);
    }
    insert.raw_execute()?;
    let first = connection.last_insert_rowid() - (AT_ONCE as i64 - 1);
    for (id, message) in (first..).zip(messages) {
        if !is_inline(message) {
            insert_long(connection, id, &message.text)?;
        }
    }
    Ok(first)
}

fn is_inline(message: &NewMessage) -> bool {
    message.text.len() <= schema::LONGEST_INLINE_TEXT
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
