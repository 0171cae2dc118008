//! `list`: which messages there are.

use std::io::Write;

use clap::Args;

use super::pick::Pick;
use super::show::{self, Cell, Table, ago};
use super::{Done, Format, peek};
use crate::instance::Pulpo;
use crate::message::MessageId;
use crate::queue::{State, StoredMessage};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  list --state buried                     what failed for good, the newest first
  list --state buried --reason timeout    of those, what has this in its last error
  list --queue mail --older 1h            what waits in a queue for more than an hour
  list --after 4711                       what comes after this message, on the next page
  list --state ready,delayed --limit 0 --json | jq length

Reserved messages are those that a worker has.")]
pub(super) struct ListArguments {
    /// Only those that are ready, delayed, reserved or buried; several with commas
    #[arg(long, value_name = "S", value_delimiter = ',')]
    state: Vec<State>,
    /// Only those in this queue
    #[arg(long, value_name = "Q")]
    queue: Option<String>,
    #[command(flatten)]
    pick: Pick,
    /// So many at most; 0: all
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Go on after this message, the last one of the page before
    #[arg(long, value_name = "ID")]
    after: Option<MessageId>,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(pulpo: &Pulpo, arguments: &ListArguments, out: &mut dyn Write) -> Done {
    let mut filter = arguments.pick.filter(&arguments.state, arguments.queue.as_ref());
    filter.after.clone_from(&arguments.after);
    // One more tells whether there are more.
    filter.limit = (arguments.limit > 0).then(|| arguments.limit.saturating_add(1));
    let mut messages = pulpo.queue().list(&filter)?;
    let more = arguments.limit > 0 && messages.len() > arguments.limit;
    messages.truncate(if arguments.limit > 0 { arguments.limit } else { usize::MAX });
    if arguments.format.json {
        return show::json(out, &messages.iter().map(peek::as_json).collect::<Vec<_>>());
    }
    if messages.is_empty() {
        writeln!(out, "no messages")?;
    } else {
        writeln!(out, "{}", table(&messages))?;
    }
    if let (true, Some(last)) = (more, messages.last()) {
        writeln!(out, "there are more: go on with --after {}, or --limit 0 for all", last.id)?;
    }
    let reasons = pulpo.queue().capabilities();
    if arguments.pick.reason.is_some() && !reasons.last_errors {
        let whose = if reasons.burial_reasons { "of buried messages only" } else { "of no message" };
        writeln!(out, "this queue keeps the last error {whose}")?;
    }
    Ok(())
}

fn table(messages: &[StoredMessage]) -> Table {
    let mut table = Table::new(["ID", "STATE", "TYPE", "QUEUE", "PRIORITY", "ATTEMPTS", "SINCE", "LAST ERROR"]);
    for message in messages {
        table.row([
            message.id.to_string().into(),
            Cell::state(message.state),
            message.request_type.clone().into(),
            message.queue.clone().into(),
            message.priority.to_string().into(),
            message.attempts.to_string().into(),
            match (message.state, message.until) {
                (State::Delayed, Some(until)) => format!("due {}", ago(until)),
                (State::Reserved, Some(until)) => format!("lease ends {}", ago(until)),
                (State::Buried, _) => message.last_error_at.or(message.enqueued_at).map(ago).unwrap_or_default(),
                _ => message.enqueued_at.map(ago).unwrap_or_default(),
            }
            .into(),
            message.last_error.clone().unwrap_or_default().into(),
        ]);
    }
    table
}
