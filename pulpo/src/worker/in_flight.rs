//! The job that a lane has in hand, with everything that settling it needs.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tracing::{Span, field};

use super::job_metrics::{InFlightGuard, JobMetrics};
use crate::context::{Cancellation, LatestProgress, Produced};
use crate::disposition::{AttemptState, Disposition, RunEnd, after_run};
use crate::guard;
use crate::outcome::FailureKind;
use crate::queue::{AttemptOutcome, Consumer, Delivery, FailedRun, Lease, NewMessage, QueueError, Settlement};
use crate::report::chain;
use crate::telemetry;

/// The consumer of a lane and the jobs that it has in hand.
pub(super) struct InFlight {
    pub(super) consumer: Box<dyn Consumer>,
    pub(super) running: InFlightJob,
    /// The others of a batch, in order, and last perhaps one that waits.
    pub(super) others: VecDeque<InFlightJob>,
    /// The progress that the handler has reported.
    pub(super) progress: Arc<LatestProgress>,
}

/// A job in hand, with everything that settling it needs.
pub(super) struct InFlightJob {
    pub(super) lease: Lease,
    pub(super) request_type: Cow<'static, str>,
    pub(super) queue: String,
    pub(super) traceparent: Option<String>,
    pub(super) attempt: AttemptState,
    /// Since when it could have been started.
    pub(super) due_since: DateTime<Utc>,
    pub(super) ttr: Duration,
    /// When to renew the lease; `None` once it is lost.
    pub(super) touch_at: Option<Duration>,
    /// Whether the last renewal failed.
    pub(super) renewal_failed: bool,
    /// When the run exceeds its timeout, and how long that timeout is.
    pub(super) timeout: Option<(Duration, Duration)>,
    /// Signals to the handler that its result no longer counts.
    pub(super) cancellation: Arc<Cancellation>,
    /// Whether the commit may be deferred, because the job was short or is one of many that are settled together.
    pub(super) defer_commit: bool,
    /// The follow-ups and the result, to publish and store if the job is done.
    pub(super) produced: Produced,
    /// Details of the run, if it failed.
    pub(super) failed_run: Option<FailedRun>,
    /// Whether it was taken together with a batch but is not part of it: its turn comes afterwards.
    pub(super) waits: bool,
    pub(super) in_batch: bool,
    /// Whether the handler was called.
    pub(super) handler_called: bool,
    /// The time of that call.
    pub(super) called_at: Option<DateTime<Utc>>,
    /// Whether it ends with a run: its body was read, and the handler called.
    pub(super) has_run: bool,
    /// Whether its handler returned a snooze.
    pub(super) snoozed: bool,
    /// The text for the log, if the reason contains values of the body.
    pub(super) logged_reason: Option<String>,
    pub(super) span: Span,
    pub(super) metrics: Arc<JobMetrics>,
    /// Counts the job as in flight while it lives.
    pub(super) _in_flight: InFlightGuard,
}

impl InFlightJob {
    pub(super) fn new(
        delivery: &Delivery,
        queue: String,
        uptime: Duration,
        attempt: AttemptState,
        cancellation: Arc<Cancellation>,
        metrics: Arc<JobMetrics>,
    ) -> Self {
        // A queue may not report a delay that is over.
        let due_since = attempt.delay.map_or(delivery.due_since, |delay| delay.max(delivery.due_since));
        Self {
            lease: delivery.lease.clone(),
            request_type: Cow::Borrowed(""),
            queue,
            traceparent: None,
            attempt,
            due_since,
            ttr: delivery.ttr,
            touch_at: Some(uptime.saturating_add(heartbeat(delivery.ttr))),
            renewal_failed: false,
            timeout: None,
            cancellation,
            defer_commit: false,
            produced: Produced::default(),
            failed_run: None,
            waits: false,
            in_batch: false,
            handler_called: false,
            called_at: None,
            has_run: false,
            snoozed: false,
            logged_reason: None,
            span: Span::none(),
            _in_flight: metrics.in_flight_guard(),
            metrics,
        }
    }

    /// Opens the span of a run with this many messages, this one first. It exists at every log level, so that each line
    /// of the handler can be attributed to this job.
    pub(super) fn open_span(&mut self, messages: usize) -> Span {
        let open = || {
            tracing::error_span!(
                "job",
                id = self.lease.id.as_str(),
                request_type = &*self.request_type,
                queue = self.queue,
                attempt = self.attempt.failed.saturating_add(1),
                batch = (messages > 1).then_some(messages),
                traceparent = self.traceparent,
                duration = field::Empty,
                outcome = field::Empty,
            )
        };
        // The subscriber belongs to the program.
        self.span = guard::catch(open).unwrap_or_else(|_| Span::none());
        self.span.clone()
    }

