//! The statements that lease messages and end leases.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::types::{Null, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};

use super::process_lock::{ProcessLock, Run, RunRecord};
use crate::message::MessageId;
use crate::queue::file::activity::Event;
use crate::queue::file::counts::Changes;
use crate::queue::file::storage::values::{Ids, count, one_or_many, time};
use crate::queue::file::{cancel, history, limits, unique};
use crate::queue::prefetch::{LeaseRequest, Leased};
use crate::queue::{ABANDONED, AttemptOutcome, Delivery, Lease, MessageState};

/// Returns the token of a lease.
pub(in crate::queue::file) fn token(owner: &str, number: u64) -> Arc<str> {
    format!("{owner}-{number}").into()
}

/// Splits a token into its owner and its number.
pub(in crate::queue::file) fn parse(token: &str) -> Option<(&str, u64)> {
    let (owner, number) = token.rsplit_once('-')?;
    Some((owner, number.parse().ok()?))
}

/// Leases these messages. They share one token, which is unique for each message. Those that must start at once are not
/// leased ahead, and neither are those after them. Returns the kind of each as well.
pub(in crate::queue::file) fn lease(
    connection: &Connection,
    picked: &limits::Picked,
    request: &LeaseRequest,
    (owner, number): (&str, u64),
    now: i64,
    counts: &mut Changes,
) -> rusqlite::Result<(Vec<Leased<Run>>, Vec<i64>)> {
    let (token, ids) = (token(owner, number), &picked.ids);
    let (mut leased, mut kinds) = (Vec::with_capacity(ids.len()), Vec::with_capacity(ids.len()));
    // By what their leases remember of their starts.
    let mut plain: Vec<(Option<&str>, Vec<i64>)> = Vec::new();
    for (place, one) in read(connection, ids, &token, number, now)?.into_iter().enumerate() {
        if one.key_mode == Some(unique::WAITING) && place >= request.at_once {
            // Its run does not start yet: from here on, messages are leased ahead.
            break;
        }
        let note = picked.note(place, one.kind);
        if one.key_mode == Some(unique::WAITING) {
            // The unique key becomes free here.
            connection
                .prepare_cached(
                    "UPDATE message SET state = 2, lease = ?2, lease_ends = ?3 + ttr * 1000, since = ?3, holds_key = NULL,
                        starts = ?4
                     WHERE id = ?1",
                )?
                .execute(params![one.id, token, now, note])?;
            unique::freed(connection, one.id)?;
        } else if let Some((_, ids)) = plain.iter_mut().rfind(|(of, _)| *of == note) {
            ids.push(one.id);
        } else {
            plain.push((note, vec![one.id]));
        }
        counts.remove(one.kind, MessageState::Ready);
        kinds.push(one.kind);
        leased.push(one.leased);
    }
    for (note, ids) in plain {
        for ids in Ids::split(&ids) {
            take(connection, &ids, &token, now, note)?;
        }
    }
    Ok((leased, kinds))
}

/// Marks these messages as leased.
fn take(connection: &Connection, ids: &Ids, token: &str, now: i64, starts: Option<&str>) -> rusqlite::Result<()> {
    macro_rules! update {
        ($ids:literal) => {
            concat!(
                "UPDATE message SET state = 2, lease = ?3, lease_ends = ?4 + ttr * 1000, since = ?4, starts = ?5
                 WHERE id ",
                $ids
            )
        };
    }
    match ids {
        Ids::Range(first, last) => {
            connection.prepare_cached(update!("BETWEEN ?1 AND ?2"))?.execute(params![first, last, token, now, starts])
        }
        Ids::List(ids) => {
            let update = match &**ids {
                [_] => update!("= ?1"),
                _ => update!("IN (SELECT value FROM json_each(?1))"),
            };
            connection.prepare_cached(update)?.execute(params![one_or_many(ids), Null, token, now, starts])
        }
    }
    .map(drop)
}

/// A message that is about to be leased.
struct Next {
    id: i64,
    kind: i64,
    key_mode: Option<i64>,
    leased: Leased<Run>,
}

