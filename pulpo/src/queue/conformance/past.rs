//! The past of messages: failed runs, results, and done messages.

use std::time::Duration;

use chrono::TimeDelta;

use super::harness::Harness;
use super::steps::{ConsumerExt as _, HarnessExt as _, LONG, QUEUE, SECOND, Sleeper, in_order, message, queue, ttr};
use crate::message::MessageId;
use crate::queue::{
    Attempt, AttemptOutcome, BodyField, FailedRun, Filter, Keeping, MessageState, Retention, Settlement,
};

fn history(harness: &dyn Harness, id: &crate::message::MessageId) -> Vec<Attempt> {
    harness.peek(id).history
}

pub(super) fn a_failed_run_leaves_a_line(harness: &dyn Harness) {
    let id = harness.put(message("fails"));
    let mut consumer = harness.consumer();
    let started = harness.now() - TimeDelta::seconds(3);
    let run = FailedRun::new(started, Duration::from_millis(1500), AttemptOutcome::Panicked);
    let delivery = consumer.take();
    let worker = delivery.lease.token.rsplit_once('-').map(|(worker, _)| worker.to_owned());
    let mut panicked = Settlement::rollback(Duration::ZERO, "it panicked", true).of_run(run);
    consumer.settle(&delivery.lease, &mut panicked).expect("rollback");
    // A rollback without a run, an uncounted run with details, and a counted one without.
    let delivery = consumer.take();
    consumer.settle(&delivery.lease, &mut Settlement::rollback(Duration::ZERO, "shut down", false)).expect("rollback");
    let delivery = consumer.take();
    let stopped = FailedRun { outcome: AttemptOutcome::TimedOut, ..run };
    let mut known = Settlement::rollback(Duration::ZERO, "while stopping", false).of_run(stopped);
    consumer.settle(&delivery.lease, &mut known).expect("rollback");
    let delivery = consumer.take();
    harness.pass(SECOND);
    consumer.settle(&delivery.lease, &mut Settlement::bury("fatal", true)).expect("bury");
    let lines = history(harness, &id);
    let listed = harness.queue().list(&Filter::all().id(id.clone())).expect("list").remove(0);
    assert_eq!(listed.history, [], "lists have no history");
    if !harness.queue().capabilities().history {
        return assert_eq!(lines, []);
    }
    let outcomes: Vec<_> = lines.iter().map(|line| (line.number, line.outcome, line.error.as_str())).collect();
    let expected = [
        (1, AttemptOutcome::Panicked, "it panicked"),
        (2, AttemptOutcome::TimedOut, "while stopping"),
        (3, AttemptOutcome::Failed, "fatal"),
    ];
    assert_eq!(outcomes, expected);
    assert!((lines[0].started_at - started).abs() < TimeDelta::milliseconds(1), "{:?}", lines[0]);
    assert_eq!(lines[0].took, Duration::from_millis(1500));
    assert!(lines[2].took >= SECOND && lines[2].took < 30 * SECOND, "{:?}", lines[2]);
    assert!(worker.is_some() && lines.iter().all(|line| line.worker == worker), "{lines:?}");
}

pub(super) fn the_last_failed_runs_are_kept(harness: &dyn Harness) {
    let id = harness.put(message("fails often"));
    let mut consumer = harness.consumer();
    for run in 1..=23 {
        let delivery = consumer.take();
        let mut failed = Settlement::rollback(Duration::ZERO, format!("failure {run}"), true);
        consumer.settle(&delivery.lease, &mut failed).expect("rollback");
    }
    let lines = history(harness, &id);
    if !harness.queue().capabilities().history {
        return assert_eq!(lines, []);
    }
    let shown: Vec<_> = lines.iter().map(|line| (line.number, line.error.clone())).collect();
    let expected: Vec<_> = (4..=23).map(|run| (run, format!("failure {run}"))).collect();
    assert_eq!(shown, expected);
}

pub(super) fn a_run_whose_worker_died_leaves_a_line(harness: &dyn Harness) {
    let mut sleeper = Sleeper::new(harness);
    let id = harness.put(ttr(message("kills"), SECOND));
    let delivery = sleeper.consumer.take();
    let worker = delivery.lease.token.rsplit_once('-').map(|(worker, _)| worker.to_owned());
    sleeper.sleep(harness, 2 * SECOND);
    // Whether or not the queue has noticed yet.
    let before = history(harness, &id);
    let again = sleeper.consumer.take();
    let lines = history(harness, &id);
    if !harness.queue().capabilities().history {
        return assert_eq!(lines, []);
    }
    for lines in [before, lines] {
        let [line] = lines.as_slice() else { panic!("expected one line, got {lines:?}") };
        assert_eq!((line.number, line.outcome, &line.worker), (1, AttemptOutcome::Abandoned, &worker));
        assert!(!line.error.is_empty() && line.took >= SECOND, "{line:?}");
    }
    sleeper.consumer.settle(&again.lease, &mut Settlement::commit()).expect("commit");
}

