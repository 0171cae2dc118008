//! `peek`: all that is known of one message.

use std::io::Write;

use serde_json::{Value, json};

use super::Done;
use super::show::{self, age, visible};
use crate::instance::Pulpo;
use crate::message::MessageId;
use crate::queue::{State, StoredMessage};

pub(super) fn run(pulpo: &Pulpo, id: &MessageId, as_json_text: bool, out: &mut dyn Write) -> Done {
    let message = pulpo.queue().peek(id)?.ok_or_else(|| {
        format!("there is no message {id}: it is done, deleted or expired, or was never in this queue")
    })?;
    if as_json_text {
        return show::json(out, &as_json(&message));
    }
    let mut line = |name: &str, value: &str| writeln!(out, "{name:<13}{}", visible(value));
    line("id", message.id.as_str())?;
    line("state", message.state.as_str())?;
    line("type", &message.request_type)?;
    line("queue", &message.queue)?;
    line("priority", &message.priority.to_string())?;
    line("attempts", &attempts(&message))?;
    if let Some(at) = message.enqueued_at {
        line("published", &age(at))?;
    }
    match (message.state, message.until, message.due_since) {
        (State::Delayed, Some(until), _) => line("due", &age(until))?,
        (_, _, Some(since)) => line("due since", &age(since))?,
        _ => {}
    }
    if let (State::Reserved, Some(until)) = (message.state, message.until) {
        line("lease ends", &age(until))?;
    }
    if let Some(lease) = &message.lease {
        line("leased by", lease)?;
    }
    if let Some(ttr) = message.ttr {
        line("ttr", &humantime::format_duration(ttr).to_string())?;
    }
    if let Some(kicks) = message.kicks.filter(|kicks| *kicks > 0) {
        line("kicked", &show::counted(kicks.into(), "time"))?;
    }
    if let Some(error) = &message.last_error {
        line("last error", error)?;
    }
    if let Some(at) = message.last_error_at {
        line("failed", &age(at))?;
    }
    let Ok(text) = serde_json::from_slice::<Value>(&message.text) else {
        writeln!(out, "message (not JSON)\n{}", visible(&String::from_utf8_lossy(&message.text)))?;
        return Ok(());
    };
    match text.as_object() {
        Some(parts) if parts.contains_key("header") || parts.contains_key("body") => {
            let others = parts.keys().map(String::as_str).filter(|name| !["id", "header", "body"].contains(name));
            for name in ["header", "body"].into_iter().chain(others) {
                let Some(part) = parts.get(name) else { continue };
                writeln!(out, "{}\n{}", visible(name), show::escaped(&format!("{part:#}")))?;
            }
        }
        _ => writeln!(out, "message\n{}", show::escaped(&format!("{text:#}")))?,
    }
    Ok(())
}

fn attempts(message: &StoredMessage) -> String {
    match message.lost {
        0 => message.attempts.to_string(),
        lost => format!("{}, of which {lost} ended without a word: the worker died or was silent", message.attempts),
    }
}

/// A message as `list` and `peek` give it.
pub(super) fn as_json(message: &StoredMessage) -> Value {
    let text = serde_json::from_slice(&message.text)
        .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&message.text).into_owned()));
    json!({
        "id": message.id,
        "state": message.state,
        "request_type": message.request_type,
        "queue": message.queue,
        "priority": message.priority,
        "attempts": message.attempts,
        "lost": message.lost,
        "kicks": message.kicks,
        "enqueued_at": message.enqueued_at,
        "due_since": message.due_since,
        "until": message.until,
        "lease": message.lease,
        "ttr": message.ttr.map(|ttr| ttr.as_secs_f64()),
        "last_error": message.last_error,
        "last_error_at": message.last_error_at,
        "message": text,
    })
}
