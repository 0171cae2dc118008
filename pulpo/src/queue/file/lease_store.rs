//! Settles and leases in one transaction: the embedded queue's part in leasing ahead and deferred commits.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use rusqlite::Connection;

use super::activity::Event;
use super::cancel;
use super::counts::Changes;
use super::leases::expiry::{ClockReading, NextWaits};
use super::leases::lease::{self, lease};
use super::leases::process_lock::Run;
use super::limits::{self, Reach, Wanted};
use super::shared::Shared;
use super::storage::error::SqliteError;
use super::storage::values::time;
use super::storage::writer::Durability;
use super::{done, pauses};
use crate::queue::Lease;
use crate::queue::prefetch::{
    Availability, DeferredCommit, Exchange, Exchanged, LeaseRequest, LeaseStore, Offer, StoreError,
};

/// How often one claim searches all keys, before it lets other lanes go on.
const MOST_SEARCHES: u32 = 4;

impl LeaseStore for Arc<Shared> {
    type Tag = Run;
    type Error = SqliteError;

    fn exchange(&self, exchange: &Arc<Exchange<Run>>) -> Result<Exchanged<Run>, SqliteError> {
        let asked = ClockReading::of(&*self.clock);
        let number = self.next_lease();
        let (us, wanted) = (self.clone(), exchange.clone());
        let (exchanged, is_cut) = self.write(Durability::Lazy, move |connection| {
            // One set of counts for both, so that each kind is written once.
            let mut counts = Changes::default();
            let committed = commit(connection, &us, &wanted.commits, &mut counts)?;
            let (leased, is_cut) = match &wanted.lease {
                Some(request) => lease_next(connection, &us, request, asked, number, &mut counts)?,
                None => (Offer::NothingBefore(None), false),
            };
            counts.write(connection)?;
            Ok((Exchanged { committed, leased }, is_cut))
        })?;
        if !exchange.commits.is_empty() {
            self.runs_have_ended();
        }
        match &exchange.lease {
            Some(request) if is_cut => {
                // The commits are done, whatever becomes of the search.
                let leased = search_on(self, request, exchanged.leased).unwrap_or_else(|error| {
                    tracing::debug!(%error, "cannot search for a message that may start, trying again");
                    Offer::NothingBefore(Some(time(Shared::now(self))))
                });
                Ok(Exchanged { leased, ..exchanged })
            }
            _ => Ok(exchanged),
        }
    }

    fn release(&self, queues: &[String], leases: Vec<Lease>) -> Result<(), SqliteError> {
        let now = Shared::now(self);
        self.write(Durability::Lazy, move |connection| lease::release(connection, &leases, now))?;
        self.notify(queues);
        Ok(())
    }

