use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::queue::file::FileQueue;
use crate::queue::{DequeueFilter, Inspection as _, Lease, NewMessage, QueueAdapter as _, Settlement};

fn writer() -> Writer {
    let connection = Connection::open_in_memory().expect("opened");
    connection.execute_batch("CREATE TABLE t(x INTEGER PRIMARY KEY)").expect("a table");
    Writer::new("memory:".to_owned(), ReopeningConnection::in_memory(connection), None)
}

fn insert(writer: &Writer, x: i64) -> Result<usize, QueueError> {
    writer.write(Durability::Synced, move |connection| connection.execute("INSERT INTO t VALUES (?1)", [x]))
}

fn count(writer: &Writer) -> i64 {
    let query = |connection: &Connection| connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0));
    writer.write(Durability::Lazy, query).expect("a number")
}

#[test]
fn many_threads_write_all_of_theirs() {
    let writer = writer();
    thread::scope(|scope| {
        for thread in 0..8 {
            let writer = &writer;
            scope.spawn(move || {
                (0..200).for_each(|n| assert_eq!(insert(writer, thread * 1000 + n).expect("written"), 1))
            });
        }
    });
    assert_eq!(count(&writer), 1600);
}

#[test]
fn one_that_cannot_be_written_does_not_take_the_others_with_it() {
    let writer = writer();
    insert(&writer, 1).expect("written");
    let insert_x = |x: i64| Request {
        operation: Box::new(move |connection| connection.execute("INSERT INTO t VALUES (?1)", [x]).map(drop)),
        durability: Durability::Synced,
        patient: true,
        tried: None,
        after: None,
    };
    let mut group = vec![insert_x(2), insert_x(1), insert_x(3)];
    let outcome = writer.group.storage.commit(&mut group);
    assert!(outcome[0].is_ok() && outcome[1].is_err() && outcome[2].is_ok());
    assert_eq!(count(&writer), 3);
}

#[test]
fn a_full_disk_is_reported_and_earlier_messages_stay() {
    let writer = writer();
    writer.with_connection(|connection| connection.execute_batch("PRAGMA max_page_count = 8").expect("set"));
    let mut kept = 0;
    let error = loop {
        match writer.write(Durability::Synced, |connection| {
            connection.execute("INSERT INTO t VALUES (NULL)", [])?;
            connection.execute("CREATE TABLE IF NOT EXISTS u(x)", [])?;
            connection.execute("INSERT INTO u VALUES (zeroblob(3000))", [])
        }) {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, QueueError::Full { .. }) && error.is_transient(), "{error}");
    assert_eq!(count(&writer), kept);
    writer.with_connection(|connection| connection.execute_batch("PRAGMA max_page_count = 100").expect("set"));
    insert(&writer, 1000).expect("there is room again");
}

#[test]
fn follow_ups_of_a_job_are_synced_and_its_commit_alone_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(crate::clock::SystemClock::new());
    let queue = FileQueue::open(folder.path(), false, clock).expect("a queue");
    let new = || NewMessage::new("pulpo", "job", "{}");
    let last = || lock(&queue.0.writer.group.storage.writing).durability;
    queue.enqueue(vec![new(), new()]).expect("published");
    assert_eq!(last(), Some(Durability::Synced));
    let mut consumer = queue.consumer(&["pulpo".to_owned()]).expect("a consumer");
    let mut next =
        || consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("a message").lease;
    let (first, second) = (next(), next());
    assert_eq!(last(), Some(Durability::Lazy));
    consumer.settle(&first, &mut Settlement::commit_with(vec![new()])).expect("done");
    assert_eq!(last(), Some(Durability::Synced));
    consumer.settle(&second, &mut Settlement::commit()).expect("done");
    assert_eq!(last(), Some(Durability::Lazy));
}

#[test]
fn an_operation_that_panics_fails_alone() {
    let writer = writer();
    let panics = |writer: &Writer| {
        writer.write(Durability::Synced, |connection| {
            connection.execute("INSERT INTO t VALUES (1)", [])?;
            panic!("a clock of the user's")
        })
    };
    let error: Result<(), QueueError> = panics(&writer);
    let error = crate::report::chain(&error.expect_err("it panicked"));
    assert!(error.ends_with("a panic: a clock of the user's"), "{error}");
    assert_eq!(count(&writer), 0, "what it had written is undone");
    insert(&writer, 1).expect("the next one is written");

    // Also in a group, whichever thread leads it.
    thread::scope(|scope| {
        for thread in 0..4 {
            let writer = &writer;
            scope.spawn(move || {
                for n in 0..50 {
                    panics(writer).expect_err("it panics");
                    insert(writer, 1000 * (thread + 1) + n).expect("written");
                }
            });
        }
    });
    assert_eq!(count(&writer), 201);
}

