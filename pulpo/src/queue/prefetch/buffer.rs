//! The prefetch buffer: messages that were leased together for the lanes of this process.
//!
//! One lane fetches for all waiting lanes. If jobs are so short that the round trip to the queue is most of their cost,
//! it fetches some more: as many as the lanes process in a few milliseconds, judging by the duration of the last jobs.
//! Messages that are not taken soon go back.
//!
//! A lane that may not take everything fetches what it may take; from that, the others take what they may.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::deferred::DeferredCommits;
use super::store::{Availability, LeaseRequest, LeaseStore, Leased, Offer, StoreError as _, exchange};
use crate::queue::{DequeueFilter, Lease, Limit, LimitKind, LimitScope};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, lock, wait_while};

/// The maximum amount of work in the buffer. Another process may have to wait this long for it, and an urgent message
/// may be this late.
const WORK_AHEAD: Duration = Duration::from_millis(5);

/// The maximum number of messages that one fetch leases ahead, however short the jobs are. The buffer holds up to twice
/// as many: what one fetch brings lasts while a lane fetches the next.
const MAX_AHEAD: usize = 256;

/// Number of checks by the upkeep, at least a millisecond apart, after which an untaken message goes back: by then all
/// lanes have become busy with something longer. It counts checks instead of time, since a machine that is busy
/// elsewhere stops both.
const STALE: u32 = 10;

impl<T> Leased<T> {
    /// Returns whether the lease is so old that its heartbeat is due: the process may have been stopped.
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

/// The result of looking for a message.
#[derive(Debug)]
pub(crate) enum Found<L> {
    Leased(L),
    Nothing(Nothing),
}

/// The result of a lane's request.
pub(crate) type NextMessage<S> = Result<Found<Leased<<S as LeaseStore>::Tag>>, <S as LeaseStore>::Error>;

/// The result of a fetch by one lane for all.
pub(crate) type Fetched<S> = Result<Found<Vec<Leased<<S as LeaseStore>::Tag>>>, <S as LeaseStore>::Error>;

/// Records that no message is ready before some time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nothing {
    pub(crate) next: Option<DateTime<Utc>>,
    /// The notification count before the check.
    pub(crate) generation: u64,
}

/// A buffer for the lanes that serve the same queues.
pub(crate) struct PrefetchBuffer<S: LeaseStore> {
    pub(crate) queues: Arc<[String]>,
    state: Mutex<State<S>>,
    fetched: Condvar,
}

struct State<S: LeaseStore> {
    leased: VecDeque<Leased<S::Tag>>,
    /// Whether a lane is fetching; the others wait for its result.
    is_fetching: bool,
    waiting: usize,
    /// Number of fetches that have ended, and the result of the last one.
    round: u64,
    last: Option<Fruitless<S::Error>>,
    lanes: usize,
    /// Duration of a job in microseconds, as a moving average.
    mean: f64,
    /// Number of messages that the last fetch leased ahead.
    grown: usize,
    /// Number of messages below which a lane fetches while the others run those that are left.
    low: usize,
    /// Number of checks by the upkeep since the last message was taken.
    idle_checks: u32,
}

