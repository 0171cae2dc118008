//! Counts and logs the outcomes of messages.

use std::time::Duration;

use tracing::field;

use super::in_flight::InFlightJob;
use super::shared::Shared;
use super::summary::SettledAs;
use crate::disposition::Disposition;
use crate::guard;
use crate::queue::{Lease, QueueError};
use crate::report::{chain, rough};

impl Shared {
    /// Records the outcome of a message after a run that took this long.
    pub(super) fn record(
        &self,
        job: &InFlightJob,
        disposition: &Disposition,
        result: &Result<(), QueueError>,
        took: Duration,
    ) {
        let settled = SettledAs::of(disposition, result);
        self.counts.add(settled);
        // The subscriber and the recorder belong to the program: a fault there must not end a lane.
        let _ = guard::catch(|| self.log_settled(job, disposition, result, took));
        let _ = guard::catch(|| {
            job.metrics.settled(settled);
            if job.handler_called {
                job.metrics.ended(took);
            }
        });
        let _ = guard::catch(|| {
            job.span.record("duration", took.as_secs_f64()).record("outcome", settled.name());
        });
    }

    /// Logs the outcome with everything needed to find the message again. Texts from outside are escaped, so that none
    /// can forge a line.
    fn log_settled(
        &self,
        job: &InFlightJob,
        disposition: &Disposition,
        result: &Result<(), QueueError>,
        took: Duration,
    ) {
        let InFlightJob { lease, request_type, queue, attempt: state, .. } = job;
        let (id, request_type, attempt) = (lease.id.as_str(), &**request_type, state.failed.saturating_add(1));
        // Formatted only if a log takes it: most jobs are done at a level that no log shows.
        let took = || job.handler_called.then(|| field::display(rough(took)));
        match (result, disposition) {
            (Err(QueueError::Cancelled { .. }), _) => {
                let what_to_do = "cancelled, and buried: run it after all with `kick`";
                tracing::warn!(id, request_type, attempt, queue, took = took(), "{what_to_do}");
            }
            (Err(error), _) => {
                let (error, what) = (chain(error), "the outcome of a run does not count");
                tracing::warn!(id, request_type, attempt, queue, took = took(), error, "{what}");
            }
            (Ok(()), Disposition::Commit) => {
                tracing::info!(id, request_type, attempt, queue, took = took(), "done");
            }
            (Ok(()), Disposition::Expire) => {
                let expiration = state.expiration.map(field::debug);
                let why = "deleted unprocessed: its expiration has passed";
                tracing::warn!(id, request_type, queue, expiration, "{why}");
            }
            (Ok(()), Disposition::Rollback { delay, reason, counted }) => {
                let (again_in, reason) = (field::display(rough(*delay)), self.shown(reason));
                if job.snoozed && !*counted {
                    tracing::info!(id, request_type, attempt, queue, took = took(), reason, again_in, "snoozed");
                    return;
                }
                tracing::warn!(id, request_type, attempt, queue, took = took(), reason, again_in, "put back");
            }
            (Ok(()), Disposition::LeaveToOthers { delay, reason }) => {
                let again_in = field::display(rough(*delay));
                let reason = self.shown(job.logged_reason.as_ref().unwrap_or(reason));
                tracing::warn!(id, request_type, attempt, queue, took = took(), reason, again_in, "put back");
            }
            (Ok(()), Disposition::Bury { reason, .. }) => {
                let reason = self.shown(job.logged_reason.as_ref().unwrap_or(reason));
                let what_to_do = "buried: look at it with `peek`, retry it with `kick`";
                tracing::error!(id, request_type, attempt, queue, took = took(), reason, "{what_to_do}");
            }
        }
    }

    /// Corrects the record of jobs that were counted as done: their leases had ended before their commits, or a person
    /// had cancelled them.
    pub(super) fn record_lost(&self, leases: Vec<Lease>) {
        for lease in leases {
            tracing::warn!(
                id = lease.id.as_str(),
                "the outcome of a run does not count: its lease was lost, or its message cancelled, before it was settled"
            );
            self.counts.done_is_lost();
        }
    }

    /// Returns a reason for the log, escaped; `None` if the log must have no reasons.
    fn shown<'a>(&self, reason: &'a String) -> Option<field::DebugValue<&'a String>> {
        self.options.log_reasons.then(|| field::debug(reason))
    }
}
