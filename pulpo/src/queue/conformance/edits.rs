//! Editing waiting messages.

use std::time::Duration;

use serde_json::Value;

use super::harness::Harness;
use super::steps::{ConsumerExt as _, HarnessExt as _, QUEUE, SECOND, delay, envelope, message};
use super::waiting::{DEADLINE, wait};
use crate::keys::{OnDuplicate, Publication, UniqueFor};
use crate::message::{MessageId, Priority};
use crate::queue::{Edit, Edited, Filter, MessageState, NewMessage, QueueError, Retention, Settlement, Unique};

/// Returns whether this queue edits; if not, asserts that it refuses to.
fn edits(harness: &dyn Harness) -> bool {
    let edits = harness.queue().capabilities().edits;
    if !edits {
        let id = harness.put(message("as it is"));
        let refused = harness.queue().edit(&id, &Edit::default().priority(1)).expect_err("refused");
        assert!(matches!(refused, QueueError::Unsupported(_)), "{refused}");
    }
    edits
}

fn edit(harness: &dyn Harness, id: &MessageId, edit: Edit) -> Edited {
    harness.queue().edit(id, &edit).expect("edit")
}

pub(super) fn a_waiting_message_can_be_edited(harness: &dyn Harness) {
    if !edits(harness) {
        return;
    }
    // Spaces, order and a number that must not change.
    let text = r#" {"body": {"n": 1.10, "priority": 7},  "header": {"x": 1e2, "request_type" : "type", "delay": "2001-01-01T00:00:00Z"}} "#;
    let id = harness.put(NewMessage::new(QUEUE, "type", text));
    let other = harness.put(message("other"));
    assert_eq!(edit(harness, &id, Edit::default().priority(9).queue("elsewhere")), Edited::Changed);
    let edited = harness.peek(&id);
    assert_eq!(
        (edited.priority, edited.queue.as_str(), edited.state),
        (Priority::new(9), "elsewhere", MessageState::Ready)
    );
    let expected = text.replace(r#"{"x""#, r#"{"priority":9,"x""#);
    assert_eq!(String::from_utf8_lossy(&edited.text), expected);

    assert_eq!(edit(harness, &id, Edit::default().delay(3 * SECOND).queue(QUEUE)), Edited::Changed);
    let edited = harness.peek(&id);
    assert_eq!((edited.state, edited.priority), (MessageState::Delayed, Priority::new(9)));
    let until = edited.until.expect("it is delayed");
    let value: Value = serde_json::from_slice(&edited.text).expect("JSON");
    let said =
        value["header"]["delay"].as_str().expect("a time").parse::<chrono::DateTime<chrono::Utc>>().expect("a time");
    assert_eq!(said, until, "header and queue agree");
    let counts = harness.queue().stats().expect("stats").counts;
    assert_eq!(counts.iter().map(|counts| (counts.ready, counts.delayed)).collect::<Vec<_>>(), [(1, 1)]);

    let mut consumer = harness.consumer();
    assert_eq!(edit(harness, &id, Edit::default().delay(Duration::ZERO)), Edited::Changed);
    let delivery = consumer.take();
    assert_eq!(delivery.lease.id, id, "it is the most urgent, and due");
    let value: Value = serde_json::from_slice(&delivery.text).expect("JSON");
    let said =
        value["header"]["delay"].as_str().expect("a time").parse::<chrono::DateTime<chrono::Utc>>().expect("a time");
    assert!(said <= harness.now(), "its header does not delay it");
    consumer.settle(&delivery.lease, &mut Settlement::commit()).expect("commit");
    assert_eq!(consumer.take().lease.id, other);
}

pub(super) fn a_message_that_does_not_wait_cannot_be_edited(harness: &dyn Harness) {
    if !edits(harness) {
        return;
    }
    let mut consumer = harness.consumer();
    let buried = harness.put(message("buried"));
    let delivery = consumer.take();
    consumer.settle(&delivery.lease, &mut Settlement::bury("fatal", true)).expect("bury");
    let reserved = harness.put(message("reserved"));
    let held = consumer.take();
    let urgent = || Edit::default().priority(1).delay(SECOND);
    let before = [&buried, &reserved].map(|id| harness.peek(id));
    assert_eq!(edit(harness, &buried, urgent()), Edited::Not(MessageState::Buried));
    assert_eq!(edit(harness, &reserved, urgent()), Edited::Not(MessageState::Reserved));
    assert_eq!(edit(harness, &"999999".into(), urgent()), Edited::Missing);
    assert_eq!(edit(harness, &"not a number".into(), urgent()), Edited::Missing);
    for before in before {
        let after = harness.peek(&before.id);
        assert_eq!((after.priority, after.state, after.text), (before.priority, before.state, before.text));
    }
    if let Some(keeping) = harness.queue().keeping() {
        keeping.set_retention(Retention::default().done(600 * SECOND));
        consumer.settle(&held.lease, &mut Settlement::commit()).expect("commit");
        assert_eq!(edit(harness, &reserved, urgent()), Edited::Not(MessageState::Done));
    }
    assert_eq!(harness.queue().kick(&Filter::all().id(buried.clone())).expect("kick"), 1);
    assert_eq!(edit(harness, &buried, urgent()), Edited::Changed);
}

pub(super) fn a_unique_key_holds_over_edits(harness: &dyn Harness) {
    if !edits(harness) || !harness.queue().capabilities().unique_keys {
        return;
    }
    let publish = |unique_for| {
        let unique = Unique::new("7").unique_for(unique_for).on_duplicate(OnDuplicate::Keep);
        let new = NewMessage::new(QUEUE, "type", envelope("type", "x")).unique(unique);
        harness.queue().enqueue(vec![new]).expect("enqueue").remove(0)
    };
    for unique_for in [UniqueFor::Unfinished, UniqueFor::Waiting] {
        let first = publish(unique_for);
        for change in
            [Edit::default().queue("elsewhere"), Edit::default().delay(60 * SECOND), Edit::default().priority(1)]
        {
            assert_eq!(edit(harness, &first.id, change), Edited::Changed);
            let again = publish(unique_for);
            assert_eq!((again.id, again.publication), (first.id.clone(), Publication::Kept));
        }
        assert_eq!(harness.queue().delete(&Filter::all().id(first.id)).expect("delete"), 1);
        let next = publish(unique_for);
        assert_eq!(next.publication, Publication::New);
        assert_eq!(harness.queue().delete(&Filter::all().id(next.id)).expect("delete"), 1);
    }
}

pub(super) fn an_edit_ends_a_wait(harness: &dyn Harness) {
    if !edits(harness) {
        return;
    }
    let late = harness.put(delay(message("late"), harness.in_seconds(600)));
    let (started, ended) = wait(harness.consumer());
    started.recv_timeout(DEADLINE).expect("the thread starts");
    assert_eq!(edit(harness, &late, Edit::default().delay(Duration::ZERO)), Edited::Changed);
    let delivery = ended.recv_timeout(DEADLINE).expect("the wait ends").expect("dequeue");
    assert_eq!(delivery.expect("the message").lease.id, late);
}
