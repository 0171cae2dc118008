//! Taking some messages while others must stay, where the queue can pick.

use super::harness::Harness;
use super::steps::{Came, HarnessExt as _, QUEUE, assert_order, come, envelope, message, priority, queue};
use crate::queue::{Consumer, DequeueFilter, NewMessage, Settlement};

fn of_type(request_type: &str, text: &str) -> NewMessage {
    let mut message = message(text);
    request_type.clone_into(&mut message.request_type);
    message.text = envelope(request_type, text);
    message
}

/// Returns the texts of the matching messages, in order.
fn drained(consumer: &mut dyn Consumer, pick: &DequeueFilter) -> Vec<String> {
    come(consumer, pick).into_iter().map(|one| one.text).collect()
}

pub(super) fn a_type_that_must_wait_stays_in_its_order(harness: &dyn Harness) {
    if !harness.queue().capabilities().picks_types {
        return;
    }
    for (request_type, name, urgency) in
        [("mail", "a", 1), ("report", "b", 5), ("mail", "c", 1), ("audit", "d", 3), ("report", "e", 2)]
    {
        harness.put(priority(of_type(request_type, name), urgency));
    }
    let mut consumer = harness.consumer();
    assert_eq!(drained(&mut *consumer, &DequeueFilter::all().except_type("mail").except_type("audit")), ["e", "b"]);
    assert_eq!(
        drained(&mut *consumer, &DequeueFilter::all().request_type("mail").except_type("mail")),
        [] as [&str; 0]
    );
    assert_eq!(drained(&mut *consumer, &DequeueFilter::all().request_type("mail").except_type("audit")), ["a", "c"]);
    assert_eq!(drained(&mut *consumer, &DequeueFilter::all()), ["d"]);
}

pub(super) fn a_queue_that_must_wait_stays_in_its_order(harness: &dyn Harness) {
    if !harness.queue().capabilities().picks_queues {
        return;
    }
    for (name, of, urgency) in [("a", "full", 1), ("b", QUEUE, 5), ("c", "full", 1), ("d", "third", 3)] {
        harness.put(queue(priority(message(name), urgency), of));
    }
    let mut consumer = harness.consumer_of(&["full", QUEUE, "third"]);
    assert_order(harness, &come(&mut *consumer, &DequeueFilter::all().except_queue("full")), &["d", "b"]);
    let none = DequeueFilter::all().except_queue("full").except_queue(QUEUE).except_queue("third");
    assert!(consumer.dequeue(&none, std::time::Duration::ZERO).expect("dequeue").is_none());
    assert_order(harness, &come(&mut *consumer, &DequeueFilter::all().except_queue("third")), &["a", "c"]);
}

pub(super) fn a_type_taken_singly_is_not_leased_ahead(harness: &dyn Harness) {
    if !harness.queue().capabilities().picks_types {
        return;
    }
    for (request_type, name) in [("mail", "a"), ("mail", "b"), ("report", "c"), ("mail", "d")] {
        harness.put(of_type(request_type, name));
    }
    let (mut one, mut other) = (harness.consumer(), harness.consumer());
    let filter = DequeueFilter::all().single_type("mail").more(3);
    let delivery = one.dequeue(&filter, std::time::Duration::ZERO).expect("dequeue").expect("a message");
    assert_eq!(Came::new(&delivery).text, "a");
    // Nothing of that type was leased ahead, even though the consumer has room for more.
    let others = come(&mut *other, &DequeueFilter::all().request_type("mail"));
    assert_order(harness, &others, &["b", "d"]);
    one.settle(&delivery.lease, &mut Settlement::commit()).expect("commit");
    assert_eq!(drained(&mut *one, &filter), ["c"]);
}

pub(super) fn a_queue_taken_singly_is_not_leased_ahead(harness: &dyn Harness) {
    if !harness.queue().capabilities().picks_queues {
        return;
    }
    for (name, of) in [("a", "full"), ("b", "full"), ("c", QUEUE), ("d", "full")] {
        harness.put(queue(message(name), of));
    }
    let (mut one, mut other) = (harness.consumer_of(&["full", QUEUE]), harness.consumer_of(&["full"]));
    let filter = DequeueFilter::all().single_queue("full").except_queue(QUEUE).more(3);
    let delivery = one.dequeue(&filter, std::time::Duration::ZERO).expect("dequeue").expect("a message");
    let others = come(&mut *other, &DequeueFilter::all());
    assert_eq!(others.len(), 2, "the other consumer takes the rest: {others:?}");
    one.settle(&delivery.lease, &mut Settlement::commit()).expect("commit");
    assert_eq!(drained(&mut *one, &DequeueFilter::all()), ["c"]);
}
