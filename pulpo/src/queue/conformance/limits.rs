//! Limits across all processes: how many jobs may start, and how many may run.

use std::time::Duration;

use super::harness::Harness;
use super::steps::{
    ConsumerExt as _, HarnessExt as _, QUEUE, SECOND, drain, envelope, message, priority, queue, text, ttr,
};
use crate::keys::UniqueFor;
use crate::policy::Rate;
use crate::queue::{
    Consumer, Delivery, DequeueFilter, Filter, Limit, LimitKeys, LimitKind, LimitScope, MessageState, NewMessage,
    QueueError, Settlement, Unique,
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

type BoxedConsumer = Box<dyn Consumer>;

fn next(consumer: &mut BoxedConsumer, filter: &DequeueFilter) -> Option<Delivery> {
    consumer.dequeue(filter, Duration::ZERO).expect("dequeue")
}

#[track_caller]
fn take(consumer: &mut BoxedConsumer, filter: &DequeueFilter) -> Delivery {
    next(consumer, filter).expect("a message")
}

#[track_caller]
fn nothing(consumer: &mut BoxedConsumer, filter: &DequeueFilter) {
    let delivery = next(consumer, filter);
    assert!(delivery.is_none(), "expected a limit to hold it back, got {delivery:?}");
}

fn commit(consumer: &mut BoxedConsumer, delivery: &Delivery) {
    consumer.settle(&delivery.lease, &mut Settlement::commit()).expect("commit");
}

/// Takes and commits the next message, and returns its text.
#[track_caller]
fn work(consumer: &mut BoxedConsumer, filter: &DequeueFilter) -> String {
    let delivery = take(consumer, filter);
    commit(consumer, &delivery);
    text(&delivery)
}

fn put_all(harness: &dyn Harness, messages: impl IntoIterator<Item = NewMessage>) {
    harness.queue().enqueue(messages.into_iter().collect()).expect("enqueue");
}

pub(super) fn a_rate_bounds_the_starts_in_any_period(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    let filter = within([Limit::new(handler(), rate(2, 4))]);
    put_all(harness, (0..8).map(|number| message(&number.to_string())));
    let mut consumers = [harness.consumer(), harness.consumer()];
    // The first at 0 s, the second at 2 s.
    assert_eq!(work(&mut consumers[0], &filter), "0");
    harness.pass(2 * SECOND);
    assert_eq!(work(&mut consumers[1], &filter), "1");
    consumers.iter_mut().for_each(|consumer| nothing(consumer, &filter));
    // At 4 s the first start has left the period, and the second has not.
    harness.pass(2 * SECOND);
    assert_eq!(work(&mut consumers[1], &filter), "2");
    consumers.iter_mut().for_each(|consumer| nothing(consumer, &filter));
    // Unused starts are not saved up.
    harness.pass(20 * SECOND);
    assert_eq!([work(&mut consumers[0], &filter), work(&mut consumers[1], &filter)], ["3", "4"]);
    consumers.iter_mut().for_each(|consumer| nothing(consumer, &filter));
    let waits = &harness.queue().list(&Filter::all()).expect("list")[0];
    assert_eq!((waits.state, waits.attempts), (MessageState::Ready, 0));
}

pub(super) fn a_limited_message_hides_nothing_behind_it(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    for kind in [LimitKind::Running(1), rate(1, 600)] {
        let filter = within([Limit::new(handler(), kind)]);
        put_all(harness, (0..20).map(|number| priority(message(&number.to_string()), 1)));
        put_all(harness, ["a", "b"].map(|text| of_type("other", text)));
        harness.put(queue(message("elsewhere"), "elsewhere"));
        let mut consumer = harness.consumer_of(&[QUEUE, "elsewhere"]);
        let first = take(&mut consumer, &filter);
        assert_eq!(text(&first), "0");
        assert_eq!([work(&mut consumer, &filter), work(&mut consumer, &filter)], ["a", "b"]);
        nothing(&mut consumer, &filter);
        commit(&mut consumer, &first);
        // Another worker has no limits.
        let mut other = harness.consumer_of(&[QUEUE, "elsewhere"]);
        assert_eq!(drain(&mut other).len(), 20);
    }
}

pub(super) fn a_queue_that_is_named_twice_counts_once(harness: &dyn Harness) {
    let mut consumer = harness.consumer_of(&[QUEUE, QUEUE, QUEUE]);
    put_all(harness, (0..5).map(|number| message(&number.to_string())));
    if !harness.queue().capabilities().limits {
        (0..5).for_each(|_| drop(consumer.work()));
        consumer.nothing();
        return;
    }
    assert_eq!(start_all(&mut consumer, &within([Limit::new(handler(), rate(3, 600))])), 3);
    put_all(harness, (0..3).map(|number| of_type("other", &number.to_string())));
    let other = || LimitScope::handler(["other"], false);
    let two_run = within([Limit::new(handler(), rate(1, 600)), Limit::new(other(), LimitKind::Running(2))]);
    let running = [take(&mut consumer, &two_run), take(&mut consumer, &two_run)];
    nothing(&mut consumer, &two_run);
    running.iter().for_each(|delivery| commit(&mut consumer, delivery));
    assert_eq!(start_all(&mut consumer, &two_run), 1);
}

pub(super) fn a_limit_bounds_the_running_jobs(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    let filter = within([Limit::new(handler(), LimitKind::Running(2))]);
    put_all(harness, (0..6).map(|number| message(&number.to_string())));
    let mut consumers = [harness.consumer(), harness.consumer()];
    let first = take(&mut consumers[0], &filter);
    let second = take(&mut consumers[1], &filter);
    let ends: [fn() -> Settlement; 3] =
        [Settlement::commit, || Settlement::bury("fatal", true), || Settlement::rollback(600 * SECOND, "later", false)];
    let mut running = first;
    for (number, end) in ends.into_iter().enumerate() {
        consumers.iter_mut().for_each(|consumer| nothing(consumer, &filter));
        consumers[0].settle(&running.lease, &mut end()).expect("settled");
        running = take(&mut consumers[0], &filter);
        assert_eq!(text(&running), (number + 2).to_string());
    }
    consumers.iter_mut().for_each(|consumer| nothing(consumer, &filter));
    commit(&mut consumers[1], &second);
    assert_eq!(work(&mut consumers[1], &filter), "5");
    commit(&mut consumers[0], &running);
}

pub(super) fn a_dead_worker_frees_its_limit(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    let filter = within([Limit::new(handler(), LimitKind::Running(1))]);
    put_all(harness, ["one", "two"].map(|text| ttr(message(text), SECOND)));
    let (mut dead, mut consumer) = (harness.consumer(), harness.consumer());
    let _held = take(&mut dead, &filter);
    nothing(&mut consumer, &filter);
    harness.pass(2 * SECOND);
    let again = take(&mut consumer, &filter);
    assert_eq!((text(&again).as_str(), again.attempts), ("one", 1));
    commit(&mut consumer, &again);
    assert_eq!(work(&mut consumer, &filter), "two");
}

pub(super) fn a_key_at_its_limit_does_not_hide_other_keys(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    for kind in [LimitKind::Running(1), rate(1, 600)] {
        let filter = within([Limit::new(handler(), kind).by_key()]);
        // More messages in front than a queue would look through.
        put_all(harness, (0..1500).map(|number| of_key("full", &number.to_string())));
        put_all(harness, [("a", "a 1"), ("b", "b 1"), ("a", "a 2")].map(|(key, text)| of_key(key, text)));
        put_all(harness, ["none 1", "none 2"].map(message));
        let mut consumer = harness.consumer();
        let first = take(&mut consumer, &filter);
        assert_eq!(text(&first), "0");
        let a = take(&mut consumer, &filter);
        let b = take(&mut consumer, &filter);
        assert_eq!([text(&a), text(&b)], ["a 1", "b 1"]);
        let none = take(&mut consumer, &filter);
        assert_eq!(text(&none), "none 1");
        nothing(&mut consumer, &filter);
        commit(&mut consumer, &none);
        if kind == LimitKind::Running(1) {
            assert_eq!(work(&mut consumer, &filter), "none 2");
        }
        nothing(&mut consumer, &filter);
        commit(&mut consumer, &a);
        if kind == LimitKind::Running(1) {
            assert_eq!(work(&mut consumer, &filter), "a 2");
        }
        nothing(&mut consumer, &filter);
        commit(&mut consumer, &b);
        commit(&mut consumer, &first);
        harness.queue().delete(&Filter::all()).expect("delete");
    }
}

pub(super) fn messages_without_a_key_share_one_limit(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    let filter = within([Limit::new(handler(), LimitKind::Running(1)).by_key()]);
    put_all(harness, [message("none 1"), message("none 2"), of_key("a", "a 1")]);
    let mut consumer = harness.consumer();
    assert_eq!(text(&take(&mut consumer, &filter)), "none 1");
    assert_eq!(text(&take(&mut consumer, &filter)), "a 1");
    nothing(&mut consumer, &filter);
}

pub(super) fn several_limits_hold_together(harness: &dyn Harness) {
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
    let mut consumer = harness.consumer();
    let one = take(&mut consumer, &filter);
    let three = take(&mut consumer, &filter);
    let four = take(&mut consumer, &filter);
    assert_eq!([text(&one), text(&three), text(&four)], ["1", "3", "4"]);
    // Three messages of the queue are running.
    nothing(&mut consumer, &filter);
    commit(&mut consumer, &one);
    // The key is free, but the rate is not.
    assert_eq!(text(&take(&mut consumer, &filter)), "5");
    nothing(&mut consumer, &filter);
}

pub(super) fn the_names_of_a_handler_share_its_limits(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    let scope = || LimitScope::handler(["type", "old"], false);
    let filter = within([Limit::new(scope(), LimitKind::Running(1)), Limit::new(scope(), rate(2, 600))]);
    put_all(harness, [of_type("old", "1"), message("2"), of_type("old", "3")]);
    let mut consumer = harness.consumer();
    let first = take(&mut consumer, &filter);
    nothing(&mut consumer, &filter);
    commit(&mut consumer, &first);
    assert_eq!(work(&mut consumer, &filter), "2");
    nothing(&mut consumer, &filter);
}

pub(super) fn a_batch_is_one_run_and_as_many_starts_as_messages(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    let scope = || LimitScope::handler(["type"], true);
    let filter = within([Limit::new(scope(), LimitKind::Running(1)), Limit::new(scope(), rate(3, 600))]);
    put_all(harness, (0..6).map(|number| message(&number.to_string())));
    let (mut consumer, mut other) = (harness.consumer(), harness.consumer());
    let first = take(&mut consumer, &filter);
    nothing(&mut other, &filter);
    let more = filter.clone().joins(first.lease.id.clone());
    let second = take(&mut consumer, &more);
    let third = take(&mut consumer, &more);
    assert_eq!([text(&second), text(&third)], ["1", "2"]);
    nothing(&mut consumer, &more);
    // A run lasts until its last message is settled.
    commit(&mut consumer, &first);
    commit(&mut consumer, &second);
    let running = within([Limit::new(scope(), LimitKind::Running(1))]);
    nothing(&mut other, &running);
    commit(&mut consumer, &third);
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
        let mut consumer = harness.consumer();
        for _ in 0..60 {
            let delivery = take(&mut consumer, &filter);
            consumer.settle(&delivery.lease, &mut Settlement::deferrable_commit()).expect("commit");
        }
        let running = take(&mut consumer, &filter);
        consumer.flush().expect("flush");
        assert!(reserved() <= 3, "{} are leased", reserved());
        let mut other = harness.consumer();
        let more: Vec<_> = std::iter::from_fn(|| next(&mut other, &filter)).collect();
        assert!(more.len() < 3, "{} were started", more.len() + 1);
        commit(&mut consumer, &running);
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
    let mut consumer = harness.consumer();
    assert_eq!(consumer.work(), "other");
    consumer.nothing();
    let waits = &harness.queue().list(&Filter::all()).expect("list")[0];
    assert_eq!((waits.state, waits.attempts), (MessageState::Ready, 0));
    harness.pass(4 * SECOND);
    assert_eq!(consumer.work(), "held");
    harness.put(message("again"));
    harness.queue().hold_back("type", None, 600 * SECOND).expect("hold back");
    consumer.nothing();
    harness.queue().hold_back("type", None, Duration::ZERO).expect("no longer");
    assert_eq!(consumer.work(), "again");
}

pub(super) fn a_key_is_held_back_alone(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    put_all(harness, (0..1500).map(|number| of_key("held", &number.to_string())));
    put_all(harness, [of_key("free", "free"), message("no key")]);
    harness.queue().hold_back("type", Some("held"), 3 * SECOND).expect("hold back");
    let mut consumer = harness.consumer();
    assert_eq!([consumer.work(), consumer.work()], ["free", "no key"]);
    consumer.nothing();
    harness.pass(4 * SECOND);
    assert_eq!(consumer.work(), "0");
    // Ending it for the type ends it for all of its keys.
    harness.queue().hold_back("type", Some("held"), 600 * SECOND).expect("hold back");
    consumer.nothing();
    harness.queue().hold_back("type", None, Duration::ZERO).expect("no longer");
    assert_eq!(consumer.work(), "1");
}

pub(super) fn any_text_can_be_a_limit_key(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    let long = "x".repeat(5000);
    let keys = ["a", "a\nb", "a\nc", "a\n", "\na", "\n", "a\0", "'; --", &long, &long[1..]];
    let filter =
        within([Limit::new(handler(), LimitKind::Running(1)).by_key(), Limit::new(handler(), rate(2, 600)).by_key()]);
    put_all(harness, (0..3).flat_map(|round| keys.iter().map(move |key| of_key(key, &format!("{round} {key}")))));
    let mut consumer = harness.consumer();
    for round in 0..2 {
        let running: Vec<_> = keys.iter().map(|_| take(&mut consumer, &filter)).collect();
        let texts: Vec<_> = running.iter().map(text).collect();
        assert_eq!(texts, keys.map(|key| format!("{round} {key}")));
        nothing(&mut consumer, &filter);
        running.iter().for_each(|delivery| commit(&mut consumer, delivery));
    }
    nothing(&mut consumer, &filter);
    for key in keys {
        harness.queue().hold_back("type", Some(key), 600 * SECOND).expect("hold back");
    }
    consumer.nothing();
    for key in keys {
        harness.queue().hold_back("type", Some(key), Duration::ZERO).expect("no longer");
        assert_eq!(consumer.work(), format!("2 {key}"));
        consumer.nothing();
    }
}

/// Starts everything that this limit lets start, and returns how much that is.
fn start_all(consumer: &mut BoxedConsumer, filter: &DequeueFilter) -> usize {
    let mut count = 0;
    while let Some(delivery) = next(consumer, filter) {
        consumer.settle(&delivery.lease, &mut Settlement::deferrable_commit()).expect("commit");
        count += 1;
    }
    consumer.flush().expect("flush");
    count
}

pub(super) fn a_rate_holds_with_and_without_unique_keys(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    for (request_type, unique_each) in [("all", 1), ("some", 3), ("few", 40)] {
        let filter = within([Limit::new(LimitScope::handler([request_type], false), rate(100, 600))]);
        put_all(
            harness,
            (0..150).map(|number| {
                let message = of_type(request_type, &number.to_string());
                let unique = Unique::new(number.to_string()).unique_for(UniqueFor::Waiting);
                if number % unique_each == 0 { message.unique(unique) } else { message }
            }),
        );
        let mut consumer = harness.consumer();
        assert_eq!(start_all(&mut consumer, &filter), 100, "starts of {request_type}");
        harness.queue().delete(&Filter::all()).expect("delete");
    }
}

pub(super) fn a_rate_of_many_starts_is_kept(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    let filter = within([Limit::new(handler(), rate(1001, 600))]);
    put_all(harness, (0..1100).map(|number| message(&number.to_string())));
    assert_eq!(start_all(&mut harness.consumer(), &filter), 1001);
    nothing(&mut harness.consumer(), &filter);
}

pub(super) fn the_longest_period_is_kept(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    for (number, period) in [Duration::from_micros(u64::MAX), Duration::MAX].into_iter().enumerate() {
        for starts in [2, 2000] {
            let request_type = format!("type {number} {starts}");
            let limit = LimitKind::Rate(Rate::new(starts, period));
            let filter = within([Limit::new(LimitScope::handler([&request_type], false), limit)]);
            put_all(harness, (0..3).map(|number| of_type(&request_type, &number.to_string())));
            let mut consumer = harness.consumer();
            assert_eq!(start_all(&mut consumer, &filter), starts.min(3) as usize, "in {period:?}");
            harness.queue().delete(&Filter::all()).expect("delete");
        }
    }
}

pub(super) fn workers_that_know_a_handler_by_other_names_share_its_rate(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    for by_key in [false, true] {
        let [first, second] = if by_key { ["a", "b"] } else { ["c", "d"] };
        let limit = |names: &[&str]| {
            let limit = Limit::new(LimitScope::handler(names.iter().copied(), false), rate(2, 600));
            within([if by_key { limit.by_key() } else { limit }])
        };
        let (before, after) = (limit(&[first]), limit(&[second, first]));
        put_all(harness, ["1", "2", "3"].map(|text| of_type(first, text)));
        let mut consumer = harness.consumer();
        assert_eq!([work(&mut consumer, &before), work(&mut consumer, &after)], ["1", "2"]);
        nothing(&mut consumer, &before);
        nothing(&mut consumer, &after);
        // The new name has the same share.
        harness.put(of_type(second, "4"));
        nothing(&mut consumer, &after);
        harness.queue().delete(&Filter::all()).expect("delete");
    }
}

pub(super) fn a_message_that_does_not_run_is_not_a_start(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    let names = ["expired", "left to others", "given back", "unreadable"];
    let ends: [fn() -> Settlement; 4] = [
        || Settlement::Expire,
        || Settlement::leave_to_others(600 * SECOND, "not here"),
        || Settlement::rollback(600 * SECOND, "stopped", false).without_run(),
        || Settlement::bury("unreadable", false).without_run(),
    ];
    for (number, (name, end)) in names.into_iter().zip(ends).enumerate() {
        let request_type = format!("type {number}");
        let scope = || LimitScope::handler([&request_type], false);
        let filter = within([Limit::new(scope(), rate(1, 600)), Limit::new(scope(), rate(2000, 86_400)).by_key()]);
        put_all(harness, (0..10).map(|_| of_type(&request_type, name)));
        put_all(harness, ["runs", "waits"].map(|text| of_type(&request_type, text)));
        let mut consumers = [harness.consumer(), harness.consumer()];
        for round in 0..10 {
            let delivery = take(&mut consumers[round % 2], &filter);
            assert_eq!(text(&delivery), name);
            nothing(&mut consumers[(round + 1) % 2], &filter);
            consumers[round % 2].settle(&delivery.lease, &mut end()).expect("settled");
        }
        let runs = take(&mut consumers[0], &filter);
        assert_eq!(text(&runs), "runs", "behind those that were {name}");
        // A run that is put back was a start.
        let snooze = &mut Settlement::rollback(600 * SECOND, "snoozed", false);
        consumers[0].settle(&runs.lease, snooze).expect("put back");
        nothing(&mut consumers[1], &filter);
        harness.queue().delete(&Filter::all()).expect("delete");
    }
}

pub(super) fn a_message_leased_ahead_and_given_back_is_not_a_start(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    let filter = within([Limit::new(handler(), rate(200, 600))]);
    put_all(harness, (0..300).map(|number| message(&number.to_string())));
    for _ in 0..20 {
        let mut consumer = harness.consumer();
        for _ in 0..5 {
            let delivery = take(&mut consumer, &filter);
            consumer.settle(&delivery.lease, &mut Settlement::deferrable_commit()).expect("commit");
        }
        // Messages that were leased ahead go back.
        consumer.flush().expect("flush");
    }
    assert_eq!(start_all(&mut harness.consumer(), &filter), 100);
}

pub(super) fn a_key_at_its_limit_does_not_hide_thousands_behind_it(harness: &dyn Harness) {
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
    let mut consumers: Vec<_> = (0..6).map(|_| harness.consumer()).collect();
    let running: Vec<_> = consumers[..5].iter_mut().map(|consumer| take(consumer, &filter)).collect();
    // One message of the full key, and then others, each with a different key.
    let texts: Vec<_> = running.iter().map(text).collect();
    assert_eq!(texts[0], "0");
    let mut keys: Vec<_> = texts[1..].to_vec();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 4, "{texts:?}");
    // Five messages of the queue are running, and one key is full.
    nothing(&mut consumers[5], &filter);
    for (consumer, delivery) in consumers.iter_mut().zip(&running) {
        commit(consumer, delivery);
    }
    // Settled messages make room, and no key starts more than twice.
    let mut last = harness.consumer();
    assert_eq!(work(&mut last, &filter), "1");
    assert_ne!(work(&mut last, &filter), "2");
    let waits = harness.queue().list(&Filter::all().limit(1)).expect("list");
    assert_eq!((waits[0].state, waits[0].attempts), (MessageState::Ready, 0));
}

