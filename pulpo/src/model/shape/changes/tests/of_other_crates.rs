//! Changes to, from and between types like those of widespread crates, and of numbers where serde hides them.

use super::{DifferenceKind, kit, reads, unread};

matrix! {
    20 cases:
    a_text_becomes_a_short_one: { #[derive(Deserialize)] pub(crate) struct B { code: String } }
        => { #[derive(Deserialize)] pub(crate) struct B { code: foreign::ArrayString<64> } }
        [r#"{"code":"text, and so on: 0123456789012345678901234567890123456789012345678901234567890123456789"}"#]
        ("body.code" RangeNarrowed);
    a_short_text_becomes_shorter: { #[derive(Deserialize)] pub(crate) struct B { code: foreign::ArrayString<64> } }
        => { #[derive(Deserialize)] pub(crate) struct B { code: foreign::ArrayString<3> } }
        [r#"{"code":"text"}"#] ("body.code" RangeNarrowed);
    a_short_text_becomes_any: { #[derive(Deserialize)] pub(crate) struct B { code: foreign::ArrayString<4> } }
        => { #[derive(Deserialize)] pub(crate) struct B { code: String } } [r#"{"code":"text"}"#];
    a_text_becomes_one_without_odd_characters: { #[derive(Deserialize)] pub(crate) struct B { data: String } }
        => { #[derive(Deserialize)] pub(crate) struct B { data: foreign::Base64 } }
        [r#"{"data":"ä"}"#] ("body.data" ValueRefused);
    a_text_without_odd_characters_becomes_any: { #[derive(Deserialize)] pub(crate) struct B { data: foreign::Base64 } }
        => { #[derive(Deserialize)] pub(crate) struct B { data: String } } [r#"{"data":"AAAA"}"#, r#"{"data":""}"#];
    a_number_in_a_text_becomes_narrower: { #[derive(Deserialize)] pub(crate) struct B { n: foreign::Shown<u64> } }
        => { #[derive(Deserialize)] pub(crate) struct B { n: foreign::Shown<u8> } }
        [r#"{"n":"1"}"#, r#"{"n":"256"}"#] ("body.n" ValueRefused);
    a_number_in_a_text_becomes_wider: { #[derive(Deserialize)] pub(crate) struct B { n: foreign::Shown<u8> } }
        => { #[derive(Deserialize)] pub(crate) struct B { n: foreign::Shown<i64> } } [r#"{"n":"255"}"#];
    a_list_in_a_text_becomes_one_number: { #[derive(Deserialize)] pub(crate) struct B { n: foreign::Commas } }
        => { #[derive(Deserialize)] pub(crate) struct B { n: foreign::Shown<u32> } }
        [r#"{"n":"1"}"#, r#"{"n":"1,2"}"#] ("body.n" ValueRefused);
    a_long_number_in_a_text_becomes_shorter: { #[derive(Deserialize)] pub(crate) struct B { n: foreign::Shown<u128> } }
        => { #[derive(Deserialize)] pub(crate) struct B { n: foreign::Shown<u64> } }
        [r#"{"n":"1"}"#, r#"{"n":"18446744073709551616"}"#] ("body.n" ValueRefused);
    digits_become_a_number: { #[derive(Deserialize)] pub(crate) struct B { n: foreign::Digits } }
        => { #[derive(Deserialize)] pub(crate) struct B { n: foreign::Shown<i64> } }
        [r#"{"n":"1"}"#, r#"{"n":"99999999999999999999999999999999999999999"}"#] ("body.n" ValueRefused);
    a_list_gets_a_capacity: { #[derive(Deserialize)] pub(crate) struct B { of: Vec<u8> } }
        => { #[derive(Deserialize)] pub(crate) struct B { of: foreign::ArrayVec<u8, 100> } }
        [r#"{"of":[]}"#, r#"{"of":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}"#]
        ("body.of" RangeNarrowed);
    a_capacity_becomes_smaller_and_parts_change: {
        #[derive(Deserialize)] pub(crate) struct B { of: foreign::ArrayVec<Item, 4> }
        #[derive(Deserialize)] pub(crate) struct Item { n: u8 }
    } => {
        #[derive(Deserialize)] pub(crate) struct B { of: foreign::ArrayVec<Item, 2> }
        #[derive(Deserialize)] pub(crate) struct Item { #[serde(default)] n: u8, m: Option<u8> }
    } [r#"{"of":[{"n":1}]}"#, r#"{"of":[{"n":1},{"n":1},{"n":1}]}"#] ("body.of" RangeNarrowed);
    a_capacity_becomes_greater: { #[derive(Deserialize)] pub(crate) struct B { of: foreign::ArrayVec<u8, 2> } }
        => { #[derive(Deserialize)] pub(crate) struct B { of: foreign::ArrayVec<u8, 4> } } [r#"{"of":[1,2]}"#];
    a_list_may_not_have_equal_parts: { #[derive(Deserialize)] pub(crate) struct B { of: Vec<u32> } }
        => { #[derive(Deserialize)] pub(crate) struct B { of: foreign::Different } }
        [r#"{"of":[1,2]}"#, r#"{"of":[1,1]}"#] ("body.of" ValueRefused);
    bytes_get_a_length: { #[derive(Deserialize)] pub(crate) struct B { key: foreign::Bytes<{ usize::MAX }> } }
        => { #[derive(Deserialize)] pub(crate) struct B { key: foreign::Bytes<32> } }
        [r#"{"key":[1]}"#] ("body.key" RangeNarrowed);
    bytes_of_a_length_become_a_list: { #[derive(Deserialize)] pub(crate) struct B { key: foreign::Bytes<4> } }
        => { #[derive(Deserialize)] pub(crate) struct B { key: Vec<u8> } } [r#"{"key":[1,2,3,4]}"#];
    bytes_become_a_list: { #[derive(Deserialize)] pub(crate) struct B { data: foreign::Bytes<{ usize::MAX }> } }
        => { #[derive(Deserialize)] pub(crate) struct B { data: Vec<u8> } }
        [r#"{"data":[1]}"#, r#"{"data":"text"}"#] ("body.data" TypeChanged);
    a_list_becomes_bytes: { #[derive(Deserialize)] pub(crate) struct B { data: Vec<u8> } }
        => { #[derive(Deserialize)] pub(crate) struct B { data: foreign::Bytes<{ usize::MAX }> } } [r#"{"data":[1]}"#];
    a_list_becomes_an_object_of_defaults: { #[derive(Deserialize)] pub(crate) struct B { of: Vec<u8> } }
        => {
            #[derive(Deserialize)] pub(crate) struct B { of: Of }
            #[derive(Deserialize)] pub(crate) struct Of { #[serde(default)] a: u8, #[serde(default)] b: Vec<u8> }
        }
        [r#"{"of":[1]}"#, r#"{"of":[1,2]}"#] ("body.of[1]" TypeChanged);
    a_map_becomes_an_object_of_defaults: { #[derive(Deserialize)] pub(crate) struct B { of: HashMap<String, String> } }
        => {
            #[derive(Deserialize)] pub(crate) struct B { of: Of }
            #[derive(Deserialize)] pub(crate) struct Of { #[serde(default)] a: u8, b: Option<String> }
        }
        [r#"{"of":{}}"#, r#"{"of":{"a":"x"}}"#] ("body.of.a" TypeChanged);
    a_map_becomes_an_object_of_such_texts: { #[derive(Deserialize)] pub(crate) struct B { of: HashMap<String, String> } }
        => {
            #[derive(Deserialize)] pub(crate) struct B { of: Of }
            #[derive(Deserialize)] pub(crate) struct Of { a: Option<String>, #[serde(default)] b: String }
        }
        [r#"{"of":{}}"#, r#"{"of":{"a":"x"}}"#];
    a_map_becomes_an_object_with_an_alias: { #[derive(Deserialize)] pub(crate) struct B { of: HashMap<String, u8> } }
        => {
            #[derive(Deserialize)] pub(crate) struct B { of: Of }
            #[derive(Deserialize)] pub(crate) struct Of { #[serde(default, alias = "b")] a: u8 }
        }
        [r#"{"of":{}}"#, r#"{"of":{"a":1}}"#, r#"{"of":{"b":1}}"#];
    a_map_of_anything_becomes_an_object_of_options: {
        #[derive(Deserialize)] pub(crate) struct B { of: HashMap<String, serde_json::Value> }
    } => {
        #[derive(Deserialize)] pub(crate) struct B { of: Of }
        #[derive(Deserialize)] pub(crate) struct Of { a: Option<String> }
    } [r#"{"of":{}}"#, r#"{"of":{"a":1}}"#] ("body.of.a" TypeChanged);
    a_number_of_128_bits_becomes_a_decimal: { #[derive(Deserialize)] pub(crate) struct B { n: u128 } }
        => { #[derive(Deserialize)] pub(crate) struct B { n: rust_decimal::Decimal } }
        [r#"{"n":1}"#, r#"{"n":340282366920938463463374607431768211455}"#] ("body.n" RangeNarrowed);
    a_number_of_128_bits_becomes_one_of_f32: { #[derive(Deserialize)] pub(crate) struct B { n: u128, m: i128 } }
        => { #[derive(Deserialize)] pub(crate) struct B { n: f32, m: f32 } }
        [r#"{"n":1,"m":1}"#, r#"{"n":340282366920938463463374607431768211455,"m":1}"#] ("body.n" RangeNarrowed);
    a_number_of_128_bits_becomes_a_float: { #[derive(Deserialize)] pub(crate) struct B { n: u128, m: i128 } }
        => { #[derive(Deserialize)] pub(crate) struct B { n: f64, m: f64 } }
        [r#"{"n":340282366920938463463374607431768211455,"m":-170141183460469231731687303715884105728}"#];
    a_number_of_128_bits_becomes_wider: { #[derive(Deserialize)] pub(crate) struct B { a: u64, b: i64 } }
        => { #[derive(Deserialize)] pub(crate) struct B { a: u128, b: i128 } }
        [r#"{"a":18446744073709551615,"b":-9223372036854775808}"#];
    a_fraction_of_an_untagged_type_may_not_be_negative: {
        #[derive(Deserialize)] pub(crate) struct B { any: Any }
        #[derive(Deserialize)] #[serde(untagged)] pub(crate) enum Any { N(f64), T(String) }
    } => {
        #[derive(Deserialize)] pub(crate) struct B { any: Any }
        #[derive(Deserialize)] #[serde(untagged)] pub(crate) enum Any { N(foreign::Positive), T(String) }
    } [r#"{"any":0.5}"#, r#"{"any":-1.5}"#] ("body.any" ValueRefused);
    a_text_of_an_untagged_type_may_not_be_empty: {
        #[derive(Deserialize)] pub(crate) struct B { any: Any }
        #[derive(Deserialize)] #[serde(untagged)] pub(crate) enum Any { N(u8), T(String) }
    } => {
        #[derive(Deserialize)] pub(crate) struct B { any: Any }
        #[derive(Deserialize)] #[serde(untagged)] pub(crate) enum Any { N(u8), T(foreign::Slug) }
    } [r#"{"any":"text"}"#, r#"{"any":""}"#] ("body.any" ValueRefused);
    a_text_of_a_tagged_variant_may_not_be_odd: {
        #[derive(Deserialize)] #[serde(tag = "type")] pub(crate) enum B { A { x: String }, C }
    } => { #[derive(Deserialize)] #[serde(tag = "type")] pub(crate) enum B { A { x: foreign::Slug }, C } }
        [r#"{"type":"A","x":"text"}"#, r#"{"type":"A","x":"Ä"}"#] ("body" ValueRefused);
    a_list_of_an_untagged_type_gets_other_parts: {
        #[derive(Deserialize)] pub(crate) struct B { any: Any }
        #[derive(Deserialize)] #[serde(untagged)] pub(crate) enum Any { One(u8), All(Vec<String>) }
    } => {
        #[derive(Deserialize)] pub(crate) struct B { any: Any }
        #[derive(Deserialize)] #[serde(untagged)] pub(crate) enum Any { One(u8), All(Vec<u8>) }
    } [r#"{"any":1}"#, r#"{"any":["x"]}"#] ("body.any" ValueRefused);
    characters_as_keys_become_numbers: { #[derive(Deserialize)] pub(crate) struct B { of: BTreeMap<char, u8> } }
        => { #[derive(Deserialize)] pub(crate) struct B { of: BTreeMap<u32, u8> } }
        [r#"{"of":{"1":1}}"#, r#"{"of":{"a":1}}"#] ("body.of.a" TypeChanged);
    an_id_that_may_not_be_nil_becomes_a_short_text: { #[derive(Deserialize)] pub(crate) struct B { id: foreign::NonNil } }
        => { #[derive(Deserialize)] pub(crate) struct B { id: foreign::ArrayString<32> } }
        [r#"{"id":"67e55044-10b1-426f-9247-bb680e5fe0c8"}"#] ("body.id" RangeNarrowed);
    a_net_becomes_one_of_version_four: { #[derive(Deserialize)] pub(crate) struct B { net: foreign::IpNet } }
        => { #[derive(Deserialize)] pub(crate) struct B { net: foreign::Ipv4Net } }
        [r#"{"net":"10.0.0.0/8"}"#, r#"{"net":"fe80::/10"}"#] ("body.net" ValueRefused);
    a_number_of_a_flattened_object_becomes_narrower: {
        #[derive(Deserialize)] pub(crate) struct B { a: u8, #[serde(flatten)] more: More }
        #[derive(Deserialize)] pub(crate) struct More { n: u64 }
    } => {
        #[derive(Deserialize)] pub(crate) struct B { a: u8, #[serde(flatten)] more: More }
        #[derive(Deserialize)] pub(crate) struct More { n: u16 }
    } [r#"{"a":1,"n":1}"#, r#"{"a":1,"n":65536}"#] ("body" RangeNarrowed);
    a_number_of_a_tagged_variant_becomes_narrower: {
        #[derive(Deserialize)] #[serde(tag = "type")] pub(crate) enum B { A { x: i32 }, C }
    } => { #[derive(Deserialize)] #[serde(tag = "type")] pub(crate) enum B { A { x: u32 }, C } }
        [r#"{"type":"A","x":-1}"#, r#"{"type":"C"}"#] ("body" RangeNarrowed);
    a_number_of_an_untagged_type_becomes_narrower: {
        #[derive(Deserialize)] pub(crate) struct B { any: Any }
        #[derive(Deserialize)] #[serde(untagged)] pub(crate) enum Any { N(u64), T(String) }
    } => {
        #[derive(Deserialize)] pub(crate) struct B { any: Any }
        #[derive(Deserialize)] #[serde(untagged)] pub(crate) enum Any { N(u32), T(String) }
    } [r#"{"any":1}"#, r#"{"any":4294967296}"#] ("body.any" ValueRefused);
    seconds_become_a_small_number: { #[derive(Deserialize)] pub(crate) struct B { at: foreign::Seconds } }
        => { #[derive(Deserialize)] pub(crate) struct B { at: u32 } }
        [r#"{"at":1}"#, r#"{"at":-1}"#] ("body.at" RangeNarrowed);
    a_float_may_not_be_negative: { #[derive(Deserialize)] pub(crate) struct B { of: f64 } }
        => { #[derive(Deserialize)] pub(crate) struct B { of: foreign::Positive } }
        [r#"{"of":0.5}"#, r#"{"of":-1.5}"#] ("body.of" ValueRefused);
    a_character_becomes_one_of_a_name: { #[derive(Deserialize)] pub(crate) struct B { c: char } }
        => { #[derive(Deserialize)] pub(crate) struct B { c: foreign::Slug } }
        [r#"{"c":"c"}"#, r#"{"c":"ä"}"#] ("body.c" TypeChanged);
    anything_becomes_a_number_or_nothing: { #[derive(Deserialize)] pub(crate) struct B { v: serde_json::Value } }
        => { #[derive(Deserialize)] pub(crate) struct B { v: Option<u8> } }
        [r#"{"v":null}"#, r#"{"v":"x"}"#] ("body.v" TypeChanged);
    a_text_beside_nothing_goes: {
        #[derive(Deserialize)] #[serde(untagged)] pub(crate) enum Any { No, T(String), N(u8) }
        #[derive(Deserialize)] pub(crate) struct B { any: Any }
    } => {
        #[derive(Deserialize)] #[serde(untagged)] pub(crate) enum Any { No, N(u8) }
        #[derive(Deserialize)] pub(crate) struct B { any: Any }
    } [r#"{"any":null}"#, r#"{"any":"x"}"#] ("body.any" ValueRefused);
    a_newtype_is_the_same: { #[derive(Deserialize)] pub(crate) struct B { id: u64 } }
        => { #[derive(Deserialize)] pub(crate) struct B { id: Id } #[derive(Deserialize)] pub(crate) struct Id(u64); }
        [r#"{"id":1}"#];
}
