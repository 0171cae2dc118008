//! Unique keys: one message for each key.

use std::sync::Barrier;
use std::time::Duration;

use super::harness::Harness;
use super::steps::{
    ConsumerExt as _, HarnessExt as _, QUEUE, SECOND, delay, drain, envelope, message, priority, queue, text, ttr,
};
use crate::keys::{OnDuplicate, Publication, UniqueFor};
use crate::message::MessageId;
use crate::queue::{
    DequeueFilter, Enqueued, Filter, MessageState, NewMessage, QueueError, Retention, Settlement, Unique,
};

/// Returns whether this queue keeps unique keys; if not, asserts that it refuses them.
fn keeps_keys(harness: &dyn Harness) -> bool {
    if harness.queue().capabilities().unique_keys {
        return true;
    }
    let refused = harness.queue().enqueue(vec![keyed("x", "a")]);
    assert!(matches!(refused, Err(QueueError::Unsupported(_))), "{refused:?}");
    false
}

/// Creates a message with this text and key.
fn keyed(text: &str, key: &str) -> NewMessage {
    message(text).unique(Unique::new(key))
}

/// Creates a message that is unique while it waits.
fn waiting(text: &str) -> NewMessage {
    message(text).unique(Unique::new("a").unique_for(UniqueFor::Waiting))
}

fn replacing(text: &str) -> NewMessage {
    message(text).unique(Unique::new("a").unique_for(UniqueFor::Waiting).on_duplicate(OnDuplicate::Replace))
}

fn rejecting(text: &str) -> NewMessage {
    message(text).unique(Unique::new("a").on_duplicate(OnDuplicate::Reject))
}

fn publish(harness: &dyn Harness, message: NewMessage) -> Enqueued {
    let mut enqueued = harness.queue().enqueue(vec![message]).expect("enqueue");
    assert_eq!(enqueued.len(), 1, "one message has one answer");
    enqueued.remove(0)
}

#[track_caller]
fn assert_new(harness: &dyn Harness, message: NewMessage) -> MessageId {
    let enqueued = publish(harness, message);
    assert_eq!(enqueued.publication, Publication::New);
    enqueued.id
}

#[track_caller]
fn assert_kept(harness: &dyn Harness, message: NewMessage, id: &MessageId) {
    assert_eq!(publish(harness, message), Enqueued::duplicate(id.clone(), Publication::Kept));
}

#[track_caller]
fn assert_rejected<T: std::fmt::Debug>(result: Result<T, QueueError>, by: &MessageId) {
    match result {
        Err(QueueError::Duplicate { id }) => assert_eq!(id, *by),
        other => panic!("expected a duplicate of message {by}, got {other:?}"),
    }
}

fn count(harness: &dyn Harness) -> usize {
    harness.queue().list(&Filter::all()).expect("list").len()
}

pub(super) fn a_unique_key_has_one_message(harness: &dyn Harness) {
    if !keeps_keys(harness) {
        return;
    }
    let first = assert_new(harness, keyed("one", "a"));
    assert_kept(harness, keyed("two", "a"), &first);
    assert_new(harness, keyed("other key", "b"));
    let mut other = keyed("other type", "a");
    other.request_type = "other".to_owned();
    other.text = envelope("other", "other type");
    assert_new(harness, other);
    assert_new(harness, message("no key"));
    // The key is the same in another queue.
    assert_kept(harness, queue(keyed("three", "a"), "elsewhere"), &first);
    assert_eq!(drain(&mut harness.consumer()), ["one", "other key", "other type", "no key"]);
}

pub(super) fn a_long_key_has_one_message(harness: &dyn Harness) {
    if !keeps_keys(harness) {
        return;
    }
    let (long, longer) = ("x".repeat(5000), "x".repeat(5001));
    let first = assert_new(harness, keyed("one", &long));
    assert_kept(harness, keyed("two", &long), &first);
    assert_new(harness, keyed("three", &longer));
}

pub(super) fn a_key_is_taken_until_its_job_is_finished(harness: &dyn Harness) {
    if !keeps_keys(harness) {
        return;
    }
    let mut consumer = harness.consumer();
    let ends: [fn() -> Settlement; 3] = [Settlement::commit, || Settlement::Expire, || Settlement::bury("fatal", true)];
    for settlement in ends {
        let id = assert_new(harness, keyed("x", "a"));
        let first = consumer.take();
        assert_kept(harness, keyed("while it runs", "a"), &id);
        consumer.settle(&first.lease, &mut Settlement::rollback(SECOND, "failed", true)).expect("rollback");
        assert_kept(harness, keyed("while it is delayed", "a"), &id);
        harness.pass(2 * SECOND);
        let again = consumer.take();
        consumer.settle(&again.lease, &mut settlement()).expect("settled");
    }
    let id = assert_new(harness, keyed("deleted", "a"));
    assert_eq!(harness.queue().delete(&Filter::all().id(id)).expect("delete"), 1);
    assert_new(harness, keyed("last", "a"));
}

