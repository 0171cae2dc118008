//! The configuration: its layers, its keys, and the queue that it names. The
//! only place that names adapters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use config::{Environment, File, FileFormat, Value, ValueKind};
use serde::Deserialize;

use crate::clock::Clock;
use crate::queue::{DEFAULT_QUEUE, QueueAdapter, QueueError};
use crate::registry::nearest;
use crate::worker::WorkerOptions;

mod place;
mod span;

pub use place::{Place, PlaceError};
#[cfg(feature = "cli")]
pub(crate) use span::parse as parse_duration;

/// The file that is read if it is there.
const DEFAULT_FILE: &str = "pulpo.toml";

/// How pulpo is set up: which queue, and how to work it.
///
/// [`Config::load`] takes, each over the one before: the defaults,
/// `pulpo.toml` in the current folder, the `PULPO_*` environment.
/// [`Config::default`] takes the defaults alone.
///
/// | key | default | meaning |
/// | --- | --- | --- |
/// | `queue` | `file:./pulpo-data` | `file:FOLDER`, `beanstalkd://HOST:PORT/TUBE` or `memory:`; goes before `queue_adapter_type`, and what it says before the tables below |
/// | `queue_adapter_type` | `file_queue_adapter` | the long form: `file_queue_adapter` or `FileQueueAdapter`, `beanstalkd_queue_adapter` or `BeanstalkdQueueAdapter` |
/// | `file_queue_adapter.base_path` | `./pulpo-data` | the folder of the queue |
/// | `file_queue_adapter.enable_archive` | `false` | keep done messages in the table `archive` |
/// | `beanstalkd_queue_adapter.host` | `localhost` | the server |
/// | `beanstalkd_queue_adapter.port` | `11300` | its port |
/// | `beanstalkd_queue_adapter.default_tube` | `pulpo` | the queue of jobs that name none |
/// | `beanstalkd_queue_adapter.socket_timeout` | `10s` | how long the server may be silent before a call is given up |
/// | `beanstalkd_queue_adapter.reserve_timeout` | `1s` | how long it is asked to wait for a job in one go |
/// | `concurrency` | one for each core, at least 4 | lanes: jobs at the same time |
/// | `sleep_duration` | `5s` | one wait for a message; it ends at once when one comes |
/// | `shutdown_after_number_of_empty_iterations` | `0` | end after so many waits in a row that brought nothing; 0: never |
/// | `shutdown_grace` | `25s` | how long a stop waits for running jobs |
/// | `unknown_type_grace` | `10m` | how long a message waits for a worker that knows its type |
/// | `queues` | those of the handlers | the queues to work, as a list, or in the environment with commas |
///
/// A duration is a text such as `"1h 30m"`, or a number of seconds. In the
/// environment, a key is in upper case after `PULPO_`, a table's with two
/// underscores: `PULPO_FILE_QUEUE_ADAPTER__BASE_PATH=/var/lib/shop`.
///
/// ```
/// let config = pulpo::Config::default().queue("memory:")?;
/// let pulpo = pulpo::Pulpo::new(config)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Where the messages wait.
    pub place: Place,
    /// How a worker works.
    pub worker: WorkerOptions,
}

/// The keys as they are written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    queue: Option<String>,
    queue_adapter_type: Option<String>,
    file_queue_adapter: FileTable,
    beanstalkd_queue_adapter: BeanstalkdTable,
    concurrency: Option<usize>,
    sleep_duration: Option<span::Span>,
    shutdown_after_number_of_empty_iterations: Option<u64>,
    shutdown_grace: Option<span::Span>,
    unknown_type_grace: Option<span::Span>,
    queues: Option<Names>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FileTable {
    base_path: Option<PathBuf>,
    enable_archive: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BeanstalkdTable {
    host: Option<String>,
    port: Option<u16>,
    default_tube: Option<String>,
    socket_timeout: Option<span::Span>,
    reserve_timeout: Option<span::Span>,
}

/// A list, or names with commas between them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Names {
    List(Vec<String>),
    Text(String),
}

