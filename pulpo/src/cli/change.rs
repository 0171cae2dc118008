//! `kick`, `delete` and `purge`.

use std::io::Write;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::deed::{DELETABLE, DELETE, ERASE, KICK, Sure, many, named, only_ids};
use super::filter_args::{FILTERS, FilterArgs};
use super::selection::Selection;
use super::{Done, Open, WrongUsage};
use crate::message::MessageId;
use crate::queue::MessageState;

/// The states that are deleted by default: all but reserved and done messages.
const FREE: [MessageState; 3] = [MessageState::Ready, MessageState::Delayed, MessageState::Buried];

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kick 42 43                    requeue these two
  kick --reason 'connection'    those with this word in their last error
  kick --queue mail --limit 1   one message, to see whether it works now
  kick --newer 1d               those buried in the last day
  kick --all --dry-run          count the buried messages

On a terminal, kick shows how many messages match and asks for confirmation, unless you pass ids. Elsewhere it does not \
ask, since it only requeues them. --older and --newer use the time when the messages were buried.")]
pub(super) struct KickArguments {
    /// Message ids, as `list` shows them
    #[arg(value_name = "ID")]
    ids: Vec<MessageId>,
    /// All buried messages
    #[arg(
        long,
        conflicts_with_all =
            ["ids", "queue", "request_type", "older", "newer", "published_before", "published_after", "reason", "body"]
    )]
    all: bool,
    #[command(flatten)]
    selection: Selection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  delete 42 43                         these two
  delete --state buried --older 30d    those buried for a month
  delete --reason 'no recipient' --dry-run
                                       count those that failed for this reason
  delete --published-before 2026-11-01T00:00:00Z
                                       those published earlier
  delete --body to=ada@example.com     all with this value, done ones too

delete shows how many messages match and asks for confirmation, unless you pass ids. Without a terminal it needs --yes. \
It leaves messages that a worker is running. --older and --newer use the time when a message entered its state.

Without --state it leaves done messages, except with --body: then it deletes everything with that value, with its \
history, reasons and results, and nothing of it stays in the files of the embedded queue. It names messages that are \
running and exits with 1: run the command again when they are done, or cancel them.")]
pub(super) struct DeleteArguments {
    /// Message ids, as `publish` and `list` show them
    #[arg(value_name = "ID")]
    ids: Vec<MessageId>,
    /// Only messages in these states: ready, delayed, buried or done, separated by commas
    #[arg(long, value_name = "S", value_delimiter = ',', value_parser = free, conflicts_with = "ids")]
    state: Vec<MessageState>,
    #[command(flatten)]
    selection: Selection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  purge mail                  all messages of the queue
  purge mail --state buried   those that failed for good
  purge --all --yes           all messages of all queues

purge shows how many messages match and asks for confirmation. Without a terminal it needs --yes. It leaves messages \
that a worker is running. --older and --newer use the time when a message entered its state.")]
pub(super) struct PurgeArguments {
    /// The queue to empty
    #[arg(required_unless_present = "all", value_parser = NonEmptyStringValueParser::new())]
    queue: Option<String>,
    /// All queues
    #[arg(long, conflicts_with = "queue")]
    all: bool,
    /// Only messages in these states: ready, delayed, buried or done, separated by commas
    #[arg(long, value_name = "S", value_delimiter = ',', value_parser = free)]
    state: Vec<MessageState>,
    #[command(flatten)]
    filters: FilterArgs,
    #[command(flatten)]
    sure: Sure,
}

fn free(text: &str) -> Result<MessageState, String> {
    match text.parse()? {
        MessageState::Reserved => {
            Err("expected ready, delayed, buried or done: a message that a worker is running cannot be deleted"
                .to_owned())
        }
        state => Ok(state),
    }
}

pub(super) fn kick(open: Open<'_>, arguments: &KickArguments, out: &mut dyn Write) -> Done {
    let KickArguments { ids, all, selection } = arguments;
    let Selection { filters, sure, .. } = selection;
    if !ids.is_empty() {
        only_ids(filters)?;
        return named(&open()?, &KICK, ids, *sure, out);
    }
    if !all && selection.is_empty() {
        return Err(WrongUsage(format!("expected an ID, --all, --queue, {FILTERS}")).into());
    }
    many(open, &KICK, filters, &selection.filter(&[MessageState::Buried]), *sure, out)
}

pub(super) fn delete(open: Open<'_>, arguments: &DeleteArguments, out: &mut dyn Write) -> Done {
    let DeleteArguments { ids, state, selection } = arguments;
    let Selection { filters, sure, .. } = selection;
    if !ids.is_empty() {
        only_ids(filters)?;
        return named(&open()?, &DELETE, ids, *sure, out);
    }
    if state.is_empty() && selection.is_empty() {
        return Err(WrongUsage(format!("expected an ID, --state, --queue, {FILTERS}; `purge` deletes all")).into());
    }
    let erases = state.is_empty() && !filters.body.is_empty();
    let default: &[MessageState] = if erases { &DELETABLE } else { &FREE };
    let filter = selection.filter(if state.is_empty() { default } else { state });
    many(open, if erases { &ERASE } else { &DELETE }, filters, &filter, *sure, out)
}

pub(super) fn purge(open: Open<'_>, arguments: &PurgeArguments, out: &mut dyn Write) -> Done {
    let PurgeArguments { queue, all: _, state, filters, sure } = arguments;
    let filter = filters.filter(if state.is_empty() { &FREE } else { state }, queue.as_ref());
    many(open, &DELETE, filters, &filter, *sure, out)
}
