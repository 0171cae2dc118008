//! Listing, kicking and deleting messages, pausing queues, and statistics.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::connection::{Connection, Sql};
use super::error::PostgresError;
use super::picked::{Conditions, plain};
use super::unique;
use super::values::{count, number, progress};
use super::{done, edit, history};
use crate::message::{MessageId, Priority};
use crate::queue::{Counts, Filter, LimitKeys, MessageState, Paused, Stats, StoredMessage, Totals, Unique};

/// The maximum number of messages that one transaction kicks or deletes.
pub(super) const MAX_CHANGED_AT_ONCE: usize = 1000;

/// The state now. A message whose delay or lease has ended is ready, or buried if
/// it was cancelled, even if no worker has looked at it since.
const SEEN: &str = "CASE WHEN due <= now() THEN 0
    WHEN lease_ends <= now() THEN CASE WHEN cancelled_at IS NULL THEN 0 ELSE 3 END ELSE state END";

/// When it entered that state.
const SEEN_SINCE: &str = "CASE WHEN due <= now() THEN due WHEN lease_ends <= now() THEN lease_ends ELSE since END";

/// The messages that can be kicked.
const BURIED: &str = "state = 3";

/// The messages that can be deleted. A leased message belongs to its worker.
const NOT_RESERVED: &str = "CASE WHEN lease_ends <= now() THEN 0 ELSE state END <> 2";

/// Of the picked messages, those that can get their unique key back: the newest
/// of each key that is free.
const CHOSEN_TO_KICK: &str = "chosen AS (SELECT id FROM (
        SELECT id, unique_key, row_number() OVER (PARTITION BY unique_key ORDER BY id DESC) AS place FROM picked) AS picked
    WHERE unique_key IS NULL OR place = 1
        AND NOT EXISTS (SELECT FROM SCHEMA.message AS holder
            WHERE holder.unique_key = picked.unique_key AND holder.holds_key)
        AND NOT EXISTS (SELECT FROM SCHEMA.timed_key
            WHERE key = picked.unique_key AND ends > clock_timestamp() AND message <> picked.id
                AND began <= clock_timestamp() + interval '1 minute'))";

const fn code(state: MessageState) -> i32 {
    match state {
        MessageState::Ready => 0,
        MessageState::Delayed => 1,
        MessageState::Reserved => 2,
        MessageState::Buried => 3,
        // Done messages have no row in `message`: see `done.rs`.
        MessageState::Done => 4,
    }
}

/// The column's check admits no other number.
fn state(code: i32) -> MessageState {
    MessageState::ALL.into_iter().find(|state| self::code(*state) == code).unwrap_or(MessageState::Buried)
}

/// Returns the conditions for messages whose jobs are not done.
pub(super) fn live(filter: &Filter, only: &str) -> Conditions {
    let mut picked = Conditions::of_ids(filter);
    picked.conditions.push_str(" AND ");
    picked.conditions.push_str(only);
    if !filter.states.is_empty() {
        let codes: Vec<i32> = filter.states.iter().map(|state| code(*state)).collect();
        picked.and(&format!("{SEEN} = ANY ($)"), codes, Type::INT4_ARRAY);
        if filter.states.iter().all(|state| *state == MessageState::Buried) {
            // They have an index. A cancelled message that lost its worker is
            // among them once the end of its lease was noticed.
            picked.conditions.push_str(" AND state = 3");
        }
    }
    picked.of_queue_and_type(filter);
    picked.of_times(filter, &format!("({SEEN_SINCE})"));
    if let Some(text) = &filter.reason {
        // Not a pattern, and only ASCII letters are lowered.
        let text = plain(text).to_ascii_lowercase();
        picked.and("strpos(lower(last_error COLLATE \"C\"), $) > 0", text, Type::TEXT);
    }
    picked
}

/// Lists the messages that the filter picks, done ones too, newest first, with or
/// without their texts.
pub(super) fn list(
    connection: &mut Connection,
    filter: &Filter,
    texts: bool,
) -> Result<Vec<StoredMessage>, PostgresError> {
    let columns = format!(
        "queue, request_type, priority, lease, ttr, attempts, abandoned, due_since, enqueued_at,
            last_error, last_error_at, progress, progress_text, progress_at, cancelled_at IS NOT NULL AS cancelled,
            unique_key, key_mode::integer AS key_mode, holds_key, limit_key,
            {SEEN} AS seen, {SEEN_SINCE} AS seen_since,
            coalesce(due, lease_ends) AS until, coalesce(coalesce(due, lease_ends) <= now(), false) AS over,
            state = 2 AND NOT ahead AS runs,
            extract(epoch FROM (SELECT ends FROM SCHEMA.timed_key WHERE key_mode = 2 AND key = unique_key
                AND timed_key.message = message.id AND ends > clock_timestamp()
                AND began <= clock_timestamp() + interval '1 minute') - clock_timestamp())::float8 AS key_ends_in"
    );
    let mut all = live(filter, "true").select(connection, ("SCHEMA.message", &columns), filter, texts, stored)?;
    let done = done::list(connection, filter, texts)?;
    if !done.is_empty() {
        all.extend(done);
        all.sort_by_key(|message| std::cmp::Reverse(number(message.id.as_str())));
        all.truncate(filter.limit.unwrap_or(usize::MAX));
    }
    Ok(all)
}

