//! `list`, `peek`, `stats` and `handlers`: what is there.

use std::io::Write;

use serde_json::{Value, json};

use super::show::{Table, age, ago, visible};
use super::{Done, ListArguments};
use crate::instance::Pulpo;
use crate::message::MessageId;
use crate::queue::{Counts, Filter, State, StoredMessage};
use crate::registry::Registry;

pub(super) fn list(pulpo: &Pulpo, arguments: &ListArguments, out: &mut dyn Write) -> Done {
    let mut filter = Filter::all();
    filter.states.extend(arguments.state);
    filter.queue.clone_from(&arguments.queue);
    filter.request_type.clone_from(&arguments.request_type);
    // One more tells whether there are more.
    filter.limit = (arguments.limit > 0).then(|| arguments.limit.saturating_add(1));
    let mut messages = pulpo.queue().list(&filter)?;
    let more = arguments.limit > 0 && messages.len() > arguments.limit;
    messages.truncate(if arguments.limit > 0 { arguments.limit } else { usize::MAX });
    if arguments.format.json {
        let all: Vec<_> = messages.iter().map(as_json).collect();
        writeln!(out, "{:#}", Value::from(all))?;
        return Ok(());
    }
    if messages.is_empty() {
        writeln!(out, "no messages")?;
        return Ok(());
    }
    let mut table = Table::new(["ID", "STATE", "TYPE", "QUEUE", "PRIORITY", "ATTEMPTS", "SINCE", "LAST ERROR"]);
    for message in &messages {
        table.row([
            message.id.to_string(),
            message.state.to_string(),
            message.request_type.clone(),
            message.queue.clone(),
            message.priority.to_string(),
            message.attempts.to_string(),
            match (message.state, message.until) {
                (State::Delayed | State::Reserved, Some(until)) => format!("until {}", ago(until)),
                (State::Buried, _) => message.last_error_at.map(ago).unwrap_or_default(),
                _ => message.enqueued_at.map(ago).unwrap_or_default(),
            },
            message.last_error.clone().unwrap_or_default(),
        ]);
    }
    writeln!(out, "{table}")?;
    if more {
        writeln!(out, "there are more: see them with --limit, or --limit 0 for all")?;
    }
    Ok(())
}

pub(super) fn peek(pulpo: &Pulpo, id: &MessageId, as_json_text: bool, out: &mut dyn Write) -> Done {
    let message = pulpo.queue().peek(id)?.ok_or_else(|| {
        format!("there is no message {id}: it is done, deleted or expired, or was never in this queue")
    })?;
    if as_json_text {
        writeln!(out, "{:#}", as_json(&message))?;
        return Ok(());
    }
    let mut line = |name: &str, value: &str| writeln!(out, "{name:<13}{}", visible(value));
    line("id", message.id.as_str())?;
    line("state", message.state.as_str())?;
    line("type", &message.request_type)?;
    line("queue", &message.queue)?;
    line("priority", &message.priority.to_string())?;
    line("attempts", &message.attempts.to_string())?;
    if let Some(at) = message.enqueued_at {
        line("published", &age(at))?;
    }
    if let Some(until) = message.until {
        line(if message.state == State::Reserved { "lease ends" } else { "due" }, &age(until))?;
    }
    if let Some(error) = &message.last_error {
        line("last error", error)?;
    }
    if let Some(at) = message.last_error_at {
        line("failed", &age(at))?;
    }
    match serde_json::from_slice::<Value>(&message.text) {
        // As JSON, control characters in it are escaped.
        Ok(text) => writeln!(out, "message\n{text:#}")?,
        Err(_) => writeln!(out, "message (not JSON)\n{}", visible(&String::from_utf8_lossy(&message.text)))?,
    }
    Ok(())
}

fn as_json(message: &StoredMessage) -> Value {
    let text = serde_json::from_slice(&message.text)
        .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&message.text).into_owned()));
    json!({
        "id": message.id,
        "state": message.state,
        "request_type": message.request_type,
        "queue": message.queue,
        "priority": message.priority,
        "attempts": message.attempts,
        "enqueued_at": message.enqueued_at,
        "until": message.until,
        "last_error": message.last_error,
        "last_error_at": message.last_error_at,
        "message": text,
    })
}

pub(super) fn stats(pulpo: &Pulpo, as_json_text: bool, out: &mut dyn Write) -> Done {
    let all = pulpo.queue().stats()?;
    if as_json_text {
        writeln!(out, "{:#}", serde_json::to_value(&all)?)?;
        return Ok(());
    }
    let mut table = Table::new(["QUEUE", "TYPE", "READY", "DELAYED", "RESERVED", "BURIED", "TOTAL"]);
    let cells = |stats: &Counts| [stats.ready, stats.delayed, stats.reserved, stats.buried, stats.total()];
    let mut row = |queue: &str, request_type: &str, cells: [u64; 5]| {
        table.row([queue.to_owned(), request_type.to_owned()].into_iter().chain(cells.map(|count| count.to_string())));
    };
    let mut total = [0; 5];
    for stats in &all.counts {
        row(&stats.queue, &stats.request_type, cells(stats));
        total.iter_mut().zip(cells(stats)).for_each(|(total, count)| *total += count);
    }
    if all.counts.len() != 1 {
        row("all", "", total);
    }
    writeln!(out, "{table}")?;
    if !pulpo.queue().capabilities().stats_by_type {
        writeln!(out, "this queue does not count by request type; `list --type` looks at each message")?;
    }
    Ok(())
}

pub(super) fn handlers(registry: &Registry, as_json_text: bool, out: &mut dyn Write) -> Done {
    if as_json_text {
        let all: Vec<_> = registry
            .iter()
            .map(|handler| {
                let policy = handler.policy();
                json!({
                    "request_type": handler.request_type(),
                    "aliases": handler.aliases(),
                    "function": handler.function(),
                    "body_type": handler.body_type(),
                    "file": handler.file(),
                    "line": handler.line(),
                    "policy": {
                        "queue": policy.queue,
                        "priority": policy.priority,
                        "max_attempts": policy.max_attempts,
                        "backoff": policy.backoff.to_string(),
                        "ttr": policy.ttr.as_secs_f64(),
                        "timeout": policy.timeout.map(|timeout| timeout.as_secs_f64()),
                    },
                })
            })
            .collect();
        writeln!(out, "{:#}", Value::from(all))?;
        return Ok(());
    }
    let mut table =
        Table::new(["TYPE", "BODY", "QUEUE", "PRIORITY", "ATTEMPTS", "BACKOFF", "TTR", "TIMEOUT", "DEFINED AT"]);
    for handler in registry.iter() {
        let policy = handler.policy();
        let aliases: String = handler.aliases().iter().map(|alias| format!(", {alias}")).collect();
        table.row([
            format!("{}{aliases}", handler.request_type()),
            handler.body_type().to_owned(),
            policy.queue.unwrap_or("(default)").to_owned(),
            policy.priority.to_string(),
            policy.max_attempts.to_string(),
            policy.backoff.to_string(),
            humantime::format_duration(policy.ttr).to_string(),
            policy.timeout.map_or_else(|| "none".to_owned(), |limit| humantime::format_duration(limit).to_string()),
            format!("{}:{}", handler.file(), handler.line()),
        ]);
    }
    writeln!(out, "{table}")?;
    Ok(())
}