/// A fetch that found nothing, and its filter.
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
            low: 0,
            idle_checks: 0,
        };
        Self { queues, state: Mutex::new(state), fetched: Condvar::new() }
    }

    /// Adds a lane.
    pub(crate) fn enter(&self) {
        lock(&self.state).lanes += 1;
    }

    /// Removes a lane.
    pub(crate) fn leave(&self) {
        lock(&self.state).lanes -= 1;
    }

    /// Takes a message that matches, unless this lane should rather fetch. `may_prefetch`: the lane's last job was so
    /// short that more messages may be leased ahead. `took`: the duration of that job.
    pub(crate) fn try_take(
        &self,
        store: &S,
        filter: &DequeueFilter,
        may_prefetch: bool,
        took: Option<Duration>,
    ) -> Option<Leased<S::Tag>> {
        // The clock may be the user's, so read it outside the lock.
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

    /// Takes the next message that matches, and fetches if none is in the buffer. `checks_first`: there may be no
    /// message.
    pub(crate) fn take(
        &self,
        deferred: &DeferredCommits<S::Tag>,
        store: &S,
        filter: &DequeueFilter,
        may_prefetch: bool,
        checks_first: bool,
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
                    // Other lanes may have been faster, or the message does not match this lane.
                }
                Step::Fetch(Plan { old, at_once, ahead }) => {
                    drop(state);
                    let fetching = Fetching { buffer: self, filter, outcome: None };
                    if !old.is_empty() {
                        self.release_old(old, store)?;
                    }
                    let request = LeaseRequest { queues: self.queues.clone(), filter: filter.clone(), at_once, ahead };
                    let fetched = fetch(deferred, store, request, checks_first);
                    let found = fetching.end(fetched, Wanted { at_once, ahead }, store);
                    // It may have fetched early, and must not leave alone what other lanes are too busy to take.
                    if matches!(found, Ok(Found::Nothing(_))) {
                        let now = store.now();
                        if let Some(leased) = lock(&self.state).take_fitting(filter, now) {
                            return Ok(Found::Leased(leased));
                        }
                    }
                    return found;
                }
            }
        }
    }

    /// Gives back messages that are too old to be handed out. If that fails for now, they stay, and the upkeep tries
    /// again.
    fn release_old(&self, old: Vec<Leased<S::Tag>>, store: &S) -> Result<(), S::Error> {
        let leases = old.iter().map(|leased| leased.delivery.lease.clone()).collect();
        store.release(&self.queues, leases).inspect_err(|error| {
            if error.is_transient() {
                lock(&self.state).leased.extend(old);
                store.wake_upkeep();
            }
        })
    }

    /// Waits for the lane that is fetching; `Some` if its search had the same filter as this lane's and found nothing.
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

    /// Takes the messages that have been in the buffer for too long; called by the upkeep.
    pub(crate) fn take_stale(&self) -> Vec<Lease> {
        let mut state = lock(&self.state);
        if state.leased.is_empty() {
            return Vec::new();
        }
        state.idle_checks += 1;
        if state.idle_checks < STALE {
            return Vec::new();
        }
        (state.grown, state.low) = (0, 0);
        state.take_all()
    }

    /// Takes all messages in the buffer.
    pub(crate) fn take_all(&self) -> Vec<Lease> {
        lock(&self.state).take_all()
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.state).leased.is_empty()
    }

    /// Returns how many fetches have begun, and whether one is under way.
    pub(crate) fn fetches(&self) -> (u64, bool) {
        let State { round, is_fetching, .. } = *lock(&self.state);
        (round + u64::from(is_fetching), is_fetching)
    }
}

/// Returns whether what is leased counts towards a limit as a part of the run that the lane has in hand. Another lane
/// that took it from the buffer would start a run that no limit counts.
fn joins_a_run(filter: &DequeueFilter) -> bool {
    let is_of_another = |scope: &LimitScope| match (scope, &filter.request_type) {
        (LimitScope::Handler { names, .. }, Some(name)) => !names.contains(name),
        _ => false,
    };
    let applies = |limit: &Limit| matches!(limit.kind, LimitKind::Running(_)) && !is_of_another(&limit.scope);
    filter.joins.is_some() && filter.limits.iter().any(applies)
}

/// Returns whether two filters match the same messages.
fn admit_the_same(one: &DequeueFilter, other: &DequeueFilter) -> bool {
    (one.joins == other.joins || one.limits.is_empty())
        && one.request_type == other.request_type
        && one.except_types == other.except_types
        && one.except_queues == other.except_queues
}

/// The next step of a lane.
enum Step<T> {
    Take(Leased<T>),
    /// Wait: another lane is fetching.
    Wait,
    /// Fetch: it is this lane's turn.
    Fetch(Plan<T>),
}

/// What a fetch asks for.
#[derive(Clone, Copy)]
struct Wanted {
    at_once: usize,
    ahead: usize,
}

