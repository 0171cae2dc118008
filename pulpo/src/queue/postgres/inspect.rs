//! Looking at the messages of the queue, kicking, deleting and pausing.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::claim::count;
use super::connection::{Connection, Parameter, Sql};
use super::error::PostgresError;
use super::settle::number;
use super::workers::progress;
use crate::message::{MessageId, Priority};
use crate::queue::{Counts, Filter, MessageState, Paused, Stats, StoredMessage, Totals};

/// How many messages one transaction kicks or deletes.
pub(super) const MAX_CHANGED_AT_ONCE: usize = 1000;

/// The state now: a message whose delay or lease has ended is ready, or buried
/// if it was cancelled, though no worker has looked at it since.
const SEEN: &str = "CASE WHEN due <= now() THEN 0
    WHEN lease_ends <= now() THEN CASE WHEN cancelled_at IS NULL THEN 0 ELSE 3 END ELSE state END";

/// Since when it is in that state.
const SEEN_SINCE: &str = "CASE WHEN due <= now() THEN due WHEN lease_ends <= now() THEN lease_ends ELSE since END";

/// What may be kicked.
const BURIED: &str = "state = 3";

/// What may be deleted: what a worker has is its own until its lease ends.
const NOT_RESERVED: &str = "CASE WHEN lease_ends <= now() THEN 0 ELSE state END <> 2";

const fn code(state: MessageState) -> i32 {
    match state {
        MessageState::Ready => 0,
        MessageState::Delayed => 1,
        MessageState::Reserved => 2,
        MessageState::Buried => 3,
    }
}

/// The check of the column leaves no others.
fn state(code: i32) -> MessageState {
    MessageState::ALL.into_iter().find(|state| self::code(*state) == code).unwrap_or(MessageState::Buried)
}

/// A [`Filter`] as the conditions of a query.
pub(super) struct Picked {
    pub(super) conditions: String,
    values: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
    limit: i64,
}

impl Picked {
    pub(super) fn new(filter: &Filter, only: &str) -> Self {
        let limit = filter.limit.map_or(i64::MAX, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
        let mut picked = Self { conditions: only.to_owned(), values: Vec::new(), limit };
        if let Some(ids) = &filter.ids {
            let ids: Vec<i64> = ids.iter().filter_map(|id| number(id.as_str())).collect();
            picked.and("id = ANY ($)", ids, Type::INT8_ARRAY);
        }
        if let Some(after) = &filter.after {
            picked.and("id < $", number(after.as_str()).unwrap_or(i64::MIN), Type::INT8);
        }
        if let Some(last) = &filter.down_to {
            picked.and("id >= $", number(last.as_str()).unwrap_or(i64::MIN), Type::INT8);
        }
        if !filter.states.is_empty() {
            let codes: Vec<i32> = filter.states.iter().map(|state| code(*state)).collect();
            picked.and(&format!("{SEEN} = ANY ($)"), codes, Type::INT4_ARRAY);
            if filter.states.iter().all(|state| *state == MessageState::Buried) {
                // Those have an index. What was cancelled and has lost its
                // worker is among them once somebody has noticed.
                picked.conditions.push_str(" AND state = 3");
            }
        }
        if let Some(queue) = &filter.queue {
            picked.and("queue = $", plain(queue), Type::TEXT);
        }
        if let Some(request_type) = &filter.request_type {
            picked.and("request_type = $", plain(request_type), Type::TEXT);
        }
        if let Some(time) = filter.older_than {
            picked.and(&format!("{SEEN_SINCE} < $"), within(time), Type::TIMESTAMPTZ);
        }
        if let Some(time) = filter.newer_than {
            picked.and(&format!("{SEEN_SINCE} >= $"), within(time), Type::TIMESTAMPTZ);
        }
        if let Some(time) = filter.published_before {
            picked.and("enqueued_at < $", within(time), Type::TIMESTAMPTZ);
        }
        if let Some(time) = filter.published_after {
            picked.and("enqueued_at >= $", within(time), Type::TIMESTAMPTZ);
        }
        if let Some(text) = &filter.reason {
            // As a text, not a pattern, and in small letters of ASCII alone.
            let text = plain(text).to_ascii_lowercase();
            picked.and("strpos(lower(last_error COLLATE \"C\"), $) > 0", text, Type::TEXT);
        }
        picked
    }

    /// `$` in the condition is the value.
    fn and(&mut self, condition: &str, value: impl ToSql + Sync + Send + 'static, of: Type) {
        self.values.push((Box::new(value), of));
        self.conditions.push_str(" AND ");
        self.conditions.push_str(&condition.replace('$', &format!("${}", self.values.len())));
    }

    pub(super) fn parameters(&self) -> Vec<Parameter<'_>> {
        let values = self.values.iter().map(|(value, of)| (&**value as &(dyn ToSql + Sync), of.clone()));
        values.chain([(&self.limit as &(dyn ToSql + Sync), Type::INT8)]).collect()
    }

