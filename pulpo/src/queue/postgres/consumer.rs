//! The consumer of a queue in PostgreSQL: takes messages and settles them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::activity::Event;
use super::begun::Tag;
use super::publish;
use super::remote::Remote;
use super::settle::{self, Ended, Settled};
use super::shared::Shared;
use super::values::number;
use crate::clock::Clock as _;
use crate::process::fork::Birthplace;
use crate::queue::prefetch::{Found, Lane, Leased};
use crate::queue::{Consumer, Delivery, DequeueFilter, Lease, NewMessage, QueueError, Settlement};

pub(super) struct PostgresConsumer {
    /// Keeps the connections open.
    queue: Arc<Remote>,
    birthplace: Birthplace,
    lane: Lane<Arc<Shared>>,
    interrupts: u64,
    /// When the last message was handed out, in real uptime.
    handed_out: Option<Duration>,
    /// The queue and the request type of each message that was handed out.
    names: Vec<(Lease, String, Arc<str>)>,
}

impl PostgresConsumer {
    pub(super) fn new(queue: Arc<Remote>, queues: &Arc<[String]>) -> Self {
        let shared = queue.shared();
        let interrupts = shared.interrupts.load(Ordering::SeqCst);
        let lane = shared.prefetch.lane(queues);
        Self { birthplace: Birthplace::here(), lane, interrupts, handed_out: None, names: Vec::new(), queue }
    }

    /// Returns the part that this process shares. Refuses in a fork, which has no
    /// right to the leases of its parent.
    fn shared(&self) -> Result<&Arc<Shared>, QueueError> {
        let place = || self.queue.options.place();
        self.birthplace.check().map_err(|source| QueueError::Forked { place: place(), source })?;
        Ok(self.queue.shared())
    }

    fn take(&mut self, filter: &DequeueFilter, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        let shared = self.shared()?.clone();
        let took = self.handed_out.take().map(|since| shared.real.uptime().saturating_sub(since));
        if let Some(leased) = self.lane.try_take(&shared, filter, took) {
            return Ok(Some(self.hand_out(&shared, leased)));
        }
        let mut end = None;
        // A caller that does not wait wants a certain answer.
        let mut checks_first = !wait.is_zero();
        loop {
            let found = self.lane.next(&shared.prefetch, &shared, filter, checks_first);
            let nothing = match found.map_err(|error| shared.error("take from", error))? {
                Found::Leased(leased) => return Ok(Some(self.hand_out(&shared, leased))),
                Found::Nothing(nothing) => nothing,
            };
            let interrupts = shared.interrupts.load(Ordering::SeqCst);
            let uptime = shared.clock.uptime();
            let left = end.get_or_insert(uptime.saturating_add(wait)).saturating_sub(uptime);
            if left.is_zero() || std::mem::replace(&mut self.interrupts, interrupts) != interrupts {
                return Ok(None);
            }
            let due = nothing.next.map(|next| {
                // At least a millisecond, so that a clock that was set back does not
                // make this spin.
                (next - shared.clock.now()).to_std().unwrap_or_default().max(Duration::from_millis(1))
            });
            shared.signal.wait(nothing.generation, Some(due.map_or(left, |due| due.min(left))));
            checks_first = true;
        }
    }

    fn hand_out(&mut self, shared: &Shared, leased: Leased<Tag>) -> Delivery {
        shared.held.fetch_add(1, Ordering::SeqCst);
        let now = shared.real.uptime();
        self.handed_out = Some(now);
        let Leased { delivery, request_type, tag, .. } = leased;
        if tag.is_ahead {
            shared.begun.add(tag.id, &delivery.lease.token, now);
            shared.upkeep.wake();
        }
        self.names.push((delivery.lease.clone(), delivery.queue.clone(), request_type));
        delivery
    }

