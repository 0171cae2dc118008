//! `handlers`: lists the handlers of this program.

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::Done;
use super::check::cannot_trace;
use super::show;
use super::table::{Column, Table};
use crate::registry::{Handler, Registry};
use crate::snapshot::Snapshot;

pub(super) fn run(registry: &Registry, schema: bool, as_json_text: bool, out: &mut dyn Write) -> Done {
    if schema {
        cannot_trace()?;
        let snapshot = Snapshot::of(registry);
        if as_json_text {
            return show::json(out, &snapshot);
        }
        write!(out, "{snapshot}")?;
        return Ok(());
    }
    if as_json_text {
        return show::json(out, &registry.iter().map(as_json).collect::<Vec<_>>());
    }
    let mut table = Table::new(
        ["TYPE", "BODY", "QUEUE", "PRIORITY", "ATTEMPTS", "BACKOFF", "TTR", "TIMEOUT", "BATCH", "STATES", "DEFINED AT"]
            .map(Column::new),
    );
    for handler in registry.iter() {
        let policy = handler.policy();
        let aliases: String = handler.aliases().iter().map(|alias| format!(", {alias}")).collect();
        let states: Vec<_> = handler.states().collect();
        table.row(
            [
                format!("{}{aliases}", handler.request_type()),
                handler.body_type().to_owned(),
                policy.queue.unwrap_or("(default)").to_owned(),
                policy.priority.to_string(),
                policy.max_attempts.to_string(),
                policy.backoff.to_string(),
                time(policy.ttr),
                policy.timeout.map_or_else(|| "none".to_owned(), time),
                batch(handler),
                if states.is_empty() { "none".to_owned() } else { states.join(", ") },
                format!("{}:{}", handler.file(), handler.line()),
            ]
            .map(Into::into),
        );
    }
    write!(out, "{table}")?;
    Ok(())
}

fn time(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn batch(handler: &Handler) -> String {
    match (handler.batch(), handler.linger()) {
        (None, _) => "none".to_owned(),
        (Some(most), None) => most.to_string(),
        (Some(most), Some(linger)) => format!("{most} in {}", time(linger)),
    }
}

fn as_json(handler: &'static Handler) -> Value {
    let policy = handler.policy();
    json!({
        "request_type": handler.request_type(),
        "aliases": handler.aliases(),
        "function": handler.function(),
        "body_type": handler.body_type(),
        "file": handler.file(),
        "line": handler.line(),
        "states": handler.states().collect::<Vec<_>>(),
        "batch": handler.batch(),
        "linger": handler.linger().map(|linger| linger.as_secs_f64()),
        "policy": {
            "queue": policy.queue,
            "priority": policy.priority,
            "max_attempts": policy.max_attempts,
            "backoff": policy.backoff.to_string(),
            "ttr": policy.ttr.as_secs_f64(),
            "timeout": policy.timeout.map(|timeout| timeout.as_secs_f64()),
        },
    })
}