pub(super) fn a_kick_keeps_the_history_and_a_commit_ends_it(harness: &dyn Harness) {
    let id = harness.put(message("broken"));
    let mut consumer = harness.consumer();
    let delivery = consumer.take();
    consumer.settle(&delivery.lease, &mut Settlement::bury("the first", true)).expect("bury");
    assert_eq!(harness.queue().kick(&Filter::all().id(id.clone())).expect("kick"), 1);
    let delivery = consumer.take();
    consumer.settle(&delivery.lease, &mut Settlement::rollback(Duration::ZERO, "the second", true)).expect("rollback");
    if harness.queue().capabilities().history {
        let numbers: Vec<_> = history(harness, &id).iter().map(|line| line.number).collect();
        assert_eq!(numbers, [1, 2]);
    }
    consumer.work();
    assert!(harness.is_gone(&id));
}

/// Returns the part that keeps done messages, if the queue has one.
fn keeping(harness: &dyn Harness) -> Option<&dyn Keeping> {
    let keeping = harness.queue().keeping();
    assert_eq!(keeping.is_some(), harness.queue().capabilities().archive);
    keeping
}

fn prune(keeping: &dyn Keeping) -> u64 {
    let mut all = 0;
    loop {
        let pruned = keeping.prune().expect("prune");
        all += pruned.messages;
        if !pruned.more {
            return all;
        }
    }
}

pub(super) fn done_messages_are_kept_for_a_time(harness: &dyn Harness) {
    let Some(keeping) = keeping(harness) else { return };
    keeping.set_retention(Retention::default().done(4 * SECOND));
    let mut consumer = harness.consumer();
    let (fails, expires, plain) = (harness.put(message("a")), harness.put(message("b")), harness.put(message("c")));
    let delivery = consumer.take();
    consumer.settle(&delivery.lease, &mut Settlement::rollback(Duration::ZERO, "again", true)).expect("rollback");
    let delivery = consumer.take();
    let result = r#"{"lines": 1.50}"#;
    consumer.settle(&delivery.lease, &mut Settlement::commit_result(result)).expect("commit");
    let delivery = consumer.take();
    consumer.settle(&delivery.lease, &mut Settlement::Expire).expect("expire");
    let delivery = consumer.take();
    let mut deferrable = Settlement::Commit { follow_ups: Vec::new(), result: Some("7".into()), deferrable: true };
    consumer.settle(&delivery.lease, &mut deferrable).expect("commit");
    consumer.flush().expect("flush");

    let done = harness.peek(&fails);
    assert_eq!((done.state, done.result.as_deref(), done.has_expired), (MessageState::Done, Some(result), false));
    assert_eq!((done.attempts, done.queue.as_str(), done.request_type.as_str()), (1, QUEUE, "type"));
    assert_eq!(done.text, message("a").text.into_bytes());
    assert!(done.since.is_some_and(|since| (harness.now() - since).abs() < TimeDelta::seconds(3)));
    assert_eq!(done.history.len(), usize::from(harness.queue().capabilities().history));
    assert!(harness.peek(&expires).has_expired);
    assert_eq!(harness.peek(&plain).result.as_deref(), Some("7"));

    // Only a filter that asks for done messages lists them.
    let list = |filter: &Filter| {
        let all = harness.queue().list(filter).expect("list");
        all.into_iter().map(|message| message.id).collect::<Vec<_>>()
    };
    let done = Filter::all().state(MessageState::Done);
    assert!(list(&Filter::all()).is_empty());
    assert_eq!(list(&done), [plain.clone(), expires.clone(), fails.clone()]);
    let waits = harness.put(message("waits"));
    assert_eq!(list(&done.clone().state(MessageState::Ready).limit(2)), [waits.clone(), plain.clone()]);
    assert_eq!(list(&done.clone().after(plain.clone()).request_type("type")), [expires.clone(), fails.clone()]);
    assert!(list(&done.clone().queue("elsewhere")).is_empty());
    let stats = harness.queue().stats().expect("stats");
    assert_eq!((stats.total(), stats.counts[0].ready), (1, 1));

    assert_eq!(prune(keeping), 0);
    assert_eq!(harness.queue().delete(&Filter::all().id(plain.clone())).expect("delete"), 0);
    assert_eq!(harness.queue().delete(&done.clone().id(plain.clone())).expect("delete"), 1);
    assert!(harness.queue().peek(&plain).expect("peek").is_none());
    harness.pass(6 * SECOND);
    assert_eq!(prune(keeping), 2);
    assert!(list(&done).is_empty());
    assert!(harness.queue().peek(&fails).expect("peek").is_none());
    assert_eq!(harness.state(&waits), MessageState::Ready);
    // From now on, no done message is kept.
    keeping.set_retention(Retention::default().done(Duration::ZERO));
    consumer.work();
    assert!(harness.queue().peek(&waits).expect("peek").is_none());
}

