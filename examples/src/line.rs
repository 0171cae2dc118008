//! An example of a queue adapter that you could write, for a store that pulpo does not know.
//!
//! It keeps messages in a vector, in memory or in a JSON file (`line/store.rs`). An adapter needs
//! only three traits. The documentation of [`QueueAdapter`], [`Inspection`] and [`Consumer`]
//! specifies each method, and the conformance suite tests it (`examples/tests/queue_adapter.rs`).
//! `line/backend.rs` makes `PULPO_QUEUE=line:FILE` work.
//!
//! An adapter makes no decisions. The worker decides when a message is retried and when it is given
//! up. The adapter keeps messages in order, hands each to one consumer at a time, and takes it back
//! if the consumer falls silent.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use pulpo::clock::{Clock, Notify};
use pulpo::queue::{
    Capabilities, Consumer, Counts, Delivery, DequeueFilter, Enqueued, Filter, Inspection, Lease, MessageState,
    NewMessage, QueueAdapter, QueueError, Settlement, Stats, StoredMessage, Totals, enqueue_follow_ups,
};
use pulpo::{MessageId, Priority};

mod backend;
mod store;

use self::store::{Kept, Messages, Store, Turn};

/// A queue in a vector. Cheap to clone: all clones share one queue.
#[derive(Clone, Debug)]
pub struct Line(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The clock is passed in, so that tests can move it.
    clock: Arc<dyn Clock>,
    /// Consumers that wait for a message wait here.
    notify: Arc<Notify>,
    store: Store,
    interrupts: AtomicU64,
    /// While waiting, a consumer reads the file again after this time, to find messages from
    /// another process.
    look_interval: Option<Duration>,
}

impl Line {
    /// Creates an empty queue in memory that uses this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::on(Store::in_memory(), None, clock)
    }

    /// Opens the queue in this file, which is created with the first message.
    #[must_use]
    pub fn in_file(file: &Path, sync: bool, look_interval: Duration, clock: Arc<dyn Clock>) -> Self {
        Self::on(Store::in_file(file, sync), Some(look_interval), clock)
    }

    fn on(store: Store, look_interval: Option<Duration>, clock: Arc<dyn Clock>) -> Self {
        let (notify, interrupts) = (Notify::new(clock.clone()), AtomicU64::new(0));
        Self(Arc::new(Shared { clock, notify, store, interrupts, look_interval }))
    }

    /// Returns the messages as of now. Messages whose delay is over become ready. So do messages
    /// that a consumer has kept for longer than its lease, which counts as a failed run. No
    /// separate thread does this: the next caller does.
    fn now(&self) -> Result<(Turn<'_>, DateTime<Utc>), QueueError> {
        let now = self.0.clock.now();
        let mut turn = self.0.store.turn()?;
        for kept in turn.all.iter_mut().flatten().filter(|kept| kept.until.is_some_and(|until| until <= now)) {
            let abandoned = u32::from(kept.state == MessageState::Reserved);
            (kept.attempts, kept.abandoned) = (kept.attempts + abandoned, kept.abandoned + abandoned);
            // The lease ended then, although nothing has checked until now.
            kept.since = kept.until.unwrap_or(now);
            (kept.state, kept.until) = (MessageState::Ready, None);
        }
        Ok((turn, now))
    }
}

fn after(now: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    // A thousand years at most, so that every program can write and read the time.
    let longest = TimeDelta::days(365_250);
    now + TimeDelta::from_std(wait).unwrap_or(longest).min(longest)
}

fn place(id: &MessageId) -> Option<usize> {
    id.as_str().parse::<usize>().ok()?.checked_sub(1)
}

fn id(place: usize) -> MessageId {
    MessageId::from(place as u64 + 1)
}

fn stored(at: usize, kept: &Kept) -> StoredMessage {
    let mut stored = StoredMessage::new(id(at), kept.queue.clone(), kept.state, kept.text.clone());
    stored.request_type.clone_from(&kept.request_type);
    stored.priority = Priority::new(kept.priority);
    stored.since = Some(kept.since);
    stored.until = kept.until;
    stored.attempts = kept.attempts;
    stored.abandoned = kept.abandoned;
    stored.enqueued_at = Some(kept.enqueued_at);
    stored.due_since = Some(kept.due_since);
    stored
}

