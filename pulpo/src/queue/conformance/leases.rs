//! Who may settle a message, and until when.

use std::collections::HashSet;
use std::time::Duration;

use super::{
    ConsumerExt as _, Delivery, Filter, Harness, HarnessExt as _, LONG, MessageId, QueueError, SECOND, Sleeper, State,
    assert_all_lost, drain, message, text, ttr,
};
use crate::queue::Consumer;

/// A message of which the first consumer has lost the lease.
fn lost(harness: &dyn Harness) -> (Box<dyn Consumer>, Delivery) {
    let mut sleeper = Sleeper::new(harness);
    harness.put(ttr(message("slow"), SECOND));
    let delivery = sleeper.seat.take();
    sleeper.sleep(harness, 2 * SECOND);
    (sleeper.seat, delivery)
}

pub(super) fn a_message_is_leased_to_one_consumer(harness: &dyn Harness) {
    let id = harness.put(message("once"));
    let (mut one, mut two) = (harness.seat(), harness.seat());
    let delivery = one.take();
    assert_eq!(delivery.lease.id, id);
    assert_eq!(harness.state(&id), State::Reserved);
    two.nothing();
    one.nothing();
    one.commit(&delivery.lease).expect("commit");
    assert!(harness.queue().peek(&id).expect("peek").is_none(), "a message that is done is gone");
    two.nothing();
}

pub(super) fn a_lease_ends_with_its_ttr(harness: &dyn Harness) {
    let (mut one, mut two) = (Sleeper::new(harness), harness.seat());
    harness.put(ttr(message("slow"), 3 * SECOND));
    let first = one.seat.take();
    assert_eq!(first.ttr, 3 * SECOND);
    harness.pass(SECOND);
    two.nothing();
    one.sleep(harness, 3 * SECOND);
    let second = two.take();
    assert_eq!(second.lease.id, first.lease.id);
    assert_ne!(second.lease, first.lease, "each lease has its own token");
    two.commit(&second.lease).expect("commit");
}

pub(super) fn late_calls_do_nothing_while_another_has_the_message(harness: &dyn Harness) {
    let (mut late, old) = lost(harness);
    let mut other = harness.seat();
    let new = other.take();
    other.touch(&new.lease).expect("touch");
    assert_all_lost(&mut *late, &old.lease);
    assert_eq!(harness.state(&new.lease.id), State::Reserved);
    other.commit(&new.lease).expect("the new lease holds");
}

pub(super) fn a_late_commit_before_another_looked_is_done_or_lost(harness: &dyn Harness) {
    let (mut late, old) = lost(harness);
    // A queue may notice the end of a lease only when it looks for a message.
    // Until then nobody else can have it, and the work is not done in vain.
    match late.commit(&old.lease) {
        Ok(()) => assert!(harness.queue().peek(&old.lease.id).expect("peek").is_none()),
        Err(QueueError::LeaseLost { .. }) => {
            assert_all_lost(&mut *late, &old.lease);
            assert_eq!(harness.state(&old.lease.id), State::Ready);
            assert_eq!(harness.seat().take().attempts, 1);
        }
        Err(other) => panic!("expected that the late commit is done or says LeaseLost, got {other:?}"),
    }
}

pub(super) fn late_calls_do_nothing_to_a_delayed_message(harness: &dyn Harness) {
    let (mut late, old) = lost(harness);
    let mut other = harness.seat();
    let new = other.take();
    other.rollback(&new.lease, LONG, "again", true).expect("rollback");
    assert_all_lost(&mut *late, &old.lease);
    assert_eq!(harness.state(&old.lease.id), State::Delayed);
}

pub(super) fn late_calls_do_nothing_to_a_buried_message(harness: &dyn Harness) {
    let (mut late, old) = lost(harness);
    let mut other = harness.seat();
    let new = other.take();
    other.bury(&new.lease, "fatal", true).expect("bury");
    assert_all_lost(&mut *late, &old.lease);
    assert_eq!(harness.state(&old.lease.id), State::Buried);
}

pub(super) fn the_same_consumer_has_a_new_lease_after_the_old(harness: &dyn Harness) {
    let (mut seat, old) = lost(harness);
    let new = seat.take();
    assert_eq!(new.lease.id, old.lease.id);
    assert_all_lost(&mut *seat, &old.lease);
    seat.commit(&new.lease).expect("the new lease holds");
}

