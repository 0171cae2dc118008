//! `publish`: a job from the command line.

use std::error::Error;
use std::io::{Read as _, Write};

use chrono::{DateTime, Utc};
use serde_json::json;
use serde_json::value::RawValue;

use super::{Done, PublishArguments};
use crate::config::parse_duration;
use crate::instance::Pulpo;
use crate::message::{Message, When};
use crate::registry::Registry;

/// So many messages go into the queue at once.
const BATCH: u64 = 1000;

/// A time, or a duration from now.
pub(super) fn when(text: &str) -> Result<When, String> {
    if let Ok(time) = text.parse::<DateTime<Utc>>() {
        return Ok(When::At(time));
    }
    parse_duration(text)
        .map(When::In)
        .map_err(|_| format!("expected a duration such as 10m or a time such as 2026-11-23T09:00:00Z, got {text:?}"))
}

pub(super) fn run(
    arguments: &PublishArguments,
    open: impl FnOnce() -> Result<Pulpo, Box<dyn Error>>,
    out: &mut dyn Write,
) -> Done {
    let registry = Registry::collect()?;
    let wanted = &arguments.request_type;
    let handler = registry.get(wanted).ok_or_else(|| match registry.nearest(wanted) {
        Some(nearest) => format!("no handler for the request type {wanted:?}; did you mean {nearest:?}?"),
        None => format!("no handler for the request type {wanted:?}; this program serves: {}", registry.known()),
    })?;
    let body = body(arguments)?;
    handler
        .check_body(Some(body.get()))
        .map_err(|error| format!("the body does not fit {} of {wanted:?}: {error}", handler.body_type()))?;

    let pulpo = open()?;
    let mut ids = Vec::new();
    while (ids.len() as u64) < arguments.count {
        let messages = (0..BATCH.min(arguments.count - ids.len() as u64)).map(|_| message(arguments, &body)).collect();
        let sent = pulpo.producer().enqueue(handler.request_type(), handler.policy(), messages)?;
        ids.extend(sent.iter().filter_map(|message| message.id().cloned()));
    }
    if arguments.format.json {
        writeln!(out, "{}", json!({ "request_type": handler.request_type(), "ids": ids }))?;
        return Ok(());
    }
    match ids.as_slice() {
        [one] => writeln!(out, "published {} as message {one}", handler.request_type())?,
        [first, .., last] => {
            writeln!(out, "published {} {} times, as messages {first} to {last}", handler.request_type(), ids.len())?;
        }
        [] => {}
    }
    Ok(())
}

fn message(arguments: &PublishArguments, body: &RawValue) -> Message<Box<RawValue>> {
    let mut message = Message::new(body.to_owned());
    if let Some(priority) = arguments.priority {
        message = message.priority(priority);
    }
    if let Some(delay) = arguments.delay {
        message = message.delay(delay);
    }
    if let Some(expiration) = arguments.expiration {
        message = message.expiration(expiration);
    }
    message
}

/// The body as JSON, from wherever the arguments say.
fn body(arguments: &PublishArguments) -> Result<Box<RawValue>, Box<dyn Error>> {
    if let Some(payload) = &arguments.payload {
        return Ok(serde_json::value::to_raw_value(payload)?);
    }
    let (from, text) = match arguments.body.as_deref() {
        None => ("the body", "{}".to_owned()),
        Some("-") => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| format!("cannot read standard input: {error}"))?;
            ("standard input", text)
        }
        Some(given) => match given.strip_prefix('@') {
            Some(file) => {
                (file, std::fs::read_to_string(file).map_err(|error| format!("cannot read {file}: {error}"))?)
            }
            None => ("--body", given.to_owned()),
        },
    };
    serde_json::from_str(text.trim()).map_err(|error| format!("expected JSON in {from}: {error}").into())
}
