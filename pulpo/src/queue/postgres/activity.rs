//! Numbers over time. A process counts what happens in memory and adds it to
//! the tables every other second, so that no row is one that all transactions
//! write to. A process that is killed loses what it has not written yet.
//! `publish` in SQL leaves a row for each message, which a worker adds to the
//! numbers with its beat. How many messages are ready is noted once a minute, by
//! the first process that writes its counts.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::connection::{Connection, Sql};
use super::error::PostgresError;
pub(super) use crate::queue::activity::Event;
use crate::queue::activity::fill_waiting;
use crate::queue::{Activity, ActivityFilter, ActivityStep};
use crate::sync::lock;

/// The interval at which a process writes its counts.
const WRITE_EVERY: Duration = Duration::from_secs(2);

/// The interval at which a process asks whether the last minute is noted.
const NOTE_EVERY: Duration = Duration::from_secs(10);

/// The interval at which a process deletes old numbers.
const PRUNE_EVERY: Duration = Duration::from_secs(60);

/// Adds counts to the current minute and hour: those of each queue and type, and
/// their sum under an empty name, which no queue has. Always in the same order, so
/// that processes cannot deadlock.
macro_rules! add {
    ($new:expr) => {
        concat!(
            "WITH lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)), ",
            $new,
            ",
    counted AS (SELECT * FROM new UNION ALL
        SELECT '', '', sum(published), sum(done), sum(failed), sum(buried), sum(expired) FROM new HAVING count(*) > 0)
    INSERT INTO SCHEMA.activity AS activity
        (step, at, queue, request_type, published, done, failed, buried, expired)
    SELECT step, date_trunc(unit, now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC', queue, request_type, published, done,
        failed, buried, expired
    FROM counted CROSS JOIN (VALUES (1, 'minute'), (60, 'hour')) AS steps(step, unit) CROSS JOIN lazily
    ORDER BY step, queue, request_type
    ON CONFLICT (step, at, queue, request_type) DO UPDATE SET published = activity.published + excluded.published,
        done = activity.done + excluded.done, failed = activity.failed + excluded.failed,
        buried = activity.buried + excluded.buried, expired = activity.expired + excluded.expired"
        )
    };
}

const ADD: Sql = add!(
    "new AS (SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
        $7::bigint[]) AS new(queue, request_type, published, done, failed, buried, expired))"
);

/// Adds the messages that were published by SQL. It steps over rows that other
/// processes are adding, and takes a bounded number at once.
const ADD_UNCOUNTED: Sql = add!(
    "gone AS (DELETE FROM SCHEMA.uncounted WHERE ctid = ANY (ARRAY(SELECT ctid FROM SCHEMA.uncounted
            LIMIT 10000 FOR UPDATE SKIP LOCKED)) RETURNING queue, request_type),
    new AS (SELECT queue, request_type, count(*) AS published, 0 AS done, 0 AS failed, 0 AS buried, 0 AS expired
        FROM gone GROUP BY queue, request_type)"
);

/// Counts the ready messages, and finds since when the oldest of them is. Beyond this
/// limit, the number is the server's estimate, and the oldest is that of the first
/// ones, so that it takes a bounded time: a hundred thousand take some tens of
/// milliseconds.
macro_rules! ready {
    ($limit:literal, $only:literal) => {
        concat!(
            "SELECT CASE WHEN count(*) < ",
            $limit,
            " THEN count(*) ELSE greatest(count(*),
            (SELECT reltuples::bigint FROM pg_catalog.pg_class WHERE oid = 'SCHEMA.message_ready'::regclass))
        END AS waiting, min(due_since) AS oldest
    FROM (SELECT due_since FROM SCHEMA.message WHERE state = 0",
            $only,
            " ORDER BY queue, priority, id LIMIT ",
            $limit,
            ") AS first"
        )
    };
}

const READY: Sql = ready!("10000", "");

