//! Errors in a configuration.

use std::path::PathBuf;

use super::origin::Origin;
use super::secrets::hidden;
use crate::queue::backend::{Registered, RegistrationError};

/// An error in a configuration, with its place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// An unknown key.
    #[error("{origin}: unknown configuration key `{key}`; {}", match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("the known keys are {known}"),
    })]
    #[non_exhaustive]
    UnknownKey {
        /// The key.
        key: String,
        /// Its place.
        origin: Origin,
        /// The most similar key.
        nearest: Option<String>,
        /// All known keys.
        known: String,
    },
    /// A key that only the attribute of a handler can set.
    #[error(
        "{origin}: `{key}` cannot be configured: programs without this configuration would still publish as the \
         handler's attribute says; change it there"
    )]
    #[non_exhaustive]
    NotConfigurable {
        /// The key.
        key: String,
        /// Its place.
        origin: Origin,
    },
    /// A value of the wrong kind, or out of range.
    #[error("{origin}: expected `{key}` to be {expected}, got {got}")]
    #[non_exhaustive]
    Value {
        /// The key.
        key: String,
        /// Its place.
        origin: Origin,
        /// The expected value.
        expected: String,
        /// The value.
        got: String,
    },
    /// The program names its queue with a string that is not the URL of one.
    #[error(transparent)]
    Backend(#[from] ParseBackendError),
    /// Two adapters of the program conflict.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// An environment variable that is not text.
    #[error("the environment variable {variable} is not UTF-8 text")]
    #[non_exhaustive]
    NotText {
        /// Its name.
        variable: String,
    },
    /// A relative path while the current folder is gone.
    #[error("cannot tell where {} is, since the current folder is gone: start in another folder, or use an absolute path", path.display())]
    #[non_exhaustive]
    NoFolder {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file that cannot be read.
    #[error("cannot read the configuration file {}", file.display())]
    #[non_exhaustive]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file with a syntax error.
    #[error("{}:{line}: the configuration file is wrong: {message}", file.display())]
    #[non_exhaustive]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// The fault.
        message: String,
    },
    /// A file with an unknown extension.
    #[error("expected a configuration file that ends in .toml or .json, got {}", .0.display())]
    Format(PathBuf),
}

/// The error of a string that does not name a queue.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ParseBackendError(#[from] pub(super) Refusal);

#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("expected the queue to be {expected}, got {}", got(text, problem))]
    Text {
        /// The forms that the linked adapters accept.
        expected: String,
        /// Without secrets.
        text: String,
        /// Empty if the text resembles none of them.
        problem: String,
    },
    #[error(transparent)]
    Registration(RegistrationError),
}

/// Describes the text, and its fault.
pub(super) fn got(text: &str, problem: &str) -> String {
    if problem.is_empty() { format!("{text:?}") } else { format!("{text:?}: {problem}") }
}

impl ParseBackendError {
    pub(super) fn new(registered: &Registered, text: &str, problem: String) -> Self {
        Self(Refusal::Text { expected: registered.forms(), text: hidden(text), problem })
    }
}
