//! Inspects the messages of the embedded queue, kicks and deletes them.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::activity::OLDEST_AMONG;
use super::counts::Changes;
use super::picked::{Picked, SEEN, SEEN_SINCE, TEXT};
use super::storage::schema;
use super::storage::values::{count, number, progress, text, time};
use super::{done, edit, history, pauses, unique};
use crate::message::{MessageId, Priority};
use crate::queue::{
    ABANDONED, Attempt, AttemptOutcome, Counts, FailedRun, Filter, LimitKeys, MessageState, Stats, StoredMessage,
    Totals, worker_of,
};

/// The condition for messages that can be kicked.
pub(super) const BURIED: &str = "state = 3";

/// The condition for messages that can be deleted: a message belongs to its worker until its lease ends.
pub(super) const NOT_RESERVED: &str = "iif(due <= :now OR lease_ends <= :now, 0, state) <> 2";

/// Returns the ids of the messages that match the filter and the condition `only`, the newest first.
pub(super) fn ids(connection: &Connection, filter: &Filter, only: &str, now: i64) -> rusqlite::Result<Vec<MessageId>> {
    let picked = Picked::new(filter, now).rows(connection, filter, only)?;
    Ok(picked.into_iter().map(|(id, ..)| MessageId::from(id.to_string())).collect())
}

/// Returns all messages that match the filter, archived ones included, the newest first. Without `texts`, their texts
/// are left out.
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

/// Returns those that are not over.
fn live(connection: &Connection, filter: &Filter, texts: bool, now: i64) -> rusqlite::Result<Vec<StoredMessage>> {
    let Picked(picked) = Picked::new(filter, now);
    let text = if texts || !filter.body.is_empty() { TEXT } else { "''" };
    let sql = format!(
        "SELECT id, queue, priority, lease, ttr, lost, due_since, enqueued_at, last_error, last_error_at,
            (SELECT request_type FROM kind WHERE kind.id = message.kind) AS request_type, {text} AS text,
            progress, progress_text, progress_at, cancelled IS NOT NULL AS cancelled,
            {SEEN} AS seen, {SEEN_SINCE} AS seen_since, coalesce(due, lease_ends) AS until,
            coalesce(due, lease_ends) <= :now AS over, state, attempts, limit_key, unique_key, key_mode, holds_key,
            (SELECT ends FROM timed_key WHERE key = unique_key AND timed_key.message = message.id AND ends > :now
                AND ends - length <= :now + 60000000)
                - :now AS key_ends_in
         FROM message WHERE {} ORDER BY id DESC LIMIT :limit",
        picked.conditions
    );
    picked.select(connection, &sql, filter, texts, stored)
}

