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
    // Most programs have none.
    let has_rules = registry.iter().any(|handler| !rules(handler).is_empty());
    let columns =
        ["TYPE", "BODY", "QUEUE", "PRIORITY", "ATTEMPTS", "BACKOFF", "TTR", "TIMEOUT", "BATCH", "STATES", "DEFINED AT"]
            .map(Column::new);
    let mut table = Table::new(columns.into_iter().chain(has_rules.then(|| Column::new("RULES").prose())));
    for handler in registry.iter() {
        let policy = handler.policy();
        let aliases: String = handler.aliases().iter().map(|alias| format!(", {alias}")).collect();
        let states: Vec<_> = handler.states().collect();
        let rules = rules(handler);
        let rules = has_rules.then(|| if rules.is_empty() { "none".to_owned() } else { rules.join("; ") });
        let cells = [
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
        ];
        table.row(cells.into_iter().chain(rules).map(Into::into));
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

/// Returns when its jobs are published or held back, in the words of the attribute.
fn rules(handler: &Handler) -> Vec<String> {
    let policy = handler.policy();
    let entries = handler.schedule().map_or(&[][..], |schedule| schedule.entries());
    let unique = handler.unique_fields().map(|fields| match fields {
        "" => "unique".to_owned(),
        fields => format!("unique by {fields}"),
    });
    let rates = [("rate", &policy.rate), ("rate_by", &policy.rate_by)];
    let limits = [("limit", policy.limit), ("limit_by", policy.limit_by)];
    entries
        .iter()
        .map(ToString::to_string)
        .chain(unique)
        .chain(rates.into_iter().filter_map(|(name, rate)| Some(format!("{name} {}", rate.as_ref()?))))
        .chain(limits.into_iter().filter_map(|(name, limit)| Some(format!("{name} {}", limit?))))
        .collect()
}

fn as_json(handler: &'static Handler) -> Value {
    let policy = handler.policy();
    let entries = handler.schedule().map_or(&[][..], |schedule| schedule.entries());
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
        "schedule": entries.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "unique": handler.unique_fields(),
        "policy": {
            "queue": policy.queue,
            "priority": policy.priority,
            "max_attempts": policy.max_attempts,
            "backoff": policy.backoff.to_string(),
            "ttr": policy.ttr.as_secs_f64(),
            "timeout": policy.timeout.map(|timeout| timeout.as_secs_f64()),
            "unique_for": handler.is_unique().then(|| policy.unique_for.to_string()),
            "on_duplicate": handler.is_unique().then(|| policy.on_duplicate.to_string()),
            "rate": policy.rate.map(|rate| rate.to_string()),
            "rate_by": policy.rate_by.map(|rate| rate.to_string()),
            "limit": policy.limit,
            "limit_by": policy.limit_by,
        },
    })
}
