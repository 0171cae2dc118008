//! Everything that a queue can do: it is counted, and no statement walks over messages that it does not want.

use std::collections::BTreeSet;
use std::sync::Mutex;

use super::*;

/// The statements that were executed.
static EXECUTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn note(event: TraceEvent<'_>) {
    if let TraceEvent::Stmt(statement, _) = event {
        lock(&EXECUTED).insert(statement.sql().into_owned());
    }
}

/// Uses everything that a queue can do, with messages of all kinds.
fn use_everything(queue: &FileQueue, clock: &ManualClock) {
    let queues = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
    let mut consumer = queue.consumer(&queues).expect("a consumer");
    let take = |consumer: &mut Box<dyn Consumer>, pick: &DequeueFilter| {
        consumer.dequeue(pick, Duration::ZERO).expect("dequeue").expect("a message").lease
    };
    let all = DequeueFilter::all();
    let lease = take(&mut consumer, &all);
    consumer.touch(std::slice::from_ref(&lease)).expect("touched");
    consumer.settle(&lease, &mut Settlement::commit()).expect("done");
    let lease = take(&mut consumer, &DequeueFilter::all().except_type("type 1").except_queue("b"));
    consumer.settle(&lease, &mut Settlement::deferrable_commit()).expect("put off");
    consumer.flush().expect("done");
    let lease = take(&mut consumer, &DequeueFilter::all().request_type("type 3"));
    consumer.settle(&lease, &mut Settlement::commit_with(vec![new("new", "new")])).expect("done");
    let lease = take(&mut consumer, &all);
    consumer.settle(&lease, &mut Settlement::rollback(Duration::ZERO, "later", true)).expect("put back");
    let lease = take(&mut consumer, &all);
    consumer.settle(&lease, &mut Settlement::leave_to_others(Duration::from_secs(60), "unknown")).expect("put back");
    let lease = take(&mut consumer, &all);
    consumer.settle(&lease, &mut Settlement::bury("failed", true)).expect("buried");
    let lease = take(&mut consumer, &all);
    consumer.settle(&lease, &mut Settlement::Expire).expect("expired");
    // Given back, ended by time, and ended with its process.
    let lost = take(&mut consumer, &all);
    let short = Duration::from_secs(3600);
    queue.0.prefetch.release(&queue.0, &queues.clone().into(), vec![lost]).expect("given back");
    take(&mut consumer, &all);
    clock.advance(short);
    clock.jump(TimeDelta::days(-1));
    take(&mut consumer, &all);
    clock.jump(TimeDelta::days(1));
    take(&mut consumer, &all);
    clock.advance(short);
    take(&mut consumer, &all);
    let folder = queue.base_path().expect("a folder").join("workers");
    std::fs::write(folder.join("00000000000000ff"), "").expect("written");
    queue.0.end_leases_of_the_dead();
    queue.pause("b", short).expect("paused");
    take(&mut consumer, &all);
    queue.pause("b", Duration::ZERO).expect("resumed");
    let empty =
        queue.consumer(&["nothing".to_owned()]).expect("a consumer").dequeue(&all, Duration::ZERO).expect("dequeue");
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
    let lease = take(&mut consumer, &all);
    consumer.settle(&lease, &mut Settlement::commit_result("7")).expect("done");
    let lease = take(&mut consumer, &all);
    consumer.settle(&lease, &mut Settlement::rollback(short, "again", true)).expect("put back");
    assert_eq!(
        queue.edit(&lease.id, &Edit::default().delay(Duration::ZERO).queue("e")).expect("edited"),
        Edited::Changed
    );
    queue.peek(&lease.id).expect("the queue answers").expect("there");
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