struct Plan<T> {
    /// Messages that are too old to be handed out, which go back first.
    old: Vec<Leased<T>>,
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
        // A message that this lane may not take waits for others, or the upkeep returns it; one that is too old goes
        // back now.
        let old = self.take_old(now);
        self.is_fetching = true;
        if joins_a_run(filter) {
            return Step::Fetch(Plan { old, at_once: 1, ahead: 0 });
        }
        let ahead = if may_prefetch { self.prefetch_limit() } else { 0 };
        // If it fetches early, the lanes that were woken take what is left. What is leased at once is for a lane that has
        // nothing: it counts as begun.
        let others = if place.is_some() { 0 } else { self.waiting };
        Step::Fetch(Plan { old, at_once: 1 + others, ahead })
    }

    /// Returns the position of the first message that matches.
    fn place(&self, filter: &DequeueFilter, now: DateTime<Utc>) -> Option<usize> {
        let place = self.leased.iter().position(|leased| leased.fits(filter))?;
        // The process may have been stopped for long: an old message is given back.
        self.leased.get(place).filter(|leased| !leased.is_old(now)).map(|_| place)
    }

    /// Takes the first message that matches.
    fn take_fitting(&mut self, filter: &DequeueFilter, now: DateTime<Utc>) -> Option<Leased<S::Tag>> {
        self.place(filter, now).and_then(|place| self.remove(place))
    }

    fn remove(&mut self, place: usize) -> Option<Leased<S::Tag>> {
        self.idle_checks = 0;
        self.leased.remove(place)
    }

    /// Returns whether so few messages are left that this lane fetches while the others run them; otherwise all would
    /// wait for the next fetch. A limited message is leased only when the buffer has none.
    fn is_low(&self, filter: &DequeueFilter, may_prefetch: bool) -> bool {
        may_prefetch
            && self.lanes > 1
            // If there is room for few, a fetch would cost more than it brings.
            && self.leased.len() < self.low.min(self.most() / 2)
            && filter.single_types.is_empty()
            && filter.single_queues.is_empty()
    }

    /// Records how long a lane was busy with a job.
    fn note(&mut self, took: Duration) {
        let took = took.as_secs_f64() * 1e6;
        self.mean += (took - self.mean) / 8.0;
    }

    /// Returns how many messages the buffer may hold.
    fn most(&self) -> usize {
        let work = WORK_AHEAD.as_secs_f64() * 1e6 * self.lanes as f64 / self.mean.max(1.0);
        // Computed as a float, so that it cannot overflow.
        work.min(2.0 * MAX_AHEAD as f64) as usize
    }

    /// Returns how many messages to fetch ahead: twice as many as the last time, as long as it is little work.
    fn prefetch_limit(&self) -> usize {
        self.most().saturating_sub(self.leased.len()).min((self.grown * 2).clamp(8, MAX_AHEAD))
    }

    /// Records what a fetch has brought. If it has brought all that was wanted, there is probably more, and the next one
    /// begins early: then it takes place while the other lanes run what is left, and not while all wait for it.
    fn note_fetched(&mut self, wanted: Wanted, others: usize) {
        if others > 0 {
            self.idle_checks = 0;
        }
        self.grown = wanted.ahead.min(others);
        let is_full = others + 1 >= wanted.at_once + wanted.ahead;
        self.low = if is_full { self.grown } else { self.grown / 4 };
    }

    /// Takes the messages whose leases are too old; leases in the buffer are not renewed.
    fn take_old(&mut self, now: DateTime<Utc>) -> Vec<Leased<S::Tag>> {
        let (old, young): (VecDeque<_>, _) = self.leased.drain(..).partition(|leased| leased.is_old(now));
        self.leased = young;
        old.into()
    }

    fn take_all(&mut self) -> Vec<Lease> {
        self.leased.drain(..).map(|leased| leased.delivery.lease).collect()
    }
}

/// A fetch by one lane. However it ends, the other lanes are notified.
struct Fetching<'a, S: LeaseStore> {
    buffer: &'a PrefetchBuffer<S>,
    filter: &'a DequeueFilter,
    outcome: Option<Fetched<S>>,
}

impl<S: LeaseStore> Fetching<'_, S> {
    /// Keeps the first message for this lane, and puts the others into the buffer.
    fn end(mut self, fetched: Fetched<S>, wanted: Wanted, store: &S) -> NextMessage<S> {
        match fetched {
            Ok(Found::Leased(mut leased)) => {
                let mine = leased.remove(0);
                let is_buffered = !leased.is_empty();
                lock(&self.buffer.state).note_fetched(wanted, leased.len());
                self.outcome = Some(Ok(Found::Leased(leased)));
                drop(self);
                // After the messages are in the buffer, or the upkeep finds nothing to look after.
                if is_buffered {
                    store.wake_upkeep();
                }
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
            Some(Ok(Found::Nothing(nothing))) => {
                // Lanes run what is left first, and do not each find out again that there is no more.
                (state.grown, state.low) = (0, 0);
                fruitless(Ok(nothing))
            }
            Some(Err(error)) => {
                (state.grown, state.low) = (0, 0);
                fruitless(Err(error))
            }
            // A panic, or an error before the fetch began: each lane tries alone.
            None => None,
        };
        if state.waiting > 0 {
            drop(state);
            self.buffer.fetched.notify_all();
        }
    }
}

/// Leases messages and carries out deferred commits, in one step.
pub(crate) fn fetch<S: LeaseStore>(
    deferred: &DeferredCommits<S::Tag>,
    store: &S,
    request: LeaseRequest,
    checks_first: bool,
) -> Fetched<S> {
    let generation = store.generation();
    if checks_first && let Availability::NothingBefore(next) = store.availability(&request)? {
        return Ok(Found::Nothing(Nothing { next, generation }));
    }
    Ok(match exchange(store, deferred.take(), Some(request))? {
        Offer::Messages(leased) => Found::Leased(leased),
        Offer::NothingBefore(next) => Found::Nothing(Nothing { next, generation }),
    })
}
