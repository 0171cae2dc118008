//! The place that a value of the configuration comes from.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// The place that a value of the configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// The key is not set.
    Default,
    /// The program's own default: [`Sources::set_default`](super::Sources::set_default).
    Program,
    /// A configuration file.
    #[non_exhaustive]
    File {
        /// The file.
        file: PathBuf,
        /// Its line, from 1.
        line: usize,
    },
    /// The environment.
    #[non_exhaustive]
    Environment {
        /// The variable.
        variable: String,
    },
    /// A flag of the command line.
    CommandLine,
}

/// Displays `pulpo.toml:3`, `PULPO_QUEUE` or `the command line`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Program => f.write_str("the program's default"),
            Self::File { file, line } => write!(f, "{}:{line}", file.display()),
            Self::Environment { variable } => f.write_str(variable),
            Self::CommandLine => f.write_str("the command line"),
        }
    }
}

/// The effective value of one key of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Setting {
    /// The key; one of a table has a dot: `file_queue_adapter.base_path`.
    pub key: String,
    /// Its value as it may be written in a file, without quotes; a password is shown as `***`.
    pub value: String,
    /// Its default, or a description of it. Empty for a key that no adapter in this program has.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub default: &'static str,
    /// Its meaning, as Markdown. Empty where the default is.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub meaning: &'static str,
    /// Where the value comes from.
    #[serde(flatten)]
    pub origin: Origin,
}
