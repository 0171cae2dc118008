//! Checks whether a worker makes progress, for a health check.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::in_flight::InFlightJob;
use super::shared::Shared;
use crate::report::rough;

/// How much longer than its wait a lane may stay in a call of its queue: longer than the timeout of any queue for one
/// call.
const LONGEST_AT_QUEUE: Duration = Duration::from_secs(60);

impl Shared {
    /// Returns why the worker makes no progress, if it does not: overdue runs take up all lanes, a lane is neither in a
    /// handler nor back from the queue in time, a lease is not renewed, or a lane is missing. A handler without a
    /// timeout may take as long as it likes, and a queue that refuses is not the worker's fault: it retries. This
    /// function does not wait.
    pub(super) fn stuck(&self) -> Option<String> {
        let Self { clock, options, stop, .. } = self;
        let uptime = clock.uptime();
        if let Some(trouble) = self.crew.trouble().filter(|_| !stop.requested()) {
            return Some(trouble);
        }
        let longest = options.sleep_duration.saturating_add(LONGEST_AT_QUEUE);
        self.crew.lanes().iter().find_map(|lane| {
            // Any thread that has the slot now holds it no longer than a call takes.
            lane.slot.try_with(&self.monitor, |held| {
                let Some(held) = held else {
                    let seen = Duration::from_nanos(lane.last_seen.load(Ordering::Relaxed));
                    let silent = uptime.saturating_sub(seen);
                    return (silent > longest && !lane.slot.has_ended())
                        .then(|| format!("a lane has not come back from the queue for {}", rough(silent)));
                };
                let InFlightJob { touch_at, ttr, lease, .. } = &held.running;
                let late = touch_at.is_some_and(|at| uptime > at.saturating_add((*ttr).max(LONGEST_AT_QUEUE)));
                late.then(|| format!("the lease of message {} has not been renewed", lease.id))
            })?
        })
    }
}
