//! The statements that store new messages.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::cancel;
use super::columns::{Columns, due, limit_key, parts, request_type, ttr};
use super::connection::{Connection, Parameter, Sql};
use super::error::PostgresError;
use super::settle::{self, Ended};
use super::unique;
use crate::queue::{Enqueued, NewMessage, QueueError, Route};

/// The columns, filled from values of the same names.
macro_rules! insert {
    () => {
        "INSERT INTO SCHEMA.message(queue, request_type, state, priority, due, due_since, ttr, text, limit_key) "
    };
}

/// The columns of messages that are ready at once. The others have their defaults.
macro_rules! insert_ready {
    () => {
        "INSERT INTO SCHEMA.message(queue, request_type, state, priority, ttr, text, limit_key) "
    };
}

const ONE: Sql = concat!(
    insert!(),
    "VALUES ($1, $2, CASE WHEN $7 > now() THEN 1 ELSE 0 END, $3, CASE WHEN $7 > now() THEN $7 END,
        greatest($7, now()), $4, $5, $6) RETURNING id"
);

/// The same for a message without a delay. Each expression that a statement does
/// not have saves the server its preparation.
const ONE_READY: Sql = concat!(insert_ready!(), "VALUES ($1, $2, 0, $3, $4, $5, $6) RETURNING id");

/// Stores several messages, in their order: `unnest` returns the elements as they are stored, and nothing changes the
/// order after it. Sorting them would cost a batch as much as an index.
const MANY: Sql = concat!(
    insert!(),
    "SELECT queue, request_type, CASE WHEN due > now() THEN 1 ELSE 0 END, priority, CASE WHEN due > now() THEN due END,
        greatest(due, now()), ttr, text, limit_key
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::bigint[], $6::text[], $7::text[])
        AS new(queue, request_type, priority, due, ttr, text, limit_key)
    RETURNING id"
);

/// Inserts messages that differ only in their texts, as those of a batch mostly
/// do.
const ALIKE: Sql = concat!(
    insert!(),
    "SELECT $1, $2, CASE WHEN $7 > now() THEN 1 ELSE 0 END, $3, CASE WHEN $7 > now() THEN $7 END,
        greatest($7, now()), $4, text, $6
    FROM unnest($5::text[]) AS new(text) RETURNING id"
);

/// The same for messages without a delay.
const ALIKE_READY: Sql =
    concat!(insert_ready!(), "SELECT $1, $2, 0, $3, $4, text, $6 FROM unnest($5::text[]) AS new(text) RETURNING id");

/// Deletes the message of a lease, and stores its follow-ups in the same
/// transaction: nothing if the lease is lost.
const FOLLOWING: Sql = concat!(
    "WITH gone AS (DELETE FROM SCHEMA.message WHERE id = $8 AND lease = $9 AND cancelled_at IS NULL
        RETURNING id, queue, request_type, attempts, abandoned, priority, enqueued_at, text),
    kept AS (INSERT INTO SCHEMA.archive(id, queue, request_type, outcome, attempts, abandoned, priority, enqueued_at,
            result, text)
        SELECT id, queue, request_type, 'done', attempts, abandoned, priority, enqueued_at, $11, text
        FROM gone WHERE $10),
    new AS (",
    insert!(),
    "SELECT queue, request_type, CASE WHEN due > now() THEN 1 ELSE 0 END, priority, CASE WHEN due > now() THEN due END,
        greatest(due, now()), ttr, text, limit_key
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::bigint[], $6::text[], $7::text[])
        WITH ORDINALITY AS new(queue, request_type, priority, due, ttr, text, limit_key, place)
    WHERE EXISTS (SELECT FROM gone) ORDER BY place)
    SELECT id FROM gone"
);

/// Writes only new rows, and always in the same order, so that workers that start
/// together cannot deadlock.
const DECLARE: Sql = "INSERT INTO SCHEMA.route AS route(request_type, queue, priority, ttr)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS said(request_type, queue, priority, ttr)
    ORDER BY request_type
    ON CONFLICT (request_type) DO UPDATE SET queue = excluded.queue, priority = excluded.priority, ttr = excluded.ttr,
        declared_at = now()
    WHERE (route.queue, route.priority, route.ttr) <> (excluded.queue, excluded.priority, excluded.ttr)";

/// Stores the routes of these request types.
pub(super) fn declare(connection: &mut Connection, routes: &[Route]) -> Result<(), PostgresError> {
    let types: Vec<&str> = routes.iter().map(|route| route.request_type.as_str()).collect();
    let queues: Vec<&str> = routes.iter().map(|route| route.queue.as_str()).collect();
    let priorities: Vec<i64> = routes.iter().map(|route| route.priority.get().into()).collect();
    let ttrs: Vec<i64> = routes.iter().map(|route| ttr(route.ttr)).collect();
    let parameters: [Parameter<'_>; 4] = [
        (&types, Type::TEXT_ARRAY),
        (&queues, Type::TEXT_ARRAY),
        (&priorities, Type::INT8_ARRAY),
        (&ttrs, Type::INT8_ARRAY),
    ];
    connection.run(DECLARE, &parameters).map(drop)
}

/// PostgreSQL accepts statements of up to a gigabyte, and needs memory for its
/// work.
const LONGEST_TEXT: usize = 256 << 20;

/// Refuses messages that PostgreSQL cannot store, before anything is sent.
pub(super) fn check(messages: &[NewMessage], place: &str) -> Result<(), QueueError> {
    messages.iter().try_for_each(|message| {
        check_queue(&message.queue)?;
        let problem = if message.text.contains('\0') {
            "the message contains a raw NUL character, which PostgreSQL cannot store: write it as \\u0000".to_owned()
        } else if message.text.len() > LONGEST_TEXT {
            format!(
                "the message has {} bytes, and at most {LONGEST_TEXT} fit: store the data elsewhere and put its address into it",
                message.text.len()
            )
        } else {
            return Ok(());
        };
        Err(PostgresError::permanent(problem).into_queue_error("publish to", place))
    })
}

