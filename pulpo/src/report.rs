//! Errors as text for people.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::guard;

#[cfg(any(feature = "cli", feature = "http"))]
pub(crate) mod json;

/// The maximum size of a reason that is kept and logged: serde quotes the value that does not fit, which may have
/// megabytes.
const LONGEST: usize = 4096;

/// The maximum number of sources of an error that are shown. An error may be its own source.
const MOST_SOURCES: usize = 64;

/// The number of refused writes after which a text that is full stops its writer. A well-behaved writer ends at the
/// first one.
const MOST_REFUSALS: u32 = 1000;

/// Replaces the text of an error whose `Display` fails or panics.
pub(crate) const UNSHOWABLE: &str = "an error whose text cannot be shown";

/// Returns the error and its sources, each once: `cannot write: permission denied`. At most 4096 bytes and 64 sources;
/// a source that panics ends the list.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut last = shown(error);
    let mut all = Cut::default();
    let mut write = |text: &str| all.write_str(text).is_ok();
    let mut room = write(&last);
    let mut next = guard::catch(|| error.source()).ok().flatten();
    for _ in 0..MOST_SOURCES {
        let Some(error) = next.filter(|_| room) else { break };
        let text = shown(error);
        // Many errors repeat their source in their own text.
        if !last.ends_with(&text) {
            room = write(": ") && write(&text);
        }
        last = text;
        next = guard::catch(|| error.source()).ok().flatten();
    }
    all.into_text()
}

/// Returns the text of this error alone.
fn shown(error: &(dyn Error + 'static)) -> String {
    let mut text = Cut::default();
    let written = guard::catch(|| write!(text, "{error}"));
    match written {
        Ok(Ok(())) => text.into_text(),
        // The writer failed because the text was full.
        _ if text.refusals > 0 => text.into_text(),
        _ => UNSHOWABLE.to_owned(),
    }
}

/// A text that takes at most [`LONGEST`] bytes, so that an error that writes forever comes to an end.
#[derive(Default)]
struct Cut {
    text: String,
    refusals: u32,
}

impl Cut {
    fn into_text(mut self) -> String {
        if self.refusals > 0 {
            self.text.push_str("… (cut)");
        }
        self.text
    }
}

impl fmt::Write for Cut {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = LONGEST - self.text.len();
        if self.refusals == 0 && part.len() <= room {
            self.text.push_str(part);
            return Ok(());
        }
        if self.refusals == 0 {
            self.text.push_str(&part[..boundary(part, room)]);
        }
        self.refusals += 1;
        // Its writer ignores our errors. If panics abort the process, let it go on.
        if self.refusals > MOST_REFUSALS && cfg!(panic = "unwind") {
            std::panic::resume_unwind(Box::new("a text without an end"));
        }
        Err(fmt::Error)
    }
}

/// Cuts the text at the maximum size of a reason.
pub(crate) fn limited(text: String) -> String {
    limited_to(text, LONGEST)
}

/// Cuts the text at this many bytes.
pub(crate) fn limited_to(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        let end = boundary(&text, longest);
        let cut = text.len() - end;
        text.truncate(end);
        text.push_str(&format!("… ({cut} more bytes)"));
    }
    text
}

/// Returns where to cut the text so that it has at most `longest` bytes, between two characters.
fn boundary(text: &str, longest: usize) -> usize {
    (0..=longest).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0)
}

/// Formats a duration for people: `31.8µs`, `1.23s`, `2h 5m`.
pub(crate) fn rough(duration: Duration) -> String {
    if duration >= Duration::from_secs(60) {
        return humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string();
    }
    // Three digits are enough: cut off the rest.
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let cut = 10_u64.pow(nanos.checked_ilog10().unwrap_or(0).saturating_sub(2));
    format!("{:?}", Duration::from_nanos(nanos / cut * cut))
}

/// Escapes control characters, and others that deceive readers, so that the content of a message cannot write anywhere
/// else on the screen.
#[cfg(any(feature = "cli", feature = "http"))]
pub(crate) fn visible(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if c.is_control() || deceives(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
        shown
    })
}

/// Returns whether a character, without being a control character, ends a line, is invisible or changes the direction
/// of writing.
#[cfg(any(feature = "cli", feature = "http"))]
pub(crate) fn deceives(c: char) -> bool {
    matches!(
        c,
        '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{200b}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
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

    /// Writes itself with `show`, and can be its own source.
    #[derive(Debug)]
    struct Odd {
        show: fn(&mut fmt::Formatter<'_>) -> fmt::Result,
        source: fn(&Odd) -> Option<&(dyn Error + 'static)>,
    }

    impl Odd {
        fn new(show: fn(&mut fmt::Formatter<'_>) -> fmt::Result) -> Self {
            Self { show, source: |_| None }
        }
    }

    impl fmt::Display for Odd {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            (self.show)(f)
        }
    }

    impl Error for Odd {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            (self.source)(self)
        }
    }

    #[test]
    fn an_error_that_cannot_show_itself_still_has_a_text() {
        assert_eq!(chain(&Odd::new(|_| Err(fmt::Error))), UNSHOWABLE);
        assert_eq!(chain(&Odd::new(|_| panic!("in Display"))), UNSHOWABLE);
        let half = Odd::new(|f| f.write_str("half of it").and(Err(fmt::Error)));
        assert_eq!(chain(&std::io::Error::other(half)), UNSHOWABLE);
        let outer = Odd { source: |_| panic!("in source"), ..Odd::new(|f| f.write_str("outer")) };
        assert_eq!(chain(&outer), "outer");
    }

    #[test]
    fn an_error_that_is_its_own_source_is_cut() {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let same = Odd { source: |odd| Some(odd), ..Odd::new(|f| f.write_str("again")) };
        assert_eq!(chain(&same), "again");
        let show =
            |f: &mut fmt::Formatter<'_>| write!(f, "{}", COUNT.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
        let all = chain(&Odd { source: |odd| Some(odd), ..Odd::new(show) });
        assert!(all.starts_with("0: 1: 2: ") && all.ends_with(": 64"), "{all}");
    }

    #[test]
    fn a_text_without_an_end_is_cut() {
        let obedient = Odd::new(|f| {
            loop {
                f.write_str("é…")?;
            }
        });
        let deaf = Odd::new(|f| {
            loop {
                let _ = f.write_str("é…");
            }
        });
        for error in [obedient, deaf] {
            let text = chain(&error);
            assert!(text.starts_with("é…é…") && text.ends_with("… (cut)") && text.len() < 4200, "{text}");
        }
        assert_eq!(chain(&Odd::new(|f| f.write_str(&"x".repeat(10_000_000)))).len(), 4096 + "… (cut)".len());
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(limited("short".to_owned()), "short");
        let cut = limited("é".repeat(5000));
        assert!(cut.starts_with(&"é".repeat(2048)) && cut.ends_with("… (5904 more bytes)"), "{cut}");
    }
}
