//! Imports messages of another queue together with their history there.

use rusqlite::{Connection, params};

use super::activity::Event;
use super::counts::{self, Changes};
use super::storage::schema;
use super::storage::values::{micros, micros_up};
use super::unique::{self, Columns, Holder};
use super::{history, outbox_ids};
use crate::message::MessageId;
use crate::queue::{Imported, MessageState};

/// Stores the messages and returns their ids. If one of them has a unique key that is taken, stores none and returns
/// the message that has it.
pub(super) fn insert(
    connection: &Connection,
    messages: &[Imported],
    now: i64,
) -> rusqlite::Result<Result<Vec<MessageId>, MessageId>> {
    for imported in messages {
        // A message that was imported before holds its key itself.
        let is_new = outbox_ids::taken(connection, &imported.message)?.is_none();
        let rejected = unique::rejection(connection, &[imported.to_enqueue()], now, None)?;
        if let Some(id) = rejected.filter(|_| is_new) {
            return Ok(Err(id));
        }
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO message(queue, kind, state, priority, due, ttr, attempts, lost, due_since, enqueued_at, since,
            last_error, last_error_at, text, runs, limit_key)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    )?;
    let mut insert_long = connection.prepare_cached("INSERT INTO long_text(id, text) VALUES (?1, ?2)")?;
    let mut ids = Vec::with_capacity(messages.len());
    let mut counts = Changes::default();
    for imported in messages {
        let Imported {
            message,
            attempts,
            abandoned,
            is_buried,
            enqueued_at,
            last_error,
            last_error_at,
            history: lines,
            ..
        } = imported;
        if let Some(id) = outbox_ids::taken(connection, message)? {
            ids.push(id);
            continue;
        }
        let kind = counts::kind(connection, &message.queue, &message.request_type)?;
        let due = message.delay.map(micros_up).filter(|due| *due > now && !is_buried);
        let state = match due {
            _ if *is_buried => MessageState::Buried,
            Some(_) => MessageState::Delayed,
            None => MessageState::Ready,
        };
        let (enqueued_at, last_error_at) = (enqueued_at.map_or(now, micros), last_error_at.map(micros));
        let is_long = message.text.len() > schema::LONGEST_INLINE_TEXT;
        let id = insert.insert(params![
            message.queue,
            kind,
            schema::code(state),
            message.priority.get(),
            due,
            i64::try_from(message.ttr.as_millis()).unwrap_or(i64::MAX).clamp(1, schema::LONGEST_TTR),
            attempts,
            abandoned,
            due.unwrap_or(now),
            enqueued_at,
            // A buried one has been in that state since its error.
            last_error_at.filter(|_| *is_buried).unwrap_or(now),
            last_error,
            last_error_at,
            (!is_long).then_some(&message.text),
            lines.iter().map(|line| line.number).max().unwrap_or_default(),
            message.limit_keys.joined(),
        ])?;
        for line in lines {
            history::insert(connection, id, line.number.into(), line)?;
        }
        if is_long {
            insert_long.execute(params![id, message.text])?;
        }
        if let Some(key) = &message.unique {
            let columns = Columns::of(&message.request_type, key, now);
            if imported.has_key {
                // A holder that has expired by now gives way.
                Holder::find(connection, &columns, now)?.map_or(Ok(false), |holder| holder.keeps(connection))?;
                columns.give(connection, id, now)?;
            } else {
                columns.remember(connection, id)?;
            }
        }
        outbox_ids::remember(connection, message, id)?;
        counts.add(kind, state);
        counts.event(kind, Event::Published, now);
        ids.push(MessageId::from(id.to_string()));
    }
    counts.write(connection)?;
    Ok(Ok(ids))
}
