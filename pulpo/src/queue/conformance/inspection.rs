//! What a person sees and does.

use std::time::Duration;

use super::{
    ConsumerExt as _, Filter, Harness, HarnessExt as _, MessageId, NewMessage, QUEUE, QueueError, State, delay,
    envelope, everything, ids, message, priority, queue,
};
use crate::queue::{Consumer, Stats};

/// One message in each state, in the order of [`State::ALL`]. The consumer
/// holds the reserved one.
fn one_in_each_state(harness: &dyn Harness) -> ([MessageId; 4], Box<dyn Consumer>) {
    let mut seat = harness.seat();
    let buried = harness.put(message("buried"));
    let delivery = seat.take();
    seat.bury(&delivery.lease, "fatal", true).expect("bury");
    let reserved = harness.put(message("reserved"));
    seat.take();
    let delayed = harness.put(delay(message("delayed"), harness.in_seconds(600)));
    let ready = harness.put(priority(message("ready"), 7));
    ([ready, delayed, reserved, buried], seat)
}

pub(super) fn peek_shows_a_message_in_each_state(harness: &dyn Harness) {
    let (ids, _seat) = one_in_each_state(harness);
    for (id, state) in ids.iter().zip(State::ALL) {
        let stored = harness.peek(id);
        assert_eq!((&stored.id, stored.state), (id, state));
        assert_eq!((stored.queue.as_str(), stored.request_type.as_str()), (QUEUE, "type"));
        assert_eq!(stored.text, envelope("type", state.as_str()).into_bytes());
        assert_eq!(stored.attempts, u32::from(state == State::Buried));
        let urgency = if state == State::Ready { 7 } else { 65_536 };
        assert_eq!(stored.priority.get(), urgency);
        assert_eq!(stored.until.is_some(), matches!(state, State::Delayed | State::Reserved), "of {state}");
        if let Some(until) = stored.until {
            let left = (until - harness.now()).num_seconds();
            assert!((590..=602).contains(&left), "{state} for {left} s");
        }
    }
}

pub(super) fn peek_knows_only_ids_of_this_queue(harness: &dyn Harness) {
    let id = harness.put(message("here"));
    for other in ["0", "4000000000", "18446744073709551616", "-1", "", "x", "1 2", &format!("{id}x")] {
        let other = MessageId::from(other);
        assert!(harness.queue().peek(&other).expect("peek").is_none(), "{other:?}");
        assert!(!harness.queue().delete(&other).expect("delete"), "{other:?}");
        assert_eq!(harness.queue().kick(&Filter::all().id(other.clone())).expect("kick"), 0, "{other:?}");
    }
}

pub(super) fn delete_takes_all_but_a_reserved_message(harness: &dyn Harness) {
    let ([ready, delayed, reserved, buried], mut seat) = one_in_each_state(harness);
    for id in [&ready, &delayed, &buried] {
        assert!(harness.queue().delete(id).expect("delete"));
        assert!(harness.queue().peek(id).expect("peek").is_none());
        assert!(!harness.queue().delete(id).expect("delete"), "it is gone already");
    }
    match harness.queue().delete(&reserved) {
        Err(QueueError::Reserved { id, .. }) => assert_eq!(id, reserved),
        other => panic!("expected that the message is reserved, got {other:?}"),
    }
    assert_eq!(harness.state(&reserved), State::Reserved);
    seat.nothing();
}