pub(super) fn a_waiting_key_is_free_once_the_run_starts(harness: &dyn Harness) {
    if !keeps_keys(harness) {
        return;
    }
    let first = assert_new(harness, waiting("first"));
    assert_kept(harness, waiting("kept"), &first);
    let mut consumer = harness.consumer();
    let running = consumer.take();
    let second = assert_new(harness, waiting("second"));
    assert_kept(harness, waiting("kept too"), &second);
    consumer.settle(&running.lease, &mut Settlement::commit()).expect("commit");
    assert_kept(harness, waiting("kept as well"), &second);
    assert_eq!(consumer.work(), "second");
    consumer.nothing();
}

pub(super) fn a_message_that_is_unique_while_it_waits_is_not_leased_ahead(harness: &dyn Harness) {
    if !keeps_keys(harness) {
        return;
    }
    // Many short jobs, so that some are leased ahead if the queue does that.
    let mut consumer = harness.consumer();
    for number in 0..40 {
        harness.put(message(&format!("short {number}")));
    }
    let waits = assert_new(harness, waiting("waits"));
    for _ in 0..40 {
        let delivery = consumer.take();
        assert_eq!(harness.state(&waits), MessageState::Ready);
        assert_kept(harness, waiting("kept"), &waits);
        consumer.settle(&delivery.lease, &mut Settlement::deferrable_commit()).expect("commit");
    }
    assert_eq!(consumer.work(), "waits");
}

pub(super) fn a_key_for_a_time_outlives_its_message(harness: &dyn Harness) {
    if !keeps_keys(harness) {
        return;
    }
    let timed = |text: &str| message(text).unique(Unique::new("a").unique_for(UniqueFor::Time(5 * SECOND)));
    let mut consumer = harness.consumer();
    let first = assert_new(harness, timed("first"));
    assert_kept(harness, timed("kept"), &first);
    assert_eq!(consumer.work(), "first");
    assert_kept(harness, timed("kept too"), &first);
    harness.pass(6 * SECOND);
    let second = assert_new(harness, timed("second"));
    assert_kept(harness, timed("kept as well"), &second);
    // Deleting the message frees its key too.
    assert_eq!(harness.queue().delete(&Filter::all().id(second)).expect("delete"), 1);
    let third = assert_new(harness, timed("third"));
    // A message may outlive its hold on the key, and does not take the key again.
    harness.pass(6 * SECOND);
    let fourth = assert_new(harness, timed("fourth"));
    assert_ne!(third, fourth);
    assert_eq!([consumer.work(), consumer.work()], ["third", "fourth"]);
    // Also if its job is done.
    let Some(keeping) = harness.queue().keeping() else { return };
    keeping.set_retention(Retention::default().done(600 * SECOND));
    harness.pass(6 * SECOND);
    let fifth = assert_new(harness, timed("fifth"));
    assert_eq!(consumer.work(), "fifth");
    assert_kept(harness, timed("kept once more"), &fifth);
    let done = Filter::all().state(MessageState::Done).id(fifth);
    assert_eq!(harness.queue().delete(&done).expect("delete"), 1);
    assert_new(harness, timed("sixth"));
}

pub(super) fn a_waiting_message_is_replaced(harness: &dyn Harness) {
    if !keeps_keys(harness) {
        return;
    }
    let id = assert_new(harness, priority(replacing("first"), 10));
    harness.put(priority(message("behind"), 10));
    let replaced = |message: NewMessage| {
        assert_eq!(publish(harness, message), Enqueued::duplicate(id.clone(), Publication::Replaced));
    };
    replaced(priority(replacing("second"), 10));
    let mut consumer = harness.consumer();
    // It keeps its place, and its attempts are reset.
    let delivery = consumer.take();
    assert_eq!(text(&delivery), "second");
    consumer.settle(&delivery.lease, &mut Settlement::rollback(Duration::ZERO, "failed", true)).expect("rollback");
    assert_eq!(harness.peek(&id).attempts, 1);
    let long = "x".repeat(5000);
    replaced(ttr(priority(replacing(&long), 10), 90 * SECOND));
    let delivery = consumer.take();
    assert_eq!((text(&delivery), delivery.attempts, delivery.ttr), (long, 0, 90 * SECOND));
    consumer.settle(&delivery.lease, &mut Settlement::rollback(Duration::ZERO, "failed", true)).expect("rollback");
    // So do its priority and its queue.
    replaced(priority(replacing("third"), 20));
    assert_eq!(drain(&mut consumer), ["behind", "third"]);
    let id = assert_new(harness, replacing("fourth"));
    let moved = publish(harness, queue(replacing("fifth"), "elsewhere"));
    assert_eq!(moved, Enqueued::duplicate(id, Publication::Replaced));
    consumer.nothing();
    assert_eq!(harness.consumer_of(&["elsewhere"]).work(), "fifth");
    let stats = harness.queue().stats().expect("stats");
    assert_eq!(stats.counts.iter().map(|counts| counts.total()).sum::<u64>(), 0);
}

