//! Decides what happens to a message: the only place that does.
//!
//! Pure functions from what is known of the message, and how its run ended, to
//! what an adapter then carries out. The outcome table in the README describes
//! this module.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::message::MessageError;
use crate::outcome::{FailureKind, ReportedFailure};
use crate::policy::Policy;
use crate::report::limited;
use crate::shape::ShapeId;

/// How long messages of an unknown request type are kept in the queue, and
/// how long at most between two looks at one.
pub(crate) const UNKNOWN_TYPE_LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long a message waits for a worker that is there and has a handler for it.
const SERVED_PAUSE: Duration = Duration::from_millis(100);

/// The reason of a burial that a person asked for.
pub(crate) const CANCELLED: &str = "cancelled";

/// How one delivery of a message ended, or why it did not begin.
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
    /// Not a message, or its body does not fit.
    Unreadable(MessageError),
    /// Its body does not fit, and was written by a program whose type for it is
    /// another one.
    OtherShape {
        /// What does not fit.
        error: MessageError,
        /// The shape of that program's type.
        theirs: ShapeId,
        /// The shape of the type here.
        ours: ShapeId,
        /// How long the worker keeps such a message in the queue.
        grace: Duration,
    },
    /// No handler here serves its request type.
    UnknownType {
        /// That type.
        request_type: String,
        /// Those that this worker serves.
        known: String,
        /// How long it keeps such a message in the queue.
        grace: Duration,
    },
    /// The worker stops and cannot wait for the handler.
    ShutDown,
}

/// What is known of a message beside how its run ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation<'a> {
    /// How many runs failed before this one.
    pub(crate) failed: u32,
    /// How many of those ended with the death or the silence of the worker.
    pub(crate) lost: u32,
    /// Not to be started before.
    pub(crate) delay: Option<DateTime<Utc>>,
    /// Not to be started after.
    pub(crate) expiration: Option<DateTime<Utc>>,
    /// Since when workers have left it to others; `None`: this is the first.
    pub(crate) left_since: Option<DateTime<Utc>>,
    /// Whether another worker has a handler for it, of a type that this one does
    /// not know.
    pub(crate) served: Served,
    /// The policy of its handler; for an unknown type, the default one.
    pub(crate) policy: &'a Policy,
    /// The queue's time.
    pub(crate) now: DateTime<Utc>,
    /// From 0 to 1, random.
    pub(crate) jitter: f64,
    /// Whether the worker was asked to stop: what fails then may have failed for
    /// that reason.
    pub(crate) stopping: bool,
    /// Whether a person has cancelled it.
    pub(crate) cancelled: bool,
}

/// Whether a living worker has a handler for a message that this worker has none
/// for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Served {
    /// Not that this worker knows.
    #[default]
    Never,
    /// There was one until then.
    Until(DateTime<Utc>),
    /// There is one.
    Now,
}

/// What is to be done with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// Done: delete it, or archive it.
    Commit,
    /// Too late: delete it unprocessed, or archive it.
    Expire,
    /// Not now: ready again after `delay`.
    Rollback {
        /// From now.
        delay: Duration,
        /// Why.
        reason: String,
        /// Whether it was an attempt.
        counted: bool,
    },
    /// Not here: ready again after `delay`, for a worker that knows its type or reads its body.
    LeaveToOthers {
        /// From now.
        delay: Duration,
        /// Why.
        reason: String,
    },
    /// Keep it for a person.
    Bury {
        /// Why.
        reason: String,
        /// Whether it was an attempt.
        counted: bool,
    },
}

/// Whether a message that was just dequeued is to be run (`None`), or what
/// else becomes of it.
pub(crate) fn before_run(at: &Situation<'_>) -> Option<Disposition> {
    if at.cancelled {
        return Some(cancelled());
    }
    untimely(at).or_else(|| {
        // Where each run ended with a word, whoever gave it left this run to
        // the message; the counts of some queues are then too high.
        let worn_out = at.failed >= at.policy.max_attempts && at.lost > 0;
        worn_out.then(|| Disposition::Bury { reason: worn_out_reason(at), counted: false })
    })
}

/// Whether a message is too late or too early, whatever its request type.
pub(crate) fn untimely(at: &Situation<'_>) -> Option<Disposition> {
    if at.expiration.is_some_and(|expiration| expiration < at.now) {
        return Some(Disposition::Expire);
    }
    if let Some(early) = at.delay.and_then(|delay| (delay - at.now).to_std().ok()).filter(|d| !d.is_zero()) {
        // Put into the queue by someone who said the delay only inside.
        let reason = "its delay is not over".to_owned();
        return Some(Disposition::Rollback { delay: early, reason, counted: false });
    }
    None
}

/// What becomes of a message that a person does not want to run, however its
/// run has ended.
pub(crate) fn cancelled() -> Disposition {
    Disposition::Bury { reason: CANCELLED.to_owned(), counted: false }
}

/// Why a message gets no further run though its last one was never settled.
fn worn_out_reason(at: &Situation<'_>) -> String {
    let died = format!("its worker died {} (or fell silent for longer than its ttr)", times(at.lost));
    if at.lost == at.failed { died } else { format!("{died} in {} attempts", at.failed) }
}

fn times(n: u32) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}

/// What becomes of a message after its run.
pub(crate) fn after_run(at: &Situation<'_>, ending: RunEnd) -> Disposition {
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
        RunEnd::OtherShape { error, theirs, ours, grace } => {
            let why = limited(error.to_string());
            let why = format!(
                "{why}; another version of the program wrote it (the shape of its body is {theirs}, here {ours})"
            );
            let waits = format!("{why}, and it waits for a worker that can read it");
            let limit = humantime::format_duration(grace);
            wait_for_another(at, grace, waits, format!("{why}, and no worker that can read it came within {limit}"))
        }
        RunEnd::UnknownType { request_type, known, grace } => {
            let why = format!("no handler for the request type `{}`", limited(request_type));
            wait_for_another(at, grace, format!("{why} in this worker"), format!("{why}; this worker knows: {known}"))
        }
        RunEnd::ShutDown => Disposition::Rollback {
            delay: Duration::ZERO,
            reason: "its worker was shut down".to_owned(),
            counted: false,
        },
    }
}

/// Why a run failed; never empty.
fn reason(text: String) -> String {
    if text.trim().is_empty() { "an error without a text".to_owned() } else { limited(text) }
}

fn again(at: &Situation<'_>, reason: String, delay: Option<Duration>) -> Disposition {
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

/// A worker of another version may know the type or read the body: the message
/// waits for one, looked at ever more rarely, until the grace is over. That
/// begins with the first look, since the message may have waited for other
/// reasons before.
fn wait_for_another(at: &Situation<'_>, grace: Duration, waits: String, buried: String) -> Disposition {
    let since = match at.served {
        // It is that worker's, however long it takes to come to it.
        Served::Now => return Disposition::LeaveToOthers { delay: SERVED_PAUSE, reason: waits },
        // That one may be on its way back, from a restart for instance.
        Served::Until(until) => at.left_since.map(|since| since.max(until)),
        Served::Never => at.left_since,
    };
    let waited = since.and_then(|since| (at.now - since).to_std().ok()).unwrap_or_default();
    let left = grace.saturating_sub(waited);
    if left.is_zero() {
        return Disposition::Bury { reason: buried, counted: false };
    }
    let delay = waited.clamp(Duration::from_secs(1), UNKNOWN_TYPE_LONGEST_PAUSE).min(left);
    Disposition::LeaveToOthers { delay, reason: waits }
}

#[cfg(test)]
mod tests;
