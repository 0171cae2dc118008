//! A queue adapter as you would write it: for a store that pulpo does not know.
//!
//! This one keeps messages in a vector, which is gone with the process. It is
//! all that an adapter takes: three traits. What each method must do is in the
//! documentation of [`QueueAdapter`], [`Inspection`] and [`Consumer`], and
//! whether it does, the conformance suite says (`examples/tests/queue_adapter.rs`).
//!
//! An adapter decides nothing. When a message is tried again, after which time,
//! and when it is given up, comes from the worker; the adapter keeps messages
//! in order, hands each out to one consumer at a time, and takes it back if the
//! consumer falls silent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use pulpo::MessageId;
use pulpo::clock::{Clock, Notify};
use pulpo::queue::{
    Capabilities, Consumer, Counts, Delivery, DequeueFilter, Enqueued, Filter, Inspection, Lease, MessageState,
    NewMessage, QueueAdapter, QueueError, Settlement, Stats, StoredMessage, Totals, enqueue_follow_ups,
};

/// A queue in a vector. Cheap to clone: all clones are one queue.
#[derive(Clone, Debug)]
pub struct Line(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The time comes from outside, so that tests can move it.
    clock: Arc<dyn Clock>,
    /// Who waits for a message waits here.
    signal: Arc<Notify>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// In the order of their ids, which are their places from 1 on.
    messages: Vec<Option<Kept>>,
    leases: u64,
    interrupts: u64,
}

#[derive(Debug)]
struct Kept {
    new: NewMessage,
    state: MessageState,
    /// When it came into this state.
    since: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
    /// Which delivery has it. The next one has another number, so that a
    /// consumer that comes too late cannot settle what is not its own.
    lease: u64,
    attempts: u32,
    /// Those of them whose consumer fell silent.
    abandoned: u32,
    enqueued_at: DateTime<Utc>,
    due_since: DateTime<Utc>,
}

impl Line {
    /// An empty queue that goes by this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let signal = Notify::new(clock.clone());
        Self(Arc::new(Shared { clock, signal, inner: Mutex::default() }))
    }

    /// The messages as they are now: what was delayed until now is ready, and
    /// so is what a consumer has kept for longer than its lease, which counts
    /// as a run that failed. No thread of its own does this: whoever looks next.
    fn now(&self) -> (MutexGuard<'_, Inner>, DateTime<Utc>) {
        let now = self.0.clock.now();
        let mut inner = self.0.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for kept in inner.messages.iter_mut().flatten().filter(|kept| kept.until.is_some_and(|until| until <= now)) {
            let lost = u32::from(kept.state == MessageState::Reserved);
            (kept.attempts, kept.abandoned) = (kept.attempts + lost, kept.abandoned + lost);
            // It was over then, though nobody has looked before.
            kept.since = kept.until.unwrap_or(now);
            (kept.state, kept.until) = (MessageState::Ready, None);
        }
        (inner, now)
    }
}