#[test]
fn a_payload_that_panics_when_it_is_dropped_harms_no_other_write() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let writer = writer();
    let ended: Result<(), _> =
        writer.write(Durability::Lazy, |_| -> rusqlite::Result<()> { std::panic::panic_any(Bomb) });
    ended.expect_err("it panicked");
    insert(&writer, 1).expect("the next one is written");
}

#[test]
fn a_sync_that_failed_has_the_database_opened_again_and_nothing_tried_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(crate::clock::SystemClock::new());
    let queue = FileQueue::open(folder.path(), false, clock).expect("a queue");
    let pragma = |connection: &Connection| connection.query_row("PRAGMA cache_spill", [], |row| row.get::<_, i64>(0));
    // A setting that only this connection has.
    queue
        .0
        .writer
        .write(Durability::Lazy, |connection| connection.execute_batch("PRAGMA cache_spill = 12345"))
        .expect("set");
    assert_eq!(queue.0.writer.write(Durability::Lazy, pragma).expect("a number"), 12_345);
    let tries = Arc::new(AtomicUsize::new(0));
    let counting = tries.clone();
    let failed = queue.0.writer.write(Durability::Synced, move |connection| {
        counting.fetch_add(1, Ordering::SeqCst);
        connection.execute("INSERT INTO pause VALUES ('x', 1)", [])?;
        let code = rusqlite::ffi::SQLITE_IOERR_FSYNC;
        Err::<(), _>(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None))
    });
    assert!(failed.is_err_and(|error| error.is_transient()));
    assert_eq!(tries.load(Ordering::SeqCst), 1);
    assert_ne!(queue.0.writer.write(Durability::Lazy, pragma).expect("a number"), 12_345, "it is another connection");
    let pauses = |connection: &Connection| connection.query_row("SELECT count(*) FROM pause", [], |row| row.get(0));
    assert_eq!(queue.0.writer.write(Durability::Lazy, pauses).map(|count: i64| count).expect("a number"), 0);
}

#[test]
fn a_stop_shortens_no_publication_and_a_publication_lengthens_no_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(crate::clock::SystemClock::new());
    let queue = FileQueue::open(folder.path(), false, clock).expect("a queue");
    let new = || NewMessage::new("pulpo", "job", "{}");
    queue.enqueue(vec![new(), new()]).expect("published");
    let mut consumer = queue.consumer(&["pulpo".to_owned()]).expect("a consumer");
    let mut next =
        || consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("a message").lease;
    let (first, second) = (next(), next());
    let other = Connection::open(folder.path().join("queue.db")).expect("opened");
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    thread::scope(|scope| {
        let publishing = scope.spawn(|| queue.enqueue(vec![new()]));
        let started = Instant::now();
        while queue.0.writer.group.storage.writing.try_lock().is_ok() {
            assert!(started.elapsed() < Duration::from_secs(30), "it waits for the lock");
            thread::yield_now();
        }
        queue.interrupt();
        let error = consumer.settle(&first, &mut Settlement::commit_with(vec![new()])).expect_err("locked");
        assert!(error.is_transient(), "{error}");
        let put_back = || (second.clone(), Settlement::rollback(Duration::ZERO, "stopped", false));
        let results = consumer.settle_all(&mut [put_back(), (first.clone(), put_back().1)]);
        assert!(results.iter().all(Result::is_err));
        assert!(started.elapsed() < Duration::from_secs(9), "{:?}", started.elapsed());
        assert!(!publishing.is_finished(), "it waits on");
        other.execute_batch("ROLLBACK").expect("released");
        publishing.join().expect("no panic").expect("published");
    });
    let results = consumer.settle_all(&mut [
        (first, Settlement::rollback(Duration::ZERO, "stopped", false)),
        (second.clone(), Settlement::rollback(Duration::ZERO, "stopped", false)),
        (second, Settlement::rollback(Duration::ZERO, "stopped", false)),
    ]);
    assert!(matches!(results[..], [Ok(()), Ok(()), Err(QueueError::LeaseLost { .. })]), "{results:?}");
    assert_eq!(queue.stats().expect("counted").total(), 3);
}

