//! `schedule`: lists schedules, and runs, pauses or resumes them.

use std::io::Write;

use chrono::Utc;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde_json::json;

use super::show;
use super::table::{Cell, Column, Table};
use super::{Done, Format, Open};
use crate::instance::Pulpo;
use crate::queue::Enqueued;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  schedule                  list schedules: next, last, state
  schedule run report       publish the job of `report` now
  schedule pause report     publish no jobs until `schedule resume report`
  schedule --json | jq '.[] | select(.overdue)'
                            list what is late

Times missed during a pause are not made up for. NAME is the request type, with all its entries.")]
pub(super) struct ScheduleArguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Publish the job of a schedule now, whatever its state
    Run(Named),
    /// Stop publishing jobs of a schedule until it is resumed
    Pause(Named),
    /// Publish the jobs of a paused schedule again, from now on
    Resume(Named),
}

#[derive(Debug, Args)]
struct Named {
    /// The request type
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(open: Open<'_>, publish: Open<'_>, arguments: &ScheduleArguments, out: &mut dyn Write) -> Done {
    match &arguments.action {
        None => list(&open()?, arguments.format, out),
        Some(Action::Run(named)) => run_now(&publish()?, named, out),
        Some(Action::Pause(named)) => pause(&open()?, named, true, out),
        Some(Action::Resume(named)) => pause(&open()?, named, false, out),
    }
}

const COLUMNS: [Column; 6] = [
    Column::new("NAME"),
    Column::new("ENTRY").prose(),
    Column::new("NEXT"),
    Column::new("LAST").spare(2),
    Column::new("STATE"),
    Column::new("OVERDUE").short("LATE").spare(1),
];

fn list(pulpo: &Pulpo, format: Format, out: &mut dyn Write) -> Done {
    let rows = pulpo.schedule_rows()?;
    if format.json {
        return show::json(out, &rows);
    }
    if rows.is_empty() {
        return show::note(out, "no handler of this program has `cron` or `every`, and the queue keeps no schedule");
    }
    let mut table = Table::new(COLUMNS);
    for row in rows {
        let overdue = row.overdue.map(|seconds| crate::report::rough(std::time::Duration::from_secs_f64(seconds)));
        table.row(
            [
                row.name,
                row.entry,
                row.next.map_or_else(|| "never".to_owned(), show::at),
                row.last.map_or_else(|| "never".to_owned(), show::at),
                row.state.as_str().to_owned(),
                overdue.map_or_else(|| "no".to_owned(), |overdue| overdue.to_string()),
            ]
            .map(Cell::from),
        );
    }
    write!(out, "{table}")?;
    Ok(())
}

fn run_now(pulpo: &Pulpo, named: &Named, out: &mut dyn Write) -> Done {
    let Named { name, format } = named;
    let now = Utc::now();
    let Enqueued { id, publication, .. } = pulpo.run_schedule(name, now)?;
    if format.json {
        let publication = publication.as_str();
        return show::json(
            out,
            &json!({ "name": name, "id": id.as_str(), "publication": publication, "scheduled_for": now }),
        );
    }
    writeln!(out, "{}", show::publication(&show::visible(name), &id, publication))?;
    Ok(())
}

fn pause(pulpo: &Pulpo, named: &Named, paused: bool, out: &mut dyn Write) -> Done {
    let Named { name, format } = named;
    let was_paused = pulpo.pause_schedule(name, paused)?;
    if format.json {
        return show::json(out, &json!({ "name": name, "paused": paused, "was_paused": was_paused }));
    }
    let name = show::visible(name);
    match (paused, was_paused) {
        (true, false) => writeln!(out, "paused {name}")?,
        (true, true) => writeln!(out, "{name} was already paused")?,
        (false, true) => writeln!(out, "resumed {name}: it continues with its next time")?,
        (false, false) => writeln!(out, "{name} was not paused")?,
    }
    Ok(())
}
