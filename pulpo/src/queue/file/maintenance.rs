//! The background thread beside the lanes: it writes deferred commits, releases messages that were leased ahead and
//! that no lane takes, ends the leases of dead processes, and makes many delayed messages ready that fall due together.
//!
//! It uses real time, since its work concerns the state on the disk.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::queue::prefetch::upkeep::{Next, Upkeep};
use crate::sync::lock;

/// How often to look for dead processes if no notification comes.
const DEAD_SCAN_INTERVAL: Duration = Duration::from_secs(1);

/// How long after the notification of its end a process may still hold its lock.
const LOCK_RELEASE_DELAY: Duration = Duration::from_millis(5);

/// The pause between two transactions that make delayed messages ready, for the writes of others.
pub(super) const BETWEEN_DELAYS: Duration = Duration::from_millis(5);

/// The same pause after an error.
pub(super) const AFTER_ERROR: Duration = DEAD_SCAN_INTERVAL;

#[derive(Debug, Default)]
pub(super) struct Maintenance {
    upkeep: Arc<Upkeep>,
    /// Whether a process may have died.
    any_died: AtomicBool,
    /// When to look for dead processes, in real uptime.
    scan_at: Mutex<Duration>,
    /// Whether more delays may be over than a lane has ended.
    has_delays_over: AtomicBool,
    /// Until when none are ended here, in real uptime.
    delays_at: Mutex<Duration>,
}

impl Maintenance {
    /// Starts the thread, once, which calls `work`.
    pub(super) fn start(&self, work: impl FnMut() -> Next + Send + 'static) {
        self.upkeep.start("pulpo-upkeep", work);
    }

    /// Returns whether the thread runs.
    pub(super) fn runs(&self) -> bool {
        self.upkeep.runs()
    }

    /// Wakes the thread because there is work.
    pub(super) fn wake(&self) {
        self.upkeep.wake();
    }

    /// Requests a scan, because a process may have died.
    pub(super) fn scan_dead_processes(&self) {
        self.any_died.store(true, Ordering::SeqCst);
        self.upkeep.wake();
    }

    /// Requests that all delays that are over are ended. Otherwise an urgent message among them would wait until the
    /// lanes have taken other ones.
    pub(super) fn end_more_delays(&self) {
        self.note_delays_over();
        self.upkeep.wake();
    }

    /// Remembers such a request, for the next time at which the thread works.
    pub(super) fn note_delays_over(&self) {
        self.has_delays_over.store(true, Ordering::SeqCst);
    }

    /// Returns whether there was such a request since the last one that was taken, and its time has come.
    pub(super) fn take_delays_over(&self, uptime: Duration) -> bool {
        uptime >= *lock(&self.delays_at) && self.has_delays_over.swap(false, Ordering::SeqCst)
    }

    /// Lets no such request be taken for this time, whatever wakes the thread.
    pub(super) fn pause_delays(&self, uptime: Duration, pause: Duration) {
        *lock(&self.delays_at) = uptime.saturating_add(pause);
    }

    /// Ends the thread, because the queue is closed.
    pub(super) fn end(&self) {
        self.upkeep.end();
    }

    /// Returns whether a scan for dead processes is due. Sets the time of the next one first, because a scan reads the
    /// user's clock, which may panic.
    pub(super) fn is_scan_due(&self, uptime: Duration) -> bool {
        let mut scan_at = lock(&self.scan_at);
        if self.any_died.swap(false, Ordering::SeqCst) {
            *scan_at = (*scan_at).min(uptime.saturating_add(LOCK_RELEASE_DELAY));
        }
        let is_due = uptime >= *scan_at;
        if is_due {
            *scan_at = uptime.saturating_add(DEAD_SCAN_INTERVAL);
        }
        is_due
    }

    /// Returns the time until the next scan, or until a request to end delays is to be taken.
    pub(super) fn again_in(&self, uptime: Duration) -> Duration {
        let scan_at = *lock(&self.scan_at);
        let at =
            if self.has_delays_over.load(Ordering::SeqCst) { scan_at.min(*lock(&self.delays_at)) } else { scan_at };
        at.saturating_sub(uptime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_between_delays_is_kept_whatever_wakes_the_thread() {
        let maintenance = Maintenance::default();
        let at = Duration::from_millis;
        assert!(maintenance.is_scan_due(at(0)) && !maintenance.take_delays_over(at(0)));
        maintenance.end_more_delays();
        assert_eq!(maintenance.again_in(at(10)), at(0));
        assert!(maintenance.take_delays_over(at(10)));
        maintenance.note_delays_over();
        maintenance.pause_delays(at(12), BETWEEN_DELAYS);
        maintenance.end_more_delays();
        assert!(!maintenance.take_delays_over(at(13)));
        assert_eq!(maintenance.again_in(at(13)), at(4));
        assert!(maintenance.take_delays_over(at(17)));
        assert_eq!(maintenance.again_in(at(17)), at(983), "the next scan");
        // A later request waits for the end of the pause too.
        maintenance.pause_delays(at(17), BETWEEN_DELAYS);
        maintenance.end_more_delays();
        assert!(!maintenance.take_delays_over(at(21)) && maintenance.take_delays_over(at(22)));
    }
}