/// Reads these messages, in this order. One statement for many takes half the time of one for each.
fn read(connection: &Connection, ids: &[i64], token: &Arc<str>, number: u64, now: i64) -> rusqlite::Result<Vec<Next>> {
    macro_rules! select {
        ($ids:literal) => {
            concat!(
                "SELECT id, queue, attempts, lost, due_since, ttr,
                    coalesce(text, (SELECT text FROM long_text WHERE long_text.id = message.id)),
                    kind, left_since, key_mode
                 FROM message WHERE id ",
                $ids
            )
        };
    }
    let mut reading = Reading { connection, kinds: Vec::new(), token, number, leased_at: time(now) };
    let mut all = Vec::with_capacity(ids.len());
    let mut select = |query: &str, values: &[&dyn ToSql]| {
        let mut select = connection.prepare_cached(query)?;
        let mut rows = select.query(values)?;
        while let Some(row) = rows.next()? {
            all.push(reading.next(row)?);
        }
        Ok::<_, rusqlite::Error>(())
    };
    for ids in Ids::split(ids) {
        match ids {
            Ids::Range(first, last) => select(select!("BETWEEN ?1 AND ?2"), params![first, last])?,
            Ids::List(ids) if ids.len() == 1 => select(select!("= ?1"), &[&one_or_many(&ids)])?,
            Ids::List(ids) => select(select!("IN (SELECT value FROM json_each(?1))"), &[&one_or_many(&ids)])?,
        }
    }
    if !all.iter().map(|next| next.id).eq(ids.iter().copied()) {
        let mut places: Vec<_> = ids.iter().copied().enumerate().map(|(place, id)| (id, place)).collect();
        places.sort_unstable();
        let place = |next: &Next| places.binary_search_by_key(&next.id, |(id, _)| *id).map(|found| places[found].1);
        all.sort_by_cached_key(|next| place(next).unwrap_or(usize::MAX));
    }
    Ok(all)
}

/// Reads the rows of messages that are about to be leased.
struct Reading<'a> {
    connection: &'a Connection,
    /// The kinds that have been met, with their request types: few, and mostly one.
    kinds: Vec<(i64, Arc<str>)>,
    token: &'a Arc<str>,
    number: u64,
    leased_at: DateTime<Utc>,
}

impl Reading<'_> {
    fn next(&mut self, row: &Row<'_>) -> rusqlite::Result<Next> {
        let id: i64 = row.get(0)?;
        let ttr: i64 = row.get(5)?;
        let kind = row.get(7)?;
        let delivery = Delivery {
            lease: Lease { id: MessageId::from(id.cast_unsigned()), token: self.token.clone() },
            queue: row.get(1)?,
            attempts: count(row.get(2)?),
            abandoned: count(row.get(3)?),
            maybe_begun: false,
            kicks: 0,
            due_since: time(row.get(4)?),
            left_since: row.get::<_, Option<i64>>(8)?.map(time),
            ttr: Duration::from_millis(u64::try_from(ttr).unwrap_or_default()),
            text: bytes(row.get_ref(6)?)?.to_owned(),
        };
        let tag = Run { message: id, lease: self.number };
        let leased = Leased { delivery, request_type: self.request_type(kind)?, leased_at: self.leased_at, tag };
        Ok(Next { id, kind, key_mode: row.get(9)?, leased })
    }

    fn request_type(&mut self, kind: i64) -> rusqlite::Result<Arc<str>> {
        if let Some((_, known)) = self.kinds.iter().find(|(known, _)| *known == kind) {
            return Ok(known.clone());
        }
        let mut name = self.connection.prepare_cached("SELECT request_type FROM kind WHERE id = ?1")?;
        // A damaged text must not hide all other messages.
        let request_type: Arc<str> = name
            .query_row([kind], |row| Ok(String::from_utf8_lossy(bytes(row.get_ref(0)?)?).into()))
            .optional()?
            .unwrap_or_else(|| "".into());
        self.kinds.push((kind, request_type.clone()));
        Ok(request_type)
    }
}

/// Returns the raw value; a missing one must not hide all other messages.
fn bytes(value: ValueRef<'_>) -> rusqlite::Result<&[u8]> {
    Ok(value.as_bytes_or_null()?.unwrap_or_default())
}

/// Makes messages ready again that were leased but never handed to a lane; that counts neither as a run nor as a start.
pub(in crate::queue::file) fn release(connection: &Connection, leases: &[Lease], now: i64) -> rusqlite::Result<()> {
    let mut give = connection.prepare_cached(
        "UPDATE message SET state = 0, lease = NULL, lease_ends = NULL, run = NULL, starts = NULL
         WHERE id = ?1 AND lease = ?2 AND cancelled IS NULL RETURNING kind, key_mode, id",
    )?;
    let mut counts = Changes::default();
    for lease in leases {
        limits::give_back(connection, lease.id.as_str(), &lease.token)?;
        let given: Option<Ended> = give.query_row([lease.id.as_str(), &lease.token], Ended::read).optional()?;
        match given {
            Some(given) => given.make_ready(connection, &mut counts)?,
            None => drop(cancel::bury_marked(connection, lease.id.as_str(), &lease.token, now)?),
        }
    }
    counts.write(connection)
}

