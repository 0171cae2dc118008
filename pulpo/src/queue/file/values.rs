//! Converts times, numbers and texts to and from the columns of the database.

use chrono::{DateTime, Utc};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row};

use crate::message::MessageId;
use crate::queue::Progress;

/// Returns microseconds since 1970, the database's form of a time.
pub(super) fn micros(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

/// Returns microseconds since 1970, rounded up, so that nothing starts early.
pub(super) fn micros_up(time: DateTime<Utc>) -> i64 {
    micros(time) + i64::from(!time.timestamp_subsec_nanos().is_multiple_of(1000))
}

pub(super) fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(if micros < 0 {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    })
}

/// Parses an id. The queue's ids are numbers, so any other text names no message.
pub(super) fn number(id: &MessageId) -> Option<i64> {
    id.as_str().parse().ok()
}

/// Returns the value for `id = ?` if it is one id, and otherwise for `id IN (SELECT value FROM json_each(?))`, which is
/// slower for one and takes half the time for many.
pub(super) fn one_or_many(ids: &[i64]) -> Value {
    match ids {
        [id] => Value::Integer(*id),
        _ => {
            let ids: Vec<_> = ids.iter().map(i64::to_string).collect();
            Value::Text(format!("[{}]", ids.join(",")))
        }
    }
}

/// Returns the stored number, or the nearest valid one.
pub(super) fn count(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// Returns the stored text; a damaged one must not hide all others.
pub(super) fn text(value: ValueRef<'_>) -> rusqlite::Result<String> {
    Ok(String::from_utf8_lossy(value.as_bytes_or_null()?.unwrap_or_default()).into_owned())
}

/// Reads the progress of a message's run.
pub(super) fn progress(row: &Row<'_>) -> rusqlite::Result<Option<Progress>> {
    let (Some(fraction), Some(at)) = (row.get::<_, Option<f64>>("progress")?, row.get("progress_at")?) else {
        return Ok(None);
    };
    Ok(Some(Progress::new(fraction, text(row.get_ref("progress_text")?)?, time(at))))
}

/// Runs several queries on the same snapshot. In the writer there is a transaction already.
pub(super) fn at_one_moment<R>(
    connection: &Connection,
    look: impl FnOnce(&Connection) -> rusqlite::Result<R>,
) -> rusqlite::Result<R> {
    let transaction = connection.is_autocommit().then(|| connection.unchecked_transaction()).transpose()?;
    let seen = look(connection)?;
    transaction.map_or(Ok(()), rusqlite::Transaction::finish)?;
    Ok(seen)
}
