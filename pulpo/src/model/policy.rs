//! How a job is run and retried: the arguments of the attribute.

use std::fmt;
use std::time::Duration;

use crate::keys::{OnDuplicate, UniqueFor};
use crate::message::Priority;

mod options;
mod rate;

pub use options::HandlerOptions;
pub use rate::Rate;
pub(crate) use rate::SHORTEST;

/// How the messages of a job are queued, run and retried.
///
/// The attribute creates one per job; arguments that it omits have the values
/// of [`Policy::DEFAULT`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// The queue that its messages go to; `None`: the configured default.
    pub queue: Option<&'static str>,
    /// The priority of messages that set none.
    pub priority: Priority,
    /// How many runs a message gets before it is buried; 1 means no retry.
    pub max_attempts: u32,
    /// How long to wait between runs.
    pub backoff: Backoff,
    /// Time to run: how long a worker keeps a message without a sign of life. A
    /// live worker renews it, so a job may run longer.
    pub ttr: Duration,
    /// How long one run may take; `None` means no limit.
    pub timeout: Option<Duration>,
    /// How long a message keeps its unique key, if the job has one.
    pub unique_for: UniqueFor,
    /// How a message is treated if its unique key is taken.
    pub on_duplicate: OnDuplicate,
    /// How often its jobs may start, across all workers; `None` means no limit.
    pub rate: Option<Rate>,
    /// Like `rate`, for each key separately.
    pub rate_by: Option<Rate>,
    /// How many of its jobs may run at the same time, across all workers;
    /// `None` means no limit.
    pub limit: Option<u32>,
    /// Like `limit`, for each key separately.
    pub limit_by: Option<u32>,
}

impl Policy {
    /// 20 attempts, a backoff from one second to one hour, a ttr of a minute,
    /// no timeout, priority 65536, the default queue, no limits.
    pub const DEFAULT: Self = Self {
        queue: None,
        priority: Priority::DEFAULT,
        max_attempts: 20,
        backoff: Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60 * 60) },
        ttr: Duration::from_secs(60),
        timeout: None,
        unique_for: UniqueFor::Unfinished,
        on_duplicate: OnDuplicate::Keep,
        rate: None,
        rate_by: None,
        limit: None,
        limit_by: None,
    };

    /// Sets the queue.
    #[must_use]
    pub const fn queue(mut self, queue: &'static str) -> Self {
        self.queue = Some(queue);
        self
    }

    /// Sets the priority.
    #[must_use]
    pub const fn priority(mut self, priority: u32) -> Self {
        self.priority = Priority::new(priority);
        self
    }

    /// Sets the maximum number of runs.
    #[must_use]
    pub const fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.max_attempts = max_attempts;
        self
    }

    /// Sets the backoff.
    #[must_use]
    pub const fn backoff(mut self, first: Duration, most: Duration) -> Self {
        self.backoff = Backoff { first, most };
        self
    }

    /// Sets the time to run.
    #[must_use]
    pub const fn ttr(mut self, ttr: Duration) -> Self {
        self.ttr = ttr;
        self
    }

    /// Sets the timeout.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets how long unique keys are kept.
    #[must_use]
    pub const fn unique_for(mut self, unique_for: UniqueFor) -> Self {
        self.unique_for = unique_for;
        self
    }

    /// Sets what happens to a message whose unique key is taken.
    #[must_use]
    pub const fn on_duplicate(mut self, on_duplicate: OnDuplicate) -> Self {
        self.on_duplicate = on_duplicate;
        self
    }

    /// Limits the starts in any such period, across all workers.
    #[must_use]
    pub const fn rate(mut self, starts: u32, period: Duration) -> Self {
        self.rate = Some(Rate::new(starts, period));
        self
    }

    /// Like [`rate`](Self::rate()), for each key separately.
    #[must_use]
    pub const fn rate_by(mut self, starts: u32, period: Duration) -> Self {
        self.rate_by = Some(Rate::new(starts, period));
        self
    }

    /// Limits how many run at the same time, across all workers.
    #[must_use]
    pub const fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Like [`limit`](Self::limit()), for each key separately.
    #[must_use]
    pub const fn limit_by(mut self, limit: u32) -> Self {
        self.limit_by = Some(limit);
        self
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The delay before the next attempt: `first`, doubled each time up to `most`,
/// with jitter, so that jobs that failed together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backoff {
    /// The shortest delay.
    pub first: Duration,
    /// The longest delay.
    pub most: Duration,
}

