//! Deletes done and buried messages whose retention time is over.

use std::sync::Arc;
use std::time::Duration;

use super::service::Service;
use crate::queue::{QueueAdapter, Retention};
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
    /// Creates the service; `None` if the options set no retention.
    pub(super) fn of(shared: &Shared) -> Option<Self> {
        let every = interval(shared.options.retention)?;
        // A fork has not been told: at a server, it has a state of its own.
        shared.queue.keeping()?.set_retention(shared.options.retention);
        Some(Self { queue: shared.queue.clone(), stop: shared.stop.clone(), every, fails: false })
    }
}

/// Returns how often to prune. With a retention of zero nothing new is kept, but messages from before are still there.
fn interval(retention: Retention) -> Option<Duration> {
    let every = |time: Duration| if time.is_zero() { LATEST } else { (time / 10).clamp(SOONEST, LATEST) };
    retention.done.into_iter().chain(retention.buried).map(every).min()
}

impl Service for Pruning {
    fn name(&self) -> &'static str {
        "pulpo-pruning"
    }

    fn run_due(&mut self) -> Duration {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_prunes_in_time_for_the_shorter_retention_and_also_if_nothing_is_to_be_kept() {
        let seconds = Duration::from_secs;
        let none = Retention::default();
        assert_eq!(interval(none), None);
        assert_eq!(interval(none.done(Duration::ZERO)), Some(LATEST));
        assert_eq!(interval(none.done(Duration::ZERO).buried(seconds(20))), Some(seconds(2)));
        assert_eq!(interval(none.done(seconds(7 * 86_400)).buried(seconds(1))), Some(SOONEST));
        assert_eq!(interval(none.buried(seconds(86_400))), Some(LATEST));
    }
}
