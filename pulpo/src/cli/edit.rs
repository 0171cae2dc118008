//! `edit`: changes waiting messages.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::json;

use super::show::{self, counted};
use super::{Done, Format, Open, WrongUsage, names};
use crate::config::parse_duration;
use crate::instance::Pulpo;
use crate::message::MessageId;
use crate::queue::{Edit, Edited, MessageState, QueueError};
use crate::report::chain;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  edit 42 --priority 10        it comes before less urgent messages
  edit 42 --delay 0            it is due now
  edit 42 43 --delay 2h --queue night
                               both wait two more hours, in another queue

Only ready and delayed messages can be changed; kick a buried one first. The header in the message is updated too. Its \
body and its unique key stay as they are.")]
pub(super) struct EditArguments {
    /// The messages with these ids, as `publish` and `list` show them
    #[arg(required = true, value_name = "ID")]
    ids: Vec<MessageId>,
    /// New priority: 0 is the most urgent, 4294967295 the least
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<u32>,
    /// New delay from now, such as 90s (0 = due now)
    #[arg(long, value_name = "D", value_parser = delay)]
    delay: Option<Duration>,
    /// New queue
    #[arg(long, value_name = "Q", value_parser = NonEmptyStringValueParser::new())]
    queue: Option<String>,
    /// Print how many messages would change, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: Format,
}

fn delay(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|_| format!("expected a duration such as 90s, 2h or 0, got {text:?}"))
}

pub(super) fn run(open: Open<'_>, arguments: &EditArguments, out: &mut dyn Write) -> Done {
    let EditArguments { ids, priority, delay, queue, dry_run, format } = arguments;
    let edit = Edit { priority: priority.map(Into::into), delay: *delay, queue: queue.clone() };
    if edit.is_empty() {
        return Err(WrongUsage("expected --priority, --delay or --queue".to_owned()).into());
    }
    let pulpo = open()?;
    if !pulpo.queue().capabilities().edits {
        let refused = pulpo.queue().edit(&ids[0], &Edit::default());
        return Err(refused.err().unwrap_or(QueueError::Unsupported("change a waiting message")).into());
    }
    // Ask first, since the edit makes a name known.
    let unknown = queue.as_ref().and_then(|queue| names::queue_problem(&pulpo, queue));
    let (mut matched, mut edited, mut problems) = (0_u64, Vec::new(), Vec::new());
    for (number, id) in ids.iter().enumerate() {
        if ids[..number].contains(id) {
            continue;
        }
        match change(&pulpo, id, &edit, *dry_run) {
            Ok(Edited::Changed) => {
                matched += 1;
                edited.extend((!dry_run).then_some(id));
            }
            Ok(Edited::Missing) => problems.push(format!("there is no message {id}")),
            Ok(Edited::Not(state)) => problems.push(refusal(id, state)),
            Err(error) => {
                // The changes so far are reported.
                problems.push(format!("stopped at message {id}: {}", chain(&error)));
                break;
            }
        }
    }
    if let Some(unknown) = unknown.filter(|_| matched > 0) {
        show::warn(&unknown);
    }
    if format.json {
        show::json(out, &json!({ "matched": matched, "edited": edited.len(), "dry_run": dry_run }))?;
    } else if *dry_run {
        writeln!(out, "would edit {}", counted(matched, "message"))?;
    }
    for id in edited.iter().filter(|_| !format.json) {
        writeln!(out, "edited {}", show::visible(id.as_str()))?;
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ").into()) }
}

/// Changes a message, or finds out whether that is possible.
fn change(pulpo: &Pulpo, id: &MessageId, edit: &Edit, dry_run: bool) -> Result<Edited, QueueError> {
    let Some(id) = pulpo.resolve(id)? else { return Ok(Edited::Missing) };
    if !dry_run {
        return pulpo.queue().edit(&id, edit);
    }
    Ok(match pulpo.queue().peek(&id)?.map(|message| message.state) {
        None => Edited::Missing,
        Some(MessageState::Ready | MessageState::Delayed) => Edited::Changed,
        Some(state) => Edited::Not(state),
    })
}

fn refusal(id: &MessageId, state: MessageState) -> String {
    match state {
        MessageState::Reserved => format!(
            "message {id} is running, and only waiting messages can be changed: wait until it is put back, or cancel it \
             and publish it again"
        ),
        MessageState::Buried => {
            format!("message {id} is buried, and only waiting messages can be changed: kick it first")
        }
        MessageState::Done => format!("message {id} is done, and only waiting messages can be changed"),
        state => format!("message {id} is {state}, and could not be changed: try again"),
    }
}
