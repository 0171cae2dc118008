//! Converts times, numbers and texts to and from the columns of the database.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row};

use crate::message::MessageId;
use crate::queue::Progress;

/// Returns microseconds since 1970, the database's form of a time.
pub(in crate::queue::file) fn micros(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

/// Returns microseconds since 1970, rounded up, so that nothing starts early.
pub(in crate::queue::file) fn micros_up(time: DateTime<Utc>) -> i64 {
    micros(time) + i64::from(!time.timestamp_subsec_nanos().is_multiple_of(1000))
}

/// A thousand years, in microseconds. A wait that is much longer would end at a time that RFC 3339 cannot write.
const LONGEST_WAIT: i64 = 31_556_952_000_000_000;

/// Returns the end of a wait, rounded up so that nothing starts early; `None` if the wait is zero.
pub(in crate::queue::file) fn after(now: i64, wait: Duration) -> Option<i64> {
    let micros = i64::try_from(wait.as_nanos().div_ceil(1000)).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
    (micros > 0).then(|| now.saturating_add(micros))
}

pub(in crate::queue::file) fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(if micros < 0 {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    })
}

/// Parses an id. The queue's ids are numbers, so any other text names no message.
pub(in crate::queue::file) fn number(id: &MessageId) -> Option<i64> {
    id.as_str().parse().ok()
}

/// Returns the value for `id = ?` if it is one id, and otherwise for `id IN (SELECT value FROM json_each(?))`, which is
/// slower for one and takes half the time for many.
pub(in crate::queue::file) fn one_or_many(ids: &[i64]) -> Value {
    match ids {
        [id] => Value::Integer(*id),
        _ => Value::Text(json(ids)),
    }
}

/// Returns the ids as a JSON list.
pub(in crate::queue::file) fn json(ids: &[i64]) -> String {
    let ids: Vec<_> = ids.iter().map(i64::to_string).collect();
    format!("[{}]", ids.join(","))
}

/// The shortest list of ids that is worth a statement of its own for a range.
const SHORTEST_RANGE: usize = 4;

/// Ids of messages, in the form that their statement takes.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::queue::file) enum Ids {
    /// All ids from the first to the last: SQLite walks over them, in a third of the time that it takes for a list.
    Range(i64, i64),
    /// Any ids, for [`one_or_many`].
    List(Vec<i64>),
}

impl Ids {
    /// Splits ids, each of which is there once, into ranges without gaps and a list of the others.
    pub(in crate::queue::file) fn split(ids: &[i64]) -> Vec<Self> {
        let mut sorted = ids.to_vec();
        sorted.sort_unstable();
        let (mut all, mut others) = (Vec::new(), Vec::new());
        for range in sorted.chunk_by(|one, next| one.checked_add(1) == Some(*next)) {
            match range {
                [first, .., last] if range.len() >= SHORTEST_RANGE => all.push(Self::Range(*first, *last)),
                _ => others.extend_from_slice(range),
            }
        }
        if !others.is_empty() {
            all.push(Self::List(others));
        }
        all
    }
}

/// Returns the stored number, or the nearest valid one.
pub(in crate::queue::file) fn count(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// Returns the stored text; a damaged one must not hide all others.
pub(in crate::queue::file) fn text(value: ValueRef<'_>) -> rusqlite::Result<String> {
    Ok(String::from_utf8_lossy(value.as_bytes_or_null()?.unwrap_or_default()).into_owned())
}

/// Reads the progress of a message's run.
pub(in crate::queue::file) fn progress(row: &Row<'_>) -> rusqlite::Result<Option<Progress>> {
    let (Some(fraction), Some(at)) = (row.get::<_, Option<f64>>("progress")?, row.get("progress_at")?) else {
        return Ok(None);
    };
    Ok(Some(Progress::new(fraction, text(row.get_ref("progress_text")?)?, time(at))))
}

/// Runs several queries on the same snapshot. In the writer there is a transaction already.
pub(in crate::queue::file) fn at_one_moment<R>(
    connection: &Connection,
    look: impl FnOnce(&Connection) -> rusqlite::Result<R>,
) -> rusqlite::Result<R> {
    let transaction = connection.is_autocommit().then(|| connection.unchecked_transaction()).transpose()?;
    let seen = look(connection)?;
    transaction.map_or(Ok(()), rusqlite::Transaction::finish)?;
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_without_gaps_become_ranges() {
        assert!(Ids::split(&[]).is_empty());
        assert_eq!(Ids::split(&[7]), [Ids::List(vec![7])]);
        assert_eq!(Ids::split(&[3, 1, 2]), [Ids::List(vec![1, 2, 3])], "too few for a range");
        assert_eq!(Ids::split(&[4, 3, 1, 2]), [Ids::Range(1, 4)]);
        let mixed = [9, 20, 21, 22, 23, 24, 5, i64::MAX, i64::MAX - 1, i64::MAX - 2, i64::MAX - 3];
        let ranges = [Ids::Range(20, 24), Ids::Range(i64::MAX - 3, i64::MAX), Ids::List(vec![5, 9])];
        assert_eq!(Ids::split(&mixed), ranges);
        assert_eq!(Ids::split(&[2, 2, 3, 4, 5]), [Ids::Range(2, 5), Ids::List(vec![2])], "none twice in a range");
    }
}
