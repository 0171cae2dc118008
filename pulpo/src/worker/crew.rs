//! The lanes of a worker, and the runs that it has abandoned.
//!
//! A run that has exceeded its timeout may still be in its handler: a plain function cannot be stopped from outside. It
//! is then *overdue*. Its lane is *abandoned*, and another one takes its place, as long as the bound of abandoned runs
//! allows it. Beyond that bound, the overdue run keeps its lane.
//!
//! # Invariants
//! There are never more threads than the configured lanes plus the allowed abandoned runs. Nothing in here waits: a
//! health check may read it at any time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::in_flight::InFlight;
use super::slot::InFlightSlot;
use crate::sync::lock;
use crate::telemetry;

pub(super) struct Crew {
    /// The configured number of lanes.
    wanted: usize,
    most_abandoned: usize,
    members: Mutex<Members>,
    lanes_meter: metrics::Gauge,
    abandoned_meter: metrics::Gauge,
}

#[derive(Default)]
struct Members {
    lanes: Vec<LaneHandle>,
    /// Overdue runs whose lanes have been replaced.
    abandoned: Vec<Arc<InFlightSlot<InFlight>>>,
    /// Whether lanes are missing because they could not be started.
    short: bool,
    told_that_none_is_left: bool,
}

/// One lane, as the other threads see it.
#[derive(Clone)]
pub(super) struct LaneHandle {
    pub(super) slot: Arc<InFlightSlot<InFlight>>,
    /// The number of waits in a row without a message.
    pub(super) empty: Arc<AtomicU64>,
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only a health check asks"))]
    pub(super) last_seen: Arc<AtomicU64>,
    /// Whether its job was taken away and its handler has not returned yet.
    overdue: bool,
}

impl LaneHandle {
    pub(super) fn new(slot: Arc<InFlightSlot<InFlight>>, empty: Arc<AtomicU64>, last_seen: Arc<AtomicU64>) -> Self {
        Self { slot, empty, last_seen, overdue: false }
    }

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

    /// Returns the lanes that take jobs.
    pub(super) fn lanes(&self) -> Vec<LaneHandle> {
        lock(&self.members).lanes.iter().filter(|lane| !lane.overdue).cloned().collect()
    }

    /// Marks a lane whose job was taken away while its handler runs.
    pub(super) fn is_overdue(&self, slot: &Arc<InFlightSlot<InFlight>>) {
        let mut members = lock(&self.members);
        members.lanes.iter_mut().filter(|lane| Arc::ptr_eq(&lane.slot, slot)).for_each(|lane| lane.overdue = true);
    }

    /// Returns whether every lane has had this many waits in a row without a message.
    pub(super) fn is_idle(&self, limit: u64) -> bool {
        let members = lock(&self.members);
        let mut taking = members.lanes.iter().filter(|lane| lane.takes_jobs()).peekable();
        // Without any lane, no lane has checked the queue.
        taking.peek().is_some() && taking.all(|lane| lane.empty.load(Ordering::SeqCst) >= limit)
    }

    /// Returns whether everything that can end after a stop has ended.
    pub(super) fn has_ended(&self) -> bool {
        !lock(&self.members).lanes.iter().any(LaneHandle::takes_jobs)
    }

    /// Removes all lanes; the worker leaves them behind.
    pub(super) fn dismiss(&self) -> Vec<LaneHandle> {
        let mut members = lock(&self.members);
        let all = std::mem::take(&mut members.lanes);
        members.abandoned.clear();
        drop(members);
        self.lanes_meter.set(0.0);
        self.abandoned_meter.set(0.0);
        all.into_iter().filter(|lane| !lane.overdue).collect()
    }

    /// Forgets the lanes that have ended, and abandons overdue runs as far as the bound allows. Returns how many lanes
    /// are missing.
    pub(super) fn missing(&self) -> usize {
        let mut members = lock(&self.members);
        members.abandoned.retain(|slot| !slot.has_ended());
        // The monitor still has to settle the message of a lane that panicked.
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

    /// Returns why it takes no jobs, or fewer than configured; `None` if all is well.
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

    pub(super) fn is_short(&self, short: bool) {
        lock(&self.members).short = short;
    }

    pub(super) fn add(&self, lane: LaneHandle) {
        lock(&self.members).lanes.push(lane);
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the facade has no whole numbers, and there are far fewer than 2^52 threads"
)]
fn whole(count: usize) -> f64 {
    count as f64
}
