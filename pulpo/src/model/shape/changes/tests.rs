//! Forty changes of a body, each verdict verified by really decoding.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::*;
use crate::decode::probe;
use crate::shape::reading::read_text;

fn reads<B: DeserializeOwned + 'static>(body: &str) -> bool {
    read_text(probe::<B>, body).is_ok()
}

/// Returns the bodies of `Old` that `New` does not read, found from the text of `Old`'s shape, which is all that a
/// snapshot keeps; and the places that could not be checked. Equal shapes are compared too.
fn compared<Old: DeserializeOwned + 'static, New: DeserializeOwned + 'static>(examples: &[&str]) -> Unread {
    let examples: Vec<Value> = examples.iter().map(|body| serde_json::from_str(body).expect("JSON")).collect();
    let shape = Shape::traced_with(probe::<Old>, &examples);
    let lines = shape.to_string();
    let old = Shape(lines.lines().map(|line| text::read_line(line).unwrap_or_else(|| panic!("{line}"))).collect());
    assert_eq!(old, shape, "{lines}");
    assert_eq!(old.fault(), None, "{lines}");
    old.compare(&Shape::traced_with(probe::<New>, &examples), probe::<New>)
}

fn kinds(unread: Unread) -> Vec<(String, DifferenceKind)> {
    unread.into_differences().into_iter().map(|difference| (difference.path, difference.kind)).collect()
}

fn unread<Old: DeserializeOwned + 'static, New: DeserializeOwned + 'static>() -> Vec<(String, DifferenceKind)> {
    kinds(compared::<Old, New>(&[]))
}

/// A change: two types, bodies that the old one reads, and the expected differences. The new type reads all of these
/// bodies if and only if no difference is expected.
macro_rules! matrix {
    ($least:literal cases: $($name:ident: { $($old:tt)* } => { $($new:tt)* } [$($body:literal),+] $(($path:literal $kind:ident))*;)*) => {
        mod changes {
            $(#[allow(dead_code, reason = "only the types matter")]
            pub(super) mod $name {
                pub(in super::super) mod old {
                    use super::super::super::kit::*;
                    $($old)*
                }
                pub(in super::super) mod new {
                    use super::super::super::kit::*;
                    $($new)*
                }
            })*
        }

        #[test]
        fn each_change_of_a_body_has_the_verdict_of_the_decoder() {
            let mut count = 0;
            $({
                use changes::$name::{new, old};
                count += 1;
                let bodies = [$($body),+];
                for body in bodies {
                    assert!(reads::<old::B>(body), "{}: {body}", stringify!($name));
                }
                let expected: Vec<(String, DifferenceKind)> = vec![$(($path.to_owned(), DifferenceKind::$kind)),*];
                assert_eq!(unread::<old::B, new::B>(), expected, "{}", stringify!($name));
                let decoded = bodies.into_iter().all(reads::<new::B>);
                assert_eq!(decoded, expected.is_empty(), "{}", stringify!($name));
                // Unchanged types are never reported.
                assert_eq!(unread::<old::B, old::B>(), [], "{}", stringify!($name));
            })*
            assert!(count >= $least, "{count}");
        }
    };
}

mod of_other_crates;

/// Types that the matrix uses.
mod kit {
    pub(super) use std::collections::{BTreeMap, HashMap};

    pub(super) use chrono::{DateTime, Utc};
    pub(super) use serde::Deserialize;
    use serde::Deserializer;

    pub(super) use crate::shape::tests::foreign;

    /// A text of a form that cannot be guessed.
    #[derive(Deserialize)]
    #[serde(try_from = "String")]
    pub(in super::super) struct Sku(#[allow(dead_code, reason = "only the type matters")] String);

    impl TryFrom<String> for Sku {
        type Error = &'static str;

        fn try_from(text: String) -> Result<Self, &'static str> {
            let is_sku = matches!(text.as_bytes(), [b'A'..=b'Z', b'A'..=b'Z', b'-', b'0'..=b'9', b'0'..=b'9']);
            if is_sku { Ok(Self(text)) } else { Err("expected a stock number") }
        }
    }

    /// An object whose fields must fit together.
    #[derive(Deserialize)]
    #[serde(try_from = "Ends")]
    pub(in super::super) struct Span;

    #[derive(Deserialize)]
    struct Ends {
        from: u8,
        to: u8,
    }

