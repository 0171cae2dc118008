//! Shared parts of the tests of the whole system: programs, servers, and ways to disturb them.

pub mod beanstalkd;
pub mod browser;
pub mod documents;
pub mod http;
pub mod postgres;
pub mod program;
pub mod proxy;
pub mod python;
pub mod stored;
mod through;
pub mod wait;

use pulpo::MessageId;
use pulpo::queue::{Consumer, Enqueued, Lease, QueueError};

/// Returns the ids of enqueued messages.
#[must_use]
pub fn ids(enqueued: Vec<Enqueued>) -> Vec<MessageId> {
    enqueued.into_iter().map(|one| one.id).collect()
}

/// Renews one lease.
///
/// # Errors
/// Fails if the lease is lost, or if the queue cannot be reached.
pub fn touch(consumer: &mut dyn Consumer, lease: &Lease) -> Result<(), QueueError> {
    let lost = consumer.touch(std::slice::from_ref(lease))?;
    if lost.contains(lease) { Err(QueueError::LeaseLost { id: lease.id.clone() }) } else { Ok(()) }
}
