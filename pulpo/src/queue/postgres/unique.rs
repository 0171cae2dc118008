//! Unique keys. A unique index ensures that at most one message holds each key.
//! The functions and triggers in `schema/1_keys.sql` do the rest; this file calls
//! them.
//!
//! # Invariants
//! A batch that takes several keys locks them first, always in one order, and then
//! the waiting messages that are to be replaced. If two transactions still deadlock,
//! the database ends one of them, and it is tried again: a large batch, a job with
//! several follow-ups or a transaction of a user's may be one of the two.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::columns::{Columns, due, limit_key, parts, request_type, ttr};
use super::connection::{Connection, Parameter, Sql};
use super::error::PostgresError;
use crate::keys::{OnDuplicate, Publication, Unique, UniqueFor};
use crate::message::{Incoming, MessageId};
use crate::queue::{Enqueued, NewMessage};

/// The values of the column `key_mode`: for how long a key is taken.
const UNFINISHED: i32 = 0;
const WAITING: i32 = 1;
const TIMED: i32 = 2;

/// A thousand years, in microseconds.
const LONGEST_TIME: i64 = 31_556_952_000_000_000;

const KEEP: Sql = "SELECT kept.kept_id, kept.publication
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::bigint[], $6::text[], $7::text[],
            $8::text[], $9::integer[], $10::bigint[], $11::timestamptz[], $12::text[])
        WITH ORDINALITY AS new(queue, request_type, priority, due, ttr, text, limit_key,
            unique_key, key_mode, key_time, expires, duplicate, place),
        LATERAL SCHEMA.keep(new.queue, new.request_type, new.priority, new.due, new.ttr, new.text, new.limit_key,
            new.unique_key, new.key_mode, new.key_time, new.expires, new.duplicate) AS kept
    ORDER BY new.place";

/// The same for one message: most publications are of one, and building rows from arrays and sorting them would cost a
/// tenth of it.
const KEEP_ONE: Sql = "SELECT kept_id, publication FROM SCHEMA.keep($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

/// A batch of more keys locks none: it would keep others waiting that take other
/// keys, as long as a transaction of a user's has one of its keys.
const MOST_LOCKS: usize = 100;

/// Locks these keys against other batches. Others that insert the same keys in
/// another order would each wait for the other one. There are 4096 locks for all
/// keys of a schema, since PostgreSQL has room for some thousands.
const LOCK_KEYS: Sql = "SELECT pg_advisory_xact_lock(hashtext('pulpo keys SCHEMA.'), number)
    FROM (SELECT DISTINCT hashtext(key) & 4095 AS number FROM unnest($1::text[]) AS key ORDER BY number) AS numbers";

/// Locks the messages that may be replaced, in one order.
const LOCK: Sql = "SELECT FROM SCHEMA.message WHERE unique_key = ANY ($1::text[]) AND holds_key AND state < 2
    ORDER BY unique_key FOR UPDATE";

const TAKEN_BY: Sql = "SELECT coalesce(
        (SELECT holder.id FROM SCHEMA.message AS holder
            WHERE holder.unique_key = this.unique_key AND holder.holds_key AND holder.id <> this.id),
        (SELECT message FROM SCHEMA.timed_key
            WHERE key = this.unique_key AND ends > clock_timestamp() AND message <> this.id
                AND began <= clock_timestamp() + interval '1 minute'))
    FROM SCHEMA.message AS this WHERE id = $1 AND unique_key IS NOT NULL";

/// Returns the key as its column stores it.
pub(super) fn key(request_type: &str, unique: &Unique) -> String {
    // PostgreSQL cannot store NUL.
    format!("{request_type}\n{}", unique.key).replace('\0', "\u{FFFD}0")
}

/// Returns the columns that say for how long a message keeps its key: the mode, and
/// the time in microseconds.
pub(super) fn mode(unique_for: UniqueFor) -> (i32, Option<i64>) {
    match unique_for {
        UniqueFor::Unfinished => (UNFINISHED, None),
        UniqueFor::Waiting => (WAITING, None),
        UniqueFor::Time(time) => {
            (TIMED, Some(i64::try_from(time.as_micros()).unwrap_or(LONGEST_TIME).clamp(1, LONGEST_TIME)))
        }
    }
}

/// The reverse, with the rest of the time of a timed key.
pub(super) fn unique_for(mode: i32, remaining: Option<std::time::Duration>) -> Option<UniqueFor> {
    match mode {
        UNFINISHED => Some(UniqueFor::Unfinished),
        WAITING => Some(UniqueFor::Waiting),
        _ => remaining.map(UniqueFor::Time),
    }
}

/// Returns when a message with a unique key expires, and so loses its key.
fn expires(message: &NewMessage) -> Option<DateTime<Utc>> {
    message.unique.as_ref()?;
    Incoming::read(message.text.as_bytes()).ok()?.header.expiration()
}

/// Stores these messages, all or none, and returns the result for each.
pub(super) fn insert(connection: &mut Connection, messages: &[&NewMessage]) -> Result<Vec<Enqueued>, PostgresError> {
    if let [message] = messages {
        return insert_part(connection, &[message]);
    }
    connection.in_transaction(|connection| {
        lock_keys(connection, messages)?;
        insert_within(connection, messages)
    })
}

