//! The state that all threads of a worker share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::crew::Crew;
use super::limits::Limits;
use super::options::WorkerOptions;
use super::others::OtherWorkers;
use super::outage::OutageBackoff;
use super::resolved::ResolvedHandlers;
use super::services::scheduler::store::SeparateStore;
use super::stop::Stop;
use super::summary::Counts;
use super::waker::MonitorWaker;
use crate::clock::Clock;
use crate::context::WorkerEnv;
use crate::process::fork::Birthplace;
use crate::queue::{DequeueFilter, Limit, QueueAdapter, QueueError};
use crate::registry::Registry;
use crate::report::chain;

pub(super) struct Shared {
    pub(super) queue: Arc<dyn QueueAdapter>,
    pub(super) schedule_store: Option<SeparateStore>,
    pub(super) queues: Vec<String>,
    pub(super) registry: Arc<Registry>,
    pub(super) resolved: ResolvedHandlers,
    pub(super) limits: Arc<Limits>,
    /// The limits across all workers, which the queue enforces.
    pub(super) queue_limits: Arc<[Limit]>,
    /// The request types whose messages have one attempt.
    pub(super) one_attempt: Arc<[String]>,
    pub(super) options: WorkerOptions,
    pub(super) clock: Arc<dyn Clock>,
    /// The name and, if known, the version of the program.
    pub(super) program: (String, Option<String>),
    pub(super) stop: Arc<Stop>,
    pub(super) crew: Crew,
    pub(super) monitor: MonitorWaker,
    pub(super) others: OtherWorkers,
    pub(super) counts: Counts,
    /// How many lanes cannot reach the queue. The first one logs the outage, and the last one its end.
    pub(super) lanes_in_outage: AtomicUsize,
    /// The environment that handlers can query.
    pub(super) env: Arc<WorkerEnv>,
    /// The process in which the worker was started.
    pub(super) birthplace: Birthplace,
}

impl Shared {
    /// Returns the filter for all waiting messages, within the limits that the queue enforces and without the types
    /// left to other workers.
    pub(super) fn filter(&self) -> DequeueFilter {
        let all = DequeueFilter::all().limits(self.queue_limits.clone()).never_ahead(self.one_attempt.clone());
        self.others.filter(all, &*self.clock)
    }

    /// Ends the process if it is a fork that a handler made and returned in. The run belongs to the parent. The fork
    /// has none of the other threads and may find any lock taken, so nothing is cleaned up or logged.
    pub(super) fn end_fork(&self) {
        if !self.birthplace.is_here() {
            std::process::exit(1);
        }
    }

    /// Logs, for the first lane, that no messages can be taken.
    pub(super) fn report_outage(&self, outage: &OutageBackoff, error: &QueueError) {
        if !outage.is_on() && self.lanes_in_outage.fetch_add(1, Ordering::SeqCst) == 0 {
            tracing::error!(error = chain(error), "cannot take messages, retrying");
        }
    }

    /// Logs, for the last lane, that the queue is back.
    pub(super) fn outage_is_over(&self, outage: &mut OutageBackoff) {
        if outage.is_on() && self.lanes_in_outage.fetch_sub(1, Ordering::SeqCst) == 1 {
            tracing::info!("the queue is back");
        }
        outage.over();
    }
}
