//! How ids, numbers and progress stand in the rows of the database, and the part
//! that statements share.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use super::error::PostgresError;
use crate::queue::Progress;

/// Has the transaction end without waiting for the disk: what is lost with the
/// server is a lease or a settlement, and the job runs again.
macro_rules! lazily {
    () => {
        "lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))"
    };
}
pub(super) use lazily;

/// Only the queue gives ids, and it gives numbers: another text is no message.
pub(super) fn number(id: &str) -> Option<i64> {
    id.parse().ok()
}

/// A number as it stands there, or the nearest one that can be.
pub(super) fn count(number: i32) -> u32 {
    u32::try_from(number.max(0)).unwrap_or_default()
}

/// How far the run of a message is.
pub(super) fn progress(row: &Row) -> Result<Option<Progress>, PostgresError> {
    let fraction: Option<f64> = row.try_get("progress")?;
    let at: Option<DateTime<Utc>> = row.try_get("progress_at")?;
    let text: Option<&str> = row.try_get("progress_text")?;
    Ok(fraction.zip(at).map(|(fraction, at)| Progress::new(fraction, text.unwrap_or_default(), at)))
}
