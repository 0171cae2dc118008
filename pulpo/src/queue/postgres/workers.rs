//! The workers of the queue: their reports, and their long runs.
//!
//! The beat and the session of a process show that it lives (`beat.rs`), and its
//! leases what it runs. No row is written for a job.

use std::collections::BTreeMap;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::PostgresQueue;
use super::connection::{Connection, Parameter, Sql};
use super::error::PostgresError;
use super::values::{count, lazily, number, progress};
use crate::queue::{Lease, LongRun, Progress, QueueError, RunningJob, WorkerEntry, WorkerReport, Workers};

/// Stores a report if it is new, and deletes reports of processes that ended before
/// their first beat.
const REPORT: Sql = concat!(
    "WITH ",
    lazily!(),
    ", gone AS (DELETE FROM SCHEMA.worker_report WHERE reported_at < now() - interval '1 day' AND worker <> $1
        AND NOT EXISTS (SELECT FROM SCHEMA.worker WHERE worker.id = worker_report.worker)),
    said AS (INSERT INTO SCHEMA.worker_report AS old(worker, number, report) SELECT $1, $2, $3 FROM lazily
        ON CONFLICT (worker, number) DO UPDATE SET report = excluded.report, reported_at = now()
        WHERE old.report <> excluded.report)
    SELECT 1"
);

const REMOVE: Sql = "DELETE FROM SCHEMA.worker_report WHERE worker = $1 AND number = $2";

/// The workers whose processes live: the last beat was not long ago, and the
/// session exists, if it is known. The system closes the session when a process
/// ends. The session of a machine that has vanished stays for a while.
const LIVING: Sql = "SELECT worker.id, report.report, worker.started_at
    FROM SCHEMA.worker JOIN SCHEMA.worker_report AS report ON report.worker = worker.id
    WHERE worker.beat_at > now() - interval '15 seconds'
        AND (worker.backend_pid IS NULL OR EXISTS (SELECT FROM pg_stat_activity AS session
            WHERE session.pid = worker.backend_pid
                AND coalesce(session.backend_start = worker.backend_start, true)))
    ORDER BY worker.id, report.number";

/// Messages that were leased ahead may not be running, so they are left out.
const RUNNING: Sql = "SELECT id, lease, queue, request_type, since, attempts, progress, progress_text, progress_at,
        cancelled_at IS NOT NULL AS cancelled
    FROM SCHEMA.message WHERE state = 2 AND NOT ahead AND lease_ends > now()";

/// Records progress and that these runs have begun. Returns those that were
/// cancelled.
const FOLLOW: Sql = concat!(
    "WITH ",
    lazily!(),
    ", held AS (SELECT * FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS held(id, token, place)),
    runs AS (UPDATE SCHEMA.message SET ahead = false FROM held, lazily
        WHERE message.id = held.id AND message.lease = held.token AND message.ahead)
    SELECT held.place FROM held JOIN SCHEMA.message ON message.id = held.id AND message.lease = held.token
    WHERE message.cancelled_at IS NOT NULL"
);

const KEEP_PROGRESS: Sql = concat!(
    "WITH ",
    lazily!(),
    ", kept AS (UPDATE SCHEMA.message
        SET progress = said.progress, progress_text = said.progress_text, progress_at = now()
        FROM unnest($1::bigint[], $2::text[], $3::float8[], $4::text[])
            AS said(id, token, progress, progress_text), lazily
        WHERE message.id = said.id AND message.lease = said.token)
    SELECT 1"
);

