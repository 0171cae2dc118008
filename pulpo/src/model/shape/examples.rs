//! The values that are tried where a trace shows too little, and those of other kinds that such a place reads too.

use serde_json::{Map, Value, json};

use super::bodies::{TEXTS, UNKNOWN, candidates, extremes, odd};
use super::node::{LONG, WORD};
use super::{Kind, Node};

/// The numbers that are tried where numbers may be limited, in order: as keys of a map, and where serde hides them.
const KEYS: [i128; 13] = [
    i64::MIN as i128,
    i32::MIN as i128,
    i16::MIN as i128,
    i8::MIN as i128,
    0,
    i8::MAX as i128,
    u8::MAX as i128,
    i16::MAX as i128,
    u16::MAX as i128,
    i32::MAX as i128,
    u32::MAX as i128,
    i64::MAX as i128,
    u64::MAX as i128,
];

/// The fractions that are tried where serde hides which numbers are read, in order.
const FRACTIONS: [f64; 5] = [-1e300, -1e30, -0.5, 1e30, 1e300];

/// The numbers that are tried where a type refuses the least or the greatest of its kind, in order.
const NUMBERS: [i128; 24] = [
    i32::MIN as i128,
    -9999,
    -1000,
    -100,
    -10,
    -1,
    0,
    1,
    2,
    5,
    10,
    20,
    50,
    100,
    200,
    365,
    1000,
    9999,
    50_000,
    1_000_000,
    i32::MAX as i128,
    u32::MAX as i128,
    1_000_000_000_000,
    1_000_000_000_000_000,
];

/// Returns a value of each kind, as far as a type may tell them apart.
pub(super) fn kinds() -> [Value; 6] {
    [json!({}), json!(1), json!("text"), json!(true), json!(0.5), json!([])]
}

/// Returns the values to try where serde hides which ones are read.
pub(super) fn anything() -> Vec<Value> {
    let mut all =
        vec![json!({}), json!(1), json!("text"), json!(true), json!(0.5), json!([]), json!(["text"]), json!([1])];
    all.extend(TEXTS[1..].iter().copied().map(Value::from));
    all.push(Value::Null);
    all
}

/// Returns the variants that serde lists where it finds none of them, as for the keys of a map.
pub(super) fn expected_variants(error: &str) -> Vec<&str> {
    let listed = error.strip_prefix("unknown variant").and_then(|rest| rest.split_once(", expected "));
    listed.map_or_else(Vec::new, |(_, names)| names.split('`').skip(1).step_by(2).collect())
}

/// Adds values of other kinds that are read too, where serde hides which ones are read.
pub(super) fn more_examples(node: &Node, examples: &mut Vec<Value>, reads: impl Fn(&Value) -> bool + Copy) {
    if node.kind == Kind::Opaque && examples.is_empty() {
        // It has read `null`.
        let read: Vec<_> = kinds().into_iter().filter(|value| reads(value)).collect();
        if read.len() < kinds().len() {
            examples.push(Value::Null);
            examples.extend(read);
        }
    }
    let Some(first) = examples.first().cloned() else {
        if let Some(base) = base(node) {
            add_numbers(node, &base, examples, reads);
        }
        return;
    };
    match &node.kind {
        Kind::Opaque => {
            for value in anything().into_iter().filter(|value| !value.is_null()) {
                let is_new = examples.iter().all(|known| kind_of(known) != kind_of(&value));
                if is_new && reads(&value) {
                    examples.push(value);
                }
            }
            if examples.iter().any(|example| example.is_i64() || example.is_u64()) {
                add_ends(KEYS.map(number), examples, reads);
            }
            if examples.iter().any(Value::is_f64) {
                add_ends(FRACTIONS.map(Value::from), examples, reads);
            }
            if examples.iter().any(Value::is_string) {
                examples.extend(text_ends(examples.contains(&json!(WORD))).filter(reads));
            }
            if examples.contains(&json!([])) {
                let lists = kinds().map(|part| json!([part])).into_iter().filter(|list| !examples.contains(list));
                let read: Vec<_> = lists.filter(reads).collect();
                // A list of anything needs no more examples than one of nothing.
                if read.len() < kinds().len() {
                    examples.extend(read);
                }
            }
            if has_numbers(examples) {
                let long = [i128::MIN.to_string(), u128::MAX.to_string()].map(Value::from);
                examples.extend(long.into_iter().filter(reads));
            }
        }
        Kind::Value(kind) if kind == "text" => {
            let texts = TEXTS.into_iter().chain([""]).map(Value::from).filter(|text| *text != first);
            examples.extend(texts.filter(|text| reads(text)));
            if has_numbers(examples) {
                let keys = KEYS.map(|key| key.to_string());
                let all = [i128::MIN.to_string()].into_iter().chain(keys).chain([u128::MAX.to_string()]);
                add_ends(all.map(Value::from), examples, reads);
                examples.extend(Some(json!("0.5")).filter(reads));
            }
        }
        Kind::Map if examples.len() == 1 => {
            let Some(first) = first.as_object() else { return };
            let with = |key: &str, value: &Value| {
                let mut map = first.clone();
                map.insert(key.to_owned(), value.clone());
                Value::Object(map)
            };
            // Beside known fields, a map may take all others, if their values fit.
            let others = [json!(1), json!("text"), json!(true), json!({})].map(|value| with(UNKNOWN, &value));
            let (read, refused): (Vec<_>, Vec<_>) = others.into_iter().partition(&reads);
            if !refused.is_empty() {
                examples.extend(read.into_iter().next());
            }
            // The least and the greatest number that is a key.
            let Some(value) = first.get("1").filter(|_| first.len() == 1) else { return };
            add_ends(KEYS.map(|key| json!({ key.to_string(): value })), examples, reads);
            // A character, unlike a number.
            examples.extend(Some(json!({ "a": value })).filter(reads));
        }
        _ => {}
    }
}

