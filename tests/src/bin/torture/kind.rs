//! The kinds of jobs: the behaviour of each, and its expected end.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The behaviour of a job, and its handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Succeeds at once.
    Succeed,
    /// Succeeds after a delay requested by its publication.
    Later,
    /// Succeeds after a while.
    Sleep,
    /// Succeeds in its third run.
    FailTwice,
    /// Never succeeds.
    FailAlways,
    Fatal,
    PanicOnce,
    PanicAlways,
    /// Always aborts its process.
    Abort,
    /// Runs for longer than its ttr.
    Overrun,
    /// Exceeds its timeout in its first run.
    TimeoutOnce,
    /// Always exceeds its timeout.
    TimeoutAlways,
    /// Publishes another job as it succeeds.
    Parent,
    /// The job that a `Parent` publishes.
    Child,
    AsyncSucceed,
    AsyncFailTwice,
    /// Is dropped by its timeout at its await point, in its first run.
    AsyncTimeoutOnce,
    BatchSucceed,
    BatchFatal,
    BatchFailAlways,
}

/// The required end of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rightful {
    Done,
    /// Buried by its handler's verdict, in its first run that ends.
    BuriedAtOnce,
    /// Buried when its attempts are used up.
    BuriedInTheEnd,
}

/// How the handler ends a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Then {
    Succeed,
    Fail,
    Fatal,
    Panic,
    Abort,
    /// Waits until its result no longer counts.
    Wait,
}

/// The ttr of all jobs.
pub(crate) const TTR: Duration = Duration::from_secs(2);

/// The attempts of jobs whose handlers give up.
pub(crate) const FEW_ATTEMPTS: u32 = 3;
/// The attempts of jobs that abort, each of which costs a process.
pub(crate) const POISON_ATTEMPTS: u32 = 2;
/// More attempts than the kills that any innocent job meets.
pub(crate) const MANY_ATTEMPTS: u32 = 100;

impl Kind {
    /// How often each kind is published, as shares of all jobs. The slow ones are rare enough to
    /// leave lanes free, the deadly ones rare enough to let processes live for some seconds.
    pub(crate) const SHARES: [(Self, u32); 19] = [
        (Self::Succeed, 1200),
        (Self::Later, 100),
        (Self::Sleep, 120),
        (Self::FailTwice, 120),
        (Self::FailAlways, 40),
        (Self::Fatal, 60),
        (Self::PanicOnce, 40),
        (Self::PanicAlways, 10),
        (Self::Abort, 1),
        (Self::Overrun, 8),
        (Self::TimeoutOnce, 12),
        (Self::TimeoutAlways, 4),
        (Self::Parent, 60),
        (Self::AsyncSucceed, 120),
        (Self::AsyncFailTwice, 40),
        (Self::AsyncTimeoutOnce, 8),
        (Self::BatchSucceed, 180),
        (Self::BatchFatal, 20),
        (Self::BatchFailAlways, 20),
    ];

    /// Picks a kind.
    pub(crate) fn pick(random: &mut fastrand::Rng) -> Self {
        let all: u32 = Self::SHARES.iter().map(|(_, share)| share).sum();
        let mut left = random.u32(..all);
        for (kind, share) in Self::SHARES {
            match left.checked_sub(share) {
                Some(less) => left = less,
                None => return kind,
            }
        }
        Self::Succeed
    }

    pub(crate) fn rightful(self) -> Rightful {
        match self {
            Self::Fatal | Self::BatchFatal => Rightful::BuriedAtOnce,
            Self::FailAlways | Self::PanicAlways | Self::Abort | Self::TimeoutAlways | Self::BatchFailAlways => {
                Rightful::BuriedInTheEnd
            }
            _ => Rightful::Done,
        }
    }

    pub(crate) fn max_attempts(self) -> u32 {
        match self {
            Self::FailAlways | Self::PanicAlways | Self::TimeoutAlways | Self::BatchFailAlways => FEW_ATTEMPTS,
            Self::Abort => POISON_ATTEMPTS,
            _ => MANY_ATTEMPTS,
        }
    }

    /// Returns how long the run takes, and how it ends. The members of a batch do not know their attempt.
    pub(crate) fn plan(self, attempt: Option<u32>) -> (Duration, Then) {
        let attempt = attempt.unwrap_or(1);
        let unless = |over: bool, then| if over { Then::Succeed } else { then };
        let then = match self {
            Self::FailTwice | Self::AsyncFailTwice => unless(attempt > 2, Then::Fail),
            Self::FailAlways | Self::BatchFailAlways => Then::Fail,
            Self::Fatal | Self::BatchFatal => Then::Fatal,
            Self::PanicOnce => unless(attempt > 1, Then::Panic),
            Self::PanicAlways => Then::Panic,
            Self::Abort => Then::Abort,
            Self::TimeoutOnce | Self::AsyncTimeoutOnce => unless(attempt > 1, Then::Wait),
            Self::TimeoutAlways => Then::Wait,
            _ => Then::Succeed,
        };
        let time = match self {
            Self::Sleep => Duration::from_millis(60),
            Self::AsyncSucceed => Duration::from_millis(10),
            Self::Overrun => TTR + Duration::from_millis(1200),
            _ => Duration::ZERO,
        };
        (time, then)
    }

    /// Returns the reason that its handler gives for failing.
    pub(crate) fn reason(key: &str) -> String {
        format!("no luck with {key}")
    }

    /// Returns the reason that it may be buried with, if none of its runs was cut off.
    pub(crate) fn burial_reason(self, key: &str) -> String {
        let reason = Self::reason(key);
        match self {
            Self::Fatal | Self::BatchFatal => reason,
            Self::PanicAlways => format!("panicked: {reason} (attempt {FEW_ATTEMPTS} of {FEW_ATTEMPTS})"),
            Self::TimeoutAlways => format!("timed out after 300ms (attempt {FEW_ATTEMPTS} of {FEW_ATTEMPTS})"),
            Self::Abort => format!("its worker died {POISON_ATTEMPTS} times"),
            _ => format!("{reason} (attempt {FEW_ATTEMPTS} of {FEW_ATTEMPTS})"),
        }
    }
}
