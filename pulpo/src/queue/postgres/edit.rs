//! Changing a waiting message.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use super::connection::{Connection, Sql};
use super::error::PostgresError;
use super::picked::Conditions;
use super::values::number;
use crate::message::{self, HeaderEdit, MessageId, Priority};
use crate::queue::{CANCELLED, Edit, Edited, MessageState};

/// Returns the message, and when it will be due.
const READ: Sql = "SELECT state, text, now() + $2 * interval '1 microsecond', md5(text)
    FROM SCHEMA.message WHERE id = $1";

const IS_DONE: Sql = "SELECT 1 FROM SCHEMA.archive WHERE id = $1";

/// Changes the message if it waits and still has the text that was read.
const CHANGE: Sql =
    "UPDATE SCHEMA.message SET queue = coalesce($2, queue), priority = coalesce($3, priority), text = $4,
        left_since = CASE WHEN $2 <> queue THEN NULL ELSE left_since END,
        state = CASE WHEN NOT $5 THEN state WHEN $6::timestamptz IS NULL THEN 0 ELSE 1 END,
        due = CASE WHEN $5 THEN $6 ELSE due END,
        due_since = CASE WHEN NOT $5 OR (state = 0 AND $6 IS NULL) THEN due_since ELSE coalesce($6, now()) END,
        since = CASE WHEN NOT $5 OR (state = 0 AND $6 IS NULL) THEN since ELSE now() END
    WHERE id = $1 AND state IN (0, 1) AND md5(text) = $7 RETURNING 1";

/// The number of tries while others change the message.
const TRIES: usize = 10;

/// Changes the text of a message that is still buried and has the text that was read.
const END_DELAY: Sql = "UPDATE SCHEMA.message SET text = $2 WHERE id = $1 AND state = 3 AND md5(text) = $3";

/// How many texts are in memory at a time.
const TEXTS_AT_ONCE: usize = 100;

/// Ends the delays in the texts of these buried messages, of which those of `chosen` are about to be kicked: a worker
/// would wait for the delays. Only a cancel buries a message before it is due.
pub(super) fn end_delays(connection: &mut Connection, picked: &Conditions, chosen: &str) -> Result<(), PostgresError> {
    let mut after = i64::MAX;
    loop {
        let sql = format!(
            "WITH picked AS MATERIALIZED (
                SELECT id, unique_key FROM SCHEMA.message WHERE {} ORDER BY id DESC LIMIT {}),
            {chosen}
            SELECT id, text, now(), md5(text) FROM SCHEMA.message
            WHERE id = ANY (ARRAY(SELECT id FROM chosen)) AND last_error = '{CANCELLED}' AND strpos(text, 'delay') > 0
                AND id < {after}
            ORDER BY id DESC LIMIT {TEXTS_AT_ONCE}",
            picked.conditions,
            picked.limit()
        );
        let rows = connection.run_text(&sql, &picked.parameters())?;
        for row in &rows {
            let (id, text, now, before): (i64, &str, DateTime<Utc>, &str) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            if let Some(text) = message::without_delay(text, now) {
                connection.run(END_DELAY, &[(&id, Type::INT8), (&text, Type::TEXT), (&before, Type::TEXT)])?;
            }
            after = id;
        }
        if rows.len() < TEXTS_AT_ONCE {
            return Ok(());
        }
    }
}

pub(super) fn edit(connection: &mut Connection, id: &MessageId, edit: &Edit) -> Result<Edited, PostgresError> {
    let Some(id) = number(id.as_str()) else { return Ok(Edited::Missing) };
    let micros = edit.delay.map_or(0, |delay: Duration| {
        // At most a thousand years.
        i64::try_from(delay.as_nanos().div_ceil(1000)).unwrap_or(i64::MAX).min(31_556_952_000_000_000)
    });
    for _ in 0..TRIES {
        let rows = connection.run(READ, &[(&id, Type::INT8), (&micros, Type::INT8)])?;
        let Some(row) = rows.first() else {
            let is_done = !connection.run(IS_DONE, &[(&id, Type::INT8)])?.is_empty();
            return Ok(if is_done { Edited::Not(MessageState::Done) } else { Edited::Missing });
        };
        let state: i16 = row.try_get(0)?;
        if state >= 2 {
            // Also if its lease has ended, since it is about to be ready.
            return Ok(Edited::Not(if state == 3 { MessageState::Buried } else { MessageState::Reserved }));
        }
        let (text, ready_at, before): (String, DateTime<Utc>, String) =
            (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        let due = Some(ready_at).filter(|_| micros > 0);
        let header = HeaderEdit { priority: edit.priority, delay: edit.delay.map(|_| (ready_at, due.is_some())) };
        let text = header.apply(&text);
        let priority = edit.priority.map(|priority: Priority| i64::from(priority.get()));
        let changed = connection.run(
            CHANGE,
            &[
                (&id, Type::INT8),
                (&edit.queue, Type::TEXT),
                (&priority, Type::INT8),
                (&text, Type::TEXT),
                (&edit.delay.is_some(), Type::BOOL),
                (&due, Type::TIMESTAMPTZ),
                (&before, Type::TEXT),
            ],
        )?;
        if !changed.is_empty() {
            return Ok(Edited::Changed);
        }
    }
    Ok(Edited::Not(MessageState::Reserved))
}
