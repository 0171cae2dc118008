//! Leasing messages and carrying out deferred commits, for all lanes of a
//! process.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::begun::{self, Tag};
use super::claim::{self, Claim, Claimed, NextWaits};
use super::claiming::Claiming;
use super::error::PostgresError;
use super::limits;
use super::settle::Commits;
use super::shared::Shared;
use super::values::number;
use crate::clock::Clock as _;
use crate::queue::Lease;
use crate::queue::prefetch::upkeep::Next;
use crate::queue::prefetch::{Availability, Exchange, Exchanged, LeaseRequest, LeaseStore, Offer};
use crate::sync::lock;

/// The shortest time between two statements that make delayed messages ready.
const PROMOTE_EVERY: Duration = Duration::from_millis(5);

/// The shortest time between two searches for leases that were not renewed,
/// unless one is known to have ended.
const END_SILENT_EVERY: Duration = Duration::from_millis(500);

/// The interval between two checks for runs to mark as begun, and the pause
/// after an error.
const MARK_EVERY: Duration = Duration::from_millis(5);
const MARK_AGAIN: Duration = Duration::from_millis(100);

/// The wait of the upkeep while there is nothing to do, until something wakes it.
const LONG: Duration = Duration::from_secs(3600);

/// Implemented for the shared pointer, since each thread settles and leases for
/// all.
impl LeaseStore for Arc<Shared> {
    /// The number of the message, and whether it was leased ahead.
    type Tag = Tag;
    type Error = PostgresError;

    fn exchange(&self, exchange: &Arc<Exchange<Tag>>) -> Result<Exchanged<Tag>, PostgresError> {
        let commits = Commits::of(&exchange.commits);
        if let Some(request) = &exchange.lease {
            let (committed, leased) = self.exchange_with(&commits, request)?;
            return Ok(Exchanged { committed, leased });
        }
        let archive = self.keeps_done();
        let committed = self.with(|connection| {
            let rows = connection.run(commits.sql(archive), &commits.parameters(archive))?;
            commits.answers(connection, &rows)
        })?;
        self.runs_have_ended();
        Ok(Exchanged { committed, leased: Offer::NothingBefore(None) })
    }

    fn release(&self, queues: &[String], leases: Vec<Lease>) -> Result<(), PostgresError> {
        let ids: Vec<_> = leases.iter().map(|lease| Some(number(lease.id.as_str()).unwrap_or(-1))).collect();
        let tokens: Vec<&str> = leases.iter().map(|lease| &*lease.token).collect();
        self.ask(|connection| claim::release(connection, &ids, &tokens))?;
        self.tell(queues.iter().cloned().collect());
        Ok(())
    }

    /// An idle process asks nothing: what was empty is still empty if no
    /// notification has come.
    fn availability(&self, request: &LeaseRequest) -> Result<Availability, PostgresError> {
        let generation = self.signal.generation();
        let empty = lock(&self.claiming).is_empty(request, generation, self.real.uptime());
        Ok(empty.map_or(Availability::Unknown, |until| Availability::NothingBefore(self.time_of(until))))
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn generation(&self) -> u64 {
        self.signal.generation()
    }

    fn wake_upkeep(&self) {
        self.upkeep.wake();
    }
}

impl Shared {
    /// Carries out commits, and leases the messages that are asked for.
    fn exchange_with(
        &self,
        commits: &Commits,
        request: &LeaseRequest,
    ) -> Result<(Vec<bool>, Offer<Tag>), PostgresError> {
        let mut claiming = lock(&self.claiming);
        // Read before the look, so that any later notification counts as new.
        let generation = self.signal.generation();
        let now = self.real.uptime();
        self.beat.check()?;
        self.release_orphans(&mut claiming)?;
        let promote = claiming.promoted.is_none_or(|at| now.saturating_sub(at) >= PROMOTE_EVERY);
        let over = claiming.lease_ends.is_some_and(|ends| ends <= now);
        let end_silent =
            over || claiming.ended_silent.is_none_or(|at| now.saturating_sub(at) >= claiming.end_silent_every);
        let token = self.token();
        let spared = end_silent.then(|| self.renewable_for());
        let archive = self.keeps_done();
        let parameters = commits.parameters(archive);
        let done = (!commits.is_empty()).then(|| (commits.sql(archive), parameters.as_slice()));
        let time = self.clock.now();
        let (mut claimed, mut silent) = (Ok(Claimed::default()), Vec::new());
        let mut claim = Claim::new(request, &token, claiming.held_back);
        let at_floor = claim.is_plain() && claiming.floors.hold(now);
        claim.floors = at_floor.then_some(&claiming.floors);
        let committed = self.with(|connection| {
            let (committed, ended, leased) = claim::exchange(connection, done, &claim, promote, spared, time);
            (claimed, silent) = (leased, ended);
            commits.answers(connection, &committed?)
        });
        self.have_failed(&silent, 1)?;
        let committed = match committed {
            Ok(committed) => committed,
            Err(error) => {
                // Each is a transaction of its own: no lane will receive the messages that the claim has leased.
                if claimed.as_ref().map_or_else(PostgresError::is_in_doubt, |claimed| !claimed.leased.is_empty()) {
                    claiming.orphans.push(token);
                }
                return Err(error);
            }
        };
        if !commits.is_empty() {
            self.runs_have_ended();
        }
        if promote {
            claiming.promoted = Some(now);
        }
        if end_silent {
            claiming.ended_silent = Some(now);
            // It walks over all dead rows, if vacuum cannot remove them.
            let took = self.real.uptime().saturating_sub(now);
            claiming.end_silent_every = (took * 20).clamp(END_SILENT_EVERY, 20 * END_SILENT_EVERY);
            claiming.lease_ends = None;
        }
        let from = (now, at_floor);
        match self.offer(&mut claiming, claimed, request, &token, generation, from) {
            Ok(offer) => Ok((committed, offer)),
            Err(error) if commits.is_empty() => Err(error),
            // The commits are done and must not be tried again. The next look
            // brings the error.
            Err(_) => Ok((committed, Offer::NothingBefore(Some(time)))),
        }
    }

