//! A field of a body, and its value.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::message::{Members, only_payload};

/// A field of a body, and its value: `to=ada@example.com`,
/// `address.city=London`, `items.0.sku=A-7`.
///
/// A path is a sequence of field names and list positions, from 0, separated by dots. Names may contain dots
/// themselves. A body that is not an object is stored under `payload`, which a path may leave out.
///
/// A field that is a text is compared as text, any other field as JSON: `42` matches the number 42, 42.0 and the text
/// `"42"`; `true` and `null` match these values and the texts; `"42"`, with its quotation marks, matches the text
/// alone. A missing field matches nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct BodyField {
    written: String,
    path: Vec<String>,
    text: String,
    value: Option<Value>,
}

// JSON has no NaN.
impl Eq for BodyField {}

/// The error of a string that does not name a field of a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a field of the body and its value, such as to=ada@example.com or address.city=London, got {0:?}")]
pub struct BodyFieldError(String);

impl BodyField {
    /// Creates a condition: the field at this path has this value.
    ///
    /// # Errors
    /// If the path is empty.
    pub fn new(path: &str, value: impl Into<String>) -> Result<Self, BodyFieldError> {
        let text = value.into();
        let written = format!("{path}={text}");
        let names: Vec<_> = path.split('.').map(str::to_owned).collect();
        if names.iter().any(String::is_empty) {
            return Err(BodyFieldError(written));
        }
        let value = serde_json::from_str(&text).ok();
        Ok(Self { written, path: names, text, value })
    }

    /// Returns whether a message with this text has the value.
    #[must_use]
    pub fn fits(&self, text: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(text) else { return false };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let bodies = members(text).into_iter().filter(|(name, _)| name == "body");
        bodies
            .map(|(_, body)| body.get())
            .any(|body| self.is_at(body, &path) || only_payload(body).is_some_and(|payload| self.is_at(payload, &path)))
    }

    fn is_at(&self, json: &str, path: &[&str]) -> bool {
        let Some((first, rest)) = path.split_first() else { return self.is(json) };
        match json.trim_start().bytes().next() {
            Some(b'{') => members(json).into_iter().any(|(name, value)| {
                (name == *first && self.is_at(value.get(), rest))
                    || (2..=path.len())
                        .any(|many| name == path[..many].join(".") && self.is_at(value.get(), &path[many..]))
            }),
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
                let item = first.parse::<usize>().ok().and_then(|place| items.get(place).copied());
                item.is_some_and(|item| self.is_at(item.get(), rest))
            }
            _ => false,
        }
    }

    /// Returns whether this JSON is the value.
    fn is(&self, json: &str) -> bool {
        let json = json.trim();
        let Some(wanted) = &self.value else {
            return json.starts_with('"') && serde_json::from_str::<String>(json).is_ok_and(|text| text == self.text);
        };
        // Compare as written first: numbers may be too long for the parser.
        if json == self.text.trim() {
            return true;
        }
        match (serde_json::from_str::<Value>(json), wanted) {
            (Ok(Value::String(found)), Value::String(wanted)) => found == *wanted || found == self.text,
            (Ok(Value::String(found)), _) => found == self.text,
            (Ok(Value::Number(found)), Value::Number(wanted)) => is_same_number(&found, wanted, (json, &self.text)),
            (Ok(found), wanted) => found == *wanted,
            (Err(_), _) => false,
        }
    }
}

/// Returns whether two numbers are equal. Whole numbers that are too long to be read exactly are compared as written,
/// which the caller has done.
fn is_same_number(a: &serde_json::Number, b: &serde_json::Number, written: (&str, &str)) -> bool {
    let is_whole = |text: &str| text.trim().trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
    match (a.is_f64(), b.is_f64()) {
        (false, false) => a == b,
        (true, true) if is_whole(written.0) && is_whole(written.1) => false,
        // The same number in any notation.
        _ => a.as_f64() == b.as_f64(),
    }
}