/// Returns one message in whatever state, with its history.
pub(super) fn peek(connection: &mut Connection, id: &MessageId) -> Result<Option<StoredMessage>, PostgresError> {
    let mut filter = Filter::all().id(id.clone());
    filter.states = MessageState::ALL.to_vec();
    let Some(mut message) = list(connection, &filter, true)?.pop() else { return Ok(None) };
    if let Some(id) = number(id.as_str()) {
        message.history = history::of(connection, id)?;
    }
    Ok(Some(message))
}

fn stored(row: &Row) -> Result<StoredMessage, PostgresError> {
    let (over, runs): (bool, bool) = (row.try_get("over")?, row.try_get("runs")?);
    // A run that ended unsettled, before the statement that ends its lease.
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
    if let Some(limit_key) = row.try_get("limit_key")? {
        message.limit_keys = LimitKeys::from_joined(limit_key);
    }
    if let (Some(key), Some(mode)) = (row.try_get::<_, Option<&str>>("unique_key")?, row.try_get("key_mode")?) {
        let ends_in: Option<f64> = row.try_get("key_ends_in")?;
        let ends_in = ends_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        message.has_key = ends_in.is_some() || row.try_get::<_, Option<bool>>("holds_key")?.is_some();
        let (_, key) = key.split_once('\n').unwrap_or(("", key));
        message.unique = unique::unique_for(mode, ends_in).map(|unique_for| Unique::new(key).unique_for(unique_for));
    }
    Ok(message)
}

/// Reads and compares bodies for a filter by body. Returns a filter by the ids of
/// those that match, with the texts that they must still have, and the last
/// message that was looked at, if there may be more.
pub(super) fn exactly(
    connection: &mut Connection,
    part: &Filter,
    most: usize,
    table: &str,
) -> Result<(Filter, Option<MessageId>), PostgresError> {
    let found = list(connection, part, true)?;
    let last = found.last().filter(|_| found.len() >= most).map(|message| message.id.clone());
    let mut ids = Vec::new();
    for message in &found {
        let Some(id) = number(message.id.as_str()) else { continue };
        // A unique message may have been replaced in between.
        let same = format!("SELECT 1 FROM {table} WHERE id = $1 AND text = $2");
        let text = String::from_utf8_lossy(&message.text);
        if !connection.run_text(&same, &[(&id, Type::INT8), (&text, Type::TEXT)])?.is_empty() {
            ids.push(message.id.clone());
        }
    }
    Ok((Filter { body: Vec::new(), limit: None, ids: Some(ids.into_iter().collect()), ..part.clone() }, last))
}

/// A change to the messages that a filter picks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Kick,
    Delete,
    /// Deletes done messages.
    DeleteDone,
}

