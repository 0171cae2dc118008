//! Messages that were leased together for the lanes of this process.
//!
//! One lane fetches for all that wait. Where jobs are so short that the way to
//! the database is most of their cost, it fetches some more: as many as the
//! lanes work off in a few milliseconds, by what the last ones took. What is
//! not taken soon goes back, see `keeper.rs`.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use super::Shared;
use super::error::SqliteError;
use super::lease::{Leased, first_ready, lease};
use super::writer::Durability;
use super::{grace, pauses, picking};
use crate::clock::lock;
use crate::queue::{DequeueFilter, Lease};

/// How much work may lie ready at most: so long may another process wait for
/// it, and so late may an urgent message come.
const WORK_AHEAD: Duration = Duration::from_millis(5);

/// However short the jobs are.
const MOST_AHEAD: usize = 256;

/// What nobody has taken at so many looks of the keeper, a millisecond apart
/// or more, goes back: all lanes have become busy with something longer. Looks
/// and no time, since a machine that is busy elsewhere stops both.
const STALE: u32 = 10;

/// For the lanes that serve the same queues.
#[derive(Debug)]
pub(super) struct Stock {
    pub(super) queues: Arc<[String]>,
    shelf: Mutex<Shelf>,
    fetched: Condvar,
}

#[derive(Debug, Default)]
struct Shelf {
    leased: VecDeque<Leased>,
    /// One lane is fetching, and so many wait for what it brings.
    fetching: bool,
    waiting: usize,
    /// How often that ended, and how the last time.
    round: u64,
    last: Option<Result<Nothing, SqliteError>>,
    seats: usize,
    /// What a job takes a lane, in microseconds, on a moving average.
    mean: f64,
    /// How much was fetched ahead the last time.
    grown: usize,
    /// How often the keeper has looked since the last one was taken.
    looks: u32,
}

/// That no message is ready before some time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nothing {
    pub(super) next: Option<i64>,
    /// What was notified before the look.
    pub(super) seen: u64,
}

/// Messages, or none.
pub(super) type Found<T> = Result<T, Nothing>;

impl Stock {
    pub(super) fn new(queues: Arc<[String]>) -> Self {
        Self { queues, shelf: Mutex::default(), fetched: Condvar::new() }
    }

    pub(super) fn sit_down(&self) {
        lock(&self.shelf).seats += 1;
    }

    pub(super) fn stand_up(&self) {
        lock(&self.shelf).seats -= 1;
    }

    /// A lane was busy for so long with a job.
    pub(super) fn note(&self, took: Duration) {
        let mut shelf = lock(&self.shelf);
        let took = took.as_secs_f64() * 1e6;
        shelf.mean += (took - shelf.mean) / 8.0;
    }

    /// One that lies ready and fits; `None`: any.
    pub(super) fn pick(&self, shared: &Shared, wanted: Option<&DequeueFilter>) -> Option<Leased> {
        if self.is_empty() {
            return None;
        }
        let now = shared.now();
        let mut shelf = lock(&self.shelf);
        let place = match wanted {
            None => 0,
            Some(pick) => shelf.leased.iter().position(|leased| fits(leased, pick))?,
        };
        // The process may have been stopped for long: then it is given back.
        let age = now.saturating_sub(shelf.leased.get(place)?.since);
        let third = shelf.leased[place].delivery.ttr.as_micros() / 3;
        if i128::from(age) >= i128::try_from(third).unwrap_or(i128::MAX) {
            return None;
        }
        shelf.looks = 0;
        shelf.leased.remove(place)
    }

    /// The next one, fetched if none lies ready. `brisk`: the last job of this
    /// lane was so short that others may be fetched ahead.
    /// `looks_first`: there may be nothing.
    pub(super) fn take(
        &self,
        shared: &Arc<Shared>,
        brisk: bool,
        looks_first: bool,
    ) -> Result<Found<Leased>, SqliteError> {
        loop {
            if let Some(leased) = self.pick(shared, None) {
                return Ok(Ok(leased));
            }
            let mut shelf = lock(&self.shelf);
            if shelf.fetching {
                shelf.waiting += 1;
                let round = shelf.round;
                shelf = self
                    .fetched
                    .wait_while(shelf, |shelf| shelf.round == round)
                    .unwrap_or_else(PoisonError::into_inner);
                shelf.waiting -= 1;
                if !shelf.leased.is_empty() {
                    continue;
                }
                match &shelf.last {
                    Some(Ok(nothing)) => return Ok(Err(*nothing)),
                    Some(Err(error)) => return Err(error.clone()),
                    // Others were faster.
                    None => continue,
                }
            }
            let old = shelf.leased.drain(..).map(|leased| leased.delivery.lease).collect();
            shelf.fetching = true;
            let ahead = if brisk && shared.process_lock.is_visible() { shelf.allowance() } else { 0 };
            let wanted = 1 + shelf.waiting + ahead;
            drop(shelf);
            let fetching = Fetching { stock: self, outcome: None };
            shared.give_back(&self.queues, old)?;
            return fetching.end(shared, fetch(shared, &self.queues, DequeueFilter::all(), wanted, looks_first), ahead);
        }
    }

