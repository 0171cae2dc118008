//! Batch handlers: several messages at once, each settled separately.

use std::cell::Cell;
use std::time::{Duration, Instant};

use pulpo::queue::{MessageState, NewMessage};
use pulpo::{Context, Message, MessageId, Outcome, State};
use pulpo_tests::wait::until;
use serde::{Deserialize, Serialize};

use crate::board::Board;
use crate::stage::{SECOND, Stage, on, on_each, reason};

#[derive(Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) text: String,
}

/// Reports the lines that it got. Each line states its own outcome, and `all …` that of all.
#[pulpo::handler("line", batch = 3, linger = "2s", max_attempts = 2, backoff = "10s", timeout = "1h")]
fn ingest(lines: Vec<Line>, context: &Context, board: State<Board>) -> Result<Vec<Outcome>, std::io::Error> {
    let texts: Vec<_> = lines.iter().map(|line| &*line.text).collect();
    board.write(format!("got {}", texts.join(" ")));
    if texts.contains(&"all wait") {
        board.wait("lines");
    }
    if texts.contains(&"all fail") {
        return Err(std::io::Error::other("no luck"));
    }
    assert!(!texts.contains(&"all panic"), "out of cheese");
    if texts.contains(&"all follow") {
        context.publish(Told { text: format!("{} lines", lines.len()) }).map_err(std::io::Error::other)?;
    }
    let forgotten = usize::from(texts.contains(&"all forget"));
    let each = texts.iter().skip(forgotten).map(|text| match *text {
        "fail" => Err("no luck".into()),
        "fatal" => Err(pulpo::fatal("no good")),
        _ => Ok(()),
    });
    Ok(each.collect())
}

#[derive(Serialize, Deserialize)]
struct Told {
    text: String,
}

#[pulpo::handler("told", batch = 100)]
async fn told(all: Vec<Told>, board: State<Board>) {
    tokio::task::yield_now().await;
    board.write(format!("told {} first of {}", all[0].text, all.len()));
}

#[derive(Serialize, Deserialize)]
struct Many;

