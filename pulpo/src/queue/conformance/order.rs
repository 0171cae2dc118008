//! The order in which messages come, and from which queues.

use super::harness::Harness;
use super::steps::{
    Came, ConsumerExt as _, HarnessExt as _, QUEUE, SECOND, assert_order, come, delay, drain, message, priority, queue,
    text,
};
use crate::keys::OnDuplicate;
use crate::queue::{DequeueFilter, Filter, MessageState, QueueError, Settlement, Unique};

pub(super) fn order_is_by_priority_then_first_in_first_out(harness: &dyn Harness) {
    for (text, urgency) in [("c", 7), ("f", u32::MAX), ("d", 7), ("a", 0), ("e", 65_536), ("b", 0)] {
        harness.put(priority(message(text), urgency));
    }
    assert_order(harness, &come(&mut *harness.consumer(), &DequeueFilter::all()), &["a", "b", "c", "d", "e", "f"]);
}

pub(super) fn a_delayed_message_takes_its_place_when_due(harness: &dyn Harness) {
    let mut consumer = harness.consumer();
    harness.put(priority(delay(message("second"), harness.in_seconds(2)), 2));
    harness.put(priority(delay(message("first"), harness.in_seconds(2)), 1));
    harness.put(priority(message("third"), 3));
    assert_eq!(drain(&mut consumer), ["third"]);
    harness.put(priority(message("third"), 3));
    harness.pass(3 * SECOND);
    assert_order(harness, &come(&mut *consumer, &DequeueFilter::all()), &["first", "second", "third"]);
}

pub(super) fn a_delay_in_the_past_does_not_count(harness: &dyn Harness) {
    harness.put(delay(message("due"), harness.in_seconds(-60)));
    assert_eq!(drain(&mut harness.consumer()), ["due"]);
}

pub(super) fn a_rollback_keeps_the_place(harness: &dyn Harness) {
    let mut consumer = harness.consumer();
    for (text, urgency) in [("a", 5), ("b", 5), ("c", 9)] {
        harness.put(priority(message(text), urgency));
    }
    let first = consumer.take();
    consumer
        .settle(&first.lease, &mut Settlement::rollback(std::time::Duration::ZERO, "again", true))
        .expect("rollback");
    let urgency = if text(&first) == "c" { 9 } else { 5 };
    assert_eq!(harness.peek(&first.lease.id).priority.get(), urgency, "the priority is unchanged");
    assert_order(harness, &come(&mut *consumer, &DequeueFilter::all()), &["a", "b", "c"]);
}

pub(super) fn several_queues_are_served_in_one_order(harness: &dyn Harness) {
    harness.put(queue(priority(message("c"), 3), "one"));
    harness.put(queue(priority(message("a"), 1), "two"));
    harness.put(queue(priority(message("d"), 4), "two"));
    harness.put(queue(priority(message("b"), 2), "one"));
    let mut consumer = harness.consumer_of(&["one", "two"]);
    let first = consumer.take();
    let from = if ["a", "d"].contains(&text(&first).as_str()) { "two" } else { "one" };
    assert_eq!(first.queue, from, "a delivery names its queue");
    consumer.settle(&first.lease, &mut Settlement::commit()).expect("commit");
    let mut all = vec![Came::new(&first)];
    all.extend(come(&mut *consumer, &DequeueFilter::all()));
    assert_order(harness, &all, &["a", "b", "c", "d"]);
}

pub(super) fn queues_not_watched_are_left_alone(harness: &dyn Harness) {
    let other = harness.put(queue(message("theirs"), "theirs"));
    let default = harness.put(queue(message("default"), "default"));
    harness.put(message("ours"));
    let mut consumer = harness.consumer();
    assert_eq!(drain(&mut consumer), ["ours"]);
    for id in [other, default] {
        assert_eq!(harness.state(&id), MessageState::Ready);
    }
    let left = come(&mut *harness.consumer_of(&["theirs", QUEUE, "default"]), &DequeueFilter::all());
    assert_order(harness, &left, &["theirs", "default"]);
}

pub(super) fn a_batch_keeps_its_order_and_has_an_id_each(harness: &dyn Harness) {
    let texts: Vec<_> = (0..1000).map(|n| n.to_string()).collect();
    let enqueued = harness.queue().enqueue(texts.iter().map(|text| message(text)).collect()).expect("enqueue");
    let ids: Vec<_> = enqueued.into_iter().map(|one| one.id).collect();
    assert_eq!(ids.len(), texts.len());
    let distinct: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len(), "no id is given twice");
    let mut consumer = harness.consumer();
    for (id, expected) in ids.iter().zip(&texts) {
        let delivery = consumer.take();
        assert_eq!((&delivery.lease.id, &text(&delivery)), (id, expected));
        consumer.settle(&delivery.lease, &mut Settlement::commit()).expect("commit");
    }
    consumer.nothing();
}

pub(super) fn enqueuing_nothing_is_not_an_error(harness: &dyn Harness) {
    assert!(harness.queue().enqueue(Vec::new()).expect("enqueue").is_empty());
}

pub(super) fn an_atomic_batch_is_stored_whole_or_not_at_all(harness: &dyn Harness) {
    let unique = || Unique::new("a").on_duplicate(OnDuplicate::Reject);
    let capabilities = harness.queue().capabilities();
    // Refused as a duplicate, or because the queue keeps no unique keys.
    let taken = usize::from(capabilities.unique_keys);
    if capabilities.unique_keys {
        harness.put(message("first").unique(unique()));
    }
    for place in 0..3 {
        let mut batch = vec![message("before"), message("after")];
        batch.insert(place, message("refused").unique(unique()));
        let refused = harness.queue().enqueue(batch);
        let is_expected = matches!(refused, Err(QueueError::Duplicate { .. } | QueueError::Unsupported(_)));
        assert!(is_expected, "at {place}: {refused:?}");
        if capabilities.atomic_batches {
            assert_eq!(harness.queue().list(&Filter::all()).expect("list").len(), taken, "at {place}");
        }
    }
    assert!(!drain(&mut harness.consumer()).iter().any(|text| text == "refused"));
}
