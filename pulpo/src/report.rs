//! Errors as text for people.

use std::error::Error;

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

/// The text, cut where it is longer than anybody reads.
pub(crate) fn limited(mut text: String) -> String {
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        let cut = text.len() - end;
        text.truncate(end);
        text.push_str(&format!("… ({cut} more bytes)"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(limited("short".to_owned()), "short");
        let cut = limited("é".repeat(5000));
        assert!(cut.starts_with(&"é".repeat(2048)) && cut.ends_with("… (5904 more bytes)"), "{cut}");
    }
}
