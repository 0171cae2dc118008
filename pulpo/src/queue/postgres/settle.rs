//! The statements that settle leases, many at a time.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::begun::Tag;
use super::cancel;
use super::connection::{Connection, Parameter, Sql};
use super::error::PostgresError;
use super::history::keep_lines;
use super::limits;
use super::values::{lazily, number};
use crate::queue::prefetch::DeferredCommit;
use crate::queue::{FailedRun, Lease, Settlement};

macro_rules! held {
    () => {
        "FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS held(id, token, place)
        WHERE message.id = held.id AND message.lease = held.token"
    };
}

macro_rules! delete {
    () => {
        "DELETE FROM SCHEMA.message USING unnest($1::bigint[], $2::text[]) AS held(id, token)
        WHERE message.id = held.id AND message.lease = held.token AND message.cancelled_at IS NULL"
    };
}

/// Deletes done messages, without waiting for the disk.
const DELETE_LAZILY: Sql =
    concat!("WITH ", lazily!(), ", gone AS (", delete!(), " RETURNING message.id) SELECT id FROM gone, lazily");

const DELETE: Sql = concat!(delete!(), " RETURNING message.id");

/// Deletes messages and stores them in the archive with their outcomes.
const ARCHIVE: Sql = concat!(
    "WITH gone AS (",
    delete!(),
    " RETURNING message.id, queue, request_type, attempts, abandoned, priority, enqueued_at, text)
    INSERT INTO SCHEMA.archive(id, queue, request_type, outcome, attempts, abandoned, priority, enqueued_at, result, text)
    SELECT gone.id, queue, request_type, outcome, attempts, abandoned, priority, enqueued_at, result, text
    FROM gone JOIN unnest($1::bigint[], $3::text[], $4::text[]) AS ended(id, outcome, result) ON gone.id = ended.id
    RETURNING id"
);

const PUT_BACK: Sql = concat!(
    "WITH held AS (SELECT *, counted OR outcome IS NOT NULL AS is_line
        FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::boolean[], $5::boolean[], $6::text[],
            $7::timestamptz[], $8::bigint[], $9::text[])
        AS held(id, token, delay, counted, is_left, reason, started, took, outcome)),
    ended AS (UPDATE SCHEMA.message SET state = CASE WHEN held.delay > 0 THEN 1 ELSE 0 END,
        due = CASE WHEN held.delay > 0 THEN now() + held.delay * interval '1 microsecond' END,
        lease = NULL, lease_ends = NULL, ahead = false, alone = false,
        progress = NULL, progress_text = NULL, progress_at = NULL,
        attempts = message.attempts + CASE WHEN held.counted THEN 1 ELSE 0 END,
        last_error = held.reason, last_error_at = now(), since = now(),
        left_since = CASE WHEN held.is_left THEN coalesce(message.left_since, now()) END,
        runs = message.runs + CASE WHEN held.is_line THEN 1 ELSE 0 END
    FROM held JOIN SCHEMA.message AS before ON before.id = held.id
    WHERE message.id = held.id AND message.lease = held.token AND message.cancelled_at IS NULL
    RETURNING message.id, message.runs, before.since AS leased_at, held.token, held.reason, held.started, held.took,
        held.outcome, held.is_line), ",
    keep_lines!(),
    " SELECT id FROM ended"
);

const BURY: Sql = concat!(
    "WITH held AS (SELECT *, counted OR outcome IS NOT NULL AS is_line
        FROM unnest($1::bigint[], $2::text[], $3::boolean[], $4::text[], $5::timestamptz[], $6::bigint[], $7::text[])
        AS held(id, token, counted, reason, started, took, outcome)),
    ended AS (UPDATE SCHEMA.message SET state = 3, lease = NULL, lease_ends = NULL, ahead = false, alone = false,
        progress = NULL, progress_text = NULL, progress_at = NULL,
        attempts = message.attempts + CASE WHEN held.counted THEN 1 ELSE 0 END,
        last_error = held.reason, last_error_at = now(), since = now(), left_since = NULL,
        runs = message.runs + CASE WHEN held.is_line THEN 1 ELSE 0 END
    FROM held JOIN SCHEMA.message AS before ON before.id = held.id
    WHERE message.id = held.id AND message.lease = held.token AND message.cancelled_at IS NULL
    RETURNING message.id, message.runs, before.since AS leased_at, held.token, held.reason, held.started, held.took,
        held.outcome, held.is_line), ",
    keep_lines!(),
    " SELECT id FROM ended"
);

