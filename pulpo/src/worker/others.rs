//! The types that other workers of a queue serve, and the shapes of the bodies that they read.
//!
//! A worker asks only when it meets a message of a type without a handler of its own. If a living worker has a handler,
//! the message belongs to that worker: this one puts it back, leaves its type out for a while, and never buries it. The
//! same holds for a body of another shape that it cannot read, but it goes on taking the type.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::disposition::Served;
use crate::queue::{DequeueFilter, QueueAdapter};
use crate::report::chain;
use crate::sync::lock;

/// How long an answer of the queue is valid.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// How long to leave out a type that others serve.
const LEAVE_OUT: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct OtherWorkers {
    known: Mutex<Known>,
    /// Whether any type is left out: lanes ask before each message.
    leaves_out: AtomicBool,
}

#[derive(Debug, Default)]
struct Known {
    asked_at: Option<Duration>,
    /// The pairs of queue and type, with a shape or without, that living workers serve.
    served: BTreeSet<(String, String)>,
    /// For each type that was looked up, when a living worker was last known to serve it.
    until: BTreeMap<String, DateTime<Utc>>,
    /// Until when each type is left out, in uptime.
    left_out: BTreeMap<String, Duration>,
}

impl OtherWorkers {
    /// Returns whether a living worker of this queue serves one of these: a type, or a type with a shape as
    /// [`shape_of_type`] writes it. From then on, if `leaves_out`, this worker leaves the type to that one.
    pub(super) fn serving(
        &self,
        adapter: &dyn QueueAdapter,
        clock: &dyn Clock,
        queue: &str,
        wanted: &[String],
        leaves_out: bool,
    ) -> Served {
        let Some(workers) = adapter.workers() else { return Served::Never };
        let (uptime, now) = (clock.uptime(), clock.now());
        let mut known = lock(&self.known);
        if known.asked_at.is_none_or(|at| uptime.saturating_sub(at) >= ASK_EVERY) {
            // Not under our lock: a database may take long.
            drop(known);
            let asked = workers.read_workers();
            known = lock(&self.known);
            match asked {
                Ok(all) => {
                    let of_worker = |report: crate::queue::WorkerReport| {
                        let shapes = report.shapes.iter().map(|(name, shape)| shape_of_type(name, shape));
                        let served: Vec<_> = report.types.iter().cloned().chain(shapes).collect();
                        report.queues.into_iter().flat_map(move |queue| {
                            served.clone().into_iter().map(move |served| (queue.clone(), served))
                        })
                    };
                    known.served = all.into_iter().flat_map(|entry| of_worker(entry.report)).collect();
                    known.asked_at = Some(uptime);
                }
                Err(error) => tracing::debug!(error = chain(&error), "cannot read which types other workers serve"),
            }
        }
        let served =
            wanted.iter().find(|wanted| known.served.contains(&(queue.to_owned(), (*wanted).clone()))).cloned();
        if let Some(served) = served {
            known.until.insert(served.clone(), now);
            if leaves_out && adapter.capabilities().picks_types {
                known.left_out.insert(served, uptime.saturating_add(LEAVE_OUT));
                self.leaves_out.store(true, Ordering::Release);
            }
            return Served::Now;
        }
        let until = wanted.iter().filter_map(|wanted| known.until.get(wanted)).max();
        until.map_or(Served::Never, |&until| Served::Until(until))
    }

    /// Leaves out the types that other workers serve.
    pub(super) fn filter(&self, mut filter: DequeueFilter, clock: &dyn Clock) -> DequeueFilter {
        if self.leaves_out.load(Ordering::Acquire) {
            let uptime = clock.uptime();
            let mut known = lock(&self.known);
            known.left_out.retain(|_, until| uptime < *until);
            self.leaves_out.store(!known.left_out.is_empty(), Ordering::Release);
            filter.except_types.extend(known.left_out.keys().cloned());
        }
        filter
    }
}

/// Writes a type together with the shape of a body: a worker that has this shape reads such a body, and no other worker
/// is known to. Two workers that cannot read it must not leave it to each other.
pub(super) fn shape_of_type(request_type: &str, shape: &str) -> String {
    format!("{request_type} {shape}")
}
