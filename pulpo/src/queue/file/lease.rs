//! The statements that lease messages and end leases.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, params};

use super::process_lock::{ProcessLock, Run, RunRecord};
use super::stored::count;
use super::time;
use crate::message::MessageId;
use crate::queue::{Delivery, Lease};

/// A message that this process has leased.
#[derive(Clone, Debug)]
pub(super) struct Leased {
    pub(super) delivery: Delivery,
    pub(super) request_type: Arc<str>,
    pub(super) run: Run,
    /// When it was leased, in microseconds since 1970.
    pub(super) since: i64,
}

/// The token of a lease.
pub(super) fn token(owner: &str, number: u64) -> Arc<str> {
    format!("{owner}-{number}").into()
}

/// The reverse: whose it is, and its number.
fn parse(token: &str) -> Option<(&str, u64)> {
    let (owner, number) = token.rsplit_once('-')?;
    Some((owner, number.parse().ok()?))
}

/// The first messages of these queues, of this request type if one is wanted:
/// the most urgent, then the oldest; so many at most.
pub(super) fn first_ready(
    connection: &Connection,
    queues: &[String],
    wanted: Option<&str>,
    most: usize,
) -> rusqlite::Result<Vec<i64>> {
    // One query for each queue, since only so the index gives the order; an
    // index without the queue would walk over all messages of other queues.
    let mut first = connection.prepare_cached(
        "SELECT priority, id FROM message WHERE state = 0 AND queue = ?1 ORDER BY priority, id LIMIT ?2",
    )?;
    let mut first_wanted = connection.prepare_cached(
        "SELECT priority, id FROM message WHERE state = 0 AND queue = ?1 AND request_type = ?3
         ORDER BY priority, id LIMIT ?2",
    )?;
    let most_of_each = i64::try_from(most).unwrap_or(i64::MAX);
    let mut found: Vec<(i64, i64)> = Vec::new();
    for queue in queues {
        let mut rows = match wanted {
            Some(wanted) => first_wanted.query(params![queue, most_of_each, wanted])?,
            None => first.query(params![queue, most_of_each])?,
        };
        while let Some(row) = rows.next()? {
            found.push((row.get(0)?, row.get(1)?));
        }
    }
    if queues.len() > 1 {
        found.sort_unstable();
        found.truncate(most);
    }
    Ok(found.into_iter().map(|(_, id)| id).collect())
}

/// Leases these messages; the token is the same for all of them, since no
/// message has it twice.
pub(super) fn lease(
    connection: &Connection,
    ids: &[i64],
    (owner, number): (&str, u64),
    now: i64,
) -> rusqlite::Result<Vec<Leased>> {
    let token = token(owner, number);
    let mut request_type: Arc<str> = "".into();
    let mut read = connection.prepare_cached(
        "SELECT queue, attempts, lost, due_since, ttr, text, request_type, left_since FROM message WHERE id = ?1",
    )?;
    let mut take =
        connection.prepare_cached("UPDATE message SET state = 2, lease = ?2, until = ?3, since = ?4 WHERE id = ?1")?;
    let mut leased = Vec::with_capacity(ids.len());
    for &id in ids {
        let (one, until) = read.query_row([id], |row| {
            // A text that was damaged must not hide all others.
            let written = String::from_utf8_lossy(row.get_ref(6)?.as_bytes()?);
            if *written != *request_type {
                request_type = (*written).into();
            }
            let ttr: i64 = row.get(4)?;
            let delivery = Delivery {
                lease: Lease { id: MessageId::from(id.cast_unsigned()), token: token.clone() },
                queue: row.get(0)?,
                attempts: count(row.get(1)?),
                lost: count(row.get(2)?),
                kicks: 0,
                due_since: time(row.get(3)?),
                left_since: row.get::<_, Option<i64>>(7)?.map(time),
                ttr: Duration::from_millis(u64::try_from(ttr).unwrap_or_default()),
                text: row.get_ref(5)?.as_bytes()?.to_owned(),
            };
            let run = Run { message: id, lease: number };
            let leased = Leased { delivery, request_type: request_type.clone(), run, since: now };
            Ok((leased, now.saturating_add(ttr.saturating_mul(1000))))
        })?;
        take.execute(params![id, token, until, now])?;
        leased.push(one);
    }
    Ok(leased)
}

/// Makes ready again what was leased and not handed to a lane: that was no run.
pub(super) fn give_back(connection: &Connection, leases: &[Lease]) -> rusqlite::Result<()> {
    let mut give = connection
        .prepare_cached("UPDATE message SET state = 0, until = NULL, lease = NULL WHERE id = ?1 AND lease = ?2")?;
    leases.iter().try_for_each(|lease| give.execute([lease.id.as_str(), &lease.token]).map(drop))
}

/// Ends leases whose processes died or were silent for too long. A run that
/// began counts as an attempt that was lost.
pub(super) struct Ending<'a> {
    connection: &'a Connection,
    us: &'a ProcessLock,
    base_path: Option<&'a Path>,
    ran: HashMap<String, RunRecord>,
    now: i64,
}

impl<'a> Ending<'a> {
    pub(super) fn new(connection: &'a Connection, us: &'a ProcessLock, base_path: Option<&'a Path>, now: i64) -> Self {
        Self { connection, us, base_path, ran: HashMap::new(), now }
    }

    pub(super) fn end(&mut self, id: i64, token: &str) -> rusqlite::Result<()> {
        let counts = parse(token).is_none_or(|(owner, lease)| {
            let read = || RunRecord::of(self.us, self.base_path, owner);
            self.ran.entry(owner.to_owned()).or_insert_with(read).counts(Run { message: id, lease })
        });
        self.connection
            .prepare_cached(
                "UPDATE message SET state = 0, until = NULL, lease = NULL, since = ?4, left_since = NULL,
                    attempts = attempts + ?3, lost = lost + ?3,
                    last_error = iif(?3, 'its worker died, or was silent for longer than its ttr', last_error),
                    last_error_at = iif(?3, ?4, last_error_at)
                 WHERE id = ?1 AND lease = ?2",
            )?
            .execute(params![id, token, counts, self.now])
            .map(drop)
    }

    /// All that a process has leased; how many.
    pub(super) fn end_all_of(&mut self, owner: &str) -> rusqlite::Result<usize> {
        let mut query = self.connection.prepare_cached(
            "SELECT id, lease FROM message WHERE until IS NOT NULL AND state = 2 AND lease >= ?1 AND lease < ?2",
        )?;
        // A point comes after a hyphen.
        let range = [format!("{owner}-"), format!("{owner}.")];
        let leases = query
            .query_map(range, |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<Vec<(i64, String)>>>()?;
        leases.iter().try_for_each(|(id, token)| self.end(*id, token))?;
        Ok(leases.len())
    }
}
