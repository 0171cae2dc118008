//! A consumer of the embedded queue: takes messages and settles them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::activity::Event;
use super::cancel;
use super::counts::Changes;
use super::enqueue::{insert, queues_of};
use super::leases::process_lock::Run;
use super::shared::Shared;
use super::storage::schema;
use super::storage::values::after;
use super::storage::writer::Durability;
use super::{done, history, limits, unique};
use crate::clock::Clock as _;
use crate::queue::prefetch::{self, Availability, Found, Lane, LeaseRequest, Leased};
use crate::queue::{
    AttemptOutcome, Consumer, Delivery, DequeueFilter, FailedRun, Lease, MessageState, NewMessage, QueueError,
    Settlement,
};
use crate::sync::lock;

pub(super) struct FileConsumer {
    shared: Arc<Shared>,
    lane: Lane<Arc<Shared>>,
    interrupts: u64,
    /// The messages that were handed out and not settled, each with its slot in the run record.
    held: Vec<(Run, usize)>,
    /// Slots that are free.
    cells: Vec<usize>,
    /// When the last message was handed out, in real uptime.
    handed_out: Option<Duration>,
    /// Whether a free slot may still name a message whose commit was deferred.
    unsettled: bool,
}

impl FileConsumer {
    pub(super) fn new(shared: Arc<Shared>, queues: &Arc<[String]>) -> Self {
        let interrupts = shared.interrupts.load(Ordering::SeqCst);
        let lane = shared.prefetch.lane(queues);
        Self { shared, lane, interrupts, held: Vec::new(), cells: Vec::new(), handed_out: None, unsettled: false }
    }

    /// Returns the next matching message. `checks_first` checks whether there may be one before it takes the writer's
    /// lock.
    fn try_dequeue(&mut self, filter: &DequeueFilter, checks_first: bool) -> Result<Found<Leased<Run>>, QueueError> {
        let took = self.handed_out.take().map(|since| self.shared.real.uptime().saturating_sub(since));
        if let Some(leased) = self.lane.try_take(&self.shared, filter, took) {
            return Ok(Found::Leased(leased));
        }
        if std::mem::take(&mut self.unsettled) {
            self.hide_unused();
        }
        let found = self.lane.next(&self.shared.prefetch, &self.shared, filter, checks_first);
        found.map_err(|error| self.shared.error(error))
    }

    /// Clears the free slots, so that jobs that are done and not yet committed do not look as if they were running when
    /// the process dies.
    fn hide_unused(&self) {
        self.cells.iter().for_each(|cell| self.shared.process_lock.write_slot(*cell, None));
    }

    fn take(&mut self, filter: &DequeueFilter, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        self.shared.check()?;
        let clock = self.shared.clock.clone();
        // Read only if no message is there immediately.
        let mut end = None;
        let mut checks_first = false;
        loop {
            let nothing = match self.try_dequeue(filter, checks_first)? {
                Found::Leased(leased) => return Ok(Some(self.hand_out(leased))),
                Found::Nothing(nothing) => nothing,
            };
            let interrupts = self.shared.interrupts.load(Ordering::SeqCst);
            let uptime = clock.uptime();
            let left = end.get_or_insert(uptime.saturating_add(wait)).saturating_sub(uptime);
            if left.is_zero() || std::mem::replace(&mut self.interrupts, interrupts) != interrupts {
                return Ok(None);
            }
            let due = nothing.next.map(|next| {
                // A clock that was set back must not cause a busy loop.
                (next - clock.now()).to_std().unwrap_or_default().max(Duration::from_millis(1))
            });
            self.shared.listen(self.lane.queues());
            self.shared.signal.wait(nothing.generation, Some(due.map_or(left, |due| due.min(left))));
            // The notification may have been for another queue.
            checks_first = true;
        }
    }

    /// Hands out a message: from now on it counts as running.
    fn hand_out(&mut self, leased: Leased<Run>) -> Delivery {
        let cell = self.cells.pop().unwrap_or_else(|| self.shared.process_lock.new_slot());
        self.shared.process_lock.write_slot(cell, Some(leased.tag));
        self.held.push((leased.tag, cell));
        self.handed_out = Some(self.shared.real.uptime());
        leased.delivery
    }

