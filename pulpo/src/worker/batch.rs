//! The path of a batch: gather, decode, run, decide, carry out each.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use super::call;
use super::in_flight::{InFlight, InFlightJob, renew};
use super::lane::{Lane, Processed};
use super::resolved::ResolvedHandler;
use crate::context::{Context, Produced};
use crate::disposition::{Disposition, RunEnd, before_run};
use crate::message::Incoming;
use crate::outcome::ReportedFailure;
use crate::queue::{Consumer, Delivery, QueueError, Settlement};
use crate::registry::Batch;
use crate::report::chain;

/// How long after its first message was taken a batch runs without asking whether its leases are lost.
const CERTAIN_FOR: Duration = Duration::from_millis(10);

/// The messages taken for one call.
struct Gathered {
    members: Vec<(Delivery, InFlightJob)>,
    /// A message of another type, which a queue that cannot select by type has handed out. It ends the gathering and
    /// goes back to the queue. If that fails, it waits for its turn, and its lease is kept alive.
    other: Option<(Delivery, InFlightJob)>,
}

impl Lane {
    /// Processes the messages of a batch handler, after the first one has arrived.
    pub(super) fn process_batch(&mut self, first: Delivery, resolved: &ResolvedHandler, batch: &Batch) {
        let Some(mut consumer) = self.consumer.take() else { return };
        let Gathered { members, other } = self.gather(&mut *consumer, first, resolved, batch);
        if members.is_empty() {
            self.consumer = Some(consumer);
            if other.is_some() {
                self.flush();
                self.pending = other.map(|(delivery, _)| delivery);
            }
            return;
        }
        let (deliveries, running): (Vec<_>, Vec<_>) = members.into_iter().unzip();
        let (other, waiting) = other.unzip();
        self.enter_slot_together(consumer, running, waiting, resolved);

        let started = self.shared.clock.uptime();
        let (all, mut produced) = self.run_batch(&deliveries, resolved);
        let took = self.shared.clock.uptime().saturating_sub(started);

        let mut refused: Option<String> = None;
        for processed in all {
            let processed = match (&refused, processed) {
                (Some(reason), Processed::Ended(RunEnd::Done)) => {
                    Processed::Ended(RunEnd::Failed(ReportedFailure::transient(reason.as_str())))
                }
                (_, processed) => processed,
            };
            let settled = self.settle(processed, produced, took);
            produced = settled.produced;
            refused = refused.or(settled.refused);
        }
        if let Some(other) = other {
            // Unless the monitor has taken it away with the others.
            if let Some(held) = self.with_slot(Option::take) {
                self.consumer = Some(held.consumer);
            }
            // The run may take long, and no dequeue comes before it to carry out the deferred commits.
            self.flush();
            self.pending = Some(other);
        }
    }

