//! How many messages of each kind are ready, delayed and buried: kept in the
//! table `kind`, so that nobody counts rows. A kind is a request type in a
//! queue.
//!
//! Those that are reserved are not counted here but when somebody asks: there
//! are never many, and so neither a settlement nor a renewal writes a count.
//!
//! # Invariants
//! Whatever changes the state of a message counts it in the same transaction.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::queue::MessageState;

/// Changes of counts that are to be written.
#[derive(Debug, Default)]
pub(super) struct Changes(Vec<Change>);

#[derive(Debug)]
struct Change {
    kind: i64,
    ready: i64,
    delayed: i64,
    buried: i64,
}

impl Changes {
    /// A message of this kind comes into the state.
    pub(super) fn add(&mut self, kind: i64, state: MessageState) {
        self.change(kind, state, 1);
    }

    /// A message of this kind leaves the state.
    pub(super) fn remove(&mut self, kind: i64, state: MessageState) {
        self.change(kind, state, -1);
    }

    fn change(&mut self, kind: i64, state: MessageState, by: i64) {
        // Few kinds at a time: a search costs less than a map.
        let place = self.0.iter().position(|change| change.kind == kind).unwrap_or_else(|| {
            self.0.push(Change { kind, ready: 0, delayed: 0, buried: 0 });
            self.0.len() - 1
        });
        match state {
            MessageState::Ready => self.0[place].ready += by,
            MessageState::Delayed => self.0[place].delayed += by,
            MessageState::Buried => self.0[place].buried += by,
            MessageState::Reserved => {}
        }
    }

    pub(super) fn write(self, connection: &Connection) -> rusqlite::Result<()> {
        let mut write = connection.prepare_cached(
            "UPDATE kind SET ready = ready + ?2, delayed = delayed + ?3, buried = buried + ?4 WHERE id = ?1",
        )?;
        self.0.iter().filter(|change| (change.ready, change.delayed, change.buried) != (0, 0, 0)).try_for_each(
            |change| write.execute(params![change.kind, change.ready, change.delayed, change.buried]).map(drop),
        )
    }
}

/// The number of this kind, which is made if it is new.
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
