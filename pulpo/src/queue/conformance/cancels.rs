//! Cancelling messages.

use std::time::Duration;

use super::harness::Harness;
use super::steps::{
    ConsumerExt as _, HarnessExt as _, LONG, QUEUE, SECOND, assert_all_lost, delay, drain, everything, message, queue,
    text, touch, ttr,
};
use crate::keys::Publication;
use crate::message::{Incoming, MessageId};
use crate::queue::{
    CANCELLED, Cancelled, Consumer, DequeueFilter, Filter, Lease, Limit, LimitKind, LimitScope, LongRun, MessageState,
    NewMessage, QueueError, Settlement, Unique,
};

/// Returns whether this queue cancels; if not, asserts that it refuses to.
fn cancels(harness: &dyn Harness) -> bool {
    if harness.queue().capabilities().cancels {
        return true;
    }
    let id = harness.put(message("waits"));
    let refused = harness.queue().cancel(&Filter::all().id(id.clone()));
    assert!(matches!(refused, Err(QueueError::Unsupported(_))), "{refused:?}");
    assert_eq!(harness.state(&id), MessageState::Ready, "the message is unchanged");
    false
}

fn cancel(harness: &dyn Harness, id: &MessageId) -> Cancelled {
    harness.queue().cancel(&Filter::all().id(id.clone())).expect("cancel")
}

#[track_caller]
fn assert_cancelled(harness: &dyn Harness, id: &MessageId, attempts: u32) {
    let message = harness.peek(id);
    assert_eq!(message.state, MessageState::Buried);
    assert_eq!(message.attempts, attempts, "a cancelled run does not count as an attempt");
    assert!(!message.cancelled, "only a running message has a mark");
    assert_eq!((message.until, message.lease, message.progress), (None, None, None));
    if harness.queue().capabilities().burial_reasons {
        assert_eq!(message.last_error.as_deref(), Some(CANCELLED));
        assert!(message.last_error_at.is_some());
    }
}

/// Creates a message that is running and was cancelled.
fn cancelled_run(harness: &dyn Harness, consumer: &mut Box<dyn Consumer>) -> Lease {
    let id = harness.put(message("runs"));
    let lease = consumer.take().lease;
    assert_eq!(lease.id, id);
    assert_eq!(cancel(harness, &id), Cancelled::new(0, 1));
    let message = harness.peek(&id);
    assert_eq!((message.state, message.cancelled), (MessageState::Reserved, true), "it runs on until its worker knows");
    lease
}

#[track_caller]
fn assert_is_buried_instead(result: &Result<(), QueueError>, lease: &Lease) {
    assert!(matches!(result, Err(QueueError::Cancelled { id }) if *id == lease.id), "{result:?}");
}

pub(super) fn a_waiting_message_is_buried_when_it_is_cancelled(harness: &dyn Harness) {
    if !cancels(harness) {
        return;
    }
    let ready = harness.put(message("ready"));
    let delayed = harness.put(delay(message("delayed"), harness.in_seconds(2)));
    let mut consumer = harness.consumer();
    let failed = harness.put(message("failed before"));
    let mut others = vec![consumer.take(), consumer.take()];
    let second = others.pop().expect("two");
    assert_eq!(second.lease.id, failed);
    consumer.settle(&second.lease, &mut Settlement::rollback(Duration::ZERO, "no luck", true)).expect("rollback");
    consumer.settle(&others[0].lease, &mut Settlement::rollback(Duration::ZERO, "stopped", false)).expect("rollback");
    for (id, attempts) in [(&ready, 0), (&delayed, 0), (&failed, 1)] {
        assert_eq!(cancel(harness, id), Cancelled::new(1, 0));
        assert_cancelled(harness, id, attempts);
    }
    consumer.nothing();
    let counts = harness.queue().stats().expect("stats").counts;
    let sum = |count: fn(&crate::queue::Counts) -> u64| counts.iter().map(count).sum::<u64>();
    assert_eq!((sum(|of| of.ready), sum(|of| of.delayed), sum(|of| of.buried)), (0, 0, 3));
    harness.pass(3 * SECOND);
    consumer.nothing();
}

