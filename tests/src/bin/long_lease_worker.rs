//! A worker for tests that kill it: its leases outlast any test, so that only its death can end
//! them. Its handlers record what they did in the file that `RECORD` names.

use std::io::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Runs for this many milliseconds.
#[derive(Debug, Serialize, Deserialize)]
struct Hang(u64);

#[pulpo::handler("hang", ttr = "1h")]
fn hang(Hang(millis): Hang) -> pulpo::Outcome {
    write_down("asleep")?;
    std::thread::sleep(Duration::from_millis(millis));
    write_down("awake")
}

/// A job that may end its process.
#[derive(Debug, Serialize, Deserialize)]
struct Fuse(String);

#[pulpo::handler("fuse", ttr = "1h", max_attempts = 1)]
fn fuse(Fuse(what): Fuse) -> pulpo::Outcome {
    write_down(&what)?;
    if what == "bang" {
        std::process::abort();
    }
    Ok(())
}

/// Meets the limit of a remote service twice.
#[derive(Debug, Serialize, Deserialize)]
struct Busy {}

#[pulpo::handler("busy", max_attempts = 4)]
fn busy(_: Busy, context: &pulpo::Context) -> pulpo::Outcome {
    write_down(&format!("busy {}", context.attempt()))?;
    context.hold_back(Duration::from_secs(3600));
    if context.attempt() < 3 { Err(pulpo::snooze(Duration::from_millis(1))) } else { Ok(()) }
}

/// Waits for something else, in vain.
#[derive(Debug, Serialize, Deserialize)]
struct Snooze {}

#[pulpo::handler("snooze")]
fn snooze(_: Snooze) -> pulpo::Outcome {
    Err(pulpo::snooze(Duration::from_secs(3600)))
}

/// Writes one line in one write, so that lines of several processes do not mix.
fn write_down(what: &str) -> pulpo::Outcome {
    let file = std::env::var("RECORD")?;
    let line = format!("{} {:?} {what}\n", std::process::id(), std::thread::current().id());
    std::fs::OpenOptions::new().create(true).append(true).open(file)?.write_all(line.as_bytes())?;
    Ok(())
}

pulpo::main!();
