//! Configuration of one handler.

use std::time::Duration;

use super::{Backoff, Policy, Rate};
use crate::message::Priority;

/// The configuration of one handler, from the table `[handlers.NAME]`. `None`
/// leaves the value of the attribute.
///
/// The queue cannot be configured: a producer without this configuration would
/// put jobs where no worker looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandlerOptions {
    /// Overrides the policy, for messages that are published with this
    /// configuration.
    pub priority: Option<Priority>,
    /// Overrides the policy.
    pub max_attempts: Option<u32>,
    /// Overrides the policy.
    pub backoff: Option<Backoff>,
    /// Overrides the policy, for messages that are published with this
    /// configuration: the length of a lease travels with the message.
    pub ttr: Option<Duration>,
    /// Overrides the policy; `Some(None)` means no timeout.
    pub timeout: Option<Option<Duration>>,
    /// The maximum number of messages that a batch handler takes at once.
    pub batch: Option<usize>,
    /// How long a batch handler waits for more messages.
    pub linger: Option<Duration>,
    /// The maximum number of its jobs that a worker runs at the same time, however many lanes it has; a batch counts as
    /// one.
    pub concurrency: Option<usize>,
    /// `Some(false)` turns its schedule off in this worker, as `cron = "off"`
    /// does. Other workers may publish its occurrences, and this one still runs
    /// its jobs.
    pub schedule: Option<bool>,
    /// Overrides the policy.
    pub rate: Option<Rate>,
    /// Overrides the policy.
    pub limit: Option<u32>,
    /// Where it was first set, for errors: `pulpo.toml:7`.
    pub origin: String,
}

impl HandlerOptions {
    /// Returns the policy with these changes.
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
