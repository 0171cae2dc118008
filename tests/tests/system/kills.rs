//! SIGKILL at random moments: while jobs are published, run and settled, during checkpoints of the
//! log, and while a database is created or migrated.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use pulpo_tests::program::{Running, Sandbox};
use pulpo_tests::stored;
use pulpo_tests::wait::until;
use rusqlite::{Connection, OpenFlags};

const WORKER: &str = env!("CARGO_BIN_EXE_worker");
const ACKNOWLEDGED: &str = env!("CARGO_BIN_EXE_ack_logging_producer");

/// Lets the programs run for at most this long. These tests depend on random moments of the kills.
fn for_a_while(random: &mut fastrand::Rng, longest: u64) {
    std::thread::park_timeout(Duration::from_micros(random.u64(0..longest * 1000)));
}

fn kill(program: Running) {
    program.signal("KILL");
    program.end();
}

fn integrity(connection: &Connection) -> String {
    connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked")
}

#[test]
fn acknowledged_messages_survive_any_kill() {
    const KILLS: u64 = 25;
    let place = Sandbox::new();
    let mut random = fastrand::Rng::with_seed(7);
    let acknowledged = || fs::read_to_string(place.path("acknowledged")).unwrap_or_default().lines().count();
    for round in 0..KILLS {
        let mut producer = place.command(ACKNOWLEDGED, &[&(round * 1_000_000).to_string()]);
        producer.env("ACKNOWLEDGED", place.path("acknowledged"));
        let producer = place.start(producer);
        let worker = place.start(place.command(WORKER, &["work", "--concurrency", "4", "--log-level", "error"]));
        until("it publishes", || acknowledged() > 10 * (round as usize + 1));
        for_a_while(&mut random, 300);
        kill(producer);
        for_a_while(&mut random, 30);
        kill(worker);
        if round % 5 == 4 {
            let connection = Connection::open(place.path("pulpo-data/queue.db")).expect("opened");
            assert_eq!(integrity(&connection), "ok");
        }
    }
    assert_eq!(place.log(), "", "no program ended on its own");

    // The leases of killed workers last for a minute, so the test ends them.
    let connection = Connection::open(place.path("pulpo-data/queue.db")).expect("opened");
    connection.execute("UPDATE message SET lease_ends = 1 WHERE state = 2", []).expect("changed");
    drop(connection);
    let mut drain = place.command(WORKER, &["work", "--log-level", "error", "--set", "sleep_duration=5s"]);
    drain.env("PULPO_SHUTDOWN_AFTER_NUMBER_OF_EMPTY_ITERATIONS", "1");
    assert_eq!(place.start(drain).end(), 0, "{}", place.log());

    let connection = Connection::open(place.path("pulpo-data/queue.db")).expect("opened");
    assert_eq!(integrity(&connection), "ok");
    let left: i64 = connection.query_row("SELECT count(*) FROM message", [], |row| row.get(0)).expect("a count");
    let record = place.record();
    let runs: Vec<&str> = record.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    let ran: HashSet<&str> = runs.iter().copied().collect();
    let acknowledged = fs::read_to_string(place.path("acknowledged")).expect("a ledger");
    let lost: Vec<_> = acknowledged.lines().filter(|number| !ran.contains(number)).collect();
    assert!(lost.is_empty() && left == 0, "{left} left; lost: {lost:?}");
    let acknowledged = acknowledged.lines().count();
    assert!(acknowledged > 200, "{acknowledged} is too few to show anything");
    // Jobs in flight at a kill run again. That includes jobs leased ahead, which may have run unsettled.
    let twice = runs.len() - ran.len();
    assert!(twice as u64 <= KILLS * 2 * 256, "{twice} runs again");
}

/// Creates a database of an older version, with messages that a migration rewrites.
fn old_database(place: &Sandbox) -> u64 {
    fs::create_dir(place.path("pulpo-data")).expect("made");
    let old = stored::old_queue(&place.path("pulpo-data/queue.db"));
    old.execute_batch(
        "BEGIN;
         DELETE FROM message;
         WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 60000)
         INSERT INTO message(queue, state, priority, ttr, due_since, enqueued_at, request_type, text)
         SELECT 'pulpo', 3, 1, 60000, 0, 0, 'record', '{}' FROM n;
         COMMIT; PRAGMA wal_checkpoint(TRUNCATE);",
    )
    .expect("made old");
    60_000
}

#[track_caller]
fn assert_whole(file: &Path, messages: u64) -> i64 {
    let connection = Connection::open(file).expect("opened");
    assert_eq!(integrity(&connection), "ok");
    let one = |query: &str| connection.query_row(query, [], |row| row.get::<_, i64>(0)).expect("a number");
    let version = one("PRAGMA user_version");
    let there = "SELECT count(*) FROM sqlite_schema WHERE name IN ('kind', 'long_text', 'message_ready_of_kind')";
    assert_eq!(one(there), if version < 3 { 0 } else { 3 }, "version {version} is half there");
    assert_eq!(one("SELECT count(*) FROM message"), i64::try_from(messages).expect("few"));
    version
}

/// Returns the version of a database that others use.
fn version(file: &Path) -> Option<i64> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    connection.query_row("PRAGMA user_version", [], |row| row.get(0)).ok()
}

#[test]
fn a_kill_leaves_no_migration_half_done() {
    let place = Sandbox::new();
    let count = old_database(&place);
    let old = fs::read(place.path("pulpo-data/queue.db")).expect("a database");
    let mut random = fastrand::Rng::with_seed(11);
    let mut seen = HashSet::new();
    for round in 0..25 {
        for name in ["queue.db-wal", "queue.db-shm"] {
            let _ = fs::remove_file(place.path("pulpo-data").join(name));
        }
        fs::write(place.path("pulpo-data/queue.db"), &old).expect("old again");
        let programs = [0, 1].map(|_| place.start(place.command(WORKER, &["work", "--log-level", "error"])));
        match round {
            // Before the migration, however slow the machine is, and after it.
            0 => {}
            1 => until("it is migrated", || version(&place.path("pulpo-data/queue.db")) == Some(3)),
            _ => for_a_while(&mut random, 500),
        }
        programs.into_iter().for_each(kill);
        seen.insert(assert_whole(&place.path("pulpo-data/queue.db"), count));
        let said = place.run(WORKER, &["list", "--limit", "1"]);
        assert_eq!(said.code, 0, "{}", said.err);
        assert_eq!(assert_whole(&place.path("pulpo-data/queue.db"), count), 3);
    }
    assert!(seen.len() > 1, "kills before and after the migration: {seen:?}");
}

#[test]
fn a_kill_leaves_a_new_database_whole_or_to_be_made() {
    let place = Sandbox::new();
    let mut random = fastrand::Rng::with_seed(13);
    for _ in 0..25 {
        let _ = fs::remove_dir_all(place.path("pulpo-data"));
        let programs = [0, 1].map(|_| place.start(place.command(WORKER, &["work", "--log-level", "error"])));
        for_a_while(&mut random, 30);
        programs.into_iter().for_each(kill);
        let said = place.run(WORKER, &["publish", "echo", "--payload", "x"]);
        assert_eq!(said.code, 0, "{}", said.err);
        assert_eq!(assert_whole(&place.path("pulpo-data/queue.db"), 1), 3);
    }
}
