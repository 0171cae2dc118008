//! Each row of the table of a message's life, through the worker and the real adapter, on disk and
//! in memory. Only these tests move the clock.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use pulpo::clock::{Clock as _, ManualClock};
use pulpo::queue::file::FileQueue;
use pulpo::queue::{
    DequeueFilter, Filter, MessageState, NewMessage, QueueAdapter, QueueError, Settlement, StoredMessage,
};
use pulpo::worker::{Stopper, Summary, WorkerOptions};
use pulpo::{Message, MessageId, Pulpo};
use pulpo_tests::touch;
use pulpo_tests::wait::until;

use crate::jobs::{Act, Hurry, Mail, What, free, runs};

const SECOND: Duration = Duration::from_secs(1);

/// A queue, and a clock that stands still.
struct Stage {
    clock: ManualClock,
    queue: Arc<dyn QueueAdapter>,
    pulpo: Pulpo,
    name: &'static str,
    folder: Option<tempfile::TempDir>,
}

/// A worker on its thread.
struct Working {
    stopper: Stopper,
    thread: JoinHandle<Summary>,
}

impl Working {
    fn stop(self) -> Summary {
        self.stopper.stop();
        self.thread.join().expect("the worker does not panic")
    }
}

fn options() -> WorkerOptions {
    let mut options = WorkerOptions::default();
    options.concurrency = 2;
    options.handle_signals = false;
    options
}

/// Runs a test on disk and in memory.
fn on_each(options: WorkerOptions, test: impl Fn(Stage)) {
    for name in ["disk", "memory"] {
        let clock = ManualClock::at("2026-11-23T09:00:00Z".parse().expect("a time"));
        let folder = (name == "disk").then(|| tempfile::tempdir().expect("a folder"));
        let queue = match &folder {
            Some(folder) => FileQueue::open(folder.path(), true, Arc::new(clock.clone())),
            None => FileQueue::memory(true, Arc::new(clock.clone())),
        };
        let queue: Arc<dyn QueueAdapter> = Arc::new(queue.expect("a queue"));
        let pulpo = Pulpo::with_queue(queue.clone(), options.clone(), Arc::new(clock.clone()));
        test(Stage { clock, queue, pulpo, name, folder });
    }
}

impl Stage {
    /// Returns a key that is unique to this test.
    fn key(&self, of: &str) -> String {
        format!("{of} {}", self.name)
    }

    fn work(&self) -> Working {
        let worker = self.pulpo.worker().expect("handlers");
        let stopper = worker.stopper();
        Working { stopper, thread: std::thread::spawn(move || worker.run().expect("a run")) }
    }

    fn publish(&self, key: &str, what: What) -> MessageId {
        self.pulpo.publish(Act::new(key, what)).expect("published").id().expect("an id").clone()
    }

    fn raw(&self, request_type: &str, text: &str) -> MessageId {
        let message = NewMessage::new("pulpo", request_type, text);
        self.queue.enqueue(vec![message]).expect("published").remove(0).id
    }

    fn peek(&self, id: &MessageId) -> Option<StoredMessage> {
        self.queue.peek(id).expect("the queue answers").filter(|message| message.state != MessageState::Done)
    }

    /// Returns the message once it is in this state.
    fn once(&self, id: &MessageId, state: MessageState) -> StoredMessage {
        let mut found = None;
        until(&format!("message {id} is {state}"), || {
            found = self.peek(id);
            found.as_ref().is_some_and(|message| message.state == state)
        });
        found.expect("found")
    }

    fn once_gone(&self, id: &MessageId) {
        until(&format!("message {id} is gone"), || self.peek(id).is_none());
    }

    /// Returns the remaining delay of a delayed message.
    fn due_in(&self, message: &StoredMessage) -> Duration {
        (message.until.expect("a time") - self.clock.now()).to_std().expect("in the future")
    }

    /// Returns the archive's entry of a message.
    fn archived(&self, id: &MessageId) -> Option<String> {
        let file = self.folder.as_ref()?.path().join("queue.db");
        let archive = rusqlite::Connection::open(file).expect("opened");
        archive.query_row("SELECT outcome FROM archive WHERE id = ?1", [id.as_str()], |row| row.get(0)).ok()
    }
}

fn reason(message: &StoredMessage) -> &str {
    message.last_error.as_deref().expect("a reason")
}