pub(super) fn buried_messages_are_kept_for_a_time(harness: &dyn Harness) {
    let Some(keeping) = keeping(harness) else { return };
    keeping.set_retention(Retention::default().buried(4 * SECOND));
    let mut consumer = harness.consumer();
    let old = harness.put(message("old"));
    let delivery = consumer.take();
    consumer.settle(&delivery.lease, &mut Settlement::bury("fatal", true)).expect("bury");
    harness.pass(3 * SECOND);
    assert_eq!(prune(keeping), 0);
    let young = harness.put(message("young"));
    let delivery = consumer.take();
    consumer.settle(&delivery.lease, &mut Settlement::bury("fatal", true)).expect("bury");
    harness.pass(2 * SECOND);
    assert_eq!(prune(keeping), 1);
    assert!(harness.queue().peek(&old).expect("peek").is_none());
    assert_eq!(harness.state(&young), MessageState::Buried);
    assert_eq!(harness.queue().stats().expect("stats").total(), 1);
}

pub(super) fn messages_are_picked_by_their_bodies(harness: &dyn Harness) {
    let field = |value: &str| BodyField::new("text", value).expect("a field");
    let ids: Vec<_> = ["ada", "bob", "ada", "ada"].map(|text| harness.put(message(text))).into();
    let elsewhere = harness.put(queue(message("ada"), "elsewhere"));
    let of_ada = Filter::all().body(field("ada"));
    let list = |filter: &Filter| {
        let all = harness.queue().list(filter).expect("list");
        all.into_iter().map(|message| message.id).collect::<Vec<_>>()
    };
    let of = |ids: &[&MessageId]| ids.iter().map(|&id| id.clone()).collect::<Vec<_>>();
    let [first, bob, second, third] = ids.as_slice() else { panic!("four") };
    let order = list(&of_ada);
    let expected = of(&[&elsewhere, third, second, first]);
    assert_eq!(in_order(harness, order.clone()), in_order(harness, expected), "the newest first");
    let here: Vec<_> = order.iter().filter(|&id| *id != elsewhere).cloned().collect();
    assert_eq!(list(&of_ada.clone().queue(QUEUE).limit(2)), here[..2]);
    assert_eq!(list(&of_ada.clone().after(order[1].clone())), order[2..]);
    assert!(list(&of_ada.clone().body(field("bob"))).is_empty());
    let surveyed = harness.queue().survey(&of_ada, false).expect("survey").messages;
    assert_eq!(surveyed.len(), 4);

    let mut consumer = harness.consumer();
    for _ in 0..4 {
        let delivery = consumer.take();
        let buries = [first, bob].contains(&&delivery.lease.id);
        let mut settlement =
            if buries { Settlement::bury("fatal", true) } else { Settlement::rollback(LONG, "later", true) };
        consumer.settle(&delivery.lease, &mut settlement).expect("settle");
    }
    assert_eq!(harness.queue().kick(&of_ada.clone().state(MessageState::Buried)).expect("kick"), 1);
    assert_eq!((harness.state(first), harness.state(bob)), (MessageState::Ready, MessageState::Buried));
    let order = list(&of_ada);
    assert_eq!(harness.queue().delete(&of_ada.clone().limit(1)).expect("delete"), 1);
    let left = list(&of_ada);
    assert_eq!(left.len(), 3);
    if harness.queue().capabilities().total_order {
        assert_eq!(left, order[1..], "the newest one is deleted");
    }
    // A message that both filters match.
    let picked = left[1].clone();
    assert_eq!(harness.queue().delete(&of_ada.clone().ids([bob.clone(), picked])).expect("delete"), 1);
    assert_eq!(harness.queue().delete(&of_ada).expect("delete"), 2);
    assert_eq!(list(&Filter::all()), std::slice::from_ref(bob));
}
