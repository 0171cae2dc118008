//! How a worker works: what a configuration says of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::check::Problem;
use crate::outbox::OutboxUrl;
use crate::policy::{HandlerOptions, Rate};
use crate::registry::Registry;

/// How a worker works.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerOptions {
    /// Number of lanes: jobs at the same time. Default: one for each core, at
    /// least 4.
    pub concurrency: usize,
    /// How long one wait for a message lasts. It ends at once when a message
    /// comes. Default: 5 seconds.
    pub sleep_duration: Duration,
    /// After so many waits in a row that brought nothing to any lane the
    /// worker ends; 0, the default: never.
    pub shutdown_after_number_of_empty_iterations: u64,
    /// How long a stop waits for the jobs that are running. Default: 25
    /// seconds.
    pub shutdown_grace: Duration,
    /// How many runs may be abandoned: those that have exceeded their timeout,
    /// and whose handlers have not returned, while other lanes take their place.
    /// One beyond that keeps its lane until it returns. Default, `None`: as many
    /// as there are lanes.
    pub max_abandoned_runs: Option<usize>,
    /// How long a message stays in the queue that no handler here serves, or
    /// whose body another version of the program wrote and no handler here
    /// reads, for a worker that does. Default: 10 minutes.
    pub unknown_type_grace: Duration,
    /// The queues to work; empty, the default: those of the handlers.
    pub queues: Vec<String>,
    /// What is said of single queues, by name.
    pub queue_options: BTreeMap<String, QueueOptions>,
    /// What is changed for single handlers, by request type.
    pub handlers: BTreeMap<String, HandlerOptions>,
    /// Where a worker tells its metrics and its health over HTTP, with the
    /// feature `http`; `None`, the default: nowhere.
    pub listen: Option<SocketAddr>,
    /// The databases whose [outboxes](crate::outbox) the worker moves to its
    /// queue. Default: none.
    pub outbox: Vec<OutboxUrl>,
    /// How often it looks into each for what other processes have committed.
    /// Default: 100 ms.
    pub outbox_poll: Duration,
    /// The dashboard that stands beside them, and that the command `dashboard`
    /// serves.
    pub dashboard: DashboardOptions,
    /// The queue of jobs that name none. Default: `pulpo`.
    pub default_queue: String,
    /// Whether SIGINT, SIGTERM and SIGHUP stop the worker; a second one that
    /// comes a second after the first, or later, stops it at once. When the
    /// worker has returned, they do what they did before. Default: true.
    pub handle_signals: bool,
    /// Whether the log says why a run failed: the text of its error or of its
    /// panic, which may quote what the job is about. The queue keeps it anyway.
    /// Default: true.
    pub log_reasons: bool,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            concurrency: std::thread::available_parallelism().map_or(4, |cores| cores.get().max(4)),
            sleep_duration: Duration::from_secs(5),
            shutdown_after_number_of_empty_iterations: 0,
            shutdown_grace: Duration::from_secs(25),
            max_abandoned_runs: None,
            unknown_type_grace: Duration::from_secs(600),
            queues: Vec::new(),
            queue_options: BTreeMap::new(),
            handlers: BTreeMap::new(),
            listen: None,
            outbox: Vec::new(),
            outbox_poll: Duration::from_millis(100),
            dashboard: DashboardOptions::default(),
            default_queue: crate::queue::DEFAULT_QUEUE.to_owned(),
            handle_signals: true,
            log_reasons: true,
        }
    }
}

impl WorkerOptions {
    /// What they say of handlers and queues that this worker does not have, or
    /// that cannot be done.
    pub(crate) fn problems(&self, registry: &Registry) -> Vec<Problem> {
        super::limits::problems(registry, self)
    }
}

/// Who reaches the dashboard, and what it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DashboardOptions {
    /// Names and addresses, without a port, under which it is reached, beside
    /// the listen address and `localhost`. A request to another host is
    /// refused. Default: none.
    pub hosts: Vec<String>,
    /// Whether it shows the bodies of messages. Default: true.
    pub bodies: bool,
    /// What it asks for before it shows anything. Without one it is served on
    /// loopback addresses only. Default: none.
    pub token: Option<Secret>,
    /// Whether it can retry and delete jobs, and pause queues: only
    /// `--allow-changes` says so. Default: false.
    pub allow_changes: bool,
}

impl Default for DashboardOptions {
    fn default() -> Self {
        Self { hosts: Vec::new(), bodies: true, token: None, allow_changes: false }
    }
}

/// A text that no log and no error shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// What a configuration says of one queue: the table `[queues.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueOptions {
    /// How many of its jobs a worker runs at the same time, however many lanes
    /// it has; a batch is one.
    pub concurrency: Option<usize>,
    /// How often its jobs may start, over all workers.
    pub rate: Option<Rate>,
    /// How many of its jobs may run at the same time, over all workers.
    pub limit: Option<u32>,
    /// `Some(false)`: this worker leaves it alone.
    pub enabled: Option<bool>,
    /// Where the first of it is written, for errors: `pulpo.toml:7`.
    pub origin: String,
}