pub(super) fn a_replacement_with_a_delay_starts_the_delay_again(harness: &dyn Harness) {
    if !keeps_keys(harness) {
        return;
    }
    let mut consumer = harness.consumer();
    let id = assert_new(harness, delay(replacing("first"), harness.in_seconds(4)));
    harness.pass(3 * SECOND);
    let second = publish(harness, delay(replacing("second"), harness.in_seconds(4)));
    assert_eq!(second, Enqueued::duplicate(id.clone(), Publication::Replaced));
    harness.pass(2 * SECOND);
    assert_eq!(harness.state(&id), MessageState::Delayed);
    consumer.nothing();
    harness.pass(3 * SECOND);
    assert_eq!(consumer.work(), "second");
    // A running message is not replaced: the next one waits beside it.
    let running = assert_new(harness, replacing("running"));
    let delivery = consumer.take();
    let next = assert_new(harness, replacing("next"));
    assert_ne!(running, next);
    consumer.settle(&delivery.lease, &mut Settlement::commit()).expect("commit");
    assert_eq!(drain(&mut consumer), ["next"]);
}

pub(super) fn a_rejected_message_refuses_its_batch(harness: &dyn Harness) {
    if !keeps_keys(harness) {
        return;
    }
    let id = assert_new(harness, rejecting("first"));
    assert_rejected(harness.queue().enqueue(vec![rejecting("second")]), &id);
    let batch = vec![message("plain"), keyed("unique", "b"), rejecting("third"), keyed("more", "c")];
    assert_rejected(harness.queue().enqueue(batch), &id);
    assert_eq!(count(harness), 1);
    assert_eq!(harness.consumer().work(), "first");
    assert_new(harness, rejecting("fourth"));
}

pub(super) fn a_batch_keeps_the_first_of_each_key(harness: &dyn Harness) {
    if !keeps_keys(harness) {
        return;
    }
    let there = assert_new(harness, keyed("there", "b"));
    let batch = vec![keyed("1", "a"), keyed("2", "b"), message("3"), keyed("4", "a"), keyed("5", "c"), keyed("6", "a")];
    let enqueued = harness.queue().enqueue(batch).expect("enqueue");
    let publications: Vec<_> = enqueued.iter().map(|one| one.publication).collect();
    use Publication::{Kept, New};
    assert_eq!(publications, [New, Kept, New, Kept, New, Kept]);
    assert_eq!(enqueued[1].id, there);
    assert!(enqueued[3].id == enqueued[0].id && enqueued[5].id == enqueued[0].id);
    assert_eq!(drain(&mut harness.consumer()), ["there", "1", "3", "5"]);
}

pub(super) fn a_retry_waits_beside_a_newer_message(harness: &dyn Harness) {
    if !keeps_keys(harness) {
        return;
    }
    let mut consumer = harness.consumer();
    let first = assert_new(harness, waiting("first"));
    let running = consumer.take();
    // Without a newer message, it takes its key again.
    consumer.settle(&running.lease, &mut Settlement::rollback(Duration::ZERO, "failed", true)).expect("rollback");
    assert_kept(harness, waiting("kept"), &first);
    let running = consumer.take();
    let second = assert_new(harness, waiting("second"));
    consumer.settle(&running.lease, &mut Settlement::rollback(Duration::ZERO, "failed", true)).expect("rollback");
    assert_eq!(count(harness), 2);
    assert_kept(harness, waiting("kept by the newest"), &second);
    let replaced = publish(harness, replacing("second, replaced"));
    assert_eq!(replaced, Enqueued::duplicate(second.clone(), Publication::Replaced));
    // When the newest message is gone, the other one holds the key.
    assert_eq!(harness.queue().delete(&Filter::all().id(second)).expect("delete"), 1);
    assert_kept(harness, waiting("kept by the retry"), &first);
    assert_eq!(drain(&mut consumer), ["first"]);
    assert_new(harness, waiting("third"));
}