/// Notes how many messages were ready at the end of the last minute, unless that is
/// known. Later events are subtracted.
const NOTE: Sql = concat!(
    "WITH lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
    missing AS MATERIALIZED (SELECT minute FROM date_trunc('minute', now()) AS minute
        WHERE NOT EXISTS (SELECT FROM SCHEMA.activity WHERE step = 1 AND at = minute - interval '1 minute'
            AND queue = '' AND request_type = '' AND waiting IS NOT NULL)),
    ready AS MATERIALIZED (",
    ready!("100000", " AND (SELECT count(*) FROM missing) > 0"),
    "),
    since AS (SELECT coalesce(sum(published - done - buried - expired), 0) AS more FROM SCHEMA.activity
        JOIN missing ON step = 1 AND at = minute AND queue = '' AND request_type = '')
    INSERT INTO SCHEMA.activity AS activity
        (step, at, queue, request_type, published, done, failed, buried, expired, waiting, oldest_ready)
    SELECT step, date_trunc(unit, (minute - interval '1 minute') AT TIME ZONE 'UTC') AT TIME ZONE 'UTC', '', '',
        0, 0, 0, 0, 0, greatest(ready.waiting - more, 0), CASE WHEN ready.oldest < minute THEN ready.oldest END
    FROM missing CROSS JOIN ready CROSS JOIN since CROSS JOIN (VALUES (1, 'minute'), (60, 'hour')) AS steps(step, unit)
        CROSS JOIN lazily
    ORDER BY step
    ON CONFLICT (step, at, queue, request_type) DO UPDATE
        SET waiting = excluded.waiting, oldest_ready = excluded.oldest_ready"
);

/// Deletes numbers that are too old.
const PRUNE: Sql = "DELETE FROM SCHEMA.activity
    WHERE step = $1 AND at < now() - $2::bigint * interval '1 minute'";

const READ: Sql = "SELECT at, sum(published)::bigint, sum(done)::bigint, sum(failed)::bigint, sum(buried)::bigint,
        sum(expired)::bigint, max(waiting) AS waiting, max(oldest_ready) AS oldest
    FROM SCHEMA.activity
    WHERE step = $1 AND at >= greatest($2, now() - $3::bigint * interval '1 minute')
        AND CASE WHEN $4::text IS NULL AND $5::text IS NULL THEN queue = ''
            ELSE queue = coalesce($4, queue) AND queue <> '' AND request_type = coalesce($5, request_type) END
    GROUP BY at ORDER BY at";

/// The counts of this process that are not written yet.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Waiting>);

/// Counts by queue, then by request type.
type ByType = BTreeMap<String, BTreeMap<String, [i64; 5]>>;

#[derive(Debug, Default)]
struct Waiting {
    counts: ByType,
    /// When the first count was added, in uptime.
    since: Option<Duration>,
    /// When old numbers were last deleted.
    pruned: Option<Duration>,
    /// When the number of ready messages was last noted, or known to be.
    noted: Option<Duration>,
}

/// The tasks that are due in addition to writing the counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chores {
    prune: bool,
    note: bool,
}

impl Tally {
    /// Counts these events, by queue and request type. Returns whether these are the
    /// first counts since the last time.
    pub(super) fn add<'a>(
        &self,
        event: Event,
        messages: impl IntoIterator<Item = (&'a str, &'a str)>,
        now: Duration,
    ) -> bool {
        let mut waiting = lock(&self.0);
        for (queue, request_type) in messages {
            if !waiting.counts.contains_key(queue) {
                waiting.counts.insert(queue.to_owned(), BTreeMap::new());
            }
            let Some(types) = waiting.counts.get_mut(queue) else { continue };
            match types.get_mut(request_type) {
                Some(counts) => counts[event as usize] += 1,
                None => {
                    let mut counts = [0; 5];
                    counts[event as usize] = 1;
                    types.insert(request_type.to_owned(), counts);
                }
            }
        }
        let is_first = waiting.since.is_none() && !waiting.counts.is_empty();
        if is_first {
            waiting.since = Some(now);
        }
        is_first
    }

    /// Returns how long until counts are to be written; `None` without counts.
    pub(super) fn due_in(&self, now: Duration) -> Option<Duration> {
        lock(&self.0).since.map(|since| (since + WRITE_EVERY).saturating_sub(now))
    }

    /// Writes the counts. If an error leaves open whether they were written, they are
    /// dropped: too few are better than twice as many.
    pub(super) fn write(&self, now: Duration, write: impl FnOnce(&Counts, Chores) -> Result<(), PostgresError>) {
        let mut waiting = lock(&self.0);
        let counts = std::mem::take(&mut waiting.counts);
        waiting.since = None;
        let due = |last: &mut Option<Duration>, every: Duration| {
            let is_due = last.is_none_or(|at| now.saturating_sub(at) >= every);
            if is_due {
                *last = Some(now);
            }
            is_due
        };
        let chores = Chores { prune: due(&mut waiting.pruned, PRUNE_EVERY), note: due(&mut waiting.noted, NOTE_EVERY) };
        drop(waiting);
        if counts.is_empty() {
            return;
        }
        if let Err(error) = write(&Counts::of(&counts), chores) {
            tracing::debug!(%error, "cannot write the numbers over time");
            if !error.is_in_doubt() {
                let mut waiting = lock(&self.0);
                for (queue, types) in counts {
                    let sums = waiting.counts.entry(queue).or_default();
                    for (request_type, counts) in types {
                        add_to(sums.entry(request_type).or_default(), &counts);
                    }
                }
                waiting.since.get_or_insert(now);
            }
        }
    }
}

