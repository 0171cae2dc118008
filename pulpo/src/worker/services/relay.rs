//! Moves jobs from the outboxes of the user's databases to the queue, with a thread for each outbox.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::clock::Notify;
use crate::outbox::{Relay, RouteOf};
use crate::report::chain;
use crate::worker::shared::Shared;

/// How long a stop waits for a relay that is moving jobs.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// The threads, which stop when this is dropped.
#[must_use]
pub(in crate::worker) struct Relays {
    is_stopped: Arc<AtomicBool>,
    wakers: Vec<Arc<Notify>>,
    /// Ends when all threads have ended.
    ended: mpsc::Receiver<()>,
}

/// Starts to move jobs. A worker that ends when it is idle first receives all jobs that were committed before.
pub(in crate::worker) fn start(shared: &Shared) -> io::Result<Relays> {
    let is_stopped = Arc::new(AtomicBool::new(false));
    let (running, ended) = mpsc::channel();
    let mut wakers = Vec::new();
    for url in &shared.options.outbox {
        let mut relay = Relay::new(
            url.clone(),
            shared.queue.clone(),
            route_of(shared),
            shared.clock.clone(),
            shared.options.outbox_poll,
        );
        if shared.options.shutdown_after_number_of_empty_iterations > 0
            && let Err(error) = relay.drain()
        {
            tracing::error!(error = chain(&error), "cannot read the outbox: starting the worker without its jobs");
        }
        wakers.push(relay.notify().clone());
        let (is_stopped, running) = (is_stopped.clone(), running.clone());
        thread::Builder::new().name("pulpo-relay".to_owned()).spawn(move || {
            let _running = running;
            // Dropped before `_running`: it holds the queue, which must be free
            // once the end of this thread is known.
            let mut relay = relay;
            relay.run(|| is_stopped.load(Ordering::SeqCst));
        })?;
    }
    Ok(Relays { is_stopped, wakers, ended })
}

/// Routes jobs by the worker's own handlers.
fn route_of(shared: &Shared) -> RouteOf {
    let (registry, default_queue) = (shared.registry.clone(), shared.options.default_queue.clone());
    Arc::new(move |request_type, body| registry.route_of(request_type, body, &default_queue))
}

impl Drop for Relays {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        self.wakers.iter().for_each(|waker| waker.notify());
        // A relay that is killed in the middle loses nothing.
        let _ = self.ended.recv_timeout(STOP_PATIENCE);
    }
}
