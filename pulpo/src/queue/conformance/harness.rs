//! The parts of a case that the adapter's author provides.

use std::path::Path;
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

    /// Opens a copy that [`backup`](crate::queue::Inspection::backup) has written, as a queue of its own; `None`, as by
    /// default, if this harness cannot. Implement it if the queue has
    /// [`Capabilities::backups`](crate::queue::Capabilities::backups).
    fn restore(&self, backup: &Path) -> Option<Box<dyn QueueAdapter>> {
        let _ = backup;
        None
    }
}
