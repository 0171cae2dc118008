//! The next message where some must stay in the queue: those of a type or a
//! queue of which enough are running.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::queue::DequeueFilter;

/// Made when it is needed first: it lets a look step over however many
/// messages of a type that must wait, and makes each publication a little
/// slower, which nobody should pay for nothing.
const INDEX: &str = "CREATE INDEX IF NOT EXISTS message_ready_by_type
    ON message(queue, request_type, priority, id) WHERE state = 0";

/// The first message that may be taken of each request type of a queue: it
/// walks from type to type, one step of the index each.
const FIRST_OF_EACH_TYPE: &str = "
    WITH RECURSIVE type(name) AS (
        SELECT min(request_type) FROM message INDEXED BY message_ready_by_type WHERE state = 0 AND queue = ?1
        UNION ALL
        SELECT (SELECT min(request_type) FROM message INDEXED BY message_ready_by_type
                WHERE state = 0 AND queue = ?1 AND request_type > type.name)
        FROM type WHERE type.name IS NOT NULL)
    SELECT priority, id FROM type JOIN message ON id =
        (SELECT id FROM message INDEXED BY message_ready_by_type
         WHERE state = 0 AND queue = ?1 AND request_type = type.name ORDER BY priority, id LIMIT 1)
    WHERE type.name IS NOT NULL AND (?2 IS NULL OR type.name = ?2)
        AND type.name NOT IN (SELECT value FROM json_each(?3))
    ORDER BY priority, id LIMIT 1";

/// The first message that fits: the most urgent, then the oldest.
pub(super) fn first(connection: &Connection, queues: &[String], pick: &DequeueFilter) -> rusqlite::Result<Option<i64>> {
    connection.execute(INDEX, [])?;
    let except = serde_json::Value::from(pick.except_types.clone()).to_string();
    let mut of_queue = connection.prepare_cached(FIRST_OF_EACH_TYPE)?;
    let mut best: Option<(i64, i64)> = None;
    for queue in queues.iter().filter(|queue| !pick.except_queues.contains(queue)) {
        let found = of_queue
            .query_row(params![queue, pick.request_type, except], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        best = best.into_iter().chain(found).min();
    }
    Ok(best.map(|(_, id)| id))
}
