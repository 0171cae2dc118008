//! Limits across all processes: how many jobs may start, and how many may run.

use std::time::Duration;

use super::harness::Harness;
use super::steps::{
    ConsumerExt as _, HarnessExt as _, QUEUE, SECOND, drain, envelope, message, priority, queue, text, ttr,
};
use crate::policy::Rate;
use crate::queue::{
    Consumer, Delivery, DequeueFilter, Filter, Limit, LimitKeys, LimitKind, LimitScope, MessageState, NewMessage,
    QueueError, Settlement,
};

/// Returns whether this queue keeps limits; if not, asserts that it refuses them.
fn keeps_limits(harness: &dyn Harness) -> bool {
    if harness.queue().capabilities().limits {
        return true;
    }
    let refused = harness.queue().hold_back("type", None, SECOND);
    assert!(matches!(refused, Err(QueueError::Unsupported(_))), "{refused:?}");
    false
}

/// Returns the scope of the request type `type`.
fn handler() -> LimitScope {
    LimitScope::handler(["type"], false)
}

fn rate(starts: u32, seconds: u32) -> LimitKind {
    LimitKind::Rate(Rate::new(starts, seconds * SECOND))
}

fn within(limits: impl IntoIterator<Item = Limit>) -> DequeueFilter {
    DequeueFilter::all().limits(limits.into_iter().collect::<Vec<_>>())
}

fn of_type(request_type: &str, text: &str) -> NewMessage {
    let mut message = message(text);
    request_type.clone_into(&mut message.request_type);
    message.text = envelope(request_type, text);
    message
}

fn of_key(key: &str, text: &str) -> NewMessage {
    message(text).limit_keys(LimitKeys::of(key))
}

type Seat = Box<dyn Consumer>;

fn next(seat: &mut Seat, filter: &DequeueFilter) -> Option<Delivery> {
    seat.dequeue(filter, Duration::ZERO).expect("dequeue")
}

#[track_caller]
fn take(seat: &mut Seat, filter: &DequeueFilter) -> Delivery {
    next(seat, filter).expect("a message")
}

#[track_caller]
fn nothing(seat: &mut Seat, filter: &DequeueFilter) {
    let delivery = next(seat, filter);
    assert!(delivery.is_none(), "expected that a limit keeps it, got {delivery:?}");
}

fn commit(seat: &mut Seat, delivery: &Delivery) {
    seat.settle(&delivery.lease, &mut Settlement::commit()).expect("commit");
}

/// Takes and commits the next message, and returns its text.
#[track_caller]
fn work(seat: &mut Seat, filter: &DequeueFilter) -> String {
    let delivery = take(seat, filter);
    commit(seat, &delivery);
    text(&delivery)
}

fn put_all(harness: &dyn Harness, messages: impl IntoIterator<Item = NewMessage>) {
    harness.queue().enqueue(messages.into_iter().collect()).expect("enqueue");
}

pub(super) fn a_rate_lets_so_many_start_in_any_time(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    let filter = within([Limit::new(handler(), rate(2, 4))]);
    put_all(harness, (0..8).map(|number| message(&number.to_string())));
    let mut seats = [harness.seat(), harness.seat()];
    // The first at 0 s, the second at 2 s.
    assert_eq!(work(&mut seats[0], &filter), "0");
    harness.pass(2 * SECOND);
    assert_eq!(work(&mut seats[1], &filter), "1");
    seats.iter_mut().for_each(|seat| nothing(seat, &filter));
    // At 4 s the first start has left the period, and the second has not.
    harness.pass(2 * SECOND);
    assert_eq!(work(&mut seats[1], &filter), "2");
    seats.iter_mut().for_each(|seat| nothing(seat, &filter));
    // Unused starts are not saved up.
    harness.pass(20 * SECOND);
    assert_eq!([work(&mut seats[0], &filter), work(&mut seats[1], &filter)], ["3", "4"]);
    seats.iter_mut().for_each(|seat| nothing(seat, &filter));
    let waits = &harness.queue().list(&Filter::all()).expect("list")[0];
    assert_eq!((waits.state, waits.attempts), (MessageState::Ready, 0));
}

