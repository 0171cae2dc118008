//! Makes up bodies from a shape.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::node::{LONG, WORD, leads_to};
use super::text::written;
use super::{Kind, Node, Shape};

/// How a body differs from one that has all parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Change {
    #[default]
    None,
    /// The part is left out.
    Without,
    /// The object has one more field.
    More,
    /// It is this value instead.
    Instead(Value),
}

/// A field that no type has, for objects with one more field.
pub(super) const UNKNOWN: &str = "a field that no version has";

/// The length of JSON up to which that is tried, for lists and maps.
const MOST_JSON: usize = 16 * 1024;

/// Characters that are refused by types that read only texts of some form.
const ODD: &str = "Ä \"\n";

/// Texts that some types read and others do not.
pub(super) const TEXTS: [&str; 49] = [
    WORD,
    "1970-01-01T00:00:00Z",
    "00000000-0000-0000-0000-000000000000",
    "https://example.com/",
    "1970-01-01",
    "127.0.0.1",
    "1",
    "a@example.com",
    "00:00:00",
    "1970-01-01T00:00:00",
    "a",
    "true",
    "false",
    "::1",
    "127.0.0.1:80",
    "Europe/Berlin",
    "UTC",
    "1s",
    "1.0.0",
    "1.0.0-rc.1",
    "en",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "Mon",
    "January",
    "PT1S",
    "text/plain",
    "127.0.0.0/8",
    "::/0",
    "2001:db8::/32",
    "1970-01-01 00:00:00.0 +00:00:00",
    "1970-01-01 00:00:00.0",
    "1970-01-01T00:00:00+00:00[UTC]",
    "00:00:00.0",
    "+00:00:00",
    "Monday",
    "abcd",
    "abcdef01",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "1,2",
    "1 2",
    "a,b",
    "abcdef",
    "0123456789abcdef0123456789abcdef",
    "67e55044-10b1-426f-9247-bb680e5fe0c8",
    "1.000000000",
    "P1Y",
    "[1]",
    "{}",
];

/// The depth to which a recursive type is followed.
const DEEPEST: usize = 1;

/// A made-up body.
pub(crate) struct Made {
    pub(crate) value: Value,
    /// Whether a value in it may not be read: none is known for its place, which cannot be left out.
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "only a comparison of versions asks"))]
    pub(crate) is_unsure: bool,
}

impl Shape {
    /// Returns a body that has the part at `target`, with that part changed. `None` if no body of a bounded size has
    /// it.
    pub(crate) fn body(&self, target: &str, change: &Change) -> Option<Made> {
        let body = |avoids_unseen| Body { shape: self, target, change, avoids_unseen }.value("body", 0);
        let made = |is_unsure| move |value| Made { value, is_unsure };
        body(true).map(made(false)).or_else(|| body(false).map(made(true)))
    }

    /// Makes up the value at a path.
    pub(crate) fn part(&self, path: &str) -> Option<Value> {
        Body { shape: self, target: path, change: &Change::None, avoids_unseen: false }.value(path, 0)
    }

    /// Returns the keys that must come first in an object, so that the type knows how to read the rest.
    pub(super) fn tags(&self) -> BTreeSet<String> {
        let tag = |node: &Node| match &node.kind {
            Kind::Adjacent { tag, .. } => Some(tag.clone()),
            _ => None,
        };
        self.0.values().filter_map(tag).collect()
    }
}

struct Body<'a> {
    shape: &'a Shape,
    target: &'a str,
    change: &'a Change,
    /// Whether it has no place of which no value is known, apart from the target.
    avoids_unseen: bool,
}

