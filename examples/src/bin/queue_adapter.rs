//! A queue adapter of your own: runs the jobs of a shop on a queue that pulpo
//! does not know.
//!
//! ```text
//! cargo run -p pulpo-examples --bin queue_adapter
//! cargo test -p pulpo-examples --test queue_adapter      # the conformance suite, on it
//! ```
//!
//! The adapter is `examples/src/line.rs`, three traits in some 300 lines; read
//! that first. Here a `Pulpo` uses it through `Pulpo::with_queue`. From then on
//! it works like pulpo's own queues: publishing, priorities, retries, burying
//! and the worker are the same.
//!
//! It also registers itself (`examples/src/line/backend.rs`), so with arguments
//! this is a program like any other, on the configured queue:
//!
//! ```text
//! export PULPO_QUEUE=line:./line.json
//! queue_adapter publish pack --body '{…}'
//! queue_adapter list
//! queue_adapter work
//! queue_adapter config
//! ```
#![allow(clippy::print_stdout, reason = "it talks to a person")]

use std::collections::BTreeMap;
use std::env;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pulpo::clock::SystemClock;
use pulpo::queue::{Inspection as _, QueueAdapter as _};
use pulpo::worker::WorkerOptions;
use pulpo::{Context, Message, Pulpo, State};
use pulpo_examples::line::Line;
use pulpo_examples::orders::{self, Order, Status};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Pack(Order);

/// The packed items, by country.
type Shelf = Arc<Mutex<BTreeMap<String, u32>>>;

#[pulpo::handler("pack", max_attempts = 3, backoff = "50ms..1s")]
fn pack(Pack(order): Pack, context: &Context, shelf: State<Shelf>) -> pulpo::Outcome {
    if order.status == Status::Unpaid {
        return Err(pulpo::fatal(format!("{} has not paid for order {}", order.customer, order.number)));
    }
    if order.quantity > 10 && context.attempt() == 1 {
        return Err("that many do not fit on one trolley".into()); // so a second trolley is fetched
    }
    *shelf.lock().unwrap_or_else(PoisonError::into_inner).entry(order.country).or_default() += order.quantity;
    Ok(())
}

fn main() -> anyhow::Result<ExitCode> {
    if env::args_os().len() > 1 {
        return Ok(command_line::run());
    }
    let clock = Arc::new(SystemClock::new());
    let line = Line::new(clock.clone());

    let mut options = WorkerOptions::default();
    options.sleep_duration = Duration::from_millis(500);
    options.shutdown_after_number_of_empty_iterations = 1;
    let pulpo = Pulpo::with_queue(Arc::new(line.clone()), options, clock);
    println!("it can     {:?}", line.capabilities());

    let (orders, _) = orders::read()?;
    for order in orders {
        let urgent = order.country == "FI"; // the ferry leaves at noon
        let message = Message::new(Pack(order));
        pulpo.publish(if urgent { message.priority(1) } else { message })?;
    }
    for stats in line.stats()?.counts {
        println!("queued     {} in {:?}", stats.ready, stats.queue);
    }

    let shelf = Shelf::default();
    let summary = pulpo.worker()?.state(shelf.clone()).run()?;
    println!("packed     {} orders, {} of them at the second attempt", summary.done, summary.retried);
    for (country, items) in &*shelf.lock().unwrap_or_else(PoisonError::into_inner) {
        println!("           {country} {items}");
    }
    println!("kept       {} for a person", summary.buried);
    Ok(ExitCode::SUCCESS)
}

/// The program with its commands. An adapter in a separate library crate is linked if something
/// names the crate. Here, `use pulpo_examples::line` does; otherwise write `crates: [my_adapter]`
/// in `pulpo::main!`.
mod command_line {
    pulpo::main! {
        setup: |app| app.state(super::Shelf::default()),
    }

    pub(super) fn run() -> std::process::ExitCode {
        main()
    }
}
