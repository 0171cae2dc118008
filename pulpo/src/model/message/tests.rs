use chrono::{DateTime, Local, NaiveDateTime, TimeZone as _, Utc};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::extra::Extra;
use super::*;

mod round_trips;

fn read(text: &str) -> Result<Message<Value>, MessageError> {
    Message::from_json(text.as_bytes())
}

fn refused(text: &str) -> String {
    read(text).expect_err("refused").to_string()
}

/// Messages of the original implementation, one JSON string per line.
const PYTHON: &str = include_str!("python.jsonl");

#[test]
fn every_message_of_the_original_reads_to_what_it_means() {
    let texts: Vec<String> = PYTHON.lines().map(|line| serde_json::from_str(line).expect("a JSON string")).collect();
    assert_eq!(texts.len(), 6);
    let local = |text: &str| {
        let naive: NaiveDateTime = text.parse().expect("a time");
        Local.from_local_datetime(&naive).single().expect("one such time").to_utc()
    };

    let hello = read(&texts[0]).expect("a message");
    assert_eq!(hello.request_type(), "echo");
    assert_eq!(Message::<String>::from_json(texts[0].as_bytes()).expect("a text").body(), "hello world");

    let email = read(&texts[1]).expect("a message");
    assert_eq!(email.request_type(), "send_email");
    assert_eq!(email.body(), &json!({"to": "someone@example.com", "subject": "hello", "body": "text"}));
    assert_eq!(email.headers().priority(), Priority::DEFAULT);
    assert_eq!(email.headers().delay(), None);

    let unicode = read(&texts[2]).expect("a message");
    assert_eq!(unicode.body(), &json!({"to": "é 世界 🐙", "n": 1.5, "nested": {"a": [1, 2, {"b": null}]}}));
    assert_eq!(unicode.headers().get("source"), Some(&json!("pulpo-cli.py")));
    assert_eq!(unicode.headers().get("trace"), Some(&json!("abc")));

    let expiring = read(&texts[3]).expect("a message");
    assert_eq!(expiring.headers().expiration(), Some(local("2030-01-02T03:04:05")));

    let delayed = read(&texts[4]).expect("a message");
    assert_eq!(delayed.headers().delay(), Some(local("2030-01-02T03:04:05.123456")));

    // The only required header is missing here.
    assert_eq!(refused(&texts[5]), "expected the name of a job in header.request_type, got none");
}

#[test]
fn the_wire_form_is_the_documented_one() {
    let at = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
    let mut message = Message::new(json!({"to": "a@b.c"}))
        .priority(10)
        .delay(at("2026-11-23T09:00:00Z"))
        .expiration(at("2026-11-24T09:00:00.5Z"))
        .header("anything", "else");
    message.header_mut().request_type = "send_email".to_owned();
    message.set_published("7".into(), Publication::New);
    assert_eq!(
        message.to_json().expect("JSON"),
        r#"{"id":"7","header":{"request_type":"send_email","priority":10,"delay":"2026-11-23T09:00:00Z","expiration":"2026-11-24T09:00:00.500Z","attempts":0,"anything":"else"},"body":{"to":"a@b.c"}}"#
    );
}