pub(super) fn a_settled_message_cannot_be_settled_again(harness: &dyn Harness) {
    let mut seat = harness.seat();
    harness.put(message("done"));
    let done = seat.take().lease;
    seat.commit(&done).expect("commit");
    assert_all_lost(&mut *seat, &done);

    harness.put(message("again"));
    let again = seat.take().lease;
    seat.rollback(&again, Duration::ZERO, "again", true).expect("rollback");
    assert_all_lost(&mut *seat, &again);
    assert_eq!(harness.state(&again.id), State::Ready);

    let buried = seat.take().lease;
    seat.bury(&buried, "fatal", true).expect("bury");
    assert_all_lost(&mut *seat, &buried);
    assert_eq!(harness.state(&again.id), State::Buried);
}

pub(super) fn what_was_put_off_is_done_at_the_end(harness: &dyn Harness) {
    let ids: Vec<_> = (0..5).map(|n| harness.put(message(&n.to_string()))).collect();
    let mut seat = harness.seat();
    let mut worked = Vec::new();
    for _ in 0..3 {
        let delivery = seat.take();
        seat.commit_soon(&delivery.lease).expect("commit");
        worked.push(delivery.lease.id);
    }
    seat.finish().expect("finish");
    assert_eq!(worked, ids[..3]);
    for id in &ids[..3] {
        assert!(harness.queue().peek(id).expect("peek").is_none(), "it is done");
    }
    for id in &ids[3..] {
        let left = harness.peek(id);
        assert_eq!((left.state, left.attempts), (State::Ready, 0), "what nobody took is as it was");
    }
    assert!(seat.lost().is_empty());
    assert_eq!(drain(&mut seat), ["3", "4"]);
}

pub(super) fn what_was_put_off_for_too_long_is_lost(harness: &dyn Harness) {
    let (mut late, old) = lost(harness);
    let mut other = harness.seat();
    let new = other.take();
    other.touch(&new.lease).expect("touch");
    match late.commit_soon(&old.lease) {
        Err(QueueError::LeaseLost { id }) => assert_eq!(id, old.lease.id),
        Ok(()) => {
            late.finish().expect("finish");
            assert_eq!(late.lost(), [old.lease], "it is said later");
            assert!(late.lost().is_empty(), "and once");
        }
        Err(other) => panic!("expected that the late commit is lost, got {other:?}"),
    }
    assert_eq!(harness.state(&new.lease.id), State::Reserved);
    other.commit(&new.lease).expect("the new lease holds");
}

pub(super) fn touch_renews_a_lease(harness: &dyn Harness) {
    harness.put(ttr(message("long"), 3 * SECOND));
    let (mut one, mut two) = (harness.seat(), harness.seat());
    let delivery = one.take();
    for _ in 0..2 {
        harness.pass(2 * SECOND);
        one.touch(&delivery.lease).expect("touch");
    }
    two.nothing();
    one.commit(&delivery.lease).expect("commit");
}

pub(super) fn one_consumer_holds_several_leases(harness: &dyn Harness) {
    for text in ["a", "b", "c"] {
        harness.put(message(text));
    }
    let mut seat = harness.seat();
    let (a, b, c) = (seat.take(), seat.take(), seat.take());
    seat.nothing();
    seat.commit(&b.lease).expect("commit");
    seat.bury(&c.lease, "fatal", true).expect("bury");
    seat.rollback(&a.lease, Duration::ZERO, "again", true).expect("rollback");
    assert_eq!(drain(&mut seat), ["a"]);
    assert_eq!(harness.state(&c.lease.id), State::Buried);
}

pub(super) fn consumers_never_share_a_message(harness: &dyn Harness) {
    const MESSAGES: usize = 400;
    let all: Vec<_> = (0..MESSAGES).map(|n| message(&n.to_string())).collect();
    harness.queue().enqueue(all).expect("enqueue");
    let worked: Vec<(MessageId, String)> = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut seat = harness.seat();
                    let mut worked = Vec::new();
                    while let Some(delivery) = seat.dequeue(Duration::ZERO).expect("dequeue") {
                        seat.commit(&delivery.lease).expect("commit");
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

pub(super) fn a_consumer_that_goes_loses_its_leases(harness: &dyn Harness) {
    harness.put(ttr(message("orphan"), SECOND));
    let mut gone = harness.seat();
    gone.take();
    drop(gone);
    harness.pass(2 * SECOND);
    let delivery = harness.seat().take();
    assert_eq!((delivery.attempts, delivery.lost), (1, 1));
}
