//! Changes keys of the header in a producer's text, and nothing else in it.

use std::borrow::Cow;

#[cfg(any(feature = "file", feature = "postgres"))]
use chrono::{DateTime, SecondsFormat, Utc};

use super::Members;
#[cfg(any(feature = "file", feature = "postgres"))]
use super::{Incoming, Priority};

/// The new values of a header.
#[cfg(any(feature = "file", feature = "postgres"))]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeaderEdit {
    pub(crate) priority: Option<Priority>,
    /// The time, and whether to insert it if it is missing. For a message that is ready now, only a different time in
    /// the text has to be changed.
    pub(crate) delay: Option<(DateTime<Utc>, bool)>,
}

#[cfg(any(feature = "file", feature = "postgres"))]
impl HeaderEdit {
    /// Returns the text with the changed header. A text without a readable header stays as it is.
    pub(crate) fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut edited = Cow::Borrowed(text);
        if let Some(priority) = self.priority
            && let Some(changed) = with(&edited, "priority", &priority.get().to_string(), true)
        {
            edited = Cow::Owned(changed);
        }
        if let Some((delay, insert)) = self.delay {
            let delay = format!("\"{}\"", delay.to_rfc3339_opts(SecondsFormat::AutoSi, true));
            if let Some(changed) = with(&edited, "delay", &delay, insert) {
                edited = Cow::Owned(changed);
            }
        }
        edited
    }
}

/// Returns the text with a delay that is over, if its header has one that is not.
#[cfg(any(feature = "file", feature = "postgres"))]
pub(crate) fn without_delay(text: &str, now: DateTime<Utc>) -> Option<String> {
    let delay = Incoming::read(text.as_bytes()).ok()?.header.delay()?;
    (delay > now).then(|| HeaderEdit { priority: None, delay: Some((now, false)) }.apply(text).into_owned())
}

/// Returns the text with this key in its header, as JSON, unless the header has the key or cannot be read.
#[cfg(feature = "cli")]
pub(crate) fn with_new_key<'a>(text: &'a str, key: &str, value: &str) -> Cow<'a, str> {
    let Ok(Members(parts)) = serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(text)) else {
        return Cow::Borrowed(text);
    };
    let header = parts.iter().rev().find(|(name, _)| name == "header").map(|(_, header)| header.get());
    let members = header.and_then(|header| serde_json::from_str(header).ok());
    match members {
        Some(Members(members)) if members.iter().all(|(name, _)| name != key) => {
            with(text, key, value, true).map_or(Cow::Borrowed(text), Cow::Owned)
        }
        _ => Cow::Borrowed(text),
    }
}

/// Returns the text with this value under the key of its header, in its old place, or, if `insert`, as the first key.
fn with(text: &str, key: &str, value: &str, insert: bool) -> Option<String> {
    let Members(parts) = serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(text)).ok()?;
    // The last one of a repeated key counts.
    let header = parts.iter().rev().find(|(name, _)| name == "header")?.1.get();
    let Members(members) = serde_json::from_str(header).ok()?;
    let places: Vec<_> = members.iter().filter(|(name, _)| name == key).map(|(_, value)| value.get()).collect();
    let mut edited = String::with_capacity(text.len() + key.len() + value.len() + 4);
    let mut done = 0;
    if places.is_empty() {
        if !insert {
            return None;
        }
        let after = offset(text, header) + 1;
        let comma = if members.is_empty() { "" } else { "," };
        edited.push_str(&text[..after]);
        edited.push_str(&format!("\"{key}\":{value}{comma}"));
        done = after;
    }
    for place in places {
        let start = offset(text, place);
        edited.push_str(&text[done..start]);
        edited.push_str(value);
        done = start + place.len();
    }
    edited.push_str(&text[done..]);
    Some(edited)
}

/// Returns where this part of the text begins.
fn offset(text: &str, part: &str) -> usize {
    part.as_ptr().addr() - text.as_ptr().addr()
}

#[cfg(all(test, any(feature = "file", feature = "postgres")))]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn only_the_values_of_the_keys_are_changed() {
        let text = "\u{feff} {\"id\" : 7,\r\n \"header\":{ \"a\": 1.10, \"priority\" :  \"9\", \"delay\":null ,\"x\":[ ] },\"body\": {\"priority\": 3} }\n";
        let edit = HeaderEdit { priority: Some(Priority::new(5)), delay: Some((at("2026-11-23T09:00:00Z"), true)) };
        let expected = text.replace(" \"9\"", " 5").replace("\"delay\":null", "\"delay\":\"2026-11-23T09:00:00Z\"");
        assert_eq!(edit.apply(text), expected);
        assert_eq!(edit.apply(&expected), expected);
    }

    #[test]
    fn a_key_that_is_missing_is_inserted_only_if_it_says_something() {
        let now = HeaderEdit { priority: None, delay: Some((at("2026-11-23T09:00:00Z"), false)) };
        let text = r#"{"header": {"request_type": "job"}}"#;
        assert_eq!(now.apply(text), text);
        let late = HeaderEdit { delay: Some((at("2026-11-23T09:00:00.5Z"), true)), ..now };
        assert_eq!(late.apply(text), r#"{"header": {"delay":"2026-11-23T09:00:00.500Z","request_type": "job"}}"#);
        assert_eq!(late.apply(r#"{"header":{}}"#), r#"{"header":{"delay":"2026-11-23T09:00:00.500Z"}}"#);
        assert_eq!(
            now.apply(&late.apply(text)),
            r#"{"header": {"delay":"2026-11-23T09:00:00Z","request_type": "job"}}"#
        );
    }

    #[test]
    fn only_a_delay_that_is_not_over_is_ended() {
        let now = at("2026-11-23T09:00:00Z");
        let text = |delay: &str| format!(r#"{{"header":{{"request_type":"job","delay":{delay}}},"body":1.10}}"#);
        let ended = Some(text("\"2026-11-23T09:00:00Z\""));
        assert_eq!(without_delay(&text("\"2026-11-23T12:00:00+02:00\""), now), ended);
        for over in ["\"2026-11-23T09:00:00Z\"", "\"2001-01-01T00:00:00Z\"", "null"] {
            assert_eq!(without_delay(&text(over), now), None, "{over}");
        }
        assert_eq!(without_delay(r#"{"header":{"request_type":"job"}}"#, now), None);
        assert_eq!(without_delay("not JSON", now), None);
    }

    #[test]
    fn a_repeated_key_is_changed_each_time_and_other_texts_never() {
        let edit = HeaderEdit { priority: Some(Priority::new(5)), delay: None };
        assert_eq!(
            edit.apply(r#"{"header":{"priority":1,"\u0070riority":2}}"#),
            r#"{"header":{"priority":5,"\u0070riority":5}}"#
        );
        for text in ["", "not JSON", "[]", r#"{"body":{}}"#, r#"{"header":7}"#] {
            assert_eq!(edit.apply(text), text);
        }
    }
}
