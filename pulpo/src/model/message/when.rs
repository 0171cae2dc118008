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

impl When {
    /// Returns the time for a message that is published at `now`, at most the
    /// end of the calendar.
    pub(crate) fn from(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            When::At(at) => at,
            When::In(wait) => chrono::TimeDelta::from_std(wait)
                .ok()
                .and_then(|wait| now.checked_add_signed(wait))
                .unwrap_or(DateTime::<Utc>::MAX_UTC),
        }
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