/// A message whose lease has ended.
struct Ended {
    kind: i64,
    key_mode: Option<i64>,
    id: i64,
}

impl Ended {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { kind: row.get(0)?, key_mode: row.get(1)?, id: row.get(2)? })
    }

    /// Counts the message as ready again.
    fn make_ready(self, connection: &Connection, counts: &mut Changes) -> rusqlite::Result<()> {
        counts.add(self.kind, MessageState::Ready);
        if self.key_mode == Some(unique::WAITING) { unique::waits_again(connection, self.id) } else { Ok(()) }
    }
}

/// Ends leases whose processes died or stopped renewing them. A run that had begun counts as a lost attempt.
pub(in crate::queue::file) struct LeaseEnder<'a> {
    connection: &'a Connection,
    us: &'a ProcessLock,
    base_path: Option<&'a Path>,
    ran: HashMap<String, RunRecord>,
    now: i64,
    counts: Changes,
}

impl<'a> LeaseEnder<'a> {
    pub(in crate::queue::file) fn new(
        connection: &'a Connection,
        us: &'a ProcessLock,
        base_path: Option<&'a Path>,
        now: i64,
    ) -> Self {
        Self { connection, us, base_path, ran: HashMap::new(), now, counts: Changes::default() }
    }

    pub(in crate::queue::file) fn end(&mut self, id: i64, token: &str) -> rusqlite::Result<()> {
        let counts = parse(token).is_none_or(|(owner, lease)| {
            let read = || RunRecord::of(self.us, self.base_path, owner);
            self.ran.entry(owner.to_owned()).or_insert_with(read).counts(Run { message: id, lease })
        });
        let run = if counts {
            let outcome = AttemptOutcome::Abandoned;
            history::unreported(self.connection, &id.to_string(), token, outcome, self.now)?
        } else {
            None
        };
        let ended: Option<(Ended, i64)> = self
            .connection
            .prepare_cached(
                "UPDATE message SET state = 0, lease = NULL, lease_ends = NULL, run = NULL, starts = NULL, since = ?4,
                    left_since = NULL,
                    progress = NULL, progress_text = NULL, progress_at = NULL,
                    attempts = attempts + ?3, lost = lost + ?3, runs = runs + ?3,
                    last_error = iif(?3, ?5, last_error), last_error_at = iif(?3, ?4, last_error_at)
                 WHERE id = ?1 AND lease = ?2 AND cancelled IS NULL RETURNING kind, key_mode, id, runs",
            )?
            .query_row(params![id, token, counts, self.now, ABANDONED], |row| Ok((Ended::read(row)?, row.get(3)?)))
            .optional()?;
        let Some((ended, runs)) = ended else {
            return cancel::bury_marked(self.connection, &id.to_string(), token, self.now).map(drop);
        };
        if let Some(run) = run {
            history::Ended { message: id, token, run, error: ABANDONED }.write(self.connection, runs)?;
        }
        if counts {
            self.counts.event(ended.kind, Event::Failed, self.now);
        }
        ended.make_ready(self.connection, &mut self.counts)
    }

    pub(in crate::queue::file) fn finish(self) -> rusqlite::Result<()> {
        self.counts.write(self.connection)
    }

    /// Ends leases of a process, at most as many. Returns how many.
    pub(in crate::queue::file) fn end_all_of(mut self, owner: &str, most: u16) -> rusqlite::Result<usize> {
        let mut query = self.connection.prepare_cached(
            "SELECT id, lease FROM message WHERE lease_ends IS NOT NULL AND lease >= ?1 AND lease < ?2 LIMIT ?3",
        )?;
        // A point comes after a hyphen.
        let range = params![format!("{owner}-"), format!("{owner}."), most];
        let leases = query
            .query_map(range, |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<Vec<(i64, String)>>>()?;
        leases.iter().try_for_each(|(id, token)| self.end(*id, token))?;
        self.finish()?;
        Ok(leases.len())
    }
}
