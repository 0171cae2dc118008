//! The duties of the thread beside the lanes: commits that were deferred,
//! messages that were leased ahead and that no lane takes, and the leases of
//! other processes that have died.
//!
//! It goes by real time, since it looks after what is really on the disk.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::shared::Shared;
use crate::clock::{Clock as _, lock};
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
    /// Starts its thread, once.
    pub(super) fn start(shared: &Arc<Shared>) {
        let weak = Arc::downgrade(shared);
        let work = move || weak.upgrade().map_or(Next::Never, |shared| shared.maintenance.work(&shared));
        shared.maintenance.upkeep.start("pulpo-upkeep", work);
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

    /// Does what is due.
    fn work(&self, shared: &Arc<Shared>) -> Next {
        let uptime = shared.real.uptime();
        let mut scan_at = *lock(&self.scan_at);
        if self.any_died.swap(false, Ordering::SeqCst) {
            scan_at = scan_at.min(uptime.saturating_add(LOCK_RELEASE_DELAY));
        }
        // Set before the scan, which reads a clock of the user's that may panic.
        let is_due = uptime >= scan_at;
        *lock(&self.scan_at) = if is_due { uptime.saturating_add(DEAD_SCAN_INTERVAL) } else { scan_at };
        if is_due {
            shared.process_lock.renew();
            shared.end_leases_of_the_dead();
        }
        let scan_in = lock(&self.scan_at).saturating_sub(shared.real.uptime());
        match shared.prefetch.tend(shared) {
            Some(again) => Next::After(again.min(scan_in)),
            None => Next::Wake(scan_in),
        }
    }
}
