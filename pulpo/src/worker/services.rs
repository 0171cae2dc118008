//! What a worker does beside its jobs, on threads of its own.
//!
//! A [`Service`] has something to do now and then; its thread calls it when
//! that is due, until the worker stops. What waits for others all the time, the
//! pages over HTTP and the relays of outboxes, has threads of its own kind, and
//! ends when it is dropped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;
use std::{fmt, io};

use super::monitor::Monitor;
use super::stop::Stop;
use super::{Shared, WorkError};
use crate::guard;

#[cfg(feature = "http")]
pub(super) mod http;
pub(super) mod presence;
mod pruning;
pub(super) mod relay;
pub(super) mod scheduler;

/// Something that a worker looks after on a thread of its own.
pub(super) trait Service: Send + 'static {
    /// The name of its thread.
    fn name(&self) -> &'static str;

    /// Does what is due, and says in how long something may be due again. It is
    /// called again earlier if the clock is moved by hand, and not after a stop
    /// was requested, unless it outlives that.
    fn tend(&mut self) -> Duration;

    /// Whether it goes on after a stop was requested, until the lanes have
    /// ended.
    fn outlives_stop(&self) -> bool {
        false
    }

    /// Its thread ends.
    fn end(&mut self) {}
}

/// How long to leave a service alone that has panicked.
const AFTER_PANIC: Duration = Duration::from_secs(10);

/// How long a stop waits for a service that is at its work.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// The services of a running worker. They end when this is dropped.
#[must_use]
pub(super) struct Services {
    _threads: Vec<ServiceThread>,
    _relays: relay::Relays,
    #[cfg(feature = "http")]
    _endpoint: Option<crate::http::Server>,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

/// Starts all services that this worker has.
///
/// # Errors
/// If an address cannot be bound, or the system gives no thread.
pub(super) fn start(
    shared: &Arc<Shared>,
    monitor: &Arc<Monitor>,
    #[cfg(feature = "http")] pages: Option<axum::Router>,
) -> Result<Services, WorkError> {
    // Before any job is taken: an address that is taken is a mistake.
    #[cfg(feature = "http")]
    let endpoint = (shared.options.listen)
        .map(|address| {
            let refused = |source: io::Error| WorkError::Listen { address, source: source.into() };
            http::start(address, shared, monitor, pages).map_err(refused)
        })
        .transpose()?;
    let scheduler = scheduler::Scheduler::of(shared).map(|scheduler| Box::new(scheduler) as Box<dyn Service>);
    let presence = presence::Presence::of(shared, monitor).map(|presence| Box::new(presence) as Box<dyn Service>);
    let pruning = pruning::Pruning::of(shared).map(|pruning| Box::new(pruning) as Box<dyn Service>);
    let services = scheduler.into_iter().chain(presence).chain(pruning);
    let threads = services.map(|service| ServiceThread::start(service, &shared.stop));
    Ok(Services {
        _threads: threads.collect::<io::Result<_>>()?,
        _relays: relay::start(shared)?,
        #[cfg(feature = "http")]
        _endpoint: endpoint,
    })
}

/// The thread of a service.
struct ServiceThread {
    over: Arc<AtomicBool>,
    stop: Arc<Stop>,
    /// Hears of its end.
    ended: mpsc::Receiver<()>,
}

impl ServiceThread {
    /// Has the service do what is due at once, so that a worker that ends soon
    /// has done it, and then whenever something is.
    fn start(mut service: Box<dyn Service>, stop: &Arc<Stop>) -> io::Result<Self> {
        let seen = stop.requests.generation();
        let first = tend(&mut *service);
        let (over, stops) = (Arc::new(AtomicBool::new(false)), stop.clone());
        let is_over = over.clone();
        let (running, ended) = mpsc::channel();
        thread::Builder::new().name(service.name().to_owned()).spawn(move || {
            let _running = running;
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
                again = tend(&mut *service);
            }
        })?;
        Ok(Self { over, stop: stop.clone(), ended })
    }
}

impl Drop for ServiceThread {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        self.stop.requests.notify();
        // One that is at a queue that does not answer loses nothing.
        let _ = self.ended.recv_timeout(STOP_PATIENCE);
    }
}

fn tend(service: &mut dyn Service) -> Duration {
    guard::catch(|| service.tend()).unwrap_or_else(|panic| {
        tracing::error!(service = service.name(), panic, "a service of the worker has panicked, trying again");
        AFTER_PANIC
    })
}