impl Body<'_> {
    fn is_target(&self, path: &str) -> bool {
        path == self.target
    }

    fn value(&self, path: &str, depth: usize) -> Option<Value> {
        let node = self.shape.0.get(path)?;
        if let (true, Change::Instead(value)) = (self.is_target(path), self.change) {
            return Some(value.clone());
        }
        let avoided = self.avoids_unseen && node.unseen && node.examples.is_empty() && !leads_to(path, self.target);
        let content = if avoided { None } else { self.content(path, node, depth) };
        content.or_else(|| node.nullable.then_some(Value::Null))
    }

    fn content(&self, path: &str, node: &Node, depth: usize) -> Option<Value> {
        let example = node.examples.first();
        Some(match &node.kind {
            Kind::Value(name) => example.cloned().unwrap_or_else(|| value_of(name)),
            Kind::Object => self.object(path, depth)?,
            Kind::Enum => self.variants(path).into_iter().find_map(|(name, path)| {
                Some(if self.is_unit(&path)? { Value::from(name) } else { json!({ name: self.value(&path, depth)? }) })
            })?,
            Kind::Adjacent { tag, content } => self.variants(path).into_iter().find_map(|(name, path)| {
                if self.is_unit(&path)? {
                    return Some(json!({ tag: name }));
                }
                Some(json!({ tag: name, content: self.value(&path, depth)? }))
            })?,
            Kind::List => Value::Array(self.value(&format!("{path}[]"), depth).into_iter().collect()),
            Kind::Tuple(len) => {
                let part = |index| self.value(&self.shape.part_of_tuple(path, index), depth);
                Value::Array((0..*len).map(part).collect::<Option<_>>()?)
            }
            Kind::Map if example.is_none() || self.shape.shows_values(path) => {
                let key = example.and_then(|example| example.as_object()?.keys().min().cloned());
                let value = self.value(&format!("{path}.*"), depth);
                value.map_or(json!({}), |value| json!({ key.unwrap_or_else(|| "key".to_owned()): value }))
            }
            Kind::Map => example?.clone(),
            Kind::Tagged { tag, variants } => example.cloned().or_else(|| Some(json!({ tag: variants.first()? })))?,
            Kind::Opaque => example.cloned().unwrap_or(Value::Null),
            Kind::Recursive(_) if node.nullable || depth >= DEEPEST => return None,
            Kind::Recursive(path) => self.value(path, depth + 1)?,
        })
    }

    fn object(&self, path: &str, depth: usize) -> Option<Value> {
        let fields = self.shape.fields(path);
        let field_of = |name: &str, path: &str| {
            let node = self.shape.0.get(path);
            node.and_then(|node| node.alias_of.clone()).unwrap_or_else(|| name.to_owned())
        };
        // A field with several names has the one that leads to the target, or else its own.
        let target = fields.iter().find(|(_, path)| leads_to(path, self.target));
        let target = target.map(|(name, path)| (name.as_str(), field_of(name, path)));
        let mut object = Map::new();
        for (name, path) in &fields {
            let node = self.shape.0.get(path)?;
            let has_it = match &target {
                Some((wanted, field)) if *field == field_of(name, path) => wanted == name,
                _ => node.alias_of.is_none(),
            };
            if !has_it || (self.is_target(path) && *self.change == Change::Without) {
                continue;
            }
            match self.value(path, depth) {
                Some(value) => drop(object.insert(name.clone(), value)),
                None if node.optional => {}
                None => return None,
            }
        }
        if self.is_target(path) && *self.change == Change::More {
            object.insert(UNKNOWN.to_owned(), Value::Null);
        }
        Some(Value::Object(object))
    }

    /// Returns the variants of an enum; the one on the way to the target comes first.
    fn variants(&self, path: &str) -> Vec<(String, String)> {
        let mut variants = self.shape.fields(path);
        variants.sort_by_key(|(_, path)| !leads_to(path, self.target));
        variants
    }

    fn is_unit(&self, path: &str) -> Option<bool> {
        Some(matches!(&self.shape.0.get(path)?.kind, Kind::Value(kind) if kind == "unit"))
    }
}

/// Returns the value of a kind without parts that is tried first.
fn value_of(kind: &str) -> Value {
    candidates(kind).into_iter().next().unwrap_or(Value::Null)
}

/// Returns the values of a kind without parts that are tried, in this order.
pub(super) fn candidates(kind: &str) -> Vec<Value> {
    match kind {
        "bool" => vec![json!(true), json!(false)],
        "f32" | "f64" => vec![json!(0.5), json!(1), json!(0), json!(10), json!(100)],
        "text" => TEXTS.into_iter().map(Value::from).collect(),
        "char" => vec![json!("c"), json!("1")],
        "bytes" => vec![json!([1]), json!("text")],
        "null" | "unit" | "ignored" => vec![Value::Null],
        _ => vec![json!(1), json!(0), json!(10), json!(100), json!(1000), json!(10_000), json!(-1)],
    }
}

