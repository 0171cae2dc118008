//! The history of a message: its failed runs.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

/// Number of failed runs of a message that a queue keeps: the last ones.
pub const KEPT_ATTEMPTS: usize = 20;

/// A failed run of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Attempt {
    /// The number of this failed run, from 1, over the whole life of the message: a kick does not reset it, unlike the
    /// count of attempts.
    pub number: u32,
    /// When the run began. If its worker died, when that worker took the message.
    pub started_at: DateTime<Utc>,
    /// How long it took, in JSON in seconds. If its worker died, the time until that was noticed.
    #[serde(serialize_with = "seconds")]
    pub took: Duration,
    /// The worker that ran it, by its id.
    pub worker: Option<String>,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// The error.
    pub error: String,
}

impl Attempt {
    /// Creates an entry with this number.
    #[must_use]
    pub fn new(number: u32, run: FailedRun, worker: Option<String>, error: impl Into<String>) -> Self {
        let FailedRun { started_at, took, outcome } = run;
        Self { number, started_at, took, worker, outcome, error: error.into() }
    }
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

/// A worker's details of a failed run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedRun {
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub outcome: AttemptOutcome,
}

impl FailedRun {
    /// Creates the details of a run that began then, took this time, and ended like this.
    #[must_use]
    pub fn new(started_at: DateTime<Utc>, took: Duration, outcome: AttemptOutcome) -> Self {
        Self { started_at, took, outcome }
    }
}

/// How a failed run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AttemptOutcome {
    /// The handler returned an error, or could not read the body.
    Failed,
    /// The handler panicked.
    Panicked,
    /// It took longer than its timeout.
    TimedOut,
    /// A person cancelled it.
    Cancelled,
    /// Its worker died, or did not renew the lease within the ttr.
    Abandoned,
}

impl AttemptOutcome {
    /// All outcomes.
    pub const ALL: [Self; 5] = [Self::Failed, Self::Panicked, Self::TimedOut, Self::Cancelled, Self::Abandoned];

    /// Returns the name, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Abandoned => "abandoned",
        }
    }

    /// Returns the outcome with this name. An unknown name, of a newer program, counts as a failure.
    #[cfg(any(feature = "file", feature = "postgres"))]
    pub(crate) fn of_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word).unwrap_or(Self::Failed)
    }
}

impl fmt::Display for AttemptOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Returns the error of a run whose worker did not come back.
#[cfg(any(feature = "file", feature = "postgres"))]
pub(crate) const ABANDONED: &str = "its worker died, or was silent for longer than its ttr";

/// Returns the process that holds a lease: the prefix of the token.
#[cfg(any(feature = "file", feature = "postgres"))]
pub(crate) fn worker_of(token: &str) -> Option<String> {
    token.rsplit_once('-').map(|(worker, _)| worker.to_owned())
}
