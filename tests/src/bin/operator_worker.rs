//! A worker for tests of the operator's view: its handlers log, publish follow-ups, and reject jobs.

use std::io::Write as _;

use serde::{Deserialize, Serialize};

/// A text to log, and to record in a follow-up.
#[derive(Debug, Serialize, Deserialize)]
struct Talk(String);

#[pulpo::handler("talk")]
fn talk(Talk(text): Talk, context: &pulpo::Context) -> pulpo::Outcome {
    tracing::warn!(length = text.len(), "talking");
    context.publish(Note(text))?;
    Ok(())
}

/// A text to record, with the trace that it belongs to.
#[derive(Debug, Serialize, Deserialize)]
struct Note(String);

#[pulpo::handler("note", queue = "notes")]
fn note(Note(text): Note, context: &pulpo::Context) -> pulpo::Outcome {
    let line = format!("{text} {}\n", context.traceparent().unwrap_or("none"));
    let file = std::env::var("RECORD")?;
    std::fs::OpenOptions::new().create(true).append(true).open(file)?.write_all(line.as_bytes())?;
    Ok(())
}

/// A body with strict types.
#[derive(Debug, Serialize, Deserialize)]
struct Payment {
    card: u64,
}

#[pulpo::handler("pay", max_attempts = 1)]
fn pay(payment: Payment) -> pulpo::Outcome {
    if payment.card == 0 {
        return Err("no card".into());
    }
    Ok(())
}

/// Runs until the file of this name exists.
#[derive(Debug, Serialize, Deserialize)]
struct Until(String);

#[pulpo::handler("until")]
fn until(Until(file): Until) {
    while !std::path::Path::new(&file).exists() {
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
}

pulpo::main!();
