//! The pause before the queue is retried after an outage. It grows with each failure, up to ten seconds, and has
//! jitter.

use std::time::Duration;

use super::stop::Stop;
use crate::clock::Clock;
use crate::policy::Policy;

const FIRST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct OutageBackoff {
    failures: u32,
}

impl OutageBackoff {
    /// Returns the pause before the next try, which grows each time.
    pub(super) fn next(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        Policy::DEFAULT.backoff(FIRST, MOST).backoff.delay(self.failures, fastrand::f64())
    }

    /// Waits for that pause; a stop in the meantime ends it.
    pub(super) fn wait(&mut self, stop: &Stop, clock: &dyn Clock) {
        let end = clock.uptime().saturating_add(self.next());
        let stopping = stop.requested();
        loop {
            let seen = stop.signal.generation();
            let left = end.saturating_sub(clock.uptime());
            if left.is_zero() || stop.requested() != stopping {
                return;
            }
            stop.signal.wait(seen, Some(left));
        }
    }

    /// Returns whether the last try failed.
    pub(super) fn is_on(&self) -> bool {
        self.failures > 0
    }

    /// Ends the outage, because the queue is back.
    pub(super) fn over(&mut self) {
        self.failures = 0;
    }
}
