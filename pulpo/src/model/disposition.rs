//! Decides what happens to a message. Nothing else does.
//!
//! Pure functions: they take what is known about the message and how its run ended, and return a decision for an
//! adapter to carry out. A test compares the table of outcomes in the guide's page on failures
//! with this module.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::message::MessageError;
use crate::outcome::{FailureKind, ReportedFailure};
use crate::policy::Policy;
use crate::report::limited;
use crate::shape::ShapeId;

/// The longest pause between two checks of a message of an unknown request type.
pub(crate) const UNKNOWN_TYPE_LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The pause of a message that a living worker has a handler for. Its type is left out, so it does not come back at once.
const SERVED_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause of a message that a living worker can read. Its type is taken, so it comes back each time.
const READABLE_LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The burial reason of a message that a person cancelled.
pub(crate) const CANCELLED: &str = "cancelled";

/// How a delivery ended, or why its run did not begin.
#[derive(Debug)]
pub(crate) enum RunEnd {
    /// The handler returned `Ok` or `()`.
    Done,
    /// The handler returned an error.
    Failed(ReportedFailure),
    /// The handler panicked, with this text.
    Panicked(String),
    /// The handler ran for longer than its policy allows.
    TimedOut(Duration),
    /// The message, or its body, is not valid.
    Unreadable(MessageError),
    /// The body does not fit, and the program that wrote it has a different type for it.
    OtherShape {
        /// The error of decoding the body.
        error: MessageError,
        /// The request types that the handler serves.
        request_types: Vec<&'static str>,
        /// The shape of the producer's type.
        theirs: ShapeId,
        /// The shape of this program's type.
        ours: ShapeId,
        /// How long the worker keeps such a message in the queue.
        grace: Duration,
    },
    /// No handler of this worker serves the request type.
    UnknownType {
        /// The request type.
        request_type: String,
        /// The request types that this worker serves.
        known: String,
        /// How long the worker keeps such a message in the queue.
        grace: Duration,
    },
    /// The worker stops and cannot wait for the handler.
    ShutDown,
}

/// The facts about a message, apart from how its run ended.
#[derive(Clone, Debug)]
pub(crate) struct AttemptState {
    /// The number of earlier runs that failed.
    pub(crate) failed: u32,
    /// The number of failed runs in which the worker died or stopped renewing the lease.
    pub(crate) lost: u32,
    /// Whether there may have been one more such run, which was not seen to begin.
    pub(crate) maybe_begun: bool,
    /// The earliest start.
    pub(crate) delay: Option<DateTime<Utc>>,
    /// The latest start.
    pub(crate) expiration: Option<DateTime<Utc>>,
    /// When workers began to leave it to others; `None` if this is the first look.
    pub(crate) left_since: Option<DateTime<Utc>>,
    /// Whether another worker has a handler for its request type, or can read its body, where this worker cannot.
    pub(crate) served: Served,
    /// The policy of its handler; the default policy for an unknown type.
    pub(crate) policy: Policy,
    /// The queue's time.
    pub(crate) now: DateTime<Utc>,
    /// A random number from 0 to 1.
    pub(crate) jitter: f64,
    /// Whether the worker is stopping: a run that fails now may have failed because of that.
    pub(crate) stopping: bool,
    /// Whether a person has cancelled it.
    pub(crate) cancelled: bool,
}

/// Whether another living worker can do a message that this one cannot do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Served {
    /// No such worker is known.
    #[default]
    Never,
    /// There was one until this time.
    Until(DateTime<Utc>),
    /// There is one.
    Now,
}

/// The decision about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// Done: delete or archive it.
    Commit,
    /// Too late: delete or archive it without a run.
    Expire,
    /// Not now: make it ready again after `delay`.
    Rollback {
        /// Counted from now.
        delay: Duration,
        reason: String,
        /// Whether this counts as an attempt.
        counted: bool,
    },
    /// Not here: make it ready again after `delay`, for a worker that knows its type or can read its body.
    LeaveToOthers {
        /// Counted from now.
        delay: Duration,
        reason: String,
    },
    /// Keep it for a person.
    Bury {
        reason: String,
        /// Whether this counts as an attempt.
        counted: bool,
    },
}

/// Decides about a message that was just dequeued; `None` means run it.
pub(crate) fn before_run(at: &AttemptState) -> Option<Disposition> {
    if at.cancelled {
        return Some(cancelled());
    }
    untimely(at).or_else(|| {
        // If every run was settled, the last settlement granted this one, whatever the count: some queues overcount.
        let uncounted = at.failed < at.policy.max_attempts;
        // A message that has killed every worker since then has most likely killed the one that may have begun it too.
        let failed = at.failed.saturating_add(u32::from(at.maybe_begun));
        let worn_out = failed >= at.policy.max_attempts && at.lost > 0;
        worn_out.then(|| Disposition::Bury { reason: worn_out_reason(at, uncounted), counted: uncounted })
    })
}

/// Decides about a message that is too late or too early, whatever its request type.
pub(crate) fn untimely(at: &AttemptState) -> Option<Disposition> {
    if at.expiration.is_some_and(|expiration| expiration < at.now) {
        return Some(Disposition::Expire);
    }
    if let Some(early) = at.delay.and_then(|delay| (delay - at.now).to_std().ok()).filter(|d| !d.is_zero()) {
        // The producer gave the delay only inside the message, not to the queue.
        let reason = "its delay is not over".to_owned();
        return Some(Disposition::Rollback { delay: early, reason, counted: false });
    }
    None
}

