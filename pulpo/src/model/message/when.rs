//! Points in time, relative to publication or fixed.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

/// A point in time: a duration after publication, or a fixed time.
///
/// Convert into it from a [`Duration`], a [`chrono::TimeDelta`] (a negative one
/// counts as zero), a [`DateTime`] of any zone or a [`SystemTime`]. A duration
/// counts from the moment of publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum When {
    /// This long after the message is published.
    In(Duration),
    /// At this time.
    At(DateTime<Utc>),
}

/// The end of the year 9999. RFC 3339 has no later times, nor have many languages.
const LATEST: DateTime<Utc> = DateTime::from_timestamp_secs(253_402_300_799).expect("a time of the calendar");

impl When {
    /// Returns the time for a message that is published at `now`, at most the
    /// end of the year 9999.
    pub(crate) fn from(self, now: DateTime<Utc>) -> DateTime<Utc> {
        let at = match self {
            When::At(at) => at,
            When::In(wait) => {
                let wait = chrono::TimeDelta::from_std(wait).ok();
                wait.and_then(|wait| now.checked_add_signed(wait)).unwrap_or(LATEST)
            }
        };
        at.min(LATEST)
    }
}

impl From<Duration> for When {
    fn from(wait: Duration) -> Self {
        When::In(wait)
    }
}

impl From<chrono::TimeDelta> for When {
    fn from(wait: chrono::TimeDelta) -> Self {
        When::In(wait.to_std().unwrap_or_default())
    }
}

impl<Tz: chrono::TimeZone> From<DateTime<Tz>> for When {
    fn from(at: DateTime<Tz>) -> Self {
        When::At(at.to_utc())
    }
}

impl From<SystemTime> for When {
    fn from(at: SystemTime) -> Self {
        When::At(at.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_later_than_others_can_write_and_read() {
        let now = DateTime::UNIX_EPOCH;
        let (never, long) = (When::In(Duration::MAX).from(now), When::In(Duration::from_secs(1 << 40)).from(now));
        assert_eq!([never, long, When::At(DateTime::<Utc>::MAX_UTC).from(now)], [LATEST; 3]);
        assert_eq!(LATEST.to_rfc3339(), "9999-12-31T23:59:59+00:00");
        assert_eq!(When::In(Duration::from_secs(5)).from(now).timestamp(), 5);
    }
}
