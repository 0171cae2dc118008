//! Leases: which consumer may settle a message, and until when.

use std::collections::HashSet;
use std::time::Duration;

use super::harness::Harness;
use super::steps::{
    ConsumerExt as _, HarnessExt as _, LONG, SECOND, Sleeper, assert_all_lost, drain, in_order, message, text, touch,
    ttr,
};
use crate::message::MessageId;
use crate::queue::{Consumer, Delivery, DequeueFilter, Filter, MessageState, QueueError, Settlement};

/// Creates a message whose lease the first consumer has lost. Its next lease lasts long enough for some calls, even on a
/// machine that does other things too.
fn lost(harness: &dyn Harness) -> (Box<dyn Consumer>, Delivery) {
    let mut sleeper = Sleeper::new(harness);
    harness.put(ttr(message("slow"), 2 * SECOND));
    let delivery = sleeper.consumer.take();
    sleeper.sleep(harness, 3 * SECOND);
    (sleeper.consumer, delivery)
}

pub(super) fn a_message_is_leased_to_one_consumer(harness: &dyn Harness) {
    let id = harness.put(message("once"));
    let (mut one, mut two) = (harness.consumer(), harness.consumer());
    let delivery = one.take();
    assert_eq!(delivery.lease.id, id);
    assert_eq!(harness.state(&id), MessageState::Reserved);
    two.nothing();
    one.nothing();
    one.settle(&delivery.lease, &mut Settlement::commit()).expect("commit");
    assert!(harness.is_gone(&id), "a message that is done is gone");
    two.nothing();
}

pub(super) fn a_lease_ends_with_its_ttr(harness: &dyn Harness) {
    let (mut one, mut two) = (Sleeper::new(harness), harness.consumer());
    harness.put(ttr(message("slow"), 3 * SECOND));
    let first = one.consumer.take();
    assert_eq!(first.ttr, 3 * SECOND);
    harness.pass(SECOND);
    two.nothing();
    one.sleep(harness, 3 * SECOND);
    let second = two.take();
    assert_eq!(second.lease.id, first.lease.id);
    assert_ne!(second.lease, first.lease, "each lease has its own token");
    two.settle(&second.lease, &mut Settlement::commit()).expect("commit");
}

pub(super) fn late_calls_do_nothing_while_another_has_the_message(harness: &dyn Harness) {
    let (mut late, old) = lost(harness);
    let mut other = harness.consumer();
    let new = other.take();
    touch(&mut *other, &new.lease).expect("touch");
    assert_all_lost(&mut *late, &old.lease);
    assert_eq!(harness.state(&new.lease.id), MessageState::Reserved);
    other.settle(&new.lease, &mut Settlement::commit()).expect("the new lease holds");
}

pub(super) fn a_late_commit_before_another_looked_is_done_or_lost(harness: &dyn Harness) {
    let (mut late, old) = lost(harness);
    // A queue may notice the end of a lease only when it looks for a message. Until then no other consumer can have it,
    // so the work is not wasted.
    match late.settle(&old.lease, &mut Settlement::commit()) {
        Ok(()) => assert!(harness.is_gone(&old.lease.id)),
        Err(QueueError::LeaseLost { .. }) => {
            assert_all_lost(&mut *late, &old.lease);
            assert_eq!(harness.state(&old.lease.id), MessageState::Ready);
            assert_eq!(harness.consumer().take().attempts, 1);
        }
        Err(other) => panic!("expected the late commit to be done or to return LeaseLost, got {other:?}"),
    }
}

pub(super) fn late_calls_do_nothing_to_a_delayed_message(harness: &dyn Harness) {
    let (mut late, old) = lost(harness);
    let mut other = harness.consumer();
    let new = other.take();
    other.settle(&new.lease, &mut Settlement::rollback(LONG, "again", true)).expect("rollback");
    assert_all_lost(&mut *late, &old.lease);
    assert_eq!(harness.state(&old.lease.id), MessageState::Delayed);
}

pub(super) fn late_calls_do_nothing_to_a_buried_message(harness: &dyn Harness) {
    let (mut late, old) = lost(harness);
    let mut other = harness.consumer();
    let new = other.take();
    other.settle(&new.lease, &mut Settlement::bury("fatal", true)).expect("bury");
    assert_all_lost(&mut *late, &old.lease);
    assert_eq!(harness.state(&old.lease.id), MessageState::Buried);
}

pub(super) fn the_same_consumer_has_a_new_lease_after_the_old(harness: &dyn Harness) {
    let (mut consumer, old) = lost(harness);
    let new = consumer.take();
    assert_eq!(new.lease.id, old.lease.id);
    assert_all_lost(&mut *consumer, &old.lease);
    consumer.settle(&new.lease, &mut Settlement::commit()).expect("the new lease holds");
}

