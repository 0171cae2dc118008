//! The performance of SQLite alone: one table, write-ahead logging, synced commits.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use pulpo_bench::Email;
use rusqlite::{Connection, params};

use crate::measure::{BATCH, PRODUCERS};

const TABLE: &str = "
    CREATE TABLE job(
        id INTEGER PRIMARY KEY AUTOINCREMENT, state INT NOT NULL, priority INT NOT NULL,
        run_at INT NOT NULL, lease INT, attempts INT NOT NULL DEFAULT 0,
        type TEXT NOT NULL, message TEXT NOT NULL) STRICT;
    CREATE INDEX ready ON job(priority, id) WHERE state = 0;
    CREATE INDEX lease ON job(lease) WHERE state = 1;
    CREATE INDEX delayed ON job(run_at) WHERE state = 2;";

fn open(folder: &Path) -> Connection {
    let db = Connection::open(folder.join("limit.db")).unwrap();
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 2000;")
        .unwrap();
    db.execute_batch(TABLE).unwrap();
    db
}

fn insert(db: &Connection, emails: impl Iterator<Item = Email>) {
    run(db, "BEGIN IMMEDIATE");
    insert_only(db, emails);
    run(db, "COMMIT");
}

fn run(db: &Connection, statement: &str) {
    db.prepare_cached(statement).unwrap().execute([]).unwrap();
}

fn insert_only(db: &Connection, emails: impl Iterator<Item = Email>) {
    let mut insert = db
        .prepare_cached("INSERT INTO job(state, priority, run_at, type, message) VALUES(0, 1024, 0, 'send_email', ?1)")
        .unwrap();
    for email in emails {
        insert.execute([serde_json::to_string(&email).unwrap()]).unwrap();
    }
}

/// Inserts rows, one per transaction; returns jobs per second.
pub(crate) fn publish_one(folder: &Path, time: Duration) -> f64 {
    let (db, started, mut n) = (open(folder), Instant::now(), 0);
    while started.elapsed() < time {
        insert(&db, std::iter::once(Email::numbered(n)));
        n += 1;
    }
    n as f64 / started.elapsed().as_secs_f64()
}

/// Inserts rows, a batch per transaction; returns jobs per second.
pub(crate) fn publish_batches(folder: &Path, time: Duration) -> f64 {
    let (db, started, mut n) = (open(folder), Instant::now(), 0);
    while started.elapsed() < time {
        insert(&db, (n..n + BATCH).map(Email::numbered));
        n += BATCH;
    }
    n as f64 / started.elapsed().as_secs_f64()
}

/// Eight threads each await their own insert. Another thread commits all waiting inserts in one
/// transaction, and drains in the same transactions if `drains` is set. Returns jobs published per
/// second, and jobs drained per second.
pub(crate) fn publish_many(folder: &Path, time: Duration, drains: bool) -> (f64, f64) {
    let db = open(folder);
    let (next, started) = (AtomicU64::new(0), Instant::now());
    let mut drained = 0;
    let (send, receive) = mpsc::channel::<(Email, mpsc::SyncSender<()>)>();
    thread::scope(|scope| {
        for _ in 0..PRODUCERS {
            let (send, next) = (send.clone(), &next);
            scope.spawn(move || {
                let (done, is_done) = mpsc::sync_channel(1);
                while started.elapsed() < time {
                    send.send((Email::numbered(next.fetch_add(1, Relaxed)), done.clone())).unwrap();
                    is_done.recv().unwrap();
                }
            });
        }
        drop(send);
        let mut held = Vec::new();
        while let Ok(first) = receive.recv() {
            let mut waiting = Vec::new();
            run(&db, "BEGIN IMMEDIATE");
            let emails = std::iter::once(first).chain(receive.try_iter()).map(|(email, done)| {
                waiting.push(done);
                email
            });
            insert_only(&db, emails);
            if drains {
                drained += lease(&db, &mut held, BATCH as i64);
            }
            run(&db, "COMMIT");
            waiting.into_iter().for_each(|done| done.send(()).unwrap());
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    (next.load(Relaxed) as f64 / seconds, drained as f64 / seconds)
}

/// Deletes the held jobs, and leases up to `batch` others. Returns their number.
fn lease(db: &Connection, held: &mut Vec<i64>, batch: i64) -> u64 {
    let mut delete = db.prepare_cached("DELETE FROM job WHERE id = ?1").unwrap();
    for id in held.drain(..) {
        delete.execute([id]).unwrap();
    }
    let mut reserve = db
        .prepare_cached(
            "UPDATE job SET state = 1, lease = ?1, attempts = attempts + 1
             WHERE id IN (SELECT id FROM job WHERE state = 0 ORDER BY priority, id LIMIT ?2)
             RETURNING id, message",
        )
        .unwrap();
    let mut rows = reserve.query(params![60, batch]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        held.push(row.get(0).unwrap());
        let message = row.get_ref(1).unwrap().as_str().unwrap();
        let email: Email = serde_json::from_str(message).unwrap();
        std::hint::black_box(email.number());
    }
    held.len() as u64
}

/// Leases and deletes `jobs` jobs, `batch` of them per transaction; returns jobs per second.
pub(crate) fn drain(folder: &Path, jobs: u64, batch: u64) -> f64 {
    let db = open(folder);
    for first in (0..jobs).step_by(1024) {
        insert(&db, (first..(first + 1024).min(jobs)).map(Email::numbered));
    }
    let (started, mut held, mut taken) = (Instant::now(), Vec::new(), 0);
    loop {
        run(&db, "BEGIN IMMEDIATE");
        let more = lease(&db, &mut held, batch as i64);
        run(&db, "COMMIT");
        taken += more;
        if more == 0 {
            break;
        }
    }
    assert_eq!(taken, jobs, "each job is taken once");
    jobs as f64 / started.elapsed().as_secs_f64()
}
