//! A producer in a separate program: `publisher COUNT` publishes this number of jobs of mixed
//! priorities, some of them delayed, from several threads.

use std::error::Error;
use std::time::Duration;

use pulpo::Message;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    number: u64,
    priority: u32,
    delayed: bool,
}

/// This program only publishes; the handler ties the type to its name.
#[pulpo::handler("record")]
fn record(_: Record) {}

const THREADS: u64 = 8;

fn message(number: u64) -> Message<Record> {
    let priority = u32::try_from(number * 7919 % 10).unwrap_or_default();
    let delayed = number.is_multiple_of(5);
    let message = Message::new(Record { number, priority, delayed }).priority(priority);
    if delayed { message.delay(Duration::from_millis(number % 1500)) } else { message }
}

fn main() -> Result<(), Box<dyn Error>> {
    let count: u64 = std::env::args().nth(1).ok_or("expected: publisher COUNT")?.parse()?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    (0..count)
                        .filter(|number| number % THREADS == thread)
                        .try_for_each(|number| pulpo::publish(message(number)).map(drop))
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?.map_err(Box::from))
    })
}
