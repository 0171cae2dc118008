//! A configured queue to publish to and to work.

use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ConfigError};
use crate::job::IntoMessage;
use crate::message::Message;
use crate::process::fork::in_fork;
use crate::producer::{Producer, PublishError};
#[cfg(any(feature = "cli", feature = "http"))]
use crate::queue::ScheduleStore;
use crate::queue::backend::Purpose;
use crate::queue::{QueueAdapter, QueueError, Retention, WorkerEntry};
use crate::registry::Registry;
use crate::telemetry::{self, QueueGauges};
#[cfg(feature = "testing")]
use crate::worker::Scheduler;
use crate::worker::{OpenSchedules, Summary, WorkError, Worker, WorkerOptions};

#[cfg(feature = "tokio")]
pub(crate) mod asynchronous;
pub(crate) mod default;
mod in_transaction;
#[cfg(any(feature = "cli", feature = "http"))]
pub(crate) mod scheduled;
#[cfg(feature = "testing")]
pub(crate) mod scoped;

/// A configured queue to publish to and to work, without process-wide state.
///
/// Cheap to clone: all clones share one queue.
///
/// ```
/// # mod jobs {
/// #[derive(serde::Serialize, serde::Deserialize)]
/// pub struct Greet { pub name: String }
///
/// #[pulpo::handler("greet")]
/// fn greet(greet: Greet) {
///     println!("hello {}", greet.name);
/// }
/// # }
/// # use jobs::Greet;
/// let pulpo = pulpo::Pulpo::new(pulpo::Config::default().queue("memory:")?)?;
/// let sent = pulpo.publish(Greet { name: "Ada".into() })?;
/// assert!(sent.id().is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pulpo(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: Arc<dyn QueueAdapter>,
    schedule_store: Option<OpenSchedules>,
    producer: Producer,
    options: WorkerOptions,
    clock: Arc<dyn Clock>,
    gauges: QueueGauges,
}

