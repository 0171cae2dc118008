//! How runs are counted, and the path of a message that fails.

use std::time::Duration;

use chrono::{Datelike as _, TimeDelta};

use super::harness::Harness;
use super::steps::{
    ConsumerExt as _, HarnessExt as _, LONG, QUEUE, SECOND, Sleeper, delay, envelope, message, text, ttr,
};
use crate::queue::{Delivery, Edit, Edited, Filter, MessageState, Settlement};

pub(super) fn a_first_delivery_is_complete(harness: &dyn Harness) {
    let id = harness.put(ttr(message("new"), 90 * SECOND));
    let delivery = harness.consumer().take();
    assert_eq!(delivery.lease.id, id);
    assert_eq!(delivery.queue, QUEUE);
    assert_eq!((delivery.attempts, delivery.abandoned, delivery.kicks), (0, 0, 0));
    assert_eq!(delivery.ttr, 90 * SECOND);
    assert_eq!(delivery.text, envelope("type", "new").into_bytes());
}

pub(super) fn a_counted_rollback_is_an_attempt(harness: &dyn Harness) {
    let id = harness.put(message("fails"));
    let mut consumer = harness.consumer();
    for attempts in 0..4 {
        let delivery = consumer.take();
        assert_eq!((delivery.attempts, delivery.abandoned), (attempts, 0));
        consumer.settle(&delivery.lease, &mut Settlement::rollback(Duration::ZERO, "failed", true)).expect("rollback");
        assert_eq!(harness.peek(&id).attempts, attempts + 1);
    }
}

pub(super) fn a_rollback_with_delay_waits(harness: &dyn Harness) {
    let id = harness.put(message("later"));
    let mut consumer = harness.consumer();
    let delivery = consumer.take();
    consumer.settle(&delivery.lease, &mut Settlement::rollback(2 * SECOND, "failed", true)).expect("rollback");
    assert_eq!(harness.state(&id), MessageState::Delayed);
    consumer.nothing();
    harness.pass(3 * SECOND);
    assert_eq!(harness.state(&id), MessageState::Ready);
    assert_eq!(consumer.take().attempts, 1);
}

pub(super) fn the_longest_wait_ends_at_a_time_that_can_be_written(harness: &dyn Harness) {
    let (queue, capabilities) = (harness.queue(), harness.queue().capabilities());
    harness.put(message("put back"));
    let mut consumer = harness.consumer();
    let delivery = consumer.take();
    consumer.settle(&delivery.lease, &mut Settlement::rollback(Duration::MAX, "never", false)).expect("put back");
    if capabilities.edits {
        let edited = harness.put(message("edited"));
        assert_eq!(queue.edit(&edited, &Edit::default().delay(Duration::MAX)).expect("edit"), Edited::Changed);
    }
    let mut times: Vec<_> = queue.list(&Filter::all()).expect("list").iter().map(|message| message.until).collect();
    if capabilities.pauses {
        queue.pause(QUEUE, Duration::MAX).expect("paused");
        times.push(queue.stats().expect("stats").paused_until(QUEUE));
        queue.pause(QUEUE, Duration::ZERO).expect("resumed");
    }
    for time in times {
        let time = time.expect("it waits");
        assert!(time - harness.now() > TimeDelta::days(36_500) && time.year() < 10_000, "until {time}");
    }
}

pub(super) fn an_uncounted_rollback_is_not_an_attempt(harness: &dyn Harness) {
    harness.put(message("interrupted"));
    let mut consumer = harness.consumer();
    let first = consumer.take();
    consumer.settle(&first.lease, &mut Settlement::rollback(Duration::ZERO, "failed", true)).expect("rollback");
    for _ in 0..3 {
        let delivery = consumer.take();
        assert_eq!((delivery.attempts, delivery.abandoned), (1, 0));
        consumer
            .settle(&delivery.lease, &mut Settlement::rollback(Duration::ZERO, "shut down", false))
            .expect("rollback");
        assert_eq!(harness.state(&delivery.lease.id), MessageState::Ready, "it is ready at once");
    }
    let delivery = consumer.take();
    consumer.settle(&delivery.lease, &mut Settlement::rollback(SECOND, "not yet", false)).expect("rollback");
    assert_eq!(harness.state(&delivery.lease.id), MessageState::Delayed);
    harness.pass(2 * SECOND);
    let expected = if harness.queue().capabilities().uncounted_rollbacks { 1 } else { 2 };
    let delivery = consumer.take();
    assert_eq!((delivery.attempts, delivery.abandoned), (expected, 0));
}

pub(super) fn a_lost_lease_is_a_lost_attempt(harness: &dyn Harness) {
    let mut sleeper = Sleeper::new(harness);
    let id = harness.put(ttr(message("kills"), SECOND));
    let first = sleeper.consumer.take();
    sleeper.consumer.settle(&first.lease, &mut Settlement::rollback(Duration::ZERO, "failed", true)).expect("rollback");
    for lost in 0..2 {
        let delivery = sleeper.consumer.take();
        assert_eq!((delivery.attempts, delivery.abandoned), (lost + 1, lost));
        sleeper.sleep(harness, 2 * SECOND);
        assert_eq!(harness.peek(&id).attempts, lost + 2);
    }
}