/// Refuses a text that cannot be the name of a queue.
pub(super) fn check_queue(name: &str) -> Result<(), QueueError> {
    queue_name_problem(name).map_or(Ok(()), |problem| Err(QueueError::BadQueueName { name: name.to_owned(), problem }))
}

/// Returns why this cannot be the name of a queue.
pub(super) fn queue_name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("expected at least one character")
    } else if name.contains(['\0', '\n']) {
        Some("expected neither NUL nor line feed")
    } else if name.len() > 500 {
        // Names are in indexes, whose entries are limited.
        Some("expected 500 bytes at most")
    } else {
        None
    }
}

/// Stores these messages, all or none, and returns the result for each.
pub(super) fn insert(connection: &mut Connection, messages: &[&NewMessage]) -> Result<Vec<Enqueued>, PostgresError> {
    if messages.iter().any(|message| message.unique.is_some()) {
        return unique::insert(connection, messages);
    }
    if let [message] = messages {
        return insert_alike(connection, (ONE, ONE_READY), message, (&message.text, Type::TEXT));
    }
    let mut parts = parts(messages);
    if let (Some(only), None) = (parts.next(), parts.next()) {
        return insert_part(connection, only);
    }
    connection.in_transaction(|connection| insert_within(connection, messages))
}

/// Stores these messages in a transaction that has begun, and returns the result
/// for each.
pub(super) fn insert_within(
    connection: &mut Connection,
    messages: &[&NewMessage],
) -> Result<Vec<Enqueued>, PostgresError> {
    if messages.iter().any(|message| message.unique.is_some()) {
        return unique::insert_within(connection, messages);
    }
    let inserted = parts(messages).map(|part| insert_part(connection, part)).collect::<Result<Vec<_>, _>>()?;
    Ok(inserted.concat())
}

fn insert_part(connection: &mut Connection, messages: &[&NewMessage]) -> Result<Vec<Enqueued>, PostgresError> {
    if let Some((first, others)) = messages.split_first()
        && others.iter().all(|other| differ_in_text_only(first, other))
    {
        let texts: Vec<&str> = messages.iter().map(|message| message.text.as_str()).collect();
        return insert_alike(connection, (ALIKE, ALIKE_READY), first, (&texts, Type::TEXT_ARRAY));
    }
    let columns = Columns::of(messages.iter().copied());
    connection.run(MANY, &columns.parameters())?.iter().map(new).collect()
}

fn differ_in_text_only(one: &NewMessage, other: &NewMessage) -> bool {
    let rest = |message: &NewMessage| (message.priority, message.delay, message.ttr);
    rest(one) == rest(other)
        && one.queue == other.queue
        && one.request_type == other.request_type
        && one.limit_keys == other.limit_keys
}

/// Stores messages that are like this one in everything but their texts. The
/// second statement is for those without a delay.
fn insert_alike(
    connection: &mut Connection,
    (sql, sql_ready): (Sql, Sql),
    message: &NewMessage,
    texts: Parameter<'_>,
) -> Result<Vec<Enqueued>, PostgresError> {
    let (of_type, priority) = (request_type(message), i64::from(message.priority.get()));
    let (due, ttr, limit_key) = (due(message), ttr(message.ttr), limit_key(message));
    let parameters: [Parameter<'_>; 7] = [
        (&message.queue, Type::TEXT),
        (&of_type, Type::TEXT),
        (&priority, Type::INT8),
        (&ttr, Type::INT8),
        texts,
        (&limit_key, Type::TEXT),
        (&due, Type::TIMESTAMPTZ),
    ];
    let rows = match due {
        Some(_) => connection.run(sql, &parameters),
        None => connection.run(sql_ready, &parameters[..6]),
    }?;
    rows.iter().map(new).collect()
}

fn new(row: &Row) -> Result<Enqueued, PostgresError> {
    let id: i64 = row.try_get(0)?;
    Ok(Enqueued::new(id.cast_unsigned()))
}

/// Commits the message of this lease together with its follow-ups. If it is not
/// settled, nothing was done.
pub(super) fn commit_with(
    connection: &mut Connection,
    (id, token): (i64, &str),
    follow_ups: &[NewMessage],
    archive: bool,
    result: Option<&str>,
) -> Result<Ended, PostgresError> {
    let held = if follow_ups.iter().any(|message| message.unique.is_some()) {
        // The message goes first, since its follow-up may have the same unique key.
        let follow_ups: Vec<&NewMessage> = follow_ups.iter().collect();
        connection.in_transaction(|connection| {
            let held = settle::remove(connection, id, token, archive, result)?;
            if held {
                unique::insert_within(connection, &follow_ups)?;
            }
            Ok(held)
        })?
    } else {
        let columns = Columns::of(follow_ups.iter());
        let mut parameters = columns.parameters();
        parameters.extend([
            (&id as _, Type::INT8),
            (&token as _, Type::TEXT),
            (&archive as _, Type::BOOL),
            (&result as _, Type::TEXT),
        ]);
        !connection.run(FOLLOWING, &parameters)?.is_empty()
    };
    if held {
        return Ok(Ended::Settled);
    }
    let cancelled = cancel::bury_marked(connection, &[id], &[token])?;
    Ok(if cancelled.is_empty() { Ended::Lost } else { Ended::Cancelled })
}