    /// Returns the position of a lease among the messages that were handed out.
    fn place(&self, lease: &Lease) -> Option<usize> {
        let (_, number) = lease.token.rsplit_once('-')?;
        let run = Run { message: lease.id.as_str().parse().ok()?, lease: number.parse().ok()? };
        self.held.iter().position(|(held, _)| *held == run)
    }

    /// Forgets a message that is settled, or whose lease another worker has.
    fn let_go(&mut self, place: Option<usize>) -> Option<Run> {
        let (run, cell) = self.held.swap_remove(place?);
        self.shared.process_lock.free_slot(cell);
        self.cells.push(cell);
        Some(run)
    }

    /// Runs the statement that ends the lease, if the lease is still valid and the message is not cancelled. The first
    /// two parameters of the statement are the id and the token. `has_run`: whether a handler was called; if not, its start
    /// is given back.
    fn end_lease(
        &mut self,
        lease: &Lease,
        durability: Durability,
        has_run: bool,
        mut change: impl FnMut(&Connection, &str, &str) -> rusqlite::Result<usize> + Send + 'static,
    ) -> Result<(), QueueError> {
        self.shared.check()?;
        self.lane.was_long();
        let (wanted, shared) = (lease.clone(), self.shared.clone());
        let (ended, frees_start) = self
            .shared
            .write(durability, move |connection| {
                end_lease(connection, &shared, &wanted, has_run, |id, token| change(connection, id, token))
            })
            .map_err(|error| self.shared.error(error))?;
        self.let_go(self.place(lease));
        self.shared.runs_have_ended();
        if frees_start {
            self.shared.notify(self.lane.queues());
        }
        ended.into_result(lease)
    }

    /// Deletes the message and stores its follow-up messages in the same transaction, which is then as durable as any
    /// publication.
    fn remove(
        &mut self,
        lease: &Lease,
        outcome: &'static str,
        follow_ups: Vec<NewMessage>,
        result: Option<Arc<str>>,
    ) -> Result<(), QueueError> {
        self.shared.check()?;
        let now = self.shared.now();
        let kept_at = self.shared.keeps_done().then_some(now);
        let durability = if follow_ups.is_empty() { Durability::Lazy } else { Durability::Synced };
        let rejected = Arc::new(Mutex::new(None));
        let rejection = rejected.clone();
        let settled = self.end_lease(lease, durability, outcome == done::End::DONE, move |connection, id, token| {
            let Ok(id) = id.parse() else { return Ok(0) };
            // Checked before anything is written, so that there is nothing to undo.
            *lock(&rejection) = unique::rejection(connection, &follow_ups, now, Some(id))?;
            if lock(&rejection).is_some() {
                return Ok(0);
            }
            let mut counts = Changes::default();
            let end = done::End { outcome, result: result.as_deref(), kept_at };
            let Some(kind) = done::end(connection, id, token, end)? else { return Ok(0) };
            counts.event(kind, if outcome == done::End::DONE { Event::Done } else { Event::Expired }, now);
            counts.write(connection)?;
            insert(connection, &follow_ups, now)?;
            Ok(1)
        });
        let rejected = lock(&rejected).take();
        match (settled, rejected) {
            (Err(QueueError::LeaseLost { .. }), Some(id)) => Err(QueueError::Duplicate { id }),
            (settled, _) => settled,
        }
    }

    /// Makes the message ready again after `delay`. With `left`, it is left to other workers.
    fn put_back(
        &mut self,
        lease: &Lease,
        delay: Duration,
        reason: &str,
        (counted, has_run, run): (bool, bool, Option<FailedRun>),
        left: bool,
    ) -> Result<(), QueueError> {
        let now = self.shared.now();
        let put_back = PutBack::new(delay, reason, counted, run, left, now);
        self.end_lease(lease, Durability::Lazy, has_run, move |connection, id, token| {
            put_back.carry_out(connection, id, token)
        })?;
        self.shared.notify(self.lane.queues());
        Ok(())
    }

