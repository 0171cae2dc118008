//! One service, and its thread.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::guard;
use crate::worker::stop::Stop;

/// A recurring duty of a worker, on a separate thread.
pub(in crate::worker) trait Service: Send + 'static {
    /// Returns the name of its thread.
    fn name(&self) -> &'static str;

    /// Does what is due, and returns in how long something may be due again. It is called earlier if the clock is moved
    /// by hand, and not after a stop was requested, unless it outlives that.
    fn run_due(&mut self) -> Duration;

    /// Returns whether it continues after a stop was requested, until the lanes have ended.
    fn outlives_stop(&self) -> bool {
        false
    }

    /// Called when its thread ends.
    fn end(&mut self) {}
}

/// How long to pause a service that has panicked.
const AFTER_PANIC: Duration = Duration::from_secs(10);

/// How long a stop waits for a service that is busy.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// The thread of a service.
pub(super) struct ServiceThread {
    over: Arc<AtomicBool>,
    stop: Arc<Stop>,
    /// Notified when the thread ends.
    ended: mpsc::Receiver<()>,
}

impl ServiceThread {
    /// Starts the service. It first does what is due at once, so that even a worker that ends soon has done it, and
    /// then whenever something is due.
    pub(super) fn start(mut service: Box<dyn Service>, stop: &Arc<Stop>) -> io::Result<Self> {
        let seen = stop.requests.generation();
        let first = run_due(&mut *service);
        let (over, stops) = (Arc::new(AtomicBool::new(false)), stop.clone());
        let is_over = over.clone();
        let (running, ended) = mpsc::channel();
        thread::Builder::new().name(service.name().to_owned()).spawn(move || {
            let _running = running;
            // Dropped before `_running`: they hold the queue, which must be free
            // once the end of this thread is known.
            let (mut service, stops) = (service, stops);
            let (mut seen, mut again) = (seen, first);
            loop {
                stops.requests.wait(seen, Some(again));
                if (stops.requested() && !service.outlives_stop()) || is_over.load(Ordering::SeqCst) {
                    if let Err(panic) = guard::catch(|| service.end()) {
                        tracing::error!(service = service.name(), panic, "a service of the worker has panicked");
                    }
                    return;
                }
                seen = stops.requests.generation();
                again = run_due(&mut *service);
            }
        })?;
        Ok(Self { over, stop: stop.clone(), ended })
    }
}

impl Drop for ServiceThread {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        self.stop.requests.notify();
        // A service that waits for a queue without an answer loses nothing.
        let _ = self.ended.recv_timeout(STOP_PATIENCE);
    }
}

fn run_due(service: &mut dyn Service) -> Duration {
    guard::catch(|| service.run_due()).unwrap_or_else(|panic| {
        tracing::error!(service = service.name(), panic, "a service of the worker has panicked, trying again");
        AFTER_PANIC
    })
}