#[test]
fn done_is_deleted_and_archived() {
    on_each(options(), |stage| {
        let key = stage.key("done");
        let id = stage.publish(&key, What::Succeed);
        let working = stage.work();
        stage.once_gone(&id);
        let summary = working.stop();
        assert_eq!((runs(&key), summary.done), (1, 1));
        assert_eq!(stage.archived(&id).as_deref(), stage.folder.as_ref().map(|_| "done"));
    });
}

#[test]
fn a_transient_failure_comes_back_until_the_attempts_are_used_up() {
    on_each(options(), |stage| {
        let key = stage.key("fail");
        let id = stage.publish(&key, What::Fail);
        let working = stage.work();
        let first = stage.once(&id, MessageState::Delayed);
        assert_eq!((first.attempts, reason(&first)), (1, "no luck"));
        let wait = stage.due_in(&first);
        assert!((10.0..=15.0).contains(&wait.as_secs_f64()), "{wait:?}");

        stage.clock.advance(wait);
        until("it ran again", || runs(&key) == 2);
        let second = stage.once(&id, MessageState::Delayed);
        assert_eq!(second.attempts, 2);
        let wait = stage.due_in(&second);
        assert!((20.0..=30.0).contains(&wait.as_secs_f64()), "{wait:?}");

        stage.clock.advance(wait);
        let buried = stage.once(&id, MessageState::Buried);
        assert_eq!((buried.attempts, reason(&buried)), (3, "no luck (attempt 3 of 3)"));
        assert_eq!(buried.last_error_at, Some(stage.clock.now()));
        let summary = working.stop();
        assert_eq!((summary.retried, summary.buried, runs(&key)), (2, 1, 3));
    });
}

#[test]
fn a_failure_that_mends_itself_is_done() {
    on_each(options(), |stage| {
        let key = stage.key("fail once");
        let id = stage.publish(&key, What::FailOnce);
        let working = stage.work();
        let delayed = stage.once(&id, MessageState::Delayed);
        stage.clock.advance(stage.due_in(&delayed));
        stage.once_gone(&id);
        assert_eq!(runs(&key), 2);
        working.stop();
    });
}

#[test]
fn a_panic_is_a_transient_failure() {
    on_each(options(), |stage| {
        let id = stage.publish(&stage.key("panic"), What::Panic);
        let working = stage.work();
        let delayed = stage.once(&id, MessageState::Delayed);
        assert_eq!((delayed.attempts, reason(&delayed)), (1, "panicked: out of cheese"));
        // The lane continues.
        let after = |n| stage.publish(&stage.key(&format!("after panic {n}")), What::Succeed);
        let ids: Vec<_> = (0..5).map(after).collect();
        ids.iter().for_each(|id| stage.once_gone(id));
        working.stop();
    });
}

#[test]
fn a_timeout_is_a_transient_failure_and_does_not_shrink_the_worker() {
    let mut options = options();
    options.concurrency = 1;
    on_each(options, |stage| {
        let key = stage.key("timeout");
        let sent = stage.pulpo.publish(Hurry(Act::new(&key, What::Block))).expect("published");
        let id = sent.id().expect("an id");
        let working = stage.work();
        until("it runs", || runs(&key) == 1);
        stage.clock.advance(30 * SECOND);
        let delayed = stage.once(id, MessageState::Delayed);
        assert_eq!((delayed.attempts, reason(&delayed)), (1, "timed out after 30s"));
        // The only lane is stuck in that handler; another lane replaces it.
        let next = stage.publish(&stage.key("after timeout"), What::Succeed);
        stage.once_gone(&next);
        // The final outcome of the stuck run does not count.
        free(&key);
        let summary = working.stop();
        assert_eq!((summary.done, summary.retried), (1, 1));
        assert_eq!(stage.once(id, MessageState::Delayed).attempts, 1);
    });
}

#[test]
fn a_run_that_fails_after_a_stop_was_requested_is_released_uncounted() {
    on_each(options(), |stage| {
        let [failing, panicking] = ["fails late", "panics late"].map(|key| stage.key(key));
        let ids = [stage.publish(&failing, What::BlockThenFail), stage.publish(&panicking, What::BlockThenPanic)];
        let working = stage.work();
        until("both run", || runs(&failing) == 1 && runs(&panicking) == 1);
        working.stopper.stop();
        free(&failing);
        free(&panicking);
        let summary = working.stop();
        assert_eq!((summary.retried, summary.released, summary.buried), (0, 2, 0));
        for (id, why) in ids.iter().zip(["no luck", "panicked: out of cheese"]) {
            let message = stage.once(id, MessageState::Ready);
            let expected = format!("{why} (while its worker was shutting down: not counted)");
            assert_eq!((message.attempts, reason(&message)), (0, &*expected));
        }
    });
}