    /// The number of the limit's parameter.
    pub(super) fn limit(&self) -> String {
        format!("${}", self.values.len() + 1)
    }
}

/// As PostgreSQL keeps it.
fn plain(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// A time that PostgreSQL knows.
fn within(time: DateTime<Utc>) -> DateTime<Utc> {
    time.max(DateTime::UNIX_EPOCH - chrono::TimeDelta::days(365 * 1000))
}

/// The messages that the filter picks, the newest first.
pub(super) fn list(connection: &mut Connection, filter: &Filter) -> Result<Vec<StoredMessage>, PostgresError> {
    let picked = Picked::new(filter, "true");
    let sql = format!(
        "SELECT id, queue, request_type, priority, lease, ttr, attempts, abandoned, due_since, enqueued_at,
            last_error, last_error_at, progress, progress_text, progress_at, cancelled_at IS NOT NULL AS cancelled,
            text, {SEEN} AS seen, {SEEN_SINCE} AS seen_since,
            coalesce(due, lease_ends) AS until, coalesce(coalesce(due, lease_ends) <= now(), false) AS over,
            state = 2 AND NOT ahead AS runs
        FROM SCHEMA.message WHERE {} ORDER BY id DESC LIMIT {}",
        picked.conditions,
        picked.limit()
    );
    connection.run_text(&sql, &picked.parameters())?.iter().map(stored).collect()
}

fn stored(row: &Row) -> Result<StoredMessage, PostgresError> {
    let (over, runs): (bool, bool) = (row.try_get("over")?, row.try_get("runs")?);
    // A run that ended without being settled, though nobody has noticed yet.
    let lost = u32::from(over && runs);
    let id: i64 = row.try_get("id")?;
    let text: String = row.try_get("text")?;
    let seen = state(row.try_get("seen")?);
    let mut message =
        StoredMessage::new(MessageId::from(id.cast_unsigned()), row.try_get::<_, String>("queue")?, seen, text);
    message.request_type = row.try_get("request_type")?;
    message.since = row.try_get("seen_since")?;
    message.priority = Priority::new(u32::try_from(row.try_get::<_, i64>("priority")?).unwrap_or(u32::MAX));
    message.until = row.try_get::<_, Option<_>>("until")?.filter(|_| !over);
    message.lease = row.try_get::<_, Option<_>>("lease")?.filter(|_| !over);
    message.attempts = count(row.try_get("attempts")?).saturating_add(lost);
    message.abandoned = count(row.try_get("abandoned")?).saturating_add(lost);
    message.enqueued_at = row.try_get("enqueued_at")?;
    message.due_since = row.try_get("due_since")?;
    message.ttr = u64::try_from(row.try_get::<_, i64>("ttr")?).ok().map(Duration::from_millis);
    message.last_error = row.try_get("last_error")?;
    message.last_error_at = row.try_get("last_error_at")?;
    message.progress = progress(row)?.filter(|_| !over);
    message.cancelled = row.try_get::<_, bool>("cancelled")? && !over;
    Ok(message)
}

/// How what is picked is changed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Kick,
    Delete,
}

