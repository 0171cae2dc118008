//! The progress of running jobs, and how a person cancels them.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Lease;

/// The burial reason of a cancelled message.
pub const CANCELLED: &str = crate::disposition::CANCELLED;

/// The progress of a run, as its handler last reported it with [`Context::progress`](crate::Context::progress).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Progress {
    /// The part that is done, from 0 to 1.
    pub fraction: f64,
    /// The text of the report; may be empty.
    pub text: String,
    /// When it was reported, by the time of the queue, to within about a second.
    pub at: DateTime<Utc>,
}

impl Progress {
    /// The maximum size of [`text`](Self::text), in bytes.
    pub const LONGEST_TEXT: usize = 500;

    /// Creates a report. A fraction below 0 or not a number becomes 0, one above 1 becomes 1. A text of more than
    /// [`LONGEST_TEXT`](Self::LONGEST_TEXT) bytes is cut between two characters.
    #[must_use]
    pub fn new(fraction: f64, text: impl AsRef<str>, at: DateTime<Utc>) -> Self {
        // NaN becomes 0, and -0 becomes 0.
        let fraction = if fraction > 0.0 { fraction.min(1.0) } else { 0.0 };
        // Some queues cannot store NUL.
        Self { fraction, text: cut(text.as_ref()).replace('\0', "\u{FFFD}"), at }
    }
}

/// Cuts the text to the maximum size. A NUL counts as three bytes.
fn cut(text: &str) -> String {
    const DOTS: &str = "…";
    let width = |c: char| if c == '\0' { 3 } else { c.len_utf8() };
    let mut bytes = 0;
    let mut end = None;
    for (at, c) in text.char_indices() {
        if bytes + width(c) > Progress::LONGEST_TEXT - DOTS.len() {
            end.get_or_insert(at);
        }
        bytes += width(c);
        if bytes > Progress::LONGEST_TEXT {
            return format!("{}{DOTS}", &text[..end.unwrap_or_default()]);
        }
    }
    text.to_owned()
}

/// The result of [`Inspection::cancel`](super::Inspection::cancel).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Cancelled {
    /// The number of waiting messages, which are buried now.
    pub buried: u64,
    /// The number of running messages. Their workers are notified, and they are buried when their runs end.
    pub running: u64,
}

impl Cancelled {
    /// Creates a result with these numbers.
    #[must_use]
    pub const fn new(buried: u64, running: u64) -> Self {
        Self { buried, running }
    }

    /// Returns how many messages were cancelled.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.buried.saturating_add(self.running)
    }
}

impl std::ops::AddAssign for Cancelled {
    fn add_assign(&mut self, other: Self) {
        self.buried += other.buried;
        self.running += other.running;
    }
}

/// A long run, as its worker reports it to the queue; see [`Workers::follow_runs`](super::Workers::follow_runs).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LongRun {
    /// The lease of its message.
    pub lease: Lease,
    /// The progress, if the handler has reported any since the last call.
    pub progress: Option<Progress>,
}

impl LongRun {
    /// Creates the entry of a delivery, without new progress.
    #[must_use]
    pub fn new(lease: Lease) -> Self {
        Self { lease, progress: None }
    }

    /// Adds the progress.
    #[must_use]
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = Some(progress);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_fraction(said: f64, kept: f64) {
        let progress = Progress::new(said, "", DateTime::UNIX_EPOCH);
        assert_eq!(progress.fraction.to_bits(), kept.to_bits(), "of {said}");
    }

    #[test]
    fn a_fraction_is_between_none_and_all() {
        assert_fraction(0.4, 0.4);
        for less in [-1.0, -0.0, f64::NAN, -f64::NAN, f64::NEG_INFINITY, 0.0] {
            assert_fraction(less, 0.0);
        }
        for more in [1.0, 1.000_001, 100.0, f64::INFINITY, f64::MAX] {
            assert_fraction(more, 1.0);
        }
    }

    #[track_caller]
    fn assert_text(said: &str, kept: &str) {
        let text = Progress::new(0.5, said, DateTime::UNIX_EPOCH).text;
        assert_eq!(text, kept);
        assert!(text.len() <= Progress::LONGEST_TEXT, "{} bytes", text.len());
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        let longest = "x".repeat(500);
        assert_text(&longest, &longest);
        assert_text(&"x".repeat(501), &format!("{}…", "x".repeat(497)));
        assert_text(&"€".repeat(166), &"€".repeat(166));
        assert_text(&"€".repeat(167), &format!("{}…", "€".repeat(165)));
        assert_text(&format!("x{}", "𝄞".repeat(1000)), &format!("x{}…", "𝄞".repeat(124)));
        assert_text(&"\0".repeat(1000), &format!("{}…", "\u{FFFD}".repeat(165)));
        assert_text("row 1\0 of 2", "row 1\u{FFFD} of 2");
    }
}