pub(super) fn a_settled_message_cannot_be_settled_again(harness: &dyn Harness) {
    let mut consumer = harness.consumer();
    harness.put(message("done"));
    let done = consumer.take().lease;
    consumer.settle(&done, &mut Settlement::commit()).expect("commit");
    assert_all_lost(&mut *consumer, &done);

    harness.put(message("again"));
    let again = consumer.take().lease;
    consumer.settle(&again, &mut Settlement::rollback(Duration::ZERO, "again", true)).expect("rollback");
    assert_all_lost(&mut *consumer, &again);
    assert_eq!(harness.state(&again.id), MessageState::Ready);

    let buried = consumer.take().lease;
    consumer.settle(&buried, &mut Settlement::bury("fatal", true)).expect("bury");
    assert_all_lost(&mut *consumer, &buried);
    assert_eq!(harness.state(&again.id), MessageState::Buried);
}

pub(super) fn several_that_are_settled_together_each_have_a_result(harness: &dyn Harness) {
    let mut consumer = harness.consumer();
    let put = |name: &str| harness.put(message(name));
    put("settled before");
    let settled = consumer.take().lease;
    consumer.settle(&settled, &mut Settlement::commit()).expect("commit");
    let ids = ["one", "two"].map(put);
    let leases = [consumer.take().lease, consumer.take().lease];
    let back = || Settlement::rollback(Duration::ZERO, "stopped", false);
    let mut all: Vec<_> = leases.into_iter().chain([settled]).map(|lease| (lease, back())).collect();
    let results = consumer.settle_all(&mut all);
    assert!(matches!(results[..], [Ok(()), Ok(()), Err(QueueError::LeaseLost { .. })]), "{results:?}");
    for id in &ids {
        assert_eq!(harness.state(id), MessageState::Ready);
    }
}

pub(super) fn deferred_commits_are_made_at_the_end(harness: &dyn Harness) {
    let ids: Vec<_> = (0..5).map(|n| harness.put(message(&n.to_string()))).collect();
    let mut consumer = harness.consumer();
    let mut worked = Vec::new();
    for _ in 0..3 {
        let delivery = consumer.take();
        consumer.settle(&delivery.lease, &mut Settlement::deferrable_commit()).expect("commit");
        worked.push(delivery.lease.id);
    }
    consumer.flush().expect("finish");
    let (done, left): (Vec<_>, Vec<_>) = ids.iter().cloned().partition(|id| worked.contains(id));
    assert_eq!(in_order(harness, worked), in_order(harness, done.clone()));
    if harness.queue().capabilities().total_order {
        assert_eq!(done, ids[..3]);
    }
    for id in &done {
        assert!(harness.is_gone(id), "it is done");
    }
    let number = |id: &MessageId| ids.iter().position(|other| other == id).expect("one of them").to_string();
    let texts: Vec<_> = left.iter().map(number).collect();
    assert_eq!(texts.len(), 2);
    for id in &left {
        let left = harness.peek(id);
        assert_eq!((left.state, left.attempts), (MessageState::Ready, 0), "it is as it was before the lease");
    }
    assert!(consumer.take_lost_leases().is_empty());
    assert_eq!(in_order(harness, drain(&mut consumer)), in_order(harness, texts));
}

pub(super) fn a_commit_deferred_for_too_long_is_lost(harness: &dyn Harness) {
    let (mut late, old) = lost(harness);
    let mut other = harness.consumer();
    let new = other.take();
    touch(&mut *other, &new.lease).expect("touch");
    match late.settle(&old.lease, &mut Settlement::deferrable_commit()) {
        Err(QueueError::LeaseLost { id }) => assert_eq!(id, old.lease.id),
        Ok(()) => {
            late.flush().expect("finish");
            assert_eq!(late.take_lost_leases(), [old.lease], "the loss is reported later");
            assert!(late.take_lost_leases().is_empty(), "and only once");
        }
        Err(other) => panic!("expected the late commit to be lost, got {other:?}"),
    }
    assert_eq!(harness.state(&new.lease.id), MessageState::Reserved);
    other.settle(&new.lease, &mut Settlement::commit()).expect("the new lease holds");
}

pub(super) fn touch_renews_a_lease(harness: &dyn Harness) {
    harness.put(ttr(message("long"), 6 * SECOND));
    let (mut one, mut two) = (harness.consumer(), harness.consumer());
    let delivery = one.take();
    for _ in 0..2 {
        harness.pass(4 * SECOND);
        touch(&mut *one, &delivery.lease).expect("touch");
    }
    two.nothing();
    one.settle(&delivery.lease, &mut Settlement::commit()).expect("commit");
}

