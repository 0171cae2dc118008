//! Queues that know which rows of outboxes they have accepted.

use super::harness::Harness;
use super::steps::{ConsumerExt as _, HarnessExt as _, message};
use crate::queue::{NewMessage, OutboxIds};

fn row(text: &str, outbox_id: &str) -> NewMessage {
    message(text).outbox_id(outbox_id)
}

/// Returns the capability; without it, asserts that the queue accepts a row again.
fn known(harness: &dyn Harness) -> Option<&dyn OutboxIds> {
    let known = harness.queue().outbox_ids();
    if known.is_none() {
        let ids = [harness.put(row("one", "1/a")), harness.put(row("one", "1/a"))];
        assert_ne!(ids[0], ids[1]);
    }
    known
}

pub(super) fn a_row_of_an_outbox_is_enqueued_once(harness: &dyn Harness) {
    let Some(known) = known(harness) else { return };
    let first = harness.put(row("one", "1/a"));
    assert_eq!(harness.put(row("again", "1/a")), first);
    // In one batch with others, in any position, and twice in it.
    let batch = vec![row("two", "2/a"), row("again", "1/a"), message("three"), row("again", "2/a")];
    let ids: Vec<_> = harness.queue().enqueue(batch).expect("enqueue").into_iter().map(|one| one.id).collect();
    assert_eq!((&ids[1], &ids[3]), (&first, &ids[0]));
    let mut consumer = harness.consumer();
    assert_eq!([consumer.work(), consumer.work(), consumer.work()], ["one", "two", "three"]);
    // It is known after its job is done, and when the row is gone.
    assert_eq!(harness.put(row("again", "1/a")), first);
    known.rows_are_gone(&["1/a".to_owned(), "2/a".to_owned()]).expect("noted");
    assert_eq!(harness.put(row("again", "1/a")), first);
    consumer.nothing();
}

pub(super) fn a_message_is_found_by_the_number_of_its_row(harness: &dyn Harness) {
    let Some(known) = known(harness) else { return };
    assert_eq!(known.message_of_row(1).expect("asked"), None);
    let one = harness.put(row("one", "1/a"));
    let ten = harness.put(row("ten", "10/a"));
    let other = harness.put(row("other", "1/b"));
    assert_ne!(one, other);
    assert_eq!(known.message_of_row(1).expect("asked"), Some(other), "the last one of several outboxes");
    assert_eq!(known.message_of_row(10).expect("asked"), Some(ten));
    assert_eq!(known.message_of_row(2).expect("asked"), None);
    known.rows_are_gone(&["10/a".to_owned()]).expect("noted");
    assert!(known.message_of_row(10).expect("asked").is_some());
}
