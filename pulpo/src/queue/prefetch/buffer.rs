//! The prefetch buffer: messages that were leased together for the lanes of
//! this process.
//!
//! One lane fetches for all that wait. Where jobs are so short that the way to
//! the queue is most of their cost, it fetches some more: as many as the lanes
//! work off in a few milliseconds, by what the last ones took. What is not
//! taken soon goes back.
//!
//! A lane that may not take everything fetches what it may take; the others
//! take of that what they may.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::deferred::DeferredCommits;
use super::{LeaseRequest, LeaseStore, Look, Offer, exchange};
use crate::queue::{Delivery, DequeueFilter, Lease};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, lock, wait_while};

/// How much work may lie ready at most: so long may another process wait for
/// it, and so late may an urgent message come.
const WORK_AHEAD: Duration = Duration::from_millis(5);

/// However short the jobs are.
const MAX_AHEAD: usize = 256;

/// What nobody has taken at so many looks of the upkeep, a millisecond apart
/// or more, goes back: all lanes have become busy with something longer. Looks
/// and no time, since a machine that is busy elsewhere stops both.
const STALE: u32 = 10;

/// A message that this process has leased.
#[derive(Clone, Debug)]
pub(crate) struct Leased<T> {
    pub(crate) delivery: Delivery,
    pub(crate) request_type: Arc<str>,
    pub(crate) leased_at: DateTime<Utc>,
    /// What its adapter keeps of the lease.
    #[cfg_attr(not(feature = "file"), allow(dead_code, reason = "for the embedded queue"))]
    pub(crate) tag: T,
}

impl<T> Leased<T> {
    /// Whether nobody has renewed it for so long that its heartbeat is due: the
    /// process may have been stopped.
    fn is_old(&self, now: DateTime<Utc>) -> bool {
        (now - self.leased_at).to_std().is_ok_and(|age| age >= self.delivery.ttr / 3)
    }

    fn fits(&self, filter: &DequeueFilter) -> bool {
        let request_type = &*self.request_type;
        filter.request_type.as_deref().is_none_or(|wanted| wanted == request_type)
            && !filter.except_types.iter().any(|except| except == request_type)
            && !filter.except_queues.contains(&self.delivery.queue)
    }
}

/// What a look has found.
#[derive(Debug)]
pub(crate) enum Found<L> {
    Leased(L),
    Nothing(Nothing),
}

/// What a lane gets.
pub(crate) type NextMessage<S> = Result<Found<Leased<<S as LeaseStore>::Tag>>, <S as LeaseStore>::Error>;

/// What one lane has fetched for all.
pub(crate) type Fetched<S> = Result<Found<Vec<Leased<<S as LeaseStore>::Tag>>>, <S as LeaseStore>::Error>;

/// That no message is ready before some time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nothing {
    pub(crate) next: Option<DateTime<Utc>>,
    /// What was notified before the look.
    pub(crate) generation: u64,
}

/// For the lanes that serve the same queues.
pub(crate) struct PrefetchBuffer<S: LeaseStore> {
    pub(crate) queues: Arc<[String]>,
    state: Mutex<State<S>>,
    fetched: Condvar,
}

struct State<S: LeaseStore> {
    leased: VecDeque<Leased<S::Tag>>,
    /// One lane is fetching, and this many wait for the result.
    is_fetching: bool,
    waiting: usize,
    /// How often that ended, and how the last time.
    round: u64,
    last: Option<Fruitless<S::Error>>,
    lanes: usize,
    /// What a job takes a lane, in microseconds, on a moving average.
    mean: f64,
    /// How much was fetched ahead the last time.
    grown: usize,
    /// How often the upkeep has looked since the last one was taken.
    looks: u32,
}

/// A fetch that brought nothing, and what it looked for.
struct Fruitless<E> {
    filter: DequeueFilter,
    found: Result<Nothing, E>,
}

impl<S: LeaseStore> PrefetchBuffer<S> {
    pub(crate) fn new(queues: Arc<[String]>) -> Self {
        let state = State {
            leased: VecDeque::new(),
            is_fetching: false,
            waiting: 0,
            round: 0,
            last: None,
            lanes: 0,
            mean: 0.0,
            grown: 0,
            looks: 0,
        };
        Self { queues, state: Mutex::new(state), fetched: Condvar::new() }
    }

    /// A lane comes.
    pub(crate) fn enter(&self) {
        lock(&self.state).lanes += 1;
    }

    /// A lane goes.
    pub(crate) fn leave(&self) {
        lock(&self.state).lanes -= 1;
    }

