//! The statements that lease messages, and those that end delays and leases.
//!
//! A row is locked only during one statement, never while a job runs. All times
//! are the database's.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::begun::Tag;
use super::connection::{Connection, Parameter, Sql};
use super::error::PostgresError;
use super::floors::{Floors, Place};
use super::history::{ended_run, keep_lines};
use super::limits;
use super::values::{count, lazily, number};
use crate::message::MessageId;
use crate::queue::prefetch::{LeaseRequest, Leased};
use crate::queue::{Delivery, DequeueFilter, Lease};

/// The number of entries of the index of ready messages that this transaction
/// has walked over. The server adds to it for a while after a claim, so a claim
/// takes the difference.
macro_rules! walked {
    () => {
        "pg_stat_get_xact_tuples_returned('SCHEMA.message_ready'::regclass::oid)"
    };
}

macro_rules! claim {
    ($candidates:expr, $from:expr) => {
        concat!(
            "WITH RECURSIVE ",
            lazily!(),
            // The first count, before the claim begins: see the limit of `picked`.
            ", before AS MATERIALIZED (SELECT ",
            walked!(),
            " AS walked), ",
            $candidates,
            "picked AS MATERIALIZED (SELECT message.ctid, message.priority, message.id,
                    message.alone OR coalesce(message.key_mode = 1, false) OR message.request_type = ANY ($5) AS alone
                FROM ",
            $from,
            // If something is held back, `LIMITED` takes over.
            " AND NOT EXISTS (SELECT FROM SCHEMA.held_back WHERE until > now() AND began <= now() + interval '1 minute')
                ORDER BY message.priority, message.id LIMIT $2 + 0 * coalesce((SELECT walked FROM before), 0)
                FOR UPDATE OF message SKIP LOCKED),
            numbered AS (SELECT ctid, priority, id, alone, row_number() OVER (ORDER BY priority, id) > $3 AS ahead FROM picked),
            chosen AS (SELECT ctid, ahead, bool_or(ahead AND alone) OVER (ORDER BY priority, id) AS waits FROM numbered),
            leased AS (UPDATE SCHEMA.message SET state = 2, lease = $4, since = now(), ahead = chosen.ahead, run = NULL,
                    lease_ends = now() + ttr * interval '1 millisecond'
                FROM chosen WHERE message.ctid = chosen.ctid AND NOT waits
                RETURNING id, queue, request_type, priority, attempts, abandoned, due_since, left_since, ttr, text,
                    message.ahead AS is_ahead, message.alone AS maybe_begun)
            SELECT id, queue, request_type, attempts, abandoned, due_since, left_since, ttr, text, is_ahead, maybe_begun,
                priority, ",
            walked!(),
            " - (SELECT walked FROM before)
            FROM leased, lazily ORDER BY priority, id"
        )
    };
}

/// Claims from one queue, straight from the index.
const OF_QUEUE: Sql = claim!(
    "",
    "SCHEMA.message WHERE state = 0 AND queue = $1 AND (message.priority, message.id) >= ($6, $7)
        AND NOT EXISTS (SELECT FROM SCHEMA.pause WHERE queue = $1 AND until > now())"
);

/// Claims from several queues. The first messages of each are candidates: more
/// than are wanted, since others may be about to take some.
const OF_QUEUES: Sql = claim!(
    "candidate AS MATERIALIZED (SELECT first.id
        FROM unnest($1::text[], $6::bigint[], $7::bigint[]) AS wanted(queue, from_priority, from_id)
        CROSS JOIN LATERAL (SELECT id FROM SCHEMA.message WHERE state = 0 AND queue = wanted.queue
                AND (priority, id) >= (wanted.from_priority, wanted.from_id)
            ORDER BY priority, id LIMIT $2 * 4 + 16) AS first
        WHERE NOT EXISTS (SELECT FROM SCHEMA.pause WHERE pause.queue = wanted.queue AND until > now())), ",
    "SCHEMA.message JOIN candidate ON message.id = candidate.id WHERE state = 0"
);