    /// Makes these messages ready again in one transaction, which waits once for other processes.
    fn put_all_back(&mut self, all: Vec<(Lease, bool, PutBack)>) -> Vec<Result<(), QueueError>> {
        self.lane.was_long();
        let leases: Vec<_> = all.iter().map(|(lease, ..)| lease.clone()).collect();
        let shared = self.shared.clone();
        let ended = self.shared.write(Durability::Lazy, move |connection| {
            let end = |(lease, has_run, put_back): &(Lease, bool, PutBack)| {
                let change = |id: &str, token: &str| put_back.carry_out(connection, id, token);
                end_lease(connection, &shared, lease, *has_run, change).map(|(ended, _)| ended)
            };
            all.iter().map(end).collect::<rusqlite::Result<Vec<_>>>()
        });
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) => return leases.iter().map(|_| Err(self.shared.error(error.clone()))).collect(),
        };
        for lease in &leases {
            self.let_go(self.place(lease));
        }
        self.shared.runs_have_ended();
        self.shared.notify(self.lane.queues());
        leases.iter().zip(ended).map(|(lease, ended)| ended.into_result(lease)).collect()
    }

    /// Defers the commit, to share it with other messages.
    fn defer_commit(&mut self, lease: &Lease, result: Option<Arc<str>>) -> Result<(), QueueError> {
        self.shared.check()?;
        let place = self.place(lease);
        if !self.shared.maintenance.runs() || place.is_none() {
            return self.remove(lease, done::End::DONE, Vec::new(), result);
        }
        let Some(run) = self.let_go(place) else {
            return self.remove(lease, done::End::DONE, Vec::new(), result);
        };
        if self.held.is_empty() {
            self.unsettled = true;
        } else {
            // Part of a batch: the next call may be a long time away.
            self.cells.last().iter().for_each(|cell| self.shared.process_lock.write_slot(**cell, None));
        }
        self.lane.defer_commit(&self.shared.prefetch, &self.shared, lease.clone(), run, result);
        Ok(())
    }

    fn bury(
        &mut self,
        lease: &Lease,
        reason: &str,
        (counted, has_run, run): (bool, bool, Option<FailedRun>),
    ) -> Result<(), QueueError> {
        let (now, reason) = (self.shared.now(), reason.to_owned());
        self.end_lease(lease, Durability::Lazy, has_run, move |connection, id, token| {
            let run = failed_run(connection, id, token, counted, run, now)?;
            let kind = connection
                .prepare_cached(
                    "UPDATE message SET state = 3, lease = NULL, lease_ends = NULL, run = NULL, starts = NULL,
                        attempts = attempts + ?5, last_error = ?3, last_error_at = ?4, since = ?4, left_since = NULL, runs = runs + ?6,
                        progress = NULL, progress_text = NULL, progress_at = NULL
                     WHERE id = ?1 AND lease = ?2 AND cancelled IS NULL RETURNING kind, key_mode, runs",
                )?
                .query_row(params![id, token, reason, now, counted, run.is_some()], kind_mode_and_runs)
                .optional()?;
            if let (Some((_, mode, runs)), Ok(id)) = (kind, id.parse()) {
                if mode.is_some() {
                    unique::buried(connection, id)?;
                }
                if let Some(run) = run {
                    history::Ended { message: id, token, run, error: &reason }.write(connection, runs)?;
                }
            }
            count_settled(connection, kind, MessageState::Buried, Some(Event::Buried), now)
        })
    }
}

/// How an attempt to end a lease turned out.
enum Ended {
    Settled,
    /// The message had been cancelled, and is now buried.
    Cancelled,
    Lost,
}

impl Ended {
    fn into_result(self, lease: &Lease) -> Result<(), QueueError> {
        match self {
            Self::Settled => Ok(()),
            Self::Cancelled => Err(QueueError::Cancelled { id: lease.id.clone() }),
            Self::Lost => Err(QueueError::LeaseLost { id: lease.id.clone() }),
        }
    }
}