    /// One that lies ready and fits, unless this lane should rather fetch.
    /// `may_prefetch`: its last job was so short that others may be leased
    /// ahead. `took`: for how long it was busy with that job.
    pub(crate) fn try_take(
        &self,
        store: &S,
        filter: &DequeueFilter,
        may_prefetch: bool,
        took: Option<Duration>,
    ) -> Option<Leased<S::Tag>> {
        // A clock may be the user's, and is read outside of the lock.
        let now = store.now();
        let mut state = lock(&self.state);
        if let Some(took) = took {
            state.note(took);
        }
        let place = state.place(filter, now)?;
        if !state.is_fetching && state.is_low(filter, may_prefetch) {
            return None;
        }
        state.remove(place)
    }

    /// The next one that fits, fetched if none lies ready. `looks_first`: there
    /// may be nothing.
    pub(crate) fn take(
        &self,
        deferred: &DeferredCommits<S::Tag>,
        store: &S,
        filter: &DequeueFilter,
        may_prefetch: bool,
        looks_first: bool,
    ) -> NextMessage<S> {
        loop {
            let may_prefetch = may_prefetch && store.can_prefetch();
            let now = store.now();
            let mut state = lock(&self.state);
            match state.next_step(filter, may_prefetch, now) {
                Step::Take(leased) => return Ok(Found::Leased(leased)),
                Step::Wait => {
                    if let Some(found) = self.wait_for_the_others(state, filter) {
                        return found.map(Found::Nothing);
                    }
                    // Others may be faster, or it was for another lane.
                }
                Step::Fetch(Plan { old, at_once, ahead }) => {
                    drop(state);
                    let fetching = Fetching { buffer: self, filter, outcome: None };
                    if !old.is_empty() {
                        store.release(&self.queues, old)?;
                    }
                    let request = LeaseRequest { queues: self.queues.clone(), filter: filter.clone(), at_once, ahead };
                    let fetched = fetch(deferred, store, request, looks_first);
                    return fetching.end(fetched, ahead, store);
                }
            }
        }
    }

    /// Waits for the lane that is fetching; `Some` if it has looked for the
    /// same as this lane, in vain.
    fn wait_for_the_others(
        &self,
        mut state: MutexGuard<'_, State<S>>,
        filter: &DequeueFilter,
    ) -> Option<Result<Nothing, S::Error>> {
        state.waiting += 1;
        let round = state.round;
        state = wait_while(&self.fetched, state, |state| state.round == round);
        state.waiting -= 1;
        state.last.as_ref().filter(|last| admit_the_same(&last.filter, filter)).map(|last| last.found.clone())
    }

    /// What has lain ready for too long, at a look of the upkeep.
    pub(crate) fn take_stale(&self) -> Vec<Lease> {
        let mut state = lock(&self.state);
        if state.leased.is_empty() {
            return Vec::new();
        }
        state.looks += 1;
        if state.looks < STALE {
            return Vec::new();
        }
        state.grown = 0;
        state.take_all()
    }

    /// All that lies ready.
    pub(crate) fn take_all(&self) -> Vec<Lease> {
        lock(&self.state).take_all()
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.state).leased.is_empty()
    }
}

/// Whether what fits one filter fits the other one, and the reverse.
fn admit_the_same(one: &DequeueFilter, other: &DequeueFilter) -> bool {
    one.request_type == other.request_type
        && one.except_types == other.except_types
        && one.except_queues == other.except_queues
}

/// What a lane is to do.
enum Step<T> {
    Take(Leased<T>),
    /// Another lane is fetching.
    Wait,
    /// It is this lane's turn to fetch.
    Fetch(Plan),
}

struct Plan {
    /// What is too old to be handed out goes back before.
    old: Vec<Lease>,
    at_once: usize,
    ahead: usize,
}

impl<S: LeaseStore> State<S> {
    fn next_step(&mut self, filter: &DequeueFilter, may_prefetch: bool, now: DateTime<Utc>) -> Step<S::Tag> {
        let place = self.place(filter, now);
        if let Some(place) = place.filter(|_| self.is_fetching || !self.is_low(filter, may_prefetch))
            && let Some(leased) = self.remove(place)
        {
            return Step::Take(leased);
        }
        if self.is_fetching {
            return Step::Wait;
        }
        // What this lane may not take waits for others, and else goes back at a
        // look of the upkeep; what is too old goes back now.
        let old = self.take_old(now);
        self.is_fetching = true;
        let ahead = if may_prefetch { self.prefetch_limit() } else { 0 };
        Step::Fetch(Plan { old, at_once: 1 + self.waiting, ahead })
    }