impl FromStr for BodyField {
    type Err = BodyFieldError;

    fn from_str(text: &str) -> Result<Self, BodyFieldError> {
        let (path, value) = text.split_once('=').ok_or_else(|| BodyFieldError(text.to_owned()))?;
        Self::new(path.trim(), value)
    }
}

impl fmt::Display for BodyField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// Returns the members of an object, repeated ones included; empty for any other value.
fn members(json: &str) -> Vec<(String, &RawValue)> {
    serde_json::from_str(json).map(|Members(all)| all).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(field: &str, body: &str) -> bool {
        let text = format!(r#"{{"header": {{"request_type": "job"}}, "body": {body}}}"#);
        field.parse::<BodyField>().expect(field).fits(text.as_bytes())
    }

    #[test]
    fn a_field_is_found_by_its_path() {
        let body =
            r#"{"to": "ada@example.com", "address": {"city": "London", "lines": ["x", {"no": 7}]}, "a.b": {"c.d": 1}}"#;
        for field in
            ["to=ada@example.com", "address.city=London", "address.lines.0=x", "address.lines.1.no=7", "a.b.c.d=1"]
        {
            assert!(fits(field, body), "{field}");
        }
        for field in [
            "to=ADA@example.com",
            "to=ada@example.co",
            "city=London",
            "address.lines.2=x",
            "address.lines.00001.no=8",
            "address=London",
            "to.0=a",
            "missing=null",
            "a.b.c=1",
        ] {
            assert!(!fits(field, body), "{field}");
        }
    }

    #[test]
    fn a_value_is_what_a_person_would_take_it_for() {
        for (field, body) in [
            ("n=42", r#"{"n": 42}"#),
            ("n=42", r#"{"n": "42"}"#),
            ("n=42", r#"{"n": 42.0}"#),
            ("n=\"42\"", r#"{"n": "42"}"#),
            ("n=true", r#"{"n": true}"#),
            ("n=null", r#"{"n": null}"#),
            ("n=", r#"{"n": ""}"#),
            ("n=a=b", r#"{"n": "a=b"}"#),
            ("n=grün", r#"{"n": "gr\u00fcn"}"#),
            (r#"n={"b": 1, "a": 2}"#, r#"{"n": {"a":2,"b":1}}"#),
            ("n=123456789012345678901234567890", r#"{"n": 123456789012345678901234567890}"#),
            ("n=1", r#"{"n": 2, "n": 1}"#),
        ] {
            assert!(fits(field, body), "{field} in {body}");
        }
        for (field, body) in [
            ("n=\"42\"", r#"{"n": 42}"#),
            ("n=4", r#"{"n": 42}"#),
            ("n=1", r#"{"n": true}"#),
            ("n=null", r#"{"n": 0}"#),
            ("n=123456789012345678901234567890", r#"{"n": 123456789012345678901234567891}"#),
            ("n=", r#"{"n": null}"#),
        ] {
            assert!(!fits(field, body), "{field} in {body}");
        }
    }

    #[test]
    fn a_body_that_is_not_an_object_is_under_payload() {
        assert!(fits("payload=7", r#"{"payload": 7}"#) && fits("0.to=ada", r#"{"payload": [{"to": "ada"}]}"#));
        assert!(!fits("payload=7", "[7]") && fits("0=7", "[7]"));
    }

    #[test]
    fn a_text_that_is_not_a_message_fits_nothing() {
        let field: BodyField = "to=ada".parse().expect("a field");
        for text in
            [&b"\xff"[..], b"", b"not JSON", b"{}", b"[]", br#"{"header": {"to": "ada"}}"#, br#"{"body": "ada"}"#]
        {
            assert!(!field.fits(text));
        }
        for wrong in ["to", "=ada", "a..b=1", ".a=1", "a.=1"] {
            assert!(wrong.parse::<BodyField>().is_err(), "{wrong}");
        }
    }
}
