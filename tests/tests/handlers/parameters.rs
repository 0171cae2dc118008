//! `&Context` and `State<T>`, in any order and number.

use pulpo::queue::DequeueFilter;
use std::time::Duration;

use pulpo::queue::MessageState;
use pulpo::{Context, Message, State};
use pulpo_tests::wait::until;
use serde::{Deserialize, Serialize};

use crate::board::Board;
use crate::stage::{SECOND, on_each};

/// An alias: parameters are found by trait, not by name.
use pulpo::State as Shared;
type TheRun<'run> = &'run Context;

#[derive(Serialize, Deserialize)]
struct Tell {
    fail: bool,
}

#[pulpo::handler("tell", max_attempts = 7, backoff = "10s", timeout = "30s")]
fn tell(tell: Tell, board: Shared<Board>, context: TheRun<'_>, same: State<Board>) -> pulpo::Outcome {
    let (id, header) = (context.id(), context.header());
    board.write(format!("message {id} of {}", header.get("shop").and_then(|shop| shop.as_str()).unwrap_or("nobody")));
    same.write(format!("attempt {} of {}", context.attempt(), context.max_attempts()));
    same.write(format!("{:?} left", context.deadline().unwrap_or_default()));
    board.wait("tell");
    board.write(format!("then {:?}", context.deadline().unwrap_or_default()));
    if tell.fail { Err("no luck".into()) } else { Ok(()) }
}

#[derive(Serialize, Deserialize)]
struct Stubborn;

/// Ends only when it is told that its time is over.
#[pulpo::handler("stubborn", timeout = "1h", backoff = "10s")]
fn stubborn(_: Stubborn, context: &pulpo::Context, board: State<Board>) {
    assert!(!context.is_cancelled());
    board.write("stubborn runs");
    let begin = std::time::Instant::now();
    while !context.is_cancelled() {
        assert!(begin.elapsed() < Duration::from_secs(100), "never cancelled");
        std::thread::yield_now();
    }
    board.write("stubborn ends");
}

#[test]
fn the_context_describes_the_run() {
    on_each(|stage| {
        let id = stage.publish(Message::new(Tell { fail: true }).header("shop", "A"));
        let working = stage.work();
        stage.once_told("30s left");
        stage.clock.advance(10 * SECOND);
        stage.board.open("tell");
        stage.once(&id, MessageState::Delayed);
        assert_eq!(stage.board.lines(), [&*format!("message {id} of A"), "attempt 1 of 7", "30s left", "then 20s"]);
        stage.clock.advance(10 * SECOND);
        stage.once_told("attempt 2 of 7");
        working.stop();
    });
}

#[test]
fn a_timeout_cancels() {
    on_each(|stage| {
        let id = stage.publish(Stubborn);
        let working = stage.work();
        stage.once_told("stubborn runs");
        stage.clock.advance(3600 * SECOND);
        stage.once_told("stubborn ends");
        stage.once(&id, MessageState::Delayed);
        // The next run is not cancelled from the start.
        let second = || stage.board.lines().iter().filter(|line| *line == "stubborn runs").count() == 2;
        stage.clock.advance(20 * SECOND);
        until("it runs again", second);
        working.stopper.stop_at_once();
        working.thread.join().expect("no panic");
    });
}

#[test]
fn a_lost_lease_cancels() {
    on_each(|stage| {
        let id = stage.publish(Stubborn);
        let working = stage.work();
        stage.once_told("stubborn runs");
        // The lease ends before the worker can renew it, and another worker takes the message.
        let mut other = stage.queue.consumer(&["pulpo".to_owned()]).expect("a consumer");
        until("another worker has it", || {
            stage.clock.advance(61 * SECOND);
            other
                .dequeue(&DequeueFilter::all(), Duration::ZERO)
                .expect("the queue answers")
                .is_some_and(|delivery| delivery.lease.id == id)
        });
        stage.clock.advance(21 * SECOND);
        stage.once_told("stubborn ends");
        let summary = working.stop();
        assert_eq!((summary.done, summary.lost_leases), (0, 1));
        assert!(stage.peek(&id).is_some());
    });
}

#[test]
fn the_end_of_the_grace_cancels() {
    on_each(|stage| {
        let id = stage.publish(Stubborn);
        let working = stage.work();
        stage.once_told("stubborn runs");
        working.stopper.stop_at_once();
        assert_eq!(working.thread.join().expect("no panic").released, 1);
        stage.once_told("stubborn ends");
        assert_eq!(stage.once(&id, MessageState::Ready).attempts, 0);
    });
}
