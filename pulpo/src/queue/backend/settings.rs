//! The values of an adapter's keys.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The value of a [`Key`](super::Key), according to its [`Kind`](super::Kind).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// A string, or a word of a choice.
    Text(String),
    /// A path.
    Path(PathBuf),
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Whole(u64),
    /// A duration.
    Duration(Duration),
}

/// Writes the form of a configuration file. A text may hold a secret.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Whole(number) => write!(f, "{number}"),
            Self::Duration(duration) => write!(f, "{}", humantime::format_duration(*duration)),
        }
    }
}

/// Writes only the length of a text, since it may hold a secret.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "a text of {} bytes", text.len()),
            other => write!(f, "{other}"),
        }
    }
}

/// The settings with which an adapter is opened: the checked value of each key that is set, from the address, the table
/// or the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    scheme: &'static str,
    values: BTreeMap<&'static str, Value>,
}

impl Settings {
    pub(crate) fn new(scheme: &'static str) -> Self {
        Self { scheme, values: BTreeMap::new() }
    }

    pub(crate) fn set(&mut self, key: &'static str, value: Option<Value>) {
        match value {
            Some(value) => drop(self.values.insert(key, value)),
            None => drop(self.values.remove(key)),
        }
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        self.values.values_mut()
    }

    /// Returns the scheme of the URL, or the factory's first one.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Returns the value of a key; `None` if it is not set.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// Returns the text of a key; empty if it is not set.
    ///
    /// # Panics
    /// If the key is of another kind, like all of these methods.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        match self.get(key) {
            None => "",
            Some(Value::Text(text)) => text,
            Some(other) => panic!("the key {key} is not a string but {other:?}"),
        }
    }

    /// Returns the path of a key; empty if it is not set.
    ///
    /// # Panics
    /// If the key is of another kind.
    #[must_use]
    pub fn path(&self, key: &str) -> &Path {
        match self.get(key) {
            None => Path::new(""),
            Some(Value::Path(path)) => path,
            Some(other) => panic!("the key {key} is not a path but {other:?}"),
        }
    }

    /// Returns whether a flag is set and true.
    ///
    /// # Panics
    /// If the key is of another kind.
    #[must_use]
    pub fn flag(&self, key: &str) -> bool {
        match self.get(key) {
            None => false,
            Some(Value::Flag(flag)) => *flag,
            Some(other) => panic!("the key {key} is not a flag but {other:?}"),
        }
    }

    /// Returns the number of a key; 0 if it is not set.
    ///
    /// # Panics
    /// If the key is of another kind.
    #[must_use]
    pub fn whole(&self, key: &str) -> u64 {
        match self.get(key) {
            None => 0,
            Some(Value::Whole(number)) => *number,
            Some(other) => panic!("the key {key} is not a number but {other:?}"),
        }
    }

    /// Returns the duration of a key; zero if it is not set.
    ///
    /// # Panics
    /// If the key is of another kind.
    #[must_use]
    pub fn duration(&self, key: &str) -> Duration {
        match self.get(key) {
            None => Duration::ZERO,
            Some(Value::Duration(duration)) => *duration,
            Some(other) => panic!("the key {key} is not a duration but {other:?}"),
        }
    }
}
