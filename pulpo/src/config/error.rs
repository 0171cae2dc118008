//! What is wrong with a configuration.

use std::path::PathBuf;

use super::origin::Origin;

/// What is wrong with a configuration, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A key that means nothing.
    #[error("{origin}: unknown configuration key `{key}`; {}", match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("the known keys are {known}"),
    })]
    #[non_exhaustive]
    UnknownKey {
        /// The key.
        key: String,
        /// Where it stands.
        origin: Origin,
        /// The most similar key.
        nearest: Option<String>,
        /// All keys that there are.
        known: String,
    },
    /// What only the attribute of a handler can say.
    #[error(
        "{origin}: `{key}` cannot be configured: programs without this configuration would still publish as the \
         handler's attribute says; change it there"
    )]
    #[non_exhaustive]
    NotConfigurable {
        /// The key.
        key: String,
        /// Where it stands.
        origin: Origin,
    },
    /// A value of the wrong kind, or out of its range.
    #[error("{origin}: expected `{key}` to be {expected}, got {got}")]
    #[non_exhaustive]
    Value {
        /// The key.
        key: String,
        /// Where it stands.
        origin: Origin,
        /// What it may be.
        expected: String,
        /// The value.
        got: String,
    },
    /// A text with which the program names its queue is no URL of one.
    #[error(transparent)]
    Backend(#[from] super::ParseBackendError),
    /// Two adapters of the program are in each other's way.
    #[error(transparent)]
    Registration(#[from] crate::queue::backend::RegistrationError),
    /// An environment variable that is not text.
    #[error("the environment variable {variable} is not UTF-8 text")]
    #[non_exhaustive]
    NotText {
        /// Its name.
        variable: String,
    },
    /// A path that is meant from the current folder, which is gone.
    #[error("cannot tell where {} is, since the current folder is gone: start in another folder, or use an absolute path", path.display())]
    #[non_exhaustive]
    NoFolder {
        /// The path.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
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
    #[error("{}:{line}: the configuration file is wrong: {message}", file.display())]
    #[non_exhaustive]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// A file of another format.
    #[error("expected a configuration file that ends in .toml or .json, got {}", .0.display())]
    Format(PathBuf),
}
