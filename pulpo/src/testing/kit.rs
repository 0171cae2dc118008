//! The queue, the clock and the states of one test, and how its messages are run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::blocking;
use super::faults::Faults;
use super::recorder::Recorder;
use super::run::Run;
use crate::clock::{Clock as _, ManualClock};
use crate::context::Cancellation;
use crate::instance::{Pulpo, scoped};
use crate::queue::QueueAdapter as _;
use crate::registry::Registry;
use crate::schedule::Overlap;
use crate::state::States;
use crate::sync::lock;
use crate::worker::{Scheduler, StepError, WorkError, Worker, scheduled};

/// Runs in a row after which jobs are assumed to publish each other forever.
const TOO_MANY: usize = 100_000;

pub(super) struct Kit {
    pub(super) pulpo: Pulpo,
    pub(super) recorder: Recorder,
    pub(super) clock: ManualClock,
    pub(super) states: Mutex<States>,
    pub(super) inline: AtomicBool,
    /// Set by a publication, cleared when the inline runs look for work.
    pub(super) published: AtomicBool,
    /// Held by the thread that runs jobs, so that they run one after the other.
    pub(super) running: Mutex<()>,
    /// Publishes the jobs of schedules; created on first use.
    pub(super) scheduler: Mutex<Option<Option<Scheduler>>>,
    pub(super) faults: Option<Arc<Faults>>,
}

/// The runtime for async handlers, if the test has one.
#[cfg(feature = "tokio")]
pub(super) type Runtime = Option<tokio::runtime::Handle>;
#[cfg(not(feature = "tokio"))]
pub(super) type Runtime = Option<std::convert::Infallible>;

/// Returns the surrounding runtime, if it goes on while this thread is blocked.
pub(super) fn around() -> Runtime {
    #[cfg(feature = "tokio")]
    return crate::runtime::around();
    #[cfg(not(feature = "tokio"))]
    None
}

#[track_caller]
pub(super) fn sound<R>(result: Result<R, StepError>) -> R {
    result.unwrap_or_else(|error| panic!("{error}"))
}

/// Creates a worker with these states, and this runtime for async handlers.
fn worker_with(pulpo: &Pulpo, states: States, runtime: &Runtime) -> Result<Worker, StepError> {
    let worker = pulpo.worker()?.states(states);
    #[cfg(feature = "tokio")]
    let worker = match runtime {
        Some(runtime) => worker.runtime(runtime.clone()),
        None => worker,
    };
    #[cfg(not(feature = "tokio"))]
    let _ = runtime;
    Ok(worker)
}

impl Kit {
    pub(super) fn next(&self, runtime: Runtime) -> Result<Option<Run>, StepError> {
        let _running = lock(&self.running);
        self.publish_scheduled()?;
        self.step(&runtime)
    }

    pub(super) fn drain(&self, runtime: Runtime) -> Result<Vec<Run>, StepError> {
        let _running = lock(&self.running);
        self.run_due(&runtime)
    }

    pub(super) fn work_for(&self, time: Duration, runtime: Runtime) -> Result<Vec<Run>, StepError> {
        let _running = lock(&self.running);
        let end = self.clock.uptime().saturating_add(time);
        let mut runs = Vec::new();
        loop {
            runs.extend(self.run_due(&runtime)?);
            let scheduled = self.publish_scheduled()?;
            let left = end.saturating_sub(self.clock.uptime());
            if left.is_zero() {
                self.prune()?;
                return Ok(runs);
            }
            self.clock.advance(self.next_start(&runtime)?.into_iter().chain(scheduled).fold(left, Duration::min));
        }
    }

    pub(super) fn advance(&self, time: Duration) -> Result<(), StepError> {
        let end = self.clock.uptime().saturating_add(time);
        loop {
            self.publish_scheduled()?;
            let left = end.saturating_sub(self.clock.uptime());
            if left.is_zero() {
                return self.prune();
            }
            self.clock.advance(self.next_scheduled().map_or(left, |next| next.min(left)));
        }
    }

    /// Deletes messages whose retention is over, as a worker does now and then.
    fn prune(&self) -> Result<(), StepError> {
        let Some(keeping) = self.pulpo.queue().keeping() else { return Ok(()) };
        while keeping.prune().map_err(WorkError::Queue)?.more {}
        Ok(())
    }

