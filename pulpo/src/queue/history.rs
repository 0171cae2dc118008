//! What is kept of the runs of a message that failed.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

/// How many failed runs of a message a queue keeps, the last ones.
pub const KEPT_ATTEMPTS: usize = 20;

/// A run of a message that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Attempt {
    /// Which of the failed runs of the message it was, from 1, over all of its
    /// life: a kick does not begin again, as the count of attempts does.
    pub number: u32,
    /// When it began; of a run whose worker died, when that took the message.
    pub started_at: DateTime<Utc>,
    /// How long it took, in JSON in seconds; of a run whose worker died, until
    /// that was noticed.
    #[serde(serialize_with = "seconds")]
    pub took: Duration,
    /// The worker that ran it, by its id.
    pub worker: Option<String>,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// Why it failed.
    pub error: String,
}

impl Attempt {
    /// A run of this number.
    #[must_use]
    pub fn new(number: u32, run: FailedRun, worker: Option<String>, error: impl Into<String>) -> Self {
        let FailedRun { started_at, took, outcome } = run;
        Self { number, started_at, took, worker, outcome, error: error.into() }
    }
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

/// What a worker knows of a run that failed.
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
    /// A run that began then, took this time, and ended like this.
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
    /// Its worker died, or was silent for longer than the ttr.
    Abandoned,
}

impl AttemptOutcome {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Failed, Self::Panicked, Self::TimedOut, Self::Cancelled, Self::Abandoned];

    /// The word for it, as in JSON.
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

    /// The one with this word. A word of a newer program is a failure.
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

/// Why a run failed whose worker did not come back.
#[cfg(any(feature = "file", feature = "postgres"))]
pub(crate) const ABANDONED: &str = "its worker died, or was silent for longer than its ttr";

/// The process that a lease is of, which its token begins with.
#[cfg(any(feature = "file", feature = "postgres"))]
pub(crate) fn worker_of(token: &str) -> Option<String> {
    token.rsplit_once('-').map(|(worker, _)| worker.to_owned())
}