/// Waits with as many as there are.
#[pulpo::handler("many", batch = 500, linger = "1h", timeout = "1h")]
fn many(all: Vec<Many>, board: State<Board>) {
    board.write(format!("many: {}", all.len()));
    board.wait("many");
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Between;

#[pulpo::handler("between")]
fn between(_: Between, board: State<Board>) {
    board.write("between");
}

impl Stage {
    pub(crate) fn lines<const N: usize>(&self, texts: [&str; N]) -> [MessageId; N] {
        texts.map(|text| self.publish(Line { text: text.into() }))
    }

    fn settled(&self, ids: &[MessageId]) {
        until("all are settled", || {
            ids.iter().all(|id| self.peek(id).is_none_or(|message| message.state != MessageState::Reserved))
        });
    }
}

#[test]
fn a_handler_says_how_it_takes_messages() {
    let registry = pulpo::Registry::collect().expect("sound handlers");
    let said = |name: &str| registry.get(name).map(|handler| (handler.batch(), handler.linger()));
    assert_eq!(said("line"), Some((Some(3), Some(2 * SECOND))));
    assert_eq!(said("told"), Some((Some(100), Some(Duration::ZERO))));
    assert_eq!(said("between"), Some((None, None)));
    let line = registry.get("line").expect("a handler");
    assert_eq!(line.states().collect::<Vec<_>>(), ["handlers::board::Board"]);
    assert_eq!(line.policy().timeout, Some(3600 * SECOND));
}

#[test]
fn a_full_batch_does_not_linger() {
    on_each(|stage| {
        let ids = stage.lines(["a", "b", "c"]);
        let working = stage.work();
        stage.once_told("got a b c");
        stage.settled(&ids);
        assert_eq!(working.stop().done, 3);
    });
}

#[test]
fn an_incomplete_batch_runs_when_the_linger_is_over() {
    on_each(|stage| {
        stage.lines(["a"]);
        let working = stage.work();
        until("it is taken", || stage.all("line").iter().all(|line| line.state == MessageState::Reserved));
        stage.clock.advance(SECOND);
        stage.lines(["b"]);
        until("it is taken", || stage.all("line").iter().all(|line| line.state == MessageState::Reserved));
        assert!(stage.board.lines().is_empty());
        // The linger began some time after the first message was taken.
        until("the linger is over", || {
            stage.clock.advance(SECOND / 10);
            stage.board.has("got a b")
        });
        assert_eq!(working.stop().done, 2);
    });
}

#[test]
fn each_has_its_own_outcome() {
    on_each(|stage| {
        let [good, transient, fatal] = stage.lines(["a", "fail", "fatal"]);
        let working = stage.work();
        let buried = stage.once(&fatal, MessageState::Buried);
        assert_eq!((buried.attempts, reason(&buried)), (1, "no good"));
        let delayed = stage.once(&transient, MessageState::Delayed);
        assert_eq!((delayed.attempts, reason(&delayed)), (1, "no luck"));
        // Its commit may be deferred.
        until("the good one is done", || stage.peek(&good).is_none());
        let summary = working.stop();
        assert_eq!((summary.done, summary.retried, summary.buried), (1, 1, 1));
    });
}

#[test]
fn a_failure_a_panic_or_a_wrong_number_is_of_all() {
    for (what, expected) in [
        ("all fail", "no luck"),
        ("all panic", "panicked: out of cheese"),
        ("all forget", "expected an outcome for each of 3 messages, got 2 from handlers::batches::ingest"),
    ] {
        on_each(|stage| {
            let ids = stage.lines(["a", what, "c"]);
            let working = stage.work();
            for id in &ids {
                let delayed = stage.once(id, MessageState::Delayed);
                assert_eq!((delayed.attempts, reason(&delayed)), (1, expected));
            }
            assert_eq!(working.stop().retried, 3);
        });
    }
}

#[test]
fn a_message_that_cannot_be_run_is_settled_alone() {
    on_each(|stage| {
        stage.lines(["a"]);
        let text = r#"{"header":{"request_type":"line"},"body":{"text":7}}"#;
        let unreadable =
            stage.queue.enqueue(vec![NewMessage::new("pulpo", "line", text)]).expect("published").remove(0).id;
        let late = stage.publish(Message::new(Line { text: "late".into() }).expiration(SECOND));
        stage.clock.advance(2 * SECOND);
        let working = stage.work();
        stage.once_told("got a");
        let buried = stage.once(&unreadable, MessageState::Buried);
        assert!(reason(&buried).starts_with("body.text: invalid type: integer"), "{}", reason(&buried));
        until("the late one is gone", || stage.peek(&late).is_none());
        let summary = working.stop();
        assert_eq!((summary.done, summary.buried, summary.expired), (1, 1, 1));
        assert_eq!(stage.board.lines(), ["got a"]);
    });
}

#[test]
fn the_leases_of_all_are_renewed() {
    on_each(|stage| {
        let ids = stage.lines(["a", "all wait", "c"]);
        let working = stage.work();
        stage.once_told("got a all wait c");
        for _ in 0..10 {
            let ends: Vec<_> = ids.iter().map(|id| stage.once(id, MessageState::Reserved).until).collect();
            stage.clock.advance(21 * SECOND);
            until("all leases are renewed", || {
                ids.iter().zip(&ends).all(|(id, end)| stage.once(id, MessageState::Reserved).until != *end)
            });
        }
        stage.board.open("lines");
        assert_eq!(working.stop().done, 3);
    });
}

/// A suspended machine, for instance, renews no lease.
#[test]
fn a_message_whose_lease_ends_while_its_batch_gathers_runs_once() {
    on_each(|stage| {
        let ids = stage.lines(["a"]);
        let working = stage.work();
        stage.once(&ids[0], MessageState::Reserved);
        stage.clock.advance(120 * SECOND);
        // The linger may have begun after that.
        until("it runs", || {
            stage.clock.advance(SECOND / 10);
            !stage.board.lines().is_empty()
        });
        stage.settled(&ids);
        assert_eq!(working.stop().done, 1);
        assert_eq!(stage.board.lines(), ["got a"]);
    });
}

#[test]
fn a_timeout_is_of_all() {
    on_each(|stage| {
        let ids = stage.lines(["a", "all wait", "c"]);
        let working = stage.work();
        stage.once_told("got a all wait c");
        stage.clock.advance(3600 * SECOND);
        for id in &ids {
            assert_eq!(reason(&stage.once(id, MessageState::Delayed)), "timed out after 1h");
        }
        // The lane has been replaced.
        stage.lines(["d", "e", "f"]);
        stage.once_told("got d e f");
        stage.board.open("lines");
        let summary = working.stop();
        assert_eq!((summary.done, summary.retried), (3, 3));
    });
}

#[test]
fn a_stop_gives_all_back() {
    on_each(|stage| {
        let ids = stage.lines(["a", "all wait", "c"]);
        let working = stage.work();
        stage.once_told("got a all wait c");
        working.stopper.stop_at_once();
        assert_eq!(working.thread.join().expect("no panic").released, 3);
        for id in &ids {
            assert_eq!(stage.once(id, MessageState::Ready).attempts, 0);
        }
        stage.board.open("lines");
    });
}

#[test]
fn a_stop_gives_a_large_batch_back_in_one_step_though_another_program_holds_the_database() {
    // A machine that is busy with other things may hold up a try, or keep the lock for longer.
    let is_given_back = |is_released: bool| {
        let is_well = Cell::new(false);
        on("disk", 1, &|stage: Stage| {
            stage.pulpo.publish_all((0..500).map(|_| Many)).expect("published");
            let working = stage.work();
            stage.once_told("many: 500");
            let file = stage.folder.as_ref().expect("on disk").path().join("queue.db");
            let other = rusqlite::Connection::open(file).expect("opened");
            other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
            let started = Instant::now();
            working.stopper.stop_at_once();
            if is_released {
                std::thread::park_timeout(Duration::from_millis(800));
                other.execute_batch("ROLLBACK").expect("released");
            }
            let held = started.elapsed();
            let summary = working.thread.join().expect("no panic");
            assert_eq!(summary.lost_leases, 0);
            is_well.set(held < 2 * SECOND && started.elapsed() < 6 * SECOND);
            if is_well.get() {
                assert_eq!(summary.released, if is_released { 500 } else { 0 });
            }
            stage.board.open("many");
        });
        is_well.get()
    };
    for is_released in [true, false] {
        assert!((0..5).any(|_| is_given_back(is_released)), "released: {is_released}");
    }
}

#[test]
fn a_stop_while_it_gathers_runs_nothing() {
    on_each(|stage| {
        let [id] = stage.lines(["a"]);
        let working = stage.work();
        stage.once(&id, MessageState::Reserved);
        assert_eq!(working.stop().released, 1);
        assert_eq!(stage.once(&id, MessageState::Ready).attempts, 0);
        assert!(stage.board.lines().is_empty());
    });
}

#[test]
fn follow_ups_go_out_once() {
    on_each(|stage| {
        stage.lines(["fatal", "all follow", "c"]);
        let working = stage.work();
        stage.once_told("told 3 lines first of 1");
        assert_eq!(working.stop().done, 3);
        assert_eq!(stage.board.lines(), ["got fatal all follow c", "told 3 lines first of 1"]);
    });
}

#[test]
fn a_queue_that_cannot_pick_ends_the_gathering_with_the_next_of_another_type() {
    on("plain", 1, &|stage| {
        stage.lines(["a", "b"]);
        stage.publish(Between);
        stage.lines(["c", "d", "e"]);
        let working = stage.work();
        stage.once_told("got c d e");
        assert_eq!(working.stop().done, 6);
        assert_eq!(stage.board.lines(), ["got a b", "between", "got c d e"]);
    });
}

#[test]
fn a_queue_that_can_pick_lets_others_wait() {
    on("disk", 1, &|stage| {
        stage.lines(["a", "b"]);
        stage.publish(Between);
        stage.lines(["c", "d", "e", "f"]);
        let working = stage.work();
        stage.once_told("got d e f");
        assert_eq!(working.stop().done, 7);
        assert_eq!(stage.board.lines(), ["got a b c", "between", "got d e f"]);
    });
}
