//! Parses durations: `"1h 30m"`, `"90"` or `90` seconds.

use std::time::Duration;

pub(super) const EXPECTED: &str = "a duration such as \"30s\" or \"1h 30m\", or a number of seconds";

/// The longest duration, some 136 years: beanstalkd does not count further.
pub(super) const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

/// Parses a duration, or a number of seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let refused = || format!("expected {EXPECTED}, got {text:?}");
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| refused()),
        Err(_) => humantime::parse_duration(text).map_err(|error| format!("{}: {error}", refused())),
    }
}