/// Returns the disposition of a message that a person cancelled, however its run ended.
fn cancelled() -> Disposition {
    Disposition::Bury { reason: CANCELLED.to_owned(), counted: false }
}

/// Returns the reason for burying a message that has no attempts left and whose last run was never settled.
/// `uncounted`: one more run than the counts say.
fn worn_out_reason(at: &AttemptState, uncounted: bool) -> String {
    let (lost, failed) = (at.lost + u32::from(uncounted), at.failed + u32::from(uncounted));
    let died = format!("its worker died {} (or fell silent for longer than its ttr)", times(lost));
    if lost == failed { died } else { format!("{died} in {failed} attempts") }
}

fn times(n: u32) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}

/// Decides about a message after its run.
pub(crate) fn after_run(at: &AttemptState, ending: RunEnd) -> Disposition {
    if at.cancelled {
        return cancelled();
    }
    match ending {
        RunEnd::Done => Disposition::Commit,
        RunEnd::Failed(ReportedFailure { kind, text }) => match kind {
            FailureKind::Fatal => Disposition::Bury { reason: reason(text), counted: true },
            FailureKind::Transient => again(at, text, None),
            FailureKind::RetryAfter(delay) => again(at, text, Some(delay)),
            FailureKind::Snooze(delay) => Disposition::Rollback { delay, reason: reason(text), counted: false },
        },
        RunEnd::Panicked(text) => again(at, format!("panicked: {text}"), None),
        RunEnd::TimedOut(limit) => again(at, format!("timed out after {}", humantime::format_duration(limit)), None),
        RunEnd::Unreadable(error) => Disposition::Bury { reason: limited(error.to_string()), counted: false },
        RunEnd::OtherShape { error, theirs, ours, grace, .. } => {
            let why = limited(error.to_string());
            let why = format!(
                "{why}; another version of the program wrote it (the shape of its body is {theirs}, here {ours})"
            );
            let waits = format!("{why}, and it waits for a worker that can read it");
            let limit = humantime::format_duration(grace);
            let buried = format!("{why}, and no worker that can read it came within {limit}");
            let pause = waited(at, at.left_since).clamp(Duration::from_secs(1), READABLE_LONGEST_PAUSE);
            wait_for_another(at, grace, pause, waits, buried)
        }
        RunEnd::UnknownType { request_type, known, grace } => {
            let why = format!("no handler for the request type `{}`", limited(request_type));
            let (waits, buried) = (format!("{why} in this worker"), format!("{why}; this worker knows: {known}"));
            wait_for_another(at, grace, SERVED_PAUSE, waits, buried)
        }
        RunEnd::ShutDown => Disposition::Rollback {
            delay: Duration::ZERO,
            reason: "its worker was shut down".to_owned(),
            counted: false,
        },
    }
}

/// Returns the reason of a failure, which is never empty.
fn reason(text: String) -> String {
    if text.trim().is_empty() { "an error without a text".to_owned() } else { limited(text) }
}

fn again(at: &AttemptState, reason: String, delay: Option<Duration>) -> Disposition {
    let mut reason = self::reason(reason);
    if at.stopping {
        // A signal to the process group ends a handler's child processes too,
        // and a stop may close what the handler uses.
        reason.push_str(" (while its worker was shutting down: not counted)");
        return Disposition::Rollback { delay: delay.unwrap_or_default(), reason, counted: false };
    }
    let attempt = at.failed.saturating_add(1);
    if attempt >= at.policy.max_attempts {
        if attempt > 1 {
            let _ = write!(reason, " (attempt {attempt} of {})", at.policy.max_attempts);
        }
        return Disposition::Bury { reason, counted: true };
    }
    let delay = delay.unwrap_or_else(|| at.policy.backoff.delay(attempt, at.jitter));
    Disposition::Rollback { delay, reason, counted: true }
}

/// Returns the time since then.
fn waited(at: &AttemptState, since: Option<DateTime<Utc>>) -> Duration {
    since.and_then(|since| (at.now - since).to_std().ok()).unwrap_or_default()
}

/// Leaves the message to a worker of another version, which may know the type or read the body. It is looked at less
/// and less often until the grace period is over. The period starts with the first look, since the message may have
/// waited for other reasons before. `served_pause` is the pause if a living worker can do it.
fn wait_for_another(
    at: &AttemptState,
    grace: Duration,
    served_pause: Duration,
    waits: String,
    buried: String,
) -> Disposition {
    let since = match at.served {
        // A living worker serves it, however long that takes.
        Served::Now => return Disposition::LeaveToOthers { delay: served_pause, reason: waits },
        // That worker may come back, for instance after a restart.
        Served::Until(until) => at.left_since.map(|since| since.max(until)),
        Served::Never => at.left_since,
    };
    let waited = waited(at, since);
    let left = grace.saturating_sub(waited);
    if left.is_zero() {
        return Disposition::Bury { reason: buried, counted: false };
    }
    let delay = waited.clamp(Duration::from_secs(1), UNKNOWN_TYPE_LONGEST_PAUSE).min(left);
    Disposition::LeaveToOthers { delay, reason: waits }
}

#[cfg(test)]
mod tests;