/// Returns the shortest text, and, of a type that reads plain words, an odd one.
fn text_ends(reads_words: bool) -> impl Iterator<Item = Value> {
    [Some(json!("")), odd(LONG).filter(|_| reads_words)].into_iter().flatten()
}

/// Adds the objects of a place where serde hides the fields, with the least and the greatest numbers that are read, and
/// the texts at the ends.
pub(super) fn add_wider(of: &[Value], examples: &mut Vec<Value>, reads: impl Fn(&Value) -> bool) {
    let with = |object: &Map<String, Value>, name: &str, value: Value| {
        let mut object = object.clone();
        object.insert(name.to_owned(), value);
        object
    };
    for first in of.iter().filter_map(Value::as_object) {
        let numbers = || first.iter().filter(|(_, value)| value.is_i64() || value.is_u64()).map(|(name, _)| name);
        let (mut least, mut greatest) = (first.clone(), first.clone());
        for name in numbers() {
            let is_read = |key: &Value| reads(&Value::Object(with(first, name, key.clone())));
            if let Some(key) = KEYS.map(number).into_iter().find(is_read) {
                least = with(&least, name, key);
            }
            if let Some(key) = KEYS.map(number).into_iter().rev().find(is_read) {
                greatest = with(&greatest, name, key);
            }
        }
        for (name, _) in first.iter().filter(|(_, value)| **value == json!(WORD)) {
            for (end, object) in text_ends(true).zip([&mut least, &mut greatest]) {
                if reads(&Value::Object(with(first, name, end.clone()))) {
                    *object = with(object, name, end);
                }
            }
        }
        for wider in [Value::Object(least), Value::Object(greatest)] {
            if !examples.contains(&wider) && reads(&wider) {
                examples.push(wider);
            }
        }
    }
}

/// Writes a number as JSON.
fn number(key: i128) -> Value {
    u64::try_from(key).map_or_else(|_| json!(i64::try_from(key).unwrap_or(i64::MIN)), |key| json!(key))
}

/// Returns whether texts that are numbers are read, and words are not.
fn has_numbers(examples: &[Value]) -> bool {
    examples.contains(&json!("1")) && !examples.contains(&json!(WORD))
}

/// Adds the least and the greatest of these values that is read.
fn add_ends(values: impl IntoIterator<Item = Value>, examples: &mut Vec<Value>, reads: impl Fn(&Value) -> bool) {
    let read: Vec<_> = values.into_iter().filter(|value| reads(value)).collect();
    for end in read.first().into_iter().chain(read.last()) {
        if !examples.contains(end) {
            examples.push(end.clone());
        }
    }
}

/// Returns the number that is tried first at a node.
fn base(node: &Node) -> Option<Value> {
    let Kind::Value(kind) = &node.kind else { return None };
    candidates(kind).into_iter().next().filter(|_| !extremes(kind).is_empty())
}

/// Adds the least and the greatest number that is read at a node, where those of its kind are refused.
fn add_numbers(node: &Node, base: &Value, examples: &mut Vec<Value>, reads: impl Fn(&Value) -> bool + Copy) {
    let Kind::Value(kind) = &node.kind else { return };
    let [least, greatest] = extremes(kind).try_into().unwrap_or([Value::Null, Value::Null]);
    let within = |value: &Value| {
        let (least, greatest) = (least.as_i64().unwrap_or(0), greatest.as_u64().unwrap_or(0));
        value.as_i64().is_some_and(|number| number >= least && (number < 0 || number.unsigned_abs() <= greatest))
    };
    let numbers = || NUMBERS.map(number).into_iter().filter(within);
    let first = node.not.contains(&least).then(|| numbers().find(reads)).flatten();
    let last = node.not.contains(&greatest).then(|| numbers().rev().find(reads)).flatten();
    let read: Vec<_> = first.into_iter().chain(last).filter(|value| value != base).collect();
    if !read.is_empty() {
        examples.push(base.clone());
        examples.extend(read);
    }
}

/// Returns what tells the values apart that one kind of type reads.
fn kind_of(value: &Value) -> (bool, std::mem::Discriminant<Value>) {
    (value.is_f64(), std::mem::discriminant(value))
}