/// Makes the change that ends this lease, if the lease is still valid and the message is not cancelled. Returns whether
/// the start of the run was given back, too.
fn end_lease(
    connection: &Connection,
    shared: &Shared,
    lease: &Lease,
    has_run: bool,
    change: impl FnOnce(&str, &str) -> rusqlite::Result<usize>,
) -> rusqlite::Result<(Ended, bool)> {
    let (id, token) = (lease.id.as_str(), &*lease.token);
    let frees_start = !has_run && limits::give_back(connection, id, token)?;
    if change(id, token)? > 0 {
        return Ok((Ended::Settled, frees_start));
    }
    let is_cancelled = cancel::bury_marked(connection, id, token, shared.now())?;
    Ok((if is_cancelled { Ended::Cancelled } else { Ended::Lost }, frees_start))
}

/// How to make a message ready again.
struct PutBack {
    state: MessageState,
    due: Option<i64>,
    reason: String,
    counted: bool,
    run: Option<FailedRun>,
    /// Whether it is left to other workers.
    left: bool,
    now: i64,
}

impl PutBack {
    fn new(delay: Duration, reason: &str, counted: bool, run: Option<FailedRun>, left: bool, now: i64) -> Self {
        let due = after(now, delay);
        let state = if due.is_some() { MessageState::Delayed } else { MessageState::Ready };
        Self { state, due, reason: reason.to_owned(), counted, run, left, now }
    }

    fn carry_out(&self, connection: &Connection, id: &str, token: &str) -> rusqlite::Result<usize> {
        let Self { state, due, ref reason, counted, run, left, now } = *self;
        let run = failed_run(connection, id, token, counted, run, now)?;
        let kind = connection
            .prepare_cached(
                "UPDATE message SET state = ?3, due = ?4, lease = NULL, lease_ends = NULL, run = NULL, starts = NULL,
                    attempts = attempts + ?5, last_error = ?6, last_error_at = ?7, since = ?7,
                    left_since = iif(?8, coalesce(left_since, ?7), NULL), runs = runs + ?9,
                    progress = NULL, progress_text = NULL, progress_at = NULL
                 WHERE id = ?1 AND lease = ?2 AND cancelled IS NULL RETURNING kind, key_mode, runs",
            )?
            .query_row(
                params![id, token, schema::code(state), due, counted, reason, now, left, run.is_some()],
                kind_mode_and_runs,
            )
            .optional()?;
        if let (Some((_, mode, runs)), Ok(id)) = (kind, id.parse()) {
            if mode == Some(unique::WAITING) {
                unique::waits_again(connection, id)?;
            }
            if let Some(run) = run {
                history::Ended { message: id, token, run, error: reason }.write(connection, runs)?;
            }
        }
        count_settled(connection, kind, state, counted.then_some(Event::Failed), now)
    }
}

/// Returns the run to record in the history, if any.
fn failed_run(
    connection: &Connection,
    id: &str,
    token: &str,
    counted: bool,
    run: Option<FailedRun>,
    now: i64,
) -> rusqlite::Result<Option<FailedRun>> {
    match run {
        None if counted => history::unreported(connection, id, token, AttemptOutcome::Failed, now),
        run => Ok(run),
    }
}

