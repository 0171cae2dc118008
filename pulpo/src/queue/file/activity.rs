//! Counts events over time. Events of the current minute are counted in the row of their kind, which is written anyway.
//! The first event in a later minute moves the finished minute into the tables of minutes and hours.
//!
//! # Invariants
//! - An event is counted in the transaction in which it happens.
//! - Nothing is shown for longer than [`ActivityStep::kept_minutes`], and what is older is deleted, a part in each minute.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::storage::values::time;
pub(super) use crate::queue::activity::Event;
use crate::queue::activity::fill_waiting;
use crate::queue::{Activity, ActivityFilter, ActivityStep};

/// The number of old rows that are deleted with the first event of a kind in a minute, which adds a row for each step.
const DELETED_AT_ONCE: i64 = 100;

/// Microseconds in a minute.
const MINUTE: i64 = 60_000_000;

/// The priorities of ready messages with or without a limit key, each of which has an index.
macro_rules! levels {
    ($level:literal, $with_key:literal) => {
        concat!(
            "SELECT min(priority) FROM message WHERE state = 0 AND kind = :kind AND ",
            $with_key,
            " UNION ALL SELECT (SELECT min(priority) FROM message WHERE state = 0 AND kind = :kind AND ",
            $with_key,
            " AND priority > ",
            $level,
            ".priority) FROM ",
            $level,
            " WHERE ",
            $level,
            ".priority IS NOT NULL LIMIT 64"
        )
    };
}

/// The oldest message of each priority.
macro_rules! oldest {
    ($level:literal, $with_key:literal) => {
        concat!(
            "SELECT (SELECT min(due_since) FROM (SELECT due_since FROM message WHERE state = 0 AND kind = :kind AND ",
            $with_key,
            " AND priority = ",
            $level,
            ".priority ORDER BY id LIMIT 256)) AS due_since FROM ",
            $level
        )
    };
}

/// Finds the time since when the oldest message of a kind is ready, among its 64 most urgent priorities and the first
/// 256 messages of each.
pub(super) const OLDEST_AMONG: &str = concat!(
    "WITH RECURSIVE level_without_key(priority) AS (",
    levels!("level_without_key", "limit_key IS NULL"),
    "), level_with_key(priority) AS (",
    levels!("level_with_key", "limit_key IS NOT NULL"),
    ") SELECT min(due_since) FROM (",
    oldest!("level_without_key", "limit_key IS NULL"),
    " UNION ALL ",
    oldest!("level_with_key", "limit_key IS NOT NULL"),
    ")"
);

/// The number of events of each type in one transaction.
#[derive(Debug, Default)]
pub(super) struct Events {
    counts: [i64; 5],
    minute: Option<i64>,
}

impl Events {
    pub(super) fn add(&mut self, event: Event, now: i64) {
        self.counts[event as usize] += 1;
        self.minute = Some(now.div_euclid(MINUTE));
    }

    /// Returns the minute since 1970; `None` if nothing has happened.
    pub(super) fn minute(&self) -> Option<i64> {
        self.minute
    }
}

/// Writes the events, and the changes to the counts of the kind.
pub(super) fn write(
    connection: &Connection,
    kind: i64,
    (ready, delayed, buried): (i64, i64, i64),
    events: &Events,
    minute: i64,
) -> rusqlite::Result<()> {
    let mut add = connection.prepare_cached(
        "UPDATE kind SET ready = ready + ?2, delayed = delayed + ?3, buried = buried + ?4,
            published_now = published_now + ?6, done_now = done_now + ?7, failed_now = failed_now + ?8,
            buried_now = buried_now + ?9, expired_now = expired_now + ?10
         WHERE id = ?1 AND minute = ?5",
    )?;
    let [published, done, failed, buried_now, expired] = events.counts;
    let values = params![kind, ready, delayed, buried, minute, published, done, failed, buried_now, expired];
    if add.execute(values)? == 0 {
        begin_minute(connection, kind, minute)?;
        add.execute(values)?;
    }
    Ok(())
}