    impl TryFrom<Ends> for Span {
        type Error = &'static str;

        fn try_from(ends: Ends) -> Result<Self, &'static str> {
            if ends.from < ends.to { Ok(Self) } else { Err("expected an end after the start") }
        }
    }

    /// Panics when it reads a small number, such as one that is made up.
    pub(in super::super) struct Panics;

    impl<'de> Deserialize<'de> for Panics {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let number = u8::deserialize(deserializer)?;
            assert!(number > 1, "a small number");
            Ok(Self)
        }
    }
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its type matters")]
struct Checked {
    sku: kit::Sku,
    #[serde(default)]
    n: u8,
    at: chrono::DateTime<chrono::Utc>,
    span: Option<kit::Span>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its type matters")]
struct CheckedMore {
    sku: kit::Sku,
    n: u8,
    at: chrono::DateTime<chrono::Utc>,
    span: Option<kit::Span>,
    note: Option<u8>,
}

#[test]
fn a_type_that_cannot_be_checked_is_reported_and_an_example_shows_it() {
    let unread = compared::<Checked, CheckedMore>(&[]);
    assert!(unread.unseen.contains("body.sku"), "{unread:?}");
    assert_eq!(kinds(unread), []);
    // With a body that is read, nothing is left open: not even which fields may be left out.
    let example = r#"{"sku":"AB-12","n":1,"at":"2026-01-01T00:00:00Z","span":{"from":1,"to":2}}"#;
    let unread = compared::<Checked, CheckedMore>(&[example]);
    assert_eq!(unread.unseen, BTreeSet::new());
    assert_eq!(kinds(unread), [("body.n".to_owned(), DifferenceKind::FieldRequired)]);
    let shape = Shape::traced_with(probe::<Checked>, &[serde_json::from_str(example).expect("JSON")]);
    for line in ["body.sku: text, such as \"AB-12\"", "body.n: u8, optional", "body.span.from: u8, "] {
        assert!(shape.to_string().contains(line), "{shape}");
    }
    // An example that is not read teaches nothing, and ends nothing.
    let shape = Shape::traced_with(probe::<Checked>, &[serde_json::json!({ "sku": "a", "at": 7, "span": [1] })]);
    assert_eq!(shape, Shape::of::<Checked>());
}

/// The same shape before and after; only examples tell a difference.
#[test]
fn an_unchanged_type_of_which_nothing_is_known_is_not_a_change() {
    let unread = compared::<Checked, Checked>(&[]);
    assert!(unread.unseen.contains("body.sku"), "{unread:?}");
    assert_eq!(kinds(unread), []);
}

#[test]
fn a_hidden_type_that_is_replaced_is_not_taken_for_read() {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its type matters")]
    struct Before {
        of: Objects,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    #[expect(dead_code, reason = "only its type matters")]
    enum Objects {
        One { x: u8 },
        Other { y: String },
    }
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its type matters")]
    struct After {
        of: Option<String>,
    }
    // Nothing is known of the objects, and the new type reads what was made up instead.
    let unread = compared::<Before, After>(&[]);
    assert_eq!(unread.unseen, BTreeSet::from(["body.of".to_owned()]));
    assert_eq!(kinds(unread), []);
    let unread = kinds(compared::<Before, After>(&[r#"{"of":{"x":1}}"#]));
    assert_eq!(unread, [("body.of".to_owned(), DifferenceKind::TypeChanged)]);
}

matrix! {
    70 cases:
    nothing: { #[derive(Deserialize)] pub(crate) struct B { a: u8, t: DateTime<Utc> } }
        => { #[derive(Deserialize)] pub(crate) struct B { t: DateTime<Utc>, a: u8 } }
        [r#"{"a":1,"t":"2026-01-01T00:00:00Z"}"#];
    a_field_is_added: { #[derive(Deserialize)] pub(crate) struct B { a: u8 } }
        => { #[derive(Deserialize)] pub(crate) struct B { a: u8, b: u8 } }
        [r#"{"a":1}"#] ("body.b" FieldAdded);
    a_field_with_a_default_is_added: { #[derive(Deserialize)] pub(crate) struct B { a: u8 } }
        => { #[derive(Deserialize)] pub(crate) struct B { a: u8, #[serde(default)] b: u8 } }
        [r#"{"a":1}"#];
    an_option_is_added: { #[derive(Deserialize)] pub(crate) struct B { a: u8 } }
        => { #[derive(Deserialize)] pub(crate) struct B { a: u8, b: Option<u8> } }
        [r#"{"a":1}"#];
    two_fields_are_added: { #[derive(Deserialize)] pub(crate) struct B { a: u8 } }
        => { #[derive(Deserialize)] pub(crate) struct B { a: u8, b: DateTime<Utc>, c: Vec<u8> } }
        [r#"{"a":1}"#] ("body.b" FieldAdded) ("body.c" FieldAdded);
    a_field_is_removed: { #[derive(Deserialize)] pub(crate) struct B { a: u8, b: u8 } }
        => { #[derive(Deserialize)] pub(crate) struct B { a: u8 } }
        [r#"{"a":1,"b":2}"#];
    a_field_is_removed_and_refused: { #[derive(Deserialize)] pub(crate) struct B { a: u8, b: u8 } }
        => { #[derive(Deserialize)] #[serde(deny_unknown_fields)] pub(crate) struct B { a: u8 } }
        [r#"{"a":1,"b":2}"#] ("body.b" FieldRefused);
    a_field_is_renamed: { #[derive(Deserialize)] pub(crate) struct B { customer: String } }
        => { #[derive(Deserialize)] pub(crate) struct B { customer_id: String } }
        [r#"{"customer":"ada"}"#] ("body.customer_id" FieldAdded);
    a_field_is_renamed_with_an_alias: { #[derive(Deserialize)] pub(crate) struct B { customer: String } }
        => { #[derive(Deserialize)] pub(crate) struct B { #[serde(alias = "customer")] customer_id: String } }
        [r#"{"customer":"ada"}"#];
    an_alias_goes: { #[derive(Deserialize)] pub(crate) struct B { #[serde(alias = "customer")] customer_id: String } }
        => { #[derive(Deserialize)] pub(crate) struct B { customer_id: String } }
        [r#"{"customer":"ada"}"#] ("body.customer_id" AliasRemoved);
    an_alias_goes_and_another_comes: {
        #[derive(Deserialize)] pub(crate) struct B { #[serde(alias = "x", alias = "y")] z: String, other: u8 }
    } => { #[derive(Deserialize)] pub(crate) struct B { #[serde(alias = "x", alias = "w")] z: String, other: u8 } }
        [r#"{"y":"ada","other":1}"#] ("body.z" AliasRemoved);
    a_default_goes: { #[derive(Deserialize)] pub(crate) struct B { #[serde(default)] a: u8 } }
        => { #[derive(Deserialize)] pub(crate) struct B { a: u8 } }
        [r#"{"a":1}"#, "{}"] ("body.a" FieldRequired);
    an_option_goes: { #[derive(Deserialize)] pub(crate) struct B { a: Option<u8> } }
        => { #[derive(Deserialize)] pub(crate) struct B { a: u8 } }
        [r#"{"a":1}"#, "{}", r#"{"a":null}"#] ("body.a" FieldRequired) ("body.a" NullRefused);
    an_option_comes: { #[derive(Deserialize)] pub(crate) struct B { a: u8 } }
        => { #[derive(Deserialize)] pub(crate) struct B { a: Option<u8> } }
        [r#"{"a":1}"#];
    a_number_becomes_a_text: { #[derive(Deserialize)] pub(crate) struct B { a: u8 } }
        => { #[derive(Deserialize)] pub(crate) struct B { a: String } }
        [r#"{"a":1}"#] ("body.a" TypeChanged);
    a_text_becomes_a_number: { #[derive(Deserialize)] pub(crate) struct B { a: String } }
        => { #[derive(Deserialize)] pub(crate) struct B { a: i64 } }
        [r#"{"a":"1"}"#] ("body.a" TypeChanged);
    a_number_becomes_wider: { #[derive(Deserialize)] pub(crate) struct B { a: u8, b: i16 } }
        => { #[derive(Deserialize)] pub(crate) struct B { a: u16, b: i64 } }
        [r#"{"a":255,"b":-32768}"#];
    a_number_becomes_narrower: { #[derive(Deserialize)] pub(crate) struct B { a: u64 } }
        => { #[derive(Deserialize)] pub(crate) struct B { a: u32 } }
        [r#"{"a":1}"#, r#"{"a":18446744073709551615}"#] ("body.a" RangeNarrowed);
    a_number_loses_its_sign: { #[derive(Deserialize)] pub(crate) struct B { a: i32 } }
        => { #[derive(Deserialize)] pub(crate) struct B { a: u32 } }
        [r#"{"a":-1}"#] ("body.a" RangeNarrowed);
    an_integer_becomes_a_float: { #[derive(Deserialize)] pub(crate) struct B { a: i32 } }
        => { #[derive(Deserialize)] pub(crate) struct B { a: f64 } }
        [r#"{"a":-1}"#];
    a_float_becomes_an_integer: { #[derive(Deserialize)] pub(crate) struct B { a: f64 } }
        => { #[derive(Deserialize)] pub(crate) struct B { a: i32 } }
        [r#"{"a":1.5}"#] ("body.a" TypeChanged);
    a_number_is_no_longer_zero: { #[derive(Deserialize)] pub(crate) struct B { a: u8 } }
        => { #[derive(Deserialize)] pub(crate) struct B { a: std::num::NonZeroU8, b: Option<u8> } }
        [r#"{"a":1}"#, r#"{"a":0}"#] ("body.a" RangeNarrowed);
    a_text_becomes_a_time: { #[derive(Deserialize)] pub(crate) struct B { at: String } }
        => { #[derive(Deserialize)] pub(crate) struct B { at: DateTime<Utc> } }
        [r#"{"at":"tomorrow"}"#] ("body.at" ValueRefused);
    a_time_becomes_a_text: { #[derive(Deserialize)] pub(crate) struct B { at: DateTime<Utc> } }
        => { #[derive(Deserialize)] pub(crate) struct B { at: String } }
        [r#"{"at":"2026-01-01T00:00:00Z"}"#];
    a_text_becomes_a_character: { #[derive(Deserialize)] pub(crate) struct B { a: String } }
        => { #[derive(Deserialize)] pub(crate) struct B { a: char } }
        [r#"{"a":"ab"}"#] ("body.a" TypeChanged);
    one_becomes_a_list: { #[derive(Deserialize)] pub(crate) struct B { to: String } }
        => { #[derive(Deserialize)] pub(crate) struct B { to: Vec<String> } }
        [r#"{"to":"ada"}"#] ("body.to" TypeChanged);
    a_list_becomes_one: { #[derive(Deserialize)] pub(crate) struct B { to: Vec<String> } }
        => { #[derive(Deserialize)] pub(crate) struct B { to: String } }
        [r#"{"to":["ada"]}"#] ("body.to" TypeChanged);
    a_list_gets_a_length: { #[derive(Deserialize)] pub(crate) struct B { to: Vec<u8> } }
        => { #[derive(Deserialize)] pub(crate) struct B { to: [u8; 2] } }
        [r#"{"to":[1]}"#] ("body.to" TypeChanged);
    a_list_loses_its_length: { #[derive(Deserialize)] pub(crate) struct B { to: [u8; 2] } }
        => { #[derive(Deserialize)] pub(crate) struct B { to: Vec<u8> } }
        [r#"{"to":[1,2]}"#];
    parts_of_a_list_change: {
        #[derive(Deserialize)] pub(crate) struct B { items: Vec<Item> }
        #[derive(Deserialize)] pub(crate) struct Item { price: f64 }
    } => {
        #[derive(Deserialize)] pub(crate) struct B { items: Vec<Item> }
        #[derive(Deserialize)] pub(crate) struct Item { price: f64, currency: String }
    } [r#"{"items":[{"price":1.5}]}"#] ("body.items[0].currency" FieldAdded);
    an_object_is_nested: { #[derive(Deserialize)] pub(crate) struct B { city: String } }
        => {
            #[derive(Deserialize)] pub(crate) struct B { address: Address }
            #[derive(Deserialize)] pub(crate) struct Address { city: String }
        }
        [r#"{"city":"Berlin"}"#] ("body.address" FieldAdded);
    an_object_is_flattened: {
        #[derive(Deserialize)] pub(crate) struct B { a: u8, more: More }
        #[derive(Deserialize)] pub(crate) struct More { b: u8 }
    } => {
        #[derive(Deserialize)] pub(crate) struct B { a: u8, #[serde(flatten)] more: More }
        #[derive(Deserialize)] pub(crate) struct More { b: u8 }
    } [r#"{"a":1,"more":{"b":2}}"#] ("body.b" FieldAdded);
    fields_are_flattened_as_they_are: { #[derive(Deserialize)] pub(crate) struct B { a: u8, b: u8 } }
        => {
            #[derive(Deserialize)] pub(crate) struct B { a: u8, #[serde(flatten)] more: More }
            #[derive(Deserialize)] pub(crate) struct More { b: u8 }
        }
        [r#"{"a":1,"b":2}"#];
    a_variant_is_added: { #[derive(Deserialize)] pub(crate) enum B { One, Two(u8) } }
        => { #[derive(Deserialize)] pub(crate) enum B { One, Two(u8), Three } }
        [r#""One""#, r#"{"Two":2}"#];
    a_variant_is_removed: {
        #[derive(Deserialize)] pub(crate) struct B { pay: Pay }
        #[derive(Deserialize)] pub(crate) enum Pay { Cash, Card(u8), Check { number: u64 } }
    } => {
        #[derive(Deserialize)] pub(crate) struct B { pay: Pay }
        #[derive(Deserialize)] pub(crate) enum Pay { Cash, Card(u8) }
    } [r#"{"pay":"Cash"}"#, r#"{"pay":{"Check":{"number":1}}}"#] ("body.pay" VariantRemoved);
    a_variant_is_renamed_with_an_alias: { #[derive(Deserialize)] pub(crate) enum B { One, Two } }
        => { #[derive(Deserialize)] pub(crate) enum B { #[serde(alias = "One")] First, Two } }
        [r#""One""#, r#""Two""#];
    what_is_in_a_variant_changes: { #[derive(Deserialize)] pub(crate) enum B { One, Two { x: u8 } } }
        => { #[derive(Deserialize)] pub(crate) enum B { One, Two { x: u8, y: u8 } } }
        [r#"{"Two":{"x":1}}"#] ("body.Two.y" FieldAdded);
    a_tagged_variant_is_removed: {
        #[derive(Deserialize)] #[serde(tag = "type")] pub(crate) enum B { A { x: u8 }, C { word: String } }
    } => { #[derive(Deserialize)] #[serde(tag = "type")] pub(crate) enum B { A { x: u8 } } }
        [r#"{"type":"A","x":1}"#, r#"{"type":"C","word":"w"}"#] ("body.type" VariantRemoved);
    what_is_in_a_tagged_variant_changes: {
        #[derive(Deserialize)] #[serde(tag = "type")] pub(crate) enum B { A { x: u8 }, C }
    } => { #[derive(Deserialize)] #[serde(tag = "type")] pub(crate) enum B { A { x: u8, y: String }, C } }
        [r#"{"type":"A","x":1}"#, r#"{"type":"C"}"#] ("body.y" FieldAdded);
    a_tag_comes: { #[derive(Deserialize)] pub(crate) enum B { A { x: u8 } } }
        => { #[derive(Deserialize)] #[serde(tag = "type")] pub(crate) enum B { A { x: u8 } } }
        [r#"{"A":{"x":1}}"#] ("body.type" FieldAdded) ("body.x" FieldAdded);
    an_untagged_type_reads_both: { #[derive(Deserialize)] pub(crate) struct B { a: u8 } }
        => { #[derive(Deserialize)] #[serde(untagged)] pub(crate) enum B { New { b: String }, Old { a: u8 } } }
        [r#"{"a":1}"#];
    an_untagged_variant_goes: {
        #[derive(Deserialize)] pub(crate) struct B { v: V }
        #[derive(Deserialize)] #[serde(untagged)] pub(crate) enum V { Number(u8), Word(String) }
    } => { #[derive(Deserialize)] pub(crate) struct B { v: String } }
        [r#"{"v":1}"#] ("body.v" TypeChanged);
    the_values_of_a_map_change: { #[derive(Deserialize)] pub(crate) struct B { by: BTreeMap<String, u8> } }
        => { #[derive(Deserialize)] pub(crate) struct B { by: BTreeMap<String, String> } }
        [r#"{"by":{"key":1}}"#] ("body.by.key" TypeChanged);
    a_variant_that_is_a_key_goes: {
        #[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)] pub(crate) enum Day { Mon, Tue }
        #[derive(Deserialize)] pub(crate) struct B { by: BTreeMap<Day, u8> }
    } => {
        #[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)] pub(crate) enum Day { Mon }
        #[derive(Deserialize)] pub(crate) struct B { by: BTreeMap<Day, u8> }
    } [r#"{"by":{"Mon":1}}"#, r#"{"by":{"Tue":1}}"#] ("body.by.Tue" VariantRemoved);
    a_variant_that_is_a_key_comes: {
        #[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)] pub(crate) enum Day { Mon }
        #[derive(Deserialize)] pub(crate) struct B { by: BTreeMap<Day, u8> }
    } => {
        #[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)] pub(crate) enum Day { Mon, Tue }
        #[derive(Deserialize)] pub(crate) struct B { by: BTreeMap<Day, u8> }
    } [r#"{"by":{"Mon":1}}"#];
    a_number_that_is_a_key_becomes_narrower: { #[derive(Deserialize)] pub(crate) struct B { by: BTreeMap<u32, u8> } }
        => { #[derive(Deserialize)] pub(crate) struct B { by: BTreeMap<u8, u8> } }
        [r#"{"by":{"7":1,"700":1}}"#] ("body.by.4294967295" RangeNarrowed);
    a_number_that_is_a_key_becomes_wider: { #[derive(Deserialize)] pub(crate) struct B { by: BTreeMap<u8, u8> } }
        => { #[derive(Deserialize)] pub(crate) struct B { by: BTreeMap<i64, u8> } } [r#"{"by":{"7":1,"200":1}}"#];
    a_number_or_a_text_becomes_a_number: { #[derive(Deserialize)] pub(crate) struct B { price: rust_decimal::Decimal } }
        => { #[derive(Deserialize)] pub(crate) struct B { price: f64 } }
        [r#"{"price":"1.50"}"#, r#"{"price":1}"#] ("body.price" TypeChanged);
    an_address_becomes_one_of_version_four: { #[derive(Deserialize)] pub(crate) struct B { ip: std::net::IpAddr } }
        => { #[derive(Deserialize)] pub(crate) struct B { ip: std::net::Ipv4Addr } }
        [r#"{"ip":"::1"}"#, r#"{"ip":"10.0.0.1"}"#] ("body.ip" ValueRefused);
    a_weekday_becomes_a_month: { #[derive(Deserialize)] pub(crate) struct B { when: chrono::Weekday } }
        => { #[derive(Deserialize)] pub(crate) struct B { when: chrono::Month } }
        [r#"{"when":"Mon"}"#] ("body.when" ValueRefused);
    a_text_of_an_untagged_type_goes: {
        #[derive(Deserialize)] #[serde(untagged)] pub(crate) enum Any { N(u8), T(String) }
        #[derive(Deserialize)] pub(crate) struct B { any: Any }
    } => {
        #[derive(Deserialize)] #[serde(untagged)] pub(crate) enum Any { N(u8) }
        #[derive(Deserialize)] pub(crate) struct B { any: Any }
    } [r#"{"any":1}"#, r#"{"any":"x"}"#] ("body.any" ValueRefused);
    the_rest_of_an_object_has_other_values: {
        #[derive(Deserialize)] pub(crate) struct B { a: u8, #[serde(flatten)] rest: BTreeMap<String, u8> }
    } => {
        #[derive(Deserialize)] pub(crate) struct B { a: u8, #[serde(flatten)] rest: BTreeMap<String, String> }
    } [r#"{"a":1,"b":1}"#] ("body" TypeChanged);
    the_keys_of_a_map_change: { #[derive(Deserialize)] pub(crate) struct B { by: BTreeMap<String, u8> } }
        => { #[derive(Deserialize)] pub(crate) struct B { by: BTreeMap<u32, u8> } }
        [r#"{"by":{"key":1}}"#] ("body.by.key" TypeChanged);
    a_type_within_itself_changes: { #[derive(Deserialize)] pub(crate) struct B { left: Option<Box<B>>, n: u8 } }
        => { #[derive(Deserialize)] pub(crate) struct B { left: Option<Box<B>>, n: String } }
        [r#"{"left":{"n":1},"n":1}"#] ("body.n" TypeChanged);
    a_variant_below_a_number_key_is_removed: {
        #[derive(Deserialize)] pub(crate) struct B { by: HashMap<u64, Status> }
        #[derive(Deserialize)] pub(crate) enum Status { Open, Closed }
    } => {
        #[derive(Deserialize)] pub(crate) struct B { by: HashMap<u64, Status> }
        #[derive(Deserialize)] pub(crate) enum Status { Open }
    } [r#"{"by":{"1":"Open"}}"#, r#"{"by":{"1":"Closed"}}"#] ("body.by.1" VariantRemoved);
    a_field_below_a_key_that_is_a_time_is_added: {
        #[derive(Deserialize)] pub(crate) struct B { by: BTreeMap<DateTime<Utc>, Item> }
        #[derive(Deserialize)] pub(crate) struct Item { n: u8 }
    } => {
        #[derive(Deserialize)] pub(crate) struct B { by: BTreeMap<DateTime<Utc>, Item> }
        #[derive(Deserialize)] pub(crate) struct Item { n: u8, m: u8 }
    } [r#"{"by":{"1970-01-01T00:00:00Z":{"n":1}}}"#] ("body.by.1970-01-01T00:00:00Z.m" FieldAdded);
    the_second_part_of_a_tuple_changes: { #[derive(Deserialize)] pub(crate) struct B { pair: (u8, u64) } }
        => { #[derive(Deserialize)] pub(crate) struct B { pair: (u8, String) } }
        [r#"{"pair":[1,2]}"#] ("body.pair[1]" TypeChanged);
    a_field_in_the_last_part_of_a_variant_is_added: {
        #[derive(Deserialize)] pub(crate) enum B { Move(u8, Option<u8>, Point) }
        #[derive(Deserialize)] pub(crate) struct Point { x: f64 }
    } => {
        #[derive(Deserialize)] pub(crate) enum B { Move(u8, Option<u8>, Point) }
        #[derive(Deserialize)] pub(crate) struct Point { x: f64, y: f64 }
    } [r#"{"Move":[1,null,{"x":0.5}]}"#] ("body.Move[2].y" FieldAdded);
    a_long_unsigned_number_becomes_shorter: { #[derive(Deserialize)] pub(crate) struct B { n: u128 } }
        => { #[derive(Deserialize)] pub(crate) struct B { n: u64 } }
        [r#"{"n":1}"#, r#"{"n":18446744073709551616}"#] ("body.n" RangeNarrowed);
    a_long_signed_number_becomes_shorter: { #[derive(Deserialize)] pub(crate) struct B { of: Vec<i128> } }
        => { #[derive(Deserialize)] pub(crate) struct B { of: Vec<i64> } }
        [r#"{"of":[-9223372036854775809]}"#] ("body.of[0]" RangeNarrowed);
    a_long_number_gets_a_sign: { #[derive(Deserialize)] pub(crate) struct B { n: u128 } }
        => { #[derive(Deserialize)] pub(crate) struct B { n: i128 } }
        [r#"{"n":340282366920938463463374607431768211455}"#] ("body.n" RangeNarrowed);
    a_number_becomes_long: { #[derive(Deserialize)] pub(crate) struct B { n: u64, m: i64 } }
        => { #[derive(Deserialize)] pub(crate) struct B { n: u128, m: i128 } }
        [r#"{"n":18446744073709551615,"m":-9223372036854775808}"#];
    an_option_is_added_beside_a_variant_with_its_name_apart: {
        #[derive(Deserialize)] pub(crate) struct B { a: Shown }
        #[derive(Deserialize)] #[serde(tag = "t", content = "c")] pub(crate) enum Shown { A { x: u8 }, B(u8, String), C }
    } => {
        #[derive(Deserialize)] pub(crate) struct B { a: Shown, note: Option<u8> }
        #[derive(Deserialize)] #[serde(tag = "t", content = "c")] pub(crate) enum Shown { A { x: u8 }, B(u8, String), C }
    } [r#"{"a":{"t":"A","c":{"x":1}}}"#, r#"{"a":{"t":"B","c":[1,"b"]}}"#, r#"{"a":{"t":"C"}}"#];
    a_variant_with_its_name_apart_is_removed: {
        #[derive(Deserialize)] #[serde(tag = "t", content = "c")] pub(crate) enum B { One(u8), Two }
    } => { #[derive(Deserialize)] #[serde(tag = "t", content = "c")] pub(crate) enum B { One(u8) } }
        [r#"{"t":"One","c":1}"#, r#"{"t":"Two"}"#] ("body.t" VariantRemoved);
    the_content_of_a_variant_with_its_name_apart_changes: {
        #[derive(Deserialize)] #[serde(tag = "t", content = "c")] pub(crate) enum B { One(Item), Two }
        #[derive(Deserialize)] pub(crate) struct Item { n: u8 }
    } => {
        #[derive(Deserialize)] #[serde(tag = "t", content = "c")] pub(crate) enum B { One(Item), Two }
        #[derive(Deserialize)] pub(crate) struct Item { n: String, m: u8 }
    } [r#"{"t":"One","c":{"n":1}}"#, r#"{"t":"Two"}"#] ("body.c.m" FieldAdded) ("body.c.n" TypeChanged);
    a_field_with_an_odd_name_gets_no_default: {
        #[derive(Deserialize)] pub(crate) struct B { #[serde(rename = "a[b", default)] a: u8, #[serde(rename = "c, d: e")] c: u8 }
    } => { #[derive(Deserialize)] pub(crate) struct B { #[serde(rename = "a[b")] a: u8, #[serde(rename = "c, d: e")] c: u8 } }
        [r#"{"a[b":1,"c, d: e":1}"#, r#"{"c, d: e":1}"#] ("body.a[b" FieldRequired);
    a_default_goes_beside_an_option_of_which_nothing_is_known: {
        #[derive(Deserialize)] pub(crate) struct B { sku: Option<Sku>, #[serde(default)] n: u8 }
    } => { #[derive(Deserialize)] pub(crate) struct B { sku: Option<Sku>, n: u8 } }
        [r#"{"sku":"AB-12","n":1}"#, r#"{"sku":null}"#] ("body.n" FieldRequired);
    a_text_becomes_one_that_is_checked: { #[derive(Deserialize)] pub(crate) struct B { sku: String, n: u8 } }
        => { #[derive(Deserialize)] pub(crate) struct B { sku: Sku, n: u8, note: Option<u8> } }
        [r#"{"sku":"text","n":1}"#] ("body.sku" ValueRefused);
    a_text_that_is_checked_becomes_any: { #[derive(Deserialize)] pub(crate) struct B { sku: Sku, n: u8 } }
        => { #[derive(Deserialize)] pub(crate) struct B { sku: String, n: u8, note: Option<u8> } }
        [r#"{"sku":"AB-12","n":1}"#];
    an_option_is_added_beside_a_text_that_is_checked: { #[derive(Deserialize)] pub(crate) struct B { sku: Sku, n: u8 } }
        => { #[derive(Deserialize)] pub(crate) struct B { sku: Sku, n: u8, note: Option<u8> } }
        [r#"{"sku":"AB-12","n":1}"#];
    a_number_changes_beside_a_text_that_is_checked: { #[derive(Deserialize)] pub(crate) struct B { n: u8, sku: Sku } }
        => { #[derive(Deserialize)] pub(crate) struct B { n: String, sku: Sku } }
        [r#"{"n":1,"sku":"AB-12"}"#] ("body.n" TypeChanged);
    an_option_is_added_beside_an_object_that_is_checked: {
        #[derive(Deserialize)] pub(crate) struct B { span: Span, at: DateTime<Utc> }
    } => { #[derive(Deserialize)] pub(crate) struct B { span: Span, at: DateTime<Utc>, note: Option<u8> } }
        [r#"{"span":{"from":1,"to":2},"at":"2026-01-01T00:00:00Z"}"#];
    an_option_is_added_to_what_panics: { #[derive(Deserialize)] pub(crate) struct B { p: Panics } }
        => { #[derive(Deserialize)] pub(crate) struct B { p: Panics, note: Option<u8> } }
        [r#"{"p":7}"#];
}

#[test]
fn an_option_of_itself_is_compared_with_another_type_to_the_end() {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its type matters")]
    struct Own(Option<Box<Own>>);
    assert_eq!(unread::<Own, u64>(), [("body".to_owned(), DifferenceKind::NullRefused)]);
    let (number, own) = (Shape::of::<u64>(), Shape::of::<Own>());
    assert_eq!(own.refusal_of(&number).map(|(path, _)| path).as_deref(), Some("body"));
    assert_eq!(number.refusal_of(&own).map(|(path, _)| path).as_deref(), Some("body"));
}

#[test]
fn a_place_for_which_no_body_is_made_up_is_not_passed_over() {
    // The line of the first field is lost, and so is that of the parts of the tuple.
    let read = |line| text::read_line(line).expect("a line");
    let old = Shape(["body: object", "body.a: list of 2"].map(read).into());
    let unread = old.compare(&Shape::of::<u64>(), probe::<u64>);
    assert_eq!(unread.unseen, ["body", "body.a"].map(str::to_owned).into());
}