/// Locks the keys of these messages if they are several and not very many, before
/// the transaction has any other lock.
fn lock_keys(connection: &mut Connection, messages: &[&NewMessage]) -> Result<(), PostgresError> {
    let of = |message: &&NewMessage| message.unique.as_ref().map(|unique| key(&message.request_type, unique));
    let keys: BTreeSet<String> = messages.iter().filter_map(of).collect();
    if !(2..=MOST_LOCKS).contains(&keys.len()) {
        return Ok(());
    }
    let keys: Vec<&String> = keys.iter().collect();
    connection.run(LOCK_KEYS, &[(&keys, Type::TEXT_ARRAY)]).map(drop)
}

/// Does the same in a transaction that has begun.
pub(super) fn insert_within(
    connection: &mut Connection,
    messages: &[&NewMessage],
) -> Result<Vec<Enqueued>, PostgresError> {
    // The first message of each key is stored; the later ones are duplicates of it.
    let mut firsts: HashMap<String, usize> = HashMap::new();
    let mut fresh: Vec<&NewMessage> = Vec::with_capacity(messages.len());
    let mut places = Vec::with_capacity(messages.len());
    for message in messages {
        let first = message.unique.as_ref().map(|unique| firsts.entry(key(&message.request_type, unique)));
        let place = match first {
            Some(entry) => *entry.or_insert(fresh.len()),
            None => fresh.len(),
        };
        let is_first = place == fresh.len();
        if is_first {
            fresh.push(message);
        }
        places.push((place, is_first));
    }
    let replaces = |message: &&NewMessage| {
        message.unique.as_ref().is_some_and(|unique| unique.on_duplicate == OnDuplicate::Replace)
    };
    if firsts.len() > 1 && fresh.iter().any(replaces) {
        let keys: Vec<&String> = firsts.keys().collect();
        connection.run(LOCK, &[(&keys, Type::TEXT_ARRAY)])?;
    }
    let kept = parts(&fresh).map(|part| insert_part(connection, part)).collect::<Result<Vec<_>, _>>()?;
    let kept = kept.concat();
    let one = |(place, is_first): (usize, bool)| {
        let one: &Enqueued = kept.get(place)?;
        Some(if is_first { one.clone() } else { Enqueued::duplicate(one.id.clone(), Publication::Kept) })
    };
    Ok(places.into_iter().filter_map(one).collect())
}

fn insert_part(connection: &mut Connection, messages: &[&NewMessage]) -> Result<Vec<Enqueued>, PostgresError> {
    if let [message] = messages {
        return insert_one(connection, message);
    }
    let columns = Columns::of(messages.iter().copied());
    let (mut keys, mut modes, mut times, mut ends, mut duplicates) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for message in messages {
        let columns = KeyColumns::of(message);
        keys.push(columns.key);
        modes.push(columns.mode);
        times.push(columns.time);
        ends.push(columns.expires);
        duplicates.push(columns.on_duplicate);
    }
    let mut parameters = columns.parameters();
    parameters.extend([
        (&keys as _, Type::TEXT_ARRAY),
        (&modes as _, Type::INT4_ARRAY),
        (&times as _, Type::INT8_ARRAY),
        (&ends as _, Type::TIMESTAMPTZ_ARRAY),
        (&duplicates as _, Type::TEXT_ARRAY),
    ]);
    connection.run(KEEP, &parameters)?.iter().map(kept).collect()
}

fn insert_one(connection: &mut Connection, message: &NewMessage) -> Result<Vec<Enqueued>, PostgresError> {
    let KeyColumns { key, mode, time, expires, on_duplicate } = KeyColumns::of(message);
    let parameters: [Parameter<'_>; 12] = [
        (&message.queue, Type::TEXT),
        (&request_type(message), Type::TEXT),
        (&i64::from(message.priority.get()), Type::INT8),
        (&due(message), Type::TIMESTAMPTZ),
        (&ttr(message.ttr), Type::INT8),
        (&message.text, Type::TEXT),
        (&limit_key(message), Type::TEXT),
        (&key, Type::TEXT),
        (&mode, Type::INT4),
        (&time, Type::INT8),
        (&expires, Type::TIMESTAMPTZ),
        (&on_duplicate, Type::TEXT),
    ];
    connection.run(KEEP_ONE, &parameters)?.iter().map(kept).collect()
}

/// The columns of a message that are about its unique key: null if it has none.
struct KeyColumns {
    key: Option<String>,
    mode: Option<i32>,
    time: Option<i64>,
    expires: Option<DateTime<Utc>>,
    on_duplicate: Option<String>,
}

impl KeyColumns {
    fn of(message: &NewMessage) -> Self {
        let unique = message.unique.as_ref();
        let (mode, time) = unique.map(|unique| mode(unique.unique_for)).unzip();
        Self {
            key: unique.map(|unique| key(&message.request_type, unique)),
            mode,
            time: time.flatten(),
            expires: expires(message).filter(|expires| *expires > DateTime::UNIX_EPOCH),
            on_duplicate: unique.map(|unique| unique.on_duplicate.to_string()),
        }
    }
}

fn kept(row: &Row) -> Result<Enqueued, PostgresError> {
    let id: i64 = row.try_get(0)?;
    let publication = match row.try_get::<_, &str>(1)? {
        "kept" => Publication::Kept,
        "replaced" => Publication::Replaced,
        _ => Publication::New,
    };
    Ok(Enqueued::duplicate(MessageId::from(id.cast_unsigned()), publication))
}

/// Returns the message that has the key of this one, if it is another message.
pub(super) fn taken_by(connection: &mut Connection, id: i64) -> Result<Option<i64>, PostgresError> {
    let rows = connection.run(TAKEN_BY, &[(&id, Type::INT8)])?;
    Ok(rows.first().map(|row| row.try_get::<_, Option<i64>>(0)).transpose()?.flatten())
}