impl Pulpo {
    /// Opens the queue that the configuration names.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn new(config: Config) -> Result<Self, SetupError> {
        Self::with_clock(config, Arc::new(SystemClock::new()))
    }

    /// Opens the queue with this clock.
    ///
    /// # Errors
    /// If the queue cannot be opened.
    pub fn with_clock(config: Config, clock: Arc<dyn Clock>) -> Result<Self, SetupError> {
        let (queue, store) = (config.open(Purpose::Program, clock.clone())?, config.schedule_store(clock.clone()));
        Ok(Self::made_of(queue, store, config.worker, clock))
    }

    /// Opens the queue for a command.
    #[cfg(feature = "cli")]
    pub(crate) fn for_command(config: Config, purpose: Purpose) -> Result<Self, SetupError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let (queue, store) = (config.open(purpose, clock.clone())?, config.schedule_store(clock.clone()));
        Ok(Self::made_of(queue, store, config.worker, clock))
    }

    /// Uses this queue, such as an adapter of your own.
    #[must_use]
    pub fn with_queue(queue: Arc<dyn QueueAdapter>, options: WorkerOptions, clock: Arc<dyn Clock>) -> Self {
        Self::made_of(queue, None, options, clock)
    }

    fn made_of(
        queue: Arc<dyn QueueAdapter>,
        schedule_store: Option<OpenSchedules>,
        options: WorkerOptions,
        clock: Arc<dyn Clock>,
    ) -> Self {
        // A process that uses a queue before it forks counts as the parent of its forks.
        in_fork();
        let producer = Producer::new(queue.clone(), &options.default_queue, &options.handlers, clock.clone());
        let expected = [(options.default_queue.clone(), String::new())];
        if let Some(keeping) = queue.keeping().filter(|_| options.retention != Retention::default()) {
            keeping.set_retention(options.retention);
        }
        let gauges = QueueGauges::new(queue.clone(), clock.clone(), None, expected);
        Self(Arc::new(Inner { queue, schedule_store, producer, options, clock, gauges }))
    }

    /// Publishes a job: its body, or a [`Message`] with options. When it
    /// returns `Ok`, the message is in the queue and has its id.
    ///
    /// # Errors
    /// If it is not in the queue.
    pub fn publish<J>(&self, message: impl IntoMessage<J>) -> Result<Message<J>, PublishError> {
        self.0.producer.publish(message.into_draft())
    }

    /// Publishes several jobs of one type, as one batch: all or nothing, where
    /// the queue supports that.
    ///
    /// # Errors
    /// If they are not all in the queue.
    pub fn publish_all<J>(
        &self,
        messages: impl IntoIterator<Item = impl IntoMessage<J>>,
    ) -> Result<Vec<Message<J>>, PublishError> {
        self.0.producer.publish_all(messages.into_iter().map(IntoMessage::into_draft).collect())
    }

    /// Runs a worker until it is stopped by SIGINT, SIGTERM or SIGHUP, or ends
    /// as configured.
    ///
    /// # Errors
    /// If the worker cannot start.
    pub fn work(&self) -> Result<Summary, WorkError> {
        self.worker()?.run()
    }

    /// Creates a worker for all handlers of this program.
    ///
    /// # Errors
    /// If there are no handlers, or two for one request type.
    pub fn worker(&self) -> Result<Worker, WorkError> {
        Ok(self.worker_with(Registry::collect()?))
    }

    /// Calls `look` with the store that keeps the schedules.
    #[cfg(any(feature = "cli", feature = "http"))]
    pub(crate) fn with_schedules<R>(
        &self,
        look: impl FnOnce(&dyn ScheduleStore) -> Result<R, QueueError>,
    ) -> Result<R, QueueError> {
        let unsupported = QueueError::Unsupported(
            "keep schedules: name a folder for them, `schedule_store = \"file:./pulpo-schedules\"`",
        );
        match &self.0.schedule_store {
            Some(store) => {
                let store = store.open(Purpose::Administration)?;
                store.keeper.schedules().ok_or(unsupported).and_then(look)
            }
            None => self.0.queue.schedules().ok_or(unsupported).and_then(look),
        }
    }

    /// Creates the scheduler that publishes the jobs of schedules, without a worker.
    #[cfg(feature = "testing")]
    pub(crate) fn scheduler(&self, registry: &Registry) -> Option<Scheduler> {
        let Inner { queue, producer, options, clock, .. } = &*self.0;
        Scheduler::of_queue(queue.clone(), registry, options, producer.clone(), clock.clone())
    }

    /// Creates a worker for these handlers.
    #[must_use]
    pub fn worker_with(&self, registry: Registry) -> Worker {
        let Inner { queue, schedule_store, options, clock, .. } = &*self.0;
        Worker::with_clock(queue.clone(), registry, options.clone(), clock.clone())
            .schedule_store(schedule_store.clone())
    }

    /// Counts the messages in all queues and sets the gauges
    /// `pulpo_queue_messages`, `pulpo_queue_oldest_ready_seconds`,
    /// `pulpo_queue_measured_timestamp_seconds`, `pulpo_queue_reachable` and
    /// `pulpo_queue_servers_unreachable` of the metrics recorder, and those of
    /// the spool. Call it now and then in a program with its own recorder. A
    /// worker that listens measures its queues whenever its metrics are
    /// requested. Of several servers, those that answer are counted.
    ///
    /// # Errors
    /// If the queue cannot be reached, and the first three gauges keep their
    /// values; or if the spool cannot be read.
    pub fn record_queue_gauges(&self) -> Result<(), QueueError> {
        let spooled = self.0.gauges.record_spool();
        let measured = self.0.gauges.record_queue();
        telemetry::reachable(measured.is_ok());
        measured.and(spooled)
    }

    /// Returns the live workers, in all processes and on all hosts, oldest
    /// first, with the jobs that each is running.
    ///
    /// # Errors
    /// [`QueueError::Unsupported`] on a queue that does not know its workers,
    /// such as beanstalkd; or if it cannot be reached.
    pub fn workers(&self) -> Result<Vec<WorkerEntry>, QueueError> {
        self.0.queue.workers().ok_or(QueueError::NO_WORKERS)?.read_workers()
    }

    /// Returns the queue itself, to list, peek, kick, cancel and delete.
    #[must_use]
    pub fn queue(&self) -> &Arc<dyn QueueAdapter> {
        &self.0.queue
    }

    #[cfg(any(feature = "cli", feature = "http", feature = "testing"))]
    pub(crate) fn options(&self) -> &WorkerOptions {
        &self.0.options
    }

    #[cfg(any(feature = "cli", feature = "http", feature = "tokio", feature = "testing"))]
    pub(crate) fn producer(&self) -> &Producer {
        &self.0.producer
    }
}

/// Errors of opening a queue to publish to or to work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The queue cannot be opened.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The process-wide default already exists.
    #[error(
        "pulpo is already initialized, by an earlier `initialize` or `publish`: call it once, before anything else"
    )]
    AlreadyInitialized,
    /// A test kit is used in this process, but not on this thread.
    #[cfg(feature = "testing")]
    #[error(
        "this process runs tests with `pulpo::testing`, and this thread belongs to none of them: give the code a \
         `&Pulpo`, or make the thread or the task part of the test, by `enter()` or `scope()` of its `TestPulpo`"
    )]
    OutsideOfTest,
}