pub(super) fn a_run_whose_worker_dies_does_not_block_its_key(harness: &dyn Harness) {
    if !keeps_keys(harness) {
        return;
    }
    let mut consumer = harness.consumer();
    let first = assert_new(harness, ttr(waiting("first"), SECOND));
    let _running = consumer.take();
    let second = assert_new(harness, ttr(waiting("second"), SECOND));
    harness.pass(2 * SECOND);
    // The first message is back, and both run.
    let again = consumer.take();
    assert_eq!((again.lease.id.clone(), again.attempts), (first, 1));
    assert_kept(harness, waiting("kept"), &second);
    consumer.settle(&again.lease, &mut Settlement::commit()).expect("commit");
    assert_eq!(consumer.work(), "second");
    assert_new(harness, waiting("third"));
    let unfinished = assert_new(harness, ttr(keyed("unfinished", "b"), SECOND));
    assert_eq!(consumer.work(), "third");
    let _running = consumer.take();
    harness.pass(2 * SECOND);
    assert_kept(harness, keyed("kept", "b"), &unfinished);
    assert_eq!(consumer.work(), "unfinished");
    assert_new(harness, keyed("last", "b"));
}

pub(super) fn a_kick_leaves_a_message_whose_key_is_taken(harness: &dyn Harness) {
    if !keeps_keys(harness) {
        return;
    }
    let mut consumer = harness.consumer();
    let buried = assert_new(harness, keyed("buried", "a"));
    let delivery = consumer.take();
    consumer.settle(&delivery.lease, &mut Settlement::bury("fatal", true)).expect("bury");
    assert_eq!(harness.queue().key_taken_by(&buried).expect("taken by"), None);
    let newer = assert_new(harness, keyed("newer", "a"));
    assert_eq!(harness.queue().key_taken_by(&buried).expect("taken by"), Some(newer.clone()));
    let this_one = Filter::all().id(buried.clone());
    assert_eq!(harness.queue().kick(&this_one).expect("kick"), 0);
    assert_eq!(harness.state(&buried), MessageState::Buried);
    assert_eq!(consumer.work(), "newer");
    assert_eq!(harness.queue().kick(&this_one).expect("kick"), 1);
    // It holds its key again.
    assert_kept(harness, keyed("kept", "a"), &buried);
    assert_eq!(drain(&mut consumer), ["buried"]);
    // Of two buried messages with one key, a kick of both requeues one.
    for text in ["one", "two"] {
        assert_new(harness, keyed(text, "b"));
        let delivery = consumer.take();
        consumer.settle(&delivery.lease, &mut Settlement::bury("fatal", true)).expect("bury");
    }
    assert_eq!(harness.queue().kick(&Filter::all()).expect("kick"), 1);
    assert_eq!(drain(&mut consumer).len(), 1);
    assert_eq!(harness.queue().kick(&Filter::all()).expect("kick"), 1);
}

pub(super) fn follow_ups_of_a_job_are_unique_too(harness: &dyn Harness) {
    if !keeps_keys(harness) {
        return;
    }
    let mut consumer = harness.consumer();
    let there = assert_new(harness, keyed("there", "b"));
    // A job may publish its own successor.
    let job = assert_new(harness, priority(keyed("job", "a"), 0));
    let delivery = consumer.take();
    assert_eq!(delivery.lease.id, job);
    let follow_ups = vec![keyed("successor", "a"), keyed("kept", "b"), keyed("new", "c"), keyed("kept", "c")];
    consumer.settle(&delivery.lease, &mut Settlement::commit_with(follow_ups)).expect("commit");
    assert_eq!(count(harness), 3);
    // A rejected follow-up makes the commit fail: the job can still fail.
    harness.put(priority(message("other job"), 0));
    let delivery = consumer.take();
    let rejected = message("rejected").unique(Unique::new("b").on_duplicate(OnDuplicate::Reject));
    let mut commit = Settlement::commit_with(vec![message("not without the other"), rejected]);
    if harness.queue().capabilities().atomic_batches {
        assert_rejected(consumer.settle(&delivery.lease, &mut commit), &there);
        assert_eq!(count(harness), 4);
        consumer.settle(&delivery.lease, &mut Settlement::bury("refused", true)).expect("bury");
    }
    assert_eq!(drain(&mut consumer), ["there", "successor", "new"]);
}

