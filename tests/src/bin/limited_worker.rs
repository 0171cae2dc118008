//! A worker whose jobs are unique or limited across all processes, and that records each start; and
//! `limited_worker produce`, which publishes them until it is killed.
//!
//! It may be killed at any moment. So each line is one appending write to a file, and a run holds a
//! lock that ends with its process.
#![allow(clippy::print_stdout, reason = "it is a program for tests")]

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use pulpo::{Message, Publication};
use serde::{Deserialize, Serialize};

/// Unique for an hour: one message of each key, despite all kills.
#[derive(Serialize, Deserialize)]
struct Once {
    key: u64,
}

#[pulpo::handler("once", unique, unique_for = "1h")]
fn once(_: Once) {}

/// Unique while it waits.
#[derive(Serialize, Deserialize)]
struct Waits {
    key: u64,
}

#[pulpo::handler("waits", unique(key), unique_for = "waiting")]
fn waits(_: Waits) {
    std::thread::sleep(Duration::from_millis(1));
}

/// Fails for good.
#[derive(Serialize, Deserialize)]
struct Fails {
    key: u64,
}

#[pulpo::handler("fails", unique(key))]
fn fails(job: Fails) -> pulpo::Outcome {
    Err(pulpo::fatal(format!("{} cannot be done", job.key)))
}

/// One waits, although it is due again. Does not occur within a test.
#[derive(Default, Serialize, Deserialize)]
struct Yearly {}

#[pulpo::handler("yearly", unique, cron(0 3 29 2 *))]
fn yearly(_: Yearly) {}

/// At most 40 starts in four seconds.
#[derive(Serialize, Deserialize)]
struct Rated {
    number: u64,
}

#[pulpo::handler("rated", rate = "40/4s")]
fn rated(_: Rated) {
    line("started", &now().as_micros().to_string());
}

/// At most two at the same time, and one of each key.
#[derive(Serialize, Deserialize)]
struct Exclusive {
    key: u64,
}

#[pulpo::handler("exclusive", limit = 2, limit_by(key) = 1, ttr = "20s")]
fn exclusive(job: Exclusive) {
    let slots = [0, 1].map(|slot| file(&format!("slot {slot}")));
    let slot = slots.iter().find(|slot| slot.try_lock().is_ok());
    let key = file(&format!("key {}", job.key));
    let is_alone = key.try_lock().is_ok();
    let fault = match (slot, is_alone) {
        (Some(_), true) => "",
        (None, _) => "three run at the same time",
        (_, false) => "two of a key run at the same time",
    };
    line("exclusive", fault);
    std::thread::sleep(Duration::from_millis(3));
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970")
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("RECORD").expect("a folder for records").into_string().expect("a text") + " " + name)
}

fn file(name: &str) -> File {
    OpenOptions::new().create(true).append(true).open(path(name)).expect("opened")
}

fn line(name: &str, text: &str) {
    file(name).write_all(format!("{text}\n").as_bytes()).expect("written");
}

/// Publishes until it is killed; all producers publish the same keys. Every other one publishes the jobs with limits, too:
/// their number must not grow faster than workers can do them.
fn produce(number: u64) -> Result<(), pulpo::PublishError> {
    // A new key every 20 ms, or after the test's period, so that all producers share keys.
    let period = std::env::var("KEY_MILLIS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    loop {
        let key = now().as_millis() as u64 / period;
        let sent = pulpo::publish(Once { key })?;
        line("once", &format!("{key} {}", sent.id().expect("published")));
        let waits: Vec<Message<Waits>> = pulpo::publish_all((0..4).map(|key| Waits { key: key % 2 }))?;
        let duplicates = waits.iter().filter(|sent| sent.publication() != Publication::New).count();
        if duplicates < 2 {
            line("faults", "two messages of one key in a batch");
        }
        if number.is_multiple_of(2) {
            pulpo::publish(Rated { number: key })?;
            pulpo::publish(Exclusive { key: key % 3 })?;
        }
    }
}

fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some("produce") {
        return program::run();
    }
    let number = arguments.next().and_then(|number| number.parse().ok());
    match produce(number.expect("expected: produce NUMBER")) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            line("faults", &format!("{error}"));
            std::process::ExitCode::FAILURE
        }
    }
}

mod program {
    pulpo::main!();

    pub(super) fn run() -> std::process::ExitCode {
        main()
    }
}
