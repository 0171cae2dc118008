//! `pause`, `resume`, `backup` and `migrate`: commands for whole queues.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use indicatif::HumanBytes;
use serde_json::json;

use super::show;
use super::stats::until;
use super::{Done, Format, names};
use crate::config::{Config, parse_duration};
use crate::instance::Pulpo;
use crate::queue::UNTIL_RESUMED;
use crate::queue::backend::Migration;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pause mail        hand out no messages of this queue until `resume mail`
  pause mail 15m    the same, for 15 minutes

Running jobs finish, and publishing continues. `stats` shows what is paused. On the embedded queue a pause outlives a \
restart; on beanstalkd it ends when the server restarts.")]
pub(super) struct PauseArguments {
    /// The queue
    #[arg(index = 1, value_parser = NonEmptyStringValueParser::new())]
    queue: String,
    /// How long, such as 15m [default: until it is resumed]
    #[arg(index = 2, value_name = "FOR", value_parser = time)]
    time: Option<Duration>,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  resume mail    hand out messages of this queue again, at once")]
pub(super) struct ResumeArguments {
    /// The queue
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    queue: String,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  backup /backups/pulpo-$(date +%F).db
             copy the embedded queue while workers run

To run a worker on that copy:
  mkdir restored
  cp /backups/pulpo-2026-11-23.db restored/queue.db
  PULPO_QUEUE=file:restored my-worker

The file must not exist yet. Messages that a worker had when the copy was made become ready in it when their leases \
end, and so run again.")]
pub(super) struct BackupArguments {
    /// The new file
    file: PathBuf,
    #[command(flatten)]
    format: Format,
}

fn time(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("expected a time longer than zero; `resume` ends a pause".to_owned()),
        time => Ok(time.min(UNTIL_RESUMED)),
    }
}

pub(super) fn pause(pulpo: &Pulpo, arguments: &PauseArguments, out: &mut dyn Write) -> Done {
    let PauseArguments { queue, time, format } = arguments;
    // Ask first, since a pause makes a name known.
    let problem = names::queue_problem(pulpo, queue);
    pulpo.queue().pause(queue, time.unwrap_or(UNTIL_RESUMED))?;
    let paused_until = pulpo.queue().stats()?.paused_until(queue);
    if let Some(problem) = problem {
        show::warn(&problem);
    }
    if format.json {
        return show::json(out, &json!({ "queue": queue, "paused_until": paused_until }));
    }
    // A short pause may be over by now.
    let until = paused_until.map(until).unwrap_or_default();
    show::note(out, format!("paused {} {until}", show::visible(queue)).trim_end())
}

pub(super) fn resume(pulpo: &Pulpo, arguments: &ResumeArguments, out: &mut dyn Write) -> Done {
    let ResumeArguments { queue, format } = arguments;
    let was_paused = pulpo.queue().stats()?.paused_until(queue).is_some();
    pulpo.queue().pause(queue, Duration::ZERO)?;
    if let Some(problem) = names::queue_problem(pulpo, queue).filter(|_| !was_paused) {
        show::warn(&problem);
    }
    if format.json {
        return show::json(out, &json!({ "queue": queue, "was_paused": was_paused }));
    }
    let queue = show::visible(queue);
    show::note(out, &if was_paused { format!("resumed {queue}") } else { format!("{queue} was not paused") })
}

pub(super) fn backup(pulpo: &Pulpo, arguments: &BackupArguments, out: &mut dyn Write) -> Done {
    let BackupArguments { file, format } = arguments;
    let bytes = pulpo.queue().backup(file)?;
    if format.json {
        return show::json(out, &json!({ "file": file, "bytes": bytes }));
    }
    writeln!(out, "wrote {} to {}", HumanBytes(bytes), show::visible(&file.display().to_string()))?;
    Ok(())
}

/// The arguments of `migrate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  migrate           before a deploy, with `migrate = \"never\"` for the workers
  migrate --print   print the SQL, to run as a role that may create tables

Other queues have no tables to migrate; the command says so.")]
pub(super) struct MigrateArguments {
    /// Only print the statements that create the tables in an empty database
    #[arg(long)]
    print: bool,
}

pub(super) fn migrate(config: &Config, arguments: &MigrateArguments, out: &mut dyn Write) -> Done {
    match config.backend.migrate(arguments.print)? {
        Migration::Statements(sql) => out.write_all(sql.as_bytes())?,
        Migration::Made(steps) if steps.is_empty() => {
            writeln!(out, "nothing to do: the queue has this version already")?
        }
        Migration::Made(steps) => {
            for step in steps {
                writeln!(out, "made {}", show::visible(&step))?;
            }
        }
    }
    Ok(())
}
