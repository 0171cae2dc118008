//! Why a worker did not start, or ended early.

use std::time::Duration;

use crate::check::{Listed, Problem};
use crate::queue::QueueError;

/// Why a worker did not start, or ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkError {
    /// The handlers of this program cannot be used.
    #[error(transparent)]
    Registry(#[from] crate::registry::RegistryError),
    /// The handlers cannot do their jobs, for example because a state is
    /// missing.
    #[error("{}", Listed(.0))]
    Problems(Vec<Problem>),
    /// The queue cannot be reached.
    #[error("the worker cannot start")]
    Queue(#[from] QueueError),
    /// Cannot bind the listen address.
    #[error("the worker cannot listen at {address}")]
    #[non_exhaustive]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No thread was available for a lane for the whole grace period.
    #[error("no thread was available for a lane for {}: the worker has stopped", crate::report::rough(*.waited))]
    #[non_exhaustive]
    NoThread {
        /// How long the worker tried.
        waited: Duration,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The system provides no thread or no signal handler.
    #[error("the worker cannot start")]
    System(#[from] std::io::Error),
}