    /// What has lain ready for too long, at a look of the keeper.
    pub(super) fn take_stale(&self) -> Vec<Lease> {
        let mut shelf = lock(&self.shelf);
        if shelf.leased.is_empty() {
            return Vec::new();
        }
        shelf.looks += 1;
        if shelf.looks < STALE {
            return Vec::new();
        }
        shelf.grown = 0;
        shelf.leased.drain(..).map(|leased| leased.delivery.lease).collect()
    }

    /// All that lies ready.
    pub(super) fn clear(&self) -> Vec<Lease> {
        lock(&self.shelf).leased.drain(..).map(|leased| leased.delivery.lease).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.shelf).leased.is_empty()
    }
}

impl Shelf {
    /// How many to fetch ahead: twice as many as the last time, as long as it
    /// is little work.
    fn allowance(&self) -> usize {
        let work = WORK_AHEAD.as_secs_f64() * 1e6 * self.seats as f64 / self.mean.max(1.0);
        // As a float, so that it cannot overflow.
        let most = work.min(MOST_AHEAD as f64) as usize;
        most.min((self.grown * 2).max(8))
    }
}

fn fits(leased: &Leased, pick: &DequeueFilter) -> bool {
    let request_type = &*leased.request_type;
    pick.request_type.as_deref().is_none_or(|wanted| wanted == request_type)
        && !pick.except_types.iter().any(|except| except == request_type)
        && !pick.except_queues.contains(&leased.delivery.queue)
}

/// One lane's fetching: whatever becomes of it, the others hear of its end.
struct Fetching<'stock> {
    stock: &'stock Stock,
    outcome: Option<Result<Found<VecDeque<Leased>>, SqliteError>>,
}

impl Fetching<'_> {
    /// Keeps the first for this lane, and lays the others ready.
    fn end(
        mut self,
        shared: &Shared,
        fetched: Result<Found<Vec<Leased>>, SqliteError>,
        ahead: usize,
    ) -> Result<Found<Leased>, SqliteError> {
        let found = match fetched {
            Ok(Ok(leased)) => {
                let mut leased = VecDeque::from(leased);
                let mine = leased.pop_front().expect("what was found is at least one");
                if !leased.is_empty() {
                    let mut shelf = lock(&self.stock.shelf);
                    shelf.looks = 0;
                    shelf.grown = ahead.min(leased.len());
                    shared.keeper.start();
                }
                self.outcome = Some(Ok(Ok(leased)));
                Ok(mine)
            }
            Ok(Err(nothing)) => {
                self.outcome = Some(Ok(Err(nothing)));
                Err(nothing)
            }
            Err(error) => {
                self.outcome = Some(Err(error.clone()));
                return Err(error);
            }
        };
        Ok(found)
    }
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        let mut shelf = lock(&self.stock.shelf);
        shelf.fetching = false;
        shelf.round += 1;
        shelf.last = match self.outcome.take() {
            Some(Ok(Ok(leased))) => {
                shelf.leased.extend(leased);
                None
            }
            Some(Ok(Err(nothing))) => Some(Ok(nothing)),
            Some(Err(error)) => Some(Err(error)),
            // A panic, or an error before it began: each tries by itself.
            None => None,
        };
        self.stock.fetched.notify_all();
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
    let seen = shared.signal.seen();
    if looks_first && let Some(next) = look(shared, queues)? {
        return Ok(Err(Nothing { next, seen }));
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
        let ids = if pick.except_types.is_empty() && pick.except_queues.is_empty() {
            first_ready(connection, &queues, pick.request_type.as_deref(), most)?
        } else {
            picking::first(connection, &queues, &pick)?.into_iter().collect()
        };
        if !ids.is_empty() {
            return Ok(Ok(lease(connection, &ids, (us.process_lock.id(), number), now)?));
        }
        let due = next_due(connection)?;
        // What is over by now, and is not ended, is spared.
        let due = due.map(|due| if due > now { due } else { now + grace::SPARED });
        let next = due.into_iter().chain(resumed).min();
        Ok(Err(Nothing { next, seen }))
    })
}

/// Looks without the lock of the writer, which all processes share: whether
/// there is nothing to take and nothing to end, and then when there may be.
fn look(shared: &Arc<Shared>, queues: &Arc<[String]>) -> Result<Option<Option<i64>>, SqliteError> {
    let (queues, now) = (queues.clone(), shared.now());
    shared.try_read(move |connection| {
        let due = next_due(connection)?;
        let (queues, resumed) = pauses::leave_out(connection, &queues, now)?;
        let is_quiet = due.is_none_or(|due| due > now) && first_ready(connection, &queues, None, 1)?.is_empty();
        Ok(is_quiet.then(|| due.into_iter().chain(resumed).min()))
    })
}

/// When the first delay or lease ends.
fn next_due(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    connection.prepare_cached("SELECT min(until) FROM message WHERE until IS NOT NULL")?.query_row([], |row| row.get(0))
}