    /// Keeps values of the body out of the log. A reason may quote the body, as serde's errors do: the queue stores it
    /// in full beside that body, and the log has it without values.
    pub(super) fn hide_values(&mut self, end: &RunEnd) {
        self.logged_reason = match end {
            RunEnd::Unreadable(error) => Some(error.without_values()),
            RunEnd::OtherShape { error, .. } => {
                Some(format!("{}; another version of the program wrote it", error.without_values()))
            }
            _ => return,
        };
    }

    /// Returns the state of this attempt, for a decision at this time.
    pub(super) fn attempt_at(&mut self, now: DateTime<Utc>, stopping: bool) -> &AttemptState {
        (self.attempt.now, self.attempt.jitter, self.attempt.stopping) = (now, fastrand::f64(), stopping);
        &self.attempt
    }

    /// Returns when the monitor must check it, in uptime.
    pub(super) fn next(&self) -> Option<Duration> {
        self.touch_at.into_iter().chain(self.timeout.map(|(at, _)| at)).min()
    }

    /// Returns whether its lease is lost, as far as this worker knows.
    pub(super) fn is_lost(&self) -> bool {
        self.touch_at.is_none()
    }

    /// Has the lease renewed at this time at the latest, unless it is lost.
    pub(super) fn renew_by(&mut self, uptime: Duration) {
        self.touch_at = self.touch_at.map(|at| at.min(uptime));
    }

    /// Has the lease renewed at this time, if the last try failed.
    pub(super) fn renew_again(&mut self, uptime: Duration) {
        if self.renewal_failed {
            self.renew_by(uptime);
        }
    }

    fn must_be_renewed(&self, uptime: Duration) -> bool {
        self.touch_at.is_some_and(|at| uptime >= at)
    }

    fn renewed(&mut self, uptime: Duration) {
        self.touch_at = Some(uptime.saturating_add(heartbeat(self.ttr)));
        self.renewal_failed = false;
    }

    fn lease_lost(&mut self) {
        self.touch_at = None;
        let what = if self.handler_called {
            "the lease was lost while the job is running: its result will not count"
        } else {
            "the lease was lost before the job began"
        };
        tracing::warn!(id = %self.lease.id, request_type = &*self.request_type, "{what}");
        // The others of a batch still count.
        if !self.in_batch {
            self.cancellation.cancel();
        }
    }

    fn not_renewed(&mut self, uptime: Duration, error: &QueueError) {
        // Sooner than the next heartbeat, since the lease is about to end.
        self.touch_at = Some(uptime.saturating_add((heartbeat(self.ttr) / 10).max(Duration::from_millis(50))));
        if !std::mem::replace(&mut self.renewal_failed, true) {
            tracing::warn!(id = %self.lease.id, request_type = &*self.request_type, error = chain(error), "cannot renew the lease, trying again");
        }
    }
}

/// Renews the leases that are due, in one call.
pub(super) fn renew<'a>(
    consumer: &mut dyn Consumer,
    all: impl IntoIterator<Item = &'a mut InFlightJob>,
    uptime: Duration,
) {
    let mut due: Vec<_> = all.into_iter().filter(|running| running.must_be_renewed(uptime)).collect();
    if due.is_empty() {
        return;
    }
    let leases: Vec<_> = due.iter().map(|running| running.lease.clone()).collect();
    match consumer.touch(&leases) {
        Ok(lost) if lost.is_empty() => due.iter_mut().for_each(|running| running.renewed(uptime)),
        Ok(lost) => {
            for running in due {
                if lost.contains(&running.lease) { running.lease_lost() } else { running.renewed(uptime) }
            }
        }
        Err(error) => due.iter_mut().for_each(|running| running.not_renewed(uptime, &error)),
    }
}

/// Returns the interval of renewals: three in the life of a lease, so that one late or lost renewal does no harm.
fn heartbeat(ttr: Duration) -> Duration {
    ttr / 3
}

impl InFlight {
    /// Renews the leases that are due.
    pub(super) fn touch(&mut self, uptime: Duration) {
        renew(&mut *self.consumer, std::iter::once(&mut self.running).chain(&mut self.others), uptime);
    }

    /// Returns when the monitor must check it, in uptime.
    pub(super) fn next(&self) -> Option<Duration> {
        std::iter::once(&self.running).chain(&self.others).filter_map(InFlightJob::next).min()
    }

    /// Returns the jobs that the handler was called with, in order.
    pub(super) fn running(&self) -> impl Iterator<Item = &InFlightJob> {
        std::iter::once(&self.running).chain(&self.others).filter(|running| running.handler_called && !running.waits)
    }

