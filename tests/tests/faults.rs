//! Faults that a seed chooses, to test whether handlers are safe to repeat.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{HashMap, HashSet};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pulpo::testing::TestPulpo;
use pulpo::{Context, State};
use serde::{Deserialize, Serialize};

#[path = "faults/middle.rs"]
mod middle;

/// The state of a bank: each charge with its key, once.
#[derive(Default)]
struct Bank {
    charges: Mutex<Vec<u64>>,
    keys: Mutex<HashSet<String>>,
}

#[derive(Serialize, Deserialize)]
struct ChargeCard {
    order: u64,
}

/// Not safe to repeat.
#[pulpo::handler("faults_charge_card", timeout = "1m")]
fn charge_card(charge: ChargeCard, bank: State<Bank>) {
    bank.charges.lock().unwrap().push(charge.order);
}

#[derive(Serialize, Deserialize)]
struct ChargeOnce {
    order: u64,
}

/// The repaired handler: the id of the message is the key of the charge.
#[pulpo::handler("faults_charge_once")]
fn charge_once(charge: ChargeOnce, bank: State<Bank>, context: &Context) -> pulpo::Outcome {
    if bank.keys.lock().unwrap().insert(context.id().to_string()) {
        bank.charges.lock().unwrap().push(charge.order);
    }
    context.publish(Receipt { order: charge.order })?;
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Receipt {
    order: u64,
}

#[pulpo::handler("faults_receipt")]
fn receipt(_: Receipt) {}

#[derive(Serialize, Deserialize)]
struct Announce;

/// Publishes outside its commit, and so may do it more than once, or fail.
#[pulpo::handler("faults_announce")]
fn announce(_: Announce) -> pulpo::Outcome {
    pulpo::publish(Receipt { order: 0 })?;
    Ok(())
}

/// The words for each kind of fault of a run.
const KINDS: [&str; 7] = [
    "dies before",
    "and the worker dies",
    "the lease is lost while the handler runs (",
    "the lease is lost while the handler runs, and the handler is notified",
    "timed out after 1m, and the handler is notified",
    "done, and the queue cannot be reached to settle that",
    "done, and the answer of the queue is lost",
];

/// Safe to run again, and not while it runs: it looks, and then acts.
#[derive(Serialize, Deserialize)]
struct LookThenCharge {
    order: u64,
}

#[pulpo::handler("faults_look_then_charge")]
fn look_then_charge(charge: LookThenCharge, bank: State<Bank>) {
    if !bank.charges.lock().unwrap().contains(&charge.order) {
        bank.charges.lock().unwrap().push(charge.order);
    }
}

/// The repaired handler: it looks and acts under one lock, which it holds while it uses the state again.
#[derive(Serialize, Deserialize)]
struct LockAndCharge {
    order: u64,
}

#[pulpo::handler("faults_lock_and_charge")]
fn lock_and_charge(charge: LockAndCharge, bank: State<Bank>) {
    let mut keys = bank.keys.lock().unwrap();
    if keys.insert(charge.order.to_string()) {
        bank.charges.lock().unwrap().push(charge.order);
    }
}

const LONG: Duration = Duration::from_secs(24 * 3600);

fn charges(bank: &Bank) -> HashMap<u64, usize> {
    let mut all = HashMap::new();
    bank.charges.lock().unwrap().iter().for_each(|order| *all.entry(*order).or_default() += 1);
    all
}

#[test]
fn a_handler_that_is_not_safe_to_repeat_is_found_and_the_mended_one_is_not() {
    let (mut twice, mut faults) = (0, HashSet::new());
    for seed in 0..12 {
        let pulpo = TestPulpo::faults(seed).state(Bank::default());
        for order in 0..5 {
            pulpo.publish(ChargeCard { order }).unwrap();
        }
        pulpo.work_for(LONG);
        let all = charges(&pulpo.state_of::<Bank>());
        assert_eq!(all.len(), 5, "nothing is lost: {:#?}", pulpo.story());
        twice += usize::from(all.values().any(|count| *count > 1));
        for line in pulpo.story() {
            faults.extend(KINDS.into_iter().filter(|kind| line.contains(kind)));
        }
    }
    assert!(twice > 6, "{twice} of 12 seeds have found it");
    let missing: Vec<_> = KINDS.iter().filter(|kind| !faults.contains(*kind)).collect();
    assert!(missing.is_empty(), "each kind of fault happens, but not {missing:?}");

    for seed in 0..12 {
        let pulpo = TestPulpo::faults(seed).state(Bank::default());
        for order in 0..5 {
            pulpo.publish(ChargeOnce { order }).unwrap();
        }
        pulpo.work_for(LONG);
        let all = charges(&pulpo.state_of::<Bank>());
        assert!(all.len() == 5 && all.values().all(|count| *count == 1), "{:#?}", pulpo.story());
        // Follow-ups published with the commit are published once.
        let is_done = |line: &&String| line.ends_with(": done") || line.ends_with("the answer of the queue is lost");
        let receipts = pulpo.story().iter().filter(|line| line.starts_with("faults_receipt") && is_done(line)).count();
        assert_eq!(receipts, 5, "{:#?}", pulpo.story());
        assert!(pulpo.queue().list(&pulpo::queue::Filter::all()).unwrap().is_empty());
    }
}

/// Runs the jobs with a seed; how often each order was charged, and the story.
fn charged<J: pulpo::Job>(seed: u64, job: fn(u64) -> J) -> (HashMap<u64, usize>, Vec<String>) {
    let pulpo = TestPulpo::faults(seed).state(Bank::default());
    for order in 0..5 {
        pulpo.publish(job(order)).unwrap();
    }
    pulpo.work_for(LONG);
    assert!(pulpo.queue().list(&pulpo::queue::Filter::all()).unwrap().is_empty(), "{:#?}", pulpo.story());
    let all = charges(&pulpo.state_of::<Bank>());
    assert_eq!(all.len(), 5, "nothing is lost: {:#?}", pulpo.story());
    (all, pulpo.story())
}

#[test]
fn a_handler_that_is_not_safe_beside_itself_is_found_and_the_mended_one_is_not() {
    let (mut twice, mut overlaps) = (0, 0);
    for seed in 0..24 {
        let (all, story) = charged(seed, |order| LookThenCharge { order });
        overlaps += story.iter().filter(|line| line.contains("while the first still runs")).count();
        if all.values().any(|count| *count > 1) {
            twice += 1;
            assert_eq!(charged(seed, |order| LookThenCharge { order }), (all, story), "seed {seed}");
        }
    }
    assert!(twice > 3 && overlaps > twice, "{twice} of 24 seeds have found it, {overlaps} runs beside another");
    for seed in 0..24 {
        let (all, story) = charged(seed, |order| LockAndCharge { order });
        assert!(all.values().all(|count| *count == 1), "{story:#?}");
    }
}

/// Refuses to run beside itself.
#[derive(Serialize, Deserialize)]
struct ChargeAlone {
    order: u64,
}

#[pulpo::handler("faults_charge_alone", max_attempts = 100)]
fn charge_alone(charge: ChargeAlone, bank: State<Bank>) -> pulpo::Outcome {
    let key = charge.order.to_string();
    if !bank.keys.lock().unwrap().insert(key.clone()) {
        return Err("it runs already".into());
    }
    bank.charges.lock().unwrap().push(charge.order);
    bank.keys.lock().unwrap().remove(&key);
    Ok(())
}

#[test]
fn a_run_beside_another_that_fails_has_the_pause_of_the_seed() {
    let mut failed = 0;
    for seed in 0..40 {
        let (_, story) = charged(seed, |order| ChargeAlone { order });
        failed += story.iter().filter(|line| line.contains("it runs already")).count();
        // On a busy machine, the first run may have ended before the second begins.
        let again = || charged(seed, |order| ChargeAlone { order }).1;
        assert!((0..10).any(|_| again() == story), "seed {seed}: {story:#?} and {:#?}", again());
    }
    assert!(failed > 5, "{failed} runs failed beside another");
}

#[test]
fn a_queue_that_does_not_answer_a_worker_is_asked_again() {
    let mut unanswered = 0;
    for seed in 0..12 {
        let (all, story) = charged(seed, |order| LockAndCharge { order });
        assert!(all.values().all(|count| *count == 1), "{story:#?}");
        unanswered += story.iter().filter(|line| line.contains("does not answer a worker that asks")).count();
    }
    assert!(unanswered > 12, "{unanswered}");
}

#[test]
fn a_follow_up_carries_the_shape_of_its_body() {
    let pulpo = TestPulpo::new().state(Bank::default());
    pulpo.publish(ChargeOnce { order: 1 }).unwrap();
    pulpo.run_next().unwrap().assert_done();
    let stored = pulpo.queue().list(&pulpo::queue::Filter::all()).unwrap();
    let message: serde_json::Value = serde_json::from_slice(&stored[0].text).unwrap();
    assert_eq!(message["header"]["request_type"], "faults_receipt");
    assert_eq!(message["header"]["shape"], pulpo::__private::shape_id::<Receipt>());
}

#[test]
fn publications_of_a_handler_fail_and_those_of_the_test_do_not() {
    let mut seen = HashSet::new();
    for seed in 0..30 {
        let pulpo = TestPulpo::faults(seed);
        for _ in 0..3 {
            pulpo.publish(Announce).unwrap();
        }
        pulpo.work_for(LONG);
        for line in pulpo.story() {
            for kind in ["is not published: the queue cannot be reached", "the answer of the queue is lost"] {
                seen.extend(line.contains(kind).then_some(kind));
            }
        }
        assert!(pulpo.queue().list(&pulpo::queue::Filter::all()).unwrap().is_empty(), "{:#?}", pulpo.story());
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[derive(Serialize, Deserialize)]
struct Copy {
    files: u32,
}

/// Stops as soon as its result does not count any more.
#[pulpo::handler("faults_copy", timeout = "1m")]
fn copy(copy: Copy, copied: State<Copied>, context: &Context) -> pulpo::Outcome {
    for _ in 0..copy.files {
        if context.is_cancelled() {
            copied.stopped.fetch_add(1, Ordering::Relaxed);
            return Err("stopped early".into());
        }
        copied.files.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

#[derive(Default)]
struct Copied {
    files: AtomicU32,
    stopped: AtomicU32,
}

#[test]
fn a_handler_is_notified_that_its_run_does_not_count() {
    let (mut stopped, mut timed_out) = (0, 0);
    for seed in 0..20 {
        let pulpo = TestPulpo::faults(seed).state(Copied::default());
        pulpo.publish(Copy { files: 10 }).unwrap();
        pulpo.work_for(LONG);
        let told = pulpo.story().iter().filter(|line| line.contains("and the handler is notified")).count();
        let copied = pulpo.state_of::<Copied>();
        assert_eq!(copied.stopped.load(Ordering::Relaxed), u32::try_from(told).unwrap(), "{:#?}", pulpo.story());
        assert!(copied.files.load(Ordering::Relaxed) >= 10, "it is done in the end: {:#?}", pulpo.story());
        stopped += told;
        timed_out += pulpo.story().iter().filter(|line| line.contains("timed out after 1m")).count();
        assert!(pulpo.queue().list(&pulpo::queue::Filter::all()).unwrap().is_empty(), "{:#?}", pulpo.story());
    }
    assert!(stopped > timed_out && timed_out > 0, "{stopped} {timed_out}");
}

/// A timeout counts as an attempt, so the last one is not made to time out: it would be buried.
#[derive(Serialize, Deserialize)]
struct Once;

#[pulpo::handler("faults_once", timeout = "1m", max_attempts = 1)]
fn once(_: Once) {}

#[derive(Serialize, Deserialize)]
struct Together {
    n: u32,
}

#[pulpo::handler("faults_together", batch = 10, timeout = "1m")]
fn together(_: Vec<Together>) {}

#[test]
fn the_last_attempt_does_not_time_out_and_a_batch_has_one_fault() {
    let mut kinds = HashSet::new();
    for seed in 0..40 {
        let pulpo = TestPulpo::faults(seed);
        pulpo.publish(Once).unwrap();
        pulpo.publish_all((0..4).map(|n| Together { n })).unwrap();
        pulpo.work_for(LONG);
        let story = pulpo.story();
        assert!(!story.iter().any(|line| line.contains("faults_once") && line.contains("timed out")), "{story:#?}");
        assert!(pulpo.queue().list(&pulpo::queue::Filter::all()).unwrap().is_empty(), "{story:#?}");
        // All four are taken together each time, so each end is there for all of them.
        let ends = story.iter().filter(|line| line.starts_with("faults_together ") && !line.contains(", attempt "));
        let mut counts = HashMap::new();
        for end in ends.filter_map(|line| line.split_once(": ").map(|(_, end)| end.to_owned())) {
            *counts.entry(end).or_insert(0) += 1;
        }
        assert!(counts.values().all(|count| count % 4 == 0), "{story:#?}");
        kinds.extend(counts.into_keys());
    }
    assert!(kinds.len() >= 4, "{kinds:?}");
}

fn story(seed: u64) -> Vec<String> {
    let pulpo = TestPulpo::faults(seed).state(Bank::default());
    for order in 0..5 {
        pulpo.publish(ChargeOnce { order }).unwrap();
        pulpo.publish(Announce).unwrap();
    }
    pulpo.work_for(LONG);
    pulpo.story()
}

#[test]
fn the_same_seed_is_the_same_story_and_another_one_is_another() {
    for seed in [0, 1, 7, u64::MAX] {
        let first = story(seed);
        assert!(first.len() > 20, "{first:?}");
        assert_eq!(story(seed), first);
        assert_ne!(story(seed.wrapping_add(1)), first);
    }
    assert!(TestPulpo::new().story().is_empty());
}

/// The job of the guide's page on failures.
#[derive(Serialize, Deserialize)]
struct GuideCharge {
    order: u64,
}

#[pulpo::handler("charge_card")]
fn guide_charge(charge: GuideCharge, bank: State<Bank>) {
    bank.charges.lock().unwrap().push(charge.order);
}

#[test]
fn the_story_in_the_guide_is_that_of_its_seed() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../pulpo/src/guide/failures.md");
    let page = std::fs::read_to_string(page).unwrap();
    let block = page.split("```text\n").find(|block| block.starts_with("faults of the seed ")).unwrap();
    let mut lines = block.split("```").next().unwrap().lines();
    let seed: u64 = lines.next().unwrap().split([' ', ':']).nth(4).unwrap().parse().unwrap();
    let pulpo = TestPulpo::faults(seed).state(Bank::default());
    pulpo.publish(GuideCharge { order: 7 }).unwrap();
    pulpo.work_for(LONG);
    let story: Vec<_> = pulpo.story().iter().enumerate().map(|(at, line)| format!("{:4}. {line}", at + 1)).collect();
    assert_eq!(lines.collect::<Vec<_>>(), story, "seed {seed}");
    // It is the first seed that fails, as in the loop above it.
    assert!(pulpo.state_of::<Bank>().charges.lock().unwrap().len() > 1);
    for earlier in 0..seed {
        let pulpo = TestPulpo::faults(earlier).state(Bank::default());
        pulpo.publish(GuideCharge { order: 7 }).unwrap();
        pulpo.work_for(LONG);
        assert_eq!(pulpo.state_of::<Bank>().charges.lock().unwrap().len(), 1, "seed {earlier}: {:#?}", pulpo.story());
    }
}

/// Run by the test below, in a separate process.
#[test]
#[ignore = "fails, as a test of a user's would"]
fn a_test_that_fails() {
    let pulpo = TestPulpo::faults(42).state(Bank::default());
    pulpo.publish(ChargeCard { order: 1 }).unwrap();
    pulpo.work_for(LONG);
    panic!("charged twice");
}

#[test]
fn a_test_that_panics_prints_the_seed_and_the_story() {
    let arguments = ["a_test_that_fails", "--exact", "--ignored", "--nocapture"];
    let output = Command::new(std::env::current_exe().unwrap()).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("faults of the seed 42: `TestPulpo::faults(42)` runs them again"), "{said}");
    assert!(said.contains("   1. faults_charge_card is published, as 1"), "{said}");
    assert!(said.contains(": done"), "{said}");
}
