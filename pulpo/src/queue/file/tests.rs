//! The embedded queue as a whole.

use chrono::TimeDelta;
use rusqlite::trace::{TraceEvent, TraceEventCodes};

use super::leases::process_lock;
use super::*;
use crate::clock::ManualClock;
use crate::queue::prefetch::{DeferredCommit, Exchange, Found, LeaseRequest, LeaseStore as _, Leased, buffer};
use crate::queue::{
    ActivityStep, DequeueFilter, Edit, Edited, Filter, Inspection as _, MessageState, Settlement, StoredMessage,
};
use crate::sync::lock;

mod many;
mod statements;
mod stats;

fn at_nine() -> ManualClock {
    ManualClock::at("2026-11-23T09:00:00Z".parse().expect("a time"))
}

fn open(folder: &Path, clock: &ManualClock) -> FileQueue {
    FileQueue::open(folder, true, Arc::new(clock.clone())).expect("a queue")
}

fn new(queue: &str, request_type: &str) -> NewMessage {
    NewMessage::new(queue, request_type, "{}")
}

fn one<T: rusqlite::types::FromSql + Send + 'static>(queue: &FileQueue, query: &'static str) -> T {
    queue.0.read(move |connection| connection.query_row(query, [], |row| row.get(0))).expect("a value")
}

/// Checks that the stored counts match the rows.
#[track_caller]
fn assert_counted(queue: &FileQueue) {
    let wrong: i64 = one(
        queue,
        "SELECT count(*) FROM kind WHERE
            ready <> (SELECT count(*) FROM message WHERE message.kind = kind.id AND state = 0)
            OR delayed <> (SELECT count(*) FROM message WHERE message.kind = kind.id AND state = 1)
            OR buried <> (SELECT count(*) FROM message WHERE message.kind = kind.id AND state = 3)",
    );
    assert_eq!(wrong, 0);
    let texts: i64 =
        one(queue, "SELECT count(*) FROM long_text WHERE id NOT IN (SELECT id FROM message WHERE text IS NULL)");
    assert_eq!(texts, 0, "texts without a message");
}

impl Shared {
    /// Records each statement of each connection.
    fn trace(&self, note: fn(TraceEvent<'_>)) {
        let codes = TraceEventCodes::SQLITE_TRACE_STMT;
        self.with_reader(|connection| connection.trace_v2(codes, Some(note)).expect("traced"));
        self.with_inspector(|connection| connection.trace_v2(codes, Some(note)).expect("traced"));
        self.writer.with_connection(|connection| connection.trace_v2(codes, Some(note)).expect("traced"));
    }

    /// Counts the transactions.
    fn count_commits(&self, commits: &Arc<std::sync::atomic::AtomicUsize>) {
        let commits = commits.clone();
        let count = move || {
            commits.fetch_add(1, Ordering::SeqCst);
            false
        };
        self.writer.with_connection(|connection| connection.commit_hook(Some(count)).expect("a hook"));
    }
}

fn fetch(queue: &FileQueue, name: &str, checks_first: bool) -> Found<Vec<Leased<process_lock::Run>>> {
    let request = LeaseRequest { queues: [name.to_owned()].into(), filter: DequeueFilter::all(), at_once: 1, ahead: 0 };
    buffer::fetch(&queue.0.prefetch.deferred, &queue.0, request, checks_first).expect("the queue answers")
}

/// Leases the next messages of a queue together.
fn lease_together(queue: &FileQueue, name: &str, most: usize) -> Vec<Leased<process_lock::Run>> {
    let queues = [name.to_owned()].into();
    let request = LeaseRequest { queues, filter: DequeueFilter::all(), at_once: most, ahead: 0 };
    match buffer::fetch(&queue.0.prefetch.deferred, &queue.0, request, false).expect("the queue answers") {
        Found::Leased(leased) => leased,
        Found::Nothing(_) => Vec::new(),
    }
}

/// Commits these messages together. Returns for each whether its lease was still valid.
fn commit_together(queue: &FileQueue, leased: &[Leased<process_lock::Run>]) -> Vec<bool> {
    let commit = |one: &Leased<process_lock::Run>| DeferredCommit {
        lease: one.delivery.lease.clone(),
        tag: one.tag,
        result: None,
        lost: Arc::default(),
    };
    let exchange = Exchange { commits: leased.iter().map(commit).collect(), lease: None };
    queue.0.exchange(&Arc::new(exchange)).expect("committed").committed
}

#[test]
fn traces_of_done_messages_are_cleared_while_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let queue = FileQueue::open(folder.path(), false, Arc::new(at_nine())).expect("a queue");
    let file = folder.path().join(FILE_NAME);
    let traces = || {
        let bytes =
            ["queue.db", "queue.db-wal"].map(|name| std::fs::read(folder.path().join(name)).unwrap_or_default());
        bytes.concat().windows(8).filter(|part| *part == b"ada@exam").count()
    };
    let mut consumer = queue.consumer(&["a".to_owned()]).expect("a consumer");
    let mut work = || {
        for number in 0..20 {
            let text = format!(r#"{{"body": "ada@example.com {number} {}"}}"#, "x".repeat(number * 90));
            queue.enqueue(vec![NewMessage::new("a", "job", text)]).expect("published");
            let lease =
                consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("a message").lease;
            consumer.settle(&lease, &mut Settlement::commit()).expect("done");
        }
    };
    work();
    assert!(traces() > 0);
    let quiet = rewrite::Quiet::default();
    let seconds = |seconds| quiet.clear_if_quiet(&file, Duration::from_secs(seconds)).expect("cleared");
    seconds(0);
    seconds(29);
    assert!(traces() > 0, "it is too early");
    work();
    seconds(30);
    assert!(traces() > 0, "something was written");
    // A reader keeps the log.
    let reader = Connection::open(&file).expect("opened");
    reader.execute_batch("BEGIN; SELECT count(*) FROM message").expect("the queue answers");
    let log = || std::fs::metadata(folder.path().join("queue.db-wal")).expect("a log").len();
    let before = log();
    for round in 2..6 {
        seconds(30 * round);
    }
    assert!(traces() > 0 && log() == before, "{} and {before}", log());
    reader.execute_batch("COMMIT").expect("an end");
    seconds(180);
    seconds(210);
    assert_eq!((traces(), log()), (0, 0));
    seconds(240);
    assert_eq!(log(), 0, "there is nothing to do");
}

#[test]
fn a_large_text_is_written_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = at_nine();
    let queue = open(folder.path(), &clock);
    let text = format!("{{\"x\": \"{}\"}}", "y".repeat(1_000_000));
    queue.enqueue(vec![NewMessage::new("a", "job", text)]).expect("published");
    let log = || std::fs::metadata(folder.path().join("queue.db-wal")).expect("a log").len();
    let emptied = queue.0.writer.write(Durability::Lazy, |_| Ok(())).map(|()| {
        let connection = Connection::open(folder.path().join(FILE_NAME)).expect("opened");
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("moved");
    });
    emptied.expect("written");
    let before = log();
    let mut consumer = queue.consumer(&["a".to_owned()]).expect("a consumer");
    for _ in 0..3 {
        let lease = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("a message").lease;
        consumer.settle(&lease, &mut Settlement::rollback(Duration::ZERO, "again", true)).expect("put back");
    }
    let written = log() - before;
    assert!(written < 200_000, "{written} bytes");
}

