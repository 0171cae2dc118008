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
/// | `queue` | `file:./pulpo-data` | `file:FOLDER` or `memory:`; goes before `queue_adapter_type` |
/// | `queue_adapter_type` | `file_queue_adapter` | the long form: `file_queue_adapter` or `FileQueueAdapter` |
/// | `file_queue_adapter.base_path` | `./pulpo-data` | the folder of the queue |
/// | `file_queue_adapter.enable_archive` | `false` | keep done messages in the table `archive` |
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

/// A list, or names with commas between them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Names {
    List(Vec<String>),
    Text(String),
}

/// Every key, a table's with a dot.
const KEYS: [&str; 10] = [
    "queue",
    "queue_adapter_type",
    "file_queue_adapter.base_path",
    "file_queue_adapter.enable_archive",
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
    /// In place of the process's environment.
    pub environment: Option<std::collections::HashMap<String, String>>,
    /// Keys that go before all else: those of the command line.
    pub overrides: Vec<(String, String)>,
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
        builder = builder.add_source(from_environment(sources.environment.clone()));
        for (key, value) in &sources.overrides {
            builder = builder.set_override(key, value.as_str())?;
        }
        let layers = builder.build()?;
        refuse_unknown_keys(&layers.cache)?;
        Self::resolve(layers.try_deserialize()?)
    }

    fn resolve(written: Written) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let FileTable { base_path, enable_archive } = written.file_queue_adapter;
        match (&written.queue, written.queue_adapter_type.as_deref()) {
            (Some(queue), _) => config.place = queue.parse().map_err(ConfigError::Queue)?,
            (None, None | Some("file_queue_adapter" | "FileQueueAdapter")) => {
                if let (Place::File { base_path: default, .. }, Some(base_path)) = (&mut config.place, base_path) {
                    *default = base_path;
                }
            }
            (None, Some(other)) => return Err(ConfigError::AdapterType(other.to_owned())),
        }
        let (Place::File { archive, .. } | Place::Memory { archive }) = &mut config.place;
        *archive = enable_archive;
        let worker = &mut config.worker;
        let positive = |key, span: Option<span::Span>| match span.map(|span| span.0) {
            Some(duration) if duration < Duration::from_millis(10) => {
                Err(ConfigError::Range { key, expected: "at least 10ms", got: format!("{duration:?}") })
            }
            duration => Ok(duration),
        };
        if let Some(concurrency) = written.concurrency {
            if !(1..=1024).contains(&concurrency) {
                let got = concurrency.to_string();
                return Err(ConfigError::Range { key: "concurrency", expected: "from 1 to 1024 lanes", got });
            }
            worker.concurrency = concurrency;
        }
        worker.sleep_duration = positive("sleep_duration", written.sleep_duration)?.unwrap_or(worker.sleep_duration);
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
        DEFAULT_QUEUE.clone_into(&mut worker.default_queue);
        Ok(config)
    }

    /// With the queue at this place: `file:FOLDER` or `memory:`.
    ///
    /// # Errors
    /// If it is neither.
    pub fn queue(mut self, place: &str) -> Result<Self, ConfigError> {
        self.place = place.parse().map_err(ConfigError::Queue)?;
        Ok(self)
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
        }
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
    #[error("expected queue_adapter_type to be file_queue_adapter, got {0:?}")]
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