/// Reads the kind of a message, how long its unique key is taken, and how many of its runs have failed.
fn kind_mode_and_runs(row: &Row<'_>) -> rusqlite::Result<(i64, Option<i64>, i64)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

/// Counts a message that was reserved and is now in this state, if there was one. Returns how many there were.
fn count_settled(
    connection: &Connection,
    kind: Option<(i64, Option<i64>, i64)>,
    state: MessageState,
    event: Option<Event>,
    now: i64,
) -> rusqlite::Result<usize> {
    let Some((kind, ..)) = kind else { return Ok(0) };
    let mut counts = Changes::default();
    counts.add(kind, state);
    event.into_iter().for_each(|event| counts.event(kind, event, now));
    counts.write(connection)?;
    Ok(1)
}

impl Drop for FileConsumer {
    fn drop(&mut self) {
        if self.shared.check().is_ok() {
            self.lane.leave();
        }
    }
}

impl Consumer for FileConsumer {
    fn dequeue(&mut self, filter: &DequeueFilter, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        self.take(filter, wait)
    }

    fn next_start(&mut self, filter: &DequeueFilter) -> Result<Option<DateTime<Utc>>, QueueError> {
        self.shared.check()?;
        let (queues, filter) = (self.lane.queues().clone(), filter.clone());
        let request = LeaseRequest { queues, filter, at_once: 1, ahead: 0 };
        let availability = prefetch::LeaseStore::availability(&self.shared, &request);
        match availability.map_err(|error| self.shared.error(error))? {
            Availability::NothingBefore(next) => Ok(next),
            Availability::Unknown => Ok(Some(self.shared.clock.now())),
        }
    }

    fn settle(&mut self, lease: &Lease, settlement: &mut Settlement) -> Result<(), QueueError> {
        match settlement {
            Settlement::Commit { follow_ups, result, deferrable: true } if follow_ups.is_empty() => {
                self.defer_commit(lease, result.clone())
            }
            Settlement::Commit { follow_ups, result, .. } => {
                let queues = queues_of(follow_ups);
                self.remove(lease, done::End::DONE, follow_ups.clone(), result.clone())?;
                follow_ups.clear();
                if !queues.is_empty() {
                    self.shared.notify(&queues);
                }
                Ok(())
            }
            Settlement::Expire => self.remove(lease, done::End::EXPIRED, Vec::new(), None),
            Settlement::Rollback { delay, reason, counted, ran, run } => {
                self.put_back(lease, *delay, reason, (*counted, *ran, *run), false)
            }
            Settlement::LeaveToOthers { delay, reason } => {
                self.put_back(lease, *delay, reason, (false, false, None), true)
            }
            Settlement::Bury { reason, counted, ran, run } => self.bury(lease, reason, (*counted, *ran, *run)),
        }
    }

    fn settle_all(&mut self, all: &mut [(Lease, Settlement)]) -> Vec<Result<(), QueueError>> {
        let now = self.shared.now();
        let put_back = |(lease, settlement): &(Lease, Settlement)| match settlement {
            Settlement::Rollback { delay, reason, counted, ran, run } => {
                Some((lease.clone(), *ran, PutBack::new(*delay, reason, *counted, *run, false, now)))
            }
            _ => None,
        };
        match all.iter().map(put_back).collect::<Option<Vec<_>>>() {
            Some(put_back) if put_back.len() > 1 && self.shared.check().is_ok() => self.put_all_back(put_back),
            _ => all.iter_mut().map(|(lease, settlement)| self.settle(lease, settlement)).collect(),
        }
    }

    fn touch(&mut self, leases: &[Lease]) -> Result<Vec<Lease>, QueueError> {
        self.shared.check()?;
        let (shared, wanted) = (self.shared.clone(), leases.to_vec());
        let lost = self.shared.write(Durability::Lazy, move |connection| {
            // A lease lasts from the time of its renewal, not from when that was due.
            let now = shared.now();
            let mut renew = connection
                .prepare_cached("UPDATE message SET lease_ends = ?3 + ttr * 1000 WHERE id = ?1 AND lease = ?2")?;
            let mut lost = Vec::new();
            for lease in &wanted {
                if renew.execute(params![lease.id.as_str(), &*lease.token, now])? == 0 {
                    lost.push(lease.clone());
                }
            }
            Ok(lost)
        });
        lost.map_err(|error| self.shared.error(error))
    }

    fn flush(&mut self) -> Result<(), QueueError> {
        self.shared.check()?;
        if std::mem::take(&mut self.unsettled) {
            self.hide_unused();
        }
        let Shared { prefetch, .. } = &*self.shared;
        prefetch
            .flush(&self.shared)
            .and_then(|()| prefetch.release(&self.shared, self.lane.queues(), self.lane.take_all()))
            .map_err(|error| self.shared.error(error))
    }

    fn take_lost_leases(&mut self) -> Vec<Lease> {
        if !self.lane.any_lost() || self.shared.check().is_err() {
            return Vec::new();
        }
        self.lane.take_lost_leases()
    }
}

#[cfg(test)]
mod tests;