/// Every key, a table's with a dot.
const KEYS: [&str; 15] = [
    "queue",
    "queue_adapter_type",
    "file_queue_adapter.base_path",
    "file_queue_adapter.enable_archive",
    "beanstalkd_queue_adapter.host",
    "beanstalkd_queue_adapter.port",
    "beanstalkd_queue_adapter.default_tube",
    "beanstalkd_queue_adapter.socket_timeout",
    "beanstalkd_queue_adapter.reserve_timeout",
    "concurrency",
    "sleep_duration",
    "shutdown_after_number_of_empty_iterations",
    "shutdown_grace",
    "unknown_type_grace",
    "queues",
];

/// Where the layers come from.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Sources {
    /// This file, TOML or JSON by its ending, in place of `pulpo.toml`. It
    /// must be there.
    pub file: Option<PathBuf>,
    /// Keys that come after all else: a program's own defaults.
    pub defaults: Vec<(String, String)>,
    /// In place of the process's environment.
    pub environment: Option<std::collections::HashMap<String, String>>,
    /// Keys that go before all else: those of the command line.
    pub overrides: Vec<(String, String)>,
}

impl Sources {
    /// With this as the program's own default for the key.
    pub fn set_default(&mut self, key: &str, value: &str) -> &mut Self {
        self.defaults.push((key.to_owned(), value.to_owned()));
        self
    }
}

impl Config {
    /// From `pulpo.toml` in the current folder, if it is there, and the
    /// environment.
    ///
    /// # Errors
    /// If something in them is not as it should be; it says where.
    pub fn load() -> Result<Self, ConfigError> {
        Self::load_from(&Sources::default())
    }

    /// From these sources.
    ///
    /// # Errors
    /// If something in them is not as it should be; it says where.
    pub fn load_from(sources: &Sources) -> Result<Self, ConfigError> {
        let mut builder = config::Config::builder();
        match &sources.file {
            Some(file) => builder = builder.add_source(from_file(file)?),
            None if Path::new(DEFAULT_FILE).exists() => {
                builder = builder.add_source(from_file(Path::new(DEFAULT_FILE))?);
            }
            None => {}
        }
        for (key, value) in &sources.defaults {
            builder = builder.set_default(key, value.as_str())?;
        }
        builder = builder.add_source(from_environment(sources.environment.clone()));
        for (key, value) in &sources.overrides {
            builder = builder.set_override(key, value.as_str())?;
        }
        let layers = builder.build()?;
        refuse_unknown_keys(&layers.cache)?;
        Self::resolve(layers.try_deserialize()?)
    }

    fn resolve(written: Written) -> Result<Self, ConfigError> {
        let mut config = Self { place: place(&written)?, worker: WorkerOptions::default() };
        let worker = &mut config.worker;
        if let Some(concurrency) = written.concurrency {
            if !(1..=1024).contains(&concurrency) {
                let got = concurrency.to_string();
                return Err(ConfigError::Range { key: "concurrency", expected: "from 1 to 1024 lanes", got });
            }
            worker.concurrency = concurrency;
        }
        worker.sleep_duration =
            at_least_10ms("sleep_duration", written.sleep_duration)?.unwrap_or(worker.sleep_duration);
        worker.shutdown_grace = written.shutdown_grace.map_or(worker.shutdown_grace, |grace| grace.0);
        worker.unknown_type_grace = written.unknown_type_grace.map_or(worker.unknown_type_grace, |grace| grace.0);
        worker.shutdown_after_number_of_empty_iterations =
            written.shutdown_after_number_of_empty_iterations.unwrap_or_default();
        worker.queues = match written.queues {
            None => Vec::new(),
            Some(Names::List(names)) => names,
            Some(Names::Text(text)) => {
                text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
            }
        };
        config.follow_place();
        Ok(config)
    }