    /// Reads without the write lock, which all processes share.
    fn availability(&self, request: &LeaseRequest) -> Result<Availability, SqliteError> {
        let LeaseRequest { queues, filter, .. } = request.clone();
        let now = Shared::now(self);
        self.try_read(move |connection| {
            let next = NextWaits::of(connection)?.first();
            let (queues, resumed) = pauses::leave_out(connection, &queues, now)?;
            let wanted = Wanted { at_once: 1, ahead: 0 };
            let picked = limits::next(connection, &queues, &filter, wanted, &Reach::All, now)?;
            let is_quiet = next.is_none_or(|next| next > now) && picked.ids.is_empty();
            let next = next.into_iter().chain(resumed).chain(picked.wake).min().map(time);
            Ok(if is_quiet { Availability::NothingBefore(next) } else { Availability::Unknown })
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

/// Returns for each done message whether its lease was still valid and it had not been cancelled.
fn commit(
    connection: &Connection,
    us: &Shared,
    commits: &[DeferredCommit<Run>],
    counts: &mut Changes,
) -> rusqlite::Result<Vec<bool>> {
    let now = if commits.is_empty() { 0 } else { us.now() };
    let kept_at = us.keeps_done().then_some(now);
    let mut committed = Vec::with_capacity(commits.len());
    // Messages that were leased together have one token, and are deleted together.
    for same in commits.chunk_by(|one, next| one.lease.token == next.lease.token && kept_at.is_none()) {
        let token = &*same[0].lease.token;
        let kinds: Vec<Option<i64>> = match same {
            [one] => {
                let end = done::End { outcome: done::End::DONE, result: one.result.as_deref(), kept_at };
                vec![done::end(connection, one.tag.message, token, end)?]
            }
            _ => {
                let ids: Vec<_> = same.iter().map(|commit| commit.tag.message).collect();
                let gone = done::delete_leased(connection, &ids, token, false)?;
                let kind = |id| gone.binary_search_by_key(id, |gone| gone.id).ok().map(|place| gone[place].kind);
                ids.iter().map(kind).collect()
            }
        };
        for (commit, kind) in same.iter().zip(kinds) {
            match kind {
                Some(kind) => counts.event(kind, Event::Done, now),
                None => drop(cancel::bury_marked(connection, commit.lease.id.as_str(), token, now)?),
            }
            committed.push(kind.is_some());
        }
    }
    Ok(committed)
}

/// Ends the delays and leases that are over, and leases the next messages.
fn lease_next(
    connection: &Connection,
    us: &Shared,
    request: &LeaseRequest,
    asked: ClockReading,
    number: u64,
    counts: &mut Changes,
) -> rusqlite::Result<(Offer<Run>, bool)> {
    // Taken only now, since other processes may have kept the database locked until here: a lease lasts its ttr from
    // this time.
    let expiry = us.lease_expiry.evaluate(asked, &*us.clock);
    let now = expiry.now();
    if expiry.apply(&us.lease_expiry, connection, &us.process_lock, us.folder.as_deref())? {
        us.maintenance.end_more_delays();
    }
    let (queues, resumed) = pauses::leave_out(connection, &request.queues, now)?;
    let wanted = Wanted { at_once: request.at_once, ahead: request.ahead };
    let picked = limits::next(connection, &queues, &request.filter, wanted, &us.search_points.reach(), now)?;
    us.search_points.note(&picked);
    if !picked.ids.is_empty() {
        let (leased, kinds) = lease(connection, &picked, request, (us.process_lock.id(), number), now, counts)?;
        picked.start(connection, &request.filter, &kinds, now)?;
        return Ok((Offer::Messages(leased), false));
    }
    if picked.waits_for_runs {
        us.waits_for_runs.store(true, Ordering::SeqCst);
    }
    let next = NextWaits::of(connection)?.next_check(now);
    Ok((Offer::NothingBefore(next.into_iter().chain(resumed).chain(picked.wake).min().map(time)), picked.is_cut))
}

/// Searches the keys that a claim has not reached, without the write lock, and claims again if one of them may start.
/// `offer` is what the claim has found: no message, and when to look again.
fn search_on(us: &Arc<Shared>, request: &LeaseRequest, mut offer: Offer<Run>) -> Result<Offer<Run>, SqliteError> {
    for _ in 0..MOST_SEARCHES {
        let Offer::NothingBefore(next) = offer else { break };
        let (now, LeaseRequest { queues, filter, .. }) = (Shared::now(us), request.clone());
        let picked = us.try_read(move |connection| {
            let (queues, _) = pauses::leave_out(connection, &queues, now)?;
            limits::next(connection, &queues, &filter, Wanted { at_once: 1, ahead: 0 }, &Reach::All, now)
        })?;
        us.search_points.note(&picked);
        if picked.ids.is_empty() {
            if picked.waits_for_runs {
                us.waits_for_runs.store(true, Ordering::SeqCst);
            }
            return Ok(Offer::NothingBefore(next.into_iter().chain(picked.wake.map(time)).min()));
        }
        let (asked, number) = (ClockReading::of(&*us.clock), us.next_lease());
        let (shared, request) = (us.clone(), request.clone());
        let (again, is_cut) = us.write(Durability::Lazy, move |connection| {
            let mut counts = Changes::default();
            let leased = lease_next(connection, &shared, &request, asked, number, &mut counts)?;
            counts.write(connection)?;
            Ok(leased)
        })?;
        if !is_cut {
            return Ok(again);
        }
        // Another process was faster.
        offer = Offer::NothingBefore(Some(time(now)));
    }
    Ok(offer)
}
