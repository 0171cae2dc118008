//! Publishes the occurrences of schedules.
//!
//! Every worker with the handler does, whatever queues it serves; the store ensures that each occurrence is published
//! once. The scheduler reads the time up to which an entry is settled, decides what is due (`schedule/due.rs`), and
//! steps on from there: of several workers one succeeds, with the messages in the same transaction.
//!
//! # Invariants
//! - An entry is settled up to a time only when everything that fell due before it is published or skipped on purpose:
//!   so a kill at any moment loses nothing.
//! - An entry that this program does not have is left alone, except that one that no worker has had for a month is
//!   removed.
//! - An entry that fails does not keep the others from being published.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use self::store::{Progress, Store};
use super::service::Service;
use crate::clock::Clock;
use crate::guard;
use crate::producer::Producer;
#[cfg(feature = "testing")]
use crate::queue::QueueAdapter;
use crate::queue::{Occurrence, QueueError, ScheduleStep, Schedules, StoredEntry};
use crate::registry::{Handler, Registry};
use crate::report::chain;
use crate::schedule::{Attendance, Entry, HEARTBEAT, Overlap, Schedule, is_attended};
use crate::telemetry;
use crate::worker::options::WorkerOptions;
use crate::worker::outage::OutageBackoff;
use crate::worker::shared::Shared;

pub(in crate::worker) mod store;

/// An entry that no worker has had for this long is removed.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How often to look for such entries.
const FORGET_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// A time this far ahead of the clock was written under a wrong clock.
const WRONG_CLOCK: TimeDelta = TimeDelta::hours(1);

/// When to check again after another worker was faster.
const BEATEN: Duration = Duration::from_millis(1);

/// When to look again for what a worker with a former name of the handler is
/// about to publish.
const LEFT_TO_FORMER: Duration = Duration::from_secs(1);

/// How long entries may fail before the others wait for the next try: a queue
/// that is away may let each of them wait for its timeout.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Scheduler {
    store: Store,
    producer: Producer,
    clock: Arc<dyn Clock>,
    entries: Vec<Scheduled>,
    /// Since when this worker has the entries.
    since: Option<DateTime<Utc>>,
    forget_at: Duration,
    outage: OutageBackoff,
}

/// An entry of a handler.
struct Scheduled {
    handler: &'static Handler,
    schedule: &'static Schedule,
    entry: &'static Entry,
    text: String,
    /// Whether it failed last time, which has been told.
    fails: Cell<bool>,
}