fn after(now: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(wait).ok().and_then(|wait| now.checked_add_signed(wait)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn place(id: &MessageId) -> Option<usize> {
    id.as_str().parse::<usize>().ok()?.checked_sub(1)
}

fn id(place: usize) -> MessageId {
    MessageId::from(place as u64 + 1)
}

fn stored(at: usize, kept: &Kept) -> StoredMessage {
    let mut stored = StoredMessage::new(id(at), kept.new.queue.clone(), kept.state, kept.new.text.clone());
    stored.request_type.clone_from(&kept.new.request_type);
    stored.priority = kept.new.priority;
    stored.since = Some(kept.since);
    stored.until = kept.until;
    stored.attempts = kept.attempts;
    stored.abandoned = kept.abandoned;
    stored.enqueued_at = Some(kept.enqueued_at);
    stored.due_since = Some(kept.due_since);
    stored
}

impl Inner {
    /// The places of the messages that are meant, the newest first.
    fn picked(&self, filter: &Filter, fit: impl Fn(&Kept) -> bool) -> Vec<usize> {
        let all = self.messages.iter().enumerate().rev().filter_map(|(at, kept)| Some((at, kept.as_ref()?)));
        let picked = all.filter(|(at, kept)| fit(kept) && filter.fits(&stored(*at, kept))).map(|(at, _)| at);
        picked.take(filter.limit.unwrap_or(usize::MAX)).collect()
    }
}

impl QueueAdapter for Line {
    /// What it can do beyond the least. Whatever is said here, the suite
    /// checks; the rest it does not ask for.
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.atomic_batches = true;
        capabilities.uncounted_rollbacks = true;
        capabilities.complete_lists = true;
        capabilities
    }

    fn enqueue(&self, messages: Vec<NewMessage>) -> Result<Vec<Enqueued>, QueueError> {
        let (mut inner, now) = self.now();
        let enqueued = messages.into_iter().map(|new| {
            let until = new.delay.filter(|until| *until > now);
            let state = if until.is_some() { MessageState::Delayed } else { MessageState::Ready };
            let due_since = until.unwrap_or(now);
            let (since, enqueued_at) = (now, now);
            let kept = Kept { new, state, since, until, lease: 0, attempts: 0, abandoned: 0, enqueued_at, due_since };
            inner.messages.push(Some(kept));
            Enqueued::new(id(inner.messages.len() - 1))
        });
        let enqueued = enqueued.collect();
        drop(inner);
        self.0.signal.notify();
        Ok(enqueued)
    }

    fn consumer(&self, queues: &[String]) -> Result<Box<dyn Consumer>, QueueError> {
        let interrupts = self.now().0.interrupts;
        Ok(Box::new(Seat { line: self.clone(), queues: queues.to_vec(), interrupts }))
    }

    /// The worker stops: whoever waits is let go.
    fn interrupt(&self) {
        self.now().0.interrupts += 1;
        self.0.signal.notify();
    }
}

impl Inspection for Line {
    fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError> {
        Ok(self.list(&Filter::all().id(id.clone()))?.pop())
    }

    fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
        let (inner, _) = self.now();
        let picked = inner.picked(filter, |_| true).into_iter();
        Ok(picked.filter_map(|at| Some(stored(at, inner.messages[at].as_ref()?))).collect())
    }

    fn stats(&self) -> Result<Stats, QueueError> {
        let (inner, _) = self.now();
        let mut all: BTreeMap<&str, Counts> = BTreeMap::new();
        for kept in inner.messages.iter().flatten() {
            let counts = all.entry(&kept.new.queue).or_insert_with(|| Counts::new(&kept.new.queue, ""));
            if kept.state == MessageState::Ready {
                counts.oldest_ready = counts.oldest_ready.into_iter().chain([kept.due_since]).min();
            }
            *match kept.state {
                MessageState::Ready => &mut counts.ready,
                MessageState::Delayed => &mut counts.delayed,
                MessageState::Reserved => &mut counts.reserved,
                MessageState::Buried => &mut counts.buried,
            } += 1;
        }
        let mut stats = Stats::default();
        stats.counts = all.into_values().collect();
        let published = inner.messages.len() as u64;
        let present: u64 = stats.counts.iter().map(Counts::total).sum();
        stats.totals = vec![Totals::new(None, published, published - present)];
        Ok(stats)
    }

    fn kick(&self, filter: &Filter) -> Result<u64, QueueError> {
        let (mut inner, now) = self.now();
        let picked = inner.picked(filter, |kept| kept.state == MessageState::Buried);
        for at in &picked {
            let Some(kept) = &mut inner.messages[*at] else { continue };
            (kept.state, kept.attempts, kept.abandoned) = (MessageState::Ready, 0, 0);
            (kept.since, kept.due_since) = (now, now);
        }
        self.0.signal.notify();
        Ok(picked.len() as u64)
    }

    fn delete(&self, filter: &Filter) -> Result<u64, QueueError> {
        let (mut inner, _) = self.now();
        let picked = inner.picked(filter, |kept| kept.state != MessageState::Reserved);
        for at in &picked {
            inner.messages[*at] = None;
        }
        Ok(picked.len() as u64)
    }
}

/// What one lane of a worker takes messages through.
struct Seat {
    line: Line,
    queues: Vec<String>,
    interrupts: u64,
}