impl Workers for PostgresQueue {
    fn report_worker(&self, worker: u64, report: &WorkerReport) -> Result<(), QueueError> {
        let shared = self.shared();
        // It has only text and numbers, which JSON can represent.
        let report = serde_json::to_string(report).unwrap_or_default();
        let worker = worker.cast_signed();
        let parameters: [Parameter<'_>; 3] = [(&shared.id, Type::TEXT), (&worker, Type::INT8), (&report, Type::TEXT)];
        shared
            .ask(|connection| connection.run(REPORT, &parameters).map(drop))
            .map_err(|error| shared.error("show a worker in", error))
    }

    fn remove_worker(&self, worker: u64) -> Result<(), QueueError> {
        let shared = self.shared();
        let worker = worker.cast_signed();
        shared
            .ask(|connection| connection.run(REMOVE, &[(&shared.id, Type::TEXT), (&worker, Type::INT8)]).map(drop))
            .map_err(|error| shared.error("show a worker in", error))
    }

    fn read_workers(&self) -> Result<Vec<WorkerEntry>, QueueError> {
        let shared = self.shared();
        shared.ask(read).map_err(|error| shared.error("read", error))
    }

    fn follow_runs(&self, runs: &[LongRun]) -> Result<Vec<Lease>, QueueError> {
        let shared = self.shared();
        shared.ask(|connection| follow(connection, runs)).map_err(|error| shared.error("follow runs at", error))
    }
}

fn read(connection: &mut Connection) -> Result<Vec<WorkerEntry>, PostgresError> {
    let mut answers = connection.run_all(&[(LIVING, &[]), (RUNNING, &[])]).into_iter();
    let mut next = || answers.next().unwrap_or_else(|| Ok(Vec::new()));
    let mut reports: BTreeMap<String, Vec<WorkerReport>> = BTreeMap::new();
    for row in next()? {
        // A damaged report must not hide the others.
        let mut report: WorkerReport = serde_json::from_str(row.try_get(1)?).unwrap_or_default();
        // By the database's clock, like all times here.
        report.since = row.try_get(2)?;
        reports.entry(row.try_get(0)?).or_default().push(report);
    }
    let mut running: BTreeMap<String, Vec<RunningJob>> = BTreeMap::new();
    for row in next()? {
        let token: Option<&str> = row.try_get("lease")?;
        let Some((worker, _)) = token.and_then(|token| token.rsplit_once('-')) else { continue };
        running.entry(worker.to_owned()).or_default().push(running_job(&row)?);
    }
    let mut all: Vec<_> = reports.into_iter().filter_map(|(id, reports)| WorkerEntry::of(id, reports)).collect();
    for entry in &mut all {
        entry.running = running.remove(&entry.id).unwrap_or_default();
    }
    Ok(WorkerEntry::sorted(all))
}

fn running_job(row: &Row) -> Result<RunningJob, PostgresError> {
    let id: i64 = row.try_get("id")?;
    let (request_type, queue): (&str, &str) = (row.try_get("request_type")?, row.try_get("queue")?);
    let mut job = RunningJob::new(id.cast_unsigned(), request_type, queue, row.try_get("since")?);
    job.attempt = count(row.try_get("attempts")?).saturating_add(1);
    job.progress = progress(row)?;
    job.cancelled = row.try_get("cancelled")?;
    Ok(job)
}

fn follow(connection: &mut Connection, runs: &[LongRun]) -> Result<Vec<Lease>, PostgresError> {
    let id = |lease: &Lease| number(lease.id.as_str()).unwrap_or(-1);
    let ids: Vec<i64> = runs.iter().map(|run| id(&run.lease)).collect();
    let tokens: Vec<&str> = runs.iter().map(|run| &*run.lease.token).collect();
    let said: Vec<(&Lease, &Progress)> =
        runs.iter().filter_map(|run| Some((&run.lease, run.progress.as_ref()?))).collect();
    let said_ids: Vec<i64> = said.iter().map(|(lease, _)| id(lease)).collect();
    let said_tokens: Vec<&str> = said.iter().map(|(lease, _)| &*lease.token).collect();
    let fractions: Vec<f64> = said.iter().map(|(_, progress)| progress.fraction).collect();
    let texts: Vec<&str> = said.iter().map(|(_, progress)| progress.text.as_str()).collect();
    let followed: [Parameter<'_>; 2] = [(&ids, Type::INT8_ARRAY), (&tokens, Type::TEXT_ARRAY)];
    let kept: [Parameter<'_>; 4] = [
        (&said_ids, Type::INT8_ARRAY),
        (&said_tokens, Type::TEXT_ARRAY),
        (&fractions, Type::FLOAT8_ARRAY),
        (&texts, Type::TEXT_ARRAY),
    ];
    let mut statements: Vec<(Sql, &[Parameter<'_>])> = vec![(FOLLOW, &followed)];
    if !said.is_empty() {
        statements.push((KEEP_PROGRESS, &kept));
    }
    let mut answers = connection.run_all(&statements).into_iter();
    let cancelled = answers.next().unwrap_or_else(|| Ok(Vec::new()))?;
    answers.try_for_each(|answer| answer.map(drop))?;
    let place = |row: &Row| -> Result<Option<Lease>, PostgresError> {
        let place: i64 = row.try_get(0)?;
        Ok(usize::try_from(place - 1).ok().and_then(|place| runs.get(place)).map(|run| run.lease.clone()))
    };
    Ok(cancelled.iter().map(place).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}
