//! Converts written values: each kind of value, with its range.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::error::ConfigError;
use super::layer::{Entry, Layers, Written};
use super::origin::Origin;
use super::secrets::hidden;
use super::span;
use crate::process::paths;

/// Reads a key as a value of its kind; `None` if it is not set.
impl Layers {
    pub(super) fn read<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Entry) -> Result<T, ConfigError>,
    ) -> Result<Option<T>, ConfigError> {
        self.get(key).map(read).transpose()
    }
}

impl Entry {
    /// Returns the error that something else was expected.
    pub(super) fn refuse(&self, expected: impl Into<String>) -> ConfigError {
        if let Written::NotText(_) = self.written {
            return ConfigError::NotText { variable: self.origin.to_string() };
        }
        self.refuse_as(expected, self.shown())
    }

    /// Returns that error with a different description of the value.
    pub(super) fn refuse_as(&self, expected: impl Into<String>, got: String) -> ConfigError {
        ConfigError::Value { key: self.key.to_string(), origin: self.origin.clone(), expected: expected.into(), got }
    }

    /// Returns the value as written, without passwords.
    fn shown(&self) -> String {
        match &self.written {
            Written::Text(text) => format!("{:?}", hidden(text)),
            Written::NotText(text) => format!("{:?}", hidden(&text.to_string_lossy())),
            Written::Whole(number) => number.to_string(),
            Written::Fraction(number) => number.to_string(),
            Written::Flag(flag) => flag.to_string(),
            Written::List(_) => "a list".to_owned(),
            Written::Other(text) => hidden(text),
        }
    }

    /// Returns a path, or a text that contains one; it need not be UTF-8.
    pub(super) fn raw(&self) -> Result<Cow<'_, OsStr>, ConfigError> {
        match &self.written {
            Written::NotText(raw) => Ok(Cow::Borrowed(raw)),
            Written::Text(text) => Ok(Cow::Borrowed(OsStr::new(text))),
            _ => Err(self.refuse("a string in quotes")),
        }
    }

    /// Returns a path as written.
    pub(super) fn path(&self) -> Result<PathBuf, ConfigError> {
        let path = self.raw()?;
        if path.is_empty() { Err(self.refuse("a path")) } else { Ok(path.into_owned().into()) }
    }

    /// Returns a text. A number counts as one where everything is text.
    pub(super) fn text(&self) -> Result<String, ConfigError> {
        match &self.written {
            Written::Text(text) => Ok(text.clone()),
            _ => Err(self.refuse("a string in quotes")),
        }
    }

    /// Returns one of these words.
    pub(super) fn word(&self, words: &[&str]) -> Result<String, ConfigError> {
        let text = self.text()?;
        if words.contains(&&*text) { Ok(text) } else { Err(self.refuse(words.join(" or "))) }
    }

    /// Returns a whole number in this range.
    pub(super) fn whole<T>(&self, range: RangeInclusive<T>) -> Result<T, ConfigError>
    where
        T: TryFrom<i128> + PartialOrd + Display + FromStr,
    {
        let number = match &self.written {
            Written::Whole(number) => T::try_from(*number).ok(),
            Written::Text(text) if self.is_all_text() => text.trim().parse().ok(),
            _ => None,
        };
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| self.refuse(format!("a whole number from {} to {}", range.start(), range.end())))
    }

    pub(super) fn flag(&self) -> Result<bool, ConfigError> {
        match &self.written {
            Written::Flag(flag) => Ok(*flag),
            Written::Text(text) if self.is_all_text() => match text.trim() {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(self.refuse("true or false")),
            },
            _ => Err(self.refuse("true or false")),
        }
    }

    /// Returns a duration in this range: a string such as `"1h 30m"`, or a number of seconds.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Result<Duration, ConfigError> {
        let duration = match &self.written {
            Written::Text(text) => span::parse(text).ok(),
            Written::Whole(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
            Written::Fraction(seconds) => Duration::try_from_secs_f64(*seconds).ok(),
            _ => None,
        };
        let duration = duration.ok_or_else(|| self.refuse(span::EXPECTED))?;
        if !range.contains(&duration) {
            let (least, most) = (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
            return Err(self.refuse(if *range.end() >= span::LONGEST {
                format!("a duration of at least {least}, and at most {most}")
            } else {
                format!("a duration from {least} to {most}")
            }));
        }
        Ok(duration)
    }

    /// Returns names: a list, or a string with commas.
    pub(super) fn names(&self) -> Result<Vec<String>, ConfigError> {
        let expected = "a list of names, or one string with commas";
        match &self.written {
            Written::List(names) => names
                .iter()
                .map(|name| match name {
                    Written::Text(name) => Ok(name.clone()),
                    _ => Err(self.refuse(expected)),
                })
                .collect(),
            Written::Text(text) => {
                Ok(text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect())
            }
            _ => Err(self.refuse(expected)),
        }
    }

    /// Returns whether the source has only texts, so that a number is one too.
    fn is_all_text(&self) -> bool {
        !matches!(self.origin, Origin::File { .. })
    }
}

/// Returns the absolute path.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, ConfigError> {
    paths::absolute(path).map_err(|source| ConfigError::NoFolder { path: path.to_owned(), source })
}
