//! What is known of a job while it runs, and how a person ends it.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Lease;

/// The reason with which a message is buried that was cancelled.
pub const CANCELLED: &str = crate::disposition::CANCELLED;

/// How far a run has come, as its handler last said by
/// [`Context::progress`](crate::Context::progress).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Progress {
    /// The part that is done, from 0 to 1.
    pub fraction: f64,
    /// What the handler says of it; may be empty.
    pub text: String,
    /// When it was said, by the time of the queue: within about a second.
    pub at: DateTime<Utc>,
}

impl Progress {
    /// The most bytes that [`text`](Self::text) has.
    pub const LONGEST_TEXT: usize = 500;

    /// So much is done. A fraction below 0 or not a number is 0, one above 1
    /// is 1. A text of more than [`LONGEST_TEXT`](Self::LONGEST_TEXT) bytes is
    /// cut between two characters.
    #[must_use]
    pub fn new(fraction: f64, text: impl AsRef<str>, at: DateTime<Utc>) -> Self {
        // Not a number is no part of anything. And no -0.
        let fraction = if fraction > 0.0 { fraction.min(1.0) } else { 0.0 };
        // Some queues keep no NUL.
        Self { fraction, text: cut(text.as_ref()).replace('\0', "\u{FFFD}"), at }
    }
}

/// The text, or as much of it as is kept. A NUL takes three bytes.
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

/// What [`Inspection::cancel`](super::Inspection::cancel) has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Cancelled {
    /// How many messages waited and are buried now.
    pub buried: u64,
    /// How many are running: their workers are told, and they are buried when
    /// their runs end.
    pub running: u64,
}

impl Cancelled {
    /// These many.
    #[must_use]
    pub const fn new(buried: u64, running: u64) -> Self {
        Self { buried, running }
    }

    /// How many messages were cancelled.
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

/// A run that has taken longer than a moment, as its worker tells the queue:
/// see [`Workers::follow_runs`](super::Workers::follow_runs).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LongRun {
    /// The lease of its message.
    pub lease: Lease,
    /// How far it is, if the handler has said so since the last call.
    pub progress: Option<Progress>,
}

impl LongRun {
    /// The run of this delivery, of which there is nothing new.
    #[must_use]
    pub fn new(lease: Lease) -> Self {
        Self { lease, progress: None }
    }

    /// How far it is by now.
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
