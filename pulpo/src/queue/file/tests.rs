//! The embedded queue as a whole: what its statements cost.

use std::collections::BTreeSet;
use std::sync::Mutex;

use chrono::TimeDelta;
use rusqlite::trace::{TraceEvent, TraceEventCodes};

use super::*;
use crate::clock::{ManualClock, lock};
use crate::queue::prefetch::{DeferredCommit, Exchange, Found, LeaseRequest, LeaseStore as _, Leased, buffer};
use crate::queue::{
    ActivityStep, DequeueFilter, Edit, Edited, Filter, Inspection as _, MessageState, Settlement, StoredMessage,
};

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

/// The statements that were executed.
static EXECUTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

impl Shared {
    /// Records each statement of each connection.
    fn trace(&self, note: fn(TraceEvent<'_>)) {
        let codes = TraceEventCodes::SQLITE_TRACE_STMT;
        self.with_reader(|connection| connection.trace_v2(codes, Some(note)).expect("traced"));
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

fn note(event: TraceEvent<'_>) {
    if let TraceEvent::Stmt(statement, _) = event {
        lock(&EXECUTED).insert(statement.sql().into_owned());
    }
}

fn fetch(queue: &FileQueue, name: &str, looks_first: bool) -> Found<Vec<Leased<process_lock::Run>>> {
    let request = LeaseRequest { queues: [name.to_owned()].into(), filter: DequeueFilter::all(), at_once: 1, ahead: 0 };
    buffer::fetch(&queue.0.prefetch.deferred, &queue.0, request, looks_first).expect("a look")
}

/// Leases the next messages of a queue together.
fn lease_together(queue: &FileQueue, name: &str, most: usize) -> Vec<Leased<process_lock::Run>> {
    let queues = [name.to_owned()].into();
    let request = LeaseRequest { queues, filter: DequeueFilter::all(), at_once: most, ahead: 0 };
    match buffer::fetch(&queue.0.prefetch.deferred, &queue.0, request, false).expect("a look") {
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

/// Uses everything that a queue can do, with messages of all kinds.
fn use_everything(queue: &FileQueue, clock: &ManualClock) {
    let queues = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
    let mut seat = queue.consumer(&queues).expect("a seat");
    let take = |seat: &mut Box<dyn Consumer>, pick: &DequeueFilter| {
        seat.dequeue(pick, Duration::ZERO).expect("a look").expect("a message").lease
    };
    let all = DequeueFilter::all();
    let lease = take(&mut seat, &all);
    seat.touch(std::slice::from_ref(&lease)).expect("touched");
    seat.settle(&lease, &mut Settlement::commit()).expect("done");
    let lease = take(&mut seat, &DequeueFilter::all().except_type("type 1").except_queue("b"));
    seat.settle(&lease, &mut Settlement::deferrable_commit()).expect("put off");
    seat.flush().expect("done");
    let lease = take(&mut seat, &DequeueFilter::all().request_type("type 3"));
    seat.settle(&lease, &mut Settlement::commit_with(vec![new("new", "new")])).expect("done");
    let lease = take(&mut seat, &all);
    seat.settle(&lease, &mut Settlement::rollback(Duration::ZERO, "later", true)).expect("put back");
    let lease = take(&mut seat, &all);
    seat.settle(&lease, &mut Settlement::leave_to_others(Duration::from_secs(60), "unknown")).expect("put back");
    let lease = take(&mut seat, &all);
    seat.settle(&lease, &mut Settlement::bury("failed", true)).expect("buried");
    let lease = take(&mut seat, &all);
    seat.settle(&lease, &mut Settlement::Expire).expect("expired");
    // Given back, ended by time, and ended with its process.
    let lost = take(&mut seat, &all);
    let short = Duration::from_secs(3600);
    queue.0.prefetch.release(&queue.0, &queues.clone().into(), vec![lost]).expect("given back");
    take(&mut seat, &all);
    clock.advance(short);
    clock.jump(TimeDelta::days(-1));
    take(&mut seat, &all);
    clock.jump(TimeDelta::days(1));
    take(&mut seat, &all);
    clock.advance(short);
    take(&mut seat, &all);
    let folder = queue.base_path().expect("a folder").join("workers");
    std::fs::write(folder.join("00000000000000ff"), "").expect("written");
    queue.0.end_leases_of_the_dead();
    queue.pause("b", short).expect("paused");
    take(&mut seat, &all);
    queue.pause("b", Duration::ZERO).expect("resumed");
    let empty = queue.consumer(&["nothing".to_owned()]).expect("a seat").dequeue(&all, Duration::ZERO).expect("a look");
    assert!(empty.is_none());
    assert!(matches!(fetch(queue, "nothing", true), Found::Nothing(_)));
    let now = clock.now();
    let states = MessageState::LIVE.map(|state| Filter::all().state(state));
    let filters = [
        Filter::all().id("7".into()).id("8".into()),
        Filter::all().queue("a"),
        Filter::all().request_type("type 2"),
        Filter::all().older_than(now).newer_than(now),
        Filter::all().published_before(now).published_after(now),
        Filter::all().reason("failed").after("1000".into()),
    ];
    for filter in filters.into_iter().chain(states) {
        queue.list(&filter.clone().limit(10)).expect("a list");
        queue.kick(&filter.clone().limit(2)).expect("kicked");
        queue.delete(&filter.limit(2)).expect("deleted");
    }
    queue.stats().expect("counted");
    for step in ActivityStep::ALL {
        let asked = ActivityFilter::since(step, now - TimeDelta::days(1));
        queue.read_activity(&asked).expect("read");
        queue.read_activity(&asked.queue("a").request_type("type 1")).expect("read");
    }
    queue.enqueue(vec![new("a", "type 1"), new("a", "another"), new("d", "type 1")]).expect("published");
    queue.set_retention(Retention::default().done(2 * short).buried(short));
    let lease = take(&mut seat, &all);
    seat.settle(&lease, &mut Settlement::commit_result("7")).expect("done");
    let lease = take(&mut seat, &all);
    seat.settle(&lease, &mut Settlement::rollback(short, "again", true)).expect("put back");
    assert_eq!(
        queue.edit(&lease.id, &Edit::default().delay(Duration::ZERO).queue("e")).expect("edited"),
        Edited::Changed
    );
    queue.peek(&lease.id).expect("a look").expect("there");
    let done = Filter::all().state(MessageState::Done);
    assert!(!queue.list(&done.clone().limit(10)).expect("a list").is_empty());
    queue.delete(&done.limit(2)).expect("deleted");
    clock.advance(short);
    queue.prune().expect("pruned");
}

/// Runs the conformance suite on queues whose statements are noted.
#[cfg(feature = "conformance")]
fn use_all_that_the_suite_uses() {
    use crate::queue::conformance::{CASES, Harness};

    struct Noted(FileQueue, ManualClock);

    impl Harness for Noted {
        fn queue(&self) -> &dyn QueueAdapter {
            &self.0
        }

        fn now(&self) -> chrono::DateTime<chrono::Utc> {
            self.1.now()
        }

        fn pass(&self, time: Duration) {
            self.1.advance(time);
        }
    }

    for (_, case) in CASES {
        let (folder, clock) = (tempfile::tempdir().expect("a folder"), at_nine());
        let queue = open(folder.path(), &clock);
        queue.0.trace(note);
        case(&Noted(queue, clock));
    }
}

#[test]
fn no_statement_walks_over_messages_that_it_does_not_want() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = at_nine();
    let queue = open(folder.path(), &clock);
    for part in 0..8 {
        let messages = (0..1000).map(|n| {
            let mut message = new(["a", "b", "c"][n % 3], &format!("type {}", n % 20));
            message.priority = crate::message::Priority::new((n % 7) as u32);
            message.delay = (part < 2).then(|| clock.now() + TimeDelta::minutes(n as i64));
            message
        });
        queue.enqueue(messages.collect()).expect("published");
    }
    let write = |statement: &'static str| {
        queue.0.writer.write(Durability::Lazy, move |connection| connection.execute_batch(statement)).expect("written");
    };
    write(
        "UPDATE message SET state = 3, last_error = 'failed' WHERE id % 10 = 3 AND state = 0;
         UPDATE kind SET ready = (SELECT count(*) FROM message WHERE message.kind = kind.id AND state = 0),
            buried = (SELECT count(*) FROM message WHERE message.kind = kind.id AND state = 3)",
    );
    queue.0.trace(note);
    use_everything(&queue, &clock);
    queue.set_retention(Retention::default().done(Duration::ZERO));
    queue.enqueue(vec![new("together", "job"); 40]).expect("published");
    let leased = lease_together(&queue, "together", 40);
    assert_eq!(commit_together(&queue, &leased), [true; 40]);
    assert_counted(&queue);
    #[cfg(feature = "conformance")]
    use_all_that_the_suite_uses();

    let executed = std::mem::take(&mut *lock(&EXECUTED));
    assert!(executed.len() > 40, "{executed:#?}");
    let connection = Connection::open(folder.path().join(FILE_NAME)).expect("opened");
    let mut wrong = Vec::new();
    for statement in executed {
        let first = statement.split_whitespace().next().unwrap_or_default();
        // Lists scan from the newest message.
        let is_list = statement.contains("ORDER BY id DESC LIMIT :limit");
        // Statements of the test itself, or of SQLite.
        let is_ours = !statement.contains("count(*) FROM kind") && !statement.contains("count(*) FROM long_text");
        if !["SELECT", "UPDATE", "DELETE", "INSERT", "WITH"].contains(&first) || !is_ours {
            continue;
        }
        let mut explained = connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).expect("a statement");
        // Without values for its parameters.
        let mut rows = explained.raw_query();
        let mut plan: Vec<String> = Vec::new();
        while let Some(row) = rows.next().expect("a plan") {
            plan.push(row.get(3).expect("a step"));
        }
        let is_meant = |step: &String| {
            let step = step.as_str();
            if step.starts_with("SCAN message") {
                // In the order of the list, or of an index that has only waiting messages.
                return is_list && !step.contains("USING INDEX message_ready") && !step.contains("message_due")
                    || step.contains("INDEX message_leased")
                    || step.contains("INDEX message_cancelled")
                    || step.contains("INDEX message_due") && statement.contains("min(due)");
            }
            // Few rows, all of them wanted.
            if step.starts_with("SCAN archive") {
                return is_list;
            }
            if step.starts_with("SCAN") {
                return [
                    "kind",
                    "schedule",
                    "worker",
                    "wanted",
                    "pause",
                    "json_each",
                    "level",
                    "sqlite_sequence",
                    "(subquery",
                    "CONSTANT",
                    "VALUES",
                ]
                .iter()
                .any(|small| step.contains(small));
            }
            !step.contains("TEMP B-TREE")
                || step.contains("GROUP BY")
                    && (statement.contains("GROUP BY kind") || statement.contains("GROUP BY at"))
        };
        if !plan.iter().all(is_meant) {
            wrong.push(format!("{statement}\n    {}", plan.join("\n    ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn whatever_becomes_of_a_message_is_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = at_nine();
    let queue = open(folder.path(), &clock);
    let mut messages: Vec<_> = (0..200).map(|n| new(["a", "b"][n % 2], &format!("type {}", n % 5))).collect();
    for message in messages.iter_mut().step_by(4) {
        message.delay = Some(clock.now() + TimeDelta::minutes(30));
    }
    queue.enqueue(messages).expect("published");
    assert_counted(&queue);
    use_everything(&queue, &clock);
    assert_counted(&queue);
    let stats = queue.stats().expect("counted");
    let list = queue.list(&Filter::all()).expect("a list");
    for state in MessageState::LIVE {
        let listed = list.iter().filter(|message| message.state == state).count() as u64;
        let of = |counts: &crate::queue::Counts| match state {
            MessageState::Ready => counts.ready,
            MessageState::Delayed => counts.delayed,
            MessageState::Reserved => counts.reserved,
            MessageState::Buried => counts.buried,
            MessageState::Done => 0,
        };
        assert_eq!(stats.counts.iter().map(of).sum::<u64>(), listed, "{state}");
    }
    let oldest = |messages: &[StoredMessage], queue: &str| {
        let ready = messages.iter().filter(|message| message.queue == queue && message.state == MessageState::Ready);
        ready.filter_map(|message| message.due_since).min()
    };
    for name in ["a", "b"] {
        let counted =
            stats.counts.iter().filter(|counts| counts.queue == name).filter_map(|counts| counts.oldest_ready);
        assert_eq!(counted.min(), oldest(&list, name));
    }
    queue.delete(&Filter::all()).expect("deleted");
    assert_counted(&queue);
}

#[test]
fn each_message_of_a_batch_has_its_own_id_and_all_that_belongs_to_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = at_nine();
    let queue = open(folder.path(), &clock);
    queue.enqueue(vec![new("b", "before"); 3]).expect("published");
    let text =
        |n: usize| format!("{{\"n\": {n}, \"x\": \"{}\"}}", "y".repeat(if n.is_multiple_of(7) { 2000 } else { 10 }));
    let message = |n: usize| {
        // Long runs of one kind, short ones, and messages that must be looked up in between.
        let request_type = if n < 40 { "one" } else { ["one", "two"][n / 5 % 2] };
        let mut message = NewMessage::new("a", request_type, text(n));
        message.priority = crate::message::Priority::new(n as u32);
        message.delay = n.is_multiple_of(11).then(|| clock.now() + TimeDelta::minutes(n as i64 + 1));
        message.ttr = Duration::from_secs(100 + n as u64);
        if n % 50 == 49 { message.unique(crate::keys::Unique::new(format!("key {n}"))) } else { message }
    };
    let messages: Vec<_> = (0..130).map(message).collect();
    let enqueued = queue.enqueue(messages.clone()).expect("published");
    assert_eq!(enqueued.len(), messages.len());
    for (n, (enqueued, message)) in enqueued.iter().zip(&messages).enumerate() {
        assert_eq!(enqueued.id.as_str(), (n + 4).to_string());
        let stored = queue.peek(&enqueued.id).expect("a look").expect("there");
        assert_eq!(String::from_utf8_lossy(&stored.text), message.text);
        assert_eq!((stored.request_type, stored.priority), (message.request_type.clone(), message.priority));
        let state = if message.delay.is_some() { MessageState::Delayed } else { MessageState::Ready };
        assert_eq!(stored.state, state, "{n}");
    }
    assert_counted(&queue);
    let published: i64 = one(&queue, "SELECT sum(published_now) FROM kind");
    assert_eq!(published, 133);
}

#[test]
fn messages_that_are_leased_and_committed_together_are_treated_each_by_its_own_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = at_nine();
    let queue = FileQueue::open(folder.path(), false, Arc::new(clock.clone())).expect("a queue");
    let message = |n: usize| {
        let text = format!("{{\"n\": {n}, \"x\": \"{}\"}}", "y".repeat(if n == 70 { 2000 } else { 10 }));
        NewMessage::new("a", if n < 60 { "one" } else { "two" }, text)
    };
    queue.enqueue((0..100).map(message).collect()).expect("published");
    // A gap in the ids, and a message that failed before.
    queue.delete(&Filter::all().id("11".into())).expect("deleted");
    let mut seat = queue.consumer(&["a".to_owned()]).expect("a seat");
    let first = seat.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("a look").expect("a message").lease;
    seat.settle(&first, &mut Settlement::rollback(Duration::ZERO, "again", true)).expect("put back");

    let leased = lease_together(&queue, "a", 90);
    let ids: Vec<_> = leased.iter().map(|one| one.delivery.lease.id.as_str().to_owned()).collect();
    let expected: Vec<_> = (1..=91).filter(|id| *id != 11).map(|id: u64| id.to_string()).collect();
    assert_eq!(ids, expected);
    for one in &leased {
        let n: u64 = one.delivery.lease.id.as_str().parse::<u64>().expect("a number") - 1;
        assert_eq!(&*one.request_type, if n < 60 { "one" } else { "two" });
        assert!(String::from_utf8_lossy(&one.delivery.text).starts_with(&format!("{{\"n\": {n},")));
    }
    assert_counted(&queue);

    // One is cancelled, and one lease is lost; two are still running.
    queue.cancel(&Filter::all().id("20".into())).expect("cancelled");
    queue
        .0
        .prefetch
        .release(&queue.0, &["a".to_owned()].into(), vec![leased[29].delivery.lease.clone()])
        .expect("back");
    let (mut finished, mut running) = (Vec::new(), Vec::new());
    for one in leased {
        let is_running = ["50", "80"].contains(&one.delivery.lease.id.as_str());
        if is_running { running.push(one) } else { finished.push(one) }
    }
    // In the order in which lanes finish them.
    finished.reverse();
    for (one, committed) in finished.iter().zip(commit_together(&queue, &finished)) {
        let id = one.delivery.lease.id.as_str();
        assert_eq!(committed, !["20", "31"].contains(&id), "{id}");
    }
    let list = queue.list(&Filter::all()).expect("a list");
    let left = |state| {
        let of_state = list.iter().filter(|message| message.state == state);
        of_state.map(|message| message.id.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(left(MessageState::Buried), ["20"]);
    assert_eq!(left(MessageState::Reserved), ["80", "50"]);
    assert_eq!(left(MessageState::Ready), ["100", "99", "98", "97", "96", "95", "94", "93", "92", "31"]);
    assert_eq!(one::<i64>(&queue, "SELECT count(*) FROM attempt WHERE message = 1"), 0, "its runs are forgotten");
    assert_eq!(one::<i64>(&queue, "SELECT sum(done_now) FROM kind"), 86);
    assert_counted(&queue);
    assert_eq!(commit_together(&queue, &finished[..10]), [false; 10], "none is done twice");
}

#[test]
fn many_that_fall_due_at_once_take_many_short_transactions() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = at_nine();
    let queue = open(folder.path(), &clock);
    for _ in 0..5 {
        let mut message = new("a", "job");
        message.delay = Some(clock.now() + TimeDelta::seconds(1));
        queue.enqueue(vec![message; 1000]).expect("published");
    }
    clock.advance(Duration::from_secs(2));
    assert_eq!(queue.stats().expect("counted").counts[0].ready, 5000, "they are seen as ready");
    // One check, for another queue, moves five hundred, and reports that another check should follow at once.
    let looks = std::iter::from_fn(|| {
        let Found::Nothing(nothing) = fetch(&queue, "elsewhere", false) else { panic!("there is nothing elsewhere") };
        nothing.next.filter(|next| *next <= clock.now())
    });
    assert_eq!(looks.count(), 9);
    assert_eq!(one::<i64>(&queue, "SELECT count(*) FROM message WHERE state = 0"), 5000);
    assert_counted(&queue);
    // Waiting consumers get them in order.
    let mut seat = queue.consumer(&["a".to_owned()]).expect("a seat");
    assert_eq!(seat.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("a look").expect("a message").lease.id, "1");
}

#[test]
fn many_that_are_kicked_or_deleted_take_many_short_transactions() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = at_nine();
    let queue = open(folder.path(), &clock);
    queue.enqueue(vec![new("a", "job"); 3500]).expect("published");
    let statement = "UPDATE message SET state = 3; UPDATE kind SET ready = 0, buried = 3500";
    queue.0.writer.write(Durability::Lazy, |connection| connection.execute_batch(statement)).expect("written");
    let commits = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    queue.0.count_commits(&commits);
    let took = |run: &dyn Fn() -> u64| {
        commits.store(0, Ordering::SeqCst);
        (run(), commits.load(Ordering::SeqCst))
    };
    assert_eq!(took(&|| queue.kick(&Filter::all().limit(1200)).expect("kicked")), (1200, 2));
    // The newest messages.
    assert_eq!(one::<i64>(&queue, "SELECT min(id) FROM message WHERE state = 0"), 2301);
    assert_eq!(took(&|| queue.kick(&Filter::all()).expect("kicked")), (2300, 3));
    assert_counted(&queue);
    assert_eq!(took(&|| queue.delete(&Filter::all()).expect("deleted")), (3500, 4));
    assert_counted(&queue);
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
    let mut seat = queue.consumer(&["a".to_owned()]).expect("a seat");
    for _ in 0..3 {
        let lease = seat.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("a look").expect("a message").lease;
        seat.settle(&lease, &mut Settlement::rollback(Duration::ZERO, "again", true)).expect("put back");
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