pub(super) fn cancel_picks_what_the_filter_says(harness: &dyn Harness) {
    if !cancels(harness) {
        return;
    }
    let here = harness.put(message("here"));
    let there = harness.put(queue(message("there"), "other"));
    let mut consumer = harness.consumer();
    let buried = harness.put(message("buried"));
    let first = consumer.take().lease;
    let second = consumer.take().lease;
    assert_eq!((&first.id, &second.id), (&here, &buried));
    consumer.settle(&second, &mut Settlement::bury("fatal", true)).expect("bury");
    let cancelled = |filter: &Filter| harness.queue().cancel(filter).expect("cancel");
    assert_eq!(cancelled(&Filter::all().queue("nowhere")), Cancelled::default());
    assert_eq!(cancelled(&Filter::all().id("no message".into())), Cancelled::default());
    assert_eq!(cancelled(&Filter::all().id(buried.clone())), Cancelled::default(), "it is buried already");
    assert_eq!(cancelled(&Filter::all().state(MessageState::Ready).queue("conformance")), Cancelled::default());
    assert_eq!(cancelled(&Filter::all().state(MessageState::Ready)), Cancelled::new(1, 0));
    assert_cancelled(harness, &there, 0);
    assert_eq!(cancelled(&Filter::all().limit(0)), Cancelled::default());
    assert_eq!(cancelled(&everything()), Cancelled::new(0, 1));
    assert_eq!(cancelled(&everything()), Cancelled::new(0, 1), "cancelling it again changes nothing");
    assert_eq!(harness.peek(&buried).last_error.as_deref(), Some("fatal"));
    consumer.settle(&first, &mut Settlement::commit()).expect_err("buried");
}

pub(super) fn a_cancelled_run_is_buried_however_it_ends(harness: &dyn Harness) {
    if !cancels(harness) {
        return;
    }
    let settlements = [
        Settlement::commit(),
        Settlement::commit_with(vec![message("follows")]),
        Settlement::Expire,
        Settlement::rollback(Duration::ZERO, "again", true),
        Settlement::rollback(Duration::ZERO, "its worker was shut down", false),
        Settlement::rollback(LONG, "later", true),
        Settlement::leave_to_others(SECOND, "no handler"),
        Settlement::bury("fatal", true),
        Settlement::bury(CANCELLED, false),
    ];
    let mut consumer = harness.consumer();
    for mut settlement in settlements {
        let lease = cancelled_run(harness, &mut consumer);
        let result = consumer.settle(&lease, &mut settlement);
        assert_is_buried_instead(&result, &lease);
        assert_cancelled(harness, &lease.id, 0);
        assert_all_lost(&mut *consumer, &lease);
        consumer.nothing();
    }
}

pub(super) fn a_deferred_commit_does_not_count_if_the_job_was_cancelled(harness: &dyn Harness) {
    if !cancels(harness) {
        return;
    }
    let mut consumer = harness.consumer();
    let done = {
        harness.put(message("done"));
        consumer.take().lease
    };
    let lease = cancelled_run(harness, &mut consumer);
    consumer.settle(&done, &mut Settlement::deferrable_commit()).expect("commit");
    match consumer.settle(&lease, &mut Settlement::deferrable_commit()) {
        Ok(()) => {
            consumer.flush().expect("flush");
            assert_eq!(consumer.take_lost_leases(), std::slice::from_ref(&lease), "the loss is reported later");
        }
        refused => {
            assert_is_buried_instead(&refused, &lease);
            consumer.flush().expect("flush");
        }
    }
    assert_cancelled(harness, &lease.id, 0);
    assert!(harness.is_gone(&done.id), "the others are done");
}

pub(super) fn a_worker_learns_which_of_its_runs_are_cancelled(harness: &dyn Harness) {
    if !cancels(harness) || !harness.queue().capabilities().workers {
        return;
    }
    let workers = harness.queue().workers().expect("it knows workers");
    let (mut consumer, mut other) = (harness.consumer(), harness.consumer());
    let cancelled = cancelled_run(harness, &mut consumer);
    let theirs = cancelled_run(harness, &mut other);
    harness.put(message("goes on"));
    let goes_on = consumer.take().lease;
    let follow = |leases: &[&Lease]| {
        let runs: Vec<_> = leases.iter().map(|lease| LongRun::new((*lease).clone())).collect();
        workers.follow_runs(&runs).expect("follow")
    };
    assert_eq!(follow(&[&goes_on]), []);
    assert_eq!(follow(&[&goes_on, &cancelled]), std::slice::from_ref(&cancelled));
    assert_eq!(follow(&[&cancelled, &goes_on]), std::slice::from_ref(&cancelled), "however often it is asked");
    let stale = Lease { id: cancelled.id.clone(), token: "another-1".into() };
    assert_eq!(follow(&[&stale]), [], "that is another run");
    consumer.settle(&cancelled, &mut Settlement::bury(CANCELLED, false)).expect_err("buried");
    assert_eq!(follow(&[&cancelled]), [], "that run is over");
    assert_eq!(follow(&[&theirs]), std::slice::from_ref(&theirs));
}

