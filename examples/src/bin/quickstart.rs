//! The tutorial: turns the orders of a shop into jobs, and runs them.
//!
//! ```text
//! cargo run -p pulpo-examples --bin quickstart
//! ```
//!
//! It shows, from top to bottom: jobs as plain functions; a failure that is
//! retried and one that is not; a delayed job and an urgent one; publishing one
//! job and many; a worker; and where to find the jobs that failed. The queue is
//! the folder `pulpo-data`, the output `quickstart-output`.
//!
//! With arguments it is the command line that every pulpo program can have:
//! `quickstart list`, `quickstart kick --all`, `quickstart work`, …
#![allow(clippy::print_stdout, reason = "it talks to a person")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{env, fs, io};

use anyhow::Context as _;
use email_address::EmailAddress;
use mail_builder::MessageBuilder;
use pulpo::config::Sources;
use pulpo::queue::{Filter, MessageState, QueueError, StoredMessage};
use pulpo::{Config, Message, Pulpo, ResultExt as _};
use pulpo_examples::orders::{self, Order, Status};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

const OUTPUT: &str = "quickstart-output";

// A job consists of a body type and the function that takes it.

#[derive(Serialize, Deserialize)]
struct SendReceipt(Order);

/// After an error the job is tried again, up to 5 runs in all, with growing pauses.
#[pulpo::handler("send_receipt", max_attempts = 5, backoff = "100ms..1s")]
fn send_receipt(SendReceipt(order): SendReceipt) -> pulpo::Outcome {
    let Order { number, placed, customer, street, town, country, item, quantity, amount, currency, .. } = &order;
    let text = format!(
        "Dear {customer},\n\nthank you for your order {number} of {placed}:\n\n    {quantity} × {item}\n    \
         {amount} {currency}\n\nIt goes to {street}, {town} ({country}).\n\nYours, Casa Polpo\n",
    );
    send(&order, "receipts", &format!("Receipt: {item}"), &text)
}

#[derive(Serialize, Deserialize)]
struct RemindToPay(Order);

#[pulpo::handler("remind_to_pay", max_attempts = 5, backoff = "100ms..1s")]
fn remind_to_pay(RemindToPay(order): RemindToPay) -> pulpo::Outcome {
    let Order { number, customer, item, amount, currency, .. } = &order;
    let text = format!("Dear {customer},\n\n{item} is packed; we wait for {amount} {currency}.\n\nYours, Casa Polpo\n");
    send(&order, "reminders", &format!("Your order {number} is not paid yet"), &text)
}

#[derive(Serialize, Deserialize)]
struct CheckForFraud(Order);

/// Published last but run first, because it has the most urgent priority.
#[pulpo::handler("check_for_fraud", priority = 0)]
fn check_for_fraud(CheckForFraud(order): CheckForFraud) -> anyhow::Result<()> {
    let hold = order.quantity > 10 || order.status == Status::Unpaid;
    let verdict = serde_json::json!({ "verdict": if hold { "hold" } else { "release" }, "order": order });
    save("fraud-checks", &format!("{}.json", order.number), &serde_json::to_vec_pretty(&verdict)?)
}

/// Sends a mail. In this example, it writes a file into a folder.
fn send(order: &Order, kind: &str, subject: &str, text: &str) -> pulpo::Outcome {
    // Fatal: a retry does not turn it into an address. The job is buried.
    let to: EmailAddress =
        order.email.parse().with_context(|| format!("{:?} is not a mail address", order.email)).fatal()?;
    // Any other error is transient: the job is tried again.
    knock(&to)?;
    let mail = MessageBuilder::new()
        .from(("Casa Polpo", "shop@casa-polpo.example"))
        .to((order.customer.as_str(), to.as_str()))
        .subject(subject)
        .message_id(format!("{kind}.{}@casa-polpo.example", order.number))
        .text_body(text)
        .write_to_vec()?;
    Ok(save(kind, &format!("{}.eml", order.number), &mail)?)
}

/// Simulates a mail server that greylists: it refuses the first mail to each of its users, because
/// spammers do not try again.
fn knock(to: &EmailAddress) -> Result<(), String> {
    static KNOWN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let is_new = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner).insert(to.to_string());
    if to.domain() == "kirjeposti.example" && is_new() {
        return Err(format!("451 4.7.1 <{to}> is greylisted, come back later"));
    }
    Ok(())
}

