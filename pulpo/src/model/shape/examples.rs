//! The values that are tried where a trace shows too little, and those of other kinds that such a place reads too.

use serde_json::{Value, json};

use super::bodies::{TEXTS, UNKNOWN};
use super::{Kind, Node};

/// The numbers that are tried as keys of a map, in order.
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
    let Some(first) = examples.first().cloned() else { return };
    match &node.kind {
        Kind::Opaque => {
            for value in anything().into_iter().filter(|value| !value.is_null()) {
                let is_new = examples.iter().all(|known| kind_of(known) != kind_of(&value));
                if is_new && reads(&value) {
                    examples.push(value);
                }
            }
        }
        Kind::Value(kind) if kind == "text" => {
            let texts = TEXTS.into_iter().map(Value::from).filter(|text| *text != first);
            examples.extend(texts.filter(|text| reads(text)));
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
            let ends: Vec<_> = KEYS.iter().map(|key| json!({ key.to_string(): value })).filter(reads).collect();
            examples.extend(ends.first().cloned());
            examples.extend(ends.last().filter(|_| ends.len() > 1).cloned());
        }
        _ => {}
    }
}

/// Returns what tells the values apart that one kind of type reads.
fn kind_of(value: &Value) -> (bool, std::mem::Discriminant<Value>) {
    (value.is_f64(), std::mem::discriminant(value))
}
