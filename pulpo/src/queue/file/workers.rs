//! The workers of the embedded queue.
//!
//! Each worker reports about itself in a row. The lock of its process shows that it is alive, and the run record shows
//! what it runs (`leases/process_lock.rs`): no row is written for a job.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, params};

use super::FileQueue;
use super::cancel;
use super::leases::lease;
use super::leases::process_lock::{self, Run};
use super::shared::forget_worker;
use super::storage::values::{count, progress, text, time};
use super::storage::writer::Durability;
use crate::queue::{Lease, LongRun, QueueError, RunningJob, WorkerEntry, WorkerReport, Workers};

impl Workers for FileQueue {
    fn report_worker(&self, number: u64, report: &WorkerReport) -> Result<(), QueueError> {
        let Self(shared) = self;
        shared.check()?;
        // Registered before the report is written: a worker without a lock is taken for dead.
        shared.process_lock.register();
        // Text and numbers, which JSON can hold.
        let report = serde_json::to_string(report).unwrap_or_default();
        let (process, number) = (shared.process_lock.id().to_owned(), number.cast_signed());
        let is_there = "SELECT EXISTS (SELECT 1 FROM worker WHERE process = ?1 AND number = ?2 AND report = ?3)";
        let (ours, said) = (process.clone(), report.clone());
        if shared.read(move |connection| {
            connection.prepare_cached(is_there)?.query_row(params![ours, number, said], |row| row.get::<_, bool>(0))
        })? {
            return Ok(());
        }
        let gone: Vec<String> = shared
            .read(reports)?
            .into_keys()
            .filter(|process| !process_lock::lives(shared.folder.as_deref(), &shared.process_lock, process))
            .filter(|process| *process != shared.process_lock.id())
            .collect();
        shared
            .write(Durability::Lazy, move |connection| {
                gone.iter().try_for_each(|process| forget_worker(connection, process))?;
                connection
                    .prepare_cached("INSERT OR REPLACE INTO worker(process, number, report) VALUES (?1, ?2, ?3)")?
                    .execute(params![process, number, report])
                    .map(drop)
            })
            .map_err(|error| shared.error(error))
    }

    fn remove_worker(&self, number: u64) -> Result<(), QueueError> {
        let Self(shared) = self;
        shared.check()?;
        let (process, number) = (shared.process_lock.id().to_owned(), number.cast_signed());
        shared
            .write(Durability::Lazy, move |connection| {
                connection
                    .prepare_cached("DELETE FROM worker WHERE process = ?1 AND number = ?2")?
                    .execute(params![process, number])
                    .map(drop)
            })
            .map_err(|error| shared.error(error))
    }

    fn read_workers(&self) -> Result<Vec<WorkerEntry>, QueueError> {
        let Self(shared) = self;
        shared.check()?;
        let now = shared.now();
        let (reports, leased) = shared.inspect(move |connection| {
            super::storage::values::at_one_moment(connection, |connection| {
                Ok((reports(connection)?, leased(connection, now)?))
            })
        })?;
        let (folder, us) = (shared.folder.as_deref(), &*shared.process_lock);
        let living = reports.into_iter().filter(|(process, _)| process_lock::lives(folder, us, process));
        let mut all: Vec<_> = living.filter_map(|(process, reports)| WorkerEntry::of(process, reports)).collect();
        for entry in &mut all {
            let record = process_lock::RunRecord::of(us, folder, &entry.id);
            let ours = leased.iter().filter(|leased| leased.process == entry.id && record.counts(leased.run));
            entry.running = ours.map(|leased| leased.job.clone()).collect();
        }
        Ok(WorkerEntry::sorted(all))
    }

    fn follow_runs(&self, runs: &[LongRun]) -> Result<Vec<Lease>, QueueError> {
        let Self(shared) = self;
        shared.check()?;
        let news: Vec<_> = runs.iter().filter(|run| run.progress.is_some()).cloned().collect();
        if !news.is_empty() {
            shared
                .write(Durability::Lazy, move |connection| {
                    news.iter().try_for_each(|run| keep_progress(connection, run))
                })
                .map_err(|error| shared.error(error))?;
        }
        let leases: Vec<_> = runs.iter().map(|run| run.lease.clone()).collect();
        shared.read(move |connection| cancel::marked(connection, &leases))
    }
}

/// Returns the worker reports of each process.
fn reports(connection: &Connection) -> rusqlite::Result<BTreeMap<String, Vec<WorkerReport>>> {
    let mut all: BTreeMap<String, Vec<WorkerReport>> = BTreeMap::new();
    let mut rows = connection.prepare_cached("SELECT process, report FROM worker ORDER BY process, number")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        // A damaged report must not hide the others.
        let report = serde_json::from_str(&text(row.get_ref(1)?)?).unwrap_or_default();
        all.entry(row.get(0)?).or_default().push(report);
    }
    Ok(all)
}

/// A message that a process has leased.
struct Leased {
    process: String,
    run: Run,
    job: RunningJob,
}

fn leased(connection: &Connection, now: i64) -> rusqlite::Result<Vec<Leased>> {
    let mut all = connection.prepare_cached(
        "SELECT id, lease, queue, (SELECT request_type FROM kind WHERE kind.id = message.kind) AS request_type, since,
            attempts, progress, progress_text, progress_at, cancelled IS NOT NULL AS cancelled
         FROM message WHERE lease_ends > ?1",
    )?;
    let mut rows = all.query([now])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.extend(one(row)?);
    }
    Ok(all)
}

fn one(row: &Row<'_>) -> rusqlite::Result<Option<Leased>> {
    let token = row.get::<_, Option<String>>("lease")?.unwrap_or_default();
    let Some((process, number)) = lease::parse(&token) else { return Ok(None) };
    let id: i64 = row.get("id")?;
    let (request_type, queue) = (text(row.get_ref("request_type")?)?, text(row.get_ref("queue")?)?);
    let mut job = RunningJob::new(id.cast_unsigned(), request_type, queue, time(row.get("since")?));
    job.attempt = count(row.get("attempts")?).saturating_add(1);
    job.progress = progress(row)?;
    job.cancelled = row.get("cancelled")?;
    Ok(Some(Leased { process: process.to_owned(), run: Run { message: id, lease: number }, job }))
}

fn keep_progress(connection: &Connection, run: &LongRun) -> rusqlite::Result<()> {
    let Some(progress) = &run.progress else { return Ok(()) };
    connection
        .prepare_cached(
            "UPDATE message SET progress = ?3, progress_text = ?4, progress_at = ?5 WHERE id = ?1 AND lease = ?2",
        )?
        .execute(params![
            run.lease.id.as_str(),
            &*run.lease.token,
            progress.fraction,
            progress.text,
            super::storage::values::micros(progress.at)
        ])
        .map(drop)
}
