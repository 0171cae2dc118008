//! How others wake the monitor, and when they need not.
//!
//! The monitor says when it will next look at the lanes. A lane that needs it
//! later than that does not wake it, so most jobs cost no hand-over between
//! threads.

use std::time::Duration;

use crate::clock::Notify;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

pub(super) struct MonitorWaker {
    notify: Arc<Notify>,
    /// When the monitor will look without being woken, in nanoseconds of
    /// uptime.
    planned: AtomicU64,
}

/// While the monitor looks at the lanes, each change must wake it: it may have
/// looked there already.
const LOOKING: u64 = u64::MAX;

impl MonitorWaker {
    pub(super) fn new(notify: Arc<Notify>) -> Self {
        Self { notify, planned: AtomicU64::new(LOOKING) }
    }

    /// Wakes the monitor unless it will look by then anyway; the time is in
    /// uptime.
    pub(super) fn wake_by(&self, at: Option<Duration>) {
        if at.is_some_and(|at| nanos(at) < self.planned.load(Ordering::SeqCst)) {
            self.wake();
        }
    }

    /// Wakes the monitor: something has changed.
    pub(super) fn wake(&self) {
        self.notify.notify();
    }

    /// The monitor begins to look at the lanes. Returns what to wait from.
    pub(super) fn look(&self) -> u64 {
        let seen = self.notify.generation();
        self.planned.store(LOOKING, Ordering::SeqCst);
        seen
    }

    /// The monitor has looked at all lanes, and waits until this time or until
    /// it is woken; `uptime` is that of its look.
    pub(super) fn wait(&self, seen: u64, next: Option<Duration>, uptime: Duration) {
        self.planned.store(next.map_or(LOOKING, nanos), Ordering::SeqCst);
        self.notify.wait(seen, next.map(|next| next.saturating_sub(uptime)));
    }
}

/// Nanoseconds of uptime, below the value that stands for a look.
pub(super) fn nanos(uptime: Duration) -> u64 {
    u64::try_from(uptime.as_nanos()).unwrap_or(LOOKING - 1)
}