/// Claims certain request types, from an index by type. So any number of messages
/// of other types costs nothing.
const OF_TYPES: Sql = claim!(
    "kind(queue, request_type) AS (
        SELECT wanted.queue,
            least((SELECT request_type FROM SCHEMA.message
                    WHERE state < 1 AND limit_key IS NULL AND queue = wanted.queue ORDER BY request_type LIMIT 1),
                (SELECT request_type FROM SCHEMA.message
                    WHERE state < 1 AND limit_key IS NOT NULL AND queue = wanted.queue ORDER BY request_type LIMIT 1))
        FROM unnest($1::text[]) AS wanted(queue)
        WHERE NOT EXISTS (SELECT FROM SCHEMA.pause WHERE pause.queue = wanted.queue AND until > now())
        UNION ALL
        SELECT kind.queue, least((SELECT request_type FROM SCHEMA.message
                WHERE state < 1 AND limit_key IS NULL AND queue = kind.queue AND request_type > kind.request_type
                ORDER BY request_type LIMIT 1),
            (SELECT request_type FROM SCHEMA.message
                WHERE state < 1 AND limit_key IS NOT NULL AND queue = kind.queue AND request_type > kind.request_type
                ORDER BY request_type LIMIT 1))
        FROM kind WHERE kind.request_type IS NOT NULL),
    candidate AS MATERIALIZED (SELECT first.id FROM kind
        CROSS JOIN LATERAL (
            (SELECT priority, id FROM SCHEMA.message WHERE state < 1 AND limit_key IS NULL
                AND queue = kind.queue AND request_type = kind.request_type ORDER BY priority, id LIMIT $2 * 4 + 16)
            UNION ALL
            (SELECT priority, id FROM SCHEMA.message WHERE state < 1 AND limit_key IS NOT NULL
                AND queue = kind.queue AND request_type = kind.request_type ORDER BY priority, id LIMIT $2 * 4 + 16)
            ORDER BY priority, id LIMIT $2 * 4 + 16) AS first
        WHERE kind.request_type = coalesce($6, kind.request_type) AND kind.request_type <> ALL ($7)), ",
    "SCHEMA.message JOIN candidate ON message.id = candidate.id WHERE state = 0"
);

/// Claims messages that may start within the limits of the worker and are not held
/// back. The last row of the function has no id and says what is in the way.
const LIMITED: Sql = "SELECT * FROM SCHEMA.claim_limited($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::jsonb, $11)";

/// The maximum number of delays or leases that one statement ends, so that it is
/// short.
macro_rules! at_once {
    () => {
        1000
    };
}

/// The same number, for comparisons.
pub(super) const AT_ONCE: i64 = at_once!();

