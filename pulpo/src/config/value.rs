//! From what is written to what is meant: each kind of value, with its range.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::error::ConfigError;
use super::layer::{Entry, Layers, Written};
use super::origin::Origin;
use super::span;

/// What the layers say of a key, as a value of its kind; `None` if nothing.
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
    /// This is not what was expected.
    pub(super) fn refuse(&self, expected: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            key: self.key.to_string(),
            origin: self.origin.clone(),
            expected: expected.into(),
            got: self.shown(),
        }
    }

    /// The value as it is written; no password is shown.
    fn shown(&self) -> String {
        match &self.written {
            Written::Text(text) => format!("{:?}", masked(text)),
            Written::Whole(number) => number.to_string(),
            Written::Fraction(number) => number.to_string(),
            Written::Flag(flag) => flag.to_string(),
            Written::List(_) => "a list".to_owned(),
            Written::Other(text) => text.clone(),
        }
    }

    /// A text; a number is one where everything is text.
    pub(super) fn text(&self) -> Result<String, ConfigError> {
        match &self.written {
            Written::Text(text) => Ok(text.clone()),
            _ => Err(self.refuse("a text in quotes")),
        }
    }

    /// A whole number in this range.
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

    /// A duration in this range: a text such as `"1h 30m"`, or a number of
    /// seconds.
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

    /// Names: a list, or a text with commas.
    pub(super) fn names(&self) -> Result<Vec<String>, ConfigError> {
        let expected = "a list of names, or in one text with commas";
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

    /// Where there are only texts, a number is one too.
    fn is_all_text(&self) -> bool {
        !matches!(self.origin, Origin::File { .. })
    }
}

/// The text without the password of an address that is in it.
pub(super) fn masked(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let user_and_host = authority.rsplit_once('@');
    match user_and_host.and_then(|(user, host)| Some((user.split_once(':')?.0, host))) {
        Some((user, host)) => format!("{scheme}://{user}:***@{host}{path}"),
        None => text.to_owned(),
    }
}
