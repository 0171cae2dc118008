//! Handlers that run by a schedule.

use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
struct Report {}

#[pulpo::handler(
    "report",
    cron = "0 3 * * MON-FRI",
    cron(*/20 9-17 1,15 JAN-JUN *),
    cron(@daily),
    tz = "Europe/Berlin",
    missed = "all",
    overlap = "allow"
)]
fn report(_: Report, context: &pulpo::Context) {
    let _ = (context.now(), context.scheduled_for());
}

#[derive(Default, Serialize, Deserialize)]
struct Sweep;

#[pulpo::handler("sweep", every = "1h 30m", missed = "skip", batch = 10)]
async fn sweep(_: Vec<Sweep>) {}

#[derive(Default, Serialize, Deserialize, pulpo::Job)]
#[job("declared", queue = "slow")]
struct Declared;

#[pulpo::handler(cron = "@hourly")]
fn declared(_: Declared) -> pulpo::Outcome {
    Ok(())
}

fn main() {}
