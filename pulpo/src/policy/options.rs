//! What a configuration changes for one handler.

use std::time::Duration;

use super::{Backoff, Policy, Rate};
use crate::message::Priority;

/// What a configuration changes in the way that one handler's jobs are run:
/// the table `[handlers.NAME]`. What is `None` stays as the attribute says.
///
/// The queue is not among it: whoever publishes without this configuration
/// would put jobs where no worker looks any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandlerOptions {
    /// In place of the policy's, for messages that are published with this
    /// configuration.
    pub priority: Option<Priority>,
    /// In place of the policy's.
    pub max_attempts: Option<u32>,
    /// In place of the policy's.
    pub backoff: Option<Backoff>,
    /// In place of the policy's, for messages that are published with this
    /// configuration: a lease's length travels with the message.
    pub ttr: Option<Duration>,
    /// In place of the policy's; `Some(None)`: no timeout.
    pub timeout: Option<Option<Duration>>,
    /// How many messages a batch handler takes at most.
    pub batch: Option<usize>,
    /// How long a batch handler waits for more.
    pub linger: Option<Duration>,
    /// How many of its jobs a worker runs at the same time, however many lanes
    /// it has; a batch is one.
    pub concurrency: Option<usize>,
    /// `Some(false)`: its schedule is off in this worker, `cron = "off"`. Others
    /// may publish its occurrences, and this one still does its jobs.
    pub schedule: Option<bool>,
    /// In place of the policy's.
    pub rate: Option<Rate>,
    /// In place of the policy's.
    pub limit: Option<u32>,
    /// Where the first of it is written, for errors: `pulpo.toml:7`.
    pub origin: String,
}

impl HandlerOptions {
    /// The policy with what is changed in it.
    #[must_use]
    pub fn apply(&self, policy: &Policy) -> Policy {
        Policy {
            queue: policy.queue,
            priority: self.priority.unwrap_or(policy.priority),
            max_attempts: self.max_attempts.unwrap_or(policy.max_attempts),
            backoff: self.backoff.unwrap_or(policy.backoff),
            ttr: self.ttr.unwrap_or(policy.ttr),
            timeout: self.timeout.unwrap_or(policy.timeout),
            rate: self.rate.or(policy.rate),
            limit: self.limit.or(policy.limit),
            ..policy.clone()
        }
    }
}
