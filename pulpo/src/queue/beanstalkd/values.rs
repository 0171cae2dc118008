//! Converts ids and times of messages to and from the server's numbers.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::message::MessageId;

/// Parses an id. The server's ids are numbers, so any other text names no job.
pub(super) fn number(id: &MessageId) -> Option<u64> {
    id.as_str().parse().ok()
}

/// Returns the time this long ago.
pub(super) fn ago(now: DateTime<Utc>, time: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(time).ok().and_then(|time| now.checked_sub_signed(time)).unwrap_or(now)
}

/// Returns the time this long from now.
pub(super) fn ahead(now: DateTime<Utc>, time: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(time).ok().and_then(|time| now.checked_add_signed(time)).unwrap_or(now)
}