#[test]
fn a_program_writes_and_reads_nothing_once_a_newer_one_has_migrated_the_database() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(crate::clock::SystemClock::new());
    let queue = FileQueue::open(folder.path(), false, clock.clone()).expect("a queue");
    let new = || vec![NewMessage::new("pulpo", "job", "{}")];
    queue.enqueue(new()).expect("published");
    let mut consumer = queue.consumer(&["pulpo".to_owned()]).expect("a consumer");
    let lease = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("a message").lease;
    let newer = Connection::open(folder.path().join("queue.db")).expect("opened");
    newer.pragma_update(None, "user_version", 99).expect("migrated");
    let errors = [
        queue.enqueue(new()).map(drop),
        queue.list(&crate::queue::Filter::all()).map(drop),
        queue.stats().map(drop),
        consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).map(drop),
        consumer.settle(&lease, &mut Settlement::commit()),
    ];
    for error in errors {
        assert!(matches!(error, Err(QueueError::NewerVersion { found: 99, .. })), "{error:?}");
    }
    let count: i64 = newer.query_row("SELECT count(*) FROM message", [], |row| row.get(0)).expect("a number");
    assert_eq!(count, 1);
    // If the database returns to the previous version, the program continues.
    newer.pragma_update(None, "user_version", crate::queue::file::storage::schema::VERSION).expect("set");
    queue.enqueue(new()).expect("published");
    consumer.settle(&lease, &mut Settlement::commit()).expect("done");
}

type BoxedConsumer = Box<dyn crate::queue::Consumer>;

/// A clock that panics on request.
#[derive(Debug, Default)]
struct Broken(std::sync::atomic::AtomicBool, crate::clock::SystemClock, AtomicUsize);

impl crate::clock::Clock for Broken {
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        if self.0.load(Ordering::SeqCst) {
            self.2.fetch_add(1, Ordering::SeqCst);
            panic!("broken");
        }
        self.1.now()
    }

    fn uptime(&self) -> Duration {
        self.1.uptime()
    }

    fn real_timeout(&self, duration: Duration) -> Option<Duration> {
        Some(duration)
    }

    fn attach(&self, _: &Arc<crate::clock::Notify>) {}
}

#[test]
fn a_clock_that_panics_does_not_keep_others_from_publishing() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(Broken::default());
    let queue = FileQueue::open(folder.path(), false, clock.clone()).expect("a queue");
    let new = || NewMessage::new("pulpo", "job", "{}");
    queue.enqueue(vec![new(), new()]).expect("published");
    let mut consumer = queue.consumer(&["pulpo".to_owned()]).expect("a consumer");
    let lease = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("a message").lease;
    clock.0.store(true, Ordering::SeqCst);
    // In the middle of a write, and before one.
    for call in [
        |consumer: &mut BoxedConsumer, lease: &Lease| consumer.touch(std::slice::from_ref(lease)).is_err(),
        |consumer: &mut BoxedConsumer, _: &Lease| consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).is_err(),
    ] {
        for _ in 0..2 {
            let failed = std::panic::catch_unwind(AssertUnwindSafe(|| call(&mut consumer, &lease)));
            assert!(failed.unwrap_or(true));
        }
    }
    clock.0.store(false, Ordering::SeqCst);
    queue.enqueue(vec![new()]).expect("published");
    assert_eq!(consumer.touch(std::slice::from_ref(&lease)).expect("touched"), []);
    consumer.settle(&lease, &mut Settlement::commit()).expect("done");
    let mut next =
        || consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").map(|next| next.lease.id);
    assert_eq!([next(), next(), next()], [Some("2".into()), Some("3".into()), None]);
}

#[test]
fn a_clock_that_panics_does_not_end_the_thread_that_looks_after_the_queue() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(Broken::default());
    let queue = FileQueue::open(folder.path(), false, clock.clone()).expect("a queue");
    let _consumer = queue.consumer(&["pulpo".to_owned()]).expect("a consumer");
    let until = |what: &str, condition: &dyn Fn() -> bool| {
        let end = std::time::Instant::now() + Duration::from_secs(30);
        while !condition() {
            assert!(std::time::Instant::now() < end, "timed out waiting until {what}");
            thread::park_timeout(Duration::from_millis(1));
        }
    };
    // It reads the clock for each process that has died.
    clock.0.store(true, Ordering::SeqCst);
    let dead = folder.path().join("workers/00000000000000ff");
    std::fs::write(&dead, "").expect("written");
    let before = clock.2.load(Ordering::SeqCst);
    queue.0.maintenance.scan_dead_processes();
    until("it has panicked twice", &|| clock.2.load(Ordering::SeqCst) >= before + 2);
    clock.0.store(false, Ordering::SeqCst);
    until("the dead process is found", &|| !dead.exists());
}
