//! The types that other workers of a queue serve.
//!
//! A worker asks only when it meets a message of a type without a handler of its own. If a living worker has a handler,
//! the message belongs to that worker: this one puts it back, leaves its type out for a while, and never buries it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::{Clock, lock};
use crate::disposition::Served;
use crate::queue::{DequeueFilter, QueueAdapter};
use crate::report::chain;

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
    /// The pairs of queue and type that living workers serve.
    served: BTreeSet<(String, String)>,
    /// For each type that was looked up, when a living worker was last known to serve it.
    until: BTreeMap<String, DateTime<Utc>>,
    /// Until when each type is left out, in uptime.
    left_out: BTreeMap<String, Duration>,
}

impl OtherWorkers {
    /// Returns whether a living worker of this queue serves the type, which this one does not. From then on this worker
    /// leaves the type to that one.
    pub(super) fn serving(
        &self,
        adapter: &dyn QueueAdapter,
        clock: &dyn Clock,
        queue: &str,
        request_type: &str,
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
                        let types = report.types;
                        report.queues.into_iter().flat_map(move |queue| {
                            types.clone().into_iter().map(move |request_type| (queue.clone(), request_type))
                        })
                    };
                    known.served = all.into_iter().flat_map(|entry| of_worker(entry.report)).collect();
                    known.asked_at = Some(uptime);
                }
                Err(error) => tracing::debug!(error = chain(&error), "cannot ask what other workers serve"),
            }
        }
        if known.served.contains(&(queue.to_owned(), request_type.to_owned())) {
            known.until.insert(request_type.to_owned(), now);
            if adapter.capabilities().picks_types {
                known.left_out.insert(request_type.to_owned(), uptime.saturating_add(LEAVE_OUT));
                self.leaves_out.store(true, Ordering::Release);
            }
            return Served::Now;
        }
        known.until.get(request_type).map_or(Served::Never, |&until| Served::Until(until))
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
