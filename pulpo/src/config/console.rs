//! What a worker on the command line shows: its banner and its logs.

use std::fmt;
use std::str::FromStr;

/// What a worker on the command line shows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsoleOptions {
    /// Whether a worker begins with its name in big letters; `None`, the
    /// default: if its standard error is a terminal.
    pub enable_banner: Option<bool>,
    /// What the banner says; `None`, the default: the name of the program.
    pub banner_name: Option<String>,
    /// The figlet font of the banner: the name of a built-in one, or a file
    /// that ends in `.flf`. Default: `standard`.
    pub banner_font: String,
    /// Whether the lines of a log are gathered for up to 100 milliseconds, or 64
    /// KiB, before they are written. Default: false, they are written as they
    /// come. No job waits for the reader of the log either way.
    pub enable_output_buffering: bool,
    /// How the lines of the log look.
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

/// How the lines of the log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// `Pretty` on a terminal, else `Plain`.
    #[default]
    Auto,
    /// A line each, in colours.
    Pretty,
    /// A line each.
    Plain,
    /// A JSON object on a line each.
    Json,
}

impl LogFormat {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Pretty, Self::Plain, Self::Json];

    /// The word for it.
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
