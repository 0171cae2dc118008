//! Options of a worker, as a configuration sets them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::outbox::OutboxUrl;
use crate::policy::{HandlerOptions, Rate};
use crate::queue::Retention;

/// Options of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerOptions {
    /// Number of lanes: jobs at the same time. Default: one per core, at least 4.
    pub concurrency: usize,
    /// How long a lane waits for a message in one call. The wait ends at once when one arrives. Default: 5 seconds.
    pub sleep_duration: Duration,
    /// Number of waits in a row without a message, in every lane, after which the worker ends. Default: 0, never.
    pub shutdown_after_number_of_empty_iterations: u64,
    /// How long a stop waits for the running jobs. Default: 25 seconds.
    pub shutdown_grace: Duration,
    /// Number of abandoned runs allowed: runs that have exceeded their timeout and not returned, while other lanes have
    /// replaced theirs. One beyond that keeps its lane until it returns. Default: `None`, as many as there are lanes.
    pub max_abandoned_runs: Option<usize>,
    /// How long a message waits for another worker if no handler here serves its type, or can read a body that another
    /// version of the program wrote. Default: 10 minutes.
    pub unknown_type_grace: Duration,
    /// The queues to serve. Default: empty, those of the handlers.
    pub queues: Vec<String>,
    /// Options of single queues, by name.
    pub queue_options: BTreeMap<String, QueueOptions>,
    /// Options of single handlers, by request type.
    pub handlers: BTreeMap<String, HandlerOptions>,
    /// The address at which a worker serves metrics and health over HTTP, with the feature `http`. Default: `None`.
    pub listen: Option<SocketAddr>,
    /// The databases whose [outboxes](crate::outbox) the worker moves to its queue. Default: none.
    pub outbox: Vec<OutboxUrl>,
    /// How often it checks each for jobs committed by other processes. Default: 100 ms.
    pub outbox_poll: Duration,
    /// How long to keep done messages with their results, and buried ones. Default: done ones as the queue was opened,
    /// and buried ones forever.
    pub retention: Retention,
    /// The dashboard at the listen address, which the command `dashboard` serves too.
    pub dashboard: DashboardOptions,
    /// The queue of jobs that name none. Default: `pulpo`.
    pub default_queue: String,
    /// Whether SIGINT, SIGTERM and SIGHUP stop the worker. A second one, at least a second after the first, stops it at
    /// once. After the worker has returned, they have their previous effect. Default: true.
    pub handle_signals: bool,
    /// Whether the log contains the texts of errors and panics, which may quote a body. The queue keeps them anyway.
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
            retention: Retention::default(),
            outbox_poll: Duration::from_millis(100),
            dashboard: DashboardOptions::default(),
            default_queue: crate::queue::DEFAULT_QUEUE.to_owned(),
            handle_signals: true,
            log_reasons: true,
        }
    }
}

/// Access to the dashboard, and its content.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DashboardOptions {
    /// Its host names and addresses, without a port, in addition to the listen address and `localhost`. Requests to
    /// other hosts are refused. Default: none.
    pub hosts: Vec<String>,
    /// Whether it shows the bodies of messages. Default: true.
    pub bodies: bool,
    /// The path at which browsers see it, such as `/ops/jobs`, behind a proxy that removes it from requests. Default:
    /// none.
    pub path: String,
    /// The token that it requires. Without one it is served on loopback addresses only. Default: none.
    pub token: Option<Secret>,
    /// Whether visitors can act on jobs, queues and schedules; only `--allow-changes` sets this. Default: false.
    pub allow_changes: bool,
}

impl Default for DashboardOptions {
    fn default() -> Self {
        Self { hosts: Vec::new(), bodies: true, path: String::new(), token: None, allow_changes: false }
    }
}

/// A string that is never shown in logs and errors.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Returns the string.
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

/// Options of one queue, from the table `[queues.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueOptions {
    /// How many of its jobs a worker runs at the same time, however many lanes it has; a batch counts as one.
    pub concurrency: Option<usize>,
    /// How often its jobs may start, across all workers.
    pub rate: Option<Rate>,
    /// How many of its jobs may run at the same time, across all workers.
    pub limit: Option<u32>,
    /// `Some(false)`: this worker does not serve it.
    pub enabled: Option<bool>,
    /// Where it is first set, for errors: `pulpo.toml:7`.
    pub origin: String,
}