pub(super) fn a_buried_message_stays_until_it_is_kicked(harness: &dyn Harness) {
    let id = harness.put(ttr(message("broken"), SECOND));
    let mut consumer = harness.consumer();
    let delivery = consumer.take();
    consumer.settle(&delivery.lease, &mut Settlement::bury("fatal", true)).expect("bury");
    assert_eq!(harness.state(&id), MessageState::Buried);
    assert_eq!(harness.peek(&id).attempts, 1);
    harness.pass(2 * SECOND);
    consumer.nothing();
    assert_eq!(harness.queue().kick(&Filter::all().id(id.clone())).expect("kick"), 1);
    assert_eq!(harness.state(&id), MessageState::Ready);
    let delivery = consumer.take();
    assert_eq!(delivery.lease.id, id, "it is the same message");
    consumer.settle(&delivery.lease, &mut Settlement::commit()).expect("commit");
}

pub(super) fn a_kicked_message_has_all_its_attempts_again(harness: &dyn Harness) {
    const MOST: u32 = 3;
    let id = harness.put(message("broken"));
    let mut consumer = harness.consumer();
    for kicks in 0..3 {
        let mut runs = 0;
        loop {
            let delivery = consumer.take();
            let failed = delivery.failed(MOST);
            assert!(failed <= runs, "run {runs} after kick {kicks} counts {failed} failures");
            runs += 1;
            if failed + 1 >= MOST {
                consumer.settle(&delivery.lease, &mut Settlement::bury("failed", true)).expect("bury");
                break;
            }
            consumer
                .settle(&delivery.lease, &mut Settlement::rollback(Duration::ZERO, "failed", true))
                .expect("rollback");
        }
        assert!((MOST..=2 * MOST + 2).contains(&runs), "after kick {kicks} it ran {runs} times");
        assert_eq!(harness.queue().kick(&Filter::all().id(id.clone())).expect("kick"), 1);
    }
}

pub(super) fn an_expired_message_is_deleted(harness: &dyn Harness) {
    let id = harness.put(message("stale"));
    let mut consumer = harness.consumer();
    let delivery = consumer.take();
    consumer.settle(&delivery.lease, &mut Settlement::Expire).expect("expire");
    assert!(harness.is_gone(&id));
    consumer.nothing();
}

pub(super) fn the_last_error_is_kept(harness: &dyn Harness) {
    let id = harness.put(message("fails"));
    let mut consumer = harness.consumer();
    let capabilities = harness.queue().capabilities();
    let expected = |keeps: bool, reason: &str| keeps.then(|| reason.to_owned());
    let delivery = consumer.take();
    consumer.settle(&delivery.lease, &mut Settlement::rollback(Duration::ZERO, "the first", true)).expect("rollback");
    assert_eq!(harness.peek(&id).last_error, expected(capabilities.last_errors, "the first"));
    let delivery = consumer.take();
    consumer.settle(&delivery.lease, &mut Settlement::bury("the second", true)).expect("bury");
    let keeps = capabilities.burial_reasons;
    let listed = harness.queue().list(&Filter::all().state(MessageState::Buried)).expect("list").remove(0);
    for buried in [harness.peek(&id), listed] {
        assert_eq!(buried.last_error, expected(keeps, "the second"));
        assert_eq!(buried.last_error_at.is_some(), keeps);
        let ago = buried.last_error_at.map_or_else(TimeDelta::zero, |at| harness.now() - at);
        assert!(ago >= TimeDelta::zero() && ago < TimeDelta::seconds(2), "it was {ago} ago");
    }
    // A kick clears its history; the reason of the next burial counts.
    assert_eq!(harness.queue().kick(&Filter::all().id(id.clone())).expect("kick"), 1);
    let delivery = consumer.take();
    consumer.settle(&delivery.lease, &mut Settlement::bury("the third", true)).expect("bury");
    assert_eq!(harness.peek(&id).last_error, expected(keeps, "the third"));
}

pub(super) fn due_since_is_when_it_could_have_started(harness: &dyn Harness) {
    let near = |delivery: &Delivery, expected| {
        let off: TimeDelta = delivery.due_since - expected;
        // A server may count in whole seconds.
        assert!(off.abs() <= TimeDelta::milliseconds(2500), "due {off} from the expected time");
    };
    let (published, due) = (harness.now(), harness.in_seconds(4));
    harness.put(ttr(message("now"), LONG));
    harness.put(ttr(delay(message("later"), due), LONG));
    let mut consumer = harness.consumer();
    harness.pass(5 * SECOND);
    let (one, other) = (consumer.take(), consumer.take());
    let (now, later) = if text(&one) == "now" { (one, other) } else { (other, one) };
    near(&now, published);
    near(&later, due);
    consumer.settle(&now.lease, &mut Settlement::rollback(Duration::ZERO, "failed", true)).expect("rollback");
    near(&consumer.take(), published);
}
