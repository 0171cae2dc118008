//! The sources of a configuration: they are read as layers, and these make the configuration.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::Config;
use super::error::ConfigError;
use super::key::KeyPath;
use super::keys::Keys;
use super::layer::{self, Entry, Layers, Written};
use super::origin::{Origin, Setting};
use super::warning::ConfigWarning;
use crate::process;

/// The file that is read if it exists.
const DEFAULT_FILE: &str = "pulpo.toml";

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
                environment(given, keys)
            }
            None => environment(std::env::vars_os(), keys),
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
}

/// Reads the environment: `PULPO_FILE_QUEUE_ADAPTER__BASE_PATH`. An unknown variable is skipped, with a warning if it
/// may be meant for pulpo.
pub(super) fn environment(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    keys: &Keys,
) -> (Vec<Entry>, Vec<ConfigWarning>) {
    let (mut entries, mut warnings) = (Vec::new(), Vec::new());
    for variable in process::environment::ours(variables) {
        let key = KeyPath::dotted(&variable.key());
        if keys.knows(&key) {
            let written = variable.value.into_string().map_or_else(Written::NotText, Written::Text);
            entries.push(Entry { key, written, origin: Origin::Environment { variable: variable.name } });
        } else if !variable.is_foreign() {
            let nearest = keys.nearest(&key).map(|key| process::environment::variable_of(&key));
            warnings.push(ConfigWarning::UnknownVariable { variable: variable.name, nearest });
        }
    }
    (entries, warnings)
}
