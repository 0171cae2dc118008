//! Reading ids, numbers and progress from rows, and a part that statements share.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use super::error::PostgresError;
use crate::queue::Progress;

/// Makes the transaction commit without waiting for the disk. A server that crashes
/// may lose a lease or a settlement, and the job runs again.
macro_rules! lazily {
    () => {
        "lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))"
    };
}
pub(super) use lazily;

/// Returns the number of an id. All ids of the queue are numbers, so another text
/// is the id of no message.
pub(super) fn number(id: &str) -> Option<i64> {
    id.parse().ok()
}

/// Returns a count. A negative number, which the queue never writes, becomes 0.
pub(super) fn count(number: i32) -> u32 {
    u32::try_from(number.max(0)).unwrap_or_default()
}

/// Returns the progress of the run of a message.
pub(super) fn progress(row: &Row) -> Result<Option<Progress>, PostgresError> {
    let fraction: Option<f64> = row.try_get("progress")?;
    let at: Option<DateTime<Utc>> = row.try_get("progress_at")?;
    let text: Option<&str> = row.try_get("progress_text")?;
    Ok(fraction.zip(at).map(|(fraction, at)| Progress::new(fraction, text.unwrap_or_default(), at)))
}