/// Makes messages ready whose delays have ended.
pub(super) const PROMOTE: Sql = concat!(
    "WITH ",
    lazily!(),
    ", promoted AS (UPDATE SCHEMA.message SET state = 0, since = due, due = NULL
        WHERE ctid = ANY (ARRAY(SELECT ctid FROM SCHEMA.message WHERE state = 1 AND due <= now()
            ORDER BY due LIMIT ",
    at_once!(),
    " FOR UPDATE SKIP LOCKED)) RETURNING 1)
    SELECT count(*) FROM promoted, lazily"
);

/// Ends the lease of a process that died or was silent. A run that may not have
/// begun counts no attempt, and neither does a cancelled one. `before` is the row
/// as it was.
macro_rules! end_lease {
    () => {
        "state = CASE WHEN message.cancelled_at IS NULL THEN 0 ELSE 3 END, cancelled_at = NULL,
            lease = NULL, lease_ends = NULL, since = now(), left_since = NULL,
            progress = NULL, progress_text = NULL, progress_at = NULL,
            attempts = message.attempts + CASE WHEN message.ahead OR message.cancelled_at IS NOT NULL THEN 0 ELSE 1 END,
            abandoned = message.abandoned + CASE WHEN message.ahead OR message.cancelled_at IS NOT NULL THEN 0 ELSE 1 END,
            runs = message.runs + CASE WHEN message.ahead OR message.cancelled_at IS NOT NULL THEN 0 ELSE 1 END,
            alone = (message.alone OR message.ahead) AND message.cancelled_at IS NULL, ahead = false,
            last_error = CASE WHEN message.cancelled_at IS NOT NULL THEN 'cancelled' WHEN message.ahead
                THEN message.last_error ELSE 'its worker died, or was silent for longer than its ttr' END,
            last_error_at = CASE WHEN message.ahead AND message.cancelled_at IS NULL THEN message.last_error_at
                ELSE now() END
        FROM SCHEMA.message AS before WHERE before.id = message.id AND before.lease = message.lease AND "
    };
}

/// The queues and the request types of the messages whose runs count as attempts.
macro_rules! attempts {
    () => {
        "array_agg(queue) FILTER (WHERE is_attempt), array_agg(request_type) FILTER (WHERE is_attempt)"
    };
}

/// Ends leases that were not renewed in time. If they could not be renewed, because
/// the server was down until `$1` seconds ago or has just started, they are spared
/// for two thirds of their ttr, which is two heartbeats.
pub(super) const END_SILENT: Sql = concat!(
    "WITH ",
    lazily!(),
    ", ended AS (UPDATE SCHEMA.message SET ",
    end_lease!(),
    "message.ctid = ANY (ARRAY(SELECT ctid FROM SCHEMA.message WHERE state = 2 AND lease_ends <= now()
            AND ttr / 1500.0 <= least($1, extract(epoch FROM now() - pg_postmaster_start_time()))
            LIMIT ",
    at_once!(),
    " FOR UPDATE SKIP LOCKED)) RETURNING ",
    ended_run!(),
    "), ",
    keep_lines!(),
    " SELECT count(*), ",
    attempts!(),
    " FROM ended, lazily"
);

/// Ends all leases of the process `$1` if it still stands at its beat `$2` and its
/// session is gone.
pub(super) const END_DEAD: Sql = concat!(
    "WITH dead AS (DELETE FROM SCHEMA.worker WHERE id = $1 AND beat = $2
            AND NOT EXISTS (SELECT FROM pg_stat_activity AS session WHERE session.pid = worker.backend_pid
                AND coalesce(session.backend_start = worker.backend_start, true))
        RETURNING id),
    said AS (DELETE FROM SCHEMA.worker_report WHERE worker IN (SELECT id FROM dead)),
    ended AS (UPDATE SCHEMA.message SET ",
    end_lease!(),
    "message.state = 2 AND message.lease >= $1 || '-' AND message.lease < $1 || '.' AND EXISTS (SELECT FROM dead)
        RETURNING ",
    ended_run!(),
    "), ",
    keep_lines!(),
    " SELECT (SELECT count(*) FROM dead), count(*), ",
    attempts!(),
    " FROM ended"
);

/// Makes messages ready again that no lane was handed: by id and token, or all of a
/// token, if the answer to its claim never came.
const RELEASE: Sql = concat!(
    "WITH ",
    lazily!(),
    ", released AS (UPDATE SCHEMA.message SET state = CASE WHEN cancelled_at IS NULL THEN 0 ELSE 3 END,
            last_error = CASE WHEN cancelled_at IS NULL THEN last_error ELSE 'cancelled' END,
            last_error_at = CASE WHEN cancelled_at IS NULL THEN last_error_at ELSE now() END,
            lease = NULL, lease_ends = NULL, ahead = false, cancelled_at = NULL
        FROM unnest($1::bigint[], $2::text[]) AS held(id, token)
        WHERE message.state = 2 AND message.lease = held.token AND message.id = coalesce(held.id, message.id)
        RETURNING 1)
    SELECT count(*) FROM released, lazily"
);

/// Returns the seconds until the first delay or pause ends, the seconds until the
/// first lease ends, and whether anything is held back.
const NEXT: Sql = "SELECT
    extract(epoch FROM least(
        (SELECT min(due) FROM SCHEMA.message WHERE state = 1 AND due < 'infinity'),
        (SELECT min(until) FROM SCHEMA.pause WHERE until > now())) - now())::float8,
    extract(epoch FROM (SELECT min(lease_ends) FROM SCHEMA.message WHERE state = 2) - now())::float8,
    EXISTS (SELECT FROM SCHEMA.held_back WHERE until > now() AND began <= now() + interval '1 minute')";

/// The answer of a statement.
pub(super) type Answer<T> = Result<Vec<T>, PostgresError>;

/// A statement for commits, which goes with the claim.
pub(super) type Done<'a> = Option<(Sql, &'a [Parameter<'a>])>;

/// A claim: the messages to lease.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<'a> {
    pub(super) queues: &'a [String],
    pub(super) filter: &'a DequeueFilter,
    /// The number of lanes that wait for a message.
    pub(super) at_once: usize,
    /// The number of further messages.
    pub(super) ahead: usize,
    /// The token of the leases.
    pub(super) token: &'a str,
    /// Whether something is held back.
    pub(super) held_back: bool,
    /// Where to begin in each queue; `None`: at the front.
    pub(super) floors: Option<&'a Floors>,
}

impl<'a> Claim<'a> {
    pub(super) fn new(request: &'a LeaseRequest, token: &'a str, held_back: bool) -> Self {
        let LeaseRequest { queues, filter, at_once, ahead } = request;
        Self { queues, filter, at_once: *at_once, ahead: *ahead, token, held_back, floors: None }
    }

    /// Returns whether it takes the first messages of its queues, whatever they
    /// are. Only such a claim may begin behind the front.
    pub(super) fn is_plain(&self) -> bool {
        !self.is_limited() && !self.picks_types()
    }

    fn is_limited(&self) -> bool {
        self.held_back || !self.filter.limits.is_empty()
    }

    fn picks_types(&self) -> bool {
        self.filter.request_type.is_some() || !self.filter.except_types.is_empty()
    }
}

/// The result of a claim.
#[derive(Debug, Default)]
pub(super) struct Claimed {
    pub(super) leased: Vec<Leased<Tag>>,
    /// How long until limits let another message start, if they are in the way.
    pub(super) wake_in: Option<Duration>,
    /// Whether running jobs are in the way.
    pub(super) waits_for_runs: bool,
    /// The first message that was leased in each queue, of a plain claim.
    pub(super) firsts: Vec<(String, Place)>,
    /// Over how many entries of the index a plain claim has walked.
    pub(super) walked: usize,
}

/// Carries out commits, ends delays and leases, and leases the first messages: in
/// one round trip, each in a transaction of its own. Returns the commits that
/// counted, the leases that ended, and the messages that were leased.
pub(super) fn exchange(
    connection: &mut Connection,
    done: Done<'_>,
    claim: &Claim<'_>,
    promote: bool,
    end_silent: Option<f64>,
    now: DateTime<Utc>,
) -> (Answer<Row>, Vec<Row>, Result<Claimed, PostgresError>) {
    let filter = claim.filter;
    let queues: Vec<&String> = claim.queues.iter().filter(|queue| !filter.except_queues.contains(queue)).collect();
    let most = i64::try_from(claim.at_once + claim.ahead).unwrap_or(i64::MAX / 8);
    let at_once = i64::try_from(claim.at_once).unwrap_or(i64::MAX);
    let ahead = most.saturating_sub(at_once);
    let spared_for = end_silent.unwrap_or_default();
    let wanted = filter.request_type.as_ref();
    let never_ahead: Vec<&String> = filter.never_ahead.iter().chain(&filter.single_types).collect();
    let (is_limited, picks_types) = (claim.is_limited(), claim.picks_types());
    let floor = |queue: &String| claim.floors.map_or(Place::FRONT, |floors| floors.of(queue));
    let (from_priorities, from_ids): (Vec<i64>, Vec<i64>) =
        queues.iter().map(|queue| floor(queue)).map(|place| (place.priority, place.id)).unzip();
    let (limits, joins) = (limits::as_json(&filter.limits), filter.joins.as_ref().and_then(|id| number(id.as_str())));
    let (sql, parameters): (Sql, Vec<Parameter<'_>>) = match queues.as_slice() {
        _ if is_limited => (
            LIMITED,
            vec![
                (&queues, Type::TEXT_ARRAY),
                (&wanted, Type::TEXT),
                (&filter.except_types, Type::TEXT_ARRAY),
                (&filter.single_types, Type::TEXT_ARRAY),
                (&filter.single_queues, Type::TEXT_ARRAY),
                (&never_ahead, Type::TEXT_ARRAY),
                (&at_once, Type::INT8),
                (&ahead, Type::INT8),
                (&claim.token, Type::TEXT),
                (&limits, Type::TEXT),
                (&joins, Type::INT8),
            ],
        ),
        _ if picks_types => (
            OF_TYPES,
            vec![
                (&queues, Type::TEXT_ARRAY),
                (&most, Type::INT8),
                (&at_once, Type::INT8),
                (&claim.token, Type::TEXT),
                (&never_ahead, Type::TEXT_ARRAY),
                (&wanted, Type::TEXT),
                (&filter.except_types, Type::TEXT_ARRAY),
            ],
        ),
        [queue] => (
            OF_QUEUE,
            vec![
                (*queue, Type::TEXT),
                (&most, Type::INT8),
                (&at_once, Type::INT8),
                (&claim.token, Type::TEXT),
                (&never_ahead, Type::TEXT_ARRAY),
                (&from_priorities[0], Type::INT8),
                (&from_ids[0], Type::INT8),
            ],
        ),
        _ => (
            OF_QUEUES,
            vec![
                (&queues, Type::TEXT_ARRAY),
                (&most, Type::INT8),
                (&at_once, Type::INT8),
                (&claim.token, Type::TEXT),
                (&never_ahead, Type::TEXT_ARRAY),
                (&from_priorities, Type::INT8_ARRAY),
                (&from_ids, Type::INT8_ARRAY),
            ],
        ),
    };
    let spared: [Parameter<'_>; 1] = [(&spared_for, Type::FLOAT8)];
    let mut all: Vec<(Sql, &[Parameter<'_>])> = Vec::new();
    all.extend(done);
    if promote {
        all.push((PROMOTE, &[]));
    }
    if end_silent.is_some() {
        all.push((END_SILENT, &spared));
    }
    if !queues.is_empty() {
        all.push((sql, &parameters));
    }
    let mut answers = connection.run_all(&all);
    let claimed = if queues.is_empty() { Ok(Vec::new()) } else { answers.pop().unwrap_or_else(|| Ok(Vec::new())) };
    // The next exchange tries again.
    let mut or_again = |answer: Answer<Row>| {
        answer.unwrap_or_else(|error| {
            tracing::debug!(%error, "cannot end the waits that are over, trying again");
            Vec::new()
        })
    };
    let ended = end_silent.and_then(|_| answers.pop()).map(&mut or_again).unwrap_or_default();
    if promote {
        answers.pop().map(&mut or_again);
    }
    let committed = done.and_then(|_| answers.pop()).unwrap_or_else(|| Ok(Vec::new()));
    (committed, ended, claimed.and_then(|rows| claimed_of(&rows, claim, now)))
}

fn claimed_of(rows: &[Row], claim: &Claim<'_>, now: DateTime<Utc>) -> Result<Claimed, PostgresError> {
    let mut claimed = Claimed::default();
    let mut rows = rows;
    if let Some((last, others)) = rows.split_last().filter(|_| claim.is_limited()) {
        let wake_in: Option<f64> = last.try_get(11)?;
        claimed.wake_in = wake_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        claimed.waits_for_runs = last.try_get(12)?;
        rows = others;
    }
    if claim.is_plain() {
        for row in rows {
            let queue: &str = row.try_get(1)?;
            if claimed.firsts.iter().all(|(of, _)| of != queue) {
                let first = Place { priority: row.try_get(11)?, id: row.try_get(0)? };
                claimed.firsts.push((queue.to_owned(), first));
            }
        }
        // Null if the server does not count (`track_counts`).
        let walked = rows.first().map_or(Ok(None), |row| row.try_get::<_, Option<i64>>(12))?;
        claimed.walked = walked.and_then(|walked| usize::try_from(walked).ok()).unwrap_or_default();
    }
    let token: Arc<str> = claim.token.into();
    let mut request_type: Arc<str> = "".into();
    claimed.leased = rows.iter().map(|row| leased(row, &token, &mut request_type, now)).collect::<Result<_, _>>()?;
    Ok(claimed)
}

fn leased(
    row: &Row,
    token: &Arc<str>,
    last_type: &mut Arc<str>,
    leased_at: DateTime<Utc>,
) -> Result<Leased<Tag>, PostgresError> {
    let id: i64 = row.try_get(0)?;
    let request_type: &str = row.try_get(2)?;
    if **last_type != *request_type {
        *last_type = request_type.into();
    }
    let text: &str = row.try_get(8)?;
    let ttr: i64 = row.try_get(7)?;
    let lease = Lease { id: MessageId::from(id.cast_unsigned()), token: token.clone() };
    let mut delivery = Delivery::new(
        lease,
        row.try_get::<_, String>(1)?,
        row.try_get::<_, DateTime<Utc>>(5)?,
        Duration::from_millis(u64::try_from(ttr).unwrap_or_default()),
        text.as_bytes().to_owned(),
    );
    delivery.attempts = count(row.try_get(3)?);
    delivery.abandoned = count(row.try_get(4)?);
    delivery.left_since = row.try_get(6)?;
    delivery.maybe_begun = row.try_get(10)?;
    let tag = Tag { id, is_ahead: row.try_get(9)? };
    Ok(Leased { delivery, request_type: last_type.clone(), leased_at, tag })
}

/// Makes these messages ready again; without an id, all of the token.
pub(super) fn release(connection: &mut Connection, ids: &[Option<i64>], tokens: &[&str]) -> Result<(), PostgresError> {
    let parameters: [Parameter<'_>; 2] = [(&ids, Type::INT8_ARRAY), (&tokens, Type::TEXT_ARRAY)];
    let answers = connection.run_all(&[(limits::GIVE_BACK, &parameters), (RELEASE, &parameters)]);
    answers.into_iter().try_for_each(|answer| answer.map(drop))
}

/// When to look again even without a notification.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NextWaits {
    pub(super) due: Option<Duration>,
    pub(super) lease_ends: Option<Duration>,
    /// Whether anything is held back.
    pub(super) held_back: bool,
}

impl NextWaits {
    pub(super) fn of(connection: &mut Connection) -> Result<Self, PostgresError> {
        let rows = connection.run(NEXT, &[])?;
        let Some(row) = rows.first() else { return Ok(Self::default()) };
        Ok(Self { held_back: row.try_get(2)?, ..Self::from_row(row, 0)? })
    }

    /// Reads two columns.
    pub(super) fn from_row(row: &Row, first: usize) -> Result<Self, PostgresError> {
        let seconds = |column| -> Result<Option<Duration>, PostgresError> {
            let seconds: Option<f64> = row.try_get(column)?;
            Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)))
        };
        Ok(Self { due: seconds(first)?, lease_ends: seconds(first + 1)?, held_back: false })
    }
}
