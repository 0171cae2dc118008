//! Outages of the server, during which no lease can be renewed.

use std::time::Duration;

/// Longer than any lease: there was no outage, and no lease is spared.
const NO_OUTAGE: f64 = 1e18;

/// The last outage. All times are real uptime.
#[derive(Debug, Default)]
pub(super) struct Outage {
    is_on: bool,
    /// When the last one ended.
    ended: Option<Duration>,
}

impl Outage {
    /// Records whether the server could be reached.
    pub(super) fn note(&mut self, reached: bool, now: Duration) {
        if self.is_on && reached {
            self.ended = Some(now);
        }
        self.is_on = !reached;
    }

    /// Returns for how many seconds leases could be renewed.
    pub(super) fn renewable_for(&self, now: Duration) -> f64 {
        match self.ended {
            _ if self.is_on => 0.0,
            Some(ended) => now.saturating_sub(ended).as_secs_f64(),
            None => NO_OUTAGE,
        }
    }
}