/// Moves the last minute of a kind into the tables, and starts this one.
fn begin_minute(connection: &Connection, kind: i64, minute: i64) -> rusqlite::Result<()> {
    let before = connection
        .prepare_cached(
            "SELECT minute FROM kind
             WHERE id = ?1 AND published_now + done_now + failed_now + buried_now + expired_now > 0",
        )?
        .query_row([kind], |row| row.get::<_, i64>(0))
        .optional()?;
    if let Some(before) = before {
        for step in ActivityStep::ALL {
            end_minute(connection, kind, before, step)?;
        }
    }
    connection
        .prepare_cached(
            "UPDATE kind SET minute = ?2, published_now = 0, done_now = 0, failed_now = 0, buried_now = 0, expired_now = 0
             WHERE id = ?1",
        )?
        .execute([kind, minute])?;
    for step in ActivityStep::ALL {
        // After a pause there may be many, and others wait.
        let bounds = [step.minutes(), minute - step.kept_minutes(), DELETED_AT_ONCE];
        connection
            .prepare_cached(
                "DELETE FROM activity WHERE (step, at, kind) IN
                    (SELECT step, at, kind FROM activity WHERE step = ?1 AND at < ?2 LIMIT ?3)",
            )?
            .execute(bounds)?;
        connection
            .prepare_cached(
                "DELETE FROM activity_total WHERE (step, at) IN
                    (SELECT step, at FROM activity_total WHERE step = ?1 AND at < ?2 LIMIT ?3)",
            )?
            .execute(bounds)?;
    }
    note_waiting(connection, minute - 1)
}

/// Adds the last minute of a kind to the step that contains it.
fn end_minute(connection: &Connection, kind: i64, minute: i64, step: ActivityStep) -> rusqlite::Result<()> {
    let minutes = step.minutes();
    let at = minute - minute.rem_euclid(minutes);
    connection
        .prepare_cached(
            "INSERT INTO activity(step, at, kind, published, done, failed, buried, expired)
             SELECT ?2, ?3, id, published_now, done_now, failed_now, buried_now, expired_now FROM kind WHERE id = ?1
             ON CONFLICT DO UPDATE SET published = published + excluded.published, done = done + excluded.done,
                failed = failed + excluded.failed, buried = buried + excluded.buried,
                expired = expired + excluded.expired",
        )?
        .execute([kind, minutes, at])?;
    make_total(connection, minutes, at)?;
    connection
        .prepare_cached(
            "UPDATE activity_total SET published = published + published_now, done = done + done_now,
                failed = failed + failed_now, buried = activity_total.buried + buried_now, expired = expired + expired_now
             FROM kind WHERE kind.id = ?1 AND step = ?2 AND at = ?3",
        )?
        .execute([kind, minutes, at])
        .map(drop)
}

fn make_total(connection: &Connection, minutes: i64, at: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO activity_total VALUES (?1, ?2, 0, 0, 0, 0, 0, NULL, NULL)")?
        .execute([minutes, at])
        .map(drop)
}

/// Records how many messages are ready at the end of this minute, once for all kinds, since it costs a query per kind.
fn note_waiting(connection: &Connection, minute: i64) -> rusqlite::Result<()> {
    let is_noted: bool = connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM activity_total WHERE step = 1 AND at = ?1 AND waiting IS NOT NULL)",
        )?
        .query_row([minute], |row| row.get(0))?;
    if is_noted {
        return Ok(());
    }
    let (waiting, oldest) = waiting(connection)?;
    for step in ActivityStep::ALL {
        let at = minute - minute.rem_euclid(step.minutes());
        make_total(connection, step.minutes(), at)?;
        connection
            .prepare_cached("UPDATE activity_total SET waiting = ?3, oldest_ready = ?4 WHERE step = ?1 AND at = ?2")?
            .execute(params![step.minutes(), at, waiting, oldest])?;
    }
    Ok(())
}

/// The number of kinds among which to search for the oldest message.
const MOST_KINDS: i64 = 100;