impl Seat {
    /// Changes a message, if the lease on it is still this one.
    fn change(&self, lease: &Lease, change: impl FnOnce(&mut Option<Kept>, DateTime<Utc>)) -> Result<(), QueueError> {
        let (mut inner, now) = self.line.now();
        let slot = place(&lease.id).and_then(|at| inner.messages.get_mut(at));
        let holds = |kept: &Kept| kept.state == MessageState::Reserved && kept.lease.to_string() == *lease.token;
        match slot.filter(|slot| slot.as_ref().is_some_and(holds)) {
            Some(slot) => change(slot, now),
            None => return Err(QueueError::LeaseLost { id: lease.id.clone() }),
        }
        self.line.0.signal.notify();
        Ok(())
    }
}

impl Consumer for Seat {
    /// It can leave nothing out, so the filter does not matter.
    fn dequeue(&mut self, _: &DequeueFilter, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        let end = self.line.0.clock.uptime() + wait;
        loop {
            // Before the look, so that what comes after it ends the wait.
            let seen = self.line.0.signal.generation();
            let (mut inner, now) = self.line.now();
            inner.leases += 1;
            let (lease, interrupts) = (inner.leases, inner.interrupts);
            let all = inner.messages.iter_mut().enumerate().filter_map(|(at, kept)| Some((at, kept.as_mut()?)));
            let ready = all.filter(|(_, k)| k.state == MessageState::Ready && self.queues.contains(&k.new.queue));
            if let Some((at, kept)) = ready.min_by_key(|(at, kept)| (kept.new.priority, *at)) {
                (kept.state, kept.since, kept.lease) = (MessageState::Reserved, now, lease);
                kept.until = Some(after(now, kept.new.ttr));
                let lease = Lease { id: id(at), token: lease.to_string().into() };
                let text = kept.new.text.clone().into_bytes();
                let mut delivery = Delivery::new(lease, &kept.new.queue, kept.due_since, kept.new.ttr, text);
                (delivery.attempts, delivery.abandoned) = (kept.attempts, kept.abandoned);
                return Ok(Some(delivery));
            }
            drop(inner);
            let left = end.saturating_sub(self.line.0.clock.uptime());
            if left.is_zero() || std::mem::replace(&mut self.interrupts, interrupts) != interrupts {
                return Ok(None);
            }
            self.line.0.signal.wait(seen, Some(left));
        }
    }

    fn settle(&mut self, lease: &Lease, settlement: &mut Settlement) -> Result<(), QueueError> {
        if let Settlement::Commit { follow_ups, .. } = settlement {
            // First what follows, so that none is lost, and only for a run
            // whose message is still its own.
            self.change(lease, |_, _| ())?;
            enqueue_follow_ups(&self.line, follow_ups)?;
        }
        let put_back = |slot: &mut Option<Kept>, now, delay: &Duration, counted: bool| {
            let Some(kept) = slot else { return };
            kept.attempts += u32::from(counted);
            kept.until = (!delay.is_zero()).then(|| after(now, *delay));
            kept.state = if kept.until.is_some() { MessageState::Delayed } else { MessageState::Ready };
            kept.since = now;
        };
        self.change(lease, |slot, now| match settlement {
            Settlement::Rollback { delay, counted, .. } => put_back(slot, now, delay, *counted),
            Settlement::LeaveToOthers { delay, .. } => put_back(slot, now, delay, false),
            Settlement::Bury { counted, .. } => {
                let Some(kept) = slot else { return };
                kept.attempts += u32::from(*counted);
                (kept.state, kept.since, kept.until) = (MessageState::Buried, now, None);
            }
            Settlement::Commit { .. } | Settlement::Expire => *slot = None,
        })
    }

    fn touch(&mut self, leases: &[Lease]) -> Result<Vec<Lease>, QueueError> {
        let renew = |slot: &mut Option<Kept>, now| {
            let Some(kept) = slot else { return };
            kept.until = Some(after(now, kept.new.ttr));
        };
        Ok(leases.iter().filter(|lease| self.change(lease, renew).is_err()).cloned().collect())
    }
}
