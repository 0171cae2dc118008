//! Messages that no honest producer writes.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

/// Values as JSON text, most of them wrong in any position.
fn value() -> impl Strategy<Value = String> {
    let fixed = select(vec![
        "null",
        "true",
        "0",
        "-1",
        "-0.0",
        "2.5",
        "-7.9",
        "1e308",
        "1e400",
        "-1e400",
        "4294967296",
        "18446744073709551616",
        "123456789012345678901234567890",
        "1e-999",
        "[]",
        "{}",
        "[null]",
        r#""""#,
        r#""x""#,
        r#""\u0000""#,
        r#""\ud800""#,
        r#""\u001b[2J""#,
        r#""\u2028\u202e\u0085""#,
        "nul",
        "NaN",
        "'x'",
        "01",
        "+1",
        "\"\n\"",
        "\"",
        "\\",
        "\u{feff}1",
    ])
    .prop_map(str::to_owned);
    let times = select(vec![
        "9999-12-31T23:59:59Z",
        "+262142-12-31T23:59:59.999999999Z",
        "+262143-01-01T00:00:00Z",
        "-262143-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0000-00-00 00:00:00",
        "2016-12-31T23:59:60Z",
        "2026-02-30T00:00:00Z",
        "1970-01-01T00:00:00+23:59",
        "1970-01-01T00:00:00-23:59",
        "+262142-12-31 23:59:59",
        "-262143-01-01 00:00:00",
        "2100-03-28 02:30:00",
        "1e9",
        "now",
        "2030-01-02T03:04:05.99999999999999999999Z",
    ])
    .prop_map(|time| format!("{time:?}"));
    let texts = any::<String>().prop_map(|text| serde_json::Value::from(text).to_string());
    let deep = (1..400_usize, select(vec![("[", "]"), (r#"{"a":"#, "}"), ("[{\"\":[", "]}]")]), any::<bool>())
        .prop_map(|(depth, (open, close), closed)| {
            let end = if closed { close.repeat(depth) } else { String::new() };
            format!("{}1{end}", open.repeat(depth))
        });
    let long = (1..3000_usize).prop_map(|length| format!("\"{}\"", "xé".repeat(length)));
    prop_oneof![8 => fixed, 3 => times, 3 => texts, 1 => deep, 1 => long]
}

/// Names of headers and fields, correct and others.
fn key() -> impl Strategy<Value = String> {
    let known = select(vec![
        "request_type",
        "priority",
        "delay",
        "expiration",
        "attempts",
        "number",
        "text",
        "list",
        "any",
        "payload",
        "header",
        "body",
        "id",
        "",
        "\\u0000",
        "__proto__",
    ]);
    prop_oneof![6 => known.prop_map(str::to_owned), 1 => "[a-z]{1,5}"]
}

/// Returns an object as text, in which a key may occur twice.
fn object() -> impl Strategy<Value = String> {
    vec((key(), value()), 0..6).prop_map(|fields| {
        let fields: Vec<_> = fields.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    })
}

/// Returns a header with a request type and other fields.
fn header() -> impl Strategy<Value = String> {
    (select(vec!["take", "text", "fail", "panic", "Take", "unknown\\n", ""]), vec((key(), value()), 0..4)).prop_map(
        |(request_type, more)| {
            let more: String = more.into_iter().map(|(key, value)| format!(",\"{key}\":{value}")).collect();
            format!("{{\"request_type\":\"{request_type}\"{more}}}")
        },
    )
}

/// Returns a text in the form of a message.
fn envelope() -> impl Strategy<Value = String> {
    let header = prop_oneof![4 => header(), 1 => object(), 1 => value()];
    let body =
        prop_oneof![2 => object(), 2 => value(), 1 => value().prop_map(|value| format!("{{\"payload\":{value}}}"))];
    (header, body, vec((key(), value()), 0..2)).prop_map(|(header, body, more)| {
        let more: String = more.into_iter().map(|(key, value)| format!(",\"{key}\":{value}")).collect();
        format!("{{\"header\":{header},\"body\":{body}{more}}}")
    })
}

/// Returns any bytes, from whole messages to noise.
pub(crate) fn message() -> impl Strategy<Value = Vec<u8>> {
    let whole = prop_oneof![6 => envelope(), 1 => object(), 1 => value()].prop_map(String::into_bytes);
    let cut = (envelope(), any::<prop::sample::Index>()).prop_map(|(text, at)| {
        let mut bytes = text.into_bytes();
        bytes.truncate(at.index(bytes.len()));
        bytes
    });
    let spoilt = (envelope(), any::<prop::sample::Index>(), vec(any::<u8>(), 1..4)).prop_map(|(text, at, noise)| {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes.splice(at..at, noise);
        bytes
    });
    prop_oneof![6 => whole, 2 => cut, 2 => spoilt, 1 => vec(any::<u8>(), 0..200)]
}

/// Returns this number of messages, always the same ones.
pub(crate) fn messages(count: usize) -> Vec<Vec<u8>> {
    let mut runner = TestRunner::deterministic();
    let strategy = message();
    (0..count).map(|_| strategy.new_tree(&mut runner).expect("a message").current()).collect()
}

/// Returns the big messages, of which a few are enough.
pub(crate) fn giants(length: usize) -> Vec<Vec<u8>> {
    let long = "z".repeat(length);
    [
        format!(r#"{{"header":{{"request_type":"text"}},"body":{{"payload":"{long}"}}}}"#),
        format!(r#"{{"header":{{"request_type":"{long}"}},"body":{{}}}}"#),
        format!(r#"{{"header":{{"request_type":"take","delay":"{long}"}},"body":{{}}}}"#),
        format!(r#"{{"header":{{"request_type":"take","{long}":1}},"body":{{"number":"{long}"}}}}"#),
        format!(r#"{{"header":{{"request_type":"fail"}},"body":{{"payload":"{long}"}}}}"#),
        format!(r#"{{"header":{{"request_type":"panic"}},"body":{{"payload":"{long}"}}}}"#),
        format!(r#"{{"header":{{"request_type":"take"}},"body":{}"#, "[".repeat(length)),
        long,
    ]
    .into_iter()
    .map(String::into_bytes)
    .chain([vec![0xff; length], vec![0; length]])
    .collect()
}
