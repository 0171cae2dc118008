use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::SystemClock;
use crate::queue::file::FileQueue;
use crate::queue::file::storage::rewrite;
use crate::queue::{Filter, Inspection as _, NewMessage, QueueAdapter as _, QueueError};

fn open(folder: &Path) -> Result<FileQueue, QueueError> {
    FileQueue::open(folder, false, Arc::new(SystemClock::new()))
}

fn publish(queue: &FileQueue, messages: usize) {
    queue.enqueue(vec![NewMessage::new("pulpo", "job", "{}"); messages]).expect("published");
}

/// Runs this as another program does that uses SQLite.
fn outside(file: &Path, statement: &str) {
    Connection::open(file).expect("opened").execute_batch(statement).expect("done");
}

/// A folder whose process was killed, with a copy of the database that was made by `copy` before the last publications.
struct Killed {
    folder: tempfile::TempDir,
    copy: PathBuf,
}

impl Killed {
    fn with(copy: impl FnOnce(&FileQueue, &Path, &Path)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, log) = (folder.path().join("queue.db"), folder.path().join("queue.db-wal"));
        publish(&open(folder.path()).expect("a queue"), 199);
        let queue = open(folder.path()).expect("a queue");
        publish(&queue, 1);
        let path = folder.path().join("copy.db");
        copy(&queue, &file, &path);
        publish(&queue, 1);
        let (database, bytes) = (fs::read(&file).expect("there"), fs::read(&log).expect("a log"));
        drop(queue);
        fs::write(file, database).expect("written");
        fs::write(log, bytes).expect("written");
        Self { folder, copy: path }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts the copy in the place of the database, and expects that it is refused and nothing changed.
    fn is_refused(&self) {
        fs::rename(&self.copy, self.path("queue.db")).expect("moved");
        let read = || ["queue.db", "queue.db-wal"].map(|name| fs::read(self.path(name)).expect("there"));
        let before = read();
        let refused = || {
            let error = open(self.folder.path()).expect_err("refused");
            assert!(matches!(error, QueueError::ForeignLog { .. }), "{error}");
        };
        refused();
        // While one thread checks the log, the others must not use it.
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(refused))));
        assert!(read() == before, "nothing is changed");
        fs::remove_file(self.path("queue.db-wal")).expect("removed");
        assert_eq!(open(self.folder.path()).expect("a queue").stats().expect("counted").total(), 200);
    }
}

fn vacuum_into(queue: &FileQueue, copy: &Path) {
    queue.backup(copy).expect("copied");
}

fn sqlite_backup(database: &Path, copy: &Path) {
    let from = Connection::open(database).expect("opened");
    from.backup(rusqlite::MAIN_DB, copy, None::<fn(rusqlite::backup::Progress)>).expect("copied");
}

#[test]
fn a_backup_is_refused_beside_the_log_of_the_original_also_if_it_was_opened_before() {
    Killed::with(|queue, _, copy| vacuum_into(queue, copy)).is_refused();
    Killed::with(|queue, _, copy| {
        vacuum_into(queue, copy);
        let folder = tempfile::tempdir().expect("a folder");
        let looked_at = folder.path().join("queue.db");
        fs::rename(copy, &looked_at).expect("moved");
        assert_eq!(open(folder.path()).expect("a queue").stats().expect("counted").total(), 200);
        assert_eq!(fs::read(&looked_at).expect("there")[18], 2, "it was written through a log");
        fs::rename(&looked_at, copy).expect("moved");
    })
    .is_refused();
}

#[test]
fn a_copy_that_sqlite_made_is_refused_beside_the_log_of_the_original() {
    // Made in an earlier log, whose contents are in the database by now.
    for (mode, copies) in [("RESTART", 1), ("TRUNCATE", 1), ("RESTART", 3)] {
        Killed::with(|queue, file, copy| {
            (0..copies).for_each(|_| sqlite_backup(file, copy));
            publish(queue, 200);
            outside(file, &format!("PRAGMA wal_checkpoint({mode})"));
            publish(queue, 1);
        })
        .is_refused();
    }
}

#[test]
fn a_copy_that_has_all_its_changes_in_the_log_is_used_with_it() {
    let killed = Killed::with(|_, file, copy| sqlite_backup(file, copy));
    fs::rename(&killed.copy, killed.path("queue.db")).expect("moved");
    let queue = open(killed.folder.path()).expect("a queue");
    assert_eq!(queue.stats().expect("counted").total(), 201);
    assert_eq!(queue.list(&Filter::all()).expect("a list").len(), 201);
}

#[test]
fn a_program_that_has_the_original_open_mixes_nothing_into_a_copy_in_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let file = path("queue.db");
    let queue = open(folder.path()).expect("a queue");
    publish(&queue, 200);
    vacuum_into(&queue, &path("copy.db"));
    publish(&queue, 1);
    fs::rename(path("copy.db"), &file).expect("moved");
    let read = || ["queue.db", "queue.db-wal"].map(|name| fs::read(path(name)).expect("there"));
    let before = read();
    let quiet = rewrite::Quiet::default();
    quiet.clear_if_quiet(&file, Duration::ZERO).expect("the first check");
    let tried = [
        quiet.clear_if_quiet(&file, Duration::from_secs(30)),
        rewrite::if_quick(&file),
        rewrite::all(&file),
        queue.backup(&path("another.db")).map(drop),
    ];
    assert!(tried.iter().all(|tried| matches!(tried, Err(QueueError::ForeignLog { .. }))), "{tried:?}");
    assert!(read() == before, "nothing is changed");
    drop(queue);
    let _ = fs::remove_file(path("queue.db-wal"));
    assert_eq!(open(folder.path()).expect("a queue").stats().expect("counted").total(), 200);
}