impl Messages {
    /// Returns the positions of the messages that match, newest first.
    fn picked(&self, filter: &Filter, fit: impl Fn(&Kept) -> bool) -> Vec<usize> {
        let all = self.all.iter().enumerate().rev().filter_map(|(at, kept)| Some((at, kept.as_ref()?)));
        let picked = all.filter(|(at, kept)| fit(kept) && filter.fits(&stored(*at, kept))).map(|(at, _)| at);
        picked.take(filter.limit.unwrap_or(usize::MAX)).collect()
    }
}

impl QueueAdapter for Line {
    /// Declares the capabilities beyond the minimum. The suite tests those declared here, and no others.
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.atomic_batches = true;
        capabilities.uncounted_rollbacks = true;
        capabilities.complete_lists = true;
        capabilities.total_order = true;
        capabilities
    }

    fn enqueue(&self, messages: Vec<NewMessage>) -> Result<Vec<Enqueued>, QueueError> {
        // This queue keeps no unique keys, and says so.
        if messages.iter().any(|message| message.unique.is_some()) {
            return Err(QueueError::NO_UNIQUE_KEYS);
        }
        let (mut turn, now) = self.now()?;
        let mut enqueued = Vec::with_capacity(messages.len());
        for message in messages {
            enqueued.push(Enqueued::new(id(turn.all.len())));
            turn.all.push(Some(Kept::new(message, now)));
        }
        turn.save()?;
        self.0.notify.notify();
        Ok(enqueued)
    }

    fn consumer(&self, queues: &[String]) -> Result<Box<dyn Consumer>, QueueError> {
        let interrupts = self.0.interrupts.load(Ordering::SeqCst);
        Ok(Box::new(LineConsumer { line: self.clone(), queues: queues.to_vec(), interrupts }))
    }

    /// The worker stops: wakes all waiting consumers.
    fn interrupt(&self) {
        self.0.interrupts.fetch_add(1, Ordering::SeqCst);
        self.0.notify.notify();
    }
}

impl Inspection for Line {
    fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError> {
        Ok(self.list(&Filter::all().id(id.clone()))?.pop())
    }

    fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
        let (turn, _) = self.now()?;
        let picked = turn.picked(filter, |_| true).into_iter();
        Ok(picked.filter_map(|at| Some(stored(at, turn.all[at].as_ref()?))).collect())
    }

    fn stats(&self) -> Result<Stats, QueueError> {
        let (turn, _) = self.now()?;
        let mut all: BTreeMap<&str, Counts> = BTreeMap::new();
        for kept in turn.all.iter().flatten() {
            let counts = all.entry(&kept.queue).or_insert_with(|| Counts::new(&kept.queue, ""));
            if kept.state == MessageState::Ready {
                counts.oldest_ready = counts.oldest_ready.into_iter().chain([kept.due_since]).min();
            }
            *match kept.state {
                MessageState::Ready => &mut counts.ready,
                MessageState::Delayed => &mut counts.delayed,
                MessageState::Reserved => &mut counts.reserved,
                MessageState::Buried => &mut counts.buried,
                // This queue does not keep messages that are done.
                MessageState::Done => continue,
            } += 1;
        }
        let mut stats = Stats::default();
        stats.counts = all.into_values().collect();
        let published = turn.all.len() as u64;
        let present: u64 = stats.counts.iter().map(Counts::total).sum();
        stats.totals = vec![Totals::new(None, published, published - present)];
        Ok(stats)
    }

    fn kick(&self, filter: &Filter) -> Result<u64, QueueError> {
        let (mut turn, now) = self.now()?;
        let picked = turn.picked(filter, |kept| kept.state == MessageState::Buried);
        for at in &picked {
            let Some(kept) = &mut turn.all[*at] else { continue };
            (kept.state, kept.attempts, kept.abandoned) = (MessageState::Ready, 0, 0);
            (kept.since, kept.due_since) = (now, now);
        }
        turn.save()?;
        self.0.notify.notify();
        Ok(picked.len() as u64)
    }

    fn delete(&self, filter: &Filter) -> Result<u64, QueueError> {
        let (mut turn, _) = self.now()?;
        let picked = turn.picked(filter, |kept| kept.state != MessageState::Reserved);
        for at in &picked {
            turn.all[*at] = None;
        }
        turn.save()?;
        Ok(picked.len() as u64)
    }
}