impl Change {
    /// A part of what the filter picks: how many were changed, and the last
    /// one that was looked at, if there may be more.
    pub(super) fn part(
        self,
        connection: &mut Connection,
        filter: &Filter,
    ) -> Result<(u64, Option<MessageId>), PostgresError> {
        let most = filter.limit.unwrap_or(MAX_CHANGED_AT_ONCE).min(MAX_CHANGED_AT_ONCE);
        let part = filter.clone().limit(most);
        let (only, change) = match self {
            // A kicked message starts again: with all attempts before it, and
            // due now.
            Self::Kick => (
                BURIED,
                "UPDATE SCHEMA.message SET state = 0, attempts = 0, abandoned = 0, due_since = now(), since = now(),
                    left_since = NULL, alone = false",
            ),
            Self::Delete => (NOT_RESERVED, "DELETE FROM SCHEMA.message"),
        };
        let picked = Picked::new(&part, only);
        let sql = format!(
            "WITH picked AS MATERIALIZED (SELECT id FROM SCHEMA.message WHERE {} ORDER BY id DESC LIMIT {} FOR UPDATE),
            changed AS ({change} WHERE id = ANY (ARRAY(SELECT id FROM picked)) RETURNING id)
            SELECT (SELECT count(*) FROM changed), (SELECT min(id) FROM picked), (SELECT count(*) FROM picked)",
            picked.conditions,
            picked.limit()
        );
        let rows = connection.run_text(&sql, &picked.parameters())?;
        let Some(row) = rows.first() else { return Ok((0, None)) };
        let (changed, last, looked): (i64, Option<i64>, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let last = last.filter(|_| usize::try_from(looked).unwrap_or_default() >= most);
        Ok((u64::try_from(changed).unwrap_or_default(), last.map(|id| MessageId::from(id.cast_unsigned()))))
    }
}

const PAUSE: Sql = "INSERT INTO SCHEMA.pause(queue, until) VALUES ($1, now() + $2 * interval '1 microsecond')
    ON CONFLICT (queue) DO UPDATE SET until = excluded.until";

const RESUME: Sql = "DELETE FROM SCHEMA.pause WHERE queue = $1 OR until <= now()";

/// Pauses the queue for this long, or resumes it.
pub(super) fn pause(connection: &mut Connection, queue: &str, time: Duration) -> Result<(), PostgresError> {
    // A thousand years.
    let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX).min(31_556_952_000_000_000);
    if micros == 0 {
        return connection.run(RESUME, &[(&queue, Type::TEXT)]).map(drop);
    }
    connection.run(PAUSE, &[(&queue, Type::TEXT), (&micros, Type::INT8)]).map(drop)
}

/// Of each queue and request type, by state. There are no counters: rows that
/// all workers write to would have them wait for each other.
const COUNTS: Sql = "SELECT queue, request_type, seen, count(*), min(due_since)
    FROM (SELECT queue, request_type, due_since, 0 AS seen FROM SCHEMA.message WHERE state = 0
        UNION ALL
        SELECT queue, request_type, due_since, CASE WHEN due <= now() THEN 0
            WHEN lease_ends <= now() THEN CASE WHEN cancelled_at IS NULL THEN 0 ELSE 3 END ELSE state END
        FROM SCHEMA.message WHERE state > 0) AS message
    GROUP BY queue, request_type, seen";

const PAUSED: Sql = "SELECT queue, until FROM SCHEMA.pause WHERE until > now() ORDER BY queue";

/// Ids are given in order and never twice.
const PUBLISHED: &str = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM SCHEMA.message_id_seq";

pub(super) fn stats(connection: &mut Connection) -> Result<Stats, PostgresError> {
    let mut answers = connection.run_all(&[(COUNTS, &[]), (PAUSED, &[]), (PUBLISHED, &[])]).into_iter();
    let mut next = || answers.next().unwrap_or_else(|| Ok(Vec::new()));
    let mut all: BTreeMap<(String, String), Counts> = BTreeMap::new();
    for row in next()? {
        let key: (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let (state, count): (i32, i64) = (row.try_get(2)?, row.try_get(3)?);
        let counts = all.entry(key.clone()).or_insert_with(|| Counts::new(key.0, key.1));
        let count = u64::try_from(count).unwrap_or_default();
        match self::state(state) {
            MessageState::Ready => {
                counts.ready = count;
                counts.oldest_ready = row.try_get(4)?;
            }
            MessageState::Delayed => counts.delayed = count,
            MessageState::Reserved => counts.reserved = count,
            MessageState::Buried => counts.buried = count,
        }
    }
    let mut stats = Stats::default();
    for row in next()? {
        stats.paused.push(Paused::new(row.try_get::<_, String>(0)?, row.try_get(1)?));
    }
    let published: i64 = next()?.first().map_or(Ok(0), |row| row.try_get(0))?;
    let published = u64::try_from(published).unwrap_or_default();
    let present: u64 = all.values().map(Counts::total).sum();
    stats.totals = vec![Totals::new(None, published, published.saturating_sub(present))];
    stats.counts = all.into_values().collect();
    Ok(stats)
}