pub(super) fn a_renewal_keeps_the_mark_of_a_cancelled_run(harness: &dyn Harness) {
    if !cancels(harness) {
        return;
    }
    let mut consumer = harness.consumer();
    let lease = cancelled_run(harness, &mut consumer);
    touch(&mut *consumer, &lease).expect("its lease is renewed as before");
    assert!(harness.peek(&lease.id).cancelled);
    assert_is_buried_instead(&consumer.settle(&lease, &mut Settlement::commit()), &lease);
}

pub(super) fn a_cancelled_run_whose_lease_ends_never_runs_again(harness: &dyn Harness) {
    if !cancels(harness) {
        return;
    }
    let mut dead = harness.consumer();
    let id = harness.put(ttr(message("runs"), SECOND));
    let lease = dead.take().lease;
    assert_eq!(cancel(harness, &id), Cancelled::new(0, 1));
    harness.pass(2 * SECOND);
    let seen = harness.peek(&id);
    assert_eq!(seen.state, MessageState::Buried, "whoever looks first");
    assert_eq!(harness.queue().stats().expect("stats").counts.iter().map(|of| of.buried).sum::<u64>(), 1);
    harness.consumer().nothing();
    harness.pass(3 * SECOND);
    harness.consumer().nothing();
    assert_cancelled(harness, &id, 0);
    assert_all_lost(&mut *dead, &lease);
    assert_cancelled(harness, &id, 0);
}

pub(super) fn a_message_given_back_unrun_is_buried_if_it_was_cancelled(harness: &dyn Harness) {
    if !cancels(harness) {
        return;
    }
    // Some of these are leased ahead, if the queue does that.
    let ids: Vec<_> = (0..8).map(|n| harness.put(message(&n.to_string()))).collect();
    let mut consumer = harness.consumer();
    for _ in 0..4 {
        let lease = consumer.take().lease;
        consumer.settle(&lease, &mut Settlement::deferrable_commit()).expect("commit");
    }
    let cancelled = harness.queue().cancel(&everything()).expect("cancel");
    consumer.flush().expect("flush");
    // A deferred commit may have come before or after the cancel.
    let lost: Vec<_> = consumer.take_lost_leases().into_iter().map(|lease| lease.id).collect();
    assert_eq!(cancelled.total(), 4 + lost.len() as u64);
    for id in &ids[..4] {
        assert_eq!(!harness.is_gone(id), lost.contains(id), "it is done, or reported as lost");
    }
    lost.iter().for_each(|id| assert_cancelled(harness, id, 0));
    assert_eq!(drain(&mut consumer), [""; 0]);
    ids[4..].iter().for_each(|id| assert_cancelled(harness, id, 0));
}

pub(super) fn a_cancelled_message_can_be_kicked(harness: &dyn Harness) {
    if !cancels(harness) {
        return;
    }
    let mut consumer = harness.consumer();
    let lease = cancelled_run(harness, &mut consumer);
    assert_is_buried_instead(&consumer.settle(&lease, &mut Settlement::commit()), &lease);
    assert_eq!(harness.queue().kick(&Filter::all().id(lease.id.clone())).expect("kick"), 1);
    let again = consumer.take();
    assert_eq!((again.lease.id.clone(), again.attempts, text(&again)), (lease.id.clone(), 0, "runs".to_owned()));
    assert!(!harness.peek(&lease.id).cancelled, "no mark is left");
    consumer.settle(&again.lease, &mut Settlement::commit()).expect("it is done now");
    assert!(harness.is_gone(&lease.id));
}

