//! Looks after the lanes: renews leases, ends runs that take too long, and
//! gives back what is still running when the worker must stop.
//!
//! It sleeps until the earliest moment at which some lane needs it, and is
//! woken only by a lane that will need it earlier.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::Shared;
use super::lane::Lane;
use super::seat::{Held, Running, Seat};
use crate::clock::{Signal, lock};
use crate::disposition::Ending;
use crate::queue::Consumer;
use crate::report::chain;
#[cfg(feature = "http")]
use crate::report::rough;
use crate::telemetry;

pub(super) struct Monitor {
    shared: Arc<Shared>,
    lanes: Mutex<Vec<Watched>>,
    signal: Arc<Signal>,
    /// When it will look by itself, in nanoseconds of uptime.
    planned: AtomicU64,
    lanes_meter: metrics::Gauge,
    all_started: AtomicBool,
}

struct Watched {
    seat: Arc<Seat>,
    empty: Arc<AtomicU64>,
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only a health check asks"))]
    last_seen: Arc<AtomicU64>,
}

/// While the monitor looks around, whoever comes must wake it, since it may
/// have looked there already.
const LOOKING: u64 = u64::MAX;

/// How long a stop waits for lanes that are waiting for a message: their
/// queue was told to let them go.
const LAST_WAIT: Duration = Duration::from_millis(900);

/// How much longer than its wait a lane may be at its queue: more than any
/// queue's timeout for one call.
#[cfg(feature = "http")]
const LONGEST_AT_QUEUE: Duration = Duration::from_secs(60);