pub(super) fn what_is_limited_hides_nothing_behind_it(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    for kind in [LimitKind::Running(1), rate(1, 600)] {
        let filter = within([Limit::new(handler(), kind)]);
        put_all(harness, (0..20).map(|number| priority(message(&number.to_string()), 1)));
        put_all(harness, ["a", "b"].map(|text| of_type("other", text)));
        harness.put(queue(message("elsewhere"), "elsewhere"));
        let mut seat = harness.seat_at(&[QUEUE, "elsewhere"]);
        let first = take(&mut seat, &filter);
        assert_eq!(text(&first), "0");
        assert_eq!([work(&mut seat, &filter), work(&mut seat, &filter)], ["a", "b"]);
        nothing(&mut seat, &filter);
        commit(&mut seat, &first);
        // Another worker has no limits.
        let mut other = harness.seat_at(&[QUEUE, "elsewhere"]);
        assert_eq!(drain(&mut other).len(), 20);
    }
}

pub(super) fn a_limit_lets_so_many_run(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    let filter = within([Limit::new(handler(), LimitKind::Running(2))]);
    put_all(harness, (0..6).map(|number| message(&number.to_string())));
    let mut seats = [harness.seat(), harness.seat()];
    let first = take(&mut seats[0], &filter);
    let second = take(&mut seats[1], &filter);
    let ends: [fn() -> Settlement; 3] =
        [Settlement::commit, || Settlement::bury("fatal", true), || Settlement::rollback(600 * SECOND, "later", false)];
    let mut running = first;
    for (number, end) in ends.into_iter().enumerate() {
        seats.iter_mut().for_each(|seat| nothing(seat, &filter));
        seats[0].settle(&running.lease, &mut end()).expect("settled");
        running = take(&mut seats[0], &filter);
        assert_eq!(text(&running), (number + 2).to_string());
    }
    seats.iter_mut().for_each(|seat| nothing(seat, &filter));
    commit(&mut seats[1], &second);
    assert_eq!(work(&mut seats[1], &filter), "5");
    commit(&mut seats[0], &running);
}

pub(super) fn a_holder_that_dies_lets_go(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    let filter = within([Limit::new(handler(), LimitKind::Running(1))]);
    put_all(harness, ["one", "two"].map(|text| ttr(message(text), SECOND)));
    let (mut dead, mut seat) = (harness.seat(), harness.seat());
    let _held = take(&mut dead, &filter);
    nothing(&mut seat, &filter);
    harness.pass(2 * SECOND);
    let again = take(&mut seat, &filter);
    assert_eq!((text(&again).as_str(), again.attempts), ("one", 1));
    commit(&mut seat, &again);
    assert_eq!(work(&mut seat, &filter), "two");
}

pub(super) fn a_full_key_hides_no_other_key(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    for kind in [LimitKind::Running(1), rate(1, 600)] {
        let filter = within([Limit::new(handler(), kind).by_key()]);
        // More messages in front than a queue would look through.
        put_all(harness, (0..1500).map(|number| of_key("full", &number.to_string())));
        put_all(harness, [("a", "a 1"), ("b", "b 1"), ("a", "a 2")].map(|(key, text)| of_key(key, text)));
        let mut seat = harness.seat();
        let first = take(&mut seat, &filter);
        assert_eq!(text(&first), "0");
        let a = take(&mut seat, &filter);
        let b = take(&mut seat, &filter);
        assert_eq!([text(&a), text(&b)], ["a 1", "b 1"]);
        nothing(&mut seat, &filter);
        commit(&mut seat, &a);
        if kind == LimitKind::Running(1) {
            assert_eq!(work(&mut seat, &filter), "a 2");
        }
        nothing(&mut seat, &filter);
        commit(&mut seat, &b);
        commit(&mut seat, &first);
        harness.queue().delete(&Filter::all()).expect("delete");
    }
}

