//! Faults that a seed chooses, to test whether handlers are safe to repeat.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{HashMap, HashSet};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use pulpo::testing::TestPulpo;
use pulpo::{Context, State};
use serde::{Deserialize, Serialize};

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
#[pulpo::handler("faults_charge_card")]
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
            for fault in ["dies before", "and the worker dies", "the lease is lost"] {
                faults.extend(line.contains(fault).then_some(fault));
            }
        }
    }
    assert!(twice > 6, "{twice} of 12 seeds have found it");
    assert_eq!(faults.len(), 3, "each kind of fault happens: {faults:?}");

    for seed in 0..12 {
        let pulpo = TestPulpo::faults(seed).state(Bank::default());
        for order in 0..5 {
            pulpo.publish(ChargeOnce { order }).unwrap();
        }
        pulpo.work_for(LONG);
        let all = charges(&pulpo.state_of::<Bank>());
        assert!(all.len() == 5 && all.values().all(|count| *count == 1), "{:#?}", pulpo.story());
        // Follow-ups published with the commit are published once.
        let receipts =
            pulpo.story().iter().filter(|line| line.contains("faults_receipt") && line.ends_with(": done")).count();
        assert_eq!(receipts, 5, "{:#?}", pulpo.story());
        assert!(pulpo.queue().list(&pulpo::queue::Filter::all()).unwrap().is_empty());
    }
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