impl Monitor {
    pub(super) fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            signal: shared.stop.signal.clone(),
            shared,
            lanes: Mutex::default(),
            planned: AtomicU64::new(LOOKING),
            lanes_meter: metrics::gauge!(telemetry::LANES),
            all_started: AtomicBool::new(false),
        })
    }

    /// Starts the thread of a lane.
    pub(super) fn start(&self, lane: Lane) -> io::Result<()> {
        let watched = Watched { seat: lane.seat.clone(), empty: lane.empty.clone(), last_seen: lane.last_seen.clone() };
        let mut lanes = lock(&self.lanes);
        thread::Builder::new().name("pulpo-lane".to_owned()).spawn(move || lane.work())?;
        lanes.push(watched);
        self.count(&lanes);
        Ok(())
    }

    fn count(&self, lanes: &[Watched]) {
        self.lanes_meter.set(lanes.len() as f64);
    }

    /// A lane needs the monitor at this time, in uptime.
    pub(super) fn expect(&self, at: Option<Duration>) {
        if at.is_some_and(|at| nanos(at) < self.planned.load(Ordering::SeqCst)) {
            self.look();
        }
    }

    /// Something has changed.
    pub(super) fn look(&self) {
        self.signal.notify();
    }

    /// Ends the worker if no lane has found anything for long enough.
    pub(super) fn check_idle(&self) {
        let limit = self.shared.options.shutdown_after_number_of_empty_iterations;
        if limit > 0 && lock(&self.lanes).iter().all(|lane| lane.empty.load(Ordering::SeqCst) >= limit) {
            self.shared.stop.gently();
        }
    }

    /// Why the worker does not come on, if it does not: a lane that is neither
    /// in a handler nor back from the queue in time, a lease that nobody
    /// renews, a lane that is gone. A handler may take as long as it likes, and
    /// a queue that refuses is not the worker's fault: it tries again.
    #[cfg(feature = "http")]
    pub(super) fn stuck(&self) -> Option<String> {
        let Shared { clock, options, stop, .. } = &*self.shared;
        let uptime = clock.uptime();
        let lanes = lock(&self.lanes);
        if lanes.len() < options.concurrency.max(1) && !stop.requested() && self.all_started.load(Ordering::SeqCst) {
            return Some(format!("{} lanes of {} are left", lanes.len(), options.concurrency));
        }
        let longest = options.sleep_duration.saturating_add(LONGEST_AT_QUEUE);
        lanes.iter().find_map(|lane| {
            // Whoever is at it is not stuck there for longer than a call takes.
            let held = lane.seat.try_held()?;
            let Some(held) = held.as_ref() else {
                let seen = Duration::from_nanos(lane.last_seen.load(Ordering::Relaxed));
                let silent = uptime.saturating_sub(seen);
                return (silent > longest && !lane.seat.has_ended())
                    .then(|| format!("a lane has not come back from the queue for {}", rough(silent)));
            };
            let Running { touch_at, ttr, lease, .. } = &held.running;
            let late = touch_at.is_some_and(|at| uptime > at.saturating_add((*ttr).max(LONGEST_AT_QUEUE)));
            late.then(|| format!("the lease of message {} is not renewed", lease.id))
        })
    }

    /// All lanes have been started.
    pub(super) fn all_started(&self) {
        self.all_started.store(true, Ordering::SeqCst);
    }

    /// Looks after the lanes until all have ended, or the grace is over.
    pub(super) fn watch(self: &Arc<Self>) {
        let clock = &self.shared.clock;
        let mut stop_by = None;
        loop {
            let seen = self.signal.seen();
            self.planned.store(LOOKING, Ordering::SeqCst);
            let uptime = clock.uptime();
            if self.shared.stop.requested() {
                let end = *stop_by.get_or_insert(uptime.saturating_add(self.shared.options.shutdown_grace));
                let end = if self.shared.stop.at_once() { uptime.min(end) } else { end };
                stop_by = Some(end);
                // What is given back must not be taken by a lane of ours that
                // has not yet heard of the stop.
                if uptime >= end && (!self.any_waits() || uptime >= end + LAST_WAIT) {
                    self.give_back();
                    return;
                }
            }
            let next = self.tend(uptime);
            if lock(&self.lanes).is_empty() {
                return;
            }
            let stop_by = stop_by.map(|end| if uptime < end { end } else { end + LAST_WAIT });
            let next = next.into_iter().chain(stop_by).min();
            self.planned.store(next.map_or(LOOKING, nanos), Ordering::SeqCst);
            self.signal.wait(seen, next.map(|next| next.saturating_sub(uptime)));
        }
    }

    /// Whether any lane is still at its queue, waiting for a message.
    fn any_waits(&self) -> bool {
        lock(&self.lanes).iter().any(|lane| !lane.seat.has_ended() && lane.seat.held().is_none())
    }

    /// Does for each lane what is due; says when it must look again.
    fn tend(self: &Arc<Self>, uptime: Duration) -> Option<Duration> {
        let seats: Vec<_> = lock(&self.lanes).iter().map(|lane| lane.seat.clone()).collect();
        let mut next = None;
        for seat in seats {
            let mut resting = seat.held();
            if let Some(held) = resting.as_mut() {
                held.touch(uptime);
                if held.running.timeout.is_some_and(|(at, _)| uptime >= at) && self.time_out(held, uptime) {
                    let consumer = resting.take().map(|held| held.consumer);
                    drop(resting);
                    self.replace(&seat, consumer);
                    continue;
                }
                next = next.into_iter().chain(held.next()).min();
            }
            drop(resting);
            if seat.has_ended() {
                self.replace(&seat, None);
            }
        }
        next
    }

    /// Settles the message of a run that takes too long. False if the queue is
    /// in trouble: then again a little later.
    fn time_out(&self, held: &mut Held, uptime: Duration) -> bool {
        let Some((_, limit)) = held.running.timeout else { return false };
        // Those of a batch one by one, so that each trouble leaves the rest.
        while let Some(other) = held.others.pop_back() {
            let first = std::mem::replace(&mut held.running, other);
            let done = self.time_out_one(held, uptime, limit);
            let other = std::mem::replace(&mut held.running, first);
            if !done {
                held.running.timeout = other.timeout;
                held.others.push_back(Running { timeout: None, ..other });
                return false;
            }
        }
        self.time_out_one(held, uptime, limit)
    }

    fn time_out_one(&self, held: &mut Held, uptime: Duration, limit: Duration) -> bool {
        let ending = if held.running.waits { Ending::ShutDown } else { Ending::TimedOut(limit) };
        let disposition = held.decide(self.shared.clock.now(), ending);
        match held.carry_out(&disposition, &*self.shared.queue) {
            Err(error) if error.is_transient() => {
                let Running { lease, request_type, .. } = &held.running;
                let request_type = &**request_type;
                tracing::error!(id = %lease.id, request_type, error = chain(&error), "cannot settle a message, trying again");
                held.running.timeout = Some((uptime + Duration::from_secs(1), limit));
                false
            }
            result => {
                self.shared.record(&held.running, &disposition, &result, limit);
                held.running.cancellation.cancel();
                true
            }
        }
    }

    /// Puts another lane in the place of one that has ended, or whose handler
    /// is stuck, so that the worker does not shrink; none if it stops.
    fn replace(self: &Arc<Self>, seat: &Arc<Seat>, consumer: Option<Box<dyn Consumer>>) {
        let mut lanes = lock(&self.lanes);
        lanes.retain(|lane| !Arc::ptr_eq(&lane.seat, seat));
        self.count(&lanes);
        drop(lanes);
        if self.shared.stop.requested() {
            return;
        }
        let consumer = match consumer {
            Some(consumer) => Ok(consumer),
            None => self.shared.queue.consumer(&self.shared.queues),
        };
        let started = consumer
            .map_err(super::WorkError::from)
            .and_then(|consumer| Ok(self.start(Lane::new(self.shared.clone(), self, consumer))?));
        if let Err(error) = started {
            tracing::error!(
                error = chain(&error),
                "cannot start a lane in place of one that ended: the worker is smaller now"
            );
        }
    }

    /// Gives back all that is still running, uncounted.
    fn give_back(&self) {
        let lanes: Vec<_> = lock(&self.lanes).drain(..).collect();
        self.count(&[]);
        for lane in lanes {
            let Some(mut held) = lane.seat.held().take() else { continue };
            held.running.cancellation.cancel();
            loop {
                let disposition = held.decide(self.shared.clock.now(), Ending::ShutDown);
                let result = held.carry_out(&disposition, &*self.shared.queue);
                self.shared.record(&held.running, &disposition, &result, Duration::ZERO);
                let Some(other) = held.others.pop_front() else { break };
                held.running = other;
            }
            if let Err(error) = held.consumer.finish() {
                tracing::warn!(error = chain(&error), "cannot settle the last jobs: they will run again");
            }
        }
    }
}

pub(super) fn nanos(uptime: Duration) -> u64 {
    u64::try_from(uptime.as_nanos()).unwrap_or(LOOKING - 1)
}