/// The handle through which one lane of a worker takes messages.
struct LineConsumer {
    line: Line,
    queues: Vec<String>,
    interrupts: u64,
}

impl LineConsumer {
    /// Changes a message, if its current lease is still this one.
    fn change(&self, lease: &Lease, change: impl FnOnce(&mut Option<Kept>, DateTime<Utc>)) -> Result<(), QueueError> {
        let (mut turn, now) = self.line.now()?;
        let slot = place(&lease.id).and_then(|at| turn.all.get_mut(at));
        let holds = |kept: &Kept| kept.state == MessageState::Reserved && kept.lease.to_string() == *lease.token;
        match slot.filter(|slot| slot.as_ref().is_some_and(holds)) {
            Some(slot) => change(slot, now),
            None => return Err(QueueError::LeaseLost { id: lease.id.clone() }),
        }
        turn.save()?;
        self.line.0.notify.notify();
        Ok(())
    }

    /// Leases the most urgent message; among equals, the oldest.
    fn take(&self) -> Result<Option<Delivery>, QueueError> {
        let (mut turn, now) = self.line.now()?;
        let number = turn.leases + 1;
        let all = turn.all.iter_mut().enumerate().filter_map(|(at, kept)| Some((at, kept.as_mut()?)));
        let ready = all.filter(|(_, kept)| kept.state == MessageState::Ready && self.queues.contains(&kept.queue));
        let Some((at, kept)) = ready.min_by_key(|(at, kept)| (kept.priority, *at)) else { return Ok(None) };
        (kept.state, kept.since, kept.lease) = (MessageState::Reserved, now, number);
        kept.until = Some(after(now, kept.ttr));
        let lease = Lease { id: id(at), token: number.to_string().into() };
        let text = kept.text.clone().into_bytes();
        let mut delivery = Delivery::new(lease, &kept.queue, kept.due_since, kept.ttr, text);
        (delivery.attempts, delivery.abandoned) = (kept.attempts, kept.abandoned);
        turn.leases = number;
        turn.save()?;
        Ok(Some(delivery))
    }
}

impl Consumer for LineConsumer {
    /// Takes a message. This queue cannot leave any out, so the filter does not matter.
    fn dequeue(&mut self, _: &DequeueFilter, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        let Shared { clock, notify, interrupts, look_interval, .. } = &*self.line.0;
        let end = clock.uptime() + wait;
        loop {
            // Read before looking, so that a later message ends the wait.
            let seen = notify.generation();
            if let Some(delivery) = self.take()? {
                return Ok(Some(delivery));
            }
            let left = end.saturating_sub(clock.uptime());
            let interrupts = interrupts.load(Ordering::SeqCst);
            if left.is_zero() || std::mem::replace(&mut self.interrupts, interrupts) != interrupts {
                return Ok(None);
            }
            notify.wait(seen, Some(look_interval.map_or(left, |interval| left.min(interval))));
        }
    }

    fn settle(&mut self, lease: &Lease, settlement: &mut Settlement) -> Result<(), QueueError> {
        if let Settlement::Commit { follow_ups, .. } = settlement {
            // Publish the follow-ups first, so that none is lost, and only for a run that still
            // holds its message.
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
            kept.until = Some(after(now, kept.ttr));
        };
        let mut lost = Vec::new();
        for lease in leases {
            match self.change(lease, renew) {
                Err(QueueError::LeaseLost { .. }) => lost.push(lease.clone()),
                renewed => renewed?,
            }
        }
        Ok(lost)
    }
}
