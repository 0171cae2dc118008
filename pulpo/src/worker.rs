//! The worker: lanes that take messages and run handlers, and the monitor that supervises them.
//!
//! Each lane is an OS thread with its own consumer; `lane.rs` shows the path of one job through it. While a handler
//! runs, the lane's consumer rests in its `InFlightSlot`. There the monitor, the thread that called [`Worker::run`],
//! renews the lease, settles the message when the handler exceeds its timeout, and puts it back when the worker must
//! stop.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use self::crew::Crew;
pub use self::error::WorkError;
use self::limits::Limits;
use self::monitor::Monitor;
pub use self::options::{DashboardOptions, QueueOptions, Secret, WorkerOptions};
use self::others::OtherWorkers;
use self::queues::{queues, routes};
use self::resolved::ResolvedHandlers;
#[cfg(feature = "testing")]
pub(crate) use self::services::scheduler::Scheduler;
pub(crate) use self::services::scheduler::scheduled;
pub(crate) use self::services::scheduler::store::{OpenSchedules, SeparateStore};
use self::shared::Shared;
#[cfg(feature = "testing")]
pub(crate) use self::step::StepError;
use self::stop::Stop;
pub use self::stop::Stopper;
use self::summary::Counts;
pub use self::summary::Summary;
#[cfg(feature = "cli")]
pub(crate) use self::validation::{problems, unsupported};
use self::waker::MonitorWaker;
use crate::check::{self, Problem};
use crate::clock::{Clock, SystemClock};
use crate::context::WorkerEnv;
pub use crate::policy::HandlerOptions;
use crate::process::fork::Birthplace;
use crate::producer::Producer;
use crate::queue::QueueAdapter;
use crate::queue::backend::Purpose;
use crate::registry::Registry;
use crate::state::States;
use crate::telemetry;

mod batch;
mod call;
mod crew;
mod error;
#[cfg(feature = "http")]
mod health;
mod in_flight;
mod job_metrics;
mod lane;
mod limits;
mod monitor;
mod options;
mod others;
mod outage;
mod queue_limits;
mod queues;
mod record;
mod recruiter;
mod resolved;
mod services;
mod settling;
mod shared;
mod slot;
#[cfg(feature = "testing")]
mod step;
mod stop;
mod summary;
mod validation;
mod waker;

/// Takes messages from a queue and runs their handlers.
pub struct Worker {
    queue: Arc<dyn QueueAdapter>,
    /// The store for schedules, if it is not the queue.
    schedule_store: Option<OpenSchedules>,
    queues: Vec<String>,
    registry: Arc<Registry>,
    options: WorkerOptions,
    clock: Arc<dyn Clock>,
    stop: Arc<Stop>,
    states: States,
    /// The name and version of the program, if known.
    program: Option<(String, String)>,
    #[cfg(feature = "tokio")]
    runtime: Option<tokio::runtime::Handle>,
    #[cfg(feature = "http")]
    pages: Option<axum::Router>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { queue, queues, options, states, .. } = self;
        f.debug_struct("Worker")
            .field("queue", queue)
            .field("queues", queues)
            .field("options", options)
            .field("states", states)
            .finish_non_exhaustive()
    }
}

impl Worker {
    /// Creates a worker for these handlers on this queue.
    #[must_use]
    pub fn new(queue: Arc<dyn QueueAdapter>, registry: Registry, options: WorkerOptions) -> Self {
        Self::with_clock(queue, registry, options, Arc::new(SystemClock::new()))
    }

    /// Creates a worker with this clock, which should be the queue's.
    #[must_use]
    pub fn with_clock(
        queue: Arc<dyn QueueAdapter>,
        registry: Registry,
        options: WorkerOptions,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let queues = queues(&registry, &options);
        let stop = Stop::new(queue.clone(), clock.clone());
        Self {
            queue,
            schedule_store: None,
            queues,
            registry: Arc::new(registry),
            options,
            clock,
            stop,
            states: States::default(),
            program: None,
            #[cfg(feature = "tokio")]
            runtime: None,
            #[cfg(feature = "http")]
            pages: None,
        }
    }