pub(super) fn an_expired_message_does_not_keep_its_key(harness: &dyn Harness) {
    if !keeps_keys(harness) {
        return;
    }
    let expiring = |key: &str, unique_for| {
        let mut message = message("old").unique(Unique::new(key).unique_for(unique_for));
        let expiration = harness.in_seconds(2).to_rfc3339();
        let header = serde_json::json!({"request_type": "type", "expiration": expiration});
        message.text = serde_json::json!({"header": header, "body": {"text": "old"}}).to_string();
        message
    };
    let first = assert_new(harness, expiring("a", UniqueFor::Unfinished));
    let second = assert_new(harness, expiring("b", UniqueFor::Waiting));
    assert_kept(harness, keyed("kept", "a"), &first);
    harness.pass(3 * SECOND);
    // No worker has looked, and neither message will ever run.
    let newer = assert_new(harness, keyed("newer", "a"));
    assert_kept(harness, keyed("kept", "a"), &newer);
    let waits = message("newer").unique(Unique::new("b").unique_for(UniqueFor::Waiting));
    assert_ne!(assert_new(harness, waits), second);
}

pub(super) fn one_of_simultaneous_producers_publishes(harness: &dyn Harness) {
    if !keeps_keys(harness) {
        return;
    }
    const PRODUCERS: usize = 8;
    let start = Barrier::new(PRODUCERS);
    for round in 0..10 {
        let key = format!("round {round}");
        let (key, start) = (&*key, &start);
        let all: Vec<Enqueued> = std::thread::scope(|scope| {
            let publish = || {
                start.wait();
                publish(harness, keyed("x", key))
            };
            let producers: Vec<_> = (0..PRODUCERS).map(|_| scope.spawn(publish)).collect();
            producers.into_iter().map(|producer| producer.join().expect("published")).collect()
        });
        let new = all.iter().filter(|one| one.publication == Publication::New).count();
        assert_eq!(new, 1, "{all:?}");
        assert!(all.iter().all(|one| one.id == all[0].id), "{all:?}");
    }
    assert_eq!(count(harness), 10);
}

pub(super) fn a_message_without_a_key_is_never_a_duplicate(harness: &dyn Harness) {
    let enqueued = harness.queue().enqueue(vec![message("same"), message("same")]).expect("enqueue");
    assert!(enqueued.iter().all(|one| one.publication == Publication::New));
    assert_ne!(enqueued[0].id, enqueued[1].id);
    let mut consumer = harness.consumer_of(&[QUEUE]);
    for _ in 0..2 {
        let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("a message");
        assert_eq!(harness.queue().key_taken_by(&delivery.lease.id).expect("taken by"), None);
        consumer.settle(&delivery.lease, &mut Settlement::commit()).expect("commit");
    }
}

pub(super) fn batches_with_the_same_keys_never_stop_each_other(harness: &dyn Harness) {
    if !keeps_keys(harness) {
        return;
    }
    const PRODUCERS: usize = 4;
    const KEYS: usize = 6;
    let start = Barrier::new(PRODUCERS);
    for on_duplicate in [OnDuplicate::Keep, OnDuplicate::Replace] {
        let message = |key: usize| {
            let key = Unique::new(format!("{on_duplicate} {key}")).unique_for(UniqueFor::Waiting);
            message("x").unique(key.on_duplicate(on_duplicate))
        };
        for round in 0..3 {
            let (message, start) = (&message, &start);
            let all: Vec<Enqueued> = std::thread::scope(|scope| {
                // Each producer publishes in a different order.
                let publish = |producer: usize| {
                    let mut batch: Vec<_> = (0..KEYS).map(message).collect();
                    batch.rotate_left(producer * KEYS / PRODUCERS);
                    if producer % 2 == 1 {
                        batch.reverse();
                    }
                    start.wait();
                    harness.queue().enqueue(batch).expect("enqueue")
                };
                let producers: Vec<_> = (0..PRODUCERS).map(|producer| scope.spawn(move || publish(producer))).collect();
                producers.into_iter().flat_map(|producer| producer.join().expect("published")).collect()
            });
            let new = all.iter().filter(|one| one.publication == Publication::New).count();
            assert_eq!((all.len(), new), (PRODUCERS * KEYS, if round == 0 { KEYS } else { 0 }), "{all:?}");
        }
    }
    assert_eq!(count(harness), 2 * KEYS);
}

pub(super) fn any_text_can_be_a_unique_key(harness: &dyn Harness) {
    if !keeps_keys(harness) {
        return;
    }
    for key in ["a", "A", "a ", "ä", "a\u{308}", "\0", "a\0b", "a\nb", "'; --", "\u{1F980}", "%", "\\"] {
        let first = assert_new(harness, keyed("one", key));
        assert_kept(harness, keyed("two", key), &first);
    }
}
