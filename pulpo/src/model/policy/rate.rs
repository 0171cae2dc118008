//! How often jobs may start.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The longest period of a rate that is written as text, as of all times of handlers: beanstalkd counts no further.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

/// The shortest time of a handler that is written as text: queues count in milliseconds.
pub(crate) const SHORTEST: Duration = Duration::from_millis(1);

/// A limit on starts in any period: `10/1s`. Unused starts are not saved up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rate {
    /// How many jobs may start; at least one.
    pub starts: u32,
    /// The period; longer than zero.
    pub period: Duration,
}

impl Rate {
    /// Allows at most `starts` in any `period`.
    ///
    /// # Panics
    /// If `starts` or `period` is zero.
    #[must_use]
    pub const fn new(starts: u32, period: Duration) -> Self {
        assert!(starts > 0 && !period.is_zero(), "expected a rate of at least one start in a time longer than zero");
        Self { starts, period }
    }
}

impl FromStr for Rate {
    type Err = String;

    /// Reads `10/1s`.
    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("expected a number of starts and a time such as 10/1s, got {text:?}");
        let (starts, period) = text.split_once('/').ok_or_else(form)?;
        let period = humantime::parse_duration(period.trim()).map_err(|error| format!("{}: {error}", form()))?;
        match starts.trim().parse::<u32>() {
            Ok(_) if period > LONGEST => {
                Err(format!("{}: at most {} seconds, some 136 years", form(), LONGEST.as_secs()))
            }
            Ok(_) if !period.is_zero() && period < SHORTEST => {
                Err(format!("{}: at least 1ms, since queues count in milliseconds", form()))
            }
            Ok(starts) if starts > 0 && !period.is_zero() => Ok(Self { starts, period }),
            Ok(_) => Err(format!("{}: with it no job would ever start", form())),
            Err(_) => Err(form()),
        }
    }
}

/// Writes the form of the attribute: `10/1s`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.starts, humantime::format_duration(self.period))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_as_the_attribute_takes_it() {
        for text in ["10/1s", "1/1h 30m", "1/136years", "4294967295/100ms"] {
            assert_eq!(text.parse::<Rate>().expect("a rate").to_string(), text);
        }
        for wrong in [
            "",
            "10",
            "10/",
            "/1s",
            "10/s",
            "10/fortnight",
            "0/1s",
            "10/0s",
            "-1/1s",
            "1.5/1s",
            "1/1s/1s",
            "1/137y",
            "1/1ns",
            "1/999us",
        ] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }
}
