//! A typical worker, for tests of processes. Its handlers record what they did in the file that
//! `RECORD` names.

use std::io::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A job that only records that it ran.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    number: u64,
    #[serde(default)]
    priority: u32,
    #[serde(default)]
    delayed: bool,
}

#[pulpo::handler("record")]
fn record(record: Record) -> pulpo::Outcome {
    let Record { number, priority, delayed } = record;
    write_down(&format!("{number} {priority} {delayed}"))
}

/// A text.
#[derive(Debug, Serialize, Deserialize)]
struct Echo(String);

#[pulpo::handler("echo", queue = "side", priority = 7, max_attempts = 1, timeout = "30s", alias = "say")]
fn echo(Echo(text): Echo) -> pulpo::Outcome {
    if text == "bad" {
        return Err(pulpo::fatal("a bad word"));
    }
    write_down(&text)
}

/// Runs for this many milliseconds.
#[derive(Debug, Serialize, Deserialize)]
struct Nap(u64);

#[pulpo::handler("nap", ttr = "6s")]
fn nap(Nap(millis): Nap) -> pulpo::Outcome {
    write_down("asleep")?;
    std::thread::sleep(Duration::from_millis(millis));
    write_down("awake")
}

/// Writes one line in one write, so that lines of several processes do not mix.
fn write_down(what: &str) -> pulpo::Outcome {
    let file = std::env::var("RECORD")?;
    let line = format!("{} {:?} {what}\n", std::process::id(), std::thread::current().id());
    std::fs::OpenOptions::new().create(true).append(true).open(file)?.write_all(line.as_bytes())?;
    Ok(())
}

pulpo::main!();
