//! Queues that hand out nothing for a time.

use std::time::Duration;

use super::harness::Harness;
use super::steps::{ConsumerExt as _, HarnessExt as _, LONG, QUEUE, SECOND, in_order, message, queue, text, touch};
use super::waiting::{DEADLINE, wait};
use crate::queue::{MessageState, QueueError, Settlement};

/// Returns whether this queue can be paused; if not, asserts that it refuses.
fn pauses(harness: &dyn Harness) -> bool {
    if harness.queue().capabilities().pauses {
        return true;
    }
    for time in [LONG, Duration::ZERO] {
        let refused = harness.queue().pause(QUEUE, time);
        assert!(matches!(refused, Err(QueueError::Unsupported(_))), "{refused:?}");
    }
    false
}

pub(super) fn a_paused_queue_hands_out_nothing(harness: &dyn Harness) {
    if !pauses(harness) {
        return;
    }
    let mut consumer = harness.consumer_of(&[QUEUE, "elsewhere"]);
    // A server may know only the queues that a consumer has watched there.
    consumer.nothing();
    for name in ["one", "two"] {
        harness.put(message(name));
    }
    let held = consumer.take();
    harness.queue().pause(QUEUE, LONG).expect("pause");
    consumer.nothing();
    harness.consumer().nothing();
    let stats = harness.queue().stats().expect("stats");
    let until = stats.paused_until(QUEUE).expect("it is paused");
    let left = (until - harness.now()).num_seconds();
    assert!((590..=601).contains(&left), "paused for {left} s");
    assert_eq!(stats.paused.len(), 1);
    // Other queues hand out messages; the paused one accepts messages, and reserved ones can be settled.
    harness.put(message("three"));
    harness.put(queue(message("other"), "elsewhere"));
    assert_eq!(consumer.work(), "other");
    touch(&mut *consumer, &held.lease).expect("touch");
    consumer.settle(&held.lease, &mut Settlement::commit()).expect("commit");
    consumer.nothing();

    harness.queue().pause(QUEUE, Duration::ZERO).expect("resume");
    assert_eq!(harness.queue().stats().expect("stats").paused, []);
    let other = if text(&held) == "one" { "two" } else { "one" };
    let came: Vec<_> = std::iter::repeat_with(|| consumer.work()).take(2).collect();
    assert_eq!(in_order(harness, came), in_order(harness, vec![other.to_owned(), "three".to_owned()]));
}

pub(super) fn a_pause_with_an_end_ends(harness: &dyn Harness) {
    if !pauses(harness) {
        return;
    }
    let mut consumer = harness.consumer();
    harness.put(message("x"));
    harness.queue().pause(QUEUE, LONG).expect("pause");
    harness.queue().pause(QUEUE, SECOND).expect("a shorter one in its place");
    consumer.nothing();
    harness.pass(SECOND);
    assert_eq!(consumer.work(), "x");
    assert_eq!(harness.queue().stats().expect("stats").paused, []);
}

pub(super) fn a_resume_ends_a_wait(harness: &dyn Harness) {
    if !pauses(harness) {
        return;
    }
    let id = harness.put(message("x"));
    harness.queue().pause(QUEUE, LONG).expect("pause");
    let (started, ended) = wait(harness.consumer());
    started.recv_timeout(DEADLINE).expect("the thread starts");
    assert_eq!(harness.state(&id), MessageState::Ready);
    harness.queue().pause(QUEUE, Duration::ZERO).expect("resume");
    let waited = ended.recv_timeout(DEADLINE).expect("the wait ends").expect("dequeue");
    assert_eq!(waited.as_ref().map(text).as_deref(), Some("x"));
}

pub(super) fn a_queue_that_is_not_paused_can_be_resumed(harness: &dyn Harness) {
    if !pauses(harness) {
        return;
    }
    harness.queue().pause("nowhere", Duration::ZERO).expect("resume");
    harness.put(message("x"));
    harness.queue().pause(QUEUE, Duration::ZERO).expect("resume");
    assert_eq!(harness.consumer().work(), "x");
    // A queue without messages or workers may be unknown.
    match harness.queue().pause("nowhere", LONG) {
        Ok(()) => {}
        Err(QueueError::NoSuchQueue { queue, .. }) => assert_eq!(queue, "nowhere"),
        other => panic!("expected a pause or NoSuchQueue, got {other:?}"),
    }
}
