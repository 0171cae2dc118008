//! Counts the ready, delayed and buried messages of each kind in the table `kind`, so that no query has to count rows.
//! A kind is a request type in a queue.
//!
//! Reserved messages are counted only on request: there are never many, so neither a settlement nor a renewal has to
//! write a count.
//!
//! # Invariants
//! A change of a message's state is counted in the same transaction.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::activity::{self, Event, Events};
use crate::queue::MessageState;

/// Changes to the counts that are to be written.
#[derive(Debug, Default)]
pub(super) struct Changes(Vec<Change>);

#[derive(Debug)]
struct Change {
    kind: i64,
    ready: i64,
    delayed: i64,
    buried: i64,
    /// The events, for the numbers over time.
    events: Events,
}

impl Changes {
    /// Counts a message of this kind that enters the state.
    pub(super) fn add(&mut self, kind: i64, state: MessageState) {
        self.change(kind, state, 1);
    }

    /// Counts a message of this kind that leaves the state.
    pub(super) fn remove(&mut self, kind: i64, state: MessageState) {
        self.change(kind, state, -1);
    }

    /// Counts an event of a message of this kind at this time.
    pub(super) fn event(&mut self, kind: i64, event: Event, now: i64) {
        self.of(kind).events.add(event, now);
    }

    fn change(&mut self, kind: i64, state: MessageState, by: i64) {
        let change = self.of(kind);
        match state {
            MessageState::Ready => change.ready += by,
            MessageState::Delayed => change.delayed += by,
            MessageState::Buried => change.buried += by,
            MessageState::Reserved | MessageState::Done => {}
        }
    }

    fn of(&mut self, kind: i64) -> &mut Change {
        // There are few kinds at a time: a search costs less than a map.
        let place = self.0.iter().position(|change| change.kind == kind).unwrap_or_else(|| {
            self.0.push(Change { kind, ready: 0, delayed: 0, buried: 0, events: Events::default() });
            self.0.len() - 1
        });
        &mut self.0[place]
    }

    pub(super) fn write(self, connection: &Connection) -> rusqlite::Result<()> {
        self.0.iter().try_for_each(|change| change.write(connection))
    }
}

impl Change {
    fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let Self { kind, ready, delayed, buried, events } = self;
        if let Some(minute) = events.minute() {
            return activity::write(connection, *kind, (*ready, *delayed, *buried), events, minute);
        }
        if (*ready, *delayed, *buried) == (0, 0, 0) {
            return Ok(());
        }
        connection
            .prepare_cached(
                "UPDATE kind SET ready = ready + ?2, delayed = delayed + ?3, buried = buried + ?4 WHERE id = ?1",
            )?
            .execute(params![kind, ready, delayed, buried])
            .map(drop)
    }
}

/// Returns the number of this kind, and creates the kind if it is new.
pub(super) fn kind(connection: &Connection, queue: &str, request_type: &str) -> rusqlite::Result<i64> {
    let known = connection
        .prepare_cached("SELECT id FROM kind WHERE queue = ?1 AND request_type = ?2")?
        .query_row([queue, request_type], |row| row.get(0))
        .optional()?;
    match known {
        Some(kind) => Ok(kind),
        None => connection
            .prepare_cached("INSERT INTO kind(queue, request_type) VALUES (?1, ?2)")?
            .insert([queue, request_type]),
    }
}

/// Returns the queues that have had messages.
pub(super) fn queues(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    // From one to the next by the index, since each may have many kinds.
    let mut next = connection.prepare_cached("SELECT min(queue) FROM kind WHERE queue > ?1")?;
    let mut all: Vec<String> = Vec::new();
    while let Some(queue) =
        next.query_row([all.last().map_or("", String::as_str)], |row| row.get::<_, Option<String>>(0))?
    {
        all.push(queue);
    }
    Ok(all)
}
