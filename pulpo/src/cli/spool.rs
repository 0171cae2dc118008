//! `spool`: shows the messages that wait for a server, and sends them.

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::json;

use super::list::table;
use super::peek::Shown;
use super::show::{self, age};
use super::{Done, Format};
use crate::instance::Pulpo;
use crate::queue::Filter;
use crate::queue::spool::{Flushed, Spool};
use crate::report::chain;

/// The maximum number of messages that are shown.
const SHOWN: usize = 100;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  spool         list what waits for a server, and what was refused
  spool flush   send it now

Workers and programs that publish send the messages in the spool as soon as a server is back. Delivery from the spool \
is at least once."
)]
pub(super) struct SpoolArguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Send the messages in the spool in order, including those refused before
    Flush {
        #[command(flatten)]
        format: Format,
    },
}

pub(super) fn run(pulpo: &Pulpo, arguments: &SpoolArguments, out: &mut dyn Write) -> Done {
    let spool = pulpo.queue().spool();
    let spool = spool.ok_or("there is no spool: set `spool` in the configuration, such as file:./pulpo-spool")?;
    match &arguments.action {
        None => list(spool, arguments.format, out),
        Some(Action::Flush { format }) => flush(spool, *format, out),
    }
}

fn list(spool: &dyn Spool, format: Format, out: &mut dyn Write) -> Done {
    let spooled = spool.spooled()?;
    let messages = spool.messages(&Filter::all().limit(SHOWN))?;
    if format.json {
        let shown = messages.iter().map(Shown::new).collect::<Result<Vec<_>, _>>()?;
        return show::json(
            out,
            &json!({
                "folder": spool.folder(), "waiting": spooled.waiting, "oldest": spooled.oldest,
                "refused": spooled.refused, "messages": shown,
            }),
        );
    }
    if messages.is_empty() {
        writeln!(out, "the spool is empty")?;
        return Ok(());
    }
    write!(out, "{}", table(&messages))?;
    let oldest = spooled.oldest.map(|since| format!(", the oldest since {}", age(since))).unwrap_or_default();
    show::note(out, &format!("{} wait for a server{oldest}", spooled.waiting))?;
    if spooled.refused > 0 {
        show::note(out, &format!("{} were refused and stay: `spool flush` retries them", spooled.refused))?;
    }
    if messages.len() == SHOWN {
        show::note(out, &format!("these are the newest {SHOWN}"))?;
    }
    Ok(())
}

fn flush(spool: &dyn Spool, format: Format, out: &mut dyn Write) -> Done {
    let Flushed { sent, refused, stopped_by, is_busy } = spool.flush(true)?;
    let left = spool.spooled()?.waiting;
    let error = stopped_by.map(|error| chain(&error));
    if format.json {
        show::json(out, &json!({ "sent": sent, "refused": refused, "left": left, "error": error }))?;
    } else {
        writeln!(out, "sent {sent}, {left} left")?;
    }
    match error {
        Some(error) => Err(format!("not all messages were sent: {error}").into()),
        None if refused > 0 => Err(format!("{refused} were refused: `spool` says why").into()),
        None if is_busy && left > 0 => Err("another process is sending the messages in the spool".into()),
        None => Ok(()),
    }
}
