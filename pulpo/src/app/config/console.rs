//! The output of a worker on the command line: its banner and its logs.

use std::fmt;
use std::str::FromStr;

/// The output options of a worker on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsoleOptions {
    /// Whether a worker begins with its name in big letters. `None`, the default: only if its standard error is a
    /// terminal.
    pub enable_banner: Option<bool>,
    /// The text of the banner. `None`, the default: the name of the program.
    pub banner_name: Option<String>,
    /// The figlet font of the banner: the name of a built-in one, or a file that ends in `.flf`. Default: `standard`.
    pub banner_font: String,
    /// Whether log lines are gathered for up to 100 milliseconds, or 64 KiB, before they are written. Default: false,
    /// each line is written immediately. No job waits for the reader of the log either way.
    pub enable_output_buffering: bool,
    /// The format of log lines.
    pub log_format: LogFormat,
}

impl Default for ConsoleOptions {
    fn default() -> Self {
        Self {
            enable_banner: None,
            banner_name: None,
            banner_font: "standard".to_owned(),
            enable_output_buffering: false,
            log_format: LogFormat::Auto,
        }
    }
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// `Pretty` on a terminal, otherwise `Plain`.
    #[default]
    Auto,
    /// One line per event, in colours.
    Pretty,
    /// One line per event.
    Plain,
    /// One JSON object per event, each on a line.
    Json,
}

impl LogFormat {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Pretty, Self::Plain, Self::Json];

    /// Returns its name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Pretty => "pretty",
            Self::Plain => "plain",
            Self::Json => "json",
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or_else(|| format!("expected auto, pretty, plain or json, got {text:?}"))
    }
}
