//! Forty changes of a body, each verdict verified by really decoding.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::*;
use crate::decode::probe;

fn reads<B: DeserializeOwned + 'static>(body: &Value) -> bool {
    read(probe::<B>, body).is_ok()
}

/// Returns the bodies of `Old` that `New` does not read, found from the text of `Old`'s shape, which is all that a
/// snapshot keeps.
fn unread<Old: DeserializeOwned + 'static, New: DeserializeOwned + 'static>() -> Vec<(String, DifferenceKind)> {
    let lines = Shape::of::<Old>().to_string();
    let old = Shape(lines.lines().map(|line| text::read_line(line).unwrap_or_else(|| panic!("{line}"))).collect());
    assert_eq!(old, Shape::of::<Old>(), "{lines}");
    let new = Shape::of::<New>();
    let found = old.unread_by(&new, probe::<New>);
    found.into_iter().map(|difference| (difference.path, difference.kind)).collect()
}

/// A change: two types, bodies that the old one reads, and the expected differences. The new type reads all of these
/// bodies if and only if no difference is expected.
macro_rules! matrix {
    ($($name:ident: { $($old:tt)* } => { $($new:tt)* } [$($body:literal),+] $(($path:literal $kind:ident))*;)*) => {
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
                let bodies = [$($body),+].map(|body| serde_json::from_str::<Value>(body).expect("JSON"));
                for body in &bodies {
                    assert!(reads::<old::B>(body), "{}: {body}", stringify!($name));
                }
                let expected: Vec<(String, DifferenceKind)> = vec![$(($path.to_owned(), DifferenceKind::$kind)),*];
                assert_eq!(unread::<old::B, new::B>(), expected, "{}", stringify!($name));
                let decoded = bodies.iter().all(reads::<new::B>);
                assert_eq!(decoded, expected.is_empty(), "{}", stringify!($name));
                // Unchanged types are never reported.
                assert_eq!(unread::<old::B, old::B>(), [], "{}", stringify!($name));
            })*
            assert!(count >= 40, "{count}");
        }
    };
}

/// Types that the matrix uses.
mod kit {
    pub(super) use std::collections::BTreeMap;

    pub(super) use chrono::{DateTime, Utc};
    pub(super) use serde::Deserialize;
}

matrix! {
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
    the_keys_of_a_map_change: { #[derive(Deserialize)] pub(crate) struct B { by: BTreeMap<String, u8> } }
        => { #[derive(Deserialize)] pub(crate) struct B { by: BTreeMap<u32, u8> } }
        [r#"{"by":{"key":1}}"#] ("body.by.key" TypeChanged);
    a_type_within_itself_changes: { #[derive(Deserialize)] pub(crate) struct B { left: Option<Box<B>>, n: u8 } }
        => { #[derive(Deserialize)] pub(crate) struct B { left: Option<Box<B>>, n: String } }
        [r#"{"left":{"n":1},"n":1}"#] ("body.n" TypeChanged);
    a_newtype_is_the_same: { #[derive(Deserialize)] pub(crate) struct B { id: u64 } }
        => { #[derive(Deserialize)] pub(crate) struct B { id: Id } #[derive(Deserialize)] pub(crate) struct Id(u64); }
        [r#"{"id":1}"#];
}
