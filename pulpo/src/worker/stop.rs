//! Stops a worker, gracefully or at once.

use std::fmt;
use std::io;
use std::sync::Arc;
#[cfg(unix)]
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
#[cfg(unix)]
use std::time::Duration;

#[cfg(unix)]
use crate::clock::SystemClock;
use crate::clock::{Clock, Notify};
#[cfg(unix)]
use crate::process::signals;
use crate::queue::QueueAdapter;

const WORKING: u8 = 0;
const GENTLY: u8 = 1;
const AT_ONCE: u8 = 2;

/// Whether the worker must stop, for all its threads.
pub(super) struct Stop {
    level: AtomicU8,
    queue: Arc<dyn QueueAdapter>,
    /// Wakes lanes that pause, and the monitor.
    pub(super) signal: Arc<Notify>,
    /// Notified when a stop is requested, but not by lanes: for services.
    pub(super) requests: Arc<Notify>,
}

impl Stop {
    pub(super) fn new(queue: Arc<dyn QueueAdapter>, clock: Arc<dyn Clock>) -> Arc<Self> {
        let (signal, requests) = (Notify::new(clock.clone()), Notify::new(clock));
        Arc::new(Self { level: AtomicU8::new(WORKING), queue, signal, requests })
    }

    pub(super) fn requested(&self) -> bool {
        self.level.load(Ordering::SeqCst) >= GENTLY
    }

    pub(super) fn at_once(&self) -> bool {
        self.level.load(Ordering::SeqCst) >= AT_ONCE
    }

    pub(super) fn request(&self, level: u8) {
        self.level.fetch_max(level, Ordering::SeqCst);
        self.signal.notify();
        self.requests.notify();
        self.queue.interrupt();
    }

    pub(super) fn gently(&self) {
        self.request(GENTLY);
    }
}

/// Stops a worker from another thread.
#[derive(Clone)]
pub struct Stopper(Arc<Stop>);

impl fmt::Debug for Stopper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stopper").field("requested", &self.0.requested()).finish()
    }
}

impl Stopper {
    pub(super) fn new(stop: Arc<Stop>) -> Self {
        Self(stop)
    }

    /// Stops the worker: it takes no new jobs, and running jobs have the grace period to finish. Then their messages go
    /// back to the queue without counting an attempt.
    pub fn stop(&self) {
        self.0.gently();
    }

    /// Stops the worker without a grace period.
    pub fn stop_at_once(&self) {
        self.0.request(AT_ONCE);
    }
}

/// A second signal counts only if it comes this long after the first: some programs stop another with two signals at
/// once, one to it and one to its process group.
#[cfg(unix)]
const SECOND_SIGNAL_AFTER: Duration = Duration::from_secs(1);

/// Has SIGINT, SIGTERM and SIGHUP stop the worker, and a second one stop it at once, until the returned value is
/// dropped.
#[cfg(unix)]
pub(super) fn watch_signals(stopper: &Stopper) -> io::Result<signals::Watch> {
    let (stopper, clock, first) = (stopper.clone(), SystemClock::new(), OnceLock::new());
    signals::watch(move |signal| {
        let now = clock.uptime();
        let first = *first.get_or_init(|| {
            tracing::info!(signal, "shutting down: waiting for running jobs (signal again to stop now)");
            stopper.stop();
            now
        });
        if now.saturating_sub(first) >= SECOND_SIGNAL_AFTER {
            tracing::warn!(signal, "second signal: stopping at once");
            stopper.stop_at_once();
        }
    })
}

/// On other systems the process ends at once, and its leases end after their ttr.
#[cfg(not(unix))]
pub(super) fn watch_signals(_: &Stopper) -> io::Result<()> {
    Ok(())
}