#[test]
fn retry_after_says_when() {
    on_each(options(), |stage| {
        let id = stage.publish(&stage.key("retry after"), What::RetryAfter(7200));
        let working = stage.work();
        let delayed = stage.once(&id, MessageState::Delayed);
        assert_eq!((delayed.attempts, reason(&delayed)), (1, "busy"));
        assert_eq!(stage.due_in(&delayed), 7200 * SECOND);
        working.stop();
    });
}

#[test]
fn a_fatal_error_buries_at_once_and_a_kick_starts_afresh() {
    on_each(options(), |stage| {
        let key = stage.key("fatal");
        let id = stage.publish(&key, What::Fatal);
        let working = stage.work();
        let buried = stage.once(&id, MessageState::Buried);
        assert_eq!((buried.attempts, reason(&buried)), (1, "no such account"));
        assert_eq!(stage.queue.kick(&Filter::all().id(id.clone())).expect("kicked"), 1);
        until("it ran again", || runs(&key) == 2);
        assert_eq!(stage.once(&id, MessageState::Buried).attempts, 1);
        working.stop();
    });
}

#[test]
fn an_unreadable_message_is_buried_with_the_reason() {
    on_each(options(), |stage| {
        let working = stage.work();
        for (text, expected) in [
            ("{ not JSON", "expected a message in JSON, got text that is not: key must be a string at line 1 column 3"),
            (r#"{"body":{}}"#, "expected the name of a job in header.request_type, got none"),
            (
                r#"{"header":{"request_type":"act"},"body":{"key":"x","what":{"RetryAfter":"soon"}}}"#,
                "body.what.RetryAfter: invalid type: string \"soon\", expected u64 at line 1 column 38",
            ),
            (r#"{"header":{"request_type":"act"}}"#, "body: missing field `key` at line 1 column 2"),
        ] {
            let buried = stage.once(&stage.raw("act", text), MessageState::Buried);
            assert_eq!((buried.attempts, reason(&buried)), (0, expected));
            assert_eq!(buried.text, text.as_bytes(), "kept as it came");
        }
        assert_eq!(working.stop().buried, 4);
    });
}

#[test]
fn an_unknown_type_waits_ten_minutes_for_a_worker_that_knows_it() {
    on_each(options(), |stage| {
        let working = stage.work();
        let id = stage.raw("resize", r#"{"header":{"request_type":"resize"},"body":{}}"#);
        let settled = |message: &StoredMessage| matches!(message.state, MessageState::Delayed | MessageState::Buried);
        let began = stage.clock.now();
        let mut looks = 0;
        let buried = loop {
            until("it was looked at", || stage.peek(&id).as_ref().is_some_and(settled));
            let message = stage.peek(&id).expect("kept");
            if message.state == MessageState::Buried {
                break message;
            }
            let expected = "no handler for the request type `resize` in this worker";
            assert_eq!((message.attempts, reason(&message)), (0, expected));
            looks += 1;
            stage.clock.advance(stage.due_in(&message));
        };
        assert_eq!(stage.clock.now() - began, chrono::TimeDelta::minutes(10));
        assert!((10..30).contains(&looks), "{looks}");
        let expected = "no handler for the request type `resize`; this worker knows: act, hurry, invoice, mail, rush";
        assert_eq!(reason(&buried), expected);
        working.stop();
    });
}

#[test]
fn an_expired_message_is_deleted_unprocessed() {
    on_each(options(), |stage| {
        let key = stage.key("expired");
        let message = Message::new(Act::new(&key, What::Succeed)).expiration(60 * SECOND);
        let sent = stage.pulpo.publish(message).expect("published");
        stage.clock.advance(61 * SECOND);
        let working = stage.work();
        let id = sent.id().expect("an id");
        stage.once_gone(id);
        let summary = working.stop();
        assert_eq!((summary.expired, summary.done, runs(&key)), (1, 0, 0));
        assert_eq!(stage.archived(id).as_deref(), stage.folder.as_ref().map(|_| "expired"));
    });
}

#[test]
fn a_message_of_a_dead_worker_runs_again_and_its_late_result_does_not_count() {
    on_each(options(), |stage| {
        let key = stage.key("dead worker");
        let id = stage.publish(&key, What::Block);
        let mut dead = stage.queue.consumer(&["pulpo".to_owned()]).expect("a consumer");
        let delivery = dead.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("the message");
        assert_eq!(delivery.lease.id, id);

        let working = stage.work();
        stage.clock.advance(59 * SECOND);
        assert_eq!((stage.once(&id, MessageState::Reserved).attempts, runs(&key)), (0, 0));
        stage.clock.advance(2 * SECOND);
        // A look that was in progress when the clock moved treats the jump as a time when no worker
        // could renew, and spares the lease for two heartbeats.
        let spared = std::cell::Cell::new(200);
        until("it runs elsewhere", || {
            let has_run = runs(&key) == 1;
            if !has_run && spared.get() > 0 {
                spared.set(spared.get() - 1);
                stage.clock.advance(SECOND);
            }
            has_run
        });
        let taken = stage.once(&id, MessageState::Reserved);
        assert_eq!((taken.attempts, reason(&taken)), (1, "its worker died, or was silent for longer than its ttr"));

        for late in [
            dead.settle(&delivery.lease, &mut Settlement::commit()),
            dead.settle(&delivery.lease, &mut Settlement::rollback(Duration::ZERO, "late", true)),
            dead.settle(&delivery.lease, &mut Settlement::bury("late", true)),
            touch(&mut *dead, &delivery.lease),
            dead.settle(&delivery.lease, &mut Settlement::Expire),
        ] {
            assert!(matches!(late, Err(QueueError::LeaseLost { .. })), "{late:?}");
        }
        let still = stage.once(&id, MessageState::Reserved);
        assert_eq!((still.attempts, still.until), (taken.attempts, taken.until));
        free(&key);
        stage.once_gone(&id);
        working.stop();
    });
}

#[test]
fn a_job_that_kills_its_workers_is_buried() {
    on_each(options(), |stage| {
        let key = stage.key("poison");
        let id = stage.publish(&key, What::Succeed);
        for _ in 0..3 {
            let mut dying = stage.queue.consumer(&["pulpo".to_owned()]).expect("a consumer");
            dying.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("the message");
            stage.clock.advance(61 * SECOND);
        }
        let working = stage.work();
        let buried = stage.once(&id, MessageState::Buried);
        assert_eq!(reason(&buried), "its worker died 3 times (or fell silent for longer than its ttr)");
        assert_eq!((buried.attempts, runs(&key)), (3, 0));
        working.stop();
    });
}

#[test]
fn a_long_job_keeps_its_lease_while_its_worker_lives() {
    on_each(options(), |stage| {
        let key = stage.key("long");
        let id = stage.publish(&key, What::Block);
        let working = stage.work();
        until("it runs", || runs(&key) == 1);
        for _ in 0..30 {
            let ends = stage.once(&id, MessageState::Reserved).until;
            stage.clock.advance(21 * SECOND);
            until("the lease is renewed", || stage.once(&id, MessageState::Reserved).until != ends);
        }
        free(&key);
        stage.once_gone(&id);
        assert_eq!((runs(&key), working.stop().done), (1, 1));
    });
}

#[test]
fn a_stop_waits_for_running_jobs() {
    on_each(options(), |stage| {
        let key = stage.key("stop");
        let id = stage.publish(&key, What::Block);
        let working = stage.work();
        until("it runs", || runs(&key) == 1);
        working.stopper.stop();
        stage.clock.advance(20 * SECOND);
        // No new job is taken until then.
        let next = stage.publish(&stage.key("after stop"), What::Succeed);
        free(&key);
        assert_eq!(working.thread.join().expect("no panic").done, 1);
        assert!(stage.peek(&id).is_none());
        let next = stage.peek(&next).expect("kept");
        assert_eq!((next.state, next.attempts, runs(&stage.key("after stop"))), (MessageState::Ready, 0, 0));
    });
}

#[test]
fn a_run_that_does_not_end_within_the_grace_goes_back_uncounted() {
    on_each(options(), |stage| {
        let key = stage.key("grace");
        let id = stage.publish(&key, What::Block);
        let working = stage.work();
        until("it runs", || runs(&key) == 1);
        working.stopper.stop();
        until("the grace is over", || {
            stage.clock.advance(SECOND);
            working.thread.is_finished()
        });
        let summary = working.thread.join().expect("no panic");
        assert_eq!((summary.done, summary.released), (0, 1));
        let back = stage.peek(&id).expect("kept");
        assert_eq!((back.state, back.attempts, reason(&back)), (MessageState::Ready, 0, "its worker was shut down"));
        free(&key);
    });
}

#[test]
fn a_second_stop_does_not_wait() {
    on_each(options(), |stage| {
        let key = stage.key("second stop");
        let id = stage.publish(&key, What::Block);
        let working = stage.work();
        until("it runs", || runs(&key) == 1);
        working.stopper.stop();
        working.stopper.stop_at_once();
        assert_eq!(working.thread.join().expect("no panic").released, 1);
        assert_eq!(stage.peek(&id).expect("kept").state, MessageState::Ready);
        free(&key);
    });
}

#[test]
fn a_delayed_message_takes_its_place_when_it_is_due() {
    on_each(options(), |stage| {
        let key = stage.key("delayed");
        let message = Message::new(Act::new(&key, What::Succeed)).delay(3600 * SECOND);
        let id = stage.pulpo.publish(message).expect("published").id().expect("an id").clone();
        let working = stage.work();
        stage.clock.advance(3599 * SECOND);
        let early = stage.publish(&stage.key("before delayed"), What::Succeed);
        stage.once_gone(&early);
        assert_eq!((stage.once(&id, MessageState::Delayed).attempts, runs(&key)), (0, 0));
        stage.clock.advance(SECOND);
        stage.once_gone(&id);
        assert_eq!(runs(&key), 1);
        working.stop();
    });
}

#[test]
fn a_delay_that_only_the_message_knows_is_kept() {
    on_each(options(), |stage| {
        let key = stage.key("raw delay");
        let id = stage.raw(
            "act",
            &format!(
                r#"{{"header":{{"request_type":"act","delay":"2026-11-23T12:00:00+02:00"}},
                     "body":{{"key":"{key}","what":"Succeed"}}}}"#
            ),
        );
        let working = stage.work();
        let delayed = stage.once(&id, MessageState::Delayed);
        assert_eq!((delayed.attempts, stage.due_in(&delayed)), (0, 3600 * SECOND));
        stage.clock.advance(3600 * SECOND);
        stage.once_gone(&id);
        assert_eq!(runs(&key), 1);
        working.stop();
    });
}

#[test]
fn an_alias_serves_messages_of_the_former_name() {
    on_each(options(), |stage| {
        let key = stage.key("alias");
        let text = format!(r#"{{"header":{{"request_type":"rush"}},"body":{{"key":"{key}","what":"Succeed"}}}}"#);
        let id = stage.raw("rush", &text);
        let working = stage.work();
        stage.once_gone(&id);
        assert_eq!(runs(&key), 1);
        working.stop();
    });
}

#[test]
fn a_worker_works_the_queues_of_its_handlers_and_the_default() {
    on_each(options(), |stage| {
        let key = stage.key("mail");
        let sent = stage.pulpo.publish(Mail(key.clone())).expect("published");
        let stored = stage.peek(sent.id().expect("an id")).expect("kept");
        assert_eq!((stored.queue.as_str(), stored.priority.get()), ("mail", 5));
        assert_eq!(stage.pulpo.worker().expect("handlers").queues(), ["invoices", "mail", "pulpo"]);
        let working = stage.work();
        stage.once_gone(sent.id().expect("an id"));
        assert_eq!(runs(&key), 1);
        working.stop();
    });
}

#[test]
fn messages_come_by_priority_then_by_age() {
    on_each(options(), |stage| {
        let mut wanted = Vec::new();
        for (n, priority) in [7, 3, 7, 0, 3].into_iter().enumerate() {
            let message = Message::new(Act::new(&stage.key("order"), What::Succeed)).priority(priority);
            wanted.push((priority, n, stage.pulpo.publish(message).expect("published").id().expect("an id").clone()));
        }
        wanted.sort();
        let mut consumer = stage.queue.consumer(&["pulpo".to_owned()]).expect("a consumer");
        for (_, _, id) in &wanted {
            let delivery =
                consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("a message");
            assert_eq!(&delivery.lease.id, id);
            consumer.settle(&delivery.lease, &mut Settlement::commit()).expect("ours");
        }
        assert!(consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").is_none());
    });
}

#[test]
fn an_idle_worker_ends_after_the_empty_iterations_it_was_given() {
    let mut options = options();
    options.shutdown_after_number_of_empty_iterations = 3;
    on_each(options, |stage| {
        let working = stage.work();
        let began = stage.clock.now();
        let id = stage.publish(&stage.key("idle"), What::Succeed);
        stage.once_gone(&id);
        until("it has ended", || {
            stage.clock.advance(SECOND / 10);
            working.thread.is_finished()
        });
        let idle = stage.clock.now() - began;
        assert!(idle >= chrono::TimeDelta::seconds(15), "{idle}");
        assert_eq!(working.thread.join().expect("no panic").done, 1);
    });
}
