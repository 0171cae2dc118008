//! Every body comes back as it was, whatever serde makes of its type.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::json_value;
use crate::message::{Incoming, Message};

/// Publishes a body and returns the one that a worker gets.
fn round<B: Serialize + DeserializeOwned + Debug + Clone>(body: &B) -> Result<B, String> {
    let mut message = Message::new(body.clone());
    message.header_mut().request_type = "x".to_owned();
    let text = message.write_checked_body().and_then(|body| message.to_json_with(&body));
    let text = text.map_err(|error| format!("{error:?}"))?;
    assert_eq!(message.to_json().expect("JSON"), text, "both ways to write it are one");
    let incoming = Incoming::read(text.as_bytes()).map_err(|error| format!("{error} in {text}"))?;
    incoming.body().decode().map_err(|error| format!("{error} in {text}"))
}

fn comes_back<B: Serialize + DeserializeOwned + Debug + Clone + PartialEq>(body: B) {
    assert_eq!(round(&body).as_ref(), Ok(&body));
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Filter {
    all: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Search(Option<Filter>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Own<T> {
    payload: T,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OwnAndMore {
    payload: u8,
    more: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Payload { payload: u8 },
    Number(i64),
    Text(String),
    Pair(u8, String),
    Object { a: Option<u8>, b: Vec<Untagged> },
    Nothing,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Internal {
    Unit,
    New(Filter),
    Struct { payload: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "payload", content = "c")]
enum Adjacent {
    Unit,
    New(u64),
    Tuple(u8, f64),
    Struct { payload: Option<Filter> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum External {
    Payload(u8),
    Unit,
    Tuple(u8, String),
    Struct { payload: u8 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    payload: u8,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct AllFlat {
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Transparent {
    inner: Own<Option<u8>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Empty {}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tuple(u8, Option<Filter>);

/// An object, with all of its fields at their defaults, is one of its values too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Lenient {
    payload: Option<Value>,
    n: u8,
}

#[test]
fn a_body_that_could_also_be_an_object_arrives_as_it_was_sent() {
    comes_back(Search(None));
    comes_back(Search(Some(Filter::default())));
    comes_back(None::<Filter>);
    comes_back(Some(Filter { all: Some(true) }));
    comes_back(None::<HashMap<String, u8>>);
    comes_back(None::<Lenient>);
    comes_back(Some(Lenient::default()));
    comes_back(Some(Some(Lenient::default())));
    comes_back(None::<Option<Lenient>>);
    comes_back(vec![None, Some(Filter::default())]);
    comes_back(Value::Null);
    comes_back(json!([1]));
    comes_back(json!({"payload": 5}));
    comes_back(json!({"payload": {"payload": null}}));
    comes_back(Untagged::Number(5));
    comes_back(Untagged::Payload { payload: 5 });
    comes_back(Untagged::Nothing);
}

#[test]
fn an_object_with_one_field_called_payload_arrives_as_it_was_sent() {
    comes_back(Own { payload: 5_u8 });
    comes_back(Own { payload: Own { payload: () } });
    comes_back(Own { payload: None::<Filter> });
    comes_back(Own { payload: Filter::default() });
    comes_back(Own { payload: json!({"payload": 1}) });
    comes_back(OwnAndMore { payload: 1, more: 2 });
    comes_back(Transparent { inner: Own { payload: None } });
    comes_back(External::Payload(5));
    comes_back(External::Struct { payload: 5 });
    comes_back(Adjacent::Struct { payload: Some(Filter::default()) });
    comes_back(Internal::Struct { payload: "x".to_owned() });
    comes_back(Flat { payload: 5, rest: BTreeMap::new() });
    comes_back(AllFlat { rest: BTreeMap::from([("payload".to_owned(), json!(5))]) });
    comes_back(BTreeMap::from([("payload".to_owned(), 1_u8)]));
    comes_back(HashMap::from([("payload".to_owned(), None::<u8>)]));
}

#[test]
fn every_kind_of_scalar_and_container_arrives_as_it_was_sent() {
    comes_back(());
    comes_back(Unit);
    comes_back(Empty {});
    comes_back(Tuple(1, None));
    comes_back((1_u8, "a".to_owned(), ()));
    comes_back(u64::MAX);
    comes_back(i64::MIN);
    comes_back(u128::MAX);
    comes_back(i128::MIN);
    comes_back(Own { payload: u128::MAX });
    comes_back(f64::MAX);
    comes_back(f64::MIN_POSITIVE);
    comes_back(0.1_f32);
    comes_back(-0.0_f64);
    comes_back('\u{10ffff}');
    comes_back("\0\u{1f419}\u{2028}\u{feff}\"\\".to_owned());
    comes_back(String::new());
    comes_back(External::Unit);
    comes_back(External::Tuple(1, "é".to_owned()));
    comes_back(Internal::Unit);
    comes_back(Internal::New(Filter::default()));
    comes_back(Adjacent::Unit);
    comes_back(BTreeMap::from([(1_u64, 'a'), (u64::MAX, 'b')]));
    comes_back(BTreeMap::from([(true, ())]));
    comes_back(Vec::<u8>::new());
    comes_back(std::time::Duration::from_millis(1500));
    comes_back(chrono::DateTime::<chrono::Utc>::MAX_UTC);
}

proptest! {
    #[test]
    fn any_value_of_any_shape_arrives_as_it_was_sent(
        text: String,
        numbers in vec(any::<i64>(), 0..4),
        big: (u64, i128),
        float in proptest::num::f64::NORMAL | proptest::num::f64::ZERO | proptest::num::f64::SUBNORMAL,
        value in json_value(),
        map in btree_map("[a-z]{1,3}|payload", json_value(), 0..3),
        filter in proptest::option::of(proptest::option::of(any::<bool>()).prop_map(|all| Filter { all })),
    ) {
        comes_back(Untagged::Object { a: None, b: numbers.iter().copied().map(Untagged::Number).collect() });
        comes_back(Untagged::Text(text.clone()));
        comes_back(Untagged::Pair(7, text.clone()));
        comes_back(Internal::Struct { payload: text.clone() });
        comes_back(Adjacent::New(big.0));
        comes_back(Adjacent::Tuple(1, float));
        comes_back(External::Tuple(1, text.clone()));
        comes_back(Search(filter.clone()));
        comes_back(Own { payload: filter.clone() });
        comes_back(Tuple(1, filter.clone()));
        comes_back((big, float, numbers));
        let mut rest = map.clone();
        rest.remove("payload");
        comes_back(Flat { payload: 1, rest });
        comes_back(AllFlat { rest: map.clone() });
        comes_back(map);
        comes_back(Some(text));
        comes_back(value);
    }
}

/// Returns why nothing is published.
fn refused<B: Serialize + DeserializeOwned + Debug + Clone>(body: &B) -> String {
    round(body).expect_err("refused")
}

#[test]
fn a_float_that_is_not_a_number_is_refused_with_its_path() {
    #[derive(Clone, Debug, Serialize, Deserialize)]
    struct Order {
        price: f64,
        discount: Option<f32>,
        items: Vec<Own<Option<f64>>>,
        by_name: BTreeMap<String, (u8, f64)>,
        kind: Option<Adjacent>,
    }
    let order = || Order { price: 1.0, discount: None, items: Vec::new(), by_name: BTreeMap::new(), kind: None };
    for (order, said) in [
        (Order { price: f64::NAN, ..order() }, "body.price: NaN cannot be written as JSON"),
        (Order { discount: Some(f32::INFINITY), ..order() }, "body.discount: inf cannot be written as JSON"),
        (
            Order { items: vec![Own { payload: None }, Own { payload: Some(f64::NEG_INFINITY) }], ..order() },
            "body.items[1].payload: -inf cannot be written as JSON",
        ),
        (
            Order { by_name: BTreeMap::from([("a".to_owned(), (1, f64::NAN))]), ..order() },
            "body.by_name.a[1]: NaN cannot be written as JSON",
        ),
        (
            Order { kind: Some(Adjacent::Tuple(1, f64::NAN)), ..order() },
            "body.kind.c[1]: NaN cannot be written as JSON",
        ),
    ] {
        assert!(refused(&order).contains(said), "{}", refused(&order));
    }
    assert!(refused(&f64::NAN).contains("body: NaN cannot be written as JSON"));
    assert!(refused(&Some(f64::INFINITY)).contains("body: inf cannot be written as JSON"));
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Nested {
    End,
    Level(Box<Nested>),
    Tuple(u8, Box<Nested>),
}

#[test]
fn bodies_nested_deeper_than_a_reader_goes_are_refused_and_no_level_before() {
    let lists = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    comes_back(lists(127));
    assert!(refused(&lists(128)).contains("[0][0]: expected at most 127 levels"), "{}", refused(&lists(128)));
    let objects = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!({"a": inner}));
    comes_back(objects(127));
    assert!(refused(&objects(130)).contains(".a.a: expected at most 127 levels"), "{}", refused(&objects(130)));
    let enums = |levels: usize| (0..levels).fold(Nested::End, |inner, _| Nested::Level(Box::new(inner)));
    comes_back(enums(127));
    refused(&enums(128));
    let tuples = |levels: usize| (0..levels).fold(Nested::End, |inner, _| Nested::Tuple(1, Box::new(inner)));
    comes_back(tuples(63));
    refused(&tuples(64));
    // Levels side by side do not add up.
    comes_back((0..300).map(|_| lists(100)).collect::<Vec<_>>());
    comes_back(vec![Nested::Tuple(1, Box::new(Nested::Level(Box::new(Nested::End)))); 300]);
}

#[test]
fn a_body_that_its_own_type_does_not_read_is_refused() {
    /// Is written without a field that its reader needs.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    struct Skipped {
        #[serde(skip_serializing)]
        #[expect(dead_code, reason = "only its type matters")]
        secret: u8,
    }
    assert!(refused(&Skipped { secret: 1 }).contains("missing field `secret`"));

    /// Both write the key `type`.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    #[serde(tag = "type")]
    enum Twice {
        A(Typed),
    }
    #[derive(Clone, Debug, Serialize, Deserialize)]
    struct Typed {
        r#type: String,
    }
    refused(&Twice::A(Typed { r#type: "b".to_owned() }));

    /// serde keeps at most 64 bits before it knows the variant.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Big {
        Number(u128),
    }
    assert!(refused(&Big::Number(u128::MAX)).contains("body"));

    /// serde keeps only keys that are texts before it knows the variant.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    #[serde(tag = "type")]
    enum Numbered {
        A { by_number: BTreeMap<u8, char> },
    }
    refused(&Numbered::A { by_number: BTreeMap::from([(1, 'a')]) });

    #[derive(Clone, Debug, Serialize, Deserialize)]
    #[serde(try_from = "u8")]
    struct Small(u8);
    impl TryFrom<u8> for Small {
        type Error = String;
        fn try_from(n: u8) -> Result<Self, String> {
            if n < 10 { Ok(Self(n)) } else { Err(format!("expected less than 10, got {n}")) }
        }
    }
    comes_back(vec![9_u8]);
    round(&Small(9)).expect("it is read");
    assert!(refused(&Small(10)).contains("expected less than 10, got 10"));

    assert!(refused(&BTreeMap::from([((1, 2), 3)])).contains("body: key must be a string"));
    assert!(refused(&Own { payload: BTreeMap::from([(Some(1), 3), (None, 4)]) }).contains("body.payload"));
}

#[test]
fn a_body_that_is_not_read_back_is_still_written() {
    #[derive(Serialize, Deserialize)]
    struct Skipped {
        #[serde(skip_serializing)]
        #[expect(dead_code, reason = "only its type matters")]
        secret: u8,
    }
    let body = Message::new(Skipped { secret: 1 }).unchecked().write_checked_body().expect("JSON");
    assert_eq!(body.get(), "{}");
}

#[test]
fn a_type_that_does_not_say_how_it_is_written_is_guessed() {
    fn body<B: DeserializeOwned>(text: &str) -> B {
        let text = format!(r#"{{"header":{{"request_type":"x"}},"body":{text}}}"#);
        Incoming::read(text.as_bytes()).expect("a message").body().decode().expect("it fits")
    }
    assert_eq!(body::<u8>(r#"{"payload":5}"#), 5);
    assert_eq!(body::<u8>("5"), 5);
    assert_eq!(body::<Own<u8>>(r#"{"payload":5}"#), Own { payload: 5 });
    assert_eq!(body::<Own<u8>>(r#"{"payload":{"payload":5}}"#), Own { payload: 5 });
    assert_eq!(body::<Option<Filter>>("null"), None);
    assert_eq!(body::<Filter>("null"), Filter::default());
    assert_eq!(body::<Value>(r#"{"payload":5}"#), json!({"payload": 5}));
}

#[test]
fn a_mark_that_does_not_hold_is_left_out_of_account() {
    for (mark, body) in [("true", r#"{"all":true}"#), ("1", r#"{"payload":{"all":true}}"#)] {
        let text = format!(r#"{{"header":{{"request_type":"x","body_wrapped":{mark}}},"body":{body}}}"#);
        let read = Incoming::read(text.as_bytes()).expect("a message").body().decode::<Filter>().expect("it fits");
        let expected = if mark == "true" { Filter { all: Some(true) } } else { Filter::default() };
        assert_eq!(read, expected, "{text}");
    }
}