    /// Publishes the jobs of schedules that are due, and returns the time until the next one.
    fn publish_scheduled(&self) -> Result<Option<Duration>, StepError> {
        // The current runner continues, and publishes what has become due.
        let Ok(mut scheduler) = self.scheduler.try_lock() else { return Ok(None) };
        let scheduler = scheduler.get_or_insert_with(|| self.pulpo.scheduler(&Registry::gather()));
        let Some(scheduler) = scheduler else { return Ok(None) };
        let published = scheduler.publish_due()?;
        published.failure.map_or(Ok(published.again), |failure| Err(failure.into()))
    }

    /// Returns the time until a schedule may publish something while nothing runs. A schedule whose last job is
    /// unfinished publishes nothing.
    fn next_scheduled(&self) -> Option<Duration> {
        let known = self.recorder.schedules()?.read_schedules().ok()?;
        let registry = Registry::gather();
        let waits = scheduled(&registry, self.pulpo.options()).filter(|(handler, schedule)| {
            let of_name = known.entries.iter().filter(|entry| entry.name == handler.request_type());
            let mut messages = of_name.filter_map(|entry| entry.message.as_ref());
            let is_unfinished = |id| {
                let message = self.pulpo.queue().peek(id).ok().flatten();
                message.is_some_and(|message| message.state.is_unfinished())
            };
            schedule.overlap() == Overlap::Allow || !messages.any(is_unfinished)
        });
        let next = waits.filter_map(|(_, schedule)| schedule.next_after(known.now)).min()?;
        (next - known.now).to_std().ok()
    }

    /// Returns the time until a message may start: its delay or the pause of its queue ends, or a limit lets it start.
    fn next_start(&self, runtime: &Runtime) -> Result<Option<Duration>, StepError> {
        let worker = worker_with(&self.pulpo, lock(&self.states).clone(), runtime)?;
        let next = worker.next_start()?;
        // A clock that does not move must not cause an endless loop.
        let wait = |next: DateTime<Utc>| (next - self.clock.now()).to_std().ok().filter(|wait| !wait.is_zero());
        Ok(next.map(|next| wait(next).unwrap_or(Duration::from_millis(1))))
    }

    fn run_due(&self, runtime: &Runtime) -> Result<Vec<Run>, StepError> {
        let mut runs = Vec::new();
        self.publish_scheduled()?;
        while let Some(run) = self.step(runtime)? {
            runs.extend(run.apart());
            assert!(runs.len() < TOO_MANY, "expected an end, got {TOO_MANY} runs of jobs that publish each other");
        }
        Ok(runs)
    }

    /// Does one step of a worker that starts with it.
    fn step(&self, runtime: &Runtime) -> Result<Option<Run>, StepError> {
        let _in_test = scoped::enter(&self.pulpo);
        let before = self.recorder.read(|record| record.runs.len());
        let states = lock(&self.states).clone();
        let worker = worker_with(&self.pulpo, states.clone(), runtime)?;
        if let Some(faults) = &self.faults {
            let (pulpo, runtime) = (self.pulpo.clone(), Runtime::clone(runtime));
            faults.begin_step(move || {
                let _in_test = scoped::enter(&pulpo);
                // An error concerns the next step of this worker too, which reports it.
                let worker = worker_with(&pulpo, states.clone(), &runtime);
                drop(worker.map(|worker| worker.step(|_| {}, drop)));
            });
        }
        let mut first = before;
        let begin_run = |cancellation: &Arc<Cancellation>| {
            if let Some(faults) = &self.faults {
                faults.begin_run(cancellation);
            }
        };
        let stepped = worker.step(begin_run, |progress| first = self.recorder.note_progress(first, progress));
        if let Some(faults) = &self.faults {
            faults.end_step();
        }
        stepped?;
        Ok(Run::together(self.recorder.read(|record| record.runs[before..].to_vec())))
    }

    /// Runs everything that is due after a publication. If another thread is doing so already, that thread continues
    /// until nothing is due.
    pub(super) fn run_inline(&self) {
        self.published.store(true, Ordering::SeqCst);
        while self.inline.load(Ordering::SeqCst) && self.published.load(Ordering::SeqCst) {
            let _running = match self.running.try_lock() {
                Ok(running) => running,
                Err(TryLockError::Poisoned(running)) => running.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            self.published.store(false, Ordering::SeqCst);
            let runtime = around();
            sound(blocking::run(|| self.run_due(&runtime)));
        }
    }
}
