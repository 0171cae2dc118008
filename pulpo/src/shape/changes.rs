//! Finds the bodies that a type used to read and no longer reads.
//!
//! The current type reads bodies that the former shape describes. Each refusal is a change; that place is then mended,
//! so that the next change is found too.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::bodies::{Change, UNKNOWN, ends, extremes};
use super::search::{Refused, named, read};
use super::{Kind, Node, Shape, text};
use crate::decode::Probe;

/// The maximum number of repairs of one body.
const MOST_FAULTS: usize = 32;

/// A value that a program no longer reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The path, as in the reason of a burial.
    pub(crate) path: String,
    pub(crate) kind: DifferenceKind,
    /// The error of the decoder.
    pub(crate) error: String,
    /// The former value there, if it is known.
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

/// The kind of a [`Difference`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DifferenceKind {
    /// A new field without a default.
    FieldAdded,
    /// A field that could be left out and is required now.
    FieldRequired,
    /// A field that the type refuses now.
    FieldRefused,
    /// A field that is no longer read, which causes no error.
    FieldDropped,
    /// Another type.
    TypeChanged,
    /// `null` is no longer read.
    NullRefused,
    /// A number that no longer fits.
    RangeNarrowed,
    /// A variant that no longer exists.
    VariantRemoved,
    /// A value that the type refuses now.
    ValueRefused,
    /// A job without a handler.
    JobRemoved,
    /// A job with another name, without an alias.
    JobRenamed,
    /// An alias of a job or a field that no longer exists.
    AliasRemoved,
    /// The unique key of a job is made of other fields.
    UniqueKeyChanged,
}

impl Shape {
    /// Returns the differences that keep the type of `probe`, which has the shape `new`, from reading the bodies that
    /// this shape describes.
    pub(crate) fn unread_by(&self, new: &Shape, probe: Probe) -> Vec<Difference> {
        let mut found = BTreeMap::new();
        if self != new {
            for (path, node) in &self.0 {
                for change in self.changes_at(path, node, new) {
                    let Some(body) = self.body(path, &change) else { continue };
                    self.faults(body, new, probe, &mut found);
                }
            }
        }
        found.into_values().collect()
    }

    /// Returns the variations of the bodies of this shape at a path. An unchanged node only has to be readable at all.
    fn changes_at(&self, path: &str, node: &Node, new: &Shape) -> Vec<Change> {
        let mut all = vec![Change::None];
        if new.0.get(path) == Some(node) {
            return all;
        }
        if node.nullable {
            all.push(Change::Instead(Value::Null));
        }
        if node.optional {
            all.push(Change::Without);
        }
        all.extend(ends(node).into_iter().filter(|end| !node.not.contains(end)).map(Change::Instead));
        all.extend(node.examples.iter().skip(1).cloned().map(Change::Instead));
        all
    }

    fn faults(
        &self,
        mut body: Value,
        new: &Shape,
        probe: Probe,
        found: &mut BTreeMap<(String, DifferenceKind), Difference>,
    ) {
        for _ in 0..MOST_FAULTS {
            let Err(refused) = read(probe, &body) else { return };
            let difference = self.difference(&body, &refused, new);
            found.entry((difference.path.clone(), difference.kind)).or_insert(difference);
            if !mend(&mut body, &refused, new) {
                return;
            }
        }
    }

    /// Interprets a refusal with the two shapes.
    pub(crate) fn difference(&self, body: &Value, refused: &Refused, new: &Shape) -> Difference {
        let missing = named(&refused.error, "missing field");
        let place = match missing {
            Some(field) => format!("{}.{field}", refused.path),
            None => refused.path.clone(),
        };
        let before = self.known(body, &place);
        let after = new.known(body, &place);
        let value = part(body, &refused.path);
        let had_another_name = missing.is_some_and(|field| {
            let names =
                part(body, &refused.path).and_then(Value::as_object).into_iter().flat_map(|object| object.keys());
            let alias = |name: &String| self.known(body, &format!("{}.{name}", refused.path))?.alias_of.clone();
            names.filter_map(alias).any(|of| of == field)
        });
        let kind = match &refused.error {
            _ if had_another_name => DifferenceKind::AliasRemoved,
            _ if missing.is_some() && before.is_some() => DifferenceKind::FieldRequired,
            _ if missing.is_some() => DifferenceKind::FieldAdded,
            error if error.starts_with("unknown field") => DifferenceKind::FieldRefused,
            error if error.starts_with("unknown variant") => DifferenceKind::VariantRemoved,
            _ if value == Some(&Value::Null) && before.is_some_and(|node| node.nullable) => DifferenceKind::NullRefused,
            error if error.starts_with("invalid value: integer") || error.starts_with("number out of range") => {
                DifferenceKind::RangeNarrowed
            }
            error if error.starts_with("invalid type") || error.starts_with("invalid length") => {
                DifferenceKind::TypeChanged
            }
            _ if before.map(|node| &node.kind) != after.map(|node| &node.kind) => DifferenceKind::TypeChanged,
            _ => DifferenceKind::ValueRefused,
        };
        let shown = |node: Option<&Node>| node.map(ToString::to_string);
        let (before, after) = (shown(before), shown(after));
        Difference { path: place, kind, error: refused.error.clone(), before, after }
    }