    /// Marks the message of this lease as cancelled by a person. The handler is notified unless others of its batch
    /// still count.
    pub(super) fn cancel(&mut self, lease: &Lease) {
        let all = std::iter::once(&mut self.running).chain(&mut self.others);
        all.filter(|running| running.lease == *lease).for_each(|running| running.attempt.cancelled = true);
        if self.running().all(|running| running.attempt.cancelled) {
            self.running.cancellation.cancel();
        }
    }

    /// Records the call of the handler with all jobs in hand that do not wait.
    pub(super) fn begin(&mut self, now: DateTime<Utc>) {
        for running in std::iter::once(&mut self.running).chain(&mut self.others).filter(|running| !running.waits) {
            running.handler_called = true;
            running.called_at = Some(now);
            let first = running.attempt.failed == 0;
            running.metrics.started(first.then(|| (now - running.due_since).to_std().unwrap_or_default()));
        }
    }
}

impl InFlightJob {
    /// Decides by how the run ended.
    pub(super) fn decide(&mut self, now: DateTime<Utc>, ending: RunEnd, stopping: bool, took: Duration) -> Disposition {
        let was_read =
            !matches!(ending, RunEnd::Unreadable(_) | RunEnd::OtherShape { .. } | RunEnd::UnknownType { .. });
        self.has_run = self.handler_called && was_read;
        self.snoozed = is_snooze(&ending);
        self.failed_run = outcome(&ending).map(|outcome| {
            let since = || chrono::TimeDelta::from_std(took).map_or(now, |took| now - took);
            FailedRun::new(self.called_at.unwrap_or_else(since), took, outcome)
        });
        after_run(self.attempt_at(now, stopping), ending)
    }

    /// Returns how long it has been running; zero if its handler was not called.
    pub(super) fn ran_for(&self, now: DateTime<Utc>) -> Duration {
        self.called_at.and_then(|called_at| (now - called_at).to_std().ok()).unwrap_or_default()
    }

    /// Carries out the decision about the message.
    pub(super) fn carry_out(
        &mut self,
        consumer: &mut dyn Consumer,
        disposition: &Disposition,
    ) -> Result<(), QueueError> {
        let mut settlement = self.settlement(disposition);
        let named = |new: &NewMessage| (new.request_type.clone(), new.queue.clone());
        let following: Vec<_> = settlement.follow_ups().iter().map(named).collect();
        let settled = consumer.settle(&self.lease, &mut settlement);
        if let Settlement::Commit { follow_ups, .. } = settlement {
            let kept = following.len().saturating_sub(follow_ups.len());
            following[..kept].iter().for_each(|(request_type, queue)| telemetry::published(request_type, queue, 1));
            // The rest is left for the next try.
            self.produced.follow_ups = follow_ups;
        }
        settled
    }

    /// Returns what the queue must do for this decision. Takes the follow-ups of a commit.
    pub(super) fn settlement(&mut self, disposition: &Disposition) -> Settlement {
        match disposition {
            Disposition::Commit => {
                let follow_ups = std::mem::take(&mut self.produced.follow_ups);
                Settlement::Commit { follow_ups, result: self.produced.result.clone(), deferrable: self.defer_commit }
            }
            Disposition::Expire => Settlement::Expire,
            Disposition::Rollback { delay, reason, counted } => Settlement::Rollback {
                delay: *delay,
                reason: reason.clone(),
                counted: *counted,
                ran: self.has_run,
                run: self.failed_run,
            },
            Disposition::LeaveToOthers { delay, reason } => Settlement::leave_to_others(*delay, reason),
            Disposition::Bury { reason, counted } => {
                Settlement::Bury { reason: reason.clone(), counted: *counted, ran: self.has_run, run: self.failed_run }
            }
        }
    }
}

/// Returns how a run failed; `None` if it did not fail, or there was none.
fn outcome(ending: &RunEnd) -> Option<AttemptOutcome> {
    match ending {
        _ if is_snooze(ending) => None,
        RunEnd::Failed(_) | RunEnd::Unreadable(_) => Some(AttemptOutcome::Failed),
        RunEnd::Panicked(_) => Some(AttemptOutcome::Panicked),
        RunEnd::TimedOut(_) => Some(AttemptOutcome::TimedOut),
        RunEnd::Done | RunEnd::OtherShape { .. } | RunEnd::UnknownType { .. } | RunEnd::ShutDown => None,
    }
}

fn is_snooze(ending: &RunEnd) -> bool {
    matches!(ending, RunEnd::Failed(failure) if matches!(failure.kind, FailureKind::Snooze(_)))
}
