//! A worker whose jobs crash their process, or run until they are released: for tests of leases, of
//! poison messages and of deploys. Its handlers record what they did in the file that `RECORD`
//! names.
//!
//! Their leases are short enough to be waited for, and outlast a worker that stands still for a few seconds.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use pulpo::{Context, Outcome};
use serde::{Deserialize, Serialize};

/// Always kills its worker.
#[derive(Debug, Serialize, Deserialize)]
struct Abort {}

#[pulpo::handler("abort", ttr = "6s", max_attempts = 3)]
fn abort(_: Abort) -> Outcome {
    write_down("abort")?;
    std::process::abort()
}

/// Kills its worker too, but gets only one run.
#[derive(Debug, Serialize, Deserialize)]
struct AbortOnce {}

#[pulpo::handler("abort_once", ttr = "6s", max_attempts = 1)]
fn abort_once(_: AbortOnce) -> Outcome {
    write_down("abort_once")?;
    std::process::abort()
}

/// Does no harm, and runs for this many milliseconds.
#[derive(Debug, Serialize, Deserialize)]
struct Innocent(u64);

#[pulpo::handler("innocent", ttr = "6s", backoff = "100ms..1s")]
fn innocent(Innocent(millis): Innocent, context: &Context) -> Outcome {
    std::thread::sleep(Duration::from_millis(millis));
    write_down(&format!("innocent {}", context.id()))
}

/// Has a different body in the program `old_version_worker`.
#[derive(Debug, Serialize, Deserialize)]
struct Invoice {
    customer_id: u64,
}

#[pulpo::handler("invoice")]
fn invoice(invoice: Invoice) -> Outcome {
    write_down(&format!("invoice {}", invoice.customer_id))
}

#[derive(Debug, Serialize, Deserialize)]
struct InvoiceInBatches {
    customer_id: u64,
}

#[pulpo::handler("invoice_in_batches", batch = 10)]
fn invoice_in_batches(invoices: Vec<InvoiceInBatches>) -> Outcome {
    invoices.iter().try_for_each(|invoice| write_down(&format!("invoice {}", invoice.customer_id)))
}

/// Runs until a file exists that is named after this and the number of the attempt.
#[derive(Debug, Serialize, Deserialize)]
struct Held {
    name: String,
    /// How its first attempt ends; all others succeed.
    then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Then {
    Ok,
    Fail,
    Fatal,
    Panic,
}

impl Held {
    fn is_free(&self, attempt: u32) -> bool {
        PathBuf::from(format!("{}.{attempt}", self.name)).exists()
    }

    fn begin(&self, attempt: u32) -> Outcome {
        write_down(&format!("{} begun {attempt}", self.name))
    }

    fn end(&self, attempt: u32) -> Outcome {
        write_down(&format!("{} over {attempt}", self.name))?;
        match self.then {
            Then::Fail if attempt == 1 => Err("no luck".into()),
            Then::Fatal if attempt == 1 => Err(pulpo::fatal("no hope")),
            Then::Panic if attempt == 1 => panic!("no nerves"),
            _ => Ok(()),
        }
    }
}

const LOOK: Duration = Duration::from_millis(5);

#[pulpo::handler("held", ttr = "6s", backoff = "100ms..1s")]
fn held(held: Held, context: &Context) -> Outcome {
    held.begin(context.attempt())?;
    while !held.is_free(context.attempt()) {
        std::thread::sleep(LOOK);
    }
    held.end(context.attempt())
}

#[derive(Debug, Serialize, Deserialize)]
struct HeldAsync(Held);

#[pulpo::handler("held_async", ttr = "6s", backoff = "100ms..1s")]
async fn held_async(HeldAsync(held): HeldAsync, context: &Context) -> Outcome {
    held.begin(context.attempt())?;
    while !held.is_free(context.attempt()) {
        tokio::time::sleep(LOOK).await;
    }
    held.end(context.attempt())
}

#[derive(Debug, Serialize, Deserialize)]
struct HeldBatch(Held);

#[pulpo::handler("held_batch", ttr = "6s", batch = 2, linger = "50ms")]
fn held_batch(batch: Vec<HeldBatch>, context: &Context) -> Vec<Outcome> {
    let attempt = context.attempt();
    let begun = batch.iter().map(|HeldBatch(held)| held.begin(attempt)).collect::<Result<Vec<_>, _>>();
    while begun.is_ok() && !batch.iter().all(|HeldBatch(held)| held.is_free(attempt)) {
        std::thread::sleep(LOOK);
    }
    batch.iter().map(|HeldBatch(held)| held.end(attempt)).collect()
}

/// The same job in larger batches.
#[derive(Debug, Serialize, Deserialize)]
struct HeldFlock(Held);

#[pulpo::handler("held_flock", ttr = "6s", batch = 8, linger = "50ms")]
fn held_flock(flock: Vec<HeldFlock>, context: &Context) -> Vec<Outcome> {
    held_batch(flock.into_iter().map(|HeldFlock(held)| HeldBatch(held)).collect(), context)
}

/// Writes one line in one write, so that lines of several processes do not mix.
fn write_down(what: &str) -> Outcome {
    let line = format!("{what}\n");
    let file = std::env::var("RECORD")?;
    std::fs::OpenOptions::new().create(true).append(true).open(file)?.write_all(line.as_bytes())?;
    Ok(())
}

pulpo::main!();
