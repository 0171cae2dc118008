//! Pauses queues. A paused queue hands out nothing; the pause is kept in the database, for all processes.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::storage::values::time;
use crate::queue::Paused;

/// Pauses the queue until this time, or resumes it.
pub(super) fn set(connection: &Connection, queue: &str, until: Option<i64>) -> rusqlite::Result<()> {
    match until {
        Some(until) => connection
            .prepare_cached("INSERT OR REPLACE INTO pause(queue, until) VALUES (?1, ?2)")?
            .execute(params![queue, until]),
        None => connection.prepare_cached("DELETE FROM pause WHERE queue = ?1")?.execute([queue]),
    }
    .map(drop)
}

/// Returns the queues that are paused now.
pub(super) fn all(connection: &Connection, now: i64) -> rusqlite::Result<Vec<Paused>> {
    connection
        .prepare_cached("SELECT queue, until FROM pause WHERE until > ?1 ORDER BY queue")?
        .query_map([now], |row| Ok(Paused::new(row.get::<_, String>(0)?, time(row.get(1)?))))?
        .collect()
}

/// Returns the queues that are not paused, and when the first of the others resumes.
pub(super) fn leave_out(
    connection: &Connection,
    queues: &Arc<[String]>,
    now: i64,
) -> rusqlite::Result<(Arc<[String]>, Option<i64>)> {
    if !connection.prepare_cached("SELECT 1 FROM pause")?.exists([])? {
        return Ok((queues.clone(), None));
    }
    let mut until = connection.prepare_cached("SELECT until FROM pause WHERE queue = ?1 AND until > ?2")?;
    let (mut open, mut next) = (Vec::new(), None::<i64>);
    for queue in queues.iter() {
        match until.query_row(params![queue, now], |row| row.get::<_, i64>(0)).optional()? {
            Some(until) => next = Some(next.map_or(until, |next| next.min(until))),
            None => open.push(queue.clone()),
        }
    }
    Ok((open.into(), next))
}