    /// Where the first one is that fits.
    fn place(&self, filter: &DequeueFilter, now: DateTime<Utc>) -> Option<usize> {
        let place = self.leased.iter().position(|leased| leased.fits(filter))?;
        // The process may have been stopped for long: then it is given back.
        self.leased.get(place).filter(|leased| !leased.is_old(now)).map(|_| place)
    }

    fn remove(&mut self, place: usize) -> Option<Leased<S::Tag>> {
        self.looks = 0;
        self.leased.remove(place)
    }

    /// Whether so few are left that this lane fetches while the others do them:
    /// else all would wait for the next fetch. Of what is limited one is leased
    /// only when none lies ready.
    fn is_low(&self, filter: &DequeueFilter, may_prefetch: bool) -> bool {
        may_prefetch
            && self.lanes > 1
            && self.leased.len() < self.grown / 4
            && filter.single_types.is_empty()
            && filter.single_queues.is_empty()
    }

    /// Records how long a lane was busy with a job.
    fn note(&mut self, took: Duration) {
        let took = took.as_secs_f64() * 1e6;
        self.mean += (took - self.mean) / 8.0;
    }

    /// How many to fetch ahead: twice as many as the last time, as long as it
    /// is little work.
    fn prefetch_limit(&self) -> usize {
        let work = WORK_AHEAD.as_secs_f64() * 1e6 * self.lanes as f64 / self.mean.max(1.0);
        // As a float, so that it cannot overflow.
        let most = work.min(MAX_AHEAD as f64) as usize;
        most.min((self.grown * 2).max(8)).saturating_sub(self.leased.len())
    }

    /// Those whose leases nobody renews and that have come of age.
    fn take_old(&mut self, now: DateTime<Utc>) -> Vec<Lease> {
        let (old, young): (VecDeque<_>, _) = self.leased.drain(..).partition(|leased| leased.is_old(now));
        self.leased = young;
        old.into_iter().map(|leased| leased.delivery.lease).collect()
    }

    fn take_all(&mut self) -> Vec<Lease> {
        self.leased.drain(..).map(|leased| leased.delivery.lease).collect()
    }
}

/// One lane's fetching: whatever becomes of it, the others hear of its end.
struct Fetching<'a, S: LeaseStore> {
    buffer: &'a PrefetchBuffer<S>,
    filter: &'a DequeueFilter,
    outcome: Option<Fetched<S>>,
}

impl<S: LeaseStore> Fetching<'_, S> {
    /// Keeps the first for this lane, and lays the others ready.
    fn end(mut self, fetched: Fetched<S>, ahead: usize, store: &S) -> NextMessage<S> {
        match fetched {
            Ok(Found::Leased(mut leased)) => {
                let mine = leased.remove(0);
                if !leased.is_empty() {
                    let mut state = lock(&self.buffer.state);
                    state.looks = 0;
                    state.grown = ahead.min(leased.len());
                    drop(state);
                    store.wake_upkeep();
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

impl<S: LeaseStore> Drop for Fetching<'_, S> {
    fn drop(&mut self) {
        let mut state = lock(&self.buffer.state);
        state.is_fetching = false;
        state.round += 1;
        let fruitless = |found| Some(Fruitless { filter: self.filter.clone(), found });
        state.last = match self.outcome.take() {
            Some(Ok(Found::Leased(leased))) => {
                state.leased.extend(leased);
                None
            }
            Some(Ok(Found::Nothing(nothing))) => fruitless(Ok(nothing)),
            Some(Err(error)) => fruitless(Err(error)),
            // A panic, or an error before it began: each tries alone.
            None => None,
        };
        if state.waiting > 0 {
            drop(state);
            self.buffer.fetched.notify_all();
        }
    }
}

/// Leases what is asked for, and carries out what was deferred, in one step.
pub(crate) fn fetch<S: LeaseStore>(
    deferred: &DeferredCommits<S::Tag>,
    store: &S,
    request: LeaseRequest,
    looks_first: bool,
) -> Fetched<S> {
    let generation = store.generation();
    if looks_first && let Look::NothingBefore(next) = store.look(&request)? {
        return Ok(Found::Nothing(Nothing { next, generation }));
    }
    Ok(match exchange(store, deferred.take(), Some(request))? {
        Offer::Messages(leased) => Found::Leased(leased),
        Offer::NothingBefore(next) => Found::Nothing(Nothing { next, generation }),
    })
}
