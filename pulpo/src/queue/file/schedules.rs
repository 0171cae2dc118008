//! Stores the schedules of the embedded queue in a table of entries. A step and the messages that it publishes are one
//! transaction.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::FileQueue;
use super::enqueue::{insert, queues_of};
use super::storage::schema;
use super::storage::values::{micros, time};
use super::storage::writer::Durability;
use crate::message::MessageId;
use crate::queue::{
    MessageState, Occurrence, OccurrenceMessage, QueueError, ScheduleStep, ScheduleStore, Schedules, Stepped,
    StoredEntry,
};

impl ScheduleStore for FileQueue {
    fn read_schedules(&self) -> Result<Schedules, QueueError> {
        self.0.check()?;
        let now = time(self.0.now());
        self.0.read(move |connection| {
            super::storage::values::at_one_moment(connection, |connection| {
                Ok(Schedules::new(now, entries(connection)?, paused(connection)?))
            })
        })
    }

    fn step_schedule(&self, step: &ScheduleStep) -> Result<Stepped, QueueError> {
        self.0.check()?;
        let new: Vec<_> = step
            .occurrences
            .iter()
            .filter_map(|occurrence| match &occurrence.message {
                OccurrenceMessage::New(message) => Some(message.clone()),
                OccurrenceMessage::Published(_) => None,
            })
            .collect();
        // Only a step that publishes must survive a power cut; any other is simply repeated.
        let durability = if step.occurrences.is_empty() { Durability::Lazy } else { Durability::Synced };
        let (step, now) = (step.clone(), self.0.now());
        let stepped = self.0.writer.write(durability, move |connection| carry_out(connection, &step, now))?;
        if matches!(&stepped, Stepped::Done(ids) if ids.iter().any(Option::is_some)) {
            self.0.notify(&queues_of(&new));
        }
        Ok(stepped)
    }

    fn pause_schedule(&self, name: &str, paused: bool) -> Result<bool, QueueError> {
        self.0.check()?;
        let (name, now) = (name.to_owned(), self.0.now());
        self.0.writer.write(Durability::Synced, move |connection| {
            if paused {
                let insert = "INSERT OR IGNORE INTO schedule_pause(name, since) VALUES (?1, ?2)";
                return Ok(connection.prepare_cached(insert)?.execute(params![name, now])? == 0);
            }
            let was_paused =
                connection.prepare_cached("DELETE FROM schedule_pause WHERE name = ?1")?.execute([&name])? > 0;
            if was_paused {
                connection
                    .prepare_cached("UPDATE schedule SET settled = max(settled, ?2) WHERE name = ?1")?
                    .execute(params![name, now])?;
            }
            Ok(was_paused)
        })
    }

    fn forget_schedules(&self, unattended_for: Duration) -> Result<u64, QueueError> {
        self.0.check()?;
        let before = self.0.now().saturating_sub(i64::try_from(unattended_for.as_micros()).unwrap_or(i64::MAX));
        self.0.writer.write(Durability::Lazy, move |connection| {
            let removed = connection.prepare_cached("DELETE FROM schedule WHERE settled < ?1")?.execute([before])?;
            Ok(removed as u64)
        })
    }
}

fn entries(connection: &Connection) -> rusqlite::Result<Vec<StoredEntry>> {
    connection
        .prepare_cached("SELECT name, entry, settled, next, last, message FROM schedule ORDER BY name, entry")?
        .query_map([], |row| {
            let mut entry = StoredEntry::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?, time(row.get(2)?));
            entry.next = row.get::<_, Option<i64>>(3)?.map(time);
            entry.last = row.get::<_, Option<i64>>(4)?.map(time);
            entry.message = row.get::<_, Option<String>>(5)?.map(MessageId::from);
            Ok(entry)
        })?
        .collect()
}

fn paused(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare_cached("SELECT name FROM schedule_pause ORDER BY name")?
        .query_map([], |row| row.get(0))?
        .collect()
}

fn carry_out(connection: &Connection, step: &ScheduleStep, now: i64) -> rusqlite::Result<Stepped> {
    let ScheduleStep { name, text, from, to, next, occurrences, .. } = step;
    let (to, next) = (micros(*to), next.map(micros));
    let changed = match from {
        None => connection
            .prepare_cached("INSERT OR IGNORE INTO schedule(name, entry, settled, next) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![name, text, to, next])?,
        Some(from) => connection
            .prepare_cached(
                "UPDATE schedule SET settled = ?3, next = ?4 WHERE name = ?1 AND entry = ?2 AND settled = ?5",
            )?
            .execute(params![name, text, to, next, micros(*from)])?,
    };
    if changed == 0 {
        return Ok(Stepped::Beaten);
    }
    let ids = occurrences.iter().map(|occurrence| publish(connection, step, occurrence, now));
    Ok(Stepped::Done(ids.collect::<Result<_, _>>()?))
}

/// Publishes an occurrence, unless it is to be skipped, and returns its message.
fn publish(
    connection: &Connection,
    step: &ScheduleStep,
    occurrence: &Occurrence,
    now: i64,
) -> rusqlite::Result<Option<MessageId>> {
    let ScheduleStep { name, text, overlap, .. } = step;
    let at = micros(occurrence.at);
    let id = match &occurrence.message {
        OccurrenceMessage::Published(id) => id.clone(),
        OccurrenceMessage::New(_) if is_paused(connection, name)? || was_due(connection, name, text, at)? => {
            return Ok(None);
        }
        OccurrenceMessage::New(_) if !overlap && is_unfinished(connection, name)? => return Ok(None),
        OccurrenceMessage::New(message) => {
            insert(connection, std::slice::from_ref(message), now)?.pop().expect("one message has one id").id
        }
    };
    connection
        .prepare_cached("UPDATE schedule SET last = ?3, message = ?4 WHERE name = ?1 AND entry = ?2")?
        .execute(params![name, text, at, id.as_str()])?;
    Ok(Some(id))
}

fn is_paused(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM schedule_pause WHERE name = ?1")?.exists([name])
}

/// Returns whether another entry of this name had an occurrence at that time.
fn was_due(connection: &Connection, name: &str, text: &str, at: i64) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM schedule WHERE name = ?1 AND entry <> ?2 AND last = ?3")?
        .exists(params![name, text, at])
}

/// Returns whether the message of an occurrence of this name exists and is not buried.
fn is_unfinished(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let mut messages =
        connection.prepare_cached("SELECT message FROM schedule WHERE name = ?1 AND message IS NOT NULL")?;
    let mut state = connection.prepare_cached("SELECT state FROM message WHERE id = ?1")?;
    let mut rows = messages.query([name])?;
    while let Some(row) = rows.next()? {
        // The scheduler checks messages in other queues itself.
        let Some(id) = row.get::<_, String>(0)?.parse::<i64>().ok() else { continue };
        let state: Option<i64> = state.query_row([id], |row| row.get(0)).optional()?;
        if state.is_some_and(|state| state != schema::code(MessageState::Buried)) {
            return Ok(true);
        }
    }
    Ok(false)
}