#[test]
fn a_body_that_is_not_an_object_travels_as_payload() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Meters(f64);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Light {
        Red,
    }

    fn round<B: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug + 'static>(body: B, wire: &str) {
        let mut message = Message::new(body);
        message.header_mut().request_type = "x".to_owned();
        let text = message.to_json().expect("JSON");
        assert!(text.ends_with(&format!("\"body\":{wire}}}")), "{text}");
        assert_eq!(Message::<B>::from_json(text.as_bytes()).expect("a message").body(), message.body());
    }
    round(5_u8, r#"{"payload":5}"#);
    round("text".to_owned(), r#"{"payload":"text"}"#);
    round(Meters(1.5), r#"{"payload":1.5}"#);
    round(vec![1, 2], r#"{"payload":[1,2]}"#);
    round(Light::Red, r#"{"payload":"Red"}"#);
    round((), r#"{"payload":null}"#);
    round(None::<u8>, r#"{"payload":null}"#);
    round(std::collections::BTreeMap::from([("payload".to_owned(), 1)]), r#"{"payload":1}"#);
}

fn header(written: &str) -> Header {
    read(&format!(r#"{{"header":{{"request_type":"x",{written}}}}}"#)).expect("a message").headers().clone()
}

#[test]
fn a_header_is_read_leniently() {
    for (written, priority) in [
        (r#""priority":-5"#, 0),
        (r#""priority":10"#, 10),
        (r#""priority":"10""#, 10),
        (r#""priority":1e400"#, u32::MAX),
        (r#""priority":null"#, 65_536),
        (r#""priority":"""#, 65_536),
        (r#""priority":1,"priority":2"#, 2),
    ] {
        assert_eq!(header(written).priority().get(), priority, "{written}");
    }
    for written in
        [r#""delay":null,"expiration":null"#, r#""delay":"","expiration":"""#, r#""delay":0"#, r#""delay":"0""#]
    {
        let header = header(written);
        assert_eq!((header.delay(), header.expiration()), (None, None), "{written}");
    }
    let at: DateTime<Utc> = "2026-11-24T13:37:00Z".parse().expect("a time");
    for written in
        [r#""2026-11-24T13:37Z""#, r#""2026-11-24 13:37:00+00""#, "1795527420", "1795527420000", "1795527420.0"]
    {
        let header = header(&format!(r#""delay":{written},"expiration":{written}"#));
        assert_eq!((header.delay(), header.expiration()), (Some(at), Some(at)), "{written}");
    }
    assert_eq!(header(r#""request_type":"y""#).request_type(), "y");
}

#[test]
fn attempts_are_never_a_reason() {
    for (written, attempts) in
        [("3", 3), ("\"3\"", 3), ("-3", 0), ("1e400", u32::MAX), ("\"many\"", 0), ("null", 0), ("{\"a\":[1]}", 0)]
    {
        assert_eq!(header(&format!(r#""attempts":{written}"#)).attempts(), attempts, "{written}");
    }
}

#[test]
fn an_id_inside_is_never_a_reason() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for (written, id) in [
        ("\"a\"", Some("a")),
        ("12", Some("12")),
        ("-3", Some("-3")),
        ("1.5", Some("1.5")),
        ("18446744073709551616", Some("18446744073709551616")),
        ("1e400", Some("1e400")),
        ("\"\"", Some("")),
        ("null", None),
        ("true", None),
        ("{\"a\":1}", None),
        (&deep, None),
        (r#""\ud800""#, None),
        ("1,\"id\":2", Some("2")),
    ] {
        let message = read(&format!(r#"{{"id":{written},"header":{{"request_type":"x"}}}}"#)).expect("a message");
        assert_eq!(message.id().map(MessageId::as_str), id, "{written}");
    }
}

#[test]
fn a_byte_order_mark_is_left_out() {
    let text = "\u{feff}{\"header\":{\"request_type\":\"x\"},\"body\":{\"payload\":1}}";
    assert_eq!(Message::<u8>::from_json(text.as_bytes()).expect("a message").body(), &1);
    assert!(refused("\u{feff}\u{feff}{}").starts_with("expected a message in JSON"));
}

#[test]
fn header_keys_of_others_are_handed_on_exactly_as_they_were_written() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let header = format!(
        "{}{deep}{}",
        r#"{"request_type":"x","attempts":0,"big":123456789012345678901234567890,"#,
        concat!(
            r#","float":0.10000000000000000555,"long":1.0,"exponent":1e400,"#,
            r#""again":1,"again":2,"object":{"a":1,"a":2,"n":18446744073709551616},"#,
            r#""escaped":"\u00e9\ud83d\ude00","half":"\ud800","spaced":[1, 2],"null":null}"#
        )
    )
    .replace(&format!(",{deep}"), &format!(r#","deep":{deep}"#));
    let message = read(&format!(r#"{{"header":{header},"body":{{}}}}"#)).expect("a message");
    assert_eq!(message.to_json().expect("JSON"), format!(r#"{{"header":{header},"body":{{}}}}"#));
    assert_eq!(message.headers().get("again"), Some(&json!(2)));
    assert_eq!(message.headers().get("escaped"), Some(&json!("é😀")));
    assert_eq!(message.headers().get("exponent"), Some(&json!("1e400")));
    assert_eq!(message.headers().iter().filter(|(key, _)| *key == "again").count(), 2);
    let changed = message.header("again", 3);
    assert_eq!(changed.headers().iter().filter(|(key, _)| *key == "again").count(), 1);
}

#[test]
fn the_fault_of_a_message_is_named() {
    for (text, reason) in [
        ("", "expected a message in JSON, got text that is not: EOF while parsing a value at line 1 column 0"),
        (
            "{\"header\":",
            "expected a message in JSON, got text that is not: EOF while parsing a value at line 1 column 10",
        ),
        ("[1]", "expected a message with header and body, got an array"),
        ("{}", "expected the name of a job in header.request_type, got none"),
        (r#"{"header":{},"body":{}}"#, "expected the name of a job in header.request_type, got none"),
        (r#"{"header":{"request_type":""}}"#, "expected the name of a job in header.request_type, got none"),
        (
            r#"{"header":5}"#,
            "header: invalid type: integer `5`, expected an object with request_type at line 1 column 11",
        ),
        (
            r#"{"header":{"request_type":5}}"#,
            "header.request_type: invalid type: integer `5`, expected a string at line 1 column 27",
        ),
        (
            r#"{"header":{"request_type":"x","delay":"soon"}}"#,
            "header.delay: expected a time such as 2026-11-23T09:00:00Z, got \"soon\" at line 1 column 45",
        ),
        (
            r#"{"header":{"request_type":"x","priority":"high"}}"#,
            "header.priority: expected a priority from 0 to 4294967295, got \"high\" at line 1 column 48",
        ),
    ] {
        assert_eq!(refused(text), reason, "{text}");
    }
    let bytes = Message::<Value>::from_json(b"\xff").expect_err("refused").to_string();
    assert!(bytes.starts_with("expected a message in JSON, got bytes that are not UTF-8"), "{bytes}");
}

#[test]
fn a_body_that_does_not_fit_is_named_by_its_field() {
    #[derive(Debug, Deserialize)]
    struct Order {
        #[allow(dead_code, reason = "only its type matters")]
        items: Vec<Item>,
    }
    #[derive(Debug, Deserialize)]
    struct Item {
        #[allow(dead_code, reason = "only its type matters")]
        price: u32,
    }
    let fault = |body: &str| {
        let text = format!(r#"{{"header":{{"request_type":"x"}},"body":{body}}}"#);
        Message::<Order>::from_json(text.as_bytes()).expect_err("refused").to_string()
    };
    assert_eq!(
        fault(r#"{"items":[{"price":1},{"price":"2"}]}"#),
        "body.items[1].price: invalid type: string \"2\", expected u32 at line 1 column 34"
    );
    assert_eq!(fault("{}"), "body: missing field `items` at line 1 column 2");
    assert_eq!(fault(r#"{"payload":1}"#), "body: missing field `items` at line 1 column 13");

    let number = Message::<u8>::from_json(br#"{"header":{"request_type":"x"},"body":{"payload":"a"}}"#);
    assert_eq!(
        number.expect_err("refused").to_string(),
        "body.payload: invalid type: string \"a\", expected u8 at line 1 column 3"
    );
}

#[test]
fn no_body_serves_a_type_that_needs_none() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Ping {}
    let text = br#"{"header":{"request_type":"ping"}}"#;
    assert_eq!(Message::<Ping>::from_json(text).expect("a message").body(), &Ping {});
    Message::<()>::from_json(text).expect("a message");
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // Fractions that survive a decimal form exactly.
        any::<i32>().prop_map(|n| Value::from(f64::from(n) / 8.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(any::<String>(), inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_time() -> impl Strategy<Value = DateTime<Utc>> {
    let (first, last) = (DateTime::<Utc>::MIN_UTC.timestamp(), DateTime::<Utc>::MAX_UTC.timestamp());
    (first..=last, 0..1_000_000_000_u32)
        .prop_map(|(seconds, nanos)| DateTime::from_timestamp(seconds, nanos).expect("within the calendar"))
}

proptest! {
    #[test]
    fn a_message_reads_back_as_it_was_written(
        body in json_value(),
        priority in proptest::option::of(any::<u32>()),
        delay in proptest::option::of(any_time()),
        expiration in proptest::option::of(any_time()),
        scheduled_for in proptest::option::of(any_time()),
        id in proptest::option::of(any::<String>()),
        request_type in ".{1,20}",
        attempts: u32,
        unique_key in proptest::option::of(any::<String>()),
        extra in btree_map("[^a]{0,9}", json_value(), 0..4),
    ) {
        let mut message = Message::new(body.clone());
        message.header = Header {
            request_type,
            priority: priority.map(Priority::new),
            delay: delay.map(When::At),
            expiration: expiration.map(When::At),
            attempts,
            scheduled_for,
            unique: header::WrittenUnique { key: unique_key, unique_for: None, on_duplicate: Some("keep".into()) },
            shape: None,
            outbox_id: None,
            body_wrapped: None,
            extra: Extra::default(),
        };
        for (key, value) in extra.into_iter().filter(|(key, _)| !Header::OWN_KEYS.contains(&key.as_str())) {
            message.header.extra.set(key, value);
        }
        message.id = id.map(MessageId::from);
        let text = message.to_json().expect("JSON");
        let read = Message::<Value>::from_json(text.as_bytes()).expect("a message");
        prop_assert_eq!(&read.header, &message.header);
        prop_assert_eq!(&read.id, &message.id);
        prop_assert_eq!(&read.body, &body);
        // The path of a message from an outbox to the queue.
        let mut incoming = Incoming::read(text.as_bytes()).expect("a message");
        incoming.header.outbox_id = Some("1/token".to_owned());
        let moved = Message::<Value>::from_json(incoming.rewritten().expect("JSON").as_bytes()).expect("a message");
        message.header.outbox_id = Some("1/token".to_owned());
        prop_assert_eq!(&moved.header, &message.header);
        prop_assert_eq!((moved.id, moved.body), (None, body));
    }

    #[test]
    fn a_typed_body_reads_back(numbers in vec(any::<i64>(), 0..9), text: String) {
        let message = Message { header: Header { request_type: "x".to_owned(), ..Header::default() }, ..Message::new((numbers, text)) };
        let read = Message::<(Vec<i64>, String)>::from_json(message.to_json().expect("JSON").as_bytes());
        prop_assert_eq!(read.expect("a message"), message);
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<Vec<u8>>()) {
        let _ = Message::<Value>::from_json(&text);
    }
}
