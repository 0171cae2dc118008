//! The prefetch buffer: messages that were leased together for the lanes of
//! this process.
//!
//! One lane fetches for all that wait. Where jobs are so short that the way to
//! the database is most of their cost, it fetches some more: as many as the
//! lanes work off in a few milliseconds, by what the last ones took. What is
//! not taken soon goes back, see `keeper.rs`.
//!
//! A lane that may not take everything fetches what it may take; the others
//! take of that what they may.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::error::SqliteError;
use super::grace::NextWaits;
use super::lease::{Leased, lease};
use super::shared::Shared;
use super::writer::Durability;
use super::{dequeue, grace, pauses};
use crate::clock::lock;
use crate::queue::{DequeueFilter, Lease};

/// How much work may lie ready at most: so long may another process wait for
/// it, and so late may an urgent message come.
const WORK_AHEAD: Duration = Duration::from_millis(5);

/// However short the jobs are.
const MAX_AHEAD: usize = 256;

/// What nobody has taken at so many looks of the keeper, a millisecond apart
/// or more, goes back: all lanes have become busy with something longer. Looks
/// and no time, since a machine that is busy elsewhere stops both.
const STALE: u32 = 10;

/// For the lanes that serve the same queues.
#[derive(Debug)]
pub(super) struct PrefetchBuffer {
    pub(super) queues: Arc<[String]>,
    state: Mutex<State>,
    fetched: Condvar,
}

#[derive(Debug, Default)]
struct State {
    leased: VecDeque<Leased>,
    /// One lane is fetching, and so many wait for what it brings.
    is_fetching: bool,
    waiting: usize,
    /// How often that ended, and how the last time.
    round: u64,
    last: Option<(DequeueFilter, Result<Nothing, SqliteError>)>,
    lanes: usize,
    /// What a job takes a lane, in microseconds, on a moving average.
    mean: f64,
    /// How much was fetched ahead the last time.
    grown: usize,
    /// How often the keeper has looked since the last one was taken.
    looks: u32,
}

/// What a look has found.
#[derive(Debug)]
pub(super) enum Found<T = Leased> {
    Leased(T),
    Nothing(Nothing),
}

/// That no message is ready before some time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nothing {
    pub(super) next: Option<i64>,
    /// What was notified before the look.
    pub(super) seen: u64,
}

impl PrefetchBuffer {
    pub(super) fn new(queues: Arc<[String]>) -> Self {
        Self { queues, state: Mutex::default(), fetched: Condvar::new() }
    }

    /// A lane comes.
    pub(super) fn enter(&self) {
        lock(&self.state).lanes += 1;
    }

    /// A lane goes.
    pub(super) fn leave(&self) {
        lock(&self.state).lanes -= 1;
    }

    /// A lane was busy for so long with a job.
    pub(super) fn note(&self, took: Duration) {
        let mut state = lock(&self.state);
        let took = took.as_secs_f64() * 1e6;
        state.mean += (took - state.mean) / 8.0;
    }

    /// One that lies ready and fits.
    pub(super) fn pop(&self, shared: &Shared, pick: &DequeueFilter) -> Option<Leased> {
        if self.is_empty() {
            return None;
        }
        let now = shared.now();
        let mut state = lock(&self.state);
        let place = state.leased.iter().position(|leased| fits(leased, pick))?;
        // The process may have been stopped for long: then it is given back.
        let age = now.saturating_sub(state.leased.get(place)?.since);
        let third = state.leased[place].delivery.ttr.as_micros() / 3;
        if i128::from(age) >= i128::try_from(third).unwrap_or(i128::MAX) {
            return None;
        }
        state.looks = 0;
        state.leased.remove(place)
    }

    /// The next one that fits, fetched if none lies ready. `may_prefetch`: the
    /// last job of this lane was so short that others may be fetched ahead.
    /// `looks_first`: there may be nothing.
    pub(super) fn take(
        &self,
        shared: &Arc<Shared>,
        pick: &DequeueFilter,
        may_prefetch: bool,
        looks_first: bool,
    ) -> Result<Found, SqliteError> {
        loop {
            if let Some(leased) = self.pop(shared, pick) {
                return Ok(Found::Leased(leased));
            }
            let mut state = lock(&self.state);
            if state.is_fetching {
                state.waiting += 1;
                let round = state.round;
                state = self
                    .fetched
                    .wait_while(state, |state| state.round == round)
                    .unwrap_or_else(PoisonError::into_inner);
                state.waiting -= 1;
                match &state.last {
                    // What it looked for is what this lane looks for.
                    Some((of, ended)) if of == pick => return ended.clone().map(Found::Nothing),
                    // Others may be faster, or it was for another lane.
                    _ => continue,
                }
            }
            // What this lane may not take waits for others, and else goes back
            // at a look of the keeper; what is too old goes back now.
            let old = state.take_old(shared.now());
            state.is_fetching = true;
            let ahead = if may_prefetch && shared.process_lock.is_visible() { state.prefetch_limit() } else { 0 };
            let wanted = 1 + state.waiting + ahead;
            drop(state);
            let fetching = Fetching { buffer: self, pick, outcome: None };
            shared.give_back(&self.queues, old)?;
            return fetching.end(shared, fetch(shared, &self.queues, pick.clone(), wanted, looks_first), ahead);
        }
    }

    /// What has lain ready for too long, at a look of the keeper.
    pub(super) fn take_stale(&self) -> Vec<Lease> {
        let mut state = lock(&self.state);
        if state.leased.is_empty() {
            return Vec::new();
        }
        state.looks += 1;
        if state.looks < STALE {
            return Vec::new();
        }
        state.grown = 0;
        state.leased.drain(..).map(|leased| leased.delivery.lease).collect()
    }

