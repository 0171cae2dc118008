//! Runs that lose their lease in the middle: async handlers where they await, and batches.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use pulpo::State;
use pulpo::testing::TestPulpo;
use serde::{Deserialize, Serialize};

const LONG: Duration = Duration::from_secs(24 * 3600);

/// The charges of all tests, by test and order: no state of a worker, so that only awaiting shows the middle of a run.
static CHARGES: LazyLock<tokio::sync::Mutex<HashMap<(String, u64), usize>>> = LazyLock::new(Default::default);

async fn is_charged(charge: &Charge) -> bool {
    // As long as the bank takes to answer.
    tokio::task::yield_now().await;
    CHARGES.lock().await.contains_key(&charge.key())
}

async fn charge(charge: &Charge) {
    tokio::task::yield_now().await;
    *CHARGES.lock().await.entry(charge.key()).or_default() += 1;
}

/// A charge of an order, in one run of a test.
#[derive(Clone, Serialize, Deserialize)]
struct Charge {
    run: String,
    order: u64,
}

impl Charge {
    fn key(&self) -> (String, u64) {
        (self.run.clone(), self.order)
    }
}

/// Asks the bank, and then charges.
#[derive(Serialize, Deserialize)]
struct AskThenCharge(Charge);

#[pulpo::handler("faults_ask_then_charge")]
async fn ask_then_charge(AskThenCharge(order): AskThenCharge) {
    if !is_charged(&order).await {
        charge(&order).await;
    }
}

/// The repaired handler: it asks and charges in one step.
#[derive(Serialize, Deserialize)]
struct ChargeUnlessCharged(Charge);

#[pulpo::handler("faults_charge_unless_charged")]
async fn charge_unless_charged(ChargeUnlessCharged(order): ChargeUnlessCharged) {
    let mut charges = CHARGES.lock().await;
    let is_charged = charges.contains_key(&order.key());
    // The other run waits for the lock.
    tokio::task::yield_now().await;
    if !is_charged {
        *charges.entry(order.key()).or_default() += 1;
    }
}

/// The charges of one run of a test, the number of runs beside another, and the story.
async fn charged<J: pulpo::Job>(name: &str, seed: u64, job: fn(Charge) -> J) -> (Vec<usize>, usize, Vec<String>) {
    // Each run has its own charges, however often it is made.
    static RUNS: Mutex<u64> = Mutex::new(0);
    let count = {
        let mut runs = RUNS.lock().unwrap();
        *runs += 1;
        *runs
    };
    let run = format!("{name} {count}");
    let pulpo = TestPulpo::faults(seed);
    for order in 0..5 {
        pulpo.publish(job(Charge { run: run.clone(), order })).unwrap();
    }
    pulpo.work_for_async(LONG).await;
    assert!(pulpo.queue().list(&pulpo::queue::Filter::all()).unwrap().is_empty(), "{:#?}", pulpo.story());
    let charges = CHARGES.lock().await;
    let all = (0..5).map(|order| charges.get(&(run.clone(), order)).copied().unwrap_or_default()).collect();
    let story = pulpo.story();
    (all, story.iter().filter(|line| line.contains("while the first still runs")).count(), story)
}

#[tokio::test]
async fn an_async_handler_that_is_not_safe_beside_itself_is_found_where_it_awaits() {
    let (mut twice, mut overlaps) = (0, 0);
    for seed in 0..24 {
        let (all, beside, story) = charged("ask", seed, AskThenCharge).await;
        assert!(all.iter().all(|count| *count > 0), "nothing is lost: {story:#?}");
        overlaps += beside;
        if all.iter().any(|count| *count > 1) {
            twice += 1;
            // The first run goes on after a while, even if the second has not ended on a busy machine.
            let (expected, mut again) = ((all, beside, story), charged("ask", seed, AskThenCharge).await);
            for _ in 0..9 {
                if again != expected {
                    again = charged("ask", seed, AskThenCharge).await;
                }
            }
            assert_eq!(again, expected, "seed {seed}");
        }
    }
    assert!(twice > 3 && overlaps >= twice, "{twice} of 24 seeds have found it, {overlaps} runs beside another");
    for seed in 0..24 {
        let (all, _, story) = charged("once", seed, ChargeUnlessCharged).await;
        assert_eq!(all, [1; 5], "{story:#?}");
    }
}

