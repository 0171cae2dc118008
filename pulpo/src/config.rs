//! The configuration: its layers, its keys, and its queue.
//!
//! It knows no adapter by name: the keys of queues come from the registered adapters
//! ([`queue::backend`](crate::queue::backend)).

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::keys::Keys;
use self::layer::Layers;
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
mod resolve;
mod secrets;
mod span;
mod value;
mod warning;

pub use backend::Backend;
pub use console::{ConsoleOptions, LogFormat};
pub use error::{ConfigError, ParseBackendError};
pub use origin::{Origin, Setting};
#[cfg(any(feature = "cli", feature = "http"))]
pub(crate) use span::parse as parse_duration;
pub use warning::ConfigWarning;

/// The file that is read if it exists.
const DEFAULT_FILE: &str = "pulpo.toml";

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

/// The sources of the layers.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Sources {
    /// The file to read instead of `pulpo.toml`, TOML or JSON by its extension.
    /// It must exist.
    pub file: Option<PathBuf>,
    /// Keys with the lowest precedence: a program's own defaults.
    pub defaults: Vec<(String, String)>,
    /// Variables to use instead of the process's environment.
    pub environment: Option<HashMap<String, String>>,
    /// Keys with the highest precedence: those of the command line.
    pub overrides: Vec<(String, String)>,
}

/// Shows which keys are set, but no values: any of them may hold a secret.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, defaults, environment, overrides } = self;
        let keys = |pairs: &[(String, String)]| pairs.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
        f.debug_struct("Sources")
            .field("file", file)
            .field("defaults", &keys(defaults))
            .field("environment", &environment.as_ref().map(|given| given.keys().collect::<BTreeSet<_>>()))
            .field("overrides", &keys(overrides))
            .finish()
    }
}

impl Sources {
    /// Sets the program's own default for the key.
    pub fn set_default(&mut self, key: &str, value: &str) -> &mut Self {
        self.defaults.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Reads all layers, and checks that each key is known.
    fn read(&self, keys: &Keys) -> Result<Layers, ConfigError> {
        let mut layers = Layers::default();
        layers.put(layer::pairs(&self.defaults, &Origin::Program));
        match &self.file {
            Some(file) => layers.put(layer::file(file)?),
            None if Path::new(DEFAULT_FILE).exists() => layers.put(layer::file(Path::new(DEFAULT_FILE))?),
            None => {}
        }
        let (said, warnings) = match &self.environment {
            Some(given) => {
                let given = given.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
                layer::environment(given, keys)
            }
            None => layer::environment(std::env::vars_os(), keys),
        };
        layers.put(said);
        layers.warnings = warnings;
        layers.put(layer::pairs(&self.overrides, &Origin::CommandLine));
        for entry in layers.iter() {
            let (key, origin) = (entry.key.to_string(), entry.origin.clone());
            if keys.find(&entry.key).is_some_and(|row| !row.is_settable()) {
                return Err(ConfigError::NotConfigurable { key, origin });
            }
            if !keys.knows(&entry.key) {
                let (nearest, known) = (keys.nearest(&entry.key), keys.all());
                return Err(ConfigError::UnknownKey { key, origin, nearest, known });
            }
        }
        Ok(layers)
    }
}

impl Config {
    /// Loads the configuration from `pulpo.toml` in the current folder, if it
    /// exists, and the environment.
    ///
    /// # Errors
    /// If a source is invalid; the error says where.
    pub fn load() -> Result<Self, ConfigError> {
        Self::load_from(&Sources::default())
    }

    /// Loads the configuration from these sources.
    ///
    /// # Errors
    /// If a source is invalid; the error says where.
    pub fn load_from(sources: &Sources) -> Result<Self, ConfigError> {
        let keys = Keys::collect()?;
        Self::resolve(&sources.read(&keys)?, &keys)
    }

    /// Returns each key with its effective value and where it came from. Keys of single handlers and queues are
    /// included if they are set.
    ///
    /// # Errors
    /// If a source is invalid; the error says where.
    pub fn explain(sources: &Sources) -> Result<Vec<Setting>, ConfigError> {
        let keys = Keys::collect()?;
        let layers = sources.read(&keys)?;
        Self::resolve(&layers, &keys)?.settings(&layers, &keys)
    }

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
