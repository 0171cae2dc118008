//! `cancel`: keeps jobs from running, or from running to their end.

use std::io::Write;

use clap::Args;

use super::deed::{CANCEL, many, named, only_ids};
use super::filter_args::FILTERS;
use super::selection::Selection;
use super::{Done, Open, WrongUsage};
use crate::message::MessageId;
use crate::queue::{MessageState, QueueError};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cancel 42                   bury it if it waits; end its run if it runs
  cancel --type import        all imports that wait or run
  cancel --queue mail --state ready,delayed
                              those that wait in a queue; running ones continue
  cancel --type import --dry-run
                              count the matching messages

Waiting messages are buried at once, with the reason `cancelled`. A running handler is notified within about a second: \
an async one is dropped at its await point, a plain one can check `context.is_cancelled()`. Whatever it then returns, \
its message is buried, and its follow-ups are dropped. `kick` requeues a buried message.

cancel shows how many messages match and asks for confirmation, unless you pass ids. Without a terminal it needs --yes.")]
pub(super) struct CancelArguments {
    /// Message ids, as `publish`, `list` and `workers` show them
    #[arg(value_name = "ID")]
    ids: Vec<MessageId>,
    /// Only messages in these states: ready, delayed or reserved, separated by commas
    #[arg(long, value_name = "S", value_delimiter = ',', value_parser = unburied, conflicts_with = "ids")]
    state: Vec<MessageState>,
    #[command(flatten)]
    selection: Selection,
}

fn unburied(text: &str) -> Result<MessageState, String> {
    match text.parse() {
        Ok(MessageState::Done) => {
            Err("expected ready, delayed or reserved: done messages cannot be cancelled".to_owned())
        }
        Ok(MessageState::Buried) => Err("expected ready, delayed or reserved: buried messages do not run".to_owned()),
        state => state,
    }
}

pub(super) fn run(open: Open<'_>, arguments: &CancelArguments, out: &mut dyn Write) -> Done {
    let CancelArguments { ids, state, selection } = arguments;
    let Selection { filters, sure, .. } = selection;
    if ids.is_empty() && state.is_empty() && selection.is_empty() {
        return Err(WrongUsage(format!("expected an ID, --state, --queue, {FILTERS}")).into());
    }
    if !ids.is_empty() {
        only_ids(filters)?;
    }
    let open = || {
        let pulpo = open()?;
        // Checked before any question is asked.
        if pulpo.queue().capabilities().cancels { Ok(pulpo) } else { Err(QueueError::NO_CANCELS.into()) }
    };
    if !ids.is_empty() {
        return named(&open()?, &CANCEL, ids, *sure, out);
    }
    let filter = selection.filter(if state.is_empty() { CANCEL.to } else { state });
    many(&open, &CANCEL, filters, &filter, *sure, out)
}
