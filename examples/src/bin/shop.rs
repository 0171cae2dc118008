//! A shop with a nightly report, totals that are recalculated after changes,
//! and a supplier that accepts ten requests a second.
//!
//! ```text
//! cargo run -p pulpo-examples --bin shop
//! ```
//!
//! It shows: `cron` with a time zone, which publishes one report a night,
//! however many workers there are; `unique`, so that a hundred changes of a
//! basket cost one calculation; `delay` with `on_duplicate = "replace"`, which
//! waits until a customer has stopped clicking; `rate`, which holds across all
//! workers; `limit_by`, so that no order is packed twice at the same time; and
//! `snooze` with `hold_back`, for a supplier that asks you to wait.
#![allow(clippy::print_stdout, reason = "it talks to a person")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use pulpo::config::Sources;
use pulpo::{Config, Context, Message, Publication, Pulpo, State};
use serde::{Deserialize, Serialize};

/// The basket of a customer has changed. Its total is calculated again, once, when it has not
/// changed for a while.
#[derive(Serialize, Deserialize)]
struct Total {
    customer: u32,
    items: u32,
}

#[pulpo::handler("total", unique(customer), unique_for = "waiting", on_duplicate = "replace")]
fn total(basket: Total, shop: State<Shop>) {
    shop.calculations.fetch_add(1, Ordering::Relaxed);
    println!("customer {} has {} items in the basket", basket.customer, basket.items);
}

/// Asks the supplier for the price of an item. The supplier's API accepts ten requests a second
/// from all of our workers together.
#[derive(Serialize, Deserialize)]
struct AskPrice {
    item: u32,
}

#[pulpo::handler("ask_price", rate = "10/1s")]
fn ask_price(ask: AskPrice, shop: State<Shop>, context: &Context) -> pulpo::Outcome {
    let requests = shop.requests.fetch_add(1, Ordering::Relaxed);
    if requests == PATIENCE_AFTER {
        println!("the supplier asks for patience");
        context.hold_back(PATIENCE); // all other requests wait in the queue
        return Err(pulpo::snooze(PATIENCE)); // and so does this one, without counting as a failed attempt
    }
    println!("item {} costs {} cents", ask.item, 100 + ask.item);
    Ok(())
}

/// Packs a box of an order. Two boxes of one order are never packed at the same time, across all workers.
#[derive(Serialize, Deserialize)]
struct Pack {
    order: u32,
    r#box: u32,
}

#[pulpo::handler("pack", limit_by(order) = 1)]
fn pack(pack: Pack) {
    println!("box {} of order {} is packed", pack.r#box, pack.order);
}

/// Reports the sales to the accountant each night. Three workers publish it once, and after a night
/// without any worker it is made up for.
#[derive(Default, Serialize, Deserialize)]
struct Report {}

#[pulpo::handler("report", cron = "0 3 * * *", tz = "Europe/Berlin")]
fn report(_: Report, shop: State<Shop>, context: &Context) {
    let night = context.scheduled_for().unwrap_or_else(|| context.now());
    let calculations = shop.calculations.load(Ordering::Relaxed);
    println!("report of {}: {calculations} baskets were calculated", night.date_naive());
}

const PATIENCE_AFTER: u32 = 12;
const PATIENCE: Duration = Duration::from_millis(500);

/// The work that the shop has done.
#[derive(Default)]
struct Shop {
    calculations: AtomicU32,
    requests: AtomicU32,
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_env_filter("warn").with_writer(std::io::stderr).init();
    let folder = std::env::temp_dir().join(format!("pulpo-shop-{}", std::process::id()));
    let config = Config::load_from(&Sources::default())?.queue(&format!("file:{}", folder.display()))?;
    let shop = Pulpo::new(config)?;

    let (mut new, mut replaced) = (0, 0);
    for items in 1..=20 {
        for customer in 1..=5 {
            // Two tenths of a second after the last click.
            let total = Message::new(Total { customer, items }).delay(Duration::from_millis(200));
            match shop.publish(total)?.publication() {
                Publication::Replaced => replaced += 1,
                _ => new += 1,
            }
        }
    }
    println!("100 changes of baskets: {new} calculations wait, {replaced} changes went into them");
    shop.publish_all((1..=25).map(|item| AskPrice { item }))?;
    shop.publish_all((1..=6).map(|number| Pack { order: number % 2, r#box: number }))?;
    // The schedule runs it at three in the night. This program does not wait for that.
    shop.publish(Message::new(Report {}).delay(Duration::from_secs(1)))?;

    let started = Instant::now();
    let worker = shop.worker()?.state(Shop::default());
    // A job that waits for a limit counts as due, so this ends when all jobs are done.
    let done = worker_until_done(&shop, worker)?;
    println!("{done} jobs in {:.1} seconds", started.elapsed().as_secs_f64());
    drop(shop);
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

/// Works until the queue is empty, including delayed jobs.
fn worker_until_done(shop: &Pulpo, worker: pulpo::worker::Worker) -> anyhow::Result<u64> {
    let stopper = worker.stopper();
    let working = std::thread::scope(|scope| {
        let working = scope.spawn(move || worker.run());
        while shop.queue().stats().is_ok_and(|stats| stats.counts.iter().any(|counts| counts.total() > 0)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        stopper.stop();
        working.join().expect("no lane panics")
    });
    Ok(working?.done)
}

#[cfg(test)]
mod tests {
    use pulpo::testing::TestPulpo;

    use super::{Report, Shop};

    /// On 25 October 2026, clocks go back at three.
    #[test]
    fn the_report_comes_once_also_in_the_night_when_clocks_change() {
        let after = "2026-10-23T12:00:00Z".parse().expect("a time");
        let pulpo = TestPulpo::new().state(Shop::default());
        let nights: Vec<_> = pulpo.occurrences::<Report>(after).take(3).map(|night| night.to_rfc3339()).collect();
        assert_eq!(nights, ["2026-10-24T01:00:00+00:00", "2026-10-25T02:00:00+00:00", "2026-10-26T02:00:00+00:00"]);
    }
}
