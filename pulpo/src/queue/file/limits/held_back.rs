//! What is held back: request types and keys that a handler has told to wait.

use rusqlite::{Connection, params};

use crate::queue::LimitKeys;
use crate::queue::file::dequeue::ReadyKind;

/// The request types that are held back, and keys of them, each with the time until when.
#[derive(Debug)]
pub(super) struct HeldBack(Vec<(String, String, i64)>);

impl HeldBack {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn at(connection: &Connection, now: i64) -> rusqlite::Result<Self> {
        let mut held = connection.prepare_cached("SELECT request_type, key, until FROM held_back WHERE until > ?1")?;
        let rows = held.query_map([now], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect::<rusqlite::Result<_>>().map(Self)
    }

    pub(super) fn covers(&self, request_type: &str) -> bool {
        self.0.iter().any(|(held, _, _)| held == request_type)
    }

    pub(super) fn all_of(&self, request_type: &str) -> bool {
        self.0.iter().any(|(held, key, _)| held == request_type && key.is_empty())
    }

    pub(super) fn holds(&self, request_type: &str, limit_key: &str) -> bool {
        let (rate, running) = LimitKeys::split(limit_key);
        let hold_key = if rate.is_empty() { running } else { rate };
        self.0.iter().any(|(held, key, _)| held == request_type && key == hold_key)
    }

    pub(super) fn wake(&self, kinds: &[ReadyKind]) -> Option<i64> {
        let held = |(held, _, _): &&(String, String, i64)| kinds.iter().any(|kind| kind.request_type == *held);
        self.0.iter().filter(held).map(|(_, _, until)| *until).min()
    }
}

/// Holds back a request type, or one of its keys, until this time; `None` ends that.
pub(in crate::queue::file) fn hold_back(
    connection: &Connection,
    request_type: &str,
    key: &str,
    until: Option<i64>,
    now: i64,
) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM held_back WHERE until <= ?1")?.execute([now])?;
    match until {
        Some(until) => connection
            .prepare_cached("INSERT OR REPLACE INTO held_back(request_type, key, until) VALUES (?1, ?2, ?3)")?
            .execute(params![request_type, key, until]),
        None => connection
            .prepare_cached("DELETE FROM held_back WHERE request_type = ?1 AND key = ?2")?
            .execute([request_type, key]),
    }
    .map(drop)
}