    /// Returns what was claimed, or until when there will be nothing.
    fn offer(
        &self,
        claiming: &mut Claiming,
        mut claimed: Result<Claimed, PostgresError>,
        request: &LeaseRequest,
        token: &str,
        generation: u64,
        (mut since, mut at_floor): (Duration, bool),
    ) -> Result<Offer<Tag>, PostgresError> {
        loop {
            let now = self.real.uptime();
            let Claimed { leased, wake_in, waits_for_runs, firsts, walked } = match claimed {
                Ok(claimed) => claimed,
                Err(error) => {
                    self.note(Some(&error));
                    if error.is_in_doubt() {
                        claiming.orphans.push(token.to_owned());
                    }
                    return Err(error);
                }
            };
            if at_floor {
                claiming.floors.note(firsts, leased.len(), walked);
            } else if Claim::new(request, token, claiming.held_back).is_plain() {
                claiming.floors.note_front(firsts, leased.len(), walked, now, now.saturating_sub(since));
            }
            if !leased.is_empty() {
                let first = leased.iter().map(|one| one.delivery.ttr).min().map(|ttr| now.saturating_add(ttr));
                claiming.lease_ends = claiming.lease_ends.into_iter().chain(first).min();
                return Ok(Offer::Messages(leased));
            }
            if at_floor {
                // There may be messages at the front, whose turn comes then.
                let until = now.saturating_add(claiming.floors.left(now).max(Duration::from_millis(1)));
                let until = claiming.lease_ends.map_or(until, |ends| until.min(ends.max(now)));
                claiming.note_empty(request, generation, Some(until));
                return Ok(Offer::NothingBefore(self.time_of(Some(until))));
            }
            if waits_for_runs {
                self.waits_for_runs.store(true, Ordering::SeqCst);
            }
            let NextWaits { due, lease_ends, held_back } = self.with(NextWaits::of)?;
            if held_back && !std::mem::replace(&mut claiming.held_back, held_back) && request.filter.limits.is_empty() {
                // Messages that are not held back may start.
                let claim = Claim::new(request, token, held_back);
                (since, at_floor) = (self.real.uptime(), false);
                claimed =
                    self.with(|connection| claim::exchange(connection, None, &claim, false, None, self.clock.now()).2);
                continue;
            }
            claiming.held_back = held_back;
            let now = self.real.uptime();
            claiming.lease_ends = lease_ends.map(|ends| now.saturating_add(ends));
            // A lease that is over and was not ended is spared for now.
            let lease_ends = lease_ends.map(|ends| if ends.is_zero() { END_SILENT_EVERY } else { ends });
            let runs = waits_for_runs.then_some(limits::CHECK_AGAIN);
            let until = due.into_iter().chain(lease_ends).chain(wake_in).chain(runs).min();
            let until = until.map(|until| now.saturating_add(until.max(Duration::from_millis(1))));
            claiming.note_empty(request, generation, until);
            return Ok(Offer::NothingBefore(self.time_of(until)));
        }
    }

    /// Returns the time of day at this uptime.
    fn time_of(&self, uptime: Option<Duration>) -> Option<DateTime<Utc>> {
        let left = uptime?.saturating_sub(self.real.uptime());
        self.clock.now().checked_add_signed(chrono::TimeDelta::from_std(left).ok()?)
    }

    fn release_orphans(&self, claiming: &mut Claiming) -> Result<(), PostgresError> {
        if claiming.orphans.is_empty() {
            return Ok(());
        }
        let tokens: Vec<&str> = claiming.orphans.iter().map(String::as_str).collect();
        let ids = vec![None; tokens.len()];
        self.with(|connection| claim::release(connection, &ids, &tokens))?;
        claiming.orphans.clear();
        Ok(())
    }

    /// Starts the thread that carries out deferred commits, releases messages
    /// that no lane takes, and marks runs as begun.
    pub(super) fn start_upkeep(self: &Arc<Self>) {
        let (weak, thread) = (Arc::downgrade(self), self.threads.clone());
        let work = move || {
            let _thread = &thread;
            let Some(shared) = weak.upgrade() else { return Next::Never };
            let upkeep = shared.prefetch.run_upkeep(&shared);
            upkeep.into_iter().chain(shared.mark_begun()).min().map_or(Next::Wake(LONG), Next::After)
        };
        self.upkeep.start("pulpo-upkeep", work);
    }

    /// Marks lasting runs of messages that were leased ahead as begun. Returns
    /// when to look again, if any are left.
    fn mark_begun(&self) -> Option<Duration> {
        if !self.begun.any() {
            return None;
        }
        let mark = |ids: &[i64], tokens: &[&str]| self.ask(|connection| begun::mark(connection, ids, tokens));
        if let Err(error) = self.begun.mark(self.real.uptime(), mark) {
            tracing::debug!(%error, "cannot say that jobs have begun, trying again");
            return Some(MARK_AGAIN);
        }
        self.begun.any().then_some(MARK_EVERY)
    }
}
