//! A delivery: a message that a consumer has received, and the lease that settles it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::message::MessageId;

/// A message handed out to one consumer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// The lease that settles it.
    pub lease: Lease,
    /// The queue that it came from.
    pub queue: String,
    /// How many runs have failed so far, including those that ended unsettled.
    pub attempts: u32,
    /// How many of them ended unsettled: the worker crashed, or was silent for
    /// longer than the ttr.
    pub abandoned: u32,
    /// Whether there may have been one more run that ended unsettled: a worker
    /// died that had leased the message ahead, and it is unknown whether the run had
    /// begun. The counts above do not include that run. If counting it makes
    /// `max_attempts`, and a known run ended unsettled too, the message is
    /// buried and not run again. False once a run was settled.
    pub maybe_begun: bool,
    /// How often it was kicked, in a queue where a kick cannot reset the two
    /// counts above; otherwise 0. See [`Delivery::failed`]. If it is not 0, the
    /// worker ignores the `delay` in the header.
    pub kicks: u32,
    /// The time since which it could have started.
    pub due_since: DateTime<Utc>,
    /// When a worker first [left it to others](super::Settlement::LeaveToOthers), if
    /// nothing else has happened to it since. A queue that does not know
    /// returns `due_since`, as [`Delivery::new`] does.
    pub left_since: Option<DateTime<Utc>>,
    /// How long the lease lasts without a touch.
    pub ttr: Duration,
    /// The wire form, as it was written.
    pub text: Vec<u8>,
}

impl Delivery {
    /// Creates a first delivery.
    #[must_use]
    pub fn new(lease: Lease, queue: impl Into<String>, due_since: DateTime<Utc>, ttr: Duration, text: Vec<u8>) -> Self {
        let left_since = Some(due_since);
        Self {
            lease,
            queue: queue.into(),
            attempts: 0,
            abandoned: 0,
            maybe_begun: false,
            kicks: 0,
            due_since,
            left_since,
            ttr,
            text,
        }
    }

    /// Returns how many failed runs count against `max_attempts`.
    ///
    /// These are [`Delivery::attempts`], except for a message that was kicked
    /// in a queue that keeps its old counts. That queue does not know how many
    /// runs came before the kick, only that there were at most one more than
    /// `max_attempts` (the last delivery may have only buried it). So it
    /// subtracts this many for each kick. A kicked message therefore always has
    /// a full set of attempts, and an end.
    #[must_use]
    pub fn failed(&self, max_attempts: u32) -> u32 {
        self.attempts.saturating_sub(self.kicks.saturating_mul(max_attempts.saturating_add(1)))
    }
}

/// The right to settle one delivery of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The message.
    pub id: MessageId,
    /// Distinguishes this delivery from all others of the message.
    pub token: Arc<str>,
}
