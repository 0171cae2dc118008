//! The end of a job in its lane: decides what becomes of the message, and has the queue carry it out.

use std::borrow::Cow;
use std::time::Duration;

use super::in_flight::{InFlight, InFlightJob};
use super::lane::{Lane, Processed};
use super::others::shape_of_type;
use super::outage::OutageBackoff;
use super::shared::Shared;
use crate::context::Produced;
use crate::disposition::{Disposition, RunEnd};
use crate::message::MessageId;
use crate::outcome::ReportedFailure;
use crate::queue::{Consumer, QueueError};
use crate::report::chain;

/// The remaining work for the other messages of a batch after one is settled.
#[derive(Default)]
pub(super) struct Settled {
    /// The follow-ups that are not published yet, and the result.
    pub(super) produced: Produced,
    /// Why the queue refused the follow-ups.
    pub(super) refused: Option<String>,
}

/// The result of one try to settle a message.
#[allow(clippy::large_enum_variant, reason = "each job is settled: an allocation would cost more than moving it")]
enum Tried {
    /// The monitor has taken the message away.
    GivenUp,
    /// The queue does not accept what the job published: the run has failed.
    Refused(QueueError),
    InTrouble {
        id: MessageId,
        request_type: Cow<'static, str>,
        error: QueueError,
    },
    Settled {
        job: InFlightJob,
        result: Result<(), QueueError>,
        /// `None` while others of a batch are in the slot.
        consumer: Option<Box<dyn Consumer>>,
    },
}

/// Jobs shorter than this have their commits deferred, to be written together with others.
const DEFER_BELOW: Duration = Duration::from_millis(1);

impl Lane {
    /// Settles the message in the slot: decides about it and carries that out. While the queue cannot be reached and
    /// the lease is valid, tries again. Then takes the consumer back, or continues with the next message of a batch.
    pub(super) fn settle(&mut self, processed: Processed, produced: Produced, took: Duration) -> Settled {
        self.permits.note(took < DEFER_BELOW);
        if let Processed::Ended(end) = &processed {
            self.ask_others(end);
        }
        let Some(mut disposition) = self.decide(processed, produced, took) else { return self.given_up() };
        let mut refused = None;
        let mut outage = OutageBackoff::default();
        loop {
            // Nothing is logged inside, since the monitor cannot use the slot during the call.
            match self.with_slot(|slot| try_to_settle(slot, &disposition)) {
                Tried::GivenUp => return self.given_up(),
                Tried::Refused(error) => {
                    let reason = chain(&error);
                    let failed = RunEnd::Failed(ReportedFailure::transient(reason.as_str()));
                    refused = Some(reason);
                    match self.decide(Processed::Ended(failed), Produced::default(), took) {
                        Some(decided) => disposition = decided,
                        None => return self.given_up(),
                    }
                }
                Tried::InTrouble { id, request_type, error } => {
                    if !outage.is_on() {
                        let request_type = &*request_type;
                        tracing::error!(%id, request_type, error = chain(&error), "cannot settle a message, trying again");
                    }
                    outage.wait(&self.shared.stop, &*self.shared.clock);
                }
                Tried::Settled { mut job, result, consumer } => {
                    self.consumer = consumer;
                    let produced = std::mem::take(&mut job.produced);
                    self.shared.record(&job, &disposition, &result, took);
                    return Settled { produced, refused };
                }
            }
        }
    }

    /// Decides about the message in the slot, and ends its timeout; `None` if the monitor has taken it away.
    fn decide(&self, processed: Processed, produced: Produced, took: Duration) -> Option<Disposition> {
        let (now, stopping) = (self.shared.clock.now(), self.shared.stop.requested());
        self.with_slot(|slot| {
            let job = &mut slot.as_mut()?.running;
            job.timeout = None;
            job.defer_commit = took < DEFER_BELOW || job.in_batch;
            job.produced = produced;
            Some(match processed {
                Processed::Ended(end) => {
                    job.hide_values(&end);
                    job.decide(now, end, stopping, took)
                }
                Processed::Decided(disposition) => disposition,
            })
        })
    }

    /// Returns the result for a message that the monitor settled, or put back, while its handler was running.
    fn given_up(&self) -> Settled {
        tracing::warn!(
            parent: &self.span,
            "a handler returned after its message was given up: its result does not count"
        );
        Settled::default()
    }

    /// Asks whether another worker can do what this one cannot: serve the type, or read the body.
    fn ask_others(&self, end: &RunEnd) {
        let (wanted, leaves_out) = match end {
            RunEnd::UnknownType { request_type, .. } => (vec![request_type.clone()], true),
            RunEnd::OtherShape { theirs, request_types, .. } => {
                let shape = theirs.to_string();
                (request_types.iter().map(|name| shape_of_type(name, &shape)).collect(), false)
            }
            _ => return,
        };
        let queue = self.with_slot(|held| held.as_ref().map(|held| held.running.queue.clone()));
        let Shared { queue: adapter, clock, others, .. } = &*self.shared;
        let serving = |queue: String| others.serving(&**adapter, &**clock, &queue, &wanted, leaves_out);
        let served = queue.map(serving).unwrap_or_default();
        self.with_slot(|held| held.as_mut().map(|held| held.running.attempt.served = served));
    }
}

/// Tries once to settle the message in a slot. On success the message leaves the slot, and the next of a batch takes
/// its place.
fn try_to_settle(slot: &mut Option<InFlight>, disposition: &Disposition) -> Tried {
    let Some(held) = slot else { return Tried::GivenUp };
    match held.running.carry_out(&mut *held.consumer, disposition) {
        // A permanent refusal, for instance of a message that is too large, is the fault of the run that published it.
        Err(error) if refuses_follow_ups(&error, &held.running.produced) => Tried::Refused(error),
        Err(error) if error.is_transient() => {
            let InFlightJob { lease, request_type, .. } = &held.running;
            Tried::InTrouble { id: lease.id.clone(), request_type: request_type.clone(), error }
        }
        result => {
            let (job, consumer) = match held.others.pop_front() {
                Some(next) => (std::mem::replace(&mut held.running, next), None),
                None => {
                    let held = slot.take().expect("still held");
                    (held.running, Some(held.consumer))
                }
            };
            Tried::Settled { job, result, consumer }
        }
    }
}

/// Returns whether a commit failed permanently because of its follow-ups, and not because of the message itself.
fn refuses_follow_ups(error: &QueueError, produced: &Produced) -> bool {
    let is_of_the_message = matches!(error, QueueError::LeaseLost { .. } | QueueError::Cancelled { .. });
    !produced.follow_ups.is_empty() && !error.is_transient() && !is_of_the_message
}