impl Backoff {
    /// Returns the delay after run number `attempt` (from 1) failed. `jitter` from 0 to 1 places it between the doubled
    /// delay and one and a half times that, always within `first` and `most`.
    #[must_use]
    pub fn delay(&self, attempt: u32, jitter: f64) -> Duration {
        let factor = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let doubled = self.first.saturating_mul(factor).min(self.most);
        // At the longest delay there is no room above it, so the jitter goes below.
        let low = doubled.min(self.most.mul_f64(0.75)).max(self.first);
        let high = doubled.saturating_add(doubled / 2).min(self.most).max(low);
        let more = (high - low).as_secs_f64() * jitter.clamp(0.0, 1.0);
        // The longest durations have no exact float, so rounding may exceed them.
        low.saturating_add(Duration::try_from_secs_f64(more).unwrap_or(high)).min(high)
    }
}

impl std::str::FromStr for Backoff {
    type Err = String;

    /// Reads `1s..1h`, or `5s` for a delay that does not grow.
    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |text: &str| humantime::parse_duration(text.trim()).map_err(|error| error.to_string());
        let (first, most) = text.split_once("..").unwrap_or((text, text));
        let backoff = Self { first: parse(first)?, most: parse(most)? };
        if backoff.first.is_zero() {
            return Err("a job that fails would be run again at once".to_owned());
        }
        if backoff.first < SHORTEST {
            return Err("at least 1ms, since queues count in milliseconds".to_owned());
        }
        if backoff.first > backoff.most {
            return Err("write the shortest delay first and the longest last".to_owned());
        }
        Ok(backoff)
    }
}

/// Writes the form of the attribute: `1s..1h`.
impl fmt::Display for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", humantime::format_duration(self.first), humantime::format_duration(self.most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_pause_doubles_to_the_limit() {
        let seconds = |attempt, jitter| Policy::DEFAULT.backoff.delay(attempt, jitter).as_secs_f64();
        for (attempt, low, high) in [(1, 1.0, 1.5), (2, 2.0, 3.0), (3, 4.0, 6.0), (12, 2048.0, 3072.0)] {
            assert_eq!(seconds(attempt, 0.0), low);
            assert_eq!(seconds(attempt, 1.0), high);
        }
        for attempt in [13, 33, u32::MAX] {
            assert_eq!(seconds(attempt, 0.0), 2700.0);
            assert_eq!(seconds(attempt, 1.0), 3600.0);
        }
    }

    #[test]
    fn a_constant_pause_stays_constant() {
        let five = Duration::from_secs(5);
        let backoff = Policy::DEFAULT.backoff(five, five).backoff;
        assert_eq!(backoff.delay(1, 0.3), five);
        assert_eq!(backoff.delay(9, 1.0), five);
    }

    #[test]
    fn the_longest_pauses_overflow_nothing() {
        for first in [Duration::from_nanos(1), Duration::from_secs(3), Duration::MAX] {
            let backoff = Policy::DEFAULT.backoff(first, Duration::MAX).backoff;
            for attempt in [1, 2, 40, u32::MAX] {
                for jitter in [0.0, 0.5, 1.0] {
                    assert!(backoff.delay(attempt, jitter) >= first, "{first:?} {attempt} {jitter}");
                }
            }
        }
    }

    #[test]
    fn a_backoff_is_read_as_the_attribute_takes_it() {
        for text in ["1s..1h", "5s..5s", "100ms..2m 30s"] {
            assert_eq!(text.parse::<Backoff>().expect("a backoff").to_string(), text);
        }
        assert_eq!("5s".parse::<Backoff>().expect("a backoff").to_string(), "5s..5s");
        for wrong in ["", "5", "1h..1s", "0s", "1us..1s", "1s..", "1s..2s..3s"] {
            assert!(wrong.parse::<Backoff>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn the_pause_is_within_its_bounds(
            first in 0_u64..100_000, more in 0_u64..100_000_000, attempt: u32, jitter in 0.0..=1.0_f64,
        ) {
            let backoff = Backoff {
                first: Duration::from_millis(first),
                most: Duration::from_millis(first + more),
            };
            let delay = backoff.delay(attempt, jitter);
            prop_assert!(backoff.first <= delay && delay <= backoff.most, "{delay:?}");
        }
    }
}
