//! `schedule`: when jobs run unasked, and what is done to that.

use std::io::Write;

use chrono::{DateTime, TimeDelta, Utc};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::show;
use super::table::{Cell, Column, Table};
use super::{Done, Format, Open};
use crate::instance::Pulpo;
use crate::queue::{MessageState, ScheduleStore, Schedules, StoredEntry};
use crate::registry::{Registry, nearest};
use crate::schedule::is_attended;
use crate::worker::scheduled;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  schedule                  list schedules: next, last, state
  schedule run report       publish the job of `report` now
  schedule pause report     publish no more until `schedule resume report`
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

/// One entry, as it is shown.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    entry: String,
    next: Option<DateTime<Utc>>,
    last: Option<DateTime<Utc>>,
    state: State,
    /// For how many seconds an occurrence has been due that nobody published.
    overdue: Option<f64>,
    /// The message of the last occurrence.
    message: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// A worker will publish the next occurrence.
    Waiting,
    /// The job of the last occurrence is unfinished.
    Running,
    Paused,
    /// The configuration of this program switches it off.
    Off,
    /// No worker that has it is alive.
    Unattended,
    /// No worker has had it yet.
    New,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Off => "off",
            Self::Unattended => "unattended",
            Self::New => "new",
        }
    }
}

fn list(pulpo: &Pulpo, format: Format, out: &mut dyn Write) -> Done {
    let registry = Registry::gather();
    let rows = pulpo.with_schedules(|store| rows(pulpo, &registry, &store.read_schedules()?))?;
    if format.json {
        return show::json(out, &rows);
    }
    if rows.is_empty() {
        return show::note(out, "no handler of this program has `cron` or `every`, and the queue keeps no schedule");
    }
    let mut table = Table::new(["NAME", "ENTRY", "NEXT", "LAST", "STATE", "OVERDUE"].map(Column::new));
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

/// The entries of the queue, and those of this program.
fn rows(pulpo: &Pulpo, registry: &Registry, known: &Schedules) -> Result<Vec<Row>, crate::queue::QueueError> {
    let is_on = |name: &str| scheduled(registry, pulpo.options()).any(|(handler, _)| handler.request_type() == name);
    let own: Vec<_> = registry
        .iter()
        .filter_map(|handler| Some((handler.request_type(), handler.schedule()?)))
        .flat_map(|(name, schedule)| schedule.entries().iter().map(move |entry| (name, entry.to_string(), entry)))
        .collect();
    let mut rows = Vec::new();
    for stored in &known.entries {
        let is_own = own.iter().any(|(name, text, _)| *name == stored.name && *text == stored.text);
        let next = stored.next.filter(|next| *next > known.now);
        let next = next.or_else(|| {
            let (_, _, entry) = own.iter().find(|(name, text, _)| *name == stored.name && *text == stored.text)?;
            entry.next_after(known.now)
        });
        let paused = known.is_paused(&stored.name);
        let late = stored.next.filter(|next| *next < known.now && !paused).map(|next| known.now - next);
        let state = if paused {
            State::Paused
        } else if is_own && !is_on(&stored.name) {
            State::Off
        } else if !is_attended(stored.settled, known.now) {
            State::Unattended
        } else if is_running(pulpo, stored)? {
            State::Running
        } else {
            State::Waiting
        };
        rows.push(Row {
            name: stored.name.clone(),
            entry: stored.text.clone(),
            next,
            last: stored.last,
            state,
            overdue: late.and_then(seconds),
            message: stored.message.as_ref().map(ToString::to_string),
        });
    }
    for (name, text, entry) in own {
        if known.entry(name, &text).is_none() {
            let state = match (known.is_paused(name), is_on(name)) {
                (true, _) => State::Paused,
                (false, true) => State::New,
                (false, false) => State::Off,
            };
            let next = entry.next_after(known.now);
            let (name, entry) = (name.to_owned(), text);
            rows.push(Row { name, entry, next, last: None, state, overdue: None, message: None });
        }
    }
    rows.sort_by(|a, b| (&a.name, &a.entry).cmp(&(&b.name, &b.entry)));
    Ok(rows)
}

fn is_running(pulpo: &Pulpo, stored: &StoredEntry) -> Result<bool, crate::queue::QueueError> {
    let Some(id) = &stored.message else { return Ok(false) };
    Ok(pulpo.queue().peek(id)?.is_some_and(|message| message.state != MessageState::Buried))
}

/// Not what a worker is about to publish.
fn seconds(late: TimeDelta) -> Option<f64> {
    let late = late.to_std().ok()?;
    (late.as_secs() >= 1).then_some(late.as_secs_f64())
}

fn run_now(pulpo: &Pulpo, named: &Named, out: &mut dyn Write) -> Done {
    let Named { name, format } = named;
    let registry = Registry::gather();
    let now = Utc::now();
    let handler = registry.get(name).filter(|handler| handler.schedule().is_some());
    let message = handler.and_then(|handler| handler.prepare_occurrence(pulpo.producer(), now));
    let Some(message) = message else { return Err(unknown(&registry, &[], name).into()) };
    let id = pulpo.queue().enqueue(vec![message?])?.remove(0).id;
    if format.json {
        return show::json(out, &json!({ "name": name, "id": id.as_str(), "scheduled_for": now }));
    }
    writeln!(out, "published {} as message {id}", show::visible(name))?;
    Ok(())
}

fn pause(pulpo: &Pulpo, named: &Named, paused: bool, out: &mut dyn Write) -> Done {
    let Named { name, format } = named;
    let registry = Registry::gather();
    let known = |known: &Schedules| {
        let names: Vec<_> = known.entries.iter().map(|entry| entry.name.clone()).chain(known.paused.clone()).collect();
        names
    };
    let was_paused = pulpo.with_schedules(|store: &dyn ScheduleStore| {
        let names = known(&store.read_schedules()?);
        let ours = registry.get(name).is_some_and(|handler| handler.schedule().is_some());
        if !ours && !names.contains(name) {
            return Ok(Err(unknown(&registry, &names, name)));
        }
        store.pause_schedule(name, paused).map(Ok)
    })??;
    if format.json {
        return show::json(out, &json!({ "name": name, "paused": paused, "was_paused": was_paused }));
    }
    let name = show::visible(name);
    match (paused, was_paused) {
        (true, false) => writeln!(out, "paused {name}")?,
        (true, true) => writeln!(out, "{name} was paused already")?,
        (false, true) => writeln!(out, "resumed {name}: it goes on with its next time")?,
        (false, false) => writeln!(out, "{name} was not paused")?,
    }
    Ok(())
}

/// What to say of a name that has no schedule.
fn unknown(registry: &Registry, others: &[String], name: &str) -> String {
    let ours = registry.iter().filter(|handler| handler.schedule().is_some()).map(|handler| handler.request_type());
    let names: Vec<&str> = ours.chain(others.iter().map(String::as_str)).collect();
    let advice = match nearest(name, names.iter().copied()) {
        Some(nearest) => format!(": did you mean `{nearest}`?"),
        None if registry.get(name).is_some() => {
            format!(": its handler has neither `cron` nor `every`; `publish {name}` publishes its job")
        }
        None if names.is_empty() => ": no handler of this program has `cron` or `every`".to_owned(),
        None => format!(": expected one of {}", names.join(", ")),
    };
    format!("there is no schedule of `{name}`{advice}")
}