    /// Returns the node at exactly this place.
    fn known(&self, body: &Value, place: &str) -> Option<&Node> {
        let (parent, name) = place.rsplit_once('.').unwrap_or((place, ""));
        let path = self.place_of(body, place)?;
        let same = path.len() >= place.len() || part(body, place).is_some();
        // A place without a node maps to the node above it.
        let above =
            self.place_of(body, parent).is_some_and(|above| above == path) && !name.is_empty() && place != parent;
        (same && !above).then(|| self.0.get(&path)).flatten()
    }

    /// Returns the fields that the former shape has and this one does not read.
    pub(crate) fn dropped_since(&self, former: &Shape) -> Vec<Difference> {
        let mut dropped = Vec::new();
        for (path, node) in &former.0 {
            if node.kind != Kind::Object || self.0.get(path).is_none_or(|new| new.kind != Kind::Object || new.strict) {
                continue;
            }
            let new: Vec<_> = self.fields(path).into_iter().map(|(name, _)| name).collect();
            for (name, below) in former.fields(path).into_iter().filter(|(name, _)| !new.contains(name)) {
                dropped.push(Difference {
                    path: format!("{path}{}", text::field(&name)),
                    kind: DifferenceKind::FieldDropped,
                    error: "is no longer read, so its content is lost".to_owned(),
                    before: former.0.get(&below).map(ToString::to_string),
                    after: None,
                });
            }
        }
        dropped
    }

    /// Predicts how a program with this shape, whose decoder is not available, reads the bodies of another one: returns
    /// the path of the first fault, and the reason.
    pub(crate) fn refusal_of(&self, other: &Shape) -> Option<(String, String)> {
        other.0.iter().find_map(|(path, node)| {
            let mut changes = vec![Change::None];
            if self.0.get(path) != Some(node) {
                changes.extend(node.nullable.then_some(Change::Instead(Value::Null)));
                changes.extend(node.optional.then_some(Change::Without));
                changes.extend(ends(node).into_iter().filter(|end| !node.not.contains(end)).map(Change::Instead));
            }
            changes.iter().find_map(|change| self.refuses("body", &other.body(path, change)?, "body"))
        })
    }

    fn refuses(&self, path: &str, value: &Value, place: &str) -> Option<(String, String)> {
        let node = self.0.get(path)?;
        let no = || Some((place.to_owned(), format!("expected {node}, got {value}")));
        if value.is_null() && node.nullable {
            return None;
        }
        if node.not.contains(value) {
            return no();
        }
        match &node.kind {
            Kind::Value(kind) => (!fits(kind, node, value)).then(no).flatten(),
            Kind::Object => {
                let Some(object) = value.as_object() else { return no() };
                let fields = self.fields(path);
                let field_of = |name: &str| {
                    let (_, path) = fields.iter().find(|(field, _)| field == name)?;
                    Some((path, self.0.get(path)?.alias_of.clone().unwrap_or_else(|| name.to_owned())))
                };
                for (name, part) in object {
                    match field_of(name) {
                        Some((path, _)) => {
                            let refusal = self.refuses(path, part, &format!("{place}.{name}"));
                            if refusal.is_some() {
                                return refusal;
                            }
                        }
                        None if node.strict => {
                            return Some((format!("{place}.{name}"), "expected no such field".to_owned()));
                        }
                        None => {}
                    }
                }
                let there: Vec<_> = object.keys().filter_map(|name| Some(field_of(name)?.1)).collect();
                let missing = fields.iter().find(|(name, path)| {
                    let node = self.0.get(path);
                    node.is_some_and(|node| !node.optional && node.alias_of.is_none()) && !there.contains(name)
                });
                missing.map(|(name, _)| (format!("{place}.{name}"), "expected this field".to_owned()))
            }
            Kind::Enum => {
                let (name, content) = match value {
                    Value::String(name) => (name, None),
                    Value::Object(object) => match object.iter().next() {
                        Some((name, content)) => (name, Some(content)),
                        None => return no(),
                    },
                    _ => return no(),
                };
                let Some((_, path)) = self.fields(path).into_iter().find(|(variant, _)| variant == name) else {
                    return no();
                };
                content.and_then(|content| self.refuses(&path, content, &format!("{place}.{name}")))
            }
            Kind::List => match value.as_array() {
                Some(parts) => self.refuses(&format!("{path}[]"), parts.first()?, &format!("{place}[0]")),
                None => no(),
            },
            Kind::Tuple(len) => match value.as_array() {
                Some(parts) if parts.len() == *len => {
                    self.refuses(&format!("{path}[0]"), parts.first()?, &format!("{place}[0]"))
                }
                _ => no(),
            },
            Kind::Map => match value.as_object() {
                Some(object) => object
                    .iter()
                    .find_map(|(key, value)| self.refuses(&format!("{path}.*"), value, &format!("{place}.{key}"))),
                None => no(),
            },
            Kind::Tagged { tag, variants } => {
                let variant = value.get(tag).and_then(Value::as_str);
                (!variant.is_some_and(|variant| variants.iter().any(|known| known == variant))).then(no).flatten()
            }
            Kind::Recursive(above) => self.refuses(above, value, place),
            Kind::Opaque => None,
        }
    }
}

