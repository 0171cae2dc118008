//! The lanes of a worker: as many as it is to have, the runs that it has
//! abandoned, and what happens when the system gives no thread for one.
//!
//! A run that has exceeded its timeout may still be in its handler: a plain
//! function cannot be stopped from outside. It is then *overdue*. Its lane is
//! *abandoned*, and another one takes its place, while the bound of abandoned
//! runs allows it; beyond that, the overdue run keeps the place.
//!
//! # Invariants
//! There are never more threads than lanes and abandoned runs may be. Nothing
//! in here waits: a health check reads it at any time.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::WorkError;
use super::lane::Lane;
use super::monitor::Monitor;
use super::pause::OutageBackoff;
use super::slot::InFlightSlot;
use crate::clock::lock;
use crate::queue::{Consumer, QueueError};
use crate::report::{chain, rough};
use crate::telemetry;

pub(super) struct Crew {
    /// How many lanes there are to be.
    wanted: usize,
    most_abandoned: usize,
    members: Mutex<Members>,
    lanes_meter: metrics::Gauge,
    abandoned_meter: metrics::Gauge,
}

#[derive(Default)]
struct Members {
    lanes: Vec<LaneHandle>,
    /// Runs that another lane has taken the place of.
    abandoned: Vec<Arc<InFlightSlot>>,
    /// Whether lanes are missing that could not be started.
    short: bool,
    told_that_none_is_left: bool,
}

/// One lane, as others see it.
#[derive(Clone)]
pub(super) struct LaneHandle {
    pub(super) slot: Arc<InFlightSlot>,
    /// Waits in a row that brought nothing.
    pub(super) empty: Arc<AtomicU64>,
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only a health check asks"))]
    pub(super) last_seen: Arc<AtomicU64>,
    /// Its job was taken away, and its handler has not returned yet.
    overdue: bool,
}

impl LaneHandle {
    fn takes_jobs(&self) -> bool {
        !self.overdue && !self.slot.has_ended()
    }
}

impl Crew {
    pub(super) fn new(wanted: usize, most_abandoned: usize) -> Self {
        Self {
            wanted,
            most_abandoned,
            members: Mutex::default(),
            lanes_meter: metrics::gauge!(telemetry::LANES),
            abandoned_meter: metrics::gauge!(telemetry::ABANDONED),
        }
    }

    /// Those that take jobs.
    pub(super) fn lanes(&self) -> Vec<LaneHandle> {
        lock(&self.members).lanes.iter().filter(|lane| !lane.overdue).cloned().collect()
    }

    /// The job of this lane was taken away while its handler runs.
    pub(super) fn is_overdue(&self, slot: &Arc<InFlightSlot>) {
        let mut members = lock(&self.members);
        members.lanes.iter_mut().filter(|lane| Arc::ptr_eq(&lane.slot, slot)).for_each(|lane| lane.overdue = true);
    }

    /// Whether no lane has found anything for this many waits.
    pub(super) fn is_idle(&self, limit: u64) -> bool {
        let members = lock(&self.members);
        let mut taking = members.lanes.iter().filter(|lane| lane.takes_jobs()).peekable();
        // With none left nobody has looked.
        taking.peek().is_some() && taking.all(|lane| lane.empty.load(Ordering::SeqCst) >= limit)
    }

    /// Whether all that can end after a stop has ended.
    pub(super) fn has_ended(&self) -> bool {
        !lock(&self.members).lanes.iter().any(LaneHandle::takes_jobs)
    }

    /// Takes all lanes out: the worker leaves them behind.
    pub(super) fn dismiss(&self) -> Vec<LaneHandle> {
        let mut members = lock(&self.members);
        let all = std::mem::take(&mut members.lanes);
        members.abandoned.clear();
        drop(members);
        self.lanes_meter.set(0.0);
        self.abandoned_meter.set(0.0);
        all.into_iter().filter(|lane| !lane.overdue).collect()
    }

    /// Forgets the lanes that have ended, and abandons overdue runs while more
    /// may be abandoned; says how many lanes are missing.
    fn missing(&self) -> usize {
        let mut members = lock(&self.members);
        members.abandoned.retain(|slot| !slot.has_ended());
        // The monitor has yet to settle what one that panicked had in hand.
        members.lanes.retain(|lane| !lane.slot.is_left());
        while members.abandoned.len() < self.most_abandoned
            && let Some(index) = members.lanes.iter().position(|lane| lane.overdue)
        {
            let overdue = members.lanes.swap_remove(index);
            members.abandoned.push(overdue.slot);
        }
        let missing = self.wanted.saturating_sub(members.lanes.len());
        let taking = members.lanes.iter().filter(|lane| !lane.overdue).count();
        let abandoned = members.abandoned.len();
        let none_is_left = missing == 0 && taking == 0;
        let news = std::mem::replace(&mut members.told_that_none_is_left, none_is_left) != none_is_left;
        drop(members);
        self.lanes_meter.set(whole(taking));
        self.abandoned_meter.set(whole(abandoned));
        if news && none_is_left {
            tracing::error!(
                abandoned,
                lanes = self.wanted,
                "no lane is left: all handlers have exceeded their timeout and not returned"
            );
        } else if news {
            tracing::info!("a handler that exceeded its timeout has returned: taking jobs again");
        }
        missing
    }