pub(super) fn list_picks_what_the_filter_says(harness: &dyn Harness) {
    let (own, _seat) = one_in_each_state(harness);
    let elsewhere = harness.put(NewMessage::new("elsewhere", "other", envelope("other", "x")));
    let list = |filter: Filter| ids(&harness.queue().list(&filter).expect("list"));
    let [ready, delayed, reserved, buried] = own;
    let order = [&buried, &reserved, &delayed, &ready, &elsewhere].map(Clone::clone);
    assert_eq!(list(everything()), order, "all, by id");
    assert_eq!(list(everything().queue(QUEUE)), order[..4]);
    assert!(list(everything().queue("nowhere")).is_empty());
    assert_eq!(list(everything().request_type("other")), std::slice::from_ref(&elsewhere));
    assert_eq!(list(everything().state(State::Buried)), std::slice::from_ref(&buried));
    assert_eq!(list(everything().state(State::Ready)), [ready.clone(), elsewhere.clone()]);
    assert_eq!(list(everything().state(State::Ready).queue(QUEUE)), [ready]);
    assert_eq!(list(everything().id(delayed.clone())), std::slice::from_ref(&delayed));
    assert!(list(everything().id(delayed).state(State::Ready)).is_empty());
    assert_eq!(list(everything().limit(2)).len(), 2);
    assert!(list(everything().limit(0)).is_empty());
}

pub(super) fn stats_count_by_state(harness: &dyn Harness) {
    assert_eq!(harness.queue().stats().expect("stats"), [], "of an empty queue");
    let (_, _seat) = one_in_each_state(harness);
    harness.put(queue(message("elsewhere"), "elsewhere"));
    harness.put(queue(message("elsewhere"), "elsewhere"));
    let request_type = if harness.queue().capabilities().stats_by_type { "type" } else { "" };
    let expected = |queue: &str, ready, others| Stats {
        queue: queue.to_owned(),
        request_type: request_type.to_owned(),
        ready,
        delayed: others,
        reserved: others,
        buried: others,
    };
    let mut stats = harness.queue().stats().expect("stats");
    stats.sort_by(|a, b| a.queue.cmp(&b.queue));
    assert_eq!(stats, [expected(QUEUE, 1, 1), expected("elsewhere", 2, 0)]);
}

pub(super) fn kick_picks_what_the_filter_says(harness: &dyn Harness) {
    let mut seat = harness.seat_at(&[QUEUE, "elsewhere"]);
    for request_type in ["a", "a", "b"] {
        harness.put(NewMessage::new(QUEUE, request_type, envelope(request_type, "x")));
    }
    for request_type in ["a", "a", "b", "b", "b"] {
        harness.put(NewMessage::new("elsewhere", request_type, envelope(request_type, "x")));
    }
    for _ in 0..8 {
        let delivery = seat.take();
        seat.bury(&delivery.lease, "fatal", true).expect("bury");
    }
    let kick = |filter: Filter| harness.queue().kick(&filter).expect("kick");
    assert_eq!(kick(everything().state(State::Ready)), 0, "only buried messages can be kicked");
    assert_eq!(kick(everything().queue("nowhere")), 0);
    assert_eq!(kick(everything().queue(QUEUE).request_type("b")), 1);
    assert_eq!(kick(everything().queue(QUEUE)), 2);
    assert_eq!(kick(everything().request_type("a")), 2);
    assert_eq!(kick(everything().limit(1)), 1);
    assert_eq!(kick(everything().state(State::Buried)), 2);
    assert_eq!(kick(everything()), 0);
    for _ in 0..8 {
        seat.work();
    }
    seat.nothing();
}

pub(super) fn kick_leaves_alone_what_is_not_buried(harness: &dyn Harness) {
    let ([ready, delayed, reserved, buried], _seat) = one_in_each_state(harness);
    for id in [&ready, &delayed, &reserved] {
        assert_eq!(harness.queue().kick(&everything().id(id.clone())).expect("kick"), 0);
    }
    assert_eq!(harness.queue().kick(&everything()).expect("kick"), 1);
    assert_eq!(harness.queue().kick(&everything()).expect("kick"), 0);
    let states = [ready, delayed, reserved, buried].map(|id| harness.state(&id));
    assert_eq!(states, [State::Ready, State::Delayed, State::Reserved, State::Ready]);
    let mut other = harness.seat();
    assert_eq!([other.work(), other.work()], ["ready", "buried"]);
    assert!(other.dequeue(Duration::ZERO).expect("dequeue").is_none());
}