const RENEW: Sql = concat!(
    "WITH ",
    lazily!(),
    // A lease is renewed only during its run, so that has begun.
    ", renewed AS (UPDATE SCHEMA.message SET lease_ends = now() + ttr * interval '1 millisecond', ahead = false ",
    held!(),
    " RETURNING held.place)
    SELECT place FROM renewed, lazily"
);

/// A thousand years: PostgreSQL cannot represent all later times.
const LONGEST_DELAY: i64 = 31_556_952_000_000_000;

/// A settlement, without follow-ups.
#[derive(Clone, Debug)]
pub(super) struct Settled {
    id: Option<i64>,
    token: String,
    /// Whether a handler was called.
    has_run: bool,
    end: End,
}

#[derive(Clone, Debug)]
enum End {
    Remove { outcome: &'static str, result: Option<Arc<str>>, lazily: bool },
    PutBack { delay: i64, reason: String, counted: bool, run: Option<FailedRun>, is_left: bool },
    Bury { reason: String, counted: bool, run: Option<FailedRun> },
}

impl Settled {
    /// The id and the token, if no handler was called.
    fn without_run(&self) -> Option<(i64, &str)> {
        Some((self.id.filter(|_| !self.has_run)?, &self.token))
    }
}

impl Settled {
    /// Converts a settlement of this lease.
    pub(super) fn new(lease: &Lease, settlement: &Settlement) -> Self {
        let micros = |delay: &std::time::Duration| {
            i64::try_from(delay.as_nanos().div_ceil(1000)).unwrap_or(LONGEST_DELAY).min(LONGEST_DELAY)
        };
        let end = match settlement {
            Settlement::Commit { deferrable, result, .. } => {
                End::Remove { outcome: "done", result: result.clone(), lazily: *deferrable }
            }
            Settlement::Expire => End::Remove { outcome: "expired", result: None, lazily: false },
            Settlement::Rollback { delay, reason, counted, run, .. } => End::PutBack {
                delay: micros(delay),
                reason: text(reason),
                counted: *counted,
                run: *run,
                is_left: false,
            },
            Settlement::LeaveToOthers { delay, reason } => {
                End::PutBack { delay: micros(delay), reason: text(reason), counted: false, run: None, is_left: true }
            }
            Settlement::Bury { reason, counted, run, .. } => {
                End::Bury { reason: text(reason), counted: *counted, run: *run }
            }
        };
        Self { id: number(lease.id.as_str()), token: lease.token.to_string(), has_run: settlement.has_run(), end }
    }
}

/// Replaces NUL characters, which PostgreSQL cannot store.
fn text(reason: &str) -> String {
    reason.replace('\0', "\u{FFFD}")
}

/// The result of settling a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Settled,
    /// The message had been cancelled, and is buried now.
    Cancelled,
    Lost,
}

/// Settles these leases, with one statement for each kind, and returns the result
/// for each.
pub(super) fn settle(connection: &mut Connection, all: &[Settled], archive: bool) -> Vec<Result<Ended, PostgresError>> {
    let mut answers: Vec<Option<Result<Ended, PostgresError>>> = vec![None; all.len()];
    for kind in [removed_lazily, removed, put_back, buried] {
        let of_kind: Vec<usize> = (0..all.len()).filter(|place| kind(&all[*place].end)).collect();
        if of_kind.is_empty() {
            continue;
        }
        let settled: Vec<&Settled> = of_kind.iter().map(|place| &all[*place]).collect();
        let done = settle_kind(connection, &settled, archive);
        for place in of_kind {
            answers[place] = Some(match &done {
                Ok(ended) => Ok(all[place].id.map_or(Ended::Lost, |id| ended.of(id))),
                Err(error) => Err(error.clone()),
            });
        }
    }
    answers.into_iter().map(|answer| answer.unwrap_or(Ok(Ended::Lost))).collect()
}

fn removed_lazily(end: &End) -> bool {
    matches!(end, End::Remove { lazily: true, .. })
}

fn removed(end: &End) -> bool {
    matches!(end, End::Remove { lazily: false, .. })
}

