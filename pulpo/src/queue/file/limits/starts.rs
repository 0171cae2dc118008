//! The starts that rates count, in the table `started`.
//!
//! A lease remembers in its message which starts were counted for it, so that they can be given back if no handler ran.
//!
//! # Invariants
//! A start is never counted at an earlier time than it happens, so no rate is ever exceeded.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::policy::Rate;
use crate::queue::LimitKeys;

/// A rate of more starts counts those of a thousandth of its period together: a claim then reads at most about this
/// many rows per key, whatever has started.
const MOST_ROWS: u32 = 1000;

/// The maximum number of starts out of their period to forget in one transaction.
const FORGOTTEN_AT_ONCE: i64 = 256;

/// The starts of some messages of one kind under one rate, all at the same time.
#[derive(Debug)]
pub(super) struct Starts {
    scope: String,
    by_key: bool,
    at: i64,
    /// When they leave the period of the rate.
    ends: i64,
    /// How many there are of each key, in the order in which they are stored.
    counts: BTreeMap<String, i64>,
}

impl Starts {
    pub(super) fn new(scope: String, by_key: bool, at: i64, rate: Rate) -> Self {
        let at = counted_at(at, rate);
        Self { scope, by_key, at, ends: at.saturating_add(period(rate)), counts: BTreeMap::new() }
    }

    /// Adds the start of a message.
    pub(super) fn add(&mut self, limit_key: &str) {
        let key = key_of(limit_key, self.by_key);
        match self.counts.get_mut(key) {
            Some(count) => *count += 1,
            None => drop(self.counts.insert(key.to_owned(), 1)),
        }
    }

    /// Stores them.
    pub(super) fn count(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut add = connection.prepare_cached(
            "INSERT INTO started(scope, key, at, count, ends) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT(scope, key, at) DO UPDATE SET count = count + excluded.count, ends = max(ends, excluded.ends)",
        )?;
        for (key, count) in &self.counts {
            add.execute(params![self.scope, key, self.at, count, self.ends])?;
        }
        Ok(())
    }
}

/// Returns the note of a lease that counts for these starts: enough to give them back. All messages of a kind that are
/// leased together have the same note, whatever their keys.
pub(super) fn note(starts: &[Starts]) -> String {
    let noted: Vec<_> = starts.iter().map(|starts| (&starts.scope, starts.by_key, starts.at)).collect();
    serde_json::json!(noted).to_string()
}

/// Returns the key under which a rate counts a message.
fn key_of(limit_key: &str, by_key: bool) -> &str {
    if by_key { LimitKeys::split(limit_key).0 } else { "" }
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

/// Deletes some starts that have left their periods.
pub(super) fn forget(connection: &Connection, now: i64) -> rusqlite::Result<()> {
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
    let noted: Option<(String, String)> = connection
        .prepare_cached(
            "SELECT starts, coalesce(limit_key, '') FROM message WHERE id = ?1 AND lease = ?2 AND starts IS NOT NULL",
        )?
        .query_row([id, token], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((note, limit_key)) = noted else { return Ok(false) };
    let starts: Vec<(String, bool, i64)> = serde_json::from_str(&note).unwrap_or_default();
    let mut subtract = connection.prepare_cached(
        "UPDATE started SET count = count - 1 WHERE scope = ?1 AND key = ?2 AND at = ?3 AND count > 0",
    )?;
    for (scope, by_key, at) in &starts {
        subtract.execute(params![scope, key_of(&limit_key, *by_key), at])?;
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
