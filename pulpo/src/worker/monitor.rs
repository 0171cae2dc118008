//! The monitor of the lanes: renews leases, ends runs that exceed their timeouts, and gives back the messages that are
//! still running when the worker must stop.
//!
//! It sleeps until the earliest moment at which some lane needs it, and is woken only by a lane that will need it
//! earlier.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::WorkError;
use super::in_flight::{InFlight, InFlightJob};
use super::recruiter::Recruiter;
use super::shared::Shared;
use super::slot::take_unused;
use crate::disposition::{Disposition, RunEnd};
use crate::message::MessageId;
use crate::queue::{Consumer, QueueError};
use crate::report::chain;

pub(super) struct Monitor {
    shared: Arc<Shared>,
}

/// How long a stop waits for lanes that are waiting for a message: their queue was told to return.
const LAST_WAIT: Duration = Duration::from_millis(900);

/// For how long, in real time, and with which pauses, to try to give back what is running when the worker stops.
const LAST_TRIES: Duration = Duration::from_secs(2);
const BETWEEN_LAST_TRIES: Duration = Duration::from_millis(50);

/// When to retry settling the messages of a lane.
const AGAIN: Duration = Duration::from_secs(1);

impl Monitor {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Starts a lane with each of these consumers, and supervises the lanes until all have ended, or the grace period
    /// of a stop is over.
    ///
    /// # Errors
    /// If no thread was available for a lane for this long.
    pub(super) fn watch(&self, consumers: Vec<Box<dyn Consumer>>) -> Result<(), WorkError> {
        let clock = &self.shared.clock;
        let mut recruiter = Recruiter::new(consumers);
        let mut stop_by = None;
        let mut failed = None;
        loop {
            let seen = self.shared.monitor.begin_check();
            let uptime = clock.uptime();
            if self.shared.stop.requested() {
                let end = *stop_by.get_or_insert(uptime.saturating_add(self.shared.options.shutdown_grace));
                let end = if self.shared.stop.at_once() { uptime.min(end) } else { end };
                stop_by = Some(end);
                // A message that is given back must not be taken by a lane of ours that has not noticed the stop yet.
                if uptime >= end && (!self.any_is_at_the_queue() || uptime >= end.saturating_add(LAST_WAIT)) {
                    self.give_back();
                    return failed.map_or(Ok(()), Err);
                }
            }
            let next = self.check_lanes(uptime, &mut recruiter);
            let mut refill = None;
            if !self.shared.stop.requested() {
                match recruiter.fill(&self.shared, uptime) {
                    Ok(at) => refill = at,
                    Err(error) => {
                        tracing::error!(error = chain(&error), "the worker is stopping");
                        failed = Some(error);
                        self.shared.stop.gently();
                        continue;
                    }
                }
            } else if self.shared.crew.has_ended() {
                self.shared.crew.dismiss();
                return failed.map_or(Ok(()), Err);
            }
            let stop_by = stop_by.map(|end| if uptime < end { end } else { end.saturating_add(LAST_WAIT) });
            let next = next.into_iter().chain(refill).chain(stop_by).min();
            self.shared.monitor.wait(seen, next, uptime);
        }
    }

    /// Returns whether any lane is still at its queue, waiting for a message or settling one.
    fn any_is_at_the_queue(&self) -> bool {
        self.shared
            .crew
            .lanes()
            .iter()
            .any(|lane| !lane.slot.has_ended() && lane.slot.visit().is_none_or(|held| held.is_none()))
    }

    /// Does what is due for each lane. Returns when to check again.
    fn check_lanes(&self, uptime: Duration, recruiter: &mut Recruiter) -> Option<Duration> {
        let mut next = None;
        for lane in self.shared.crew.lanes() {
            let ended = lane.slot.has_ended();
            // A lane that holds its slot wakes the monitor when it leaves it.
            let Some(mut slot) = lane.slot.visit() else { continue };
            let Some(mut held) = slot.take() else { continue };
            held.touch(uptime);
            let over = match held.running.timeout {
                // A fault outside of the handler: of ours, of the clock or of the program's subscriber. The messages of
                // the lane must not wait for it.
                _ if ended => None,
                Some((at, limit)) if uptime >= at => Some(limit),
                _ => {
                    next = next.into_iter().chain(held.next()).min();
                    *slot = Some(held);
                    continue;
                }
            };
            let (settled, left) = self.settle_all(held, uptime, over);
            match left {
                Ok(consumer) => {
                    recruiter.reuse(consumer);
                    if !ended {
                        self.shared.crew.is_overdue(&lane.slot);
                    }
                }
                Err(held) => {
                    *slot = Some(held);
                    next = next.into_iter().chain([uptime.saturating_add(AGAIN)]).min();
                }
            }
            drop(slot);
            self.report(settled);
        }
        next
    }