    /// With the queue at this place: `file:FOLDER`,
    /// `beanstalkd://HOST:PORT/TUBE` or `memory:`.
    ///
    /// # Errors
    /// If it is none of them.
    pub fn queue(mut self, place: &str) -> Result<Self, ConfigError> {
        self.place = place.parse().map_err(ConfigError::Queue)?;
        self.follow_place();
        Ok(self)
    }

    /// Jobs that name no queue go where the place says.
    fn follow_place(&mut self) {
        let default_queue = match &self.place {
            Place::Beanstalkd { default_tube, .. } => default_tube.as_str(),
            Place::File { .. } | Place::Memory { .. } => DEFAULT_QUEUE,
        };
        default_queue.clone_into(&mut self.worker.default_queue);
    }

    /// With so many lanes.
    #[must_use]
    pub fn concurrency(mut self, lanes: usize) -> Self {
        self.worker.concurrency = lanes;
        self
    }

    /// Opens the queue that it names.
    pub(crate) fn open(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn QueueAdapter>, QueueError> {
        match &self.place {
            #[cfg(feature = "file")]
            Place::File { base_path, archive } => {
                Ok(Arc::new(crate::queue::file::FileQueue::open(base_path, *archive, clock)?))
            }
            #[cfg(feature = "file")]
            Place::Memory { archive } => Ok(Arc::new(crate::queue::file::FileQueue::memory(*archive, clock)?)),
            #[cfg(not(feature = "file"))]
            Place::File { .. } | Place::Memory { .. } => {
                drop(clock);
                Err(QueueError::Unsupported("be opened: this program was built without pulpo's feature `file`"))
            }
            #[cfg(feature = "beanstalkd")]
            Place::Beanstalkd { host, port, socket_timeout, reserve_timeout, .. } => {
                let options = crate::queue::beanstalkd::BeanstalkdOptions::new(host)
                    .port(*port)
                    .socket_timeout(*socket_timeout)
                    .reserve_timeout(*reserve_timeout);
                Ok(Arc::new(crate::queue::beanstalkd::BeanstalkdQueue::new(options, clock)))
            }
            #[cfg(not(feature = "beanstalkd"))]
            Place::Beanstalkd { .. } => {
                drop(clock);
                Err(QueueError::Unsupported("be opened: this program was built without pulpo's feature `beanstalkd`"))
            }
        }
    }
}

/// The place, from the short form or the long one, and what the tables add.
fn place(written: &Written) -> Result<Place, ConfigError> {
    let short = written.queue.is_some();
    let mut place = match (&written.queue, written.queue_adapter_type.as_deref()) {
        (Some(queue), _) => queue.parse().map_err(ConfigError::Queue)?,
        (None, None | Some("file_queue_adapter" | "FileQueueAdapter")) => Place::default(),
        (None, Some("beanstalkd_queue_adapter" | "BeanstalkdQueueAdapter")) => Place::beanstalkd("localhost"),
        (None, Some(other)) => return Err(ConfigError::AdapterType(other.to_owned())),
    };
    match &mut place {
        Place::File { base_path, archive } => {
            let table = &written.file_queue_adapter;
            replace(base_path, &table.base_path, short);
            *archive = table.enable_archive;
        }
        Place::Memory { archive } => *archive = written.file_queue_adapter.enable_archive,
        Place::Beanstalkd { host, port, default_tube, socket_timeout, reserve_timeout } => {
            let table = &written.beanstalkd_queue_adapter;
            replace(host, &table.host, short);
            replace(port, &table.port, short);
            // The short form may leave the tube to the table.
            replace(default_tube, &table.default_tube, short && default_tube != DEFAULT_QUEUE);
            let span = |key, span| at_least_10ms(key, span);
            replace(socket_timeout, &span("beanstalkd_queue_adapter.socket_timeout", table.socket_timeout)?, false);
            replace(reserve_timeout, &span("beanstalkd_queue_adapter.reserve_timeout", table.reserve_timeout)?, false);
        }
    }
    Ok(place)
}

fn replace<T: Clone>(value: &mut T, written: &Option<T>, said_already: bool) {
    if let (Some(written), false) = (written, said_already) {
        value.clone_from(written);
    }
}

fn at_least_10ms(key: &'static str, span: Option<span::Span>) -> Result<Option<Duration>, ConfigError> {
    match span.map(|span| span.0) {
        Some(duration) if duration < Duration::from_millis(10) => {
            Err(ConfigError::Range { key, expected: "at least 10ms", got: format!("{duration:?}") })
        }
        duration => Ok(duration),
    }
}

fn from_file(file: &Path) -> Result<File<config::FileSourceFile, FileFormat>, ConfigError> {
    let format = match file.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => FileFormat::Toml,
        Some("json") => FileFormat::Json,
        _ => return Err(ConfigError::Format(file.to_owned())),
    };
    std::fs::read_to_string(file).map_err(|source| ConfigError::Unreadable { file: file.to_owned(), source })?;
    // Parsed once alone, so that an error names the file.
    let source = File::from(file).format(format);
    config::Config::builder()
        .add_source(source.clone())
        .build()
        .map_err(|source| ConfigError::Syntax { file: file.to_owned(), source: Box::new(source) })?;
    Ok(source)
}

