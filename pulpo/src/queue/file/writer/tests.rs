use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;
use crate::queue::file::FileQueue;
use crate::queue::{Lease, NewMessage, QueueAdapter as _};

fn writer() -> Writer {
    let connection = Connection::open_in_memory().expect("opened");
    connection.execute_batch("CREATE TABLE t(x INTEGER PRIMARY KEY)").expect("a table");
    Writer::new("memory:".to_owned(), Attached::in_memory(connection))
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
fn what_waits_goes_into_one_transaction() {
    let writer = Arc::new(writer());
    let commits = Arc::new(AtomicUsize::new(0));
    let counting = commits.clone();
    // rusqlite before 0.38 returns nothing here. Without the hook the count is wrong.
    let _ = lock(&writer.connection).connection.connection_mut().commit_hook(Some(move || {
        counting.fetch_add(1, Ordering::SeqCst);
        false
    }));
    // While one operation holds the writer, seven others come.
    let (started, has_started) = std::sync::mpsc::channel();
    let (go, may_go) = std::sync::mpsc::channel::<()>();
    let slow = {
        let writer = writer.clone();
        thread::spawn(move || {
            writer.write(Durability::Lazy, move |connection| {
                started.send(()).expect("heard");
                may_go.recv().expect("told");
                connection.execute("INSERT INTO t VALUES (0)", [])
            })
        })
    };
    has_started.recv().expect("started");
    let others: Vec<_> = (1..8)
        .map(|x| {
            let writer = writer.clone();
            thread::spawn(move || insert(&writer, x))
        })
        .collect();
    while lock(&writer.line).waiting.len() < 7 {
        thread::yield_now();
    }
    go.send(()).expect("heard");
    slow.join().expect("no panic").expect("written");
    for other in others {
        other.join().expect("no panic").expect("written");
    }
    assert_eq!(commits.load(Ordering::SeqCst), 2);
    // As many are waited for now, but not in vain for long, and not again.
    assert_eq!(lock(&writer.line).crowd, 7);
    insert(&writer, 8).expect("written");
    assert_eq!(lock(&writer.line).crowd, 1);
    assert_eq!(count(&writer), 9);
}

#[test]
fn a_leader_waits_only_until_as_many_have_come_as_the_last_time() {
    let mut line = Line { crowd: 2, ..Line::default() };
    let request = |durability| Request { operation: Box::new(|_| Ok(())), durability, turn: Arc::default() };
    line.waiting.push(request(Durability::Synced));
    // What needs no sync is no reason to wait, and none to go.
    line.waiting.push(request(Durability::Lazy));
    assert!(line.syncs() == 1 && !line.is_complete());
    line.waiting.push(request(Durability::Synced));
    assert!(line.is_complete());
}

#[test]
fn one_that_cannot_be_written_does_not_take_the_others_with_it() {
    let writer = writer();
    insert(&writer, 1).expect("written");
    let requests: Vec<Arc<Turn>> = (0..3).map(|_| Arc::default()).collect();
    let request = |x: i64, turn: &Arc<Turn>| Request {
        operation: Box::new(move |connection| connection.execute("INSERT INTO t VALUES (?1)", [x]).map(drop)),
        durability: Durability::Synced,
        turn: turn.clone(),
    };
    let mut group = vec![request(2, &requests[0]), request(1, &requests[1]), request(3, &requests[2])];
    let outcome = lock(&writer.connection).run(&mut group);
    assert!(outcome[0].is_ok() && outcome[1].is_err() && outcome[2].is_ok());
    assert_eq!(count(&writer), 3);
}

#[test]
fn a_full_disk_is_said_and_what_was_there_stays() {
    let writer = writer();
    lock(&writer.connection).connection.connection().execute_batch("PRAGMA max_page_count = 8").expect("set");
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
    lock(&writer.connection).connection.connection().execute_batch("PRAGMA max_page_count = 100").expect("set");
    insert(&writer, 1000).expect("there is room again");
}

#[test]
fn what_follows_from_a_job_is_synced_and_its_commit_alone_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(crate::clock::SystemClock::new());
    let queue = FileQueue::open(folder.path(), false, clock).expect("a queue");
    let new = || NewMessage::new("pulpo", "job", "{}");
    let last = || lock(&queue.0.writer.connection).durability;
    queue.enqueue(vec![new(), new()]).expect("published");
    assert_eq!(last(), Some(Durability::Synced));
    let mut seat = queue.consumer(&["pulpo".to_owned()]).expect("a seat");
    let mut next = || seat.dequeue(std::time::Duration::ZERO).expect("a look").expect("a message").lease;
    let (first, second) = (next(), next());
    assert_eq!(last(), Some(Durability::Lazy));
    seat.commit_with(&first, &mut vec![new()], &queue).expect("done");
    assert_eq!(last(), Some(Durability::Synced));
    seat.commit(&second).expect("done");
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

    // And in a group, whoever leads it.
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
fn a_payload_that_panics_when_it_is_dropped_harms_nobody() {
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
fn a_leader_that_panics_tells_all_and_hands_over() {
    let writer = writer();
    let request = |turn: &Arc<Turn>| Request {
        operation: Box::new(|_| Ok(())),
        durability: Durability::Lazy,
        turn: turn.clone(),
    };
    let turns: Vec<Arc<Turn>> = (0..3).map(|_| Arc::default()).collect();
    lock(&writer.line).led = true;
    lock(&writer.line).waiting.push(request(&turns[2]));
    drop(Leading { writer: &writer, group: vec![request(&turns[0]), request(&turns[1])] });
    assert!(turns[..2].iter().all(|turn| matches!(turn.wait(), Word::Done(Err(_)))));
    assert!(matches!(turns[2].wait(), Word::Lead));
}

type Seat = Box<dyn crate::queue::Consumer>;

/// A clock that panics once it is told to.
#[derive(Debug, Default)]
struct Broken(std::sync::atomic::AtomicBool, crate::clock::SystemClock);

impl crate::clock::Clock for Broken {
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        assert!(!self.0.load(Ordering::SeqCst), "broken");
        self.1.now()
    }

    fn uptime(&self) -> Duration {
        self.1.uptime()
    }

    fn real(&self, duration: Duration) -> Option<Duration> {
        Some(duration)
    }

    fn attach(&self, _: &Arc<crate::clock::Signal>) {}
}

#[test]
fn a_clock_that_panics_does_not_keep_others_from_publishing() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(Broken::default());
    let queue = FileQueue::open(folder.path(), false, clock.clone()).expect("a queue");
    let new = || NewMessage::new("pulpo", "job", "{}");
    queue.enqueue(vec![new(), new()]).expect("published");
    let mut seat = queue.consumer(&["pulpo".to_owned()]).expect("a seat");
    let lease = seat.dequeue(Duration::ZERO).expect("a look").expect("a message").lease;
    clock.0.store(true, Ordering::SeqCst);
    // In the midst of a write, and before one.
    for call in [
        |seat: &mut Seat, lease: &Lease| seat.touch(lease).is_err(),
        |seat: &mut Seat, _: &Lease| seat.dequeue(Duration::ZERO).is_err(),
    ] {
        for _ in 0..2 {
            let failed = std::panic::catch_unwind(AssertUnwindSafe(|| call(&mut seat, &lease)));
            assert!(failed.unwrap_or(true));
        }
    }
    clock.0.store(false, Ordering::SeqCst);
    queue.enqueue(vec![new()]).expect("published");
    seat.touch(&lease).expect("touched");
    seat.commit(&lease).expect("done");
    let mut next = || seat.dequeue(Duration::ZERO).expect("a look").map(|next| next.lease.id);
    assert_eq!([next(), next(), next()], [Some("2".into()), Some("3".into()), None]);
}