pub(super) fn messages_without_a_key_are_one_key(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    let filter = within([Limit::new(handler(), LimitKind::Running(1)).by_key()]);
    put_all(harness, [message("none 1"), message("none 2"), of_key("a", "a 1")]);
    let mut seat = harness.seat();
    assert_eq!(text(&take(&mut seat, &filter)), "none 1");
    assert_eq!(text(&take(&mut seat, &filter)), "a 1");
    nothing(&mut seat, &filter);
}

pub(super) fn several_limits_all_hold(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    let filter = within([
        Limit::new(handler(), rate(3, 600)),
        Limit::new(handler(), LimitKind::Running(1)).by_key(),
        Limit::new(LimitScope::Queue(QUEUE.to_owned()), LimitKind::Running(3)),
    ]);
    let both = |rate: &str, running: &str, text: &str| {
        message(text).limit_keys(LimitKeys::new(Some(rate.to_owned()), Some(running.to_owned())))
    };
    put_all(harness, [both("x", "a", "1"), both("x", "a", "2"), both("x", "b", "3"), both("y", "c", "4")]);
    put_all(harness, ["5", "6"].map(|text| of_type("other", text)));
    let mut seat = harness.seat();
    let one = take(&mut seat, &filter);
    let three = take(&mut seat, &filter);
    let four = take(&mut seat, &filter);
    assert_eq!([text(&one), text(&three), text(&four)], ["1", "3", "4"]);
    // Three messages of the queue are running.
    nothing(&mut seat, &filter);
    commit(&mut seat, &one);
    // The key is free, but the rate is not.
    assert_eq!(text(&take(&mut seat, &filter)), "5");
    nothing(&mut seat, &filter);
}

pub(super) fn the_names_of_a_handler_share_its_limits(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    let scope = || LimitScope::handler(["type", "old"], false);
    let filter = within([Limit::new(scope(), LimitKind::Running(1)), Limit::new(scope(), rate(2, 600))]);
    put_all(harness, [of_type("old", "1"), message("2"), of_type("old", "3")]);
    let mut seat = harness.seat();
    let first = take(&mut seat, &filter);
    nothing(&mut seat, &filter);
    commit(&mut seat, &first);
    assert_eq!(work(&mut seat, &filter), "2");
    nothing(&mut seat, &filter);
}

pub(super) fn a_batch_is_one_run_and_as_many_starts_as_messages(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    let scope = || LimitScope::handler(["type"], true);
    let filter = within([Limit::new(scope(), LimitKind::Running(1)), Limit::new(scope(), rate(3, 600))]);
    put_all(harness, (0..6).map(|number| message(&number.to_string())));
    let (mut seat, mut other) = (harness.seat(), harness.seat());
    let first = take(&mut seat, &filter);
    nothing(&mut other, &filter);
    let more = filter.clone().joins(first.lease.id.clone());
    let second = take(&mut seat, &more);
    let third = take(&mut seat, &more);
    assert_eq!([text(&second), text(&third)], ["1", "2"]);
    nothing(&mut seat, &more);
    // A run lasts until its last message is settled.
    commit(&mut seat, &first);
    commit(&mut seat, &second);
    let running = within([Limit::new(scope(), LimitKind::Running(1))]);
    nothing(&mut other, &running);
    commit(&mut seat, &third);
    assert_eq!(text(&take(&mut other, &running)), "3");
}

