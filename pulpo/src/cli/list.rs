//! `list`: lists messages.

use std::io::Write;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;

use super::filter_args::FilterArgs;
use super::peek::Shown;
use super::show::{self, ago};
use super::table::{Cell, Column, Table};
use super::{Done, Format, Open, names};
use crate::instance::Pulpo;
use crate::message::MessageId;
use crate::queue::{MessageState, StoredMessage, Survey};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  list --state buried                    those that failed for good, newest first
  list --state buried --reason timeout   those with this in their last error
  list --queue mail --older 1h           those in a queue for more than an hour
  list --state done --type import        done messages that are kept, see `keep_done`
  list --body to=ada@example.com         those with this value in their body
  list --after 4711                      the next page, after this message
  list --state ready,delayed --limit 0 --json | jq length

SINCE, --older and --newer use the time when a message entered its state: when it was last put back, its delay ended, \
or it was buried. --published-before and --published-after use the time of its publication. Reserved messages are \
those that a worker has. Without --state, done messages are left out.

In --body, dots lead to nested fields, by name or by position in a list, from 0. `n=42` matches the number \
42 and the string \"42\"; `n=\"42\"`, with the quotation marks, matches only the string.")]
pub(super) struct ListArguments {
    /// Only messages in these states: ready, delayed, reserved, buried or done, separated by commas
    #[arg(long, value_name = "S", value_delimiter = ',')]
    state: Vec<MessageState>,
    /// Only messages in this queue
    #[arg(long, value_name = "Q", value_parser = NonEmptyStringValueParser::new())]
    queue: Option<String>,
    #[command(flatten)]
    filters: FilterArgs,
    /// Maximum number to show (0 = all)
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Continue after this message, the last one of the previous page
    #[arg(long, value_name = "ID")]
    after: Option<MessageId>,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(open: Open<'_>, arguments: &ListArguments, out: &mut dyn Write) -> Done {
    arguments.filters.check()?;
    let pulpo = open()?;
    keeps_done(&pulpo, &arguments.state)?;
    let mut filter = arguments.filters.filter(&arguments.state, arguments.queue.as_ref());
    filter.after.clone_from(&arguments.after);
    // Ask for one more, to know whether there are more.
    filter.limit = (arguments.limit > 0).then(|| arguments.limit.saturating_add(1));
    // A number is a position in the list, whether or not its message still exists.
    if let Some(after) = arguments.after.as_ref().filter(|after| !after.as_str().bytes().all(|b| b.is_ascii_digit()))
        && pulpo.queue().peek(after)?.is_none()
    {
        return Err(format!("there is no message {after} to continue after: expected an id as `list` shows it").into());
    }
    let Survey { mut messages, unseen, .. } = pulpo.queue().survey(&filter, true)?;
    let more = arguments.limit > 0 && messages.len() > arguments.limit;
    messages.truncate(if arguments.limit > 0 { arguments.limit } else { usize::MAX });
    if messages.is_empty() {
        names::warn(&pulpo, &filter);
    }
    if arguments.format.json {
        let mut all = messages
            .iter()
            .map(|one| Shown::new(one).map(Box::new).map(Listed::Message))
            .collect::<Result<Vec<_>, _>>()?;
        all.extend((unseen > 0).then_some(Listed::Rest { unseen }));
        show::json(out, &all)?;
        return show::complete(unseen);
    }
    if messages.is_empty() {
        writeln!(out, "no messages")?;
    } else {
        write!(out, "{}", table(&messages))?;
    }
    if let (true, Some(last)) = (more, messages.last()) {
        show::note(out, &format!("there are more: continue with --after {}, or --limit 0 for all", last.id))?;
    }
    let reasons = pulpo.queue().capabilities();
    if arguments.filters.reason.is_some() && !reasons.last_errors {
        let whose = if reasons.burial_reasons { "of buried messages only" } else { "of no message" };
        show::note(out, &format!("this queue keeps the last error {whose}"))?;
    }
    show::complete(unseen)
}

/// Refuses to look for done messages in a queue that keeps none.
pub(super) fn keeps_done(pulpo: &Pulpo, states: &[MessageState]) -> Done {
    if states.contains(&MessageState::Done) && !pulpo.queue().capabilities().archive {
        return Err("this queue keeps no done messages: use `file:FOLDER` or `postgres://…`, with `keep_done`".into());
    }
    Ok(())
}

/// An item of the `--json` list.
#[derive(Serialize)]
#[serde(untagged)]
enum Listed<'a> {
    Message(Box<Shown<'a>>),
    /// Comes last, if there are messages that the queue cannot show.
    Rest {
        unseen: u64,
    },
}

/// On a narrow terminal, the last error is the column that people look for.
const COLUMNS: [Column; 8] = [
    Column::new("ID"),
    Column::new("STATE"),
    Column::new("TYPE"),
    Column::new("QUEUE").spare(2),
    Column::new("PRIORITY").short("PRIO").spare(1),
    Column::new("ATTEMPTS").short("TRIES").spare(3),
    Column::new("SINCE").spare(4),
    Column::new("LAST ERROR").short("ERROR").prose(),
];

pub(super) fn table(messages: &[StoredMessage]) -> Table {
    let mut table = Table::new(COLUMNS);
    for message in messages {
        table.row([
            message.id.to_string().into(),
            Cell::state(message),
            message.request_type.clone().into(),
            message.queue.clone().into(),
            message.priority.to_string().into(),
            message.attempts.to_string().into(),
            match (message.state, message.until) {
                (MessageState::Delayed, Some(until)) => format!("due {}", ago(until)),
                (MessageState::Reserved, Some(until)) => format!("lease ends {}", ago(until)),
                _ => message.since.map(ago).unwrap_or_default(),
            }
            .into(),
            message.last_error.clone().unwrap_or_default().into(),
        ]);
    }
    table
}
