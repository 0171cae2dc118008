//! Changes waiting messages.

use rusqlite::{Connection, OptionalExtension as _, named_params, params};

use super::counts::{self, Changes};
use super::leases::lease::LeaseEnder;
use super::shared::Shared;
use super::storage::schema;
use super::storage::values::{after, number, time};
use crate::message::{self, HeaderEdit, MessageId, Priority};
use crate::queue::{CANCELLED, Edit, Edited, MessageState};

/// The message as it is stored.
struct Row {
    kind: i64,
    queue: String,
    request_type: String,
    state: MessageState,
    /// Whether its delay or its lease is over.
    is_over: bool,
    lease: Option<String>,
    due: Option<i64>,
    due_since: i64,
    since: i64,
    is_long: bool,
    text: String,
}

impl Row {
    fn read(connection: &Connection, id: i64, now: i64) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(
                "SELECT kind, queue, (SELECT request_type FROM kind WHERE kind.id = message.kind), state,
                    coalesce(due <= :now OR lease_ends <= :now, false), lease, due, due_since, since, text IS NULL,
                    coalesce(text, (SELECT text FROM long_text WHERE long_text.id = message.id), '')
                 FROM message WHERE id = :id",
            )?
            .query_row(named_params! { ":id": id, ":now": now }, |row| {
                Ok(Self {
                    kind: row.get(0)?,
                    queue: row.get(1)?,
                    request_type: row.get::<_, Option<String>>(2)?.unwrap_or_default(),
                    state: schema::state(row.get(3)?),
                    is_over: row.get(4)?,
                    lease: row.get(5)?,
                    due: row.get(6)?,
                    due_since: row.get(7)?,
                    since: row.get(8)?,
                    is_long: row.get(9)?,
                    text: row.get(10)?,
                })
            })
            .optional()
    }
}

/// Ends the delay in the text of a kicked message, for which its worker would wait. Only a cancel buries a message
/// before it is due.
pub(super) fn end_delay(connection: &Connection, id: i64, now: i64) -> rusqlite::Result<()> {
    let cancelled: Option<(bool, String)> = connection
        .prepare_cached(
            "SELECT text IS NULL, coalesce(text, (SELECT text FROM long_text WHERE long_text.id = message.id), '')
             FROM message WHERE id = ?1 AND last_error = ?2",
        )?
        .query_row(params![id, CANCELLED], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((is_long, text)) = cancelled else { return Ok(()) };
    let Some(text) = message::without_delay(&text, time(now)) else { return Ok(()) };
    let table = if is_long { "long_text" } else { "message" };
    connection.prepare_cached(&format!("UPDATE {table} SET text = ?2 WHERE id = ?1"))?.execute(params![id, text])?;
    Ok(())
}

pub(super) fn edit(connection: &Connection, us: &Shared, id: &MessageId, edit: &Edit) -> rusqlite::Result<Edited> {
    let Some(id) = number(id) else { return Ok(Edited::Missing) };
    let now = us.now();
    let Some(mut row) = Row::read(connection, id, now)? else {
        let is_done: bool = connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM archive WHERE id = ?1)")?
            .query_row([id], |row| row.get(0))?;
        return Ok(if is_done { Edited::Not(MessageState::Done) } else { Edited::Missing });
    };
    if let (MessageState::Reserved, true, Some(lease)) = (row.state, row.is_over, &row.lease) {
        // The end of the lease has not been processed yet.
        let mut ending = LeaseEnder::new(connection, &us.process_lock, us.folder.as_deref(), now);
        ending.end(id, lease)?;
        ending.finish()?;
        let Some(again) = Row::read(connection, id, now)? else { return Ok(Edited::Missing) };
        row = again;
    }
    if !matches!(row.state, MessageState::Ready | MessageState::Delayed) {
        return Ok(Edited::Not(row.state));
    }
    let queue = edit.queue.as_ref().unwrap_or(&row.queue);
    let moves = *queue != row.queue;
    let due = match edit.delay {
        None => row.due,
        Some(delay) => after(now, delay),
    };
    let state = if due.is_some() { MessageState::Delayed } else { MessageState::Ready };
    // A message that was ready and stays ready has waited all the time.
    let stays = edit.delay.is_none() || (row.state, state) == (MessageState::Ready, MessageState::Ready);
    let (due_since, since) = if stays { (row.due_since, row.since) } else { (due.unwrap_or(now), now) };
    let kind = if moves { counts::kind(connection, queue, &row.request_type)? } else { row.kind };
    let header =
        HeaderEdit { priority: edit.priority, delay: edit.delay.map(|_| (time(due.unwrap_or(now)), due.is_some())) };
    let text = header.apply(&row.text);
    connection
        .prepare_cached(
            "UPDATE message SET queue = ?2, kind = ?3, state = ?4, priority = coalesce(?5, priority), due = ?6,
                due_since = ?7, since = ?8, left_since = iif(?9, NULL, left_since), text = iif(?10, NULL, ?11)
             WHERE id = ?1",
        )?
        .execute(params![
            id,
            queue,
            kind,
            schema::code(state),
            edit.priority.map(Priority::get),
            due,
            due_since,
            since,
            moves,
            row.is_long,
            text,
        ])?;
    if row.is_long {
        connection.prepare_cached("UPDATE long_text SET text = ?2 WHERE id = ?1")?.execute(params![id, text])?;
    }
    let mut counts = Changes::default();
    counts.remove(row.kind, row.state);
    counts.add(kind, state);
    counts.write(connection)?;
    Ok(Edited::Changed)
}