pub(super) fn one_consumer_holds_several_leases(harness: &dyn Harness) {
    for text in ["a", "b", "c"] {
        harness.put(message(text));
    }
    let mut consumer = harness.consumer();
    let (a, b, c) = (consumer.take(), consumer.take(), consumer.take());
    consumer.nothing();
    consumer.settle(&b.lease, &mut Settlement::commit()).expect("commit");
    consumer.settle(&c.lease, &mut Settlement::bury("fatal", true)).expect("bury");
    consumer.settle(&a.lease, &mut Settlement::rollback(Duration::ZERO, "again", true)).expect("rollback");
    assert_eq!(drain(&mut consumer), [text(&a)]);
    assert_eq!(harness.state(&c.lease.id), MessageState::Buried);
}

pub(super) fn consumers_never_share_a_message(harness: &dyn Harness) {
    const MESSAGES: usize = 400;
    let all: Vec<_> = (0..MESSAGES).map(|n| message(&n.to_string())).collect();
    harness.queue().enqueue(all).expect("enqueue");
    let worked: Vec<(MessageId, String)> = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut consumer = harness.consumer();
                    let mut worked = Vec::new();
                    while let Some(delivery) = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue")
                    {
                        consumer.settle(&delivery.lease, &mut Settlement::commit()).expect("commit");
                        worked.push((delivery.lease.id.clone(), text(&delivery)));
                    }
                    worked
                })
            })
            .collect();
        lanes.into_iter().flat_map(|lane| lane.join().expect("the lane")).collect()
    });
    assert_eq!(worked.len(), MESSAGES);
    let distinct: HashSet<_> = worked.iter().collect();
    assert_eq!(distinct.len(), MESSAGES, "each message goes to one consumer");
    assert!(harness.queue().list(&Filter::all()).expect("list").is_empty());
}

pub(super) fn the_leases_of_a_dropped_consumer_end(harness: &dyn Harness) {
    harness.put(ttr(message("orphan"), SECOND));
    let mut gone = harness.consumer();
    gone.take();
    drop(gone);
    harness.pass(2 * SECOND);
    let delivery = harness.consumer().take();
    assert_eq!((delivery.attempts, delivery.abandoned), (1, 1));
}

pub(super) fn touch_says_which_of_several_leases_are_lost(harness: &dyn Harness) {
    let [_, _, _] = ["a", "b", "c"].map(|name| harness.put(message(name)));
    let mut consumer = harness.consumer();
    let [a, b, c] = [(); 3].map(|()| consumer.take().lease);
    consumer.settle(&b, &mut Settlement::commit()).expect("commit");
    assert_eq!(consumer.touch(&[a.clone(), b.clone(), c.clone()]).expect("touch"), [b]);
    assert_eq!(consumer.touch(&[]).expect("touch"), []);
    for lease in [a, c] {
        consumer.settle(&lease, &mut Settlement::commit()).expect("commit");
    }
}

pub(super) fn follow_ups_of_a_job_are_kept_with_its_commit(harness: &dyn Harness) {
    let id = harness.put(message("first"));
    let mut consumer = harness.consumer();
    let first = consumer.take();
    let mut commit = Settlement::commit_with(vec![message("second"), message("third")]);
    consumer.settle(&first.lease, &mut commit).expect("commit");
    assert!(commit.follow_ups().is_empty(), "stored follow-ups are removed");
    assert!(harness.is_gone(&id));
    assert_eq!(drain(&mut consumer), ["second", "third"]);
}

pub(super) fn a_run_that_has_lost_its_lease_publishes_no_follow_ups(harness: &dyn Harness) {
    let (mut late, old) = lost(harness);
    let mut other = harness.consumer();
    let new = other.take();
    let mut commit = Settlement::commit_with(vec![message("second")]);
    match late.settle(&old.lease, &mut commit) {
        Err(QueueError::LeaseLost { id }) => assert_eq!(id, old.lease.id),
        settled => panic!("expected LeaseLost from the late commit, got {settled:?}"),
    }
    assert_eq!(commit.follow_ups().len(), 1, "it is still there to be stored");
    other.settle(&new.lease, &mut Settlement::commit()).expect("the new lease holds");
    assert_eq!(drain(&mut other), [""; 0]);
}

pub(super) fn a_commit_with_follow_ups_is_never_deferred(harness: &dyn Harness) {
    let id = harness.put(message("first"));
    let mut consumer = harness.consumer();
    let first = consumer.take();
    let mut commit = Settlement::Commit { follow_ups: vec![message("second")], result: None, deferrable: true };
    consumer.settle(&first.lease, &mut commit).expect("commit");
    assert!(harness.is_gone(&id));
    assert_eq!(drain(&mut harness.consumer()), ["second"]);
}
