//! JSON from other producers, shown as it is: numbers of any length, and repeated keys.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The maximum depth. Readers of our output cannot read JSON that is nested deeper.
const DEEPEST: usize = 100;

/// Returns the text as JSON, if every JSON reader can read it. Otherwise it is shown as a text, so that one message
/// cannot make a whole list unreadable.
pub(crate) fn read(text: &[u8]) -> Option<Box<RawValue>> {
    let value: &RawValue = serde_json::from_slice(text).ok()?;
    let mut depth = 0_usize;
    for token in Tokens(value.get()) {
        match token {
            "{" | "[" => depth += 1,
            "}" | "]" => depth = depth.saturating_sub(1),
            // Half of a character, `\ud800`, is not a text.
            _ if token.starts_with('"') => drop(serde_json::from_str::<String>(token).ok()?),
            _ => {}
        }
        if depth > DEEPEST {
            return None;
        }
    }
    Some(value.to_owned())
}

/// The maximum size of JSON on several lines, in bytes, unless it is less than [`TIMES`] its size on one line.
const LARGEST: usize = 1 << 20;

/// See [`LARGEST`].
const TIMES: usize = 8;

/// Writes JSON on several lines, changing only the space between its parts. JSON that indentation would make far larger,
/// such as a long list at a great depth, is returned as it is.
pub(crate) fn pretty(json: &str) -> String {
    let most = (json.len() * TIMES).max(LARGEST);
    let mut shown = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut before = "";
    for token in Tokens(json) {
        let ends = matches!(token, "}" | "]");
        let (begun, empty) = (matches!(before, "{" | "["), matches!((before, token), ("{", "}") | ("[", "]")));
        if ends {
            depth = depth.saturating_sub(1);
        }
        if shown.len() > most {
            return json.to_owned();
        }
        if (begun || before == "," || ends) && !empty {
            shown.push('\n');
            shown.extend(std::iter::repeat_n("  ", depth));
        }
        shown.push_str(token);
        match token {
            "{" | "[" => depth += 1,
            ":" => shown.push(' '),
            _ => {}
        }
        before = token;
    }
    shown
}

/// The tokens of valid JSON.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0.trim_start();
        let end = match rest.chars().next()? {
            '"' => end_of_text(rest),
            '{' | '}' | '[' | ']' | ',' | ':' => 1,
            _ => rest.find(|c: char| c.is_whitespace() || "{}[],:\"".contains(c)).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(end);
        self.0 = after;
        Some(token)
    }
}

fn end_of_text(json: &str) -> usize {
    let mut escaped = false;
    let end = json.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(json.len(), |end| end + 2)
}

/// Returns the members of an object, in order, repeated ones included.
#[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "only `peek` shows the parts apart"))]
pub(crate) struct Members(pub(crate) Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_json_is_laid_out_as_serde_does() {
        for json in
            ["{}", "[]", "1", r#"{"a": [1, {"b": "x\"{\\"}, []], "c": {}, "d\\": null}"#, r#"[[],[{}],"",{"a":""}]"#]
        {
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            assert_eq!(pretty(json), serde_json::to_string_pretty(&value).unwrap(), "{json}");
            assert_eq!(pretty(&pretty(json)), pretty(json));
        }
    }

    #[test]
    fn indentation_does_not_multiply_the_size() {
        let nested = |inside: &str, depth: usize| "[".repeat(depth) + inside + &"]".repeat(depth);
        for inside in ["0,".repeat(500_000) + "0", "[],".repeat(300_000) + "{}"] {
            let json = nested(&inside, 99);
            assert_eq!(pretty(&json), json);
            let flat = nested(&inside, 1);
            assert!(pretty(&flat).lines().count() > 300_000, "each is on its own line");
        }
        assert_eq!(pretty(&nested("0,0", 99)).lines().count(), 200, "what is small is laid out");
    }

    #[test]
    fn numbers_and_repeated_keys_stay_as_they_are() {
        let json = r#"{"n": 123456789012345678901234567890, "n": 1.10, "e": 1e400, "z": -0}"#;
        assert_eq!(pretty(read(json.as_bytes()).unwrap().get()).replace(['\n', ' '], ""), json.replace(' ', ""));
        let members: Members = serde_json::from_str(json).unwrap();
        let names: Vec<_> = members.0.iter().map(|(name, value)| (name.as_str(), value.get())).collect();
        assert_eq!(names, [("n", "123456789012345678901234567890"), ("n", "1.10"), ("e", "1e400"), ("z", "-0")]);
    }

    #[test]
    fn text_that_a_reader_of_json_may_refuse_is_not_json() {
        for text in ["", "{", "x", r#""\ud800""#, r#"{"\udfff": 1}"#, "\u{feff}{}", "{} {}"] {
            assert!(read(text.as_bytes()).is_none(), "{text}");
        }
        assert!(read(b"\"\xff\"").is_none());
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(read(nested(100).as_bytes()).is_some() && read(nested(101).as_bytes()).is_none());
        assert!(read(nested(100_000).as_bytes()).is_none());
    }
}
