//! Errors as text for people.

use std::any::Any;
use std::error::Error;
use std::time::Duration;

/// How long a reason may be that is kept and logged: serde quotes the value
/// that does not fit, and that may be megabytes.
const LONGEST: usize = 4096;

/// The error and its sources, each once: `cannot write: permission denied`.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut last = error.to_string();
    let mut all = last.clone();
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        // Many errors repeat their source in their own text.
        if !last.ends_with(&text) {
            all.push_str(": ");
            all.push_str(&text);
        }
        last = text;
        source = error.source();
    }
    all
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("with something that is not a text")
}

/// The text, cut where it is longer than anybody reads.
pub(crate) fn limited(text: String) -> String {
    limited_to(text, LONGEST)
}

/// The text, cut where it has more than so many bytes.
pub(crate) fn limited_to(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        let end = (0..=longest).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        let cut = text.len() - end;
        text.truncate(end);
        text.push_str(&format!("… ({cut} more bytes)"));
    }
    text
}

/// A duration as a person reads it: `31.8µs`, `1.23s`, `2h 5m`.
pub(crate) fn rough(duration: Duration) -> String {
    if duration >= Duration::from_secs(60) {
        return humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string();
    }
    // Three digits are enough: what is below them is cut off.
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let cut = 10_u64.pow(nanos.checked_ilog10().unwrap_or(0).saturating_sub(2));
    format!("{:?}", Duration::from_nanos(nanos / cut * cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_three_digits() {
        for (nanos, expected) in [
            (0, "0ns"),
            (999, "999ns"),
            (31_767, "31.7µs"),
            (120_572_471, "120ms"),
            (1_231_100_400, "1.23s"),
            (59_999_999_999, "59.9s"),
            (60_400_000_000, "1m"),
            (7_500_123_000_000, "2h 5m"),
        ] {
            assert_eq!(rough(Duration::from_nanos(nanos)), expected);
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(limited("short".to_owned()), "short");
        let cut = limited("é".repeat(5000));
        assert!(cut.starts_with(&"é".repeat(2048)) && cut.ends_with("… (5904 more bytes)"), "{cut}");
    }
}
