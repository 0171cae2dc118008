//! A producer that records acknowledgements: `ack_logging_producer FIRST` publishes jobs from this
//! number on, endlessly, from four threads. It appends each number to the file `ACKNOWLEDGED` once
//! `publish` has returned. For tests that kill it.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write as _;

use serde::{Deserialize, Serialize};

/// The job type that the worker of these tests knows. It is long, so that SQLite often moves its
/// write-ahead log into the database.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    number: u64,
    pad: String,
}

/// This program only publishes; the handler ties the type to its name.
#[pulpo::handler("record")]
fn record(_: Record) {}

fn publish(mut number: u64, mut file: &File) -> Result<(), Box<dyn Error>> {
    loop {
        pulpo::publish(Record { number, pad: "x".repeat(20_000) })?;
        // One write, which a kill does not tear.
        file.write_all(format!("{number}\n").as_bytes())?;
        number += 1;
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let first: u64 = std::env::args().nth(1).ok_or("expected: ack_logging_producer FIRST")?.parse()?;
    let file = OpenOptions::new().create(true).append(true).open(std::env::var("ACKNOWLEDGED")?)?;
    let file = &file;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || publish(first + thread * 100_000, file).map_err(|error| error.to_string()));
        }
    });
    Err("a thread came to an end".into())
}
