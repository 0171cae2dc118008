//! The services of a worker, which run beside its jobs, on separate threads.
//!
//! A [`Service`](service::Service) has something to do at certain times; its thread calls it when that is due, until
//! the worker stops. Services that wait for others all the time, namely the pages over HTTP and the relays of outboxes,
//! have their own kinds of threads, and end when they are dropped.

use std::sync::Arc;
use std::{fmt, io};

use self::service::{Service, ServiceThread};
use super::error::WorkError;
use super::shared::Shared;
use crate::queue::QueueAdapter;
use crate::report::chain;

#[cfg(feature = "http")]
pub(super) mod http;
pub(super) mod presence;
mod pruning;
pub(super) mod relay;
pub(super) mod scheduler;
mod service;

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

/// Erases the remains of messages that were deleted from the files of the queue, if that is quick and disturbs no other
/// process.
pub(super) fn erase_deleted(queue: &dyn QueueAdapter) {
    if let Some(Err(error)) = queue.keeping().map(|keeping| keeping.erase_deleted(false)) {
        tracing::debug!(error = chain(&error), "cannot erase the remains of deleted messages");
    }
}

/// Starts all services of this worker.
///
/// # Errors
/// If an address cannot be bound, or the system provides no thread.
pub(super) fn start(
    shared: &Arc<Shared>,
    #[cfg(feature = "http")] pages: Option<axum::Router>,
) -> Result<Services, WorkError> {
    // Before any job is taken: a listen address that is taken is a mistake.
    #[cfg(feature = "http")]
    let endpoint = (shared.options.listen)
        .map(|address| {
            let refused = |source: io::Error| WorkError::Listen { address, source: source.into() };
            http::start(address, shared, pages).map_err(refused)
        })
        .transpose()?;
    let scheduler = scheduler::Scheduler::of(shared).map(|scheduler| Box::new(scheduler) as Box<dyn Service>);
    let presence = presence::Presence::of(shared).map(|presence| Box::new(presence) as Box<dyn Service>);
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
