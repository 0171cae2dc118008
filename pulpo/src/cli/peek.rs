//! `peek`: shows all details of a message.

use std::io::Write;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::show::{self, age, ago, visible};
use super::{Done, Format, terminal, text};
use crate::instance::Pulpo;
use crate::message::{MessageId, Priority};
use crate::queue::{Attempt, MessageState, Progress, StoredMessage};
use crate::report::json::{self, Members};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  peek 42          everything about message 42
  peek 42 43       both, one after the other
  peek 42 --json   for programs; a list for several ids

Numbers are shown with all their digits, and repeated keys as often as they occur.")]
pub(super) struct PeekArguments {
    /// Message ids, as `publish` and `list` show them
    #[arg(required = true, value_name = "ID")]
    ids: Vec<MessageId>,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(pulpo: &Pulpo, arguments: &PeekArguments, out: &mut dyn Write) -> Done {
    let PeekArguments { ids, format } = arguments;
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for id in ids {
        let message = pulpo.resolve(id)?.map(|id| pulpo.queue().peek(&id)).transpose()?.flatten();
        match message {
            Some(message) => found.push(message),
            None if id.as_str().starts_with("outbox/") => missing.push(format!(
                "there is no message {id}: it waits in its outbox (see `outbox`), was rolled back, or is done or deleted"
            )),
            None => missing
                .push(format!("there is no message {id}: it is done, deleted or expired, or was never in this queue")),
        }
    }
    match (found.as_slice(), format.json) {
        ([one], true) if ids.len() == 1 => show::json(out, &Shown::with_history(one)?)?,
        (_, true) if ids.len() > 1 => {
            show::json(out, &found.iter().map(Shown::with_history).collect::<Result<Vec<_>, _>>()?)?;
        }
        (found, _) => {
            for (number, message) in found.iter().enumerate() {
                if number > 0 {
                    writeln!(out)?;
                }
                plain(message, out)?;
            }
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(missing.join("; ").into()) }
}

fn plain(message: &StoredMessage, out: &mut dyn Write) -> Done {
    let room = terminal::width().map(|width| width.saturating_sub(NAMES));
    let mut line = |name: &str, value: &str| -> Done {
        let value = visible(value);
        let lines = room.map_or_else(|| vec![value.clone()], |room| text::wrap(&value, room));
        writeln!(out, "{}", format!("{name:<NAMES$}{}", lines.first().map_or("", String::as_str)).trim_end())?;
        lines.iter().skip(1).try_for_each(|line| writeln!(out, "{:NAMES$}{line}", ""))?;
        Ok(())
    };
    line("id", message.id.as_str())?;
    line("state", if message.has_expired { "done (expired, not run)" } else { message.state.as_str() })?;
    if let Some(since) = message.since {
        line("since", &age(since))?;
    }
    line("type", &message.request_type)?;
    line("queue", &message.queue)?;
    line("priority", &message.priority.to_string())?;
    line("attempts", &attempts(message))?;
    if let Some(at) = message.enqueued_at {
        line("published", &age(at))?;
    }
    match (message.state, message.until, message.due_since) {
        (MessageState::Delayed, Some(until), _) => line("due", &age(until))?,
        (_, _, Some(since)) => line("due since", &age(since))?,
        _ => {}
    }
    if let (MessageState::Reserved, Some(until)) = (message.state, message.until) {
        line("lease ends", &age(until))?;
    }
    if let Some(lease) = &message.lease {
        line("leased by", lease)?;
    }
    if message.cancelled {
        line("cancelled", "it is buried when its run ends")?;
    }
    if let Some(progress) = &message.progress {
        line("progress", &format!("{}, {}", show::progress(progress), ago(progress.at)))?;
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
    if let Some(result) = &message.result {
        line("result", result)?;
    }
    for (number, run) in message.history.iter().enumerate() {
        let Attempt { started_at, took, worker, outcome, error, .. } = run;
        let took =
            humantime::format_duration(Duration::from_millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)));
        let worker = worker.as_ref().map_or_else(String::new, |worker| format!(", worker {worker}"));
        let outcome = outcome.as_str().replace('_', " ");
        let name = if number == 0 { "failed runs" } else { "" };
        line(name, &format!("{}: {}, took {took}, {outcome}{worker}: {error}", run.number, show::at(*started_at)))?;
    }
    let Some(text) = json::read(&message.text) else {
        writeln!(out, "message (not JSON)\n{}", visible(&String::from_utf8_lossy(&message.text)))?;
        return Ok(());
    };
    let mut part =
        |name: &str, part: &RawValue| writeln!(out, "{}\n{}", visible(name), show::escaped(&json::pretty(part.get())));
    match serde_json::from_str(text.get()) {
        Ok(Members(parts)) if parts.iter().any(|(name, _)| ["header", "body"].contains(&name.as_str())) => {
            let place = |name: &str| ["header", "body", "id"].iter().position(|known| *known == name).unwrap_or(2);
            let mut parts: Vec<_> = parts.iter().filter(|(name, _)| name != "id").collect();
            parts.sort_by_key(|(name, _)| place(name));
            parts.into_iter().try_for_each(|(name, value)| part(name, value))?;
        }
        _ => part("message", &text)?,
    }
    Ok(())
}

/// The width of the line labels, with the gap after them.
const NAMES: usize = 13;

fn attempts(message: &StoredMessage) -> String {
    match message.abandoned {
        0 => message.attempts.to_string(),
        lost => format!("{}, of which {lost} ended unsettled: the worker crashed or timed out", message.attempts),
    }
}

/// A message in the JSON of `list` and `peek`.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    id: &'a MessageId,
    state: MessageState,
    since: Option<DateTime<Utc>>,
    request_type: &'a str,
    queue: &'a str,
    priority: Priority,
    attempts: u32,
    abandoned: u32,
    kicks: Option<u32>,
    enqueued_at: Option<DateTime<Utc>>,
    due_since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    lease: Option<&'a str>,
    ttr: Option<f64>,
    last_error: Option<&'a str>,
    last_error_at: Option<DateTime<Utc>>,
    progress: Option<&'a Progress>,
    cancelled: bool,
    result: Option<Box<RawValue>>,
    expired: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<&'a [Attempt]>,
    message: Box<RawValue>,
}

impl<'a> Shown<'a> {
    /// Creates it with the failed runs.
    fn with_history(stored: &'a StoredMessage) -> serde_json::Result<Self> {
        Ok(Self { history: Some(&stored.history), ..Self::new(stored)? })
    }

    pub(super) fn new(stored: &'a StoredMessage) -> serde_json::Result<Self> {
        let as_text = || to_raw_value(&String::from_utf8_lossy(&stored.text));
        Ok(Self {
            id: &stored.id,
            state: stored.state,
            since: stored.since,
            request_type: &stored.request_type,
            queue: &stored.queue,
            priority: stored.priority,
            attempts: stored.attempts,
            abandoned: stored.abandoned,
            kicks: stored.kicks,
            enqueued_at: stored.enqueued_at,
            due_since: stored.due_since,
            until: stored.until,
            lease: stored.lease.as_deref(),
            ttr: stored.ttr.map(|ttr| ttr.as_secs_f64()),
            last_error: stored.last_error.as_deref(),
            last_error_at: stored.last_error_at,
            progress: stored.progress.as_ref(),
            cancelled: stored.cancelled,
            result: stored.result.as_ref().and_then(|result| json::read(result.as_bytes())),
            expired: stored.has_expired,
            history: None,
            message: json::read(&stored.text).map_or_else(as_text, Ok)?,
        })
    }
}