/// Why nothing, or not everything, was published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SchedulerError {
    /// The schedules cannot be reached.
    #[error("cannot publish the jobs of schedules")]
    Store(#[source] QueueError),
    /// The queue takes no job of this entry.
    #[error("cannot publish the job `{name}` of the schedule `{entry}`")]
    Refused { name: &'static str, entry: String, source: QueueError },
    /// The default of its body cannot be made, or be written.
    #[error("cannot publish the job `{name}` of the schedule `{entry}` for {at}: {why}")]
    NoBody { name: &'static str, entry: String, at: String, why: String },
}

/// The outcome of a step: the published jobs, and those that were not.
pub(crate) struct Published {
    /// When something is due again.
    pub(crate) again: Option<Duration>,
    /// The first failure.
    pub(crate) failure: Option<SchedulerError>,
}

impl Scheduler {
    /// Creates the scheduler of a worker; `None` if none of its handlers has a schedule.
    pub(in crate::worker) fn of(shared: &Shared) -> Option<Self> {
        let Shared { queue, schedule_store, registry, options, clock, env, .. } = shared;
        let store = Store::new(queue.clone(), schedule_store.clone())?;
        Self::new(store, registry, options, env.producer.clone(), clock.clone())
    }

    fn new(
        store: Store,
        registry: &Registry,
        options: &WorkerOptions,
        producer: Producer,
        clock: Arc<dyn Clock>,
    ) -> Option<Self> {
        let entries: Vec<_> = scheduled(registry, options)
            .flat_map(|(handler, schedule)| {
                let entries = schedule.entries().iter();
                entries.map(move |entry| {
                    let (text, fails) = (entry.to_string(), Cell::new(false));
                    Scheduled { handler, schedule, entry, text, fails }
                })
            })
            .collect();
        (!entries.is_empty()).then(|| Self {
            store,
            producer,
            clock,
            entries,
            since: None,
            forget_at: Duration::ZERO,
            outage: OutageBackoff::default(),
        })
    }

    /// Creates the scheduler of a test, which uses the queue directly.
    #[cfg(feature = "testing")]
    pub(crate) fn of_queue(
        queue: Arc<dyn QueueAdapter>,
        registry: &Registry,
        options: &WorkerOptions,
        producer: Producer,
        clock: Arc<dyn Clock>,
    ) -> Option<Self> {
        Self::new(Store::new(queue, None)?, registry, options, producer, clock)
    }

    /// Publishes what is due. Returns when the next entry is due.
    ///
    /// # Errors
    /// If what keeps the schedules cannot be reached. If only some entries fail,
    /// the others are published.
    pub(crate) fn publish_due(&mut self) -> Result<Published, SchedulerError> {
        self.publish_all().map_err(SchedulerError::Store)
    }

    fn publish_all(&mut self) -> Result<Published, QueueError> {
        let mut published = Published { again: None, failure: None };
        let Some(guard) = self.store.begin()? else {
            published.again = Some(BEATEN * 100);
            return Ok(published);
        };
        let known = self.store.read()?;
        let since = Attendance(*self.since.get_or_insert(known.now));
        let started = self.clock.uptime();
        for scheduled in &self.entries {
            match self.tend_entry(scheduled, &known, since) {
                Ok(next) => {
                    scheduled.fails.set(false);
                    published.again = published.again.into_iter().chain(next).min();
                }
                Err(error) => {
                    if !scheduled.fails.replace(true) {
                        tracing::error!(error = chain(&error), "a schedule fails, trying again");
                    }
                    published.failure.get_or_insert(error);
                    if self.clock.uptime().saturating_sub(started) >= PATIENCE {
                        break;
                    }
                }
            }
        }
        drop(guard);
        let uptime = self.clock.uptime();
        if published.failure.is_none() && uptime >= self.forget_at {
            self.forget_at = uptime.saturating_add(FORGET_INTERVAL);
            let forgotten = self.store.forget(FORGOTTEN_AFTER)?;
            if forgotten > 0 {
                tracing::info!(entries = forgotten, "removed entries of schedules that no worker has had for a month");
            }
        }
        Ok(published)
    }

    /// Publishes what is due of one entry. Returns how long until the next is due.
    fn tend_entry(
        &self,
        scheduled: &Scheduled,
        known: &Schedules,
        since: Attendance,
    ) -> Result<Option<Duration>, SchedulerError> {
        let Scheduled { handler, schedule, entry, text, .. } = scheduled;
        let (name, now) = (handler.request_type(), known.now);
        let next = entry.next_after(now);
        let wait = next.map(|next| (next - now).to_std().unwrap_or_default());
        let stored = known.entry(name, text);
        let formers = || handler.aliases().iter().filter_map(|alias| known.entry(alias, text));
        let is_paused = handler.all_names().any(|name| known.is_paused(name));
        let mut due = match stored {
            // A new entry does not look back, but a new name of one takes over from the former name.
            None => match formers().map(|former| former.settled).max() {
                Some(settled) if !is_paused && settled < now => entry.due(schedule.missed(), settled, now, since),
                _ => Vec::new(),
            },
            Some(stored) if is_wrong(stored, now) => {
                let settled = stored.settled.to_rfc3339();
                tracing::warn!(name, entry = text, settled, "the clock went back: the schedule continues from now");
                Vec::new()
            }
            Some(stored) if is_paused || stored.settled >= now => Vec::new(),
            Some(stored) => entry.due(schedule.missed(), stored.settled, now, since),
        };
        // In a rolling deploy, the version before may publish it under a former
        // name of the handler.
        for former in formers() {
            due.retain(|at| *at > former.settled);
            if !due.is_empty() && is_attended(former.settled, now) {
                return Ok(Some(LEFT_TO_FORMER));
            }
        }
        if due.is_empty() && stored.is_some_and(|stored| is_fresh(stored, next, now)) {
            return Ok(wait);
        }
        let refused = |source| SchedulerError::Refused { name, entry: text.clone(), source };
        let may_overlap = schedule.overlap() == Overlap::Allow;
        // The store looks at the jobs of this name, in the transaction of the step.
        if !due.is_empty() && !may_overlap && self.store.has_unfinished(handler.aliases(), known).map_err(refused)? {
            tracing::info!(name, entry = text, "skipped: the previous job, under a former name, is unfinished");
            due.clear();
        }
        let mut step = ScheduleStep::new(name, text, stored.map(|stored| stored.settled), now);
        step.next = next;
        step.overlap = may_overlap;
        for at in due {
            // If one cannot be made, all stay due: the next version may be able to.
            let made = self.prepare(handler, at).map_err(|why| {
                let (entry, at) = (text.clone(), at.to_rfc3339());
                SchedulerError::NoBody { name, entry, at, why }
            })?;
            step.occurrences.extend(made);
        }
        let stepped = self.store.step(step, known, report);
        match stepped.map_err(refused)? {
            Progress::Beaten => Ok(Some(BEATEN)),
            Progress::Done => Ok(wait),
        }
    }

    /// The message of an occurrence, or why it cannot be made.
    fn prepare(&self, handler: &'static Handler, at: DateTime<Utc>) -> Result<Option<Occurrence>, String> {
        // The default of a body is code of the user's.
        match guard::catch(|| handler.prepare_occurrence(&self.producer, at)) {
            Ok(None) => Ok(None),
            Ok(Some(Ok(message))) => Ok(Some(Occurrence::new(at, message))),
            Ok(Some(Err(error))) => Err(chain(&error)),
            Err(panic) => Err(format!("the default of its body panicked: {panic}")),
        }
    }
}

impl Service for Scheduler {
    fn name(&self) -> &'static str {
        "pulpo-scheduler"
    }

    fn run_due(&mut self) -> Duration {
        let published = match self.publish_due() {
            Ok(published) => published,
            Err(error) => {
                if !self.outage.is_on() {
                    tracing::error!(error = chain(&error), "the schedules cannot be reached, retrying");
                }
                return self.outage.next();
            }
        };
        let again = published.again.map_or(HEARTBEAT, |again| again.min(HEARTBEAT));
        match published.failure {
            None => {
                if self.outage.is_on() {
                    tracing::info!("publishing schedules again");
                    self.outage.over();
                }
                again
            }
            // A later version may be able to make it.
            Some(SchedulerError::NoBody { .. }) => again,
            Some(_) => again.min(self.outage.next()),
        }
    }
}

/// Returns the handlers with a schedule that is not turned off in this worker.
pub(crate) fn scheduled<'a>(
    registry: &'a Registry,
    options: &'a WorkerOptions,
) -> impl Iterator<Item = (&'static Handler, &'static Schedule)> + 'a {
    let is_on = |handler: &&'static Handler| {
        options.handlers.get(handler.request_type()).and_then(|said| said.schedule) != Some(false)
    };
    registry.iter().filter(is_on).filter_map(|handler| Some((handler, handler.schedule()?)))
}

/// Returns whether the clock that settled the entry was far ahead of this one.
fn is_wrong(stored: &StoredEntry, now: DateTime<Utc>) -> bool {
    stored.settled - now > WRONG_CLOCK
}

/// Returns whether the entry needs no write.
fn is_fresh(stored: &StoredEntry, next: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    let age = now - stored.settled;
    stored.next == next && age < TimeDelta::seconds(HEARTBEAT.as_secs().cast_signed()) && !is_wrong(stored, now)
}

fn report(step: &ScheduleStep, ids: &[Option<crate::message::MessageId>]) {
    let (name, entry) = (step.name.as_str(), step.text.as_str());
    for (occurrence, id) in step.occurrences.iter().zip(ids) {
        let at = occurrence.at.to_rfc3339();
        match id {
            Some(id) => {
                let queue = occurrence.queue();
                telemetry::published(name, queue, 1);
                tracing::info!(name, entry, id = id.as_str(), scheduled_for = at, "published by its schedule");
            }
            None => {
                tracing::info!(name, entry, scheduled_for = at, "skipped: paused, or the previous job is unfinished")
            }
        }
    }
}