pub(super) fn limits_of_keys_and_of_the_queue_hold_together(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    let filter = within([
        Limit::new(handler(), rate(100, 600)).by_key(),
        Limit::new(handler(), LimitKind::Running(1000)),
        Limit::new(LimitScope::Queue(QUEUE.to_owned()), rate(230, 600)),
    ]);
    for key in ["", "a\"b", "ключ"] {
        put_all(harness, (0..150).map(|_| of_key(key, key)));
    }
    put_all(harness, (0..50).map(|_| of_type("other", "other")));
    let mut consumer = harness.consumer();
    let mut started = std::collections::BTreeMap::new();
    while let Some(delivery) = next(&mut consumer, &filter) {
        *started.entry(text(&delivery)).or_insert(0) += 1;
        consumer.settle(&delivery.lease, &mut Settlement::deferrable_commit()).expect("commit");
    }
    consumer.flush().expect("flush");
    // Of what is not leased ahead within a rate that is half used up, later messages may start first.
    assert_eq!(started.values().sum::<usize>(), 230, "{started:?}");
    assert!(started.iter().all(|(text, count)| *count <= if text == "other" { 50 } else { 100 }), "{started:?}");
    let waits = harness.queue().list(&Filter::all().limit(300)).expect("list");
    assert!(
        waits.len() == 270 && waits.iter().all(|message| (message.state, message.attempts) == (MessageState::Ready, 0))
    );
}

pub(super) fn a_key_behind_hundreds_at_their_limits_starts(harness: &dyn Harness) {
    if !keeps_limits(harness) {
        return;
    }
    let filter = within([Limit::new(handler(), rate(1, 600)).by_key()]);
    let keys = || (0..600).map(|number| format!("{number:03}"));
    put_all(harness, keys().map(|key| of_key(&key, &key)));
    let mut consumer = harness.consumer();
    assert_eq!(start_all(&mut consumer, &filter), 600);
    for last in ["zzz", "\u{1}", "300a"] {
        put_all(harness, keys().map(|key| of_key(&key, &key)));
        put_all(harness, [of_key(last, last), of_key(last, last)]);
        assert_eq!(work(&mut consumer, &filter), last);
        nothing(&mut consumer, &filter);
    }
}
