//! Deletes done and buried messages whose retention time is over.

use std::sync::Arc;
use std::time::Duration;

use super::service::Service;
use crate::queue::QueueAdapter;
use crate::report::chain;
use crate::worker::shared::Shared;
use crate::worker::stop::Stop;

/// How often it checks, at most and at least.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(60);

pub(super) struct Pruning {
    queue: Arc<dyn QueueAdapter>,
    stop: Arc<Stop>,
    every: Duration,
    fails: bool,
}

impl Pruning {
    /// Creates the service; `None` if everything is kept forever, or nothing is.
    pub(super) fn of(shared: &Shared) -> Option<Self> {
        let shortest = shared.options.retention.shortest()?;
        shared.queue.keeping()?;
        let every = (shortest / 10).clamp(SOONEST, LATEST);
        Some(Self { queue: shared.queue.clone(), stop: shared.stop.clone(), every, fails: false })
    }
}

impl Service for Pruning {
    fn name(&self) -> &'static str {
        "pulpo-pruning"
    }

    fn tend(&mut self) -> Duration {
        let Some(keeping) = self.queue.keeping() else { return LATEST };
        let mut messages = 0;
        let pruned = loop {
            match keeping.prune() {
                Ok(pruned) => {
                    messages += pruned.messages;
                    if !pruned.more || self.stop.requested() {
                        break Ok(());
                    }
                }
                Err(error) => break Err(error),
            }
        };
        if messages > 0 {
            tracing::info!(messages, "deleted messages whose retention is over");
        }
        let fails = pruned.is_err();
        if let Err(error) = pruned
            && !self.fails
        {
            tracing::warn!(error = chain(&error), "cannot delete messages whose retention is over, trying again");
        }
        self.fails = fails;
        self.every
    }
}
