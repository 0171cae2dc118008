//! The knowledge of the queue that the lanes of a process share: the results of their last claims.

use std::sync::Arc;
use std::time::Duration;

use super::floors::Floors;
use crate::queue::DequeueFilter;
use crate::queue::prefetch::LeaseRequest;

/// The thread that claims holds it. So the lanes of a process ask one after the
/// other, and those that follow an empty answer need not ask. All times are real
/// uptime.
#[derive(Debug, Default)]
pub(super) struct Claiming {
    /// When delayed messages were last made ready.
    pub(super) promoted: Option<Duration>,
    /// When silent leases were last searched for.
    pub(super) ended_silent: Option<Duration>,
    /// The shortest time between two such searches.
    pub(super) end_silent_every: Duration,
    pub(super) floors: Floors,
    /// When the first known lease ends.
    pub(super) lease_ends: Option<Duration>,
    /// The tokens of claims whose answers never came. No lane has the messages
    /// that they leased.
    pub(super) orphans: Vec<String>,
    /// Whether something was held back when a claim last found nothing.
    pub(super) held_back: bool,
    empty: Vec<Empty>,
}

/// There was no message for this request.
#[derive(Debug)]
struct Empty {
    queues: Arc<[String]>,
    filter: DequeueFilter,
    generation: u64,
    /// When one may be due; `None`: not known.
    until: Option<Duration>,
}

impl Claiming {
    /// Remembers that there is nothing before this time, unless a notification
    /// comes.
    pub(super) fn note_empty(&mut self, request: &LeaseRequest, generation: u64, until: Option<Duration>) {
        let LeaseRequest { queues, filter, .. } = request.clone();
        self.empty.retain(|empty| empty.generation == generation && empty.queues != queues);
        self.empty.push(Empty { queues, filter, generation, until });
    }

    /// Returns `Some` if there was nothing and no notification has come since:
    /// with the time until which that holds.
    pub(super) fn is_empty(&self, request: &LeaseRequest, generation: u64, now: Duration) -> Option<Option<Duration>> {
        let fits = |empty: &&Empty| {
            empty.generation == generation
                && empty.queues == request.queues
                && empty.filter == request.filter
                && empty.until.is_none_or(|until| now < until)
        };
        self.empty.iter().find(fits).map(|empty| empty.until)
    }
}