fn from_environment(environment: Option<std::collections::HashMap<String, String>>) -> Environment {
    let environment = environment.unwrap_or_else(|| {
        std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    });
    Environment::with_prefix("PULPO").prefix_separator("_").separator("__").source(Some(environment))
}

fn refuse_unknown_keys(layers: &Value) -> Result<(), ConfigError> {
    let mut found = BTreeMap::new();
    flatten("", layers, &mut found);
    for (key, origin) in found {
        if !KEYS.contains(&key.as_str()) {
            let nearest = nearest(&key, KEYS).map(str::to_owned);
            return Err(ConfigError::UnknownKey { key, origin, nearest });
        }
    }
    Ok(())
}

/// All keys with a value, and where it comes from.
fn flatten(prefix: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    match &value.kind {
        ValueKind::Table(table) => {
            for (key, value) in table {
                let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&key, value, found);
            }
        }
        _ => drop(found.insert(prefix.to_owned(), value.origin().unwrap_or("the configuration").to_owned())),
    }
}

impl From<config::ConfigError> for ConfigError {
    fn from(error: config::ConfigError) -> Self {
        Self::Value(Box::new(error))
    }
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A key that means nothing.
    #[error("unknown configuration key `{key}` in {origin}; {}", match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("the known keys are {}", KEYS.join(", ")),
    })]
    #[non_exhaustive]
    UnknownKey {
        /// The key.
        key: String,
        /// The file or the environment.
        origin: String,
        /// The most similar key.
        nearest: Option<String>,
    },
    /// A value of the wrong kind.
    #[error("the configuration is wrong")]
    Value(#[source] Box<config::ConfigError>),
    /// A value out of its range.
    #[error("expected {key} to be {expected}, got {got}")]
    #[non_exhaustive]
    Range {
        /// The key.
        key: &'static str,
        /// The range.
        expected: &'static str,
        /// The value.
        got: String,
    },
    /// Not a place of a queue.
    #[error("the configuration key `queue` (PULPO_QUEUE) is wrong")]
    Queue(#[source] PlaceError),
    /// Not an adapter.
    #[error("expected queue_adapter_type to be file_queue_adapter or beanstalkd_queue_adapter, got {0:?}")]
    AdapterType(String),
    /// A file that cannot be read.
    #[error("cannot read the configuration file {}", file.display())]
    #[non_exhaustive]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file that is not in its format.
    #[error("the configuration file {} is wrong", file.display())]
    #[non_exhaustive]
    Syntax {
        /// The file.
        file: PathBuf,
        /// What and where.
        source: Box<config::ConfigError>,
    },
    /// A file of another format.
    #[error("expected a configuration file that ends in .toml or .json, got {}", .0.display())]
    Format(PathBuf),
}

#[cfg(test)]
mod tests;
