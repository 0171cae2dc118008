//! Which messages come next: the most urgent, then the oldest, of those that
//! a consumer may take.

use rusqlite::{Connection, params};

use crate::queue::DequeueFilter;

/// The ids of the next messages of these queues that fit; `most` at most.
pub(super) fn next(
    connection: &Connection,
    queues: &[String],
    pick: &DequeueFilter,
    most: usize,
) -> rusqlite::Result<Vec<i64>> {
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let mut found: Vec<(i64, i64)> = Vec::new();
    let queues: Vec<_> = queues.iter().filter(|queue| !pick.except_queues.contains(queue)).collect();
    for queue in &queues {
        match kinds(connection, queue, pick)? {
            // One query for each queue, since only so the index gives the
            // order; an index without the queue would walk over all messages
            // of other queues.
            Kinds::All => {
                let mut next = connection.prepare_cached(
                    "SELECT priority, id FROM message WHERE state = 0 AND queue = ?1 ORDER BY priority, id LIMIT ?2",
                )?;
                let rows = next.query_map(params![queue, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
                rows.into_iter().try_for_each(|row| row.map(|row| found.push(row)))?;
            }
            Kinds::Some(kinds) => {
                let mut next = connection.prepare_cached(
                    "SELECT priority, id FROM message WHERE state = 0 AND kind = ?1 ORDER BY priority, id LIMIT ?2",
                )?;
                for kind in &kinds {
                    let rows = next.query_map(params![kind, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
                    rows.into_iter().try_for_each(|row| row.map(|row| found.push(row)))?;
                }
                if kinds.len() > 1 {
                    found.sort_unstable();
                    found.truncate(most);
                }
            }
        }
    }
    if queues.len() > 1 {
        found.sort_unstable();
        found.truncate(most);
    }
    Ok(found.into_iter().map(|(_, id)| id).collect())
}

enum Kinds {
    /// Of all messages that are ready, none is to be left out.
    All,
    Some(Vec<i64>),
}

/// Which kinds of this queue may be taken. A limit costs nothing where no
/// message is ready that it could hold back.
fn kinds(connection: &Connection, queue: &str, pick: &DequeueFilter) -> rusqlite::Result<Kinds> {
    if pick.request_type.is_none() && pick.except_types.is_empty() {
        return Ok(Kinds::All);
    }
    let fits = |request_type: &str| {
        pick.request_type.as_deref().is_none_or(|wanted| wanted == request_type)
            && !pick.except_types.iter().any(|except| except == request_type)
    };
    let mut ready = connection.prepare_cached("SELECT id, request_type FROM kind WHERE queue = ?1 AND ready > 0")?;
    let mut rows = ready.query([queue])?;
    let (mut kinds, mut leaves_out) = (Vec::new(), false);
    while let Some(row) = rows.next()? {
        if fits(&String::from_utf8_lossy(row.get_ref(1)?.as_bytes()?)) {
            kinds.push(row.get(0)?);
        } else {
            leaves_out = true;
        }
    }
    Ok(if leaves_out { Kinds::Some(kinds) } else { Kinds::All })
}