pub(super) fn a_kick_ends_the_delay_of_a_cancelled_message(harness: &dyn Harness) {
    if !cancels(harness) {
        return;
    }
    let due = harness.in_seconds(600);
    let long = "x".repeat(100_000);
    for rest in ["", &long] {
        let header = serde_json::json!({"request_type": "type", "delay": due.to_rfc3339(), "x": rest});
        let text = serde_json::json!({"header": header, "body": {"n": 1}}).to_string();
        let id = harness.put(delay(NewMessage::new(QUEUE, "type", text), due));
        assert_eq!(cancel(harness, &id), Cancelled::new(1, 0));
        assert_eq!(harness.queue().kick(&Filter::all().id(id.clone())).expect("kick"), 1);
        assert_eq!(harness.state(&id), MessageState::Ready);
        let mut consumer = harness.consumer();
        let delivery = consumer.take();
        assert_eq!(delivery.lease.id, id, "it is ready at once");
        let message = Incoming::read(&delivery.text).expect("a message");
        let waits = message.header.delay().is_some_and(|delay| delay > harness.now()) && delivery.kicks == 0;
        assert!(!waits, "its worker would put it back until its delay is over");
        assert_eq!((message.header.get("x"), message.body().text()), (Some(&rest.into()), Some(r#"{"n":1}"#)));
        consumer.settle(&delivery.lease, &mut Settlement::commit()).expect("commit");
    }
}

pub(super) fn a_cancelled_message_frees_its_key(harness: &dyn Harness) {
    if !cancels(harness) || !harness.queue().capabilities().unique_keys {
        return;
    }
    let publish = |text: &str| {
        let mut enqueued = harness.queue().enqueue(vec![message(text).unique(Unique::new("a"))]).expect("enqueue");
        enqueued.remove(0)
    };
    let first = publish("waits");
    assert_eq!(publish("kept").publication, Publication::Kept);
    cancel(harness, &first.id);
    let second = publish("runs");
    assert_eq!(second.publication, Publication::New, "a key is free once its message is buried");
    let mut consumer = harness.consumer();
    let lease = consumer.take().lease;
    cancel(harness, &second.id);
    assert_eq!(publish("kept").publication, Publication::Kept, "it still runs");
    assert_is_buried_instead(&consumer.settle(&lease, &mut Settlement::commit()), &lease);
    assert_eq!(publish("new").publication, Publication::New);
}

pub(super) fn a_cancelled_run_frees_its_limit(harness: &dyn Harness) {
    if !cancels(harness) || !harness.queue().capabilities().limits {
        return;
    }
    let limits = vec![Limit::new(LimitScope::handler(["type"], false), LimitKind::Running(1))];
    let filter = DequeueFilter::all().limits(limits);
    let mut consumer = harness.consumer();
    harness.put(message("runs"));
    harness.put(message("waits"));
    let mut next = || consumer.dequeue(&filter, Duration::ZERO).expect("dequeue");
    let lease = next().expect("a message").lease;
    assert!(next().is_none(), "one at a time");
    cancel(harness, &lease.id);
    assert!(next().is_none(), "it still runs");
    assert_is_buried_instead(&consumer.settle(&lease, &mut Settlement::commit()), &lease);
    let after = consumer.dequeue(&filter, Duration::ZERO).expect("dequeue").expect("the next one");
    assert_eq!(text(&after), "waits");
}

pub(super) fn either_a_cancel_or_a_commit_wins(harness: &dyn Harness) {
    if !cancels(harness) {
        return;
    }
    let mut consumer = harness.consumer();
    for _ in 0..200 {
        let id = harness.put(message("races"));
        let lease = consumer.take().lease;
        let barrier = std::sync::Barrier::new(2);
        let (cancelled, settled) = std::thread::scope(|scope| {
            let canceller = scope.spawn(|| {
                barrier.wait();
                cancel(harness, &id)
            });
            barrier.wait();
            let settled = consumer.settle(&lease, &mut Settlement::commit_with(vec![message("follows")]));
            (canceller.join().expect("cancelled"), settled)
        });
        match settled {
            Ok(()) => {
                assert_eq!(cancelled, Cancelled::default(), "there was nothing to cancel any more");
                assert!(harness.is_gone(&id), "it is done");
                assert_eq!(drain(&mut consumer), ["follows"]);
            }
            refused => {
                assert_is_buried_instead(&refused, &lease);
                assert_eq!(cancelled, Cancelled::new(0, 1));
                assert_cancelled(harness, &id, 0);
                consumer.nothing();
            }
        }
    }
}