pub(super) fn nothing_is_leased_ahead_beyond_a_limit(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    let reserved = || harness.queue().stats().expect("stats").counts.iter().map(|counts| counts.reserved).sum::<u64>();
    for kind in [LimitKind::Running(3), rate(3, 600)] {
        let filter = within([Limit::new(handler(), kind)]);
        put_all(harness, (0..60).map(|number| priority(of_type("short", &number.to_string()), 1)));
        put_all(harness, (0..20).map(|number| message(&number.to_string())));
        let mut seat = harness.seat();
        for _ in 0..60 {
            let delivery = take(&mut seat, &filter);
            seat.settle(&delivery.lease, &mut Settlement::deferrable_commit()).expect("commit");
        }
        let running = take(&mut seat, &filter);
        seat.flush().expect("flush");
        assert!(reserved() <= 3, "{} are leased", reserved());
        let mut other = harness.seat();
        let more: Vec<_> = std::iter::from_fn(|| next(&mut other, &filter)).collect();
        assert!(more.len() < 3, "{} were started", more.len() + 1);
        commit(&mut seat, &running);
        more.iter().for_each(|delivery| commit(&mut other, delivery));
        drain(&mut other);
    }
}

pub(super) fn a_type_is_held_back_for_a_time(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    put_all(harness, [message("held"), of_type("other", "other")]);
    harness.queue().hold_back("type", None, 600 * SECOND).expect("hold back");
    harness.queue().hold_back("type", None, 3 * SECOND).expect("a shorter one in its place");
    let mut seat = harness.seat();
    assert_eq!(seat.work(), "other");
    seat.nothing();
    let waits = &harness.queue().list(&Filter::all()).expect("list")[0];
    assert_eq!((waits.state, waits.attempts), (MessageState::Ready, 0));
    harness.pass(4 * SECOND);
    assert_eq!(seat.work(), "held");
    harness.put(message("again"));
    harness.queue().hold_back("type", None, 600 * SECOND).expect("hold back");
    seat.nothing();
    harness.queue().hold_back("type", None, Duration::ZERO).expect("no longer");
    assert_eq!(seat.work(), "again");
}

pub(super) fn a_key_is_held_back_alone(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    put_all(harness, (0..1500).map(|number| of_key("held", &number.to_string())));
    put_all(harness, [of_key("free", "free"), message("no key")]);
    harness.queue().hold_back("type", Some("held"), 3 * SECOND).expect("hold back");
    let mut seat = harness.seat();
    assert_eq!(seat.work(), "free");
    harness.pass(4 * SECOND);
    assert_eq!(seat.work(), "0");
}

pub(super) fn thousands_of_keys_wait_behind_a_full_one(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    let filter = within([
        Limit::new(handler(), LimitKind::Running(1)).by_key(),
        Limit::new(handler(), rate(2, 600)).by_key(),
        Limit::new(LimitScope::Queue(QUEUE.to_owned()), LimitKind::Running(5)),
    ]);
    put_all(harness, (0..1000).map(|number| of_key("full", &number.to_string())));
    put_all(harness, (0..3000).map(|number| of_key(&format!("{number:04}"), &number.to_string())));
    harness.put(of_type("other", "other"));
    let mut seats: Vec<_> = (0..6).map(|_| harness.seat()).collect();
    let running: Vec<_> = seats[..5].iter_mut().map(|seat| take(seat, &filter)).collect();
    // One message of the full key, and then others, each with a different key.
    let texts: Vec<_> = running.iter().map(text).collect();
    assert_eq!(texts[0], "0");
    let mut keys: Vec<_> = texts[1..].to_vec();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 4, "{texts:?}");
    // Five messages of the queue are running, and one key is full.
    nothing(&mut seats[5], &filter);
    for (seat, delivery) in seats.iter_mut().zip(&running) {
        commit(seat, delivery);
    }
    // Settled messages make room, and no key starts more than twice.
    let mut last = harness.seat();
    assert_eq!(work(&mut last, &filter), "1");
    assert_ne!(work(&mut last, &filter), "2");
    let waits = harness.queue().list(&Filter::all().limit(1)).expect("list");
    assert_eq!((waits[0].state, waits[0].attempts), (MessageState::Ready, 0));
}