/// What may happen to a queue between two publications.
type Event = fn(&FileQueue, &Path);

const EVENTS: [(&str, Event); 8] = [
    ("nothing", |_, _| {}),
    ("a checkpoint", |queue, file| {
        outside(file, "PRAGMA wal_checkpoint(PASSIVE)");
        publish(queue, 1);
    }),
    ("a new log", |queue, file| {
        outside(file, "PRAGMA wal_checkpoint(RESTART)");
        publish(queue, 1);
    }),
    ("a cut log", |_, file| outside(file, "PRAGMA wal_checkpoint(TRUNCATE)")),
    ("rewritten", |queue, file| {
        outside(file, "VACUUM");
        publish(queue, 1);
        outside(file, "PRAGMA wal_checkpoint(PASSIVE)");
    }),
    ("another schema, by another program", |_, file| {
        outside(file, "PRAGMA wal_checkpoint(RESTART); CREATE TABLE IF NOT EXISTS theirs(x); DROP TABLE theirs");
    }),
    // Each of them fills a log, which is then moved into the database.
    ("large messages", |queue, _| {
        let text = format!("\"{}\"", "x".repeat(20_000));
        queue.enqueue(vec![NewMessage::new("pulpo", "job", text); 300]).expect("published");
        publish(queue, 1);
    }),
    ("a restored copy", |queue, file| {
        let folder = tempfile::tempdir().expect("a folder");
        let copy = folder.path().join("copy.db");
        sqlite_backup(file, &copy);
        Connection::open(file)
            .expect("opened")
            .restore(rusqlite::MAIN_DB, &copy, None::<fn(rusqlite::backup::Progress)>)
            .expect("restored");
        publish(queue, 1);
    }),
];

/// Opens a folder in which a program was killed that left these files, and returns the number of messages.
fn total_of(database: &[u8], log: &[u8]) -> Result<u64, QueueError> {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("queue.db"), database).expect("written");
    fs::write(folder.path().join("queue.db-wal"), log).expect("written");
    Ok(open(folder.path())?.stats().expect("counted").total())
}

#[test]
fn the_log_of_a_killed_program_is_accepted_whatever_happened_to_the_database_before() {
    for (name, happens) in EVENTS {
        for starts in 0..2 {
            let folder = tempfile::tempdir().expect("a folder");
            let (file, log) = (folder.path().join("queue.db"), folder.path().join("queue.db-wal"));
            for _ in 0..starts {
                publish(&open(folder.path()).expect("a queue"), 1);
            }
            let queue = open(folder.path()).expect("a queue");
            for times in 0..3 {
                publish(&queue, 1);
                happens(&queue, &file);
                let total = queue.stats().expect("counted").total();
                let found = total_of(&fs::read(&file).expect("there"), &fs::read(&log).expect("a log"));
                assert_eq!(found.ok(), Some(total), "{name}, {starts} starts, {times} times");
            }
        }
    }
}

#[test]
fn the_log_of_a_program_that_was_killed_while_it_moved_its_log_is_accepted() {
    for statement in ["", "VACUUM", "CREATE TABLE theirs(x); CREATE INDEX of_theirs ON theirs(x)"] {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("queue.db");
        publish(&open(folder.path()).expect("a queue"), 199);
        let queue = open(folder.path()).expect("a queue");
        publish(&queue, 1);
        outside(&file, statement);
        publish(&queue, 1);
        let log = fs::read(folder.path().join("queue.db-wal")).expect("a log");
        let before = fs::read(&file).expect("there");
        outside(&file, "PRAGMA wal_checkpoint(PASSIVE)");
        let after = fs::read(&file).expect("there");
        assert_ne!(before, after, "it was moved");
        let end = before.len().max(after.len());
        for moved in (0..=end).step_by(4096) {
            // The first pages first.
            let mut database = after[..moved.min(after.len())].to_vec();
            database.extend_from_slice(&before[database.len().min(before.len())..]);
            assert_eq!(total_of(&database, &log).ok(), Some(201), "{statement}: {moved} bytes of {end}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn opening_a_queue_twice_in_a_process_ends_no_lock() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let first = open(folder.path()).expect("a queue");
    publish(&first, 1);
    let inode = folder.path().join("queue.db").metadata().expect("there").ino();
    let locks = || {
        let all = fs::read_to_string("/proc/locks").expect("there");
        all.lines().filter(|lock| lock.contains(&format!(":{inode} "))).count()
    };
    assert!(locks() > 0, "it has the database open");
    let second = open(folder.path()).expect("the same queue");
    assert!(locks() > 0);
    drop(second);
    assert!(locks() > 0, "another process would take it for closed");
    fs::remove_file(folder.path().join("queue.db-wal")).expect("removed");
    publish(&first, 1);
    assert!(locks() > 0, "it has opened the file again");
}
