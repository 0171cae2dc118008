//! Looking at the messages of the embedded queue, kicking and deleting them.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::counts::Changes;
use super::{done, history, micros, pauses, schema, time, unique};
use crate::message::{MessageId, Priority};
use crate::queue::{
    ABANDONED, Attempt, AttemptOutcome, Counts, FailedRun, Filter, LimitKeys, MessageState, Progress, Stats,
    StoredMessage, Totals, worker_of,
};

/// The state at `:now`: a message whose delay or lease has ended is ready, or
/// buried if it was cancelled, though no worker has looked at it since.
const SEEN: &str = "iif(due <= :now OR lease_ends <= :now, iif(cancelled IS NULL, 0, 3), state)";

/// Since when it is in that state.
const SEEN_SINCE: &str = "CASE WHEN due <= :now THEN due WHEN lease_ends <= :now THEN lease_ends ELSE since END";

/// The conditions of a query, and their values.
pub(super) struct Conditions {
    pub(super) conditions: String,
    values: Vec<(&'static str, Value)>,
}

impl Conditions {
    /// Those of the ids of the filter, and its limit.
    pub(super) fn of_ids(filter: &Filter) -> Self {
        let mut picked = Self { conditions: "true".to_owned(), values: Vec::new() };
        if let Some(ids) = &filter.ids {
            let ids: Vec<_> = ids.iter().filter_map(number).map(|id| id.to_string()).collect();
            let ids = format!("[{}]", ids.join(","));
            picked.and("id IN (SELECT value FROM json_each(:ids))", ":ids", ids);
        }
        if let Some(after) = &filter.after {
            picked.and("id < :after", ":after", number(after).unwrap_or(i64::MIN));
        }
        if let Some(last) = &filter.down_to {
            picked.and("id >= :down_to", ":down_to", number(last).unwrap_or(i64::MIN));
        }
        // SQLite takes a negative limit as none. Where the body decides, the rows
        // are counted when it has been read.
        let limit = filter.limit.filter(|_| filter.body.is_empty());
        picked.values.push((":limit", limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX)).into()));
        picked
    }

    pub(super) fn and(&mut self, condition: &str, name: &'static str, value: impl Into<Value>) {
        self.conditions.push_str(" AND ");
        self.conditions.push_str(condition);
        self.values.push((name, value.into()));
    }

    fn parameters(&self) -> Vec<(&str, &dyn rusqlite::ToSql)> {
        self.values.iter().map(|(name, value)| (*name, value as &dyn rusqlite::ToSql)).collect()
    }

    /// The rows of a query that has the column `text`, as far as their bodies
    /// are picked too. Only one text is in memory at a time, unless `texts` are
    /// wanted.
    pub(super) fn select(
        &self,
        connection: &Connection,
        sql: &str,
        filter: &Filter,
        texts: bool,
        read: fn(&Row<'_>) -> rusqlite::Result<StoredMessage>,
    ) -> rusqlite::Result<Vec<StoredMessage>> {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(&*self.parameters())?;
        let mut found = Vec::new();
        while found.len() < filter.limit.unwrap_or(usize::MAX)
            && let Some(row) = rows.next()?
        {
            if !filter.body.is_empty()
                && !filter.fits_body(row.get_ref("text")?.as_bytes_or_null()?.unwrap_or_default())
            {
                continue;
            }
            let mut message = read(row)?;
            if !texts {
                message.text = Vec::new();
            }
            found.push(message);
        }
        Ok(found)
    }
}

/// A [`Filter`] as the conditions of a query for messages that are not over.
pub(super) struct Picked(Conditions);