/// Saves a file. A job may run twice, if its worker dies at the wrong moment. So it writes to its
/// own file name, and never appends.
fn save(kind: &str, name: &str, content: &[u8]) -> anyhow::Result<()> {
    let folder = Path::new(OUTPUT).join(kind);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    fs::write(folder.join(name), content).with_context(|| format!("cannot write {name} in {}", folder.display()))
}

fn main() -> anyhow::Result<ExitCode> {
    if env::args_os().len() > 1 {
        return Ok(command_line::run());
    }
    // The worker logs failures; with RUST_LOG=info it logs every job.
    let level = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    let logs = tracing_subscriber::fmt().with_env_filter(level).with_writer(io::stderr);
    logs.with_target(false).with_ansi(false).without_time().init();

    let (orders, faults) = orders::read()?;
    println!("read       {} orders; skipped {} lines that are not orders:", orders.len(), faults.len());
    faults.iter().for_each(|fault| println!("             {fault}"));

    // The queue is ./pulpo-data, or the one that pulpo.toml or PULPO_QUEUE names. A worker normally
    // runs until it is stopped, but this one ends after two idle seconds: no job here is due more
    // than a second later.
    let mut sources = Sources::default();
    sources.set_default("sleep_duration", "2s").set_default("shutdown_after_number_of_empty_iterations", "1");
    let config = Config::load_from(&sources)?;
    let (backend, lanes) = (config.backend.to_string(), config.worker.concurrency);
    let pulpo = Pulpo::new(config)?;
    let earlier: BTreeSet<_> = buried(&pulpo)?.into_iter().flatten().map(|message| message.id).collect();

    // Many, as one batch: either all of them enter the queue, or none.
    let receipts = pulpo.publish_all(orders.iter().cloned().map(SendReceipt))?;
    // With options: wrap the body in a `Message`.
    let unpaid = orders.iter().filter(|order| order.status == Status::Unpaid).cloned().map(RemindToPay);
    let reminders = pulpo.publish_all(unpaid.map(|body| Message::new(body).delay(Duration::from_secs(1))))?;
    // One by one. When `publish` returns Ok, the job is safe in the queue.
    let big = orders.into_iter().filter(|order| order.eur >= Decimal::from(800));
    let checks = big.map(|order| pulpo.publish(CheckForFraud(order))).collect::<Result<Vec<_>, _>>()?;
    println!("published  {} receipts, {} reminders due a second later,", receipts.len(), reminders.len());
    println!("           {} urgent fraud checks, into {backend}", checks.len());

    println!("working    up to {lanes} jobs at a time; warnings on the way:");
    let summary = pulpo.work()?;

    println!("done       {} jobs; see the folder {OUTPUT}", summary.done);
    println!("retried    {} after a temporary failure", summary.retried);
    println!("buried     {} after a permanent failure, kept for you to look at:", summary.buried);
    match buried(&pulpo)? {
        None => println!("             this queue cannot list them"),
        Some(buried) => {
            for StoredMessage { id, request_type, last_error, .. } in buried.iter().filter(|m| !earlier.contains(&m.id))
            {
                println!("             {id} {request_type}: {}", last_error.as_deref().unwrap_or("see the log"));
            }
            if !earlier.is_empty() {
                println!("           and {} from earlier runs", earlier.len());
            }
        }
    }
    // After Ctrl-C, for instance. Nothing is lost: the next run continues.
    let left: u64 = pulpo.queue().stats()?.counts.iter().map(|counts| counts.total() - counts.buried).sum();
    if left > 0 {
        println!("left       {left} jobs, for the next run");
    }
    if backend != "memory:" {
        let program = env::args().next().unwrap_or_else(|| "quickstart".to_owned());
        println!("look       {program} list --state buried");
        println!("           {program} --help");
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the buried messages; `None` if the queue cannot list.
fn buried(pulpo: &Pulpo) -> anyhow::Result<Option<Vec<StoredMessage>>> {
    match pulpo.queue().list(&Filter::all().state(MessageState::Buried)) {
        Err(QueueError::Unsupported(_)) => Ok(None),
        listed => Ok(Some(listed?)),
    }
}

/// `pulpo::main!()` generates a whole program; in this example it is only one half.
mod command_line {
    pulpo::main!();

    pub(super) fn run() -> std::process::ExitCode {
        main()
    }
}