impl Shape {
    /// Returns the longest text, list or map that is known to be read at a path.
    #[cfg(feature = "cli")]
    pub(super) fn longest_read(&self, path: &str, node: &Node) -> Option<Value> {
        let refuses_equal = node.kind == Kind::List && node.not.iter().any(|end| *end != json!([]));
        if refuses_equal { None } else { self.of_length(path, node.most.unwrap_or_else(|| self.longest(path))) }
    }

    /// Returns the greatest length of a value that is tried at a path.
    pub(super) fn longest(&self, path: &str) -> usize {
        let size = |part: &str| {
            let part = self.part(&format!("{path}{part}"));
            part.map_or(0, |part| written(&part, &BTreeSet::new()).len())
        };
        match self.0.get(path).map(|node| &node.kind) {
            Some(Kind::List) => (MOST_JSON / (size("[]") + 1)).clamp(2, LONG),
            Some(Kind::Map) => (MOST_JSON / (size(".*") + 8)).clamp(2, LONG),
            _ => LONG,
        }
    }

    /// Returns a value of this length at a path, if one can be made up: a text of words, bytes, a list of equal parts, or
    /// a map of equal values.
    pub(super) fn of_length(&self, path: &str, len: usize) -> Option<Value> {
        let node = self.0.get(path)?;
        Some(match &node.kind {
            Kind::Value(kind) if kind == "bytes" && node.examples.is_empty() => Value::from(vec![1; len]),
            Kind::Value(_) if node.reads_words() => {
                let mut text = WORD.repeat(len.div_ceil(WORD.len()));
                text.truncate(len);
                Value::from(text)
            }
            Kind::List => Value::Array(vec![self.part(&format!("{path}[]"))?; len]),
            Kind::Map if node.examples.is_empty() => {
                let value = self.part(&format!("{path}.*"))?;
                let key = |index| if index == 0 { "key".to_owned() } else { format!("key{index}") };
                (0..len).map(|index| (key(index), value.clone())).collect()
            }
            _ => return None,
        })
    }
}

/// Returns whether a text is one of [`Shape::of_length`].
#[cfg(feature = "cli")]
pub(super) fn is_words(text: &str) -> bool {
    text.as_bytes().chunks(WORD.len()).all(|word| WORD.as_bytes().starts_with(word))
}

/// Returns a text of odd characters, no longer than this.
pub(super) fn odd(most: usize) -> Option<Value> {
    let end = (1..=ODD.len().min(most)).rev().find(|end| ODD.is_char_boundary(*end))?;
    Some(Value::from(&ODD[..end]))
}

/// Returns the values at the ends of what a node may read: the least and the greatest, the shortest, and an odd one.
pub(super) fn ends(node: &Node) -> Vec<Value> {
    match &node.kind {
        Kind::Value(kind) if kind == "text" && node.examples.is_empty() => {
            [Some(Value::from("")), odd(node.most.unwrap_or(LONG))].into_iter().flatten().collect()
        }
        Kind::Value(kind) if kind == "bytes" && node.examples.is_empty() => {
            vec![json!([]), json!(WORD)]
        }
        Kind::Value(kind) if kind == "char" => vec![json!("Ä")],
        Kind::Value(kind) if kind == "f32" => vec![json!(-0.5), json!(1e30)],
        Kind::Value(kind) if kind == "f64" => vec![json!(-0.5), json!(1e300)],
        Kind::Value(kind) => {
            let mut all = extremes(kind);
            if all.first().is_some_and(|least| *least != json!(0)) {
                all.insert(1, json!(0));
            }
            all
        }
        Kind::List => vec![json!([])],
        Kind::Map if node.examples.is_empty() => vec![json!({})],
        _ => Vec::new(),
    }
}

/// Returns the least and the greatest number of a kind, as far as JSON in memory can hold it.
pub(super) fn extremes(kind: &str) -> Vec<Value> {
    match kind {
        "i8" => vec![json!(i8::MIN), json!(i8::MAX)],
        "i16" => vec![json!(i16::MIN), json!(i16::MAX)],
        "i32" => vec![json!(i32::MIN), json!(i32::MAX)],
        "i64" | "i128" => vec![json!(i64::MIN), json!(i64::MAX)],
        "u8" => vec![json!(0), json!(u8::MAX)],
        "u16" => vec![json!(0), json!(u16::MAX)],
        "u32" => vec![json!(0), json!(u32::MAX)],
        "u64" | "u128" => vec![json!(0), json!(u64::MAX)],
        _ => Vec::new(),
    }
}