impl Picked {
    pub(super) fn new(filter: &Filter, now: i64) -> Self {
        let mut picked = Conditions::of_ids(filter);
        picked.and(":now IS NOT NULL", ":now", now);
        if !filter.states.is_empty() {
            let codes: Vec<_> = filter.states.iter().map(|state| schema::code(*state).to_string()).collect();
            picked.conditions.push_str(&format!(" AND {SEEN} IN ({})", codes.join(",")));
            if filter.states.iter().all(|state| *state == MessageState::Buried) {
                // Those have an index. What was cancelled and has lost its
                // worker is among them once somebody has noticed.
                picked.conditions.push_str(" AND state = 3");
            }
        }
        if let Some(queue) = &filter.queue {
            picked.and("message.queue = :queue", ":queue", queue.clone());
        }
        if let Some(request_type) = &filter.request_type {
            // By a sign before the column, so that the order of the list is
            // not that of the kinds.
            let of_type = "+kind IN (SELECT id FROM kind WHERE request_type = :type)";
            picked.and(of_type, ":type", request_type.clone());
        }
        if let Some(time) = filter.older_than {
            picked.and(&format!("{SEEN_SINCE} < :older"), ":older", micros(time));
        }
        if let Some(time) = filter.newer_than {
            picked.and(&format!("{SEEN_SINCE} >= :newer"), ":newer", micros(time));
        }
        if let Some(time) = filter.published_before {
            picked.and("enqueued_at < :before", ":before", micros(time));
        }
        if let Some(time) = filter.published_after {
            picked.and("enqueued_at >= :not_before", ":not_before", micros(time));
        }
        if let Some(text) = &filter.reason {
            picked.and("instr(lower(last_error), lower(:reason)) > 0", ":reason", text.clone());
        }
        Self(picked)
    }

    /// Id, kind and state of what is picked and is `only` so.
    pub(super) fn rows(
        &self,
        connection: &Connection,
        filter: &Filter,
        only: &str,
    ) -> rusqlite::Result<Vec<(i64, i64, MessageState)>> {
        let Self(picked) = self;
        let text = if filter.body.is_empty() { "''" } else { TEXT };
        let mut statement = connection.prepare_cached(&format!(
            "SELECT id, kind, state, {text} AS text
             FROM message WHERE {} AND {only} ORDER BY id DESC LIMIT :limit",
            picked.conditions
        ))?;
        let mut rows = statement.query(&*picked.parameters())?;
        let mut found = Vec::new();
        while found.len() < filter.limit.unwrap_or(usize::MAX)
            && let Some(row) = rows.next()?
        {
            if filter.body.is_empty() || filter.fits_body(row.get_ref(3)?.as_bytes_or_null()?.unwrap_or_default()) {
                found.push((row.get(0)?, row.get(1)?, schema::state(row.get(2)?)));
            }
        }
        Ok(found)
    }
}

/// The text of a message, wherever it is.
const TEXT: &str = "coalesce(text, (SELECT text FROM long_text WHERE long_text.id = message.id))";

/// Only the queue gives ids, and it gives numbers: another text is no message.
pub(super) fn number(id: &MessageId) -> Option<i64> {
    id.as_str().parse().ok()
}

/// What may be kicked.
pub(super) const BURIED: &str = "state = 3";

/// What may be deleted: what a worker has is its own until its lease ends.
pub(super) const NOT_RESERVED: &str = "iif(due <= :now OR lease_ends <= :now, 0, state) <> 2";

/// The ids of what the filter picks and is `only` so, the newest first.
pub(super) fn ids(connection: &Connection, filter: &Filter, only: &str, now: i64) -> rusqlite::Result<Vec<MessageId>> {
    let picked = Picked::new(filter, now).rows(connection, filter, only)?;
    Ok(picked.into_iter().map(|(id, ..)| MessageId::from(id.to_string())).collect())
}

/// What the filter picks, also of what is done, the newest first. Without
/// `texts` they have none.
pub(super) fn list(
    connection: &Connection,
    filter: &Filter,
    texts: bool,
    now: i64,
) -> rusqlite::Result<Vec<StoredMessage>> {
    if filter.states.iter().all(|state| *state != MessageState::Done) {
        return live(connection, filter, texts, now);
    }
    let (mut all, mut done) = (live(connection, filter, texts, now)?, done::list(connection, filter, texts)?);
    if all.is_empty() {
        return Ok(done);
    }
    all.append(&mut done);
    all.sort_by_key(|message| std::cmp::Reverse(number(&message.id)));
    all.truncate(filter.limit.unwrap_or(usize::MAX));
    Ok(all)
}

