//! How ids and times of messages stand in the server's numbers.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::message::MessageId;

/// The server gives numbers: another id is none of its.
pub(super) fn number(id: &MessageId) -> Option<u64> {
    id.as_str().parse().ok()
}

/// The time this long before.
pub(super) fn ago(now: DateTime<Utc>, time: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(time).ok().and_then(|time| now.checked_sub_signed(time)).unwrap_or(now)
}

/// The time this long after.
pub(super) fn ahead(now: DateTime<Utc>, time: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(time).ok().and_then(|time| now.checked_add_signed(time)).unwrap_or(now)
}