    /// Settles all messages that a lane has in hand, the last of a batch first: the lane has exceeded this timeout, or
    /// its thread has panicked. While the queue cannot be reached, some are left for a later try.
    fn settle_all(
        &self,
        held: InFlight,
        uptime: Duration,
        timeout: Option<Duration>,
    ) -> (Vec<Settled>, Result<Box<dyn Consumer>, InFlight>) {
        let (now, stopping) = (self.shared.clock.now(), self.shared.stop.requested());
        let InFlight { mut consumer, running, mut others, progress } = held;
        others.push_front(running);
        let mut all = Vec::new();
        while let Some(mut running) = others.pop_back() {
            let ending = match timeout {
                _ if running.waits => RunEnd::ShutDown,
                Some(limit) => RunEnd::TimedOut(limit),
                None => RunEnd::Panicked("in the worker, outside of its handler".to_owned()),
            };
            let took = timeout.unwrap_or_else(|| running.ran_for(now));
            let disposition = running.decide(now, ending, stopping, took);
            let result = match running.carry_out(&mut *consumer, &disposition) {
                Err(error) if error.is_transient() => {
                    let id = running.lease.id.clone();
                    all.push(Settled::Trouble { id, request_type: running.request_type.clone(), error });
                    others.push_back(running);
                    let mut running = others.pop_front().expect("one is left");
                    running.timeout = running.timeout.map(|(_, limit)| (uptime.saturating_add(AGAIN), limit));
                    return (all, Err(InFlight { consumer, running, others, progress }));
                }
                result => result,
            };
            all.push(Settled::Over { running: Box::new(running), disposition, result, took });
        }
        (all, Ok(consumer))
    }

    /// Reports the results, after the slot has been released.
    fn report(&self, settled: Vec<Settled>) {
        for one in settled {
            match one {
                Settled::Over { running, disposition, result, took } => {
                    running.cancellation.cancel();
                    self.shared.record(&running, &disposition, &result, took);
                }
                Settled::Trouble { id, request_type, error } => {
                    let request_type = &*request_type;
                    tracing::error!(%id, request_type, error = chain(&error), "cannot settle a message, trying again");
                }
            }
        }
    }

    /// Gives back all messages that are still running, without counting an attempt. While the queue cannot be reached,
    /// or a slot is in use, tries again for a moment.
    fn give_back(&self) {
        let mut slots: Vec<_> = self.shared.crew.dismiss().into_iter().map(|lane| lane.slot).collect();
        let mut left = Vec::new();
        let started = Instant::now();
        loop {
            // A lane that is settling its job right now continues with that. Others look at a slot only for a moment.
            for InFlight { consumer, running, others, .. } in take_unused(&mut slots) {
                running.cancellation.cancel();
                left.push((consumer, std::iter::once(running).chain(others).collect()));
            }
            left.retain_mut(|(consumer, all)| !self.give_back_all(&mut **consumer, all));
            if (slots.is_empty() && left.is_empty()) || started.elapsed() >= LAST_TRIES {
                break;
            }
            std::thread::sleep(BETWEEN_LAST_TRIES);
        }
        let messages = left.iter().map(|(_, all)| all.len()).sum::<usize>();
        if messages > 0 {
            tracing::warn!(
                messages,
                "cannot put back the messages that were running: they are ready again when their leases end"
            );
        }
        if !slots.is_empty() {
            let lanes = slots.len();
            tracing::warn!(
                lanes,
                "lanes are still settling their messages: any that remain are ready again when their leases end"
            );
        }
    }

    /// Gives back what a lane has in hand, in one call. Returns whether that is done; those that could not be given back
    /// are left.
    fn give_back_all(&self, consumer: &mut dyn Consumer, all: &mut Vec<InFlightJob>) -> bool {
        let now = self.shared.clock.now();
        let decided = all.iter_mut().map(|running| running.decide(now, RunEnd::ShutDown, true, running.ran_for(now)));
        let decided: Vec<_> = decided.collect();
        let mut settlements: Vec<_> = all
            .iter_mut()
            .zip(&decided)
            .map(|(running, disposition)| (running.lease.clone(), running.settlement(disposition)))
            .collect();
        let results = consumer.settle_all(&mut settlements);
        for ((running, disposition), result) in std::mem::take(all).into_iter().zip(&decided).zip(results) {
            match result {
                Err(error) if error.is_transient() => all.push(running),
                result => self.shared.record(&running, disposition, &result, running.ran_for(now)),
            }
        }
        if !all.is_empty() {
            return false;
        }
        if let Err(error) = consumer.flush() {
            tracing::warn!(error = chain(&error), "cannot settle the last jobs: they will run again");
        }
        true
    }
}

/// A message that the monitor settled in place of its lane, or could not settle.
enum Settled {
    Over { running: Box<InFlightJob>, disposition: Disposition, result: Result<(), QueueError>, took: Duration },
    Trouble { id: MessageId, request_type: Cow<'static, str>, error: QueueError },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Notify, SystemClock};
    use crate::worker::slot::InFlightSlot;
    use crate::worker::waker::MonitorWaker;

    #[test]
    fn a_stop_takes_what_a_service_reads_a_moment_later() {
        let mut slots: Vec<_> = (0..3).map(|_| Arc::new(InFlightSlot::default())).collect();
        let monitor = MonitorWaker::new(Notify::new(Arc::new(SystemClock::new())));
        slots[0].with(&monitor, |slot| *slot = Some("free"));
        slots[1].with(&monitor, |slot| *slot = Some("looked at"));
        let checked = slots[1].clone();
        let taken = checked.try_with(&monitor, |_| take_unused(&mut slots));
        assert_eq!(taken, Some(vec!["free"]));
        assert_eq!(take_unused(&mut slots), ["looked at"]);
        assert!(slots.is_empty());
    }
}
