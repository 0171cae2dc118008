//! Stores new messages, and checks their unique keys and their outbox ids.

use std::collections::HashMap;

use rusqlite::Connection;

use super::counts::{self, Changes};
use super::unique::{self, Holder};
use super::{new, outbox_ids};
use crate::keys::{OnDuplicate, Publication};
use crate::message::MessageId;
use crate::queue::{Enqueued, NewMessage};

/// Returns the queues of these messages, each once.
pub(super) fn queues_of(messages: &[NewMessage]) -> Vec<String> {
    let mut queues: Vec<String> = Vec::new();
    for message in messages {
        if !queues.contains(&message.queue) {
            queues.push(message.queue.clone());
        }
    }
    queues
}

/// Stores new messages and returns what became of each. If one of them is rejected, all are; the result then names the
/// existing message that caused it.
pub(super) fn enqueue(
    connection: &Connection,
    messages: &[NewMessage],
    now: i64,
) -> rusqlite::Result<Result<Vec<Enqueued>, MessageId>> {
    match unique::rejection(connection, messages, now, None)? {
        Some(id) => Ok(Err(id)),
        None => insert(connection, messages, now).map(Ok),
    }
}

/// Stores new messages that have passed the check for rejection.
pub(super) fn insert(connection: &Connection, messages: &[NewMessage], now: i64) -> rusqlite::Result<Vec<Enqueued>> {
    let mut enqueued = Vec::with_capacity(messages.len());
    let mut counts = Changes::default();
    // The messages of a batch are mostly of one kind.
    let mut kind: Option<(&NewMessage, i64)> = None;
    // Maps each unique key to its message, in this batch or stored before.
    let mut holders: HashMap<String, i64> = HashMap::new();
    let mut left = messages;
    while let Some(message) = left.first() {
        let together = left.iter().take_while(|next| is_plain(next) && are_alike(message, next)).count();
        let (these, rest) = left.split_at(together.max(1));
        left = rest;
        if let Some(id) = outbox_ids::taken(connection, message)? {
            enqueued.push(Enqueued::new(id));
            continue;
        }
        let number = match kind.filter(|(last, _)| are_alike(last, message)) {
            Some((_, number)) => number,
            None => counts::kind(connection, &message.queue, &message.request_type)?,
        };
        kind = Some((message, number));
        if together > 0 {
            let inserted = |id: i64| enqueued.push(Enqueued::new(id.cast_unsigned()));
            new::insert_all(connection, these, number, now, &mut counts, inserted)?;
            continue;
        }
        let Some(unique) = &message.unique else {
            let id = new::insert(connection, message, number, now, &mut counts)?;
            outbox_ids::remember(connection, message, id)?;
            enqueued.push(Enqueued::new(id.cast_unsigned()));
            continue;
        };
        let columns = unique::Columns::of(&message.request_type, unique, now);
        let (id, publication) = match holders.get(&columns.key) {
            Some(id) => (*id, Publication::Kept),
            None => match Holder::find(connection, &columns, now)? {
                Some(holder) if holder.keeps(connection)? => {
                    let replaces = unique.on_duplicate == OnDuplicate::Replace && holder.waits;
                    if replaces {
                        new::replace(connection, holder.id, message, number, now, &mut counts)?;
                    }
                    (holder.id, if replaces { Publication::Replaced } else { Publication::Kept })
                }
                _ => {
                    let id = new::insert(connection, message, number, now, &mut counts)?;
                    columns.give(connection, id, now)?;
                    (id, Publication::New)
                }
            },
        };
        outbox_ids::remember(connection, message, id)?;
        holders.insert(columns.key, id);
        enqueued.push(Enqueued::duplicate(id.cast_unsigned(), publication));
    }
    counts.write(connection)?;
    Ok(enqueued)
}

/// Returns whether nothing has to be looked up before this message is inserted.
fn is_plain(message: &NewMessage) -> bool {
    message.unique.is_none() && message.outbox_id.is_none()
}

/// Returns whether both are of one kind.
fn are_alike(one: &NewMessage, other: &NewMessage) -> bool {
    one.queue == other.queue && one.request_type == other.request_type
}
