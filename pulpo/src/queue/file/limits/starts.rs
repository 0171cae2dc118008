//! The starts that rates count, in the table `started`.
//!
//! A lease remembers in its message which starts were counted for it, so that they can be given back if no handler ran.
//!
//! # Invariants
//! A start is never counted at an earlier time than it happens, so no rate is ever exceeded.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::policy::Rate;

/// A rate of more starts counts those of a thousandth of its period together: a claim then reads at most about this
/// many rows per key, whatever has started.
const MOST_ROWS: u32 = 1000;

/// The maximum number of starts out of their period to forget in one transaction.
const FORGOTTEN_AT_ONCE: i64 = 256;

/// A start that is counted under this name and key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Start {
    pub(super) scope: String,
    pub(super) key: String,
    pub(super) at: i64,
    /// When it leaves the period of its rate.
    pub(super) ends: i64,
}

/// Returns the period of a rate, in microseconds.
pub(super) fn period(rate: Rate) -> i64 {
    i64::try_from(rate.period.as_micros()).unwrap_or(i64::MAX)
}

/// Returns the time at which a start at `at` is counted: rounded up for a rate of many starts.
pub(super) fn counted_at(at: i64, rate: Rate) -> i64 {
    let part = if rate.starts > MOST_ROWS { period(rate) / i64::from(MOST_ROWS) } else { 1 };
    if part <= 1 {
        return at;
    }
    at.div_euclid(part).saturating_add(i64::from(at.rem_euclid(part) > 0)).saturating_mul(part)
}

/// Reads the starts of one name and key.
pub(super) const READ: &str = "SELECT coalesce(sum(count), 0), min(at) FROM started
    WHERE scope = ?1 AND key = ?2 AND at > ?3 AND at <= ?4 AND count > 0";

/// Returns how many starts are counted under this name and key within a period that ends now, and the time of the
/// first.
pub(super) fn read(
    connection: &Connection,
    (scope, key): (&str, &str),
    period: i64,
    now: i64,
) -> rusqlite::Result<(u64, Option<i64>)> {
    connection
        .prepare_cached(READ)?
        // Starts recorded far in the future are left over from before the clock was set back.
        .query_row(params![scope, key, now.saturating_sub(period), now.saturating_add(period)], |row| {
            Ok((u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default(), row.get(1)?))
        })
}

/// Counts the starts of these messages, each with its id, and has the messages remember them.
pub(super) fn count(connection: &Connection, starts: &[(i64, Vec<Start>)], now: i64) -> rusqlite::Result<()> {
    if starts.is_empty() {
        return Ok(());
    }
    let mut counts: HashMap<&Start, i64> = HashMap::new();
    let mut remember = connection.prepare_cached("UPDATE message SET starts = ?2 WHERE id = ?1")?;
    for (id, starts) in starts {
        starts.iter().for_each(|start| *counts.entry(start).or_default() += 1);
        let written: Vec<_> = starts.iter().map(|start| (&start.scope, &start.key, start.at)).collect();
        remember.execute(params![id, serde_json::json!(written).to_string()])?;
    }
    let mut add = connection.prepare_cached(
        "INSERT INTO started(scope, key, at, count, ends) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT(scope, key, at) DO UPDATE SET count = count + excluded.count, ends = max(ends, excluded.ends)",
    )?;
    for (Start { scope, key, at, ends }, count) in counts {
        add.execute(params![scope, key, at, count, ends])?;
    }
    connection
        .prepare_cached(
            "DELETE FROM started WHERE (scope, key, at) IN
                (SELECT scope, key, at FROM started WHERE ends <= ?1 ORDER BY ends LIMIT ?2)",
        )?
        .execute([now, FORGOTTEN_AT_ONCE])
        .map(drop)
}

/// Gives back the starts that were counted for this lease, which ends without a run. Returns whether there were any.
pub(in crate::queue::file) fn give_back(connection: &Connection, id: &str, token: &str) -> rusqlite::Result<bool> {
    let counted: Option<String> = connection
        .prepare_cached("SELECT starts FROM message WHERE id = ?1 AND lease = ?2 AND starts IS NOT NULL")?
        .query_row([id, token], |row| row.get(0))
        .optional()?;
    let Some(counted) = counted else { return Ok(false) };
    let starts: Vec<(String, String, i64)> = serde_json::from_str(&counted).unwrap_or_default();
    let mut subtract = connection.prepare_cached(
        "UPDATE started SET count = count - 1 WHERE scope = ?1 AND key = ?2 AND at = ?3 AND count > 0",
    )?;
    for (scope, key, at) in &starts {
        subtract.execute(params![scope, key, at])?;
    }
    Ok(!starts.is_empty())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_start_is_never_counted_before_it_happens() {
        let of = |starts, micros| Rate::new(starts, Duration::from_micros(micros));
        for (rate, longest) in [
            (of(1, 1), 0),
            (of(1000, 86_400_000_000), 0),
            (of(1001, 86_400_000_000), 86_400_000),
            (of(1_000_000, 999), 0),
            (of(u32::MAX, u64::MAX), i64::MAX / 1000),
        ] {
            for at in [-7, 0, 1, 999, 1_795_000_000_000_001, i64::MAX] {
                let counted = counted_at(at, rate);
                assert!(counted >= at && counted - at.min(counted) <= longest.max(0), "{at} by {rate:?}: {counted}");
                assert!(longest > 0 || counted == at, "{at} by {rate:?}: {counted}");
            }
        }
    }
}
