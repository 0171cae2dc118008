use crate::queue::{DequeueFilter, Inspection as _, Settlement};
use std::fs;

use super::super::folder::{open_or_make, prepare};
use super::super::migrations::{APPLICATION_ID, marker_of};
use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn refused(result: Result<Connection, QueueError>) -> String {
    crate::report::chain(&result.expect_err("refused"))
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

#[test]
fn the_schema_is_made_once_and_private() {
    let folder = folder();
    let file = prepare(&folder.path().join("a/b")).expect("a file");
    drop(open(&file).expect("made"));
    let again = open(&file).expect("opened");
    assert_eq!(pragma(&again, "user_version").expect("a number"), i64::try_from(MIGRATIONS.len()).expect("few"));
    assert_eq!(pragma(&again, "application_id").expect("a number"), APPLICATION_ID);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&file), 0o600);
        assert_eq!(mode(&folder.path().join("a/b")), 0o700);
        assert_eq!(mode(&folder.path().join("a/b/queue.db-wal")), 0o600);
    }
}

#[test]
fn an_older_schema_is_brought_forward_and_keeps_its_rows() {
    let connection = Connection::open_in_memory().expect("opened");
    migrate(&connection, &["CREATE TABLE a(x)"], None).ok().expect("version 1");
    connection.execute("INSERT INTO a VALUES (7)", []).expect("a row");
    migrate(&connection, &["CREATE TABLE a(x)", "ALTER TABLE a ADD COLUMN y DEFAULT 8"], None).ok().expect("version 2");
    let row = connection.query_row("SELECT x, y FROM a", [], |row| Ok((row.get(0)?, row.get(1)?)));
    assert_eq!(row.expect("the row"), (7, 8));
    assert_eq!(pragma(&connection, "user_version").expect("a number"), 2);
}

#[test]
fn a_queue_of_each_older_version_is_brought_to_the_newest() {
    let tables = |connection: &Connection| {
        let query = "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY 1";
        let mut statement = connection.prepare(query).expect("a statement");
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("rows");
        rows.collect::<Result<Vec<_>, _>>().expect("texts")
    };
    let newest = open_in_memory().expect("made");
    for version in 1..MIGRATIONS.len() {
        let connection = Connection::open_in_memory().expect("opened");
        migrate(&connection, &MIGRATIONS[..version], None).ok().expect("the old version");
        migrate(&connection, MIGRATIONS, None).ok().expect("the newest version");
        assert_eq!(tables(&connection), tables(&newest), "from version {version}");
    }
}

#[test]
fn a_migration_that_fails_changes_nothing() {
    let connection = Connection::open_in_memory().expect("opened");
    migrate(&connection, &["CREATE TABLE a(x)"], None).ok().expect("version 1");
    let steps = &["CREATE TABLE a(x)", "CREATE TABLE b(x)", "CREATE TABLE a(x)"];
    assert!(matches!(migrate(&connection, steps, None), Err(Refusal::Sqlite(_))));
    assert_eq!(pragma(&connection, "user_version").expect("a number"), 1);
    assert!(connection.prepare("SELECT * FROM b").is_err(), "the first step is undone");
}

#[test]
fn a_program_waits_for_one_that_migrates_for_longer_than_for_others() {
    let folder = folder();
    let file = prepare(folder.path()).expect("a file");
    let steps = ["CREATE TABLE a(x)", "CREATE TABLE b(x)"];
    let connect = || {
        let connection = connect(&file).expect("opened");
        // In place of ten seconds.
        connection.busy_timeout(std::time::Duration::from_millis(1)).expect("set");
        connection
    };
    let (migrating, waiting) = (connect(), connect());
    migrate(&migrating, &steps[..1], Some(&file)).ok().expect("version 1");
    become_wal(&migrating).ok().expect("a log");
    migrating.execute_batch("BEGIN IMMEDIATE").expect("begun");
    let refused = migrate(&waiting, &steps, Some(&file));
    assert!(matches!(refused, Err(Refusal::Sqlite(_))), "another program merely writes");
    let marker = marker_of(&file);
    let lock = open_or_make(&marker).expect("made");
    lock.try_lock().expect("locked");
    std::thread::scope(|scope| {
        let waits = scope.spawn(move || migrate(&waiting, &steps, Some(&file)).is_ok());
        std::thread::park_timeout(std::time::Duration::from_millis(100));
        assert!(!waits.is_finished());
        migrating.execute_batch("ROLLBACK").expect("ended");
        drop(lock);
        assert!(waits.join().expect("no panic"), "it migrates in its turn");
    });
    assert_eq!(pragma(&migrating, "user_version").expect("a number"), 2);
    assert!(!marker.exists());
}

