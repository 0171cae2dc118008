//! Request types that are held back, and keys of them, in the table `held_back`.

use std::cell::RefCell;
use std::collections::HashMap;

use rusqlite::{Connection, params};

use crate::queue::LimitKeys;
use crate::queue::file::dequeue::ReadyKind;

/// The condition for what is held back at the time `?1`. If it began more than a minute from now, the clock was set
/// back since then.
macro_rules! holds {
    () => {
        "until > ?1 AND until - length <= ?1 + 60000000"
    };
}

/// The types and keys that are held back now.
pub(super) struct HeldBack<'a> {
    connection: &'a Connection,
    now: i64,
    is_any: bool,
    /// Whether these keys of these request types are held back.
    known: RefCell<HashMap<(String, String), bool>>,
}

impl<'a> HeldBack<'a> {
    pub(super) fn at(connection: &'a Connection, now: i64) -> rusqlite::Result<Self> {
        let is_any = connection
            .prepare_cached(concat!("SELECT 1 FROM held_back WHERE ", holds!(), " LIMIT 1"))?
            .exists([now])?;
        Ok(Self { connection, now, is_any, known: RefCell::default() })
    }

    pub(super) fn is_any(&self) -> bool {
        self.is_any
    }

    /// Returns whether the request type, or any of its keys, is held back.
    pub(super) fn covers(&self, request_type: &str) -> rusqlite::Result<bool> {
        let any = concat!("SELECT 1 FROM held_back WHERE request_type = ?2 AND ", holds!(), " LIMIT 1");
        Ok(self.is_any && self.connection.prepare_cached(any)?.exists(params![self.now, request_type])?)
    }

    /// Returns whether all messages of this request type are held back.
    pub(super) fn all_of(&self, request_type: &str) -> rusqlite::Result<bool> {
        self.holds_key(request_type, "")
    }

    pub(super) fn holds(&self, request_type: &str, limit_key: &str) -> rusqlite::Result<bool> {
        let (rate, running) = LimitKeys::split(limit_key);
        self.holds_key(request_type, if rate.is_empty() { running } else { rate })
    }

    fn holds_key(&self, request_type: &str, key: &str) -> rusqlite::Result<bool> {
        if !self.is_any {
            return Ok(false);
        }
        let of = (request_type.to_owned(), key.to_owned());
        if let Some(known) = self.known.borrow().get(&of) {
            return Ok(*known);
        }
        let one = concat!("SELECT 1 FROM held_back WHERE request_type = ?2 AND key = ?3 AND ", holds!());
        let is_held = self.connection.prepare_cached(one)?.exists(params![self.now, request_type, key])?;
        self.known.borrow_mut().insert(of, is_held);
        Ok(is_held)
    }

    /// Returns when the first of what is held back of these kinds is free.
    pub(super) fn wake(&self, kinds: &[ReadyKind]) -> rusqlite::Result<Option<i64>> {
        if !self.is_any {
            return Ok(None);
        }
        let mut first = self
            .connection
            .prepare_cached(concat!("SELECT min(until) FROM held_back WHERE request_type = ?2 AND ", holds!()))?;
        let mut wake = None;
        for kind in kinds {
            let until: Option<i64> = first.query_row(params![self.now, kind.request_type], |row| row.get(0))?;
            wake = wake.into_iter().chain(until).min();
        }
        Ok(wake)
    }
}

/// Holds back a request type, or one of its keys, for this many microseconds. 0 ends that; without a key, it frees all
/// keys too.
pub(in crate::queue::file) fn hold_back(
    connection: &Connection,
    request_type: &str,
    key: &str,
    length: i64,
    now: i64,
) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM held_back WHERE until <= ?1")?.execute([now])?;
    if length > 0 {
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO held_back(request_type, key, until, length) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![request_type, key, now.saturating_add(length), length])
    } else {
        connection
            .prepare_cached("DELETE FROM held_back WHERE request_type = ?1 AND (key = ?2 OR ?2 = '')")?
            .execute([request_type, key])
    }
    .map(drop)
}
