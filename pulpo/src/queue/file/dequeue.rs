//! Chooses the next messages: the most urgent first, then the oldest, among those that the consumer accepts.

use rusqlite::{Connection, ToSql, params};

use crate::queue::DequeueFilter;

/// Returns the ids of the next matching messages of these queues, at most `most`.
pub(super) fn next(
    connection: &Connection,
    queues: &[String],
    filter: &DequeueFilter,
    most: usize,
) -> rusqlite::Result<Vec<i64>> {
    let mut found = Ranked::default();
    for queue in queues.iter().filter(|queue| !filter.except_queues.contains(queue)) {
        let most = if filter.single_queues.contains(queue) { 1 } else { most };
        let mut of_queue = match kinds(connection, queue, filter)? {
            // One query per queue, since the index gives the order only within a queue; an index without the queue
            // would walk over the messages of all other queues.
            Kinds::All => {
                let next =
                    "SELECT priority, id FROM message WHERE state = 0 AND queue = ?1 ORDER BY priority, id LIMIT ?2";
                Ranked::read(connection, next, queue, most)?
            }
            Kinds::Some(kinds) => {
                let next = "SELECT priority, id FROM message WHERE state = 0 AND kind = ?1 AND limit_key IS NULL
                    UNION ALL
                    SELECT priority, id FROM message WHERE state = 0 AND kind = ?1 AND limit_key IS NOT NULL
                    ORDER BY 1, 2 LIMIT ?2";
                let mut of_queue = Ranked::default();
                for Kind { id, is_single } in kinds {
                    of_queue.merge(Ranked::read(connection, next, id, if is_single { 1 } else { most })?);
                }
                of_queue
            }
        };
        of_queue.0.truncate(most);
        found.merge(of_queue);
    }
    found.0.truncate(most);
    Ok(found.0.into_iter().map(|(_, id)| id).collect())
}

/// Priorities and ids, in dequeue order.
#[derive(Default)]
struct Ranked(Vec<(i64, i64)>);

impl Ranked {
    fn read(connection: &Connection, query: &str, of: impl ToSql, most: usize) -> rusqlite::Result<Self> {
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let mut next = connection.prepare_cached(query)?;
        let rows = next.query_map(params![of, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<_>>().map(Self)
    }

    /// Merges two lists and keeps the first entries.
    fn merge(&mut self, other: Self) {
        if self.0.is_empty() {
            self.0 = other.0;
        } else if !other.0.is_empty() {
            self.0.extend(other.0);
            self.0.sort_unstable();
        }
    }
}

enum Kinds {
    /// No ready message has to be left out.
    All,
    Some(Vec<Kind>),
}

struct Kind {
    id: i64,
    /// At most one message of this kind.
    is_single: bool,
}

/// A kind that has ready messages that match.
#[derive(Debug)]
pub(super) struct ReadyKind {
    pub(super) id: i64,
    pub(super) queue: String,
    pub(super) request_type: String,
}

/// Returns all kinds of these queues that have ready messages that match.
pub(super) fn ready_kinds(
    connection: &Connection,
    queues: &[String],
    filter: &DequeueFilter,
) -> rusqlite::Result<Vec<ReadyKind>> {
    let mut ready = connection.prepare_cached("SELECT id, request_type FROM kind WHERE queue = ?1 AND ready > 0")?;
    let mut kinds = Vec::new();
    for queue in queues.iter().filter(|queue| !filter.except_queues.contains(queue)) {
        let mut rows = ready.query([queue])?;
        while let Some(row) = rows.next()? {
            let request_type = String::from_utf8_lossy(row.get_ref(1)?.as_bytes()?).into_owned();
            let is_wanted = filter.request_type.as_ref().is_none_or(|wanted| *wanted == request_type)
                && !filter.except_types.contains(&request_type);
            if is_wanted {
                kinds.push(ReadyKind { id: row.get(0)?, queue: queue.clone(), request_type });
            }
        }
    }
    Ok(kinds)
}

/// Returns which kinds of this queue may be taken. A limit costs nothing while it has no ready message to hold back.
fn kinds(connection: &Connection, queue: &str, filter: &DequeueFilter) -> rusqlite::Result<Kinds> {
    let DequeueFilter { request_type, except_types, single_types, .. } = filter;
    if request_type.is_none() && except_types.is_empty() && single_types.is_empty() {
        return Ok(Kinds::All);
    }
    let names = |types: &[String], name: &str| types.iter().any(|one| one == name);
    let mut ready = connection.prepare_cached("SELECT id, request_type FROM kind WHERE queue = ?1 AND ready > 0")?;
    let mut rows = ready.query([queue])?;
    let (mut kinds, mut are_all) = (Vec::new(), true);
    while let Some(row) = rows.next()? {
        let name = String::from_utf8_lossy(row.get_ref(1)?.as_bytes()?);
        let is_wanted = request_type.as_deref().is_none_or(|wanted| wanted == name) && !names(except_types, &name);
        let is_single = names(single_types, &name);
        if is_wanted {
            kinds.push(Kind { id: row.get(0)?, is_single });
        }
        are_all &= is_wanted && !is_single;
    }
    Ok(if are_all { Kinds::All } else { Kinds::Some(kinds) })
}
