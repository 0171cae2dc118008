//! Schedules as people see them, and the actions on them.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::Pulpo;
use crate::producer::PublishError;
use crate::queue::{Enqueued, QueueError, Schedules, StoredEntry};
use crate::registry::{Handler, Registry, nearest};
use crate::schedule::is_attended;
use crate::worker::scheduled;

/// An entry of a schedule, as shown to people.
#[derive(Debug, Serialize)]
pub(crate) struct ScheduleRow {
    pub(crate) name: String,
    pub(crate) entry: String,
    pub(crate) next: Option<DateTime<Utc>>,
    pub(crate) last: Option<DateTime<Utc>>,
    pub(crate) state: ScheduleState,
    /// How many seconds an occurrence has been due without being published.
    pub(crate) overdue: Option<f64>,
    /// The message of the last occurrence.
    pub(crate) message: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ScheduleState {
    /// A worker will publish the next occurrence.
    Waiting,
    /// The job of the last occurrence is unfinished.
    Running,
    Paused,
    /// The configuration of this program switches it off.
    Off,
    /// No worker with this entry is alive.
    Unattended,
    /// No worker has taken it up yet.
    New,
}

impl ScheduleState {
    pub(crate) const fn as_str(self) -> &'static str {
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

/// Errors of actions on a schedule.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScheduleError {
    /// There is no schedule of that name; the text says what to do.
    #[error("{0}")]
    Unknown(String),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl Pulpo {
    /// Returns the entries of the queue, and those of this program.
    pub(crate) fn schedule_rows(&self) -> Result<Vec<ScheduleRow>, QueueError> {
        let registry = Registry::gather();
        self.with_schedules(|store| rows(self, &registry, &store.read_schedules()?))
    }

    /// Publishes the job of a schedule now, whatever its state.
    pub(crate) fn run_schedule(&self, name: &str, now: DateTime<Utc>) -> Result<Enqueued, ScheduleError> {
        let registry = Registry::gather();
        let handler = registry.get(name).filter(|handler| handler.schedule().is_some());
        let message = handler.and_then(|handler| handler.prepare_occurrence(self.producer(), now));
        let Some(message) = message else { return Err(ScheduleError::Unknown(unknown(&registry, &[], name))) };
        Ok(self.queue().enqueue(vec![message?])?.remove(0))
    }

    /// Pauses or resumes a schedule, under all names of its handler. Returns whether it was paused before.
    pub(crate) fn pause_schedule(&self, name: &str, paused: bool) -> Result<bool, ScheduleError> {
        let registry = Registry::gather();
        self.with_schedules(|store| {
            let known = store.read_schedules()?;
            let names: Vec<_> = known.entries.into_iter().map(|entry| entry.name).chain(known.paused).collect();
            let ours = registry.get(name).is_some_and(|handler| handler.schedule().is_some());
            if !ours && !names.iter().any(|known| known == name) {
                return Ok(Err(ScheduleError::Unknown(unknown(&registry, &names, name))));
            }
            let mut was_paused = store.pause_schedule(name, paused)?;
            // A version before may have the schedule under a former name.
            for other in registry.get(name).into_iter().flat_map(Handler::all_names).filter(|other| *other != name) {
                was_paused |= store.pause_schedule(other, paused)?;
            }
            Ok(Ok(was_paused))
        })?
    }
}

/// Returns whether this name of a schedule is paused, or another name of its handler.
fn is_paused(registry: &Registry, known: &Schedules, name: &str) -> bool {
    let mut others = registry.get(name).into_iter().flat_map(Handler::all_names);
    known.is_paused(name) || others.any(|other| known.is_paused(other))
}

fn rows(pulpo: &Pulpo, registry: &Registry, known: &Schedules) -> Result<Vec<ScheduleRow>, QueueError> {
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
        let paused = is_paused(registry, known, &stored.name);
        let late = stored.next.filter(|next| *next < known.now && !paused).map(|next| known.now - next);
        let state = if paused {
            ScheduleState::Paused
        } else if is_own && !is_on(&stored.name) {
            ScheduleState::Off
        } else if !is_attended(stored.settled, known.now) {
            ScheduleState::Unattended
        } else if is_running(pulpo, stored)? {
            ScheduleState::Running
        } else {
            ScheduleState::Waiting
        };
        rows.push(ScheduleRow {
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
            let state = match (is_paused(registry, known, name), is_on(name)) {
                (true, _) => ScheduleState::Paused,
                (false, true) => ScheduleState::New,
                (false, false) => ScheduleState::Off,
            };
            let next = entry.next_after(known.now);
            let (name, entry) = (name.to_owned(), text);
            rows.push(ScheduleRow { name, entry, next, last: None, state, overdue: None, message: None });
        }
    }
    rows.sort_by(|a, b| (&a.name, &a.entry).cmp(&(&b.name, &b.entry)));
    Ok(rows)
}

fn is_running(pulpo: &Pulpo, stored: &StoredEntry) -> Result<bool, QueueError> {
    let Some(id) = &stored.message else { return Ok(false) };
    Ok(pulpo.queue().peek(id)?.is_some_and(|message| message.state.is_unfinished()))
}

/// Returns the delay in seconds, unless a worker is about to publish.
fn seconds(late: TimeDelta) -> Option<f64> {
    let late = late.to_std().ok()?;
    (late.as_secs() >= 1).then_some(late.as_secs_f64())
}

/// Returns the error text for a name without a schedule.
fn unknown(registry: &Registry, others: &[String], name: &str) -> String {
    let ours = registry.iter().filter(|handler| handler.schedule().is_some()).map(|handler| handler.request_type());
    // A schedule has a name for each of its entries, and more while it is paused.
    let names: BTreeSet<&str> = ours.chain(others.iter().map(String::as_str)).collect();
    let has_none = registry.get(name).is_some_and(|handler| handler.schedule().is_none());
    let advice = match nearest(name, names.iter().copied()) {
        _ if has_none => format!(": its handler has neither `cron` nor `every`; `publish {name}` publishes its job"),
        Some(nearest) => format!(": did you mean `{nearest}`?"),
        None if names.is_empty() => ": no handler of this program has `cron` or `every`".to_owned(),
        None => format!(": expected one of {}", Vec::from_iter(names).join(", ")),
    };
    format!("there is no schedule of `{name}`{advice}")
}
