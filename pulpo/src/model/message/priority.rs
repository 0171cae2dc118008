//! The priority of a message.

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;

use super::raw::{number, text};
use crate::report::limited;

/// The priority of a message: 0 first, 4294967295 last, 65536 by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Priority(u32);

impl Priority {
    /// 0: before all other messages.
    pub const MOST_URGENT: Self = Self(0);
    /// 65536: the priority of messages that set none.
    pub const DEFAULT: Self = Self(65_536);
    /// 4294967295: after all other messages.
    pub const LEAST_URGENT: Self = Self(u32::MAX);

    /// Creates a priority.
    #[must_use]
    pub const fn new(priority: u32) -> Self {
        Self(priority)
    }

    /// Returns the priority as a number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u32> for Priority {
    fn from(priority: u32) -> Self {
        Self(priority)
    }
}

impl From<i64> for Priority {
    /// Maps a negative number to 0, and one above the range to the least urgent.
    fn from(priority: i64) -> Self {
        Self(u32::try_from(priority.max(0)).unwrap_or(u32::MAX))
    }
}

impl From<i32> for Priority {
    /// Maps a negative number to 0.
    fn from(priority: i32) -> Self {
        i64::from(priority).into()
    }
}

impl Priority {
    /// Reads any number, as JSON or as a text: a number below the range becomes 0, one above it the least urgent, and a
    /// fraction is cut off. `None`: null, or an empty text.
    ///
    /// # Errors
    /// The error message for any other value.
    pub(super) fn read(value: &RawValue) -> Result<Option<Self>, String> {
        if value.get() == "null" || text(value).is_some_and(|text| text.trim().is_empty()) {
            return Ok(None);
        }
        let number = number(value);
        let number = number.as_deref().map(str::trim);
        if let Some(whole) = number.and_then(|number| number.parse::<i64>().ok()) {
            return Ok(Some(whole.into()));
        }
        // `as` saturates at both ends, as intended.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let priority = number.and_then(|number| number.parse::<f64>().ok()).map(|number| Self(number as u32));
        let fault = || format!("expected a priority from 0 to 4294967295, got {}", limited(value.get().to_owned()));
        priority.map(Some).ok_or_else(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Option<u32>, String> {
        let value = RawValue::from_string(json.to_owned()).expect("JSON");
        Priority::read(&value).map(|priority| priority.map(Priority::get))
    }

    #[test]
    fn any_number_is_a_priority() {
        for (json, expected) in [
            ("-5", 0),
            ("10", 10),
            ("\"10\"", 10),
            ("\" 10 \"", 10),
            ("\"-1\"", 0),
            ("\"+7\"", 7),
            ("10.0", 10),
            ("2.9", 2),
            ("\"2.9\"", 2),
            ("1e3", 1000),
            ("4294967295", u32::MAX),
            ("4294967296", u32::MAX),
            ("18446744073709551616", u32::MAX),
            ("123456789012345678901234567890", u32::MAX),
            ("1e300", u32::MAX),
            ("1e400", u32::MAX),
            ("\"1e400\"", u32::MAX),
            ("-1e300", 0),
            ("-1e400", 0),
            ("-0.0", 0),
        ] {
            assert_eq!(read(json), Ok(Some(expected)), "{json}");
        }
        for json in ["null", "\"\"", "\" \""] {
            assert_eq!(read(json), Ok(None), "{json}");
        }
        for json in ["\"high\"", "true", "[1]", "{}", "\"nan\"", "\"inf\"", "\"1x\"", "\"\\ud800\""] {
            assert_eq!(read(json), Err(format!("expected a priority from 0 to 4294967295, got {json}")));
        }
    }
}