/// The same of what is not over.
fn live(connection: &Connection, filter: &Filter, texts: bool, now: i64) -> rusqlite::Result<Vec<StoredMessage>> {
    let Picked(picked) = Picked::new(filter, now);
    let text = if texts || !filter.body.is_empty() { TEXT } else { "''" };
    let sql = format!(
        "SELECT id, queue, priority, lease, ttr, lost, due_since, enqueued_at, last_error, last_error_at,
            (SELECT request_type FROM kind WHERE kind.id = message.kind) AS request_type, {text} AS text,
            progress, progress_text, progress_at, cancelled IS NOT NULL AS cancelled,
            {SEEN} AS seen, {SEEN_SINCE} AS seen_since, coalesce(due, lease_ends) AS until,
            coalesce(due, lease_ends) <= :now AS over, state, attempts, limit_key, unique_key, key_mode, holds_key,
            (SELECT ends FROM timed_key WHERE key = unique_key AND timed_key.message = message.id AND ends > :now)
                - :now AS key_ends_in
         FROM message WHERE {} ORDER BY id DESC LIMIT :limit",
        picked.conditions
    );
    picked.select(connection, &sql, filter, texts, stored)
}

/// One message, whatever its state is, with its history.
pub(super) fn peek(connection: &Connection, id: &MessageId, now: i64) -> rusqlite::Result<Option<StoredMessage>> {
    let mut filter = Filter::all().id(id.clone());
    filter.states = MessageState::ALL.to_vec();
    let Some(mut message) = list(connection, &filter, true, now)?.pop() else { return Ok(None) };
    let Some(id) = number(id) else { return Ok(Some(message)) };
    message.history = history::of(connection, id)?;
    // A run that ended without being settled, though nobody has noticed yet.
    let over: Option<(i64, i64, String, i64)> = connection
        .prepare_cached(
            "SELECT since, lease_ends, lease, runs FROM message WHERE id = ?1 AND state = 2 AND lease_ends <= ?2
                AND cancelled IS NULL",
        )?
        .query_row([id, now], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    if let Some((since, ends, lease, runs)) = over {
        let run = FailedRun::new(time(since), history::took(since, ends), AttemptOutcome::Abandoned);
        message.history.push(Attempt::new(count(runs + 1), run, worker_of(&lease), ABANDONED));
    }
    Ok(Some(message))
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredMessage> {
    let at = |name: &str| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(name)?.map(time));
    let over = row.get::<_, Option<bool>>("over")?.unwrap_or_default();
    // A run that ended without being settled, though nobody has noticed yet.
    let lost = u32::from(over && schema::state(row.get("state")?) == MessageState::Reserved);
    let key_ends_in: Option<i64> = row.get("key_ends_in")?;
    let unique = match (row.get::<_, Option<String>>("unique_key")?, row.get("key_mode")?) {
        (Some(key), Some(mode)) => unique::read(&key, mode, key_ends_in),
        _ => None,
    };
    let limit_key: Option<String> = row.get("limit_key")?;
    Ok(StoredMessage {
        id: MessageId::from(row.get::<_, i64>("id")?.to_string()),
        queue: text(row.get_ref("queue")?)?,
        request_type: text(row.get_ref("request_type")?)?,
        state: schema::state(row.get("seen")?),
        since: at("seen_since")?,
        priority: Priority::new(count(row.get("priority")?)),
        until: at("until")?.filter(|_| !over),
        lease: row.get::<_, Option<String>>("lease")?.filter(|_| !over),
        attempts: count(row.get("attempts")?).saturating_add(lost),
        abandoned: count(row.get("lost")?).saturating_add(lost),
        kicks: None,
        enqueued_at: at("enqueued_at")?,
        due_since: at("due_since")?,
        ttr: u64::try_from(row.get::<_, i64>("ttr")?).ok().map(Duration::from_millis),
        last_error: Some(row.get_ref("last_error")?).filter(|at| *at != ValueRef::Null).map(text).transpose()?,
        last_error_at: at("last_error_at")?,
        progress: progress(row)?.filter(|_| !over),
        cancelled: row.get::<_, bool>("cancelled")? && !over,
        history: Vec::new(),
        result: None,
        has_expired: false,
        unique,
        has_key: key_ends_in.is_some() || row.get::<_, Option<bool>>("holds_key")? == Some(true),
        limit_keys: limit_key.as_deref().map(LimitKeys::from_joined).unwrap_or_default(),
        text: row.get_ref("text")?.as_bytes_or_null()?.unwrap_or_default().to_owned(),
    })
}

/// A number as it stands there, or the nearest one that can be.
pub(super) fn count(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// How far the run of a message is.
pub(super) fn progress(row: &Row<'_>) -> rusqlite::Result<Option<Progress>> {
    let (Some(fraction), Some(at)) = (row.get::<_, Option<f64>>("progress")?, row.get("progress_at")?) else {
        return Ok(None);
    };
    Ok(Some(Progress::new(fraction, text(row.get_ref("progress_text")?)?, time(at))))
}

/// A text as it stands there: one that was damaged must not hide all others.
pub(super) fn text(value: ValueRef<'_>) -> rusqlite::Result<String> {
    Ok(String::from_utf8_lossy(value.as_bytes_or_null()?.unwrap_or_default()).into_owned())
}

/// Of how many priorities of a kind, and of how many messages of each, the
/// oldest is looked for.
pub(super) const OLDEST_AMONG: &str = "
    WITH RECURSIVE level(priority) AS (
        SELECT min(priority) FROM message WHERE state = 0 AND kind = :kind
        UNION ALL
        SELECT (SELECT min(priority) FROM message WHERE state = 0 AND kind = :kind AND priority > level.priority)
        FROM level WHERE level.priority IS NOT NULL LIMIT 64)
    SELECT min((SELECT min(due_since) FROM (
        SELECT due_since FROM message WHERE state = 0 AND kind = :kind AND priority = level.priority
        ORDER BY id LIMIT 256))) FROM level";

pub(super) fn stats(connection: &Connection, now: i64) -> rusqlite::Result<Stats> {
    let mut all: Vec<(i64, Counts)> = Vec::new();
    let mut kinds = connection.prepare_cached(
        "SELECT id, queue, request_type, ready, delayed, buried FROM kind ORDER BY queue, request_type",
    )?;
    let mut rows = kinds.query([])?;
    while let Some(row) = rows.next()? {
        let mut counts = Counts::new(text(row.get_ref(1)?)?, text(row.get_ref(2)?)?);
        let count = |column| Ok::<_, rusqlite::Error>(u64::try_from(row.get::<_, i64>(column)?).unwrap_or_default());
        (counts.ready, counts.delayed, counts.buried) = (count(3)?, count(4)?, count(5)?);
        all.push((row.get(0)?, counts));
    }
    let places: HashMap<i64, usize> = all.iter().enumerate().map(|(place, (kind, _))| (*kind, place)).collect();
    let earlier = |counts: &mut Counts, since: Option<i64>| {
        counts.oldest_ready = counts.oldest_ready.into_iter().chain(since.map(time)).min();
    };
    for Waiting { kind, of, count, due_since } in waiting(connection, now)? {
        let Some((_, counts)) = places.get(&kind).and_then(|place| all.get_mut(*place)) else { continue };
        if of == MessageState::Reserved {
            counts.reserved = count;
            continue;
        }
        if of == MessageState::Buried {
            counts.buried += count;
            continue;
        }
        // Its delay or its lease is over.
        counts.ready += count;
        if of == MessageState::Delayed {
            counts.delayed = counts.delayed.saturating_sub(count);
        }
        earlier(counts, due_since);
    }
    let mut oldest = connection.prepare_cached(OLDEST_AMONG)?;
    for (kind, counts) in all.iter_mut().filter(|(_, counts)| counts.ready > 0) {
        earlier(counts, oldest.query_row(named_params! { ":kind": *kind }, |row| row.get(0))?);
    }
    // Ids are never used again, so the last one is the number of publications.
    let published: u64 = connection
        .prepare_cached("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'message'")?
        .query_row([], |row| row.get::<_, i64>(0))?
        .try_into()
        .unwrap_or_default();
    let present: u64 = all.iter().map(|(_, counts)| counts.total()).sum();
    let totals = vec![Totals::new(None, published, published.saturating_sub(present))];
    let counts = all.into_iter().map(|(_, counts)| counts).filter(|counts| counts.total() > 0);
    Ok(Stats { counts: counts.collect(), paused: pauses::all(connection, now)?, totals, ..Stats::default() })
}

/// Messages of one kind that are reserved, or whose delay (`Delayed`) or lease
/// (`Ready`; `Buried` if it was cancelled) is over.
struct Waiting {
    kind: i64,
    of: MessageState,
    count: u64,
    due_since: Option<i64>,
}

/// Found by the indexes of what waits: these are never many.
fn waiting(connection: &Connection, now: i64) -> rusqlite::Result<Vec<Waiting>> {
    let mut all = Vec::new();
    for (of, query) in [
        (MessageState::Reserved, "SELECT kind, count(*), NULL FROM message WHERE lease_ends > :now GROUP BY kind"),
        (
            MessageState::Ready,
            "SELECT kind, count(*), min(due_since) FROM message WHERE lease_ends <= :now AND cancelled IS NULL
             GROUP BY kind",
        ),
        (
            MessageState::Buried,
            "SELECT kind, count(*), NULL FROM message WHERE lease_ends <= :now AND cancelled IS NOT NULL GROUP BY kind",
        ),
        (MessageState::Delayed, "SELECT kind, count(*), min(due_since) FROM message WHERE due <= :now GROUP BY kind"),
    ] {
        let mut statement = connection.prepare_cached(query)?;
        let mut rows = statement.query(named_params! { ":now": now })?;
        while let Some(row) = rows.next()? {
            let count = u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default();
            all.push(Waiting { kind: row.get(0)?, of, count, due_since: row.get(2)? });
        }
    }
    Ok(all)
}

/// A kicked message starts again: with all attempts before it, and due now. One
/// whose unique key another message has stays buried.
pub(super) fn kick(connection: &Connection, filter: &Filter, now: i64) -> rusqlite::Result<u64> {
    let picked = Picked::new(filter, now).rows(connection, filter, BURIED)?;
    let mut kick = connection.prepare_cached(
        "UPDATE message SET state = 0, attempts = 0, lost = 0, due_since = ?2, since = ?2, left_since = NULL
         WHERE id = ?1",
    )?;
    let mut counts = Changes::default();
    let mut kicked = 0;
    for (id, kind, _) in &picked {
        if !unique::kicked(connection, *id, now)? {
            continue;
        }
        kick.execute(params![id, now])?;
        counts.remove(*kind, MessageState::Buried);
        counts.add(*kind, MessageState::Ready);
        kicked += 1;
    }
    counts.write(connection)?;
    Ok(kicked)
}

/// Deletes messages, and all that belongs to them.
pub(super) fn delete(connection: &Connection, filter: &Filter, now: i64) -> rusqlite::Result<u64> {
    let picked = Picked::new(filter, now).rows(connection, filter, NOT_RESERVED)?;
    let mut forget_key = connection.prepare_cached("DELETE FROM timed_key WHERE message = ?1")?;
    for (id, ..) in &picked {
        forget_key.execute([id])?;
    }
    remove(connection, &picked)
}

/// Deletes these messages, their texts, histories and keys; not the keys that
/// are taken for a time.
fn remove(connection: &Connection, messages: &[(i64, i64, MessageState)]) -> rusqlite::Result<u64> {
    let mut delete = connection.prepare_cached("DELETE FROM message WHERE id = ?1 RETURNING runs > 0")?;
    let mut delete_text = connection.prepare_cached("DELETE FROM long_text WHERE id = ?1")?;
    let mut counts = Changes::default();
    for (id, kind, state) in messages {
        unique::buried(connection, *id)?;
        let has_failed: bool = delete.query_row([id], |row| row.get(0))?;
        delete_text.execute([id])?;
        if has_failed {
            history::forget(connection, *id)?;
        }
        counts.remove(*kind, *state);
    }
    counts.write(connection)?;
    Ok(messages.len() as u64)
}

/// Whether any have been buried since then or before.
pub(super) fn any_buried_until(connection: &Connection, time: i64) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM message WHERE state = 3 AND since <= ?1)")?
        .query_row([time], |row| row.get(0))
}

/// Deletes some of those; how many.
pub(super) fn prune_buried(connection: &Connection, time: i64, most: i64) -> rusqlite::Result<u64> {
    let picked = connection
        .prepare_cached("SELECT id, kind FROM message WHERE state = 3 AND since <= ?1 ORDER BY since LIMIT ?2")?
        .query_map([time, most], |row| Ok((row.get(0)?, row.get(1)?, MessageState::Buried)))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    remove(connection, &picked)
}
