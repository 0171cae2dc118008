//! The duties of the thread beside the lanes: commits that were deferred,
//! messages that were leased ahead and that no lane takes, and the leases of
//! other processes that have died.
//!
//! It goes by real time, since it looks after what is really on the disk.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clock::lock;
use crate::queue::prefetch::upkeep::{Next, Upkeep};

/// How often it looks for processes that have died, if it does not hear of it.
const DEAD_SCAN_INTERVAL: Duration = Duration::from_secs(1);

/// The lock of a process is free a moment after its end is told.
const LOCK_RELEASE_DELAY: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
pub(super) struct Maintenance {
    upkeep: Arc<Upkeep>,
    /// Whether a process may have died.
    any_died: AtomicBool,
    /// When it looks for the dead, in real uptime.
    scan_at: Mutex<Duration>,
}

impl Maintenance {
    /// Starts its thread, once, which does this.
    pub(super) fn start(&self, work: impl FnMut() -> Next + Send + 'static) {
        self.upkeep.start("pulpo-upkeep", work);
    }

    /// Whether there is one.
    pub(super) fn runs(&self) -> bool {
        self.upkeep.runs()
    }

    /// Something waits now.
    pub(super) fn wake(&self) {
        self.upkeep.wake();
    }

    /// A process may have died.
    pub(super) fn scan_dead_processes(&self) {
        self.any_died.store(true, Ordering::SeqCst);
        self.upkeep.wake();
    }

    /// The queue is closed.
    pub(super) fn end(&self) {
        self.upkeep.end();
    }

    /// Whether it is time to look for processes that have died. The next time is
    /// set with that, before a scan, which reads a clock of the user's that may
    /// panic.
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

    /// In how long it will be.
    pub(super) fn scan_in(&self, uptime: Duration) -> Duration {
        lock(&self.scan_at).saturating_sub(uptime)
    }
}