impl Change {
    fn table(self) -> &'static str {
        if matches!(self, Self::DeleteDone) { "SCHEMA.archive" } else { "SCHEMA.message" }
    }

    fn conditions(self, filter: &Filter, only: &str) -> Option<Conditions> {
        if matches!(self, Self::DeleteDone) { done::conditions(filter) } else { Some(live(filter, only)) }
    }

    /// Changes some of the messages that the filter picks. Returns how many, and
    /// the last one that was looked at, if there may be more.
    pub(super) fn part(
        self,
        connection: &mut Connection,
        filter: &Filter,
    ) -> Result<(u64, Option<MessageId>), PostgresError> {
        let most = filter.limit.unwrap_or(MAX_CHANGED_AT_ONCE).min(MAX_CHANGED_AT_ONCE);
        let part = filter.clone().limit(most);
        if !filter.body.is_empty() {
            let mut wanted = part.clone();
            if matches!(self, Self::DeleteDone) {
                wanted.states = vec![MessageState::Done];
            } else {
                wanted.states.retain(|state| *state != MessageState::Done);
                if wanted.states.is_empty() && !part.states.is_empty() {
                    return Ok((0, None));
                }
            }
            let (exactly, last) = exactly(connection, &wanted, most, self.table())?;
            return Ok((self.part(connection, &exactly)?.0, last));
        }
        let (only, change) = match self {
            // A kicked message starts from the beginning: it has all its attempts,
            // and is due now.
            Self::Kick => (
                BURIED,
                "UPDATE SCHEMA.message SET state = 0, attempts = 0, abandoned = 0, due_since = now(), since = now(),
                    left_since = NULL, alone = false, holds_key = CASE WHEN key_mode < 2 THEN true END",
            ),
            Self::Delete => (NOT_RESERVED, "DELETE FROM SCHEMA.message"),
            Self::DeleteDone => ("true", "DELETE FROM SCHEMA.archive"),
        };
        let Some(picked) = self.conditions(&part, only) else { return Ok((0, None)) };
        if matches!(self, Self::Kick) {
            edit::end_delays(connection, &picked, CHOSEN_TO_KICK)?;
        }
        let table = self.table();
        let (columns, chosen) = match self {
            Self::Kick => ("id, unique_key", CHOSEN_TO_KICK),
            // Deleting a message frees its key too.
            Self::Delete | Self::DeleteDone => (
                "id",
                "chosen AS (SELECT id FROM picked),
                keys AS (DELETE FROM SCHEMA.timed_key WHERE message = ANY (ARRAY(SELECT id FROM picked)))",
            ),
        };
        let sql = format!(
            "WITH picked AS MATERIALIZED (SELECT {columns} FROM {table} WHERE {} ORDER BY id DESC LIMIT {} FOR UPDATE),
            {chosen},
            changed AS ({change} WHERE id = ANY (ARRAY(SELECT id FROM chosen)) RETURNING id)
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

/// Pauses the queue for this time, or resumes it.
pub(super) fn pause(connection: &mut Connection, queue: &str, time: Duration) -> Result<(), PostgresError> {
    // At most a thousand years.
    let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX).min(31_556_952_000_000_000);
    if micros == 0 {
        return connection.run(RESUME, &[(&queue, Type::TEXT)]).map(drop);
    }
    connection.run(PAUSE, &[(&queue, Type::TEXT), (&micros, Type::INT8)]).map(drop)
}

/// The counts of each queue and request type, by state. There are no counters,
/// since workers would wait for each other to write to them.
const COUNTS: Sql = "SELECT queue, request_type, seen, count(*), min(due_since)
    FROM (SELECT queue, request_type, due_since, 0 AS seen FROM SCHEMA.message WHERE state = 0
        UNION ALL
        SELECT queue, request_type, due_since, CASE WHEN due <= now() THEN 0
            WHEN lease_ends <= now() THEN CASE WHEN cancelled_at IS NULL THEN 0 ELSE 3 END ELSE state END
        FROM SCHEMA.message WHERE state > 0) AS message
    GROUP BY queue, request_type, seen";

const PAUSED: Sql = "SELECT queue, until FROM SCHEMA.pause WHERE until > now() ORDER BY queue";

/// The number of ids that were given: in order, and never twice.
const PUBLISHED: &str = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM SCHEMA.message_id_seq";

/// The oldest transaction that keeps dead rows from being removed: one with a
/// snapshot, or a prepared one. The server shows those of other roles only to
/// roles with `pg_read_all_stats`.
const PINNED: Sql = "SELECT extract(epoch FROM clock_timestamp() - since)::float8, who FROM (
        SELECT xact_start AS since, 'process ' || pid || ' of the role ' || coalesce(usename, '?') || ', '
            || coalesce(state, '?') AS who
        FROM pg_stat_activity
        WHERE datname = current_database() AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
            AND backend_type = 'client backend'
        UNION ALL
        SELECT prepared, 'the prepared transaction ' || quote_literal(gid) FROM pg_prepared_xacts
        WHERE database = current_database()) AS transaction
    WHERE since < clock_timestamp() - interval '1 minute' ORDER BY since LIMIT 1";

fn pinned(row: &Row) -> Result<String, PostgresError> {
    let (seconds, who): (f64, String) = (row.try_get(0)?, row.try_get(1)?);
    let time = Duration::try_from_secs_f64(seconds.floor().max(0.0)).unwrap_or_default();
    let time = humantime::format_duration(time);
    Ok(format!("a transaction has been open for {time}, so dead rows cannot be cleared away ({who}): end it"))
}

/// How many rows of messages were inserted, changed and deleted. The server counts them, and learns the numbers of a
/// session when it is idle, at most ten seconds later, or when it ends.
const CHANGES: Sql =
    "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint FROM pg_catalog.pg_stat_user_tables
    WHERE relid IN ('SCHEMA.message'::regclass, 'SCHEMA.archive'::regclass)";

pub(super) fn change_mark(connection: &mut Connection) -> Result<u64, PostgresError> {
    let rows = connection.run(CHANGES, &[])?;
    rows.first().map_or(Ok(0), |row| Ok(row.try_get::<_, i64>(0)?.unsigned_abs()))
}

pub(super) fn stats(connection: &mut Connection) -> Result<Stats, PostgresError> {
    let mut answers = connection.run_all(&[(COUNTS, &[]), (PAUSED, &[]), (PUBLISHED, &[]), (PINNED, &[])]).into_iter();
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
            MessageState::Done => {}
        }
    }
    let mut stats = Stats::default();
    for row in next()? {
        stats.paused.push(Paused::new(row.try_get::<_, String>(0)?, row.try_get(1)?));
    }
    let published: i64 = next()?.first().map_or(Ok(0), |row| row.try_get(0))?;
    let published = u64::try_from(published).unwrap_or_default();
    stats.warnings = next()?.iter().map(pinned).collect::<Result<_, _>>()?;
    let present: u64 = all.values().map(Counts::total).sum();
    stats.totals = vec![Totals::new(None, published, published.saturating_sub(present))];
    stats.counts = all.into_values().collect();
    Ok(stats)
}