    /// Takes messages until the batch is full, its linger is over, or one of another type arrives. Renews their leases
    /// until they are in the slot. Leaves out messages whose leases were lost: the queue hands them out again, perhaps to
    /// this very batch.
    fn gather(
        &self,
        consumer: &mut dyn Consumer,
        first: Delivery,
        resolved: &ResolvedHandler,
        batch: &Batch,
    ) -> Gathered {
        let clock = &self.shared.clock;
        let begun = clock.uptime();
        let end = begun.saturating_add(batch.linger);
        let mut has_failed = false;
        let mut gathered = Gathered { members: Vec::new(), other: None };
        let first_id = first.lease.id.clone();
        let request_type = self.add(&mut gathered, first, resolved);
        while gathered.members.len() < batch.most && gathered.other.is_none() && !self.shared.stop.requested() {
            let uptime = clock.uptime();
            renew(consumer, gathered.members.iter_mut().map(|(_, running)| running), uptime);
            let left = end.saturating_sub(uptime);
            let renewal = gathered.members.iter().filter_map(|(_, running)| running.touch_at).min();
            let wait = renewal.map_or(left, |at| left.min(at.saturating_sub(uptime)));
            // As many again as have come of this type in a row: a queue that cannot select by type may have others
            // next.
            let more = (batch.most - gathered.members.len() - 1).min(gathered.members.len() - 1);
            let filter = self.permits.filter_for_batch(self.shared.filter(), &request_type, &first_id).more(more);
            match consumer.dequeue(&filter, wait) {
                Ok(Some(delivery)) => drop(self.add(&mut gathered, delivery, resolved)),
                Ok(None) if clock.uptime() >= end => break,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(
                        error = chain(&error),
                        "cannot take more messages for a batch: running those that it still holds"
                    );
                    has_failed = true;
                    break;
                }
            }
        }
        gathered.other = gathered.other.take().and_then(|other| give_back(consumer, other));
        let uptime = clock.uptime();
        // In the meantime, a failure may have ended the connection, and with it the leases; nobody may have noticed yet.
        if has_failed || uptime.saturating_sub(begun) >= CERTAIN_FOR || is_any_twice(&gathered.members) {
            gathered.members.iter_mut().for_each(|(_, running)| running.renew_by(uptime));
        }
        renew(consumer, gathered.members.iter_mut().map(|(_, running)| running), uptime);
        if !has_failed {
            // The first try may only have shown that the connection has ended.
            gathered.members.iter_mut().for_each(|(_, running)| running.renew_again(uptime));
            renew(consumer, gathered.members.iter_mut().map(|(_, running)| running), uptime);
        }
        gathered.members.retain(|(_, running)| !running.is_lost());
        gathered
    }

    /// Adds a message to the batch. Returns its request type.
    fn add(&self, gathered: &mut Gathered, delivery: Delivery, resolved: &ResolvedHandler) -> Cow<'static, str> {
        let message = Incoming::read(&delivery.text).ok();
        let its = message.as_ref().and_then(|message| self.shared.resolved.get(message.header.request_type()));
        let uptime = self.shared.clock.uptime();
        let running = self.running(&delivery, delivery.queue.clone(), message.as_ref(), its.as_deref(), uptime);
        let request_type = running.request_type.clone();
        drop(message);
        if its.is_some_and(|its| std::ptr::eq(its.handler, resolved.handler)) {
            gathered.members.push((delivery, running));
        } else {
            gathered.other = Some((delivery, running));
        }
        request_type
    }

    /// Puts all messages into the slot, within reach of the monitor.
    fn enter_slot_together(
        &mut self,
        consumer: Box<dyn Consumer>,
        mut members: Vec<InFlightJob>,
        waiting: Option<InFlightJob>,
        resolved: &ResolvedHandler,
    ) {
        let uptime = self.shared.clock.uptime();
        self.reset_run();
        members.iter_mut().for_each(|running| running.in_batch = true);
        let count = members.len();
        let mut running = members.remove(0);
        self.span = running.open_span(count);
        running.timeout = resolved.policy.timeout.map(|limit| (uptime.saturating_add(limit), limit));
        let waiting = waiting.map(|waiting| InFlightJob { waits: true, ..waiting });
        let others = members.into_iter().chain(waiting).collect();
        self.hand_to_monitor(InFlight { consumer, running, others, progress: self.progress.clone() });
    }

    /// Calls the handler with all messages that may run. Returns the result of each.
    fn run_batch(&self, deliveries: &[Delivery], resolved: &ResolvedHandler) -> (Vec<Processed>, Produced) {
        if self.shared.stop.requested() {
            return (deliveries.iter().map(|_| Processed::Ended(RunEnd::ShutDown)).collect(), Produced::default());
        }
        let unfit = self.unfit();
        let mut context: Option<Context> = None;
        let mut bodies = Vec::new();
        for (index, delivery) in deliveries.iter().enumerate() {
            if unfit.get(index).is_none_or(Option::is_some) {
                continue;
            }
            // It was parsed once already, when it was taken.
            let Ok(message) = Incoming::read(&delivery.text) else { continue };
            bodies.push(message.body());
            let failed = delivery.failed(resolved.policy.max_attempts);
            context.get_or_insert_with(|| self.context(delivery.lease.id.clone(), failed, message, resolved));
        }
        let (mut ran, produced) = match context {
            Some(context) => {
                self.begin();
                let grace = self.shared.options.unknown_type_grace;
                let ran = self.span.in_scope(|| {
                    let ran = call::batch(resolved.handler, &bodies, &context, grace);
                    self.shared.end_fork();
                    ran
                });
                (ran.into_iter(), context.into_produced())
            }
            None => (Vec::new().into_iter(), Produced::default()),
        };
        let all = unfit.into_iter().map(|unfit| match unfit {
            Some(disposition) => Processed::Decided(disposition),
            None => Processed::Ended(ran.next().unwrap_or(RunEnd::ShutDown)),
        });
        (all.collect(), produced)
    }

    /// Returns for each member its disposition if it must not run: it is too late or too early, or its attempts are
    /// used up.
    fn unfit(&self) -> Vec<Option<Disposition>> {
        let now = self.shared.clock.now();
        self.with_slot(|held| {
            let Some(held) = held else { return Vec::new() };
            let members = std::iter::once(&mut held.running).chain(&mut held.others).filter(|running| !running.waits);
            members.map(|running| before_run(running.attempt_at(now, false))).collect()
        })
    }
}

/// Returns whether a message is there twice: the queue has handed it out again after its first lease had ended.
fn is_any_twice(members: &[(Delivery, InFlightJob)]) -> bool {
    if members.len() < 2 {
        return false;
    }
    let mut ids = HashSet::with_capacity(members.len());
    !members.iter().all(|(delivery, _)| ids.insert(&delivery.lease.id))
}

/// Gives back a message of another type than the batch, with all that were reserved ahead: their runs would have to
/// wait for the batch, and if the worker died before, each would have lost an attempt. Returns the message if that
/// fails.
fn give_back(consumer: &mut dyn Consumer, other: (Delivery, InFlightJob)) -> Option<(Delivery, InFlightJob)> {
    let mut back = Settlement::rollback(Duration::ZERO, "its type is not that of the batch", false).without_run();
    match consumer.settle(&other.0.lease, &mut back) {
        Ok(()) | Err(QueueError::LeaseLost { .. }) => {}
        Err(error) => {
            tracing::debug!(error = chain(&error), "cannot give back a message of another type than the batch");
            return Some(other);
        }
    }
    if let Err(error) = consumer.flush() {
        tracing::debug!(error = chain(&error), "cannot give back the messages taken ahead for a batch");
    }
    None
}