    /// All that lies ready.
    pub(super) fn clear(&self) -> Vec<Lease> {
        lock(&self.state).leased.drain(..).map(|leased| leased.delivery.lease).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.state).leased.is_empty()
    }
}

impl State {
    /// How many to fetch ahead: twice as many as the last time, as long as it
    /// is little work.
    fn prefetch_limit(&self) -> usize {
        let work = WORK_AHEAD.as_secs_f64() * 1e6 * self.lanes as f64 / self.mean.max(1.0);
        // As a float, so that it cannot overflow.
        let most = work.min(MAX_AHEAD as f64) as usize;
        most.min((self.grown * 2).max(8)).saturating_sub(self.leased.len())
    }

    /// Those whose leases nobody renews and that have come of age.
    fn take_old(&mut self, now: i64) -> Vec<Lease> {
        let is_old = |leased: &Leased| {
            let third = i64::try_from(leased.delivery.ttr.as_micros() / 3).unwrap_or(i64::MAX);
            now.saturating_sub(leased.since) >= third
        };
        let (old, young) = self.leased.drain(..).partition(is_old);
        self.leased = young;
        let old: VecDeque<Leased> = old;
        old.into_iter().map(|leased| leased.delivery.lease).collect()
    }
}

fn fits(leased: &Leased, pick: &DequeueFilter) -> bool {
    let request_type = &*leased.request_type;
    pick.request_type.as_deref().is_none_or(|wanted| wanted == request_type)
        && !pick.except_types.iter().any(|except| except == request_type)
        && !pick.except_queues.contains(&leased.delivery.queue)
}

/// One lane's fetching: whatever becomes of it, the others hear of its end.
struct Fetching<'a> {
    buffer: &'a PrefetchBuffer,
    pick: &'a DequeueFilter,
    outcome: Option<Result<Found<VecDeque<Leased>>, SqliteError>>,
}

impl Fetching<'_> {
    /// Keeps the first for this lane, and lays the others ready.
    fn end(
        mut self,
        shared: &Shared,
        fetched: Result<Found<Vec<Leased>>, SqliteError>,
        ahead: usize,
    ) -> Result<Found, SqliteError> {
        match fetched {
            Ok(Found::Leased(leased)) => {
                let mut leased = VecDeque::from(leased);
                let mine = leased.pop_front().expect("what was found is at least one");
                if !leased.is_empty() {
                    let mut state = lock(&self.buffer.state);
                    state.looks = 0;
                    state.grown = ahead.min(leased.len());
                    shared.keeper.start();
                }
                self.outcome = Some(Ok(Found::Leased(leased)));
                Ok(Found::Leased(mine))
            }
            Ok(Found::Nothing(nothing)) => {
                self.outcome = Some(Ok(Found::Nothing(nothing)));
                Ok(Found::Nothing(nothing))
            }
            Err(error) => {
                self.outcome = Some(Err(error.clone()));
                Err(error)
            }
        }
    }
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.buffer.state);
        state.is_fetching = false;
        state.round += 1;
        state.last = match self.outcome.take() {
            Some(Ok(Found::Leased(leased))) => {
                state.leased.extend(leased);
                None
            }
            Some(Ok(Found::Nothing(nothing))) => Some((self.pick.clone(), Ok(nothing))),
            Some(Err(error)) => Some((self.pick.clone(), Err(error))),
            // A panic, or an error before it began: each tries alone.
            None => None,
        };
        self.buffer.fetched.notify_all();
    }
}

/// Ends the waits that are over, and leases up to so many messages, in one
/// transaction.
pub(super) fn fetch(
    shared: &Arc<Shared>,
    queues: &Arc<[String]>,
    pick: DequeueFilter,
    most: usize,
    looks_first: bool,
) -> Result<Found<Vec<Leased>>, SqliteError> {
    let seen = shared.signal.generation();
    if looks_first && let Some(next) = look(shared, queues, &pick)? {
        return Ok(Found::Nothing(Nothing { next, seen }));
    }
    let asked = grace::Moment::of(&*shared.clock);
    let number = shared.next_lease();
    let (queues, us) = (queues.clone(), shared.clone());
    shared.write(Durability::Lazy, move |connection| {
        // Only now, since others may have kept the database locked meanwhile:
        // a lease lasts its ttr from here.
        let ends = us.grace.look(asked, &*us.clock);
        let now = ends.now();
        ends.apply(connection, &us.process_lock, us.folder.as_deref())?;
        let (queues, resumed) = pauses::leave_out(connection, &queues, now)?;
        let ids = dequeue::next(connection, &queues, &pick, most)?;
        if !ids.is_empty() {
            return Ok(Found::Leased(lease(connection, &ids, (us.process_lock.id(), number), now)?));
        }
        let next = NextWaits::of(connection)?.next_look(now).into_iter().chain(resumed).min();
        Ok(Found::Nothing(Nothing { next, seen }))
    })
}

/// Looks without the lock of the writer, which all processes share: whether
/// there is nothing to take and nothing to end, and then when there may be.
fn look(
    shared: &Arc<Shared>,
    queues: &Arc<[String]>,
    pick: &DequeueFilter,
) -> Result<Option<Option<i64>>, SqliteError> {
    let (queues, pick, now) = (queues.clone(), pick.clone(), shared.now());
    shared.try_read(move |connection| {
        let next = NextWaits::of(connection)?.first();
        let (queues, resumed) = pauses::leave_out(connection, &queues, now)?;
        let is_quiet = next.is_none_or(|next| next > now) && dequeue::next(connection, &queues, &pick, 1)?.is_empty();
        Ok(is_quiet.then(|| next.into_iter().chain(resumed).min()))
    })
}
