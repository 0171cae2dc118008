//! The worker: lanes that take messages and run handlers, and the monitor that
//! supervises them.
//!
//! Each lane is an OS thread with its own consumer; `lane.rs` shows the way of
//! one job through it. While a handler runs, the lane's consumer rests in its
//! `InFlightSlot`. There the monitor, the thread that called [`Worker::run`],
//! renews the lease, settles the message when the handler exceeds its timeout,
//! and puts it back when the worker must stop.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use self::limits::Limits;
use self::monitor::Monitor;
pub use self::options::{DashboardOptions, QueueOptions, Secret, WorkerOptions};
use self::others::OtherWorkers;
use self::pause::OutageBackoff;
#[cfg(feature = "cli")]
pub(crate) use self::queue_limits::unsupported;
use self::resolved::ResolvedHandlers;
#[cfg(feature = "testing")]
pub(crate) use self::services::scheduler::Scheduler;
pub(crate) use self::services::scheduler::scheduled;
pub(crate) use self::services::scheduler::store::{OpenSchedules, SeparateStore};
use self::slot::InFlightJob;
#[cfg(feature = "testing")]
pub(crate) use self::step::StepError;
use self::stop::Stop;
pub use self::stop::Stopper;
use crate::check::{self, Listed, Problem};
use crate::clock::{Clock, SystemClock};
use crate::context::Surroundings;
use crate::disposition::Disposition;
use crate::guard;
pub use crate::policy::HandlerOptions;
use crate::process::fork::Birthplace;
use crate::producer::Producer;
use crate::queue::backend::Purpose;
use crate::queue::{DequeueFilter, Lease, Limit, QueueAdapter, QueueError, Route};
use crate::registry::{Handler, Registry};
use crate::report::{chain, rough};
use crate::state::States;
use crate::telemetry;

mod batch;
mod call;
mod crew;
mod lane;
mod limits;
mod meters;
mod monitor;
mod options;
mod others;
mod pause;
mod queue_limits;
mod resolved;
mod services;
mod slot;
#[cfg(feature = "testing")]
mod step;
mod stop;

/// Takes messages from a queue and runs their handlers.
pub struct Worker {
    queue: Arc<dyn QueueAdapter>,
    /// Where schedules are kept, if not in the queue.
    schedule_store: Option<OpenSchedules>,
    queues: Vec<String>,
    registry: Arc<Registry>,
    options: WorkerOptions,
    clock: Arc<dyn Clock>,
    stop: Arc<Stop>,
    states: States,
    /// The name and version of the program, if they are known.
    program: Option<(String, String)>,
    #[cfg(feature = "tokio")]
    runtime: Option<tokio::runtime::Handle>,
    #[cfg(feature = "http")]
    pages: Option<axum::Router>,
}

/// What all threads of a worker see.
struct Shared {
    queue: Arc<dyn QueueAdapter>,
    schedule_store: Option<SeparateStore>,
    queues: Vec<String>,
    registry: Arc<Registry>,
    resolved: ResolvedHandlers,
    limits: Arc<Limits>,
    /// Those that the queue keeps, over all workers.
    queue_limits: Arc<[Limit]>,
    options: WorkerOptions,
    clock: Arc<dyn Clock>,
    /// The name and perhaps the version of the program.
    program: (String, Option<String>),
    stop: Arc<Stop>,
    others: OtherWorkers,
    counts: Counts,
    /// How many lanes cannot reach the queue: the log is told of an outage
    /// when the first cannot, and of its end when all can again.
    in_trouble: AtomicUsize,
    /// What the handlers may ask for.
    surroundings: Arc<Surroundings>,
    /// Where it runs.
    birthplace: Birthplace,
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

    /// Provides a state to the handlers, which take it as
    /// [`State<T>`](crate::State). There is one per type; a second one keeps
    /// the worker from starting, so wrap it in its own type.
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

    /// Runs async handlers on this runtime, which must be multi-threaded:
    /// otherwise its timers and sockets do not run. Default: the runtime that
    /// [`run`](Self::run) is called in, if it is of that kind, or else one that
    /// the process creates.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn runtime(mut self, runtime: tokio::runtime::Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Keeps schedules there, and not in the queue.
    pub(crate) fn schedule_store(mut self, store: Option<OpenSchedules>) -> Self {
        self.schedule_store = store;
        self
    }

    /// Of this program, as others see it.
    #[cfg(feature = "cli")]
    pub(crate) fn program(mut self, name: &str, version: &str) -> Self {
        self.program = Some((name.to_owned(), version.to_owned()));
        self
    }

    /// With what this program was set up with.
    #[cfg(feature = "cli")]
    pub(crate) fn app(mut self, app: crate::app::App) -> Self {
        self.states = app.states;
        #[cfg(feature = "tokio")]
        if app.runtime.is_some() {
            self.runtime = app.runtime;
        }
        self
    }