    /// Provides a state to the handlers, which take it as [`State<T>`](crate::State). There is one per type; a second
    /// one keeps the worker from starting, so wrap it in its own type.
    ///
    /// ```
    /// # struct Mailer;
    /// # let pulpo = pulpo::Pulpo::new(pulpo::Config::default().queue("memory:")?)?;
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Ping;
    /// # #[pulpo::handler("ping")]
    /// # fn ping(_: Ping, _: pulpo::State<Mailer>) {}
    /// let worker = pulpo.worker()?.state(Mailer);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn state<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        self.states.insert(state);
        self
    }

    /// Runs async handlers on this runtime, which must be multi-threaded: otherwise its timers and sockets do not run.
    /// Default: the runtime that [`run`](Self::run) is called in, if it is of that kind, or else one that the process
    /// creates.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn runtime(mut self, runtime: tokio::runtime::Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Keeps schedules in this store instead of the queue.
    pub(crate) fn schedule_store(mut self, store: Option<OpenSchedules>) -> Self {
        self.schedule_store = store;
        self
    }

    /// Sets the name and version of the program that others see.
    #[cfg(feature = "cli")]
    pub(crate) fn program(mut self, name: &str, version: &str) -> Self {
        self.program = Some((name.to_owned(), version.to_owned()));
        self
    }

    /// Applies the program's setup.
    #[cfg(feature = "cli")]
    pub(crate) fn app(mut self, app: crate::setup::App) -> Self {
        self.states = app.states;
        #[cfg(feature = "tokio")]
        if app.runtime.is_some() {
            self.runtime = app.runtime;
        }
        self
    }

    /// Serves these pages at its listen address too, beside `/metrics`, `/healthz` and `/readyz`: for example a
    /// [dashboard](crate::dashboard::Dashboard).
    #[cfg(feature = "http")]
    #[cfg_attr(docsrs, doc(cfg(feature = "http")))]
    #[must_use]
    pub fn pages(mut self, pages: axum::Router) -> Self {
        self.pages = Some(pages);
        self
    }

    /// Returns the queues that it serves.
    #[must_use]
    pub fn queues(&self) -> &[String] {
        &self.queues
    }

    /// Returns a handle that stops the worker from another thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper::new(self.stop.clone())
    }

    /// Runs all jobs that are due, including follow-ups, and returns; or returns when it is stopped. Messages that wait
    /// for their time stay in the queue. Use it in programs that do their jobs and exit.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn drain(self) -> Result<Summary, WorkError> {
        // Each lane must find the queue empty once, and a lane with a job has not checked since. The wait keeps idle
        // lanes from a busy loop.
        let sleep_duration = Duration::from_millis(10);
        let options =
            WorkerOptions { sleep_duration, shutdown_after_number_of_empty_iterations: 1, ..self.options.clone() };
        Self { options, ..self }.run()
    }

    /// Works until it is stopped, or idle for as long as the options allow.
    ///
    /// A handler that does not end within the grace period of a stop is left behind: its message goes back to the
    /// queue, and its thread ends with the process.
    ///
    /// # Errors
    /// If a handler's state is missing, or the queue cannot be reached at the start, or does not allow what a worker
    /// does; later it waits until the queue is back. If no thread is available for a lane for the whole grace period.
    pub fn run(&self) -> Result<Summary, WorkError> {
        // Before the handles of the metrics are fetched.
        #[cfg(feature = "http")]
        self.options.listen.is_some().then(telemetry::prometheus::install);
        let shared = &self.share(check::all(&self.registry, &self.states))?;
        for problem in check::unhandled(&self.registry).into_iter().chain(check::build()) {
            tracing::warn!(file = problem.file, line = problem.line, "{problem}");
        }
        shared.queue.check_rights()?;
        shared.queue.declare(routes(&shared.registry, &shared.options));
        // Before any other thread can know of the worker and stop it.
        let signals = shared.options.handle_signals.then(|| stop::watch_signals(&self.stopper())).transpose()?;
        let services = services::start(
            shared,
            #[cfg(feature = "http")]
            self.pages.clone(),
        )?;
        let consumers = (0..shared.options.concurrency.max(1))
            .map(|_| shared.queue.consumer(&shared.queues))
            .collect::<Result<Vec<_>, _>>()?;
        tracing::info!(
            lanes = consumers.len(),
            queues = shared.queues.join(","),
            handlers = shared.registry.iter().count(),
            "the worker starts"
        );
        let ended = Monitor::new(shared.clone()).watch(consumers);
        drop(services);
        drop(signals);
        until_all_have_let_go(shared);
        ended?;
        let summary = shared.counts.summary();
        if summary.done + summary.expired > 0 {
            services::erase_deleted(&*shared.queue);
        }
        tracing::info!(
            done = summary.done,
            retried = summary.retried,
            buried = summary.buried,
            expired = summary.expired,
            "the worker has stopped"
        );
        Ok(summary)
    }
}