    /// Records the end of a delivery, and returns the outcome of its settlement.
    fn ended(&mut self, lease: &Lease, ended: Ended, event: Option<Event>) -> Result<(), QueueError> {
        let shared = self.shared()?.clone();
        let place = self.names.iter().position(|(of, ..)| of == lease);
        let names = place.map(|place| self.names.swap_remove(place));
        if let (Some((_, queue, request_type)), Ended::Settled, Some(event)) = (names, &ended, event) {
            shared.has_happened(event, [(queue.as_str(), &*request_type)]);
        }
        if let Some(id) = number(lease.id.as_str()) {
            shared.begun.remove(id);
        }
        // Not below zero, even if a delivery was settled twice.
        let _ = shared.held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |held| held.checked_sub(1));
        shared.runs_have_ended();
        match ended {
            Ended::Settled => Ok(()),
            Ended::Cancelled => Err(QueueError::Cancelled { id: lease.id.clone() }),
            Ended::Lost => Err(QueueError::LeaseLost { id: lease.id.clone() }),
        }
    }

    fn commit_with(
        &mut self,
        lease: &Lease,
        follow_ups: &mut Vec<NewMessage>,
        result: Option<&str>,
    ) -> Result<(), QueueError> {
        let shared = self.shared()?.clone();
        publish::check(follow_ups, &shared.place)?;
        let Some(id) = number(lease.id.as_str()) else {
            return Err(QueueError::LeaseLost { id: lease.id.clone() });
        };
        let archive = shared.keeps_done();
        let done = shared.with_conflicts(|connection| {
            publish::commit_with(connection, (id, &lease.token), follow_ups, archive, result)
        });
        let ended = done.map_err(|error| shared.error("settle at", error))?;
        self.ended(lease, ended, Some(Event::Done))?;
        shared.have_published(&*follow_ups);
        let queues: BTreeSet<String> = follow_ups.drain(..).map(|message| message.queue).collect();
        shared.tell(queues);
        Ok(())
    }
}

/// Returns how the numbers over time count this settlement.
const fn event_of(settlement: &Settlement) -> Option<Event> {
    match settlement {
        Settlement::Commit { .. } => Some(Event::Done),
        Settlement::Expire => Some(Event::Expired),
        Settlement::Bury { .. } => Some(Event::Buried),
        Settlement::Rollback { counted: true, .. } => Some(Event::Failed),
        Settlement::Rollback { .. } | Settlement::LeaveToOthers { .. } => None,
    }
}

impl Consumer for PostgresConsumer {
    fn dequeue(&mut self, filter: &DequeueFilter, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        self.take(filter, wait)
    }

    fn settle(&mut self, lease: &Lease, settlement: &mut Settlement) -> Result<(), QueueError> {
        let shared = self.shared()?.clone();
        if let (Settlement::Commit { follow_ups, result, deferrable: true }, Some(id)) =
            (&*settlement, number(lease.id.as_str()))
            && follow_ups.is_empty()
            && shared.upkeep.runs()
        {
            let tag = Tag { id, is_ahead: false };
            self.lane.defer_commit(&shared.prefetch, &shared, lease.clone(), tag, result.clone());
            return self.ended(lease, Ended::Settled, Some(Event::Done));
        }
        self.lane.was_long();
        if let Settlement::Commit { follow_ups, result, .. } = settlement
            && !follow_ups.is_empty()
        {
            return self.commit_with(lease, follow_ups, result.as_deref());
        }
        let ended = shared.settle(Settled::new(lease, settlement))?;
        self.ended(lease, ended, event_of(settlement))?;
        // A message that did not run gives back its start.
        if !settlement.has_run() || matches!(settlement, Settlement::Rollback { .. }) {
            shared.tell(self.lane.queues().iter().cloned().collect());
        }
        Ok(())
    }

    fn touch(&mut self, leases: &[Lease]) -> Result<Vec<Lease>, QueueError> {
        let shared = self.shared()?;
        shared
            .ask(|connection| settle::renew(connection, leases))
            .map_err(|error| shared.error("renew leases at", error))
    }

    fn flush(&mut self) -> Result<(), QueueError> {
        let shared = self.shared()?;
        shared
            .prefetch
            .flush(shared)
            .and_then(|()| shared.prefetch.release(shared, self.lane.queues(), self.lane.take_all()))
            .map_err(|error| shared.error("settle at", error))
    }

    fn take_lost_leases(&mut self) -> Vec<Lease> {
        if self.lane.any_lost() && self.birthplace.is_here() { self.lane.take_lost_leases() } else { Vec::new() }
    }
}

impl Drop for PostgresConsumer {
    fn drop(&mut self) {
        if self.birthplace.is_here() {
            self.lane.leave();
        }
    }
}
