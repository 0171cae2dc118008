//! Follow-up jobs: published with the commit of their job, or not at all.

use std::time::Duration;

use pulpo::queue::{DequeueFilter, MessageState, NewMessage, QueueError, Settlement};
use pulpo::{Context, Message, State};
use pulpo_tests::wait::until;
use serde::{Deserialize, Serialize};

use crate::board::Board;
use crate::stage::{SECOND, on, on_each, reason};

#[derive(Serialize, Deserialize)]
pub(crate) struct First {
    text: String,
    fail: bool,
}

#[derive(Serialize, Deserialize)]
struct Next {
    text: String,
}

#[pulpo::handler("first", max_attempts = 2)]
fn first(first: First, context: &Context, board: State<Board>) -> pulpo::Outcome {
    let next = context.publish(Next { text: first.text.clone() })?;
    assert!(next.id().is_none() && next.request_type() == "next");
    let later = context.publish(Message::new(Next { text: "later".into() }).delay(3600 * SECOND).priority(3))?;
    assert!(later.headers().delay().is_some());
    board.write("published");
    board.wait("first");
    if first.fail { Err("no luck".into()) } else { Ok(()) }
}

#[pulpo::handler("next")]
fn next(next: Next, board: State<Board>) {
    board.write(format!("next {}", next.text));
}

pub(crate) fn first_of(text: &str, fail: bool) -> First {
    First { text: text.into(), fail }
}

#[test]
fn they_become_visible_when_the_job_is_done() {
    on_each(|stage| {
        let id = stage.publish(first_of("one", false));
        let working = stage.work();
        stage.once_told("published");
        assert!(stage.all("next").is_empty());
        stage.board.open("first");
        stage.once_told("next one");
        assert!(stage.peek(&id).is_none());
        until("the first one is done", || stage.all("next").len() == 1);
        let [later] = &*stage.all("next") else { panic!("one is delayed") };
        assert_eq!((later.state, later.priority.get()), (MessageState::Delayed, 3));
        working.stop();
    });
}

#[test]
fn those_of_a_run_that_failed_are_dropped() {
    on_each(|stage| {
        let id = stage.publish(first_of("one", true));
        stage.board.open("first");
        let working = stage.work();
        let delayed = stage.once(&id, MessageState::Delayed);
        assert_eq!(reason(&delayed), "no luck");
        stage.clock.advance(10 * SECOND);
        stage.once(&id, MessageState::Buried);
        working.stop();
        assert!(stage.all("next").is_empty());
    });
}

#[test]
fn a_follow_up_that_the_queue_refuses_fails_the_run() {
    on("plain", 1, &|stage| {
        let id = stage.publish(first_of("refuse", false));
        stage.board.open("first");
        let working = stage.work();
        let delayed = stage.once(&id, MessageState::Delayed);
        assert_eq!((delayed.attempts, reason(&delayed)), (1, "this queue cannot keep a message as large as that"));
        assert!(stage.all("next").is_empty());
        working.stop();
    });
}

#[test]
fn those_of_a_lost_lease_are_not_kept() {
    on_each(|stage| {
        stage.publish(first_of("one", false));
        let queues = ["pulpo".to_owned()];
        let mut late = stage.queue.consumer(&queues).expect("a consumer");
        let delivery = late.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("the message");
        stage.clock.advance(61 * SECOND);
        let mut other = stage.queue.consumer(&queues).expect("a consumer");
        other.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("the message");
        let mut commit = Settlement::commit_with(vec![NewMessage::new("pulpo", "next", "{}")]);
        let lost = late.settle(&delivery.lease, &mut commit);
        assert!(matches!(lost, Err(QueueError::LeaseLost { .. })), "{lost:?}");
        assert!(stage.all("next").is_empty());
    });
}