/// Returns one message, whatever its state, with its history.
pub(super) fn peek(connection: &Connection, id: &MessageId, now: i64) -> rusqlite::Result<Option<StoredMessage>> {
    let mut filter = Filter::all().id(id.clone());
    filter.states = MessageState::ALL.to_vec();
    let Some(mut message) = list(connection, &filter, true, now)?.pop() else { return Ok(None) };
    let Some(id) = number(id) else { return Ok(Some(message)) };
    message.history = history::of(connection, id)?;
    // A run that ended without being settled, before any worker has noticed.
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
    // A run that ended without being settled, before any worker has noticed.
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

/// Returns a number that every commit changes: on the disk, SQLite counts those of other connections, and this one only
/// reads; in memory, there is one connection, which counts the rows that it has changed.
pub(super) fn change_mark(connection: &Connection) -> rusqlite::Result<u64> {
    let version: i64 = connection.pragma_query_value(None, "data_version", |row| row.get(0))?;
    let changed: i64 = connection.prepare_cached("SELECT total_changes()")?.query_row([], |row| row.get(0))?;
    Ok(version.unsigned_abs().wrapping_add(changed.unsigned_abs()))
}

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
    let delayed = all.iter().map(|(kind, counts)| (*kind, counts.delayed)).collect();
    for Waiting { kind, of, count, due_since } in waiting(connection, &delayed, now)? {
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
    // Ids are never reused, so the last one is the number of publications.
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

/// Messages of one kind that are reserved, or whose delay (`Delayed`) or lease (`Ready`; `Buried` if cancelled) is
/// over.
struct Waiting {
    kind: i64,
    of: MessageState,
    count: u64,
    due_since: Option<i64>,
}

/// Counts them by the indexes of delays and leases, given how many messages of each kind have a delay. There are never
/// many leases.
fn waiting(connection: &Connection, delayed: &HashMap<i64, u64>, now: i64) -> rusqlite::Result<Vec<Waiting>> {
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
    ] {
        let mut statement = connection.prepare_cached(query)?;
        let mut rows = statement.query(named_params! { ":now": now })?;
        while let Some(row) = rows.next()? {
            let count = u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default();
            all.push(Waiting { kind: row.get(0)?, of, count, due_since: row.get(2)? });
        }
    }
    all.append(&mut overdue(connection, delayed, now)?);
    Ok(all)
}

/// How many overdue messages to count and read one by one.
const READ_OVERDUE: u32 = 1000;

/// How many messages whose delay is not over to count one by one.
const COUNTED_DELAYED: u64 = 20_000;

/// Counts the messages whose delay is over, of which there are many if no worker ran for a while. Where most are overdue,
/// it counts the others, since the sum of both is known. It looks for the oldest of each kind only among those that were
/// due first; a kind that is not among them has the time at which the last of them was due.
fn overdue(connection: &Connection, delayed: &HashMap<i64, u64>, now: i64) -> rusqlite::Result<Vec<Waiting>> {
    let mut first: HashMap<i64, (u64, Option<i64>)> = HashMap::new();
    let (mut read, mut last) = (0, None);
    let mut statement =
        connection.prepare_cached("SELECT kind, due_since, due FROM message WHERE due <= ?1 ORDER BY due LIMIT ?2")?;
    let mut rows = statement.query(params![now, READ_OVERDUE + 1])?;
    while let Some(row) = rows.next()? {
        let (count, since) = first.entry(row.get(0)?).or_default();
        *count += 1;
        *since = since.iter().copied().chain([row.get(1)?]).min();
        (read, last) = (read + 1, row.get(2)?);
    }
    let counts = if read <= READ_OVERDUE {
        first.iter().map(|(kind, (count, _))| (*kind, *count)).collect()
    } else {
        count_overdue(connection, delayed, now)?
    };
    let overdue = |(kind, count): (i64, u64)| {
        let due_since = first.get(&kind).map_or(last, |(_, since)| *since);
        Waiting { kind, of: MessageState::Delayed, count, due_since }
    };
    Ok(counts.into_iter().filter(|(_, count)| *count > 0).map(overdue).collect())
}

fn count_overdue(
    connection: &Connection,
    delayed: &HashMap<i64, u64>,
    now: i64,
) -> rusqlite::Result<HashMap<i64, u64>> {
    let read = |row: &Row<'_>| Ok((row.get(0)?, u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default()));
    let still_delayed: HashMap<i64, u64> = connection
        .prepare_cached(
            "SELECT kind, count(*) FROM (SELECT kind FROM message WHERE due > ?1 ORDER BY due LIMIT ?2) GROUP BY kind",
        )?
        .query_map(params![now, COUNTED_DELAYED.cast_signed()], read)?
        .collect::<rusqlite::Result<_>>()?;
    if still_delayed.values().sum::<u64>() < COUNTED_DELAYED {
        let rest =
            |(kind, all): (&i64, &u64)| (*kind, all.saturating_sub(still_delayed.get(kind).copied().unwrap_or(0)));
        return Ok(delayed.iter().map(rest).collect());
    }
    connection
        .prepare_cached("SELECT kind, count(*) FROM message WHERE due <= ?1 GROUP BY kind")?
        .query_map([now], read)?
        .collect()
}

/// Kicks messages: each is due now and has all its attempts again. A message whose unique key has been taken stays
/// buried.
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
        edit::end_delay(connection, *id, now)?;
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

/// Deletes these messages with their texts, histories and keys, but not the keys that are taken for a fixed time.
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

/// Returns whether any message was buried at this time or before.
pub(super) fn any_buried_until(connection: &Connection, time: i64) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM message WHERE state = 3 AND since <= ?1)")?
        .query_row([time], |row| row.get(0))
}

/// Deletes at most `most` of those. Returns how many.
pub(super) fn prune_buried(connection: &Connection, time: i64, most: i64) -> rusqlite::Result<u64> {
    let picked = connection
        .prepare_cached("SELECT id, kind FROM message WHERE state = 3 AND since <= ?1 ORDER BY since LIMIT ?2")?
        .query_map([time, most], |row| Ok((row.get(0)?, row.get(1)?, MessageState::Buried)))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    remove(connection, &picked)
}
