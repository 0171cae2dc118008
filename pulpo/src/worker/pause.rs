//! The pause after trouble with the queue: it grows, is jittered, and starts
//! anew when the trouble is over.

use std::time::Duration;

use crate::clock::Clock;
use crate::policy::Policy;

use super::stop::Stop;

const FIRST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct OutageBackoff {
    troubles: u32,
}

impl OutageBackoff {
    /// How long to wait before the next try: a little longer each time.
    pub(super) fn next(&mut self) -> Duration {
        self.troubles = self.troubles.saturating_add(1);
        Policy::DEFAULT.backoff(FIRST, MOST).backoff.delay(self.troubles, fastrand::f64())
    }

    /// Waits for that long; a stop that comes in the meantime ends it.
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

    /// Whether the last thing that was tried failed.
    pub(super) fn in_trouble(&self) -> bool {
        self.troubles > 0
    }

    /// The trouble is over.
    pub(super) fn over(&mut self) {
        self.troubles = 0;
    }
}
