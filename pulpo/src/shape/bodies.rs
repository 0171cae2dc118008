//! Makes up bodies from a shape.

use serde_json::{Map, Value, json};

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

/// The depth to which a recursive type is followed.
const DEEPEST: usize = 1;

impl Shape {
    /// Returns a body that has the part at `target`, with that part changed. `None` if no body of a bounded size has
    /// it.
    pub(crate) fn body(&self, target: &str, change: &Change) -> Option<Value> {
        Body { shape: self, target, change }.value("body", 0)
    }

    /// Makes up the value at a path.
    pub(crate) fn part(&self, path: &str) -> Option<Value> {
        Body { shape: self, target: path, change: &Change::None }.value(path, 0)
    }
}

struct Body<'a> {
    shape: &'a Shape,
    target: &'a str,
    change: &'a Change,
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
        self.content(path, node, depth).or_else(|| node.nullable.then_some(Value::Null))
    }

    fn content(&self, path: &str, node: &Node, depth: usize) -> Option<Value> {
        let example = node.examples.first().cloned();
        Some(match &node.kind {
            Kind::Value(name) => example.unwrap_or_else(|| value_of(name)),
            Kind::Object => {
                let mut object = Map::new();
                for (name, path) in self.shape.fields(path) {
                    let leave_out = self.is_target(&path) && *self.change == Change::Without;
                    if leave_out || !self.has(&name, &path) {
                        continue;
                    }
                    match self.value(&path, depth) {
                        Some(value) => drop(object.insert(name, value)),
                        None if self.shape.0.get(&path).is_some_and(|node| node.optional) => {}
                        None => return None,
                    }
                }
                if self.is_target(path) && *self.change == Change::More {
                    object.insert(UNKNOWN.to_owned(), Value::Null);
                }
                Value::Object(object)
            }
            Kind::Enum => {
                let mut variants = self.shape.fields(path);
                // The variant on the way to the target comes first.
                variants.sort_by_key(|(_, path)| !leads_to(path, self.target));
                variants.into_iter().find_map(|(name, path)| match self.shape.0.get(&path)?.kind {
                    Kind::Value(ref kind) if kind == "unit" => Some(Value::from(name)),
                    _ => Some(json!({ name: self.value(&path, depth)? })),
                })?
            }
            Kind::List => Value::Array(self.value(&format!("{path}[]"), depth).into_iter().collect()),
            Kind::Tuple(len) => {
                let mut parts = match example {
                    Some(Value::Array(parts)) => parts,
                    _ => vec![Value::Null; *len],
                };
                if let Some(first) = parts.first_mut() {
                    *first = self.value(&format!("{path}[0]"), depth)?;
                }
                Value::Array(parts)
            }
            Kind::Map => match example {
                Some(example) => example,
                None => self.value(&format!("{path}.*"), depth).map_or(json!({}), |value| json!({ "key": value })),
            },
            Kind::Tagged { tag, variants } => example.or_else(|| Some(json!({ tag: variants.first()? })))?,
            Kind::Opaque => example.unwrap_or(Value::Null),
            Kind::Recursive(_) if node.nullable || depth >= DEEPEST => return None,
            Kind::Recursive(path) => self.value(path, depth + 1)?,
        })
    }

    /// Returns whether the body has this name of a field: of several aliases, the one that leads to the target.
    fn has(&self, name: &str, path: &str) -> bool {
        let (parent, node) = match self.shape.0.get(path) {
            Some(node) => (&path[..path.len() - super::text::field(name).len()], node),
            None => return false,
        };
        let field = node.alias_of.as_deref().unwrap_or(name);
        let names = self.shape.fields(parent).into_iter().filter(|(other, other_path)| {
            other == field || self.shape.0.get(other_path).is_some_and(|node| node.alias_of.as_deref() == Some(field))
        });
        let wanted = names.into_iter().find(|(_, path)| leads_to(path, self.target));
        wanted.map_or(node.alias_of.is_none(), |(wanted, _)| wanted == name)
    }
}

/// Returns whether a path leads to another one.
pub(super) fn leads_to(path: &str, target: &str) -> bool {
    target.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Returns a value of a kind without parts.
fn value_of(kind: &str) -> Value {
    match kind {
        "bool" => Value::Bool(true),
        "f32" | "f64" => json!(0.5),
        "text" => Value::from("text"),
        "char" => Value::from("c"),
        "bytes" => json!([1]),
        "null" | "unit" | "ignored" => Value::Null,
        _ => json!(1),
    }
}

/// Returns the values at the ends of the range that a node reads.
pub(super) fn ends(node: &Node) -> Vec<Value> {
    match &node.kind {
        Kind::Value(kind) if kind == "text" && node.examples.is_empty() => vec![Value::from("")],
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
