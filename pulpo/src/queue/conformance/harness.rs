//! What a case needs of the adapter's author.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::queue::QueueAdapter;

/// One queue, for one case.
pub trait Harness: Sync {
    /// Returns the queue, which was empty when the harness was created.
    fn queue(&self) -> &dyn QueueAdapter;

    /// Returns the current time of the queue.
    fn now(&self) -> DateTime<Utc>;

    /// Lets this much time pass for the queue, or a little more: moves its clock, or sleeps. The cases ask for whole
    /// seconds.
    fn pass(&self, time: Duration);
}