#[test]
fn a_newer_schema_is_refused_and_not_touched() {
    let folder = folder();
    let file = prepare(folder.path()).expect("a file");
    let connection = open(&file).expect("made");
    connection.pragma_update(None, "user_version", 99).expect("set");
    drop(connection);
    let before = fs::read(&file).expect("bytes");
    let error = refused(open(&file));
    assert!(
        error.ends_with(&format!(
            "was written by a newer pulpo (schema 99, this one knows up to {}): upgrade this program",
            MIGRATIONS.len()
        )),
        "{error}"
    );
    assert_eq!(fs::read(&file).expect("bytes"), before);
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_not_touched() {
    let folder = folder();
    let file = folder.path().join("queue.db");
    fs::write(&file, "this is not a database, whatever it is called: ".repeat(50)).expect("written");
    let before = fs::read(&file).expect("bytes");
    let error = refused(open(&file));
    assert!(error.contains("is not a pulpo queue: a file that is not an SQLite database"), "{error}");
    assert_eq!(fs::read(&file).expect("bytes"), before);

    fs::remove_file(&file).expect("removed");
    let other = Connection::open(&file).expect("opened");
    other.execute_batch("CREATE TABLE of_somebody_else(x)").expect("a table");
    drop(other);
    let before = fs::read(&file).expect("bytes");
    let error = refused(open(&file));
    assert!(error.contains("is not a pulpo queue: the SQLite database of another program"), "{error}");
    assert_eq!(fs::read(&file).expect("bytes"), before);
}

#[test]
fn many_may_open_a_new_file_at_the_same_time() {
    for _ in 0..10 {
        let folder = folder();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| open(&prepare(folder.path()).expect("a file")).expect("opened"));
            }
        });
    }
}

#[test]
fn no_connection_needs_a_temporary_file_and_each_asks_for_the_whole_sync() {
    let folder = folder();
    let file = prepare(folder.path()).expect("a file");
    for open in [open, open_existing, open_reader, open_copier] {
        let connection = open(&file).expect("opened");
        let values = ["temp_store", "fullfsync", "checkpoint_fullfsync"]
            .map(|name| pragma(&connection, name).expect("a number"));
        // In memory; on; on.
        assert_eq!(values, [2, 1, 1]);
    }
}

#[test]
fn a_copy_beside_the_log_of_another_database_is_refused_and_not_touched() {
    use crate::queue::file::FileQueue;
    use crate::queue::{NewMessage, QueueAdapter as _};
    let folder = folder();
    let clock = std::sync::Arc::new(crate::clock::SystemClock::new());
    let queue = FileQueue::open(folder.path(), false, clock.clone()).expect("a queue");
    queue.enqueue(vec![NewMessage::new("pulpo", "job", "{}"); 200]).expect("published");
    let copy = folder.path().join("copy.db");
    queue.backup(&copy).expect("copied");
    queue.enqueue(vec![NewMessage::new("pulpo", "job", "{}"); 200]).expect("published");
    // Killed, with everything in its log, and the copy moved in its place.
    let log = fs::read(folder.path().join("queue.db-wal")).expect("a log");
    drop(queue);
    let file = folder.path().join("queue.db");
    fs::rename(&copy, &file).expect("moved");
    fs::write(folder.path().join("queue.db-wal"), &log).expect("written");
    for existing in [false, true] {
        let opened = if existing { FileQueue::open_existing } else { FileQueue::open };
        let error = opened(folder.path(), false, clock.clone()).expect_err("refused");
        assert!(matches!(error, QueueError::ForeignLog { .. }) && error.is_transient(), "{error}");
        assert!(error.to_string().contains("queue.db is a copy that was put beside the log of another database"));
    }
    assert_eq!(fs::read(folder.path().join("queue.db-wal")).expect("there"), log);
    fs::remove_file(folder.path().join("queue.db-wal")).expect("removed");
    let queue = FileQueue::open(folder.path(), false, clock).expect("a queue");
    assert_eq!(queue.stats().expect("counted").total(), 200);
}

#[test]
fn a_done_message_leaves_nothing_of_its_text_in_the_file() {
    use crate::queue::file::FileQueue;
    use crate::queue::{NewMessage, QueueAdapter as _};
    let folder = folder();
    let clock = std::sync::Arc::new(crate::clock::SystemClock::new());
    let queue = FileQueue::open(folder.path(), false, clock).expect("a queue");
    // Short ones, some of a page, and some of many.
    let text = |n: usize, size| format!("{{\"to\": \"person{n}@example.com\", \"x\": \"{}\"}}", "y".repeat(size));
    for (n, size) in (0..60).zip([20, 900, 30_000].into_iter().cycle()) {
        queue.enqueue(vec![NewMessage::new("pulpo", "job", text(n, size))]).expect("published");
    }
    let mut consumer = queue.consumer(&["pulpo".to_owned()]).expect("a consumer");
    for n in 0..50 {
        let lease = consumer
            .dequeue(&DequeueFilter::all(), std::time::Duration::ZERO)
            .expect("dequeue")
            .expect("a message")
            .lease;
        if n % 2 == 0 {
            consumer.settle(&lease, &mut Settlement::commit())
        } else {
            consumer.settle(&lease, &mut Settlement::bury("person@example.com is no address", true))
        }
        .expect("settled");
    }
    queue.delete(&crate::queue::Filter::all()).expect("deleted");
    drop(consumer);
    drop(queue);
    assert!(!folder.path().join("queue.db-wal").exists());
    let bytes = fs::read(folder.path().join("queue.db")).expect("there");
    assert!(!bytes.windows(12).any(|part| part == b"@example.com"));
}
