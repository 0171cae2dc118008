//! Wakes the monitor, and decides when that is unnecessary.
//!
//! The monitor announces when it will next check the lanes. A lane that needs it later than that does not wake it, so
//! most jobs cost no hand-over between threads.

use std::time::Duration;

use crate::clock::Notify;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

pub(super) struct MonitorWaker {
    notify: Arc<Notify>,
    /// When the monitor will check without being woken, in nanoseconds of uptime.
    planned: AtomicU64,
}

/// Set while the monitor checks the lanes. Each change must wake it then: it may have checked that lane already.
const CHECKING: u64 = u64::MAX;

impl MonitorWaker {
    pub(super) fn new(notify: Arc<Notify>) -> Self {
        Self { notify, planned: AtomicU64::new(CHECKING) }
    }

    /// Wakes the monitor unless it will check by then anyway; the time is in uptime.
    pub(super) fn wake_by(&self, at: Option<Duration>) {
        if at.is_some_and(|at| nanos(at) < self.planned.load(Ordering::SeqCst)) {
            self.wake();
        }
    }

    /// Wakes the monitor, because something has changed.
    pub(super) fn wake(&self) {
        self.notify.notify();
    }

    /// Marks the start of the monitor's check of the lanes. Returns the generation to wait from.
    pub(super) fn begin_check(&self) -> u64 {
        let seen = self.notify.generation();
        self.planned.store(CHECKING, Ordering::SeqCst);
        seen
    }

    /// Ends the monitor's check of all lanes, and waits until this time or until it is woken. `uptime` is the time of
    /// the check.
    pub(super) fn wait(&self, seen: u64, next: Option<Duration>, uptime: Duration) {
        self.planned.store(next.map_or(CHECKING, nanos), Ordering::SeqCst);
        self.notify.wait(seen, next.map(|next| next.saturating_sub(uptime)));
    }
}

/// Returns nanoseconds of uptime, below the value that marks a check.
pub(super) fn nanos(uptime: Duration) -> u64 {
    u64::try_from(uptime.as_nanos()).unwrap_or(CHECKING - 1)
}