fn add_to(sum: &mut [i64; 5], counts: &[i64; 5]) {
    sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
}

/// Counts, column by column.
#[derive(Debug, Default)]
pub(super) struct Counts {
    queues: Vec<String>,
    types: Vec<String>,
    events: [Vec<i64>; 5],
}

impl Counts {
    fn of(all: &ByType) -> Self {
        // PostgreSQL cannot store NUL in a text, nor index a long text.
        let plain = |text: &str| text.chars().take(500).collect::<String>().replace('\0', "\u{FFFD}");
        // Two long texts may have become the same, and a statement may write a row
        // only once.
        let mut sums: BTreeMap<(String, String), [i64; 5]> = BTreeMap::new();
        for (queue, types) in all {
            for (request_type, counts) in types {
                add_to(sums.entry((plain(queue), plain(request_type))).or_default(), counts);
            }
        }
        let mut columns = Self::default();
        for ((queue, request_type), counts) in sums {
            columns.queues.push(queue);
            columns.types.push(request_type);
            columns.events.iter_mut().zip(counts).for_each(|(column, count)| column.push(count));
        }
        columns
    }

    /// Adds the counts to the tables.
    pub(super) fn add(&self, connection: &mut Connection, chores: Chores) -> Result<(), PostgresError> {
        let [published, done, failed, buried, expired] = &self.events;
        connection.run(
            ADD,
            &[
                (&self.queues, Type::TEXT_ARRAY),
                (&self.types, Type::TEXT_ARRAY),
                (published, Type::INT8_ARRAY),
                (done, Type::INT8_ARRAY),
                (failed, Type::INT8_ARRAY),
                (buried, Type::INT8_ARRAY),
                (expired, Type::INT8_ARRAY),
            ],
        )?;
        // An error here must not bring the counts back.
        if let Err(error) = chores.run(connection) {
            tracing::debug!(%error, "cannot update the numbers over time");
        }
        Ok(())
    }
}

impl Chores {
    fn run(self, connection: &mut Connection) -> Result<(), PostgresError> {
        if self.note {
            connection.run(NOTE, &[])?;
        }
        if self.prune {
            for step in ActivityStep::ALL {
                let (minutes, kept) = (minutes(step), step.kept_minutes());
                connection.run(PRUNE, &[(&minutes, Type::INT4), (&kept, Type::INT8)])?;
            }
        }
        Ok(())
    }
}

/// Adds the messages that were published by SQL to the numbers.
pub(super) fn add_uncounted(connection: &mut Connection) -> Result<(), PostgresError> {
    connection.run(ADD_UNCOUNTED, &[]).map(drop)
}

/// Returns a step as the database stores it, in minutes.
fn minutes(step: ActivityStep) -> i32 {
    match step {
        ActivityStep::Minute => 1,
        ActivityStep::Hour => 60,
    }
}

/// Reads the steps that the filter asks for.
pub(super) fn read(connection: &mut Connection, asked: &ActivityFilter) -> Result<Vec<Activity>, PostgresError> {
    let (step, since, kept) = (minutes(asked.step), asked.step.begin_of(asked.since), asked.step.kept_minutes());
    let rows = connection.run(
        READ,
        &[
            (&step, Type::INT4),
            (&since, Type::TIMESTAMPTZ),
            (&kept, Type::INT8),
            (&asked.queue, Type::TEXT),
            (&asked.request_type, Type::TEXT),
        ],
    )?;
    let mut all: Vec<_> = rows.iter().map(activity).collect::<Result<_, _>>()?;
    if asked.queue.is_none() && asked.request_type.is_none() {
        let rows = connection.run(READY, &[])?;
        let now = rows.first().map(state).transpose()?.unwrap_or_default();
        fill_waiting(&mut all, now);
    }
    Ok(all)
}

/// Returns how many messages are ready, and since when the oldest of them is.
fn state(row: &Row) -> Result<(Option<u64>, Option<DateTime<Utc>>), PostgresError> {
    let waiting: Option<i64> = row.try_get("waiting")?;
    Ok((waiting.and_then(|waiting| u64::try_from(waiting).ok()), row.try_get("oldest")?))
}

fn activity(row: &Row) -> Result<Activity, PostgresError> {
    let count = |column| -> Result<u64, PostgresError> {
        Ok(u64::try_from(row.try_get::<_, i64>(column)?).unwrap_or_default())
    };
    let mut activity = Activity::none(row.try_get(0)?);
    activity.published = count(1)?;
    activity.done = count(2)?;
    activity.failed = count(3)?;
    activity.buried = count(4)?;
    activity.expired = count(5)?;
    (activity.waiting, activity.oldest_ready) = state(row)?;
    Ok(activity)
}
