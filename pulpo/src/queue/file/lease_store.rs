//! Settles and leases in one transaction: what leasing ahead and deferred
//! commits need of the embedded queue.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::activity::Event;
use super::cancel;
use super::counts::Changes;
use super::error::SqliteError;
use super::grace::{self, NextWaits};
use super::lease::{self, lease};
use super::limits::{self, Wanted};
use super::process_lock::Run;
use super::shared::Shared;
use super::writer::Durability;
use super::{pauses, time};
use crate::queue::Lease;
use crate::queue::prefetch::{DeferredCommit, Exchange, Exchanged, LeaseRequest, LeaseStore, Look, Offer, StoreError};

impl LeaseStore for Arc<Shared> {
    type Tag = Run;
    type Error = SqliteError;

    fn exchange(&self, exchange: &Arc<Exchange<Run>>) -> Result<Exchanged<Run>, SqliteError> {
        let asked = grace::Moment::of(&*self.clock);
        let number = self.next_lease();
        let (us, exchange) = (self.clone(), exchange.clone());
        let has_commits = !exchange.commits.is_empty();
        let exchanged = self.write(Durability::Lazy, move |connection| {
            // Of both in one: a kind is written once.
            let mut counts = Changes::default();
            let committed = commit(connection, &us, &exchange.commits, &mut counts)?;
            let leased = match &exchange.lease {
                Some(request) => lease_next(connection, &us, request, asked, number, &mut counts)?,
                None => Offer::NothingBefore(None),
            };
            counts.write(connection)?;
            Ok(Exchanged { committed, leased })
        })?;
        if has_commits {
            self.runs_have_ended();
        }
        Ok(exchanged)
    }

    fn release(&self, queues: &[String], leases: Vec<Lease>) -> Result<(), SqliteError> {
        let now = Shared::now(self);
        self.write(Durability::Lazy, move |connection| lease::release(connection, &leases, now))?;
        self.notify(queues);
        Ok(())
    }

    /// Without the lock of the writer, which all processes share.
    fn look(&self, request: &LeaseRequest) -> Result<Look, SqliteError> {
        let LeaseRequest { queues, filter, .. } = request.clone();
        let now = Shared::now(self);
        self.try_read(move |connection| {
            let next = NextWaits::of(connection)?.first();
            let (queues, resumed) = pauses::leave_out(connection, &queues, now)?;
            let wanted = Wanted { at_once: 1, ahead: 0 };
            let picked = limits::next(connection, &queues, &filter, wanted, now)?;
            let is_quiet = next.is_none_or(|next| next > now) && picked.ids.is_empty();
            let next = next.into_iter().chain(resumed).chain(picked.wake).min().map(time);
            Ok(if is_quiet { Look::NothingBefore(next) } else { Look::Unknown })
        })
    }

    fn can_prefetch(&self) -> bool {
        self.process_lock.is_visible()
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn generation(&self) -> u64 {
        self.signal.generation()
    }

    fn wake_upkeep(&self) {
        self.maintenance.wake();
    }
}

impl StoreError for SqliteError {
    fn is_transient(&self) -> bool {
        self.is_transient()
    }
}

/// For each message that is done, whether its lease was still this one and
/// nobody has cancelled it.
fn commit(
    connection: &Connection,
    us: &Shared,
    commits: &[DeferredCommit<Run>],
    counts: &mut Changes,
) -> rusqlite::Result<Vec<bool>> {
    let now = if commits.is_empty() { 0 } else { us.now() };
    let archive_at = us.archive.then_some(now);
    let one = |commit: &DeferredCommit<Run>| {
        let kind = remove(connection, commit.tag.message, &commit.lease.token, "done", archive_at)?;
        match kind {
            Some(kind) => counts.event(kind, Event::Done, now),
            None => drop(cancel::bury_marked(connection, commit.lease.id.as_str(), &commit.lease.token, now)?),
        }
        Ok(kind.is_some())
    };
    commits.iter().map(one).collect()
}

/// Ends the waits that are over, and leases the next messages.
fn lease_next(
    connection: &Connection,
    us: &Shared,
    request: &LeaseRequest,
    asked: grace::Moment,
    number: u64,
    counts: &mut Changes,
) -> rusqlite::Result<Offer<Run>> {
    // Only now, since others may have kept the database locked meanwhile: a
    // lease lasts its ttr from here.
    let ends = us.grace.look(asked, &*us.clock);
    let now = ends.now();
    ends.apply(connection, &us.process_lock, us.folder.as_deref())?;
    let (queues, resumed) = pauses::leave_out(connection, &request.queues, now)?;
    let wanted = Wanted { at_once: request.at_once, ahead: request.ahead };
    let picked = limits::next(connection, &queues, &request.filter, wanted, now)?;
    if !picked.ids.is_empty() {
        let leased = lease(connection, &picked.ids, request, (us.process_lock.id(), number), now, counts)?;
        picked.start(connection, now)?;
        return Ok(Offer::Messages(leased));
    }
    if picked.waits_for_runs {
        us.waits_for_runs.store(true, Ordering::SeqCst);
    }
    let next = NextWaits::of(connection)?.next_look(now);
    Ok(Offer::NothingBefore(next.into_iter().chain(resumed).chain(picked.wake).min().map(time)))
}

/// Deletes a message that nobody has cancelled, and archives it at this time if
/// that is wanted. Returns its kind; `None` if nothing was deleted.
pub(super) fn remove(
    connection: &Connection,
    id: i64,
    token: &str,
    outcome: &str,
    archive_at: Option<i64>,
) -> rusqlite::Result<Option<i64>> {
    if let Some(now) = archive_at {
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO archive(id, queue, request_type, outcome, attempts, enqueued_at, archived_at, text)
                 SELECT id, queue, (SELECT request_type FROM kind WHERE kind.id = message.kind), ?3, attempts,
                    enqueued_at, ?4, coalesce(text, (SELECT text FROM long_text WHERE long_text.id = message.id), '')
                 FROM message WHERE id = ?1 AND lease = ?2 AND cancelled IS NULL",
            )?
            .execute(params![id, token, outcome, now])?;
    }
    // A reserved message is in no count.
    let removed: Option<(bool, i64)> = connection
        .prepare_cached(
            "DELETE FROM message WHERE id = ?1 AND lease = ?2 AND cancelled IS NULL RETURNING text IS NULL, kind",
        )?
        .query_row(params![id, token], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if removed.is_some_and(|(is_long, _)| is_long) {
        connection.prepare_cached("DELETE FROM long_text WHERE id = ?1")?.execute([id])?;
    }
    Ok(removed.map(|(_, kind)| kind))
}
