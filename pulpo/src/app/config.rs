//! The configuration: its layers, its keys, and its queue.
//!
//! It knows no adapter by name: the keys of queues come from the registered adapters
//! ([`queue::backend`](crate::queue::backend)).

use std::sync::Arc;

use crate::clock::Clock;
use crate::queue::backend::{Purpose, Value};
use crate::queue::spool::SpooledQueue;
use crate::queue::{QueueAdapter, QueueError};
use crate::worker::{OpenSchedules, SeparateStore, WorkerOptions};

mod backend;
mod console;
mod error;
mod explain;
mod key;
mod keys;
mod layer;
mod origin;
mod readers;
mod resolve;
mod secrets;
mod sources;
mod span;
mod table;
mod value;
mod warning;

pub use backend::Backend;
pub use console::{ConsoleOptions, LogFormat};
pub use error::{ConfigError, ParseBackendError};
pub use origin::{Origin, Setting};
pub use sources::Sources;
#[cfg(any(feature = "cli", feature = "http"))]
pub(crate) use span::parse as parse_duration;
pub use warning::ConfigWarning;

/// The configuration of pulpo: the queue, and how to work it.
///
/// [`Config::load`] reads these layers, each overriding the ones before: the
/// defaults, `pulpo.toml` in the current folder, the `PULPO_*` environment.
/// [`Config::default`] has only the defaults. [`Config::explain`] returns each
/// key's value and where it came from, as the command `config` does.
///
/// The file `docs/configuration.md` beside the source lists all keys; these are
/// the usual ones:
///
/// | key | default | meaning |
/// | --- | --- | --- |
/// | `queue` | `file:./pulpo-data` | `file:FOLDER`, `beanstalkd://HOST:PORT/TUBE`, `memory:`, or the URL of another adapter |
/// | `concurrency` | one for each core, at least 4 | lanes: jobs at the same time |
/// | `shutdown_grace` | `25s` | how long a stop waits for running jobs |
/// | `queues` | those of the handlers | the queues to serve |
/// | `queues.NAME.concurrency` | none | maximum number of jobs of this queue at the same time |
/// | `handlers.NAME.max_attempts`, … | the attribute's | overrides the attribute of a handler |
///
/// A duration is a string such as `"1h 30m"`, or a number of seconds. In the
/// environment, write the key in upper case after `PULPO_`, with two
/// underscores after the name of a table:
/// `PULPO_FILE_QUEUE_ADAPTER__BASE_PATH=/var/lib/shop`. An empty variable
/// counts as unset, and one that is not a key is a [`ConfigWarning`].
///
/// Paths become absolute when the configuration is read, so a program that
/// changes its folder keeps its queue.
///
/// ```
/// let config = pulpo::Config::default().queue("memory:")?;
/// let pulpo = pulpo::Pulpo::new(config)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The queue.
    pub backend: Backend,
    /// Where publications wait while no server is available: a separate
    /// embedded queue. Default: `None`, they fail.
    pub spool: Option<Backend>,
    /// Options of a worker.
    pub worker: WorkerOptions,
    /// The folder in which workers keep the schedules of their handlers,
    /// `file:FOLDER`. Default: `None`, in the queue.
    pub schedule_store: Option<Backend>,
    /// Output options of a worker on the command line.
    pub console: ConsoleOptions,
    /// Warnings about its sources. Logged once per process, when the queue is
    /// opened.
    pub warnings: Vec<ConfigWarning>,
}

impl Config {
    /// Sets the queue by its URL: `file:FOLDER`, `memory:`,
    /// `beanstalkd://HOST:PORT/TUBE`, or one of another linked adapter. It
    /// discards the tables of adapters. A relative path is resolved against the
    /// current folder.
    ///
    /// # Errors
    /// If the URL has another form, or the path is relative and the current
    /// folder is gone.
    pub fn queue(mut self, url: &str) -> Result<Self, ConfigError> {
        self.backend = url.parse()?;
        self.backend.make_absolute()?;
        self.follow_backend();
        Ok(self)
    }

    /// Takes over the backend's default queue, for jobs that name none.
    fn follow_backend(&mut self) {
        self.backend.default_queue().clone_into(&mut self.worker.default_queue);
    }

    /// Sets the number of lanes: jobs at the same time.
    #[must_use]
    pub fn concurrency(mut self, lanes: usize) -> Self {
        self.worker.concurrency = lanes;
        self
    }

    /// Returns how to open the store of schedules, if that is not the queue.
    pub(crate) fn schedule_store(&self, clock: Arc<dyn Clock>) -> Option<OpenSchedules> {
        let store = self.schedule_store.clone()?;
        let open = move |purpose| {
            let Some(Value::Path(folder)) = store.setting("base_path").cloned() else {
                return Err(QueueError::Unsupported("keep schedules"));
            };
            Ok(SeparateStore { keeper: store.open(purpose, clock.clone())?, folder })
        };
        Some(OpenSchedules::new(open))
    }

    /// Returns whether the queue, or the store beside it, keeps schedules, as far as is known before it is opened.
    #[cfg(feature = "cli")]
    pub(crate) fn keeps_schedules(&self) -> bool {
        self.schedule_store.is_some() || self.backend.keeps_schedules()
    }

    /// Opens the configured queue.
    pub(crate) fn open(&self, purpose: Purpose, clock: Arc<dyn Clock>) -> Result<Arc<dyn QueueAdapter>, QueueError> {
        warning::log(&self.warnings);
        let queue = self.backend.open(purpose, clock.clone())?;
        let Some((spool, folder)) = self.spool.as_ref().and_then(|spool| Some((spool, spool.spool_folder()?))) else {
            return Ok(queue);
        };
        let open = {
            let spool = spool.clone();
            move |purpose| spool.open(purpose, clock.clone())
        };
        let backend = self.backend.clone();
        let name_problem = move |name: &str| backend.queue_name_problem(name);
        Ok(Arc::new(SpooledQueue::new(queue, folder, purpose, open, name_problem)))
    }
}

#[cfg(test)]
mod tests;