/// The parcels of a shop: those that wait, and those that are sent.
#[derive(Default)]
struct Parcels {
    waiting: Mutex<Vec<u32>>,
    sent: Mutex<Vec<u32>>,
}

/// Takes a parcel, and loses it if it is dropped while it sends it.
#[derive(Serialize, Deserialize)]
struct SendParcel;

#[pulpo::handler("faults_send_parcel", timeout = "1m")]
async fn send_parcel(_: SendParcel, parcels: State<Parcels>) {
    let parcel = parcels.waiting.lock().unwrap().pop();
    tokio::task::yield_now().await;
    parcels.sent.lock().unwrap().extend(parcel);
}

/// The repaired handler: the parcel waits until it is sent.
#[derive(Serialize, Deserialize)]
struct SendFirst;

#[pulpo::handler("faults_send_first", timeout = "1m")]
async fn send_first(_: SendFirst, parcels: State<Parcels>) {
    let first = parcels.waiting.lock().unwrap().last().copied();
    tokio::task::yield_now().await;
    let mut sent = parcels.sent.lock().unwrap();
    if let Some(first) = first.filter(|first| !sent.contains(first)) {
        sent.push(first);
        parcels.waiting.lock().unwrap().retain(|parcel| *parcel != first);
    }
}

/// Sends parcels until none waits. Returns those that were sent.
fn sent<J: pulpo::Job>(seed: u64, job: fn() -> J) -> (Vec<u32>, Vec<String>) {
    let parcels = Parcels { waiting: Mutex::new(vec![1, 2, 3]), ..Parcels::default() };
    let pulpo = TestPulpo::faults(seed).state(parcels);
    let is_waiting = || !pulpo.state_of::<Parcels>().waiting.lock().unwrap().is_empty();
    while is_waiting() {
        pulpo.publish(job()).unwrap();
        pulpo.work_for(LONG);
    }
    let mut sent = pulpo.state_of::<Parcels>().sent.lock().unwrap().clone();
    sent.sort_unstable();
    (sent, pulpo.story())
}

#[test]
fn an_async_handler_is_dropped_where_it_awaits_when_its_run_does_not_count() {
    let (mut lost, mut dropped) = (0, 0);
    for seed in 0..40 {
        let (parcels, story) = sent(seed, || SendParcel);
        lost += usize::from(parcels != [1, 2, 3]);
        dropped += story.iter().filter(|line| line.contains("and the handler is notified (again: cancelled)")).count();
        let (parcels, story) = sent(seed, || SendFirst);
        assert_eq!(parcels, [1, 2, 3], "{story:#?}");
    }
    assert!(lost > 3 && dropped >= lost, "{lost} of 40 seeds have found it, {dropped} runs were dropped");
}

/// The orders that a bank has booked.
#[derive(Default)]
struct Books(Mutex<Vec<u64>>);

/// Books what is not booked yet: all that are there, and then all that are missing.
#[derive(Serialize, Deserialize)]
struct BookMissing(u64);

#[pulpo::handler("faults_book_missing", batch = 10)]
fn book_missing(orders: Vec<BookMissing>, books: State<Books>) {
    let booked = books.0.lock().unwrap().clone();
    let missing = orders.iter().map(|order| order.0).filter(|order| !booked.contains(order));
    books.0.lock().unwrap().extend(missing);
}

/// The repaired handler: it looks and books under one lock.
#[derive(Serialize, Deserialize)]
struct BookOnce(u64);

#[pulpo::handler("faults_book_once", batch = 10)]
async fn book_once(orders: Vec<BookOnce>, books: State<Books>) {
    tokio::task::yield_now().await;
    let mut booked = books.0.lock().unwrap();
    for BookOnce(order) in orders {
        if !booked.contains(&order) {
            booked.push(order);
        }
    }
}