#[test]
fn the_rows_of_outboxes_are_forgotten_an_hour_after_they_and_their_messages_are_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = at_nine();
    let queue = FileQueue::open(folder.path(), false, Arc::new(clock.clone())).expect("a queue");
    let ids: Vec<_> = (0..3).map(|number| format!("{number}/token")).collect();
    queue.enqueue(ids.iter().map(|id| new("mail", "greet").outbox_id(id)).collect()).expect("enqueued");
    let count = "SELECT count(*) FROM outbox_id";
    assert_eq!(queue.delete(&Filter::all().limit(2)).expect("deleted"), 2);
    // A row that was never reported as gone may come again at any time.
    queue.rows_are_gone(&ids[1..]).expect("noted");
    clock.advance(Duration::from_secs(3599));
    queue.rows_are_gone(&[]).expect("noted");
    assert_eq!(one::<i64>(&queue, count), 3);
    clock.advance(Duration::from_secs(2));
    queue.rows_are_gone(&[]).expect("noted");
    assert_eq!(one::<i64>(&queue, count), 1, "the message of one is still there, or its row is");
    clock.advance(Duration::from_secs(360_000));
    queue.rows_are_gone(&[]).expect("noted");
    assert_eq!(one::<i64>(&queue, count), 1);
}

#[test]
fn waking_all_queues_writes_only_into_their_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = at_nine();
    let queue = open(folder.path(), &clock);
    queue.enqueue(vec![new("a", "one"), new("b", "two")]).expect("published");
    let notify = folder.path().join("notify");
    std::fs::create_dir(&notify).expect("made");
    for name in ["README.md", "README", "c"] {
        std::fs::write(notify.join(name), "precious").expect("written");
    }
    for name in ["a", "b", "d"] {
        std::fs::write(notify.join(name), "").expect("written");
    }
    queue.0.notify_all();
    let read = |name: &str| std::fs::read_to_string(notify.join(name)).expect("there");
    assert_eq!(["README.md", "README", "c"].map(read), ["precious"; 3]);
    assert_eq!(["a", "b", "d"].map(read), ["!", "!", ""]);
}
