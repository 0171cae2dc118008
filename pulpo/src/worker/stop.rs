//! Stopping a worker: at first gently, then at once.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use crate::clock::{Clock, Signal};
use crate::queue::QueueAdapter;

const WORKING: u8 = 0;
const GENTLY: u8 = 1;
const AT_ONCE: u8 = 2;

/// Whether the worker is to stop, known to all its threads.
pub(super) struct Stop {
    level: AtomicU8,
    queue: Arc<dyn QueueAdapter>,
    /// Wakes lanes that pause, and the monitor.
    pub(super) signal: Arc<Signal>,
}

impl Stop {
    pub(super) fn new(queue: Arc<dyn QueueAdapter>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { level: AtomicU8::new(WORKING), queue, signal: Signal::new(clock) })
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

    /// No new job is taken; those that run have the grace of the options to
    /// end, then their messages go back to the queue, uncounted.
    pub fn stop(&self) {
        self.0.gently();
    }

    /// The same without a grace.
    pub fn stop_at_once(&self) {
        self.0.request(AT_ONCE);
    }
}

/// Has SIGINT and SIGTERM stop the worker, a second one at once, until the
/// returned value is dropped.
#[cfg(unix)]
pub(super) fn watch_signals(stopper: &Stopper) -> io::Result<Watch> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    let handle = signals.handle();
    let stopper = stopper.clone();
    let thread = thread::Builder::new().name("pulpo-signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if stopper.0.requested() {
                tracing::warn!(signal, "second signal: the worker stops at once");
                stopper.stop_at_once();
            } else {
                tracing::info!(signal, "the worker stops: running jobs may end; a second signal stops at once");
                stopper.stop();
            }
        }
    })?;
    Ok(Watch { handle, thread: Some(thread) })
}

#[cfg(unix)]
pub(super) struct Watch {
    handle: signal_hook::iterator::Handle,
    thread: Option<thread::JoinHandle<()>>,
}

#[cfg(unix)]
impl Drop for Watch {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Elsewhere the process ends at once, and its leases end by themselves.
#[cfg(not(unix))]
pub(super) fn watch_signals(_: &Stopper) -> io::Result<()> {
    Ok(())
}
