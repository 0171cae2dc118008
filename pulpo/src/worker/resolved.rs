//! The jobs that this worker runs, and how: its handlers with the changes from the configuration.

use std::collections::HashMap;
use std::sync::Arc;

use super::job_metrics::JobMetrics;
use super::options::WorkerOptions;
use crate::policy::Policy;
use crate::registry::{Batch, Handler, Registry};
use crate::telemetry;

/// One handler as this worker runs it, under one of its names.
pub(super) struct ResolvedHandler {
    pub(super) name: &'static str,
    pub(super) handler: &'static Handler,
    pub(super) policy: Policy,
    /// How it takes batches, if it does.
    pub(super) batch: Option<Batch>,
    pub(super) metrics: Arc<JobMetrics>,
}

/// All handlers, by request type and alias.
pub(super) struct ResolvedHandlers {
    by_type: HashMap<&'static str, Arc<ResolvedHandler>>,
    /// The metrics of all other messages.
    pub(super) unknown: Arc<JobMetrics>,
}

impl ResolvedHandlers {
    pub(super) fn new(registry: &Registry, options: &WorkerOptions) -> Self {
        let mut by_type = HashMap::new();
        for handler in registry.iter() {
            let metrics = Arc::new(JobMetrics::new(handler.request_type()));
            for name in std::iter::once(&handler.request_type()).chain(handler.aliases()) {
                by_type.insert(*name, Arc::new(ResolvedHandler::new(name, handler, options, metrics.clone())));
            }
        }
        Self { by_type, unknown: Arc::new(JobMetrics::new(telemetry::UNKNOWN)) }
    }

    pub(super) fn get(&self, request_type: &str) -> Option<Arc<ResolvedHandler>> {
        self.by_type.get(request_type).cloned()
    }

    /// The request types whose messages have one attempt.
    pub(super) fn with_one_attempt(&self) -> Arc<[String]> {
        let of_one = self.by_type.iter().filter(|(_, resolved)| resolved.policy.max_attempts <= 1);
        of_one.map(|(name, _)| (*name).to_owned()).collect()
    }
}

impl ResolvedHandler {
    fn new(name: &'static str, handler: &'static Handler, options: &WorkerOptions, metrics: Arc<JobMetrics>) -> Self {
        let changed = options.handlers.get(handler.request_type());
        let batch = handler.batching().map(|batch| Batch {
            most: changed.and_then(|changed| changed.batch).unwrap_or(batch.most),
            linger: changed.and_then(|changed| changed.linger).unwrap_or(batch.linger),
            run: batch.run,
        });
        Self {
            name,
            handler,
            policy: changed.map_or_else(|| handler.policy().clone(), |changed| changed.apply(handler.policy())),
            batch,
            metrics,
        }
    }
}
