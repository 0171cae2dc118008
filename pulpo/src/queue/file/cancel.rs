//! Cancels messages on an operator's request.
//!
//! A waiting message is buried immediately. A running one is marked in its row. Whatever ends its lease (a settlement,
//! the end of its worker, or the expiry of the lease) leaves a marked message as it is and then buries it here, in the
//! same transaction.
//!
//! # Invariants
//! Only a leased message has a mark.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::counts::Changes;
use super::picked::Picked;
use super::{history, unique};
use crate::queue::{AttemptOutcome, CANCELLED, Cancelled, Filter, Lease, MessageState};

/// The condition for messages that can be cancelled.
pub(super) const NOT_BURIED: &str = "state <> 3";

/// The columns that burying a message sets.
macro_rules! bury {
    () => {
        "state = 3, due = NULL, lease = NULL, lease_ends = NULL, run = NULL, starts = NULL, cancelled = NULL,
            progress = NULL, progress_text = NULL, progress_at = NULL, last_error = ?2, last_error_at = ?3, since = ?3, left_since = NULL"
    };
}

/// Cancels the messages that match the filter.
pub(super) fn cancel(connection: &Connection, filter: &Filter, now: i64) -> rusqlite::Result<Cancelled> {
    let picked = Picked::new(filter, now).rows(connection, filter, NOT_BURIED)?;
    let mut mark = connection
        .prepare_cached("UPDATE message SET cancelled = coalesce(cancelled, ?2) WHERE id = ?1 AND lease_ends > ?2")?;
    let mut bury = connection.prepare_cached(concat!("UPDATE message SET ", bury!(), " WHERE id = ?1"))?;
    let mut counts = Changes::default();
    let mut cancelled = Cancelled::default();
    for (id, kind, state) in picked {
        if mark.execute([id, now])? > 0 {
            cancelled.running += 1;
            continue;
        }
        bury.execute(params![id, CANCELLED, now])?;
        unique::buried(connection, id)?;
        counts.remove(kind, state);
        counts.add(kind, MessageState::Buried);
        cancelled.buried += 1;
    }
    counts.write(connection)?;
    Ok(cancelled)
}

/// Buries the message of this lease if it is marked. Returns whether it was.
pub(super) fn bury_marked(connection: &Connection, id: &str, token: &str, now: i64) -> rusqlite::Result<bool> {
    let run = history::unreported(connection, id, token, AttemptOutcome::Cancelled, now)?;
    let buried = connection
        .prepare_cached(concat!(
            "UPDATE message SET runs = runs + 1, ",
            bury!(),
            " WHERE id = ?1 AND lease = ?4 AND cancelled IS NOT NULL RETURNING id, kind, runs"
        ))?
        .query_row(params![id, CANCELLED, now, token], |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((id, kind, runs)) = buried else { return Ok(false) };
    if let Some(run) = run {
        history::Ended { message: id, token, run, error: CANCELLED }.write(connection, runs)?;
    }
    unique::buried(connection, id)?;
    let mut counts = Changes::default();
    counts.add(kind, MessageState::Buried);
    counts.write(connection)?;
    Ok(true)
}

/// Returns which of these leases belong to marked messages. The whole queue rarely has any, and an index finds them.
pub(super) fn marked(connection: &Connection, leases: &[Lease]) -> rusqlite::Result<Vec<Lease>> {
    let mut marked = connection.prepare_cached("SELECT id, lease FROM message WHERE cancelled IS NOT NULL")?;
    let mut rows = marked.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, token): (i64, Option<String>) = (row.get(0)?, row.get(1)?);
        let (id, token) = (id.to_string(), token.unwrap_or_default());
        all.extend(leases.iter().find(|lease| lease.id.as_str() == id && *lease.token == *token).cloned());
    }
    Ok(all)
}
