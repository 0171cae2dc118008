//! A producer with a spool: `spooling_producer FIRST` publishes jobs from this number on,
//! endlessly, and appends each number to the file `ACKNOWLEDGED` once `publish` has returned Ok.
//! For tests that kill it, and its server.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write as _;

use pulpo::PublishError;
use pulpo::queue::QueueError;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    number: u64,
}

/// This program only publishes; the handler ties the type to its name.
#[pulpo::handler("record")]
fn record(_: Record) {}

fn main() -> Result<(), Box<dyn Error>> {
    let mut number: u64 = std::env::args().nth(1).ok_or("expected: spooling_producer FIRST")?.parse()?;
    let mut file = OpenOptions::new().create(true).append(true).open(std::env::var("ACKNOWLEDGED")?)?;
    loop {
        match pulpo::publish(Record { number }) {
            // One write, which a kill does not tear.
            Ok(_) => file.write_all(format!("{number}\n").as_bytes())?,
            // The job may or may not be in the queue, and is not acknowledged.
            Err(PublishError::Queue(QueueError::UnknownOutcome { .. })) => {}
            Err(error) => return Err(error.into()),
        }
        number += 1;
        std::thread::park_timeout(std::time::Duration::from_millis(1));
    }
}