fn put_back(end: &End) -> bool {
    matches!(end, End::PutBack { .. })
}

fn buried(end: &End) -> bool {
    matches!(end, End::Bury { .. })
}

/// The results of settling several leases.
struct AllEnded {
    settled: HashSet<i64>,
    cancelled: HashSet<i64>,
}

impl AllEnded {
    /// Reads the rows, which name the settled messages. Buries cancelled messages
    /// among the others.
    fn of_rows(connection: &mut Connection, rows: &[Row], ids: &[i64], tokens: &[&str]) -> Result<Self, PostgresError> {
        let settled = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<HashSet<i64>, PostgresError>>()?;
        let left = ids.iter().copied().zip(tokens.iter().copied()).filter(|(id, _)| !settled.contains(id));
        let (ids, tokens): (Vec<_>, Vec<_>) = left.unzip();
        let cancelled = cancel::bury_marked(connection, &ids, &tokens)?;
        Ok(Self { settled, cancelled })
    }

    fn of(&self, id: i64) -> Ended {
        if self.settled.contains(&id) {
            Ended::Settled
        } else if self.cancelled.contains(&id) {
            Ended::Cancelled
        } else {
            Ended::Lost
        }
    }
}

fn settle_kind(connection: &mut Connection, all: &[&Settled], archive: bool) -> Result<AllEnded, PostgresError> {
    let ids: Vec<i64> = all.iter().map(|one| one.id.unwrap_or(-1)).collect();
    let tokens: Vec<&str> = all.iter().map(|one| one.token.as_str()).collect();
    let (mut outcomes, mut delays, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    let (mut counts, mut lefts, mut results, mut is_lazy) = (Vec::new(), Vec::new(), Vec::new(), false);
    let (unrun, their_tokens): (Vec<_>, Vec<_>) = all.iter().filter_map(|one| one.without_run()).unzip();
    if !unrun.is_empty() {
        let parameters: [Parameter<'_>; 2] = [(&unrun, Type::INT8_ARRAY), (&their_tokens, Type::TEXT_ARRAY)];
        connection.run(limits::GIVE_BACK, &parameters)?;
    }
    let mut runs = Runs::default();
    for one in all {
        match &one.end {
            End::Remove { outcome, result, lazily } => {
                outcomes.push(*outcome);
                results.push(result.as_deref());
                is_lazy = *lazily;
            }
            End::PutBack { delay, reason, counted, run, is_left } => {
                runs.push(run.as_ref());
                delays.push(*delay);
                reasons.push(reason.as_str());
                counts.push(*counted);
                lefts.push(*is_left);
            }
            End::Bury { reason, counted, run } => {
                runs.push(run.as_ref());
                reasons.push(reason.as_str());
                counts.push(*counted);
            }
        }
    }
    let mut parameters: Vec<Parameter<'_>> = vec![(&ids, Type::INT8_ARRAY), (&tokens, Type::TEXT_ARRAY)];
    let sql = match &all[0].end {
        End::Remove { .. } if archive => {
            parameters.push((&outcomes, Type::TEXT_ARRAY));
            parameters.push((&results, Type::TEXT_ARRAY));
            ARCHIVE
        }
        End::Remove { .. } if is_lazy => DELETE_LAZILY,
        End::Remove { .. } => DELETE,
        End::PutBack { .. } => {
            parameters.push((&delays, Type::INT8_ARRAY));
            parameters.push((&counts, Type::BOOL_ARRAY));
            parameters.push((&lefts, Type::BOOL_ARRAY));
            parameters.push((&reasons, Type::TEXT_ARRAY));
            parameters.extend(runs.parameters());
            PUT_BACK
        }
        End::Bury { .. } => {
            parameters.push((&counts, Type::BOOL_ARRAY));
            parameters.push((&reasons, Type::TEXT_ARRAY));
            parameters.extend(runs.parameters());
            BURY
        }
    };
    let rows = connection.run(sql, &parameters)?;
    AllEnded::of_rows(connection, &rows, &ids, &tokens)
}

/// Facts about runs, column by column.
#[derive(Default)]
struct Runs {
    started: Vec<Option<DateTime<Utc>>>,
    took: Vec<Option<i64>>,
    outcomes: Vec<Option<&'static str>>,
}

impl Runs {
    fn push(&mut self, run: Option<&FailedRun>) {
        self.started.push(run.map(|run| run.started_at));
        self.took.push(run.map(|run| i64::try_from(run.took.as_micros()).unwrap_or(i64::MAX)));
        self.outcomes.push(run.map(|run| run.outcome.as_str()));
    }

    fn parameters(&self) -> [Parameter<'_>; 3] {
        [(&self.started, Type::TIMESTAMPTZ_ARRAY), (&self.took, Type::INT8_ARRAY), (&self.outcomes, Type::TEXT_ARRAY)]
    }
}

/// Deletes a done message. Returns false if its lease is lost.
pub(super) fn remove(
    connection: &mut Connection,
    id: i64,
    token: &str,
    archive: bool,
    result: Option<&str>,
) -> Result<bool, PostgresError> {
    let (ids, tokens, outcome) = (vec![id], vec![token], vec!["done"]);
    let results = vec![result];
    let mut parameters: Vec<Parameter<'_>> = vec![(&ids, Type::INT8_ARRAY), (&tokens, Type::TEXT_ARRAY)];
    if archive {
        parameters.push((&outcome, Type::TEXT_ARRAY));
        parameters.push((&results, Type::TEXT_ARRAY));
    }
    Ok(!connection.run(if archive { ARCHIVE } else { DELETE }, &parameters)?.is_empty())
}

/// Deferred commits. A server that crashes may forget them, and these jobs run
/// again.
#[derive(Debug, Default)]
pub(super) struct Commits {
    ids: Vec<i64>,
    tokens: Vec<String>,
    outcomes: Vec<&'static str>,
    results: Vec<Option<String>>,
}

impl Commits {
    pub(super) fn of(commits: &[DeferredCommit<Tag>]) -> Self {
        Self {
            ids: commits.iter().map(|commit| commit.tag.id).collect(),
            tokens: commits.iter().map(|commit| commit.lease.token.to_string()).collect(),
            outcomes: vec!["done"; commits.len()],
            results: commits.iter().map(|commit| commit.result.as_deref().map(str::to_owned)).collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Returns the statement that carries them out.
    pub(super) fn sql(&self, archive: bool) -> Sql {
        if archive { ARCHIVE } else { DELETE_LAZILY }
    }

    pub(super) fn parameters(&self, archive: bool) -> Vec<Parameter<'_>> {
        let mut parameters: Vec<Parameter<'_>> = vec![(&self.ids, Type::INT8_ARRAY), (&self.tokens, Type::TEXT_ARRAY)];
        if archive {
            parameters.push((&self.outcomes, Type::TEXT_ARRAY));
            parameters.push((&self.results, Type::TEXT_ARRAY));
        }
        parameters
    }

    /// Returns for each commit whether it counts: its lease was still valid and its
    /// message not cancelled. Buries the cancelled messages.
    pub(super) fn answers(&self, connection: &mut Connection, rows: &[Row]) -> Result<Vec<bool>, PostgresError> {
        let tokens: Vec<&str> = self.tokens.iter().map(String::as_str).collect();
        let ended = AllEnded::of_rows(connection, rows, &self.ids, &tokens)?;
        Ok(self.ids.iter().map(|id| ended.of(*id) == Ended::Settled).collect())
    }
}

/// Renews these leases, and returns those that are lost.
pub(super) fn renew(connection: &mut Connection, leases: &[Lease]) -> Result<Vec<Lease>, PostgresError> {
    if leases.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<i64> = leases.iter().map(|lease| number(lease.id.as_str()).unwrap_or(-1)).collect();
    let tokens: Vec<&str> = leases.iter().map(|lease| &*lease.token).collect();
    let rows = connection.run(RENEW, &[(&ids, Type::INT8_ARRAY), (&tokens, Type::TEXT_ARRAY)])?;
    let place = |row: &Row| -> Result<usize, PostgresError> {
        let place: i64 = row.try_get(0)?;
        Ok(usize::try_from(place - 1).unwrap_or(usize::MAX))
    };
    let held = rows.iter().map(place).collect::<Result<HashSet<_>, _>>()?;
    let lost = leases.iter().enumerate().filter(|(place, _)| !held.contains(place));
    Ok(lost.map(|(_, lease)| lease.clone()).collect())
}