/// Books five orders. Returns what is booked, the number of runs beside another, and the story.
fn booked<J: pulpo::Job>(seed: u64, job: fn(u64) -> J) -> (Vec<u64>, usize, Vec<String>) {
    let pulpo = TestPulpo::faults(seed).state(Books::default());
    pulpo.publish_all((0..5).map(job)).unwrap();
    pulpo.work_for(LONG);
    assert!(pulpo.queue().list(&pulpo::queue::Filter::all()).unwrap().is_empty(), "{:#?}", pulpo.story());
    let mut booked = pulpo.state_of::<Books>().0.lock().unwrap().clone();
    booked.sort_unstable();
    let story = pulpo.story();
    (booked, story.iter().filter(|line| line.contains("while the first still runs")).count(), story)
}

#[test]
fn a_batch_handler_that_is_not_safe_beside_itself_is_found_and_the_mended_one_is_not() {
    let (mut twice, mut overlaps) = (0, 0);
    for seed in 0..60 {
        let (all, beside, story) = booked(seed, BookMissing);
        // The whole batch is run by the other worker.
        assert_eq!(beside % 5, 0, "{story:#?}");
        overlaps += beside;
        if all != [0, 1, 2, 3, 4] {
            twice += 1;
            assert_eq!(booked(seed, BookMissing), (all, beside, story), "seed {seed}");
        }
        let (all, beside, story) = booked(seed, BookOnce);
        assert_eq!(all, [0, 1, 2, 3, 4], "{story:#?}");
        overlaps += beside;
    }
    assert!(twice > 1 && overlaps > 5, "{twice} of 60 seeds have found it, {overlaps} runs beside another");
}

/// Publishes where it awaits.
#[derive(Serialize, Deserialize)]
struct Announce;

#[pulpo::handler("faults_announce_async")]
async fn announce(_: Announce) -> pulpo::Outcome {
    tokio::task::yield_now().await;
    pulpo::publish_async(Announced).await?;
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Announced;

#[pulpo::handler("faults_announced")]
fn announced(_: Announced) {}

#[test]
fn the_story_of_async_handlers_that_publish_is_that_of_the_seed() {
    let story = |seed| {
        let pulpo = TestPulpo::faults(seed);
        for _ in 0..4 {
            pulpo.publish(Announce).unwrap();
        }
        pulpo.work_for(LONG);
        assert!(pulpo.queue().list(&pulpo::queue::Filter::all()).unwrap().is_empty(), "{:#?}", pulpo.story());
        pulpo.story()
    };
    for seed in 0..30 {
        assert_eq!(story(seed), story(seed), "seed {seed}");
    }
}

/// Holds back jobs like it for a minute.
#[derive(Serialize, Deserialize)]
struct HoldBack;

/// When they ran, in seconds.
#[derive(Default)]
struct Times(Mutex<Vec<i64>>);

#[pulpo::handler("faults_hold_back", limit = 1)]
fn hold_back(_: HoldBack, context: &pulpo::Context, times: State<Times>) {
    context.hold_back(Duration::from_secs(60));
    times.0.lock().unwrap().push(context.now().timestamp());
}

#[test]
fn a_handler_holds_back_its_like_among_faults_too() {
    for seed in 0..10 {
        let pulpo = TestPulpo::faults(seed).state(Times::default());
        pulpo.publish_all([HoldBack, HoldBack, HoldBack]).unwrap();
        for _ in 0..100 {
            pulpo.drain();
            pulpo.advance(Duration::from_secs(10));
        }
        assert!(pulpo.queue().list(&pulpo::queue::Filter::all()).unwrap().is_empty(), "{:#?}", pulpo.story());
        let times = pulpo.state_of::<Times>().0.lock().unwrap().clone();
        assert!(
            times.len() >= 3 && times.windows(2).all(|pair| pair[1] - pair[0] >= 60),
            "{times:?} {:#?}",
            pulpo.story()
        );
    }
}