/// How long the end of a worker waits for its threads to let go of the queue.
const LET_GO_PATIENCE: Duration = Duration::from_millis(250);

/// Waits for the lanes to drop what they share, a moment after they have ended.
/// The last holder closes the queue. If that were the thread of a lane, the
/// process might end before the queue is closed. A lane that was abandoned may
/// never let go, so this wait is short.
fn until_all_have_let_go(shared: &Arc<Shared>) {
    let real = SystemClock::new();
    while Arc::strong_count(shared) > 1 && real.uptime() < LET_GO_PATIENCE {
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

impl Worker {
    /// Creates the state that the threads of one run share. Fails if there are problems: these, or others.
    fn share(&self, mut problems: Vec<Problem>) -> Result<Arc<Shared>, WorkError> {
        let Self { queue, schedule_store, queues, registry, options, clock, stop, states, .. } = self;
        telemetry::describe();
        problems.extend(validation::problems(registry, options));
        problems.extend(validation::unsupported(registry, options, queue.capabilities()));
        if schedule_store.is_none() && queue.schedules().is_none() {
            problems.extend(check::schedules(scheduled(registry, options)));
        }
        problems.extend(validation::unkept(registry, options, queue.capabilities()));
        if !problems.is_empty() {
            return Err(WorkError::Problems(problems));
        }
        let has_schedules = scheduled(registry, options).next().is_some();
        let schedule_store = schedule_store.as_ref().filter(|_| has_schedules);
        let schedule_store = schedule_store.map(|store| store.open(Purpose::Program)).transpose()?;
        let lanes = options.concurrency.max(1);
        let env = Arc::new(WorkerEnv {
            queue: queue.clone(),
            states: states.clone(),
            producer: Producer::new(queue.clone(), &options.default_queue, &options.handlers, clock.clone()),
            clock: clock.clone(),
            #[cfg(feature = "tokio")]
            runtime: self.runtime.clone().or_else(crate::runtime::around),
        });
        let resolved = ResolvedHandlers::new(registry, options);
        let one_attempt = resolved.with_one_attempt();
        Ok(Arc::new(Shared {
            queue: queue.clone(),
            schedule_store,
            queues: queues.clone(),
            registry: registry.clone(),
            resolved,
            limits: Limits::new(registry, options, queue.clone()),
            queue_limits: queue_limits::all(registry, options),
            one_attempt,
            options: options.clone(),
            clock: clock.clone(),
            program: self.program.clone().map_or_else(unnamed_program, |(name, version)| (name, Some(version))),
            stop: stop.clone(),
            crew: Crew::new(lanes, options.max_abandoned_runs.unwrap_or(lanes)),
            monitor: MonitorWaker::new(stop.signal.clone()),
            lanes_in_outage: AtomicUsize::new(0),
            others: OtherWorkers::default(),
            counts: Counts::default(),
            env,
            birthplace: Birthplace::here(),
        }))
    }
}

/// Returns the default name of a program.
fn unnamed_program() -> (String, Option<String>) {
    let file = std::env::current_exe().ok();
    let name = file.as_deref().and_then(std::path::Path::file_stem);
    (name.map_or_else(|| "unknown".to_owned(), |name| name.to_string_lossy().into_owned()), None)
}
