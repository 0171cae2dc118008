//! What the tests of the whole system share: programs, servers, and ways to
//! trouble them.

pub mod beanstalkd;
pub mod browser;
pub mod http;
pub mod postgres;
pub mod program;
pub mod proxy;
pub mod python;
pub mod stored;
pub mod wait;

use pulpo::MessageId;
use pulpo::queue::{Consumer, Enqueued, Lease, QueueError};

/// The ids of what was enqueued.
#[must_use]
pub fn ids(enqueued: Vec<Enqueued>) -> Vec<MessageId> {
    enqueued.into_iter().map(|one| one.id).collect()
}

/// Renews one lease.
///
/// # Errors
/// If it is lost, or the queue cannot be reached.
pub fn touch(consumer: &mut dyn Consumer, lease: &Lease) -> Result<(), QueueError> {
    let lost = consumer.touch(std::slice::from_ref(lease))?;
    if lost.contains(lease) { Err(QueueError::LeaseLost { id: lease.id.clone() }) } else { Ok(()) }
}
