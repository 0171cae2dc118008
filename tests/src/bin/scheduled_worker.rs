//! A worker whose handlers run by schedules, and record the time that each run is for.

use std::io::Write as _;

use serde::{Deserialize, Serialize};

/// Appends a line to the record, in one write.
fn note(name: &str, context: &pulpo::Context) -> pulpo::Outcome {
    let at = context.scheduled_for().map_or_else(|| "unasked".to_owned(), |at| at.to_rfc3339());
    let line = format!("{name} {} {at}\n", context.id());
    let file = std::env::var("RECORD")?;
    std::fs::OpenOptions::new().create(true).append(true).open(file)?.write_all(line.as_bytes())?;
    Ok(())
}

/// Occurs each second, whatever happens to the workers.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Tick {}

#[pulpo::handler("tick", every = "1s", missed = "all", overlap = "allow")]
fn tick(_: Tick, context: &pulpo::Context) -> pulpo::Outcome {
    note("tick", context)
}

/// Does not occur within a test.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Report {}

#[pulpo::handler("report", cron(0 3 29 2 *), tz = "Europe/Berlin")]
fn report(_: Report, context: &pulpo::Context) -> pulpo::Outcome {
    note("report", context)
}

/// Runs when it is published.
#[derive(Debug, Serialize, Deserialize)]
struct Plain {}

#[pulpo::handler("plain")]
fn plain(_: Plain) {}

pulpo::main!();