/// Returns whether a value without parts is of this kind.
fn fits(kind: &str, node: &Node, value: &Value) -> bool {
    match kind {
        "bool" => value.is_boolean(),
        "f32" | "f64" => value.is_number(),
        "char" => value.as_str().is_some_and(|text| text.chars().count() == 1),
        // If not every text is read, only the texts that were tried are known to be.
        "text" => value.is_string() && (node.examples.is_empty() || node.examples.contains(value)),
        "bytes" => value.is_string() || value.is_array(),
        "null" => value.is_null(),
        "unit" | "ignored" => true,
        number => {
            let within = |least: &Value, most: &Value| match (value.as_i64(), least.as_i64(), most.as_u64()) {
                (Some(value), Some(least), Some(most)) => value >= least && (value < 0 || value.unsigned_abs() <= most),
                _ => value.as_u64().is_some_and(|value| most.as_u64().is_some_and(|most| value <= most)),
            };
            match extremes(number).as_slice() {
                [least, most] => within(least, most),
                _ => value.is_number(),
            }
        }
    }
}

/// Returns the part of a body at a place.
fn part<'v>(body: &'v Value, place: &str) -> Option<&'v Value> {
    let mut value = body;
    let mut rest = place.strip_prefix("body")?;
    while !rest.is_empty() {
        let (step, behind) = step(value, rest)?;
        value = match step {
            Step::Index(index) => value.get(index)?,
            Step::Key(key) => value.get(&key)?,
        };
        rest = behind;
    }
    Some(value)
}

fn part_mut<'v>(body: &'v mut Value, place: &str) -> Option<&'v mut Value> {
    let mut value = body;
    let mut rest = place.strip_prefix("body")?;
    while !rest.is_empty() {
        let (step, behind) = step(value, rest)?;
        value = match step {
            Step::Index(index) => value.get_mut(index)?,
            Step::Key(key) => value.get_mut(&key)?,
        };
        rest = behind;
    }
    Some(value)
}

enum Step {
    Index(usize),
    Key(String),
}

/// Returns the first step of a place in a value: keys may contain dots.
fn step<'r>(value: &Value, rest: &'r str) -> Option<(Step, &'r str)> {
    if let Some(rest) = rest.strip_prefix('[') {
        let (index, behind) = rest.split_once(']')?;
        return Some((Step::Index(index.parse().ok()?), behind));
    }
    let rest = rest.strip_prefix('.')?;
    let found = value.as_object()?.keys().filter_map(|key| {
        let behind = rest.strip_prefix(key.as_str())?;
        (behind.is_empty() || behind.starts_with(['.', '['])).then_some((key, behind))
    });
    found.max_by_key(|(key, _)| key.len()).map(|(key, behind)| (Step::Key(key.clone()), behind))
}

/// Makes a body readable by the new type at the place where it was refused; false if no repair is known.
fn mend(body: &mut Value, refused: &Refused, new: &Shape) -> bool {
    if let Some(field) = named(&refused.error, "missing field") {
        let Some(path) = new.place_of(body, &format!("{}.{field}", refused.path)) else { return false };
        let Some(mut value) = new.part(&path) else { return false };
        if new.place_of(body, &refused.path).is_some_and(|parent| parent == path) {
            // Serde hides the field, so only the whole is known.
            let Some(field) = value.get(field) else { return false };
            value = field.clone();
        }
        let object = part_mut(body, &refused.path).and_then(Value::as_object_mut);
        return object.is_some_and(|object| object.insert(field.to_owned(), value).is_none());
    }
    if let Some(field) = named(&refused.error, "unknown field") {
        let parent = refused.path.strip_suffix(&format!(".{field}")).unwrap_or(&refused.path);
        let object = part_mut(body, parent).and_then(Value::as_object_mut);
        return field != UNKNOWN && object.is_some_and(|object| object.remove(field).is_some());
    }
    let Some(path) = new.place_of(body, &refused.path) else { return false };
    let Some(value) = new.part(&path) else { return false };
    // A part that serde hides is only known as a whole.
    let mut place = refused.path.as_str();
    while let Some((parent, _)) = place.rsplit_once('.')
        && new.place_of(body, parent).is_some_and(|above| above == path)
    {
        place = parent;
    }
    match part_mut(body, place) {
        Some(place) if *place != value => {
            *place = value;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