    /// Why it takes no jobs, or fewer than it is to; `None` if all is well.
    #[cfg(feature = "http")]
    pub(super) fn trouble(&self) -> Option<String> {
        let members = lock(&self.members);
        let Members { lanes, abandoned, .. } = &*members;
        let overdue = lanes.iter().filter(|lane| lane.overdue && !lane.slot.has_ended()).count();
        if overdue >= self.wanted {
            return Some(format!(
                "{} runs have exceeded their timeout and have not returned, and no more than {} may be abandoned: \
                 no lane is left to take a job",
                overdue + abandoned.len(),
                self.most_abandoned
            ));
        }
        let there = lanes.iter().filter(|lane| !lane.slot.has_ended()).count();
        (members.short && there < self.wanted).then(|| format!("{there} lanes of {} are left", self.wanted))
    }

    fn is_short(&self, short: bool) {
        lock(&self.members).short = short;
    }

    fn add(&self, lane: LaneHandle) {
        lock(&self.members).lanes.push(lane);
    }
}

#[expect(clippy::cast_precision_loss, reason = "the facade has no whole numbers, and nobody has 2^52 threads")]
fn whole(count: usize) -> f64 {
    count as f64
}

/// Starts lanes, and tries again, ever later, while that fails. Of the monitor's
/// thread alone.
pub(super) struct Recruiter {
    /// Of lanes that ended or were abandoned.
    spare: Vec<Box<dyn Consumer>>,
    outage: OutageBackoff,
    /// Not before, in uptime.
    try_at: Option<Duration>,
    /// Since when the system has given no thread.
    no_thread_since: Option<Duration>,
}

/// Why a lane did not start.
enum Failure {
    Queue(QueueError),
    Thread(io::Error),
}

impl Recruiter {
    pub(super) fn new(spare: Vec<Box<dyn Consumer>>) -> Self {
        Self { spare, outage: OutageBackoff::default(), try_at: None, no_thread_since: None }
    }

    /// A consumer that a new lane may have.
    pub(super) fn reuse(&mut self, consumer: Box<dyn Consumer>) {
        self.spare.push(consumer);
    }

    /// Starts the lanes that are missing; says when to try again if some could
    /// not be started.
    ///
    /// # Errors
    /// If the system has given no thread for the grace of a stop: the worker is
    /// not what it is to be then, and somebody should know.
    pub(super) fn fill(&mut self, monitor: &Arc<Monitor>, uptime: Duration) -> Result<Option<Duration>, WorkError> {
        let missing = monitor.crew.missing();
        if missing == 0 {
            self.try_at = None;
        }
        for _ in 0..missing {
            if self.try_at.is_some_and(|at| uptime < at) {
                break;
            }
            match self.start(monitor) {
                Ok(()) => (self.try_at, self.no_thread_since) = (None, None),
                Err(failure) => {
                    monitor.crew.is_short(true);
                    self.failed(failure, uptime, monitor.shared.options.shutdown_grace)?;
                    break;
                }
            }
        }
        if self.try_at.is_none() && self.outage.in_trouble() {
            self.outage.over();
            monitor.crew.is_short(false);
            tracing::info!("all lanes are running again");
        }
        Ok(self.try_at)
    }

    fn start(&mut self, monitor: &Arc<Monitor>) -> Result<(), Failure> {
        let shared = &monitor.shared;
        let consumer = match self.spare.pop() {
            Some(consumer) => consumer,
            None => shared.queue.consumer(&shared.queues).map_err(Failure::Queue)?,
        };
        let lane = Lane::new(shared.clone(), monitor, consumer);
        let watched = LaneHandle {
            slot: lane.slot.clone(),
            empty: lane.empty.clone(),
            last_seen: lane.last_seen.clone(),
            overdue: false,
        };
        // Where no thread comes of it, the consumer is kept.
        let ours = Arc::new(Mutex::new(Some(lane)));
        let theirs = ours.clone();
        let work = move || {
            let lane = lock(&theirs).take();
            drop(theirs);
            if let Some(lane) = lane {
                lane.work();
            }
        };
        monitor.crew.add(watched.clone());
        if let Err(error) = thread::Builder::new().name("pulpo-lane".to_owned()).spawn(work) {
            let lane = lock(&ours).take();
            self.spare.extend(lane.and_then(|mut lane| lane.consumer.take()));
            return Err(Failure::Thread(error));
        }
        Ok(())
    }

    fn failed(&mut self, failure: Failure, uptime: Duration, grace: Duration) -> Result<(), WorkError> {
        let first = !self.outage.in_trouble();
        self.try_at = Some(uptime.saturating_add(self.outage.next()));
        match failure {
            Failure::Queue(error) => {
                if first {
                    tracing::error!(error = chain(&error), "cannot start a lane, retrying");
                }
            }
            Failure::Thread(source) => {
                let since = *self.no_thread_since.get_or_insert(uptime);
                if first {
                    let for_so_long = tracing::field::display(rough(grace));
                    tracing::error!(error = chain(&source), for_so_long, "no thread available for a lane, retrying");
                }
                let end = since.saturating_add(grace);
                if uptime >= end {
                    return Err(WorkError::NoThread { waited: grace, source });
                }
                self.try_at = self.try_at.map(|at| at.min(end));
            }
        }
        Ok(())
    }
}