    /// Serves these pages at its listen address too, beside `/metrics`,
    /// `/healthz` and `/readyz`: for example a
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

    /// Works off everything that is due, including follow-ups, and returns; or
    /// returns when it is stopped. Messages that wait for their time stay in
    /// the queue. Use it in programs that do their jobs and exit.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn drain(self) -> Result<Summary, WorkError> {
        // Each lane has to find nothing once, and one that has a job has not
        // looked since. Not without a wait, or idle lanes would turn in a circle.
        let sleep_duration = Duration::from_millis(10);
        let options =
            WorkerOptions { sleep_duration, shutdown_after_number_of_empty_iterations: 1, ..self.options.clone() };
        Self { options, ..self }.run()
    }

    /// Works until it is stopped, or idle for as long as the options allow.
    ///
    /// A handler that does not end within the grace period of a stop is left
    /// behind: its message goes back to the queue, and its thread ends with the
    /// process.
    ///
    /// # Errors
    /// If a handler's state is missing, or the queue cannot be reached at the
    /// start; later it waits until the queue is back. If no thread is available
    /// for a lane for the whole grace period.
    pub fn run(&self) -> Result<Summary, WorkError> {
        // Before the handles of the metrics are fetched.
        #[cfg(feature = "http")]
        self.options.listen.is_some().then(telemetry::prometheus::install);
        let shared = &self.share(check::all(&self.registry, &self.states))?;
        for problem in check::unhandled(&self.registry).into_iter().chain(check::build()) {
            tracing::warn!(file = problem.file, line = problem.line, "{problem}");
        }
        let monitor = Monitor::new(shared.clone());
        shared.queue.declare(routes(&shared.registry, &shared.options));
        // Before anybody can know that it is there, and tell it to stop.
        let signals = shared.options.handle_signals.then(|| stop::watch_signals(&self.stopper())).transpose()?;
        let services = services::start(
            shared,
            &monitor,
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
        let ended = monitor.watch(consumers);
        drop(services);
        drop(signals);
        ended?;
        let summary = shared.counts.summary();
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

impl Worker {
    /// What the threads of one run see, if nothing else is wrong with it than
    /// these problems.
    fn share(&self, mut problems: Vec<Problem>) -> Result<Arc<Shared>, WorkError> {
        let Self { queue, schedule_store, queues, registry, options, clock, stop, states, .. } = self;
        telemetry::describe();
        problems.extend(options.problems(registry));
        problems.extend(queue_limits::unsupported(registry, options, queue.capabilities()));
        if schedule_store.is_none() && queue.schedules().is_none() {
            problems.extend(check::schedules(scheduled(registry, options)));
        }
        let has_schedules = scheduled(registry, options).next().is_some();
        let schedule_store = schedule_store.as_ref().filter(|_| has_schedules && problems.is_empty());
        let schedule_store = schedule_store.map(|store| store.open(Purpose::Program)).transpose()?;
        let limits = Limits::new(registry, options, queue.clone()).map_err(|refused| problems.extend(refused));
        let (Ok(limits), true) = (limits, problems.is_empty()) else { return Err(WorkError::Problems(problems)) };
        let surroundings = Arc::new(Surroundings {
            queue: queue.clone(),
            states: states.clone(),
            producer: Producer::new(queue.clone(), &options.default_queue, &options.handlers, clock.clone()),
            clock: clock.clone(),
            #[cfg(feature = "tokio")]
            runtime: self.runtime.clone().or_else(crate::runtime::around),
        });
        Ok(Arc::new(Shared {
            queue: queue.clone(),
            schedule_store,
            queues: queues.clone(),
            registry: registry.clone(),
            resolved: ResolvedHandlers::new(registry, options),
            limits,
            queue_limits: queue_limits::all(registry, options),
            options: options.clone(),
            clock: clock.clone(),
            program: self.program.clone().map_or_else(unnamed_program, |(name, version)| (name, Some(version))),
            stop: stop.clone(),
            in_trouble: AtomicUsize::new(0),
            others: OtherWorkers::default(),
            counts: Counts::default(),
            surroundings,
            birthplace: Birthplace::here(),
        }))
    }
}

impl Shared {
    /// All that waits, within the limits that the queue keeps.
    fn filter(&self) -> DequeueFilter {
        self.others.filter(DequeueFilter::all().limits(self.queue_limits.clone()), &*self.clock)
    }

    /// Ends the process if it is a fork that a handler made and returned in.
    /// The run is the parent's, and its lane is not the child's to go on with:
    /// it has none of the other threads, and may find any lock taken. So
    /// nothing is cleaned up or logged either.
    fn end_fork(&self) {
        if !self.birthplace.is_here() {
            std::process::exit(1);
        }
    }

    /// A lane could not take messages.
    fn in_trouble(&self, trouble: &OutageBackoff, error: &QueueError) {
        if !trouble.in_trouble() && self.in_trouble.fetch_add(1, Ordering::SeqCst) == 0 {
            tracing::error!(error = chain(error), "cannot take messages, retrying");
        }
    }

    /// A lane can again.
    fn out_of_trouble(&self, trouble: &mut OutageBackoff) {
        if trouble.in_trouble() && self.in_trouble.fetch_sub(1, Ordering::SeqCst) == 1 {
            tracing::info!("the queue is back");
        }
        trouble.over();
    }

    /// Of jobs that were counted as done it turned out that their leases had
    /// ended before, or that a person had cancelled them.
    fn record_lost(&self, leases: Vec<Lease>) {
        for lease in leases {
            tracing::warn!(
                id = lease.id.as_str(),
                "the outcome of a run does not count: its lease was lost, or its message cancelled, before it was settled"
            );
            self.counts.done.fetch_sub(1, Ordering::Relaxed);
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A reason for the log, escaped; `None` if none is to be there.
    fn shown<'a>(&self, reason: &'a String) -> Option<tracing::field::DebugValue<&'a String>> {
        self.options.log_reasons.then(|| tracing::field::debug(reason))
    }

    /// Counts and logs what became of a message, with all that it takes to
    /// find it again. Texts that came from outside are logged escaped, so that
    /// none can forge a line.
    fn record(
        &self,
        running: &InFlightJob,
        disposition: &Disposition,
        result: &Result<(), QueueError>,
        time: Duration,
    ) {
        // Whoever collects logs and metrics belongs to the program: a fault
        // there ends no lane.
        let _ = guard::catch(|| self.record_settled(running, disposition, result, time));
    }

    fn record_settled(
        &self,
        running: &InFlightJob,
        disposition: &Disposition,
        result: &Result<(), QueueError>,
        time: Duration,
    ) {
        let InFlightJob { lease, request_type, queue, facts, meters, span, .. } = running;
        let (id, request_type, attempt) = (lease.id.as_str(), &**request_type, facts.failed.saturating_add(1));
        // Written only where a log takes it: most jobs are done at a level that none shows.
        let took = || tracing::field::display(rough(time));
        let (count, outcome) = match (result, disposition) {
            (Err(QueueError::Cancelled { .. }), _) => {
                let what_to_do = "cancelled, and buried: run it after all with `kick`";
                tracing::warn!(id, request_type, attempt, queue, took = took(), "{what_to_do}");
                (&self.counts.buried, "cancelled")
            }
            (Err(error), _) => {
                let error = chain(error);
                tracing::warn!(
                    id,
                    request_type,
                    attempt,
                    queue,
                    took = took(),
                    error,
                    "the outcome of a run does not count"
                );
                (&self.counts.lost, "lost")
            }
            (Ok(()), Disposition::Commit) => {
                tracing::info!(id, request_type, attempt, queue, took = took(), "done");
                (&self.counts.done, "done")
            }
            (Ok(()), Disposition::Expire) => {
                let expiration = facts.expiration.map(tracing::field::debug);
                let why = "deleted unprocessed: its expiration has passed";
                tracing::warn!(id, request_type, queue, expiration, "{why}");
                (&self.counts.expired, "expired")
            }
            (Ok(()), Disposition::Rollback { delay, reason, counted }) => {
                let again_in = tracing::field::display(rough(*delay));
                let reason = self.shown(reason);
                tracing::warn!(id, request_type, attempt, queue, took = took(), reason, again_in, "put back");
                let retried = *counted || !delay.is_zero();
                if retried { (&self.counts.retried, "retried") } else { (&self.counts.released, "released") }
            }
            (Ok(()), Disposition::LeaveToOthers { delay, reason }) => {
                let again_in = tracing::field::display(rough(*delay));
                let reason = self.shown(running.logged_reason.as_ref().unwrap_or(reason));
                tracing::warn!(id, request_type, attempt, queue, took = took(), reason, again_in, "put back");
                (&self.counts.retried, "retried")
            }
            (Ok(()), Disposition::Bury { reason, .. }) => {
                let reason = self.shown(running.logged_reason.as_ref().unwrap_or(reason));
                let what_to_do = "buried: look at it with `peek`, retry it with `kick`";
                tracing::error!(id, request_type, attempt, queue, took = took(), reason, "{what_to_do}");
                (&self.counts.buried, "buried")
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
        match result {
            Ok(()) => meters.settled(Some(disposition)),
            Err(QueueError::Cancelled { .. }) => meters.cancelled(),
            Err(_) => meters.settled(None),
        }
        if running.begun {
            meters.ended(time);
        }
        span.record("duration", time.as_secs_f64()).record("outcome", outcome);
    }
}

/// What a program is called that has not said so.
fn unnamed_program() -> (String, Option<String>) {
    let file = std::env::current_exe().ok();
    let name = file.as_deref().and_then(std::path::Path::file_stem);
    (name.map_or_else(|| "unknown".to_owned(), |name| name.to_string_lossy().into_owned()), None)
}

/// The queues of the options, else those of the handlers; the default queue
/// among them if any handler names none.
fn queues(registry: &Registry, options: &WorkerOptions) -> Vec<String> {
    let chosen = if options.queues.is_empty() {
        queues_of_handlers(registry, options).into_iter().collect()
    } else {
        options.queues.clone()
    };
    let enabled = |queue: &String| options.queue_options.get(queue).and_then(|said| said.enabled) != Some(false);
    chosen.into_iter().filter(enabled).collect()
}

/// The queues of this worker, each alone and with the request types of its
/// handlers.
#[cfg(feature = "http")]
fn expected(registry: &Registry, options: &WorkerOptions, queues: &[String]) -> Vec<telemetry::Kind> {
    let typed = registry.iter().map(|handler| {
        let queue = handler.policy().queue.unwrap_or(&options.default_queue);
        (queue.to_owned(), handler.request_type().to_owned())
    });
    let own = typed.filter(|(queue, _)| queues.contains(queue));
    own.chain(queues.iter().map(|queue| (queue.clone(), String::new()))).collect()
}

/// All queues that the options may speak of.
fn known_queues(registry: &Registry, options: &WorkerOptions) -> BTreeSet<String> {
    queues_of_handlers(registry, options).into_iter().chain(options.queues.iter().cloned()).collect()
}

fn queues_of_handlers(registry: &Registry, options: &WorkerOptions) -> BTreeSet<String> {
    let of_handlers = registry.iter().map(|handler| handler.policy().queue.unwrap_or(&options.default_queue));
    // Messages of other producers, of whatever type, come in by the default.
    of_handlers.chain([options.default_queue.as_str()]).map(str::to_owned).collect()
}

/// How many messages a worker has settled, by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// Jobs done.
    pub done: u64,
    /// Runs that failed or could not begin, and will be retried.
    pub retried: u64,
    /// Messages buried, those that a person cancelled among them.
    pub buried: u64,
    /// Messages deleted without a run because they had expired.
    pub expired: u64,
    /// Runs that lost their lease, so that their result did not count.
    pub lost_leases: u64,
    /// Messages put back without counting an attempt when the worker stopped.
    pub released: u64,
}

#[derive(Debug, Default)]
struct Counts {
    done: AtomicU64,
    retried: AtomicU64,
    buried: AtomicU64,
    expired: AtomicU64,
    lost: AtomicU64,
    released: AtomicU64,
}

impl Counts {
    fn summary(&self) -> Summary {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Summary {
            done: read(&self.done),
            retried: read(&self.retried),
            buried: read(&self.buried),
            expired: read(&self.expired),
            lost_leases: read(&self.lost),
            released: read(&self.released),
        }
    }
}

/// Why a worker did not start, or ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkError {
    /// The handlers of this program cannot be used.
    #[error(transparent)]
    Registry(#[from] crate::registry::RegistryError),
    /// The handlers cannot do their jobs, for example because a state is
    /// missing.
    #[error("{}", Listed(.0))]
    Problems(Vec<Problem>),
    /// The queue cannot be reached.
    #[error("the worker cannot start")]
    Queue(#[from] QueueError),
    /// Cannot bind the listen address.
    #[error("the worker cannot listen at {address}")]
    #[non_exhaustive]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No thread was available for a lane for the whole grace period.
    #[error("no thread was available for a lane for {}: the worker has stopped", crate::report::rough(*.waited))]
    #[non_exhaustive]
    NoThread {
        /// How long the worker tried.
        waited: Duration,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The system provides no thread or no signal handler.
    #[error("the worker cannot start")]
    System(#[from] std::io::Error),
}

/// Where the jobs of these handlers go, under their aliases too.
fn routes(registry: &Registry, options: &WorkerOptions) -> Vec<Route> {
    let of_handler = |handler: &'static Handler| {
        let policy = handler.policy();
        let names = std::iter::once(handler.request_type()).chain(handler.aliases().iter().copied());
        names.map(move |request_type| Route {
            request_type: request_type.to_owned(),
            queue: policy.queue.unwrap_or(&options.default_queue).to_owned(),
            priority: policy.priority,
            ttr: policy.ttr,
        })
    };
    registry.iter().flat_map(of_handler).collect()
}