/// Returns how many messages are ready, and since when the oldest of them is.
fn waiting(connection: &Connection) -> rusqlite::Result<(i64, Option<i64>)> {
    let waiting = connection
        .prepare_cached("SELECT coalesce(sum(ready), 0) FROM kind WHERE ready > 0")?
        .query_row([], |row| row.get(0))?;
    let mut kinds = connection.prepare_cached("SELECT id FROM kind WHERE ready > 0 LIMIT ?1")?;
    let mut oldest_of = connection.prepare_cached(OLDEST_AMONG)?;
    let mut oldest = None;
    let mut rows = kinds.query([MOST_KINDS])?;
    while let Some(row) = rows.next()? {
        let kind: i64 = row.get(0)?;
        let of_kind: Option<i64> = oldest_of.query_row(named_params! { ":kind": kind }, |row| row.get(0))?;
        oldest = oldest.into_iter().chain(of_kind).min();
    }
    Ok((waiting, oldest))
}

/// Returns the requested steps, including minutes that have not been moved yet.
pub(super) fn read(connection: &Connection, asked: &ActivityFilter, now: i64) -> rusqlite::Result<Vec<Activity>> {
    let since = asked.begin(time(now)).timestamp().div_euclid(60);
    let step = asked.step.minutes();
    if asked.queue.is_none() && asked.request_type.is_none() {
        let mut all = read_total(connection, step, since)?;
        let (waiting, oldest) = waiting(connection)?;
        fill_waiting(&mut all, (u64::try_from(waiting).ok(), oldest.map(time)));
        return Ok(all);
    }
    connection
        .prepare_cached(
            "WITH wanted AS MATERIALIZED (SELECT * FROM kind
                WHERE queue = coalesce(:queue, queue) AND request_type = coalesce(:type, request_type))
             SELECT at, sum(published), sum(done), sum(failed), sum(buried), sum(expired), NULL, NULL
             FROM (SELECT at, published, done, failed, buried, expired FROM activity
                    WHERE step = :step AND at >= :since AND kind IN (SELECT id FROM wanted)
                UNION ALL
                SELECT minute - minute % :step, published_now, done_now, failed_now, buried_now, expired_now
                    FROM wanted WHERE minute >= :since)
             GROUP BY at ORDER BY at",
        )?
        .query_map(
            named_params! { ":step": step, ":since": since, ":queue": asked.queue, ":type": asked.request_type },
            activity,
        )?
        .collect()
}

fn read_total(connection: &Connection, step: i64, since: i64) -> rusqlite::Result<Vec<Activity>> {
    connection
        .prepare_cached(
            "SELECT at, sum(published), sum(done), sum(failed), sum(buried), sum(expired), max(waiting),
                max(oldest_ready)
             FROM (SELECT at, published, done, failed, buried, expired, waiting, oldest_ready
                    FROM activity_total WHERE step = :step AND at >= :since
                UNION ALL
                SELECT minute - minute % :step, published_now, done_now, failed_now, buried_now, expired_now, NULL, NULL
                    FROM kind WHERE minute >= :since)
             GROUP BY at ORDER BY at",
        )?
        .query_map(named_params! { ":step": step, ":since": since }, activity)?
        .collect()
}

fn activity(row: &Row<'_>) -> rusqlite::Result<Activity> {
    let count = |column| Ok::<_, rusqlite::Error>(u64::try_from(row.get::<_, i64>(column)?).unwrap_or_default());
    let mut activity = Activity::none(time(row.get::<_, i64>(0)?.saturating_mul(MINUTE)));
    activity.published = count(1)?;
    activity.done = count(2)?;
    activity.failed = count(3)?;
    activity.buried = count(4)?;
    activity.expired = count(5)?;
    activity.waiting = row.get::<_, Option<i64>>(6)?.and_then(|waiting| u64::try_from(waiting).ok());
    activity.oldest_ready = row.get::<_, Option<i64>>(7)?.map(time);
    Ok(activity)
}

#[cfg(test)]
mod tests;
