//! Finds the bodies that a type used to read and no longer reads.
//!
//! The current type reads bodies that the former shape describes. Each refusal is a change; that place is then mended,
//! so that the next change is found too. One file: what is tried, how a refusal is read, and what is mended belong
//! together.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::bodies::{Change, Made, UNKNOWN, ends, extremes, is_words};
use super::examples::kinds;
use super::node::leads_to;
use super::place::{part, part_mut, place};
use super::reading::{Refused, named, read, read_text};
use super::text::written;
use super::{Kind, Node, Shape, text};
use crate::decode::Probe;

/// The maximum number of repairs of one body.
const MOST_FAULTS: usize = 32;

/// Stands for a number that does not fit into a body in memory.
const NUMBER: &str = "a number that is written here";

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
    /// A number that no longer fits, or a text, a list or a map that is too long.
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

/// The parts of a body that a program no longer reads.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    found: BTreeMap<(String, DifferenceKind), Difference>,
    /// The places that could not be checked, because no value is known there that the former type reads.
    pub(crate) unseen: BTreeSet<String>,
}

impl Unread {
    pub(crate) fn into_differences(self) -> Vec<Difference> {
        self.found.into_values().collect()
    }

    fn add(&mut self, difference: Difference) {
        self.found.entry((difference.path.clone(), difference.kind)).or_insert(difference);
    }
}

impl Shape {
    /// Returns the differences that keep the type of `probe`, which has the shape `new`, from reading the bodies that
    /// this shape describes.
    pub(crate) fn unread_by(&self, new: &Shape, probe: Probe) -> Unread {
        if self == new { Unread::default() } else { self.compare(new, probe) }
    }

    fn compare(&self, new: &Shape, probe: Probe) -> Unread {
        let mut unread = Unread::default();
        let first: BTreeSet<_> = self.tags().into_iter().chain(new.tags()).collect();
        let comparison = Comparison { old: self, new, probe, first };
        for (path, node) in &self.0 {
            for change in self.changes_at(path, node, new) {
                match self.body(path, &change) {
                    Some(made) => comparison.faults(made, &mut unread),
                    None if change == Change::None => drop(unread.unseen.insert(place(path))),
                    None => {}
                }
            }
            // A body without a value of the former type there, such as one with `null`, says nothing either.
            let is_found = || unread.found.keys().any(|(found, _)| leads_to(found, &place(path)));
            if node.unseen && new.0.get(path) != Some(node) && !is_found() {
                unread.unseen.insert(place(path));
            }
            comparison.long_numbers(path, node, &mut unread);
            let longest = self.longest_read(path, node).filter(|_| new.0.get(path) != Some(node));
            if let Some(longest) = longest
                && let Some(made) = self.body(path, &Change::Instead(longest.clone()))
            {
                comparison.fault_of((path, &longest), &made, &mut unread);
            }
        }
        unread
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
        // A type that reads values of all kinds needs no examples.
        if node.kind == Kind::Opaque && node.examples.is_empty() && !self.is_unseen(path) {
            all.extend(kinds().map(Change::Instead));
        }
        // The fields of an object may be keys of a map.
        if node.kind == Kind::Map && node.examples.is_empty() {
            all.extend(self.as_object(path, new).into_iter().map(Change::Instead));
        }
        // Of maps that differ in their values alone, one is enough.
        let shows_all = node.kind == Kind::Map && self.shows_values(path);
        if !shows_all || new.0.get(path).is_none_or(|new| has_other_keys(node, new)) {
            all.extend(node.examples.iter().skip(1).cloned().map(Change::Instead));
        }
        all
    }

    /// Returns maps of this shape whose keys are the fields that an object of the new shape has.
    fn as_object(&self, path: &str, new: &Shape) -> Vec<Value> {
        if new.0.get(path).is_none_or(|node| node.kind != Kind::Object) {
            return Vec::new();
        }
        let has_own_name = |field: &str| new.0.get(field).is_some_and(|node| node.alias_of.is_none());
        let fields: Vec<_> = new.fields(path).into_iter().filter(|(_, field)| has_own_name(field)).collect();
        let values = format!("{path}.*");
        let is_anything = self
            .0
            .get(&values)
            .is_some_and(|node| node.kind == Kind::Opaque && node.examples.is_empty() && !node.unseen);
        let values = if is_anything { kinds().to_vec() } else { self.part(&values).into_iter().collect() };
        values.into_iter().map(|value| fields.iter().map(|(name, _)| (name.clone(), value.clone())).collect()).collect()
    }

    /// Returns whether the former type itself may have refused the value at this place.
    fn may_have_refused(&self, made: &Made, refused: &Refused, kind: DifferenceKind) -> bool {
        let Some(path) = self.place_of(&made.value, &refused.path) else { return made.is_unsure };
        let Some(node) = self.0.get(&path) else { return made.is_unsure };
        if node.unseen && node.may_be_picky() {
            return true;
        }
        // serde judges a field or a type for all values.
        let is_certain = match kind {
            DifferenceKind::TypeChanged | DifferenceKind::NullRefused => {
                matches!(node.kind, Kind::Value(_)) && !node.may_be_picky()
            }
            DifferenceKind::RangeNarrowed | DifferenceKind::ValueRefused => false,
            _ => true,
        };
        !is_certain && (self.is_unseen(&path) || made.is_unsure)
    }

    /// Interprets a refusal with the two shapes.
    fn difference(&self, body: &Value, refused: &Refused, new: &Shape) -> Difference {
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
        let is_same_kind = before.zip(after).is_some_and(|(before, after)| before.kind == after.kind);
        let kind = match &refused.error {
            _ if had_another_name => DifferenceKind::AliasRemoved,
            _ if missing.is_some() && before.is_some() => DifferenceKind::FieldRequired,
            _ if missing.is_some() => DifferenceKind::FieldAdded,
            error if error.starts_with("invalid length") && is_same_kind => DifferenceKind::RangeNarrowed,
            _ if value.zip(before).zip(after).is_some_and(is_too_long) => DifferenceKind::RangeNarrowed,
            error if error.starts_with("unknown field") => DifferenceKind::FieldRefused,
            error if error.starts_with("unknown variant") => DifferenceKind::VariantRemoved,
            _ if value == Some(&Value::Null) && before.is_some_and(|node| node.nullable) => DifferenceKind::NullRefused,
            error if error.starts_with("invalid value: integer") || error.starts_with("number out of range") => {
                DifferenceKind::RangeNarrowed
            }
            error if error.starts_with("invalid value: expected key") => DifferenceKind::TypeChanged,
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
                let ends = ends(node).into_iter().filter(|end| !node.not.contains(end));
                changes.extend(ends.chain(other.longest_read(path, node)).map(Change::Instead));
            }
            changes.iter().find_map(|change| self.refuses("body", &other.body(path, change)?.value, "body"))
        })
    }

    fn refuses(&self, path: &str, value: &Value, place: &str) -> Option<(String, String)> {
        let node = self.0.get(path)?;
        let no = || Some((place.to_owned(), format!("expected {node}, got {value}")));
        if node.unseen || (value.is_null() && node.nullable) {
            return None;
        }
        let is_too_long = node.most.is_some_and(|most| length(value).is_some_and(|length| length > most));
        if is_too_long || node.not.contains(value) {
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
                Some(parts) if parts.len() == *len => parts.iter().enumerate().find_map(|(index, part)| {
                    self.refuses(&self.part_of_tuple(path, index), part, &format!("{place}[{index}]"))
                }),
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
            Kind::Adjacent { tag, content } => {
                let Some(variant) = value.get(tag).and_then(Value::as_str) else { return no() };
                let fields = self.fields(path);
                let Some((_, path)) = fields.into_iter().find(|(name, _)| name == variant) else { return no() };
                self.refuses(&path, value.get(content)?, &format!("{place}.{content}"))
            }
            // An option of itself reads `null` alone.
            Kind::Recursive(above) if above == path => no(),
            Kind::Recursive(above) => self.refuses(above, value, place),
            Kind::Opaque => None,
        }
    }
}

/// A comparison of two versions of a type.
struct Comparison<'a> {
    old: &'a Shape,
    new: &'a Shape,
    /// The type of the new version.
    probe: Probe,
    /// The keys that come first in objects.
    first: BTreeSet<String>,
}

impl Comparison<'_> {
    /// Finds what is refused of a body, one after the other.
    fn faults(&self, mut made: Made, unread: &mut Unread) {
        let mut mended: Vec<String> = Vec::new();
        for _ in 0..MOST_FAULTS {
            let Err(refused) = read(self.probe, &made.value, &self.first) else { return };
            if mended.iter().any(|place| leads_to(place, &refused.path)) {
                // This value is ours, and the new type refuses it too: it is one of which nothing is known.
                unread.unseen.insert(refused.path);
                return;
            }
            let difference = self.old.difference(&made.value, &refused, self.new);
            if self.old.may_have_refused(&made, &refused, difference.kind) {
                unread.unseen.insert(refused.path);
                return;
            }
            unread.add(difference);
            match mend(&mut made.value, &refused, self.new) {
                Some(place) => mended.push(place),
                None => return,
            }
        }
    }

    /// Finds whether a number of 128 bits becomes narrower. It is written into the text of a body, since it does not fit
    /// into one in memory.
    fn long_numbers(&self, path: &str, node: &Node, unread: &mut Unread) {
        if self.new.0.get(path) == Some(node) {
            return;
        }
        for number in long_numbers(&node.kind) {
            let Some(made) = self.old.body(path, &Change::Instead(Value::from(NUMBER))) else { return };
            let text = written(&made.value, &self.first).replacen(&Value::from(NUMBER).to_string(), &number, 1);
            let Err(refused) = read_text(self.probe, &text) else { continue };
            let place = place(path);
            let is_known = unread.found.keys().any(|(found, _)| leads_to(found, &place));
            if refused.path == place && !is_known && !made.is_unsure {
                let shown = |shape: &Shape| shape.0.get(path).map(ToString::to_string);
                let (kind, before, after) = (DifferenceKind::RangeNarrowed, shown(self.old), shown(self.new));
                unread.add(Difference { path: place, kind, error: refused.error, before, after });
            }
        }
    }

    /// Finds whether a value in a body is refused as a whole, or a part of it that is equal to the first one of a list and
    /// behind it; other parts are tried in other bodies.
    fn fault_of(&self, (path, value): (&str, &Value), made: &Made, unread: &mut Unread) {
        let Err(refused) = read(self.probe, &made.value, &self.first) else { return };
        let behind_first = || {
            let index = refused.path.strip_prefix(&format!("{}[", place(path)))?.split_once(']')?.0;
            index.parse().ok().filter(|index: &usize| *index > 0)
        };
        if part(&made.value, &refused.path) != Some(value) && behind_first().is_none() {
            return;
        }
        let difference = self.old.difference(&made.value, &refused, self.new);
        if self.old.may_have_refused(made, &refused, difference.kind) {
            unread.unseen.insert(refused.path);
        } else {
            unread.add(difference);
        }
    }
}

/// Returns the least and the greatest number of a kind, where they do not fit into JSON in memory.
fn long_numbers(kind: &Kind) -> Vec<String> {
    match kind {
        Kind::Value(name) if name == "i128" => vec![i128::MIN.to_string(), i128::MAX.to_string()],
        Kind::Value(name) if name == "u128" => vec![u128::MAX.to_string()],
        _ => Vec::new(),
    }
}

/// Returns whether a value without parts is of this kind.
fn fits(kind: &str, node: &Node, value: &Value) -> bool {
    match kind {
        "bool" => value.is_boolean(),
        "f32" | "f64" => value.is_number(),
        "char" => value.as_str().is_some_and(|text| text.chars().count() == 1),
        // If not every text is read, only the texts that were tried are known to be.
        "text" => value.as_str().is_some_and(|text| {
            node.examples.is_empty() || node.examples.contains(value) || node.reads_words() && is_words(text)
        }),
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

/// Returns the length of a text in bytes, of a list in parts, and of a map in entries.
fn length(value: &Value) -> Option<usize> {
    match value {
        Value::String(text) => Some(text.len()),
        Value::Array(parts) => Some(parts.len()),
        Value::Object(entries) => Some(entries.len()),
        _ => None,
    }
}

/// Returns whether a value is longer than the new node allows, and the former one of the same kind allowed it.
fn is_too_long(((value, before), after): ((&Value, &Node), &Node)) -> bool {
    before.kind == after.kind && after.most.zip(length(value)).is_some_and(|(most, length)| length > most)
}

/// Makes a body readable by the new type at the place where it was refused, and returns the place that has another
/// value now; `None` if no repair is known.
fn mend(body: &mut Value, refused: &Refused, new: &Shape) -> Option<String> {
    if let Some(field) = named(&refused.error, "missing field") {
        let place = format!("{}.{field}", refused.path);
        let path = new.place_of(body, &place)?;
        let mut value = new.part(&path)?;
        if new.place_of(body, &refused.path).is_some_and(|parent| parent == path) {
            // Serde hides the field, so only the whole is known.
            value = value.get(field)?.clone();
        }
        let object = part_mut(body, &refused.path).and_then(Value::as_object_mut)?;
        return object.insert(field.to_owned(), value).is_none().then_some(place);
    }
    if let Some(field) = named(&refused.error, "unknown field") {
        let place = format!(".{field}");
        let parent = refused.path.strip_suffix(&place).unwrap_or(&refused.path).to_owned();
        let object = part_mut(body, &parent).and_then(Value::as_object_mut)?;
        return (field != UNKNOWN && object.remove(field).is_some()).then(|| parent + &place);
    }
    let path = new.place_of(body, &refused.path)?;
    let value = new.part(&path)?;
    // A part that serde hides is only known as a whole.
    let mut place = refused.path.as_str();
    while let Some((parent, _)) = place.rsplit_once('.')
        && new.place_of(body, parent).is_some_and(|above| above == path)
    {
        place = parent;
    }
    let part = part_mut(body, place).filter(|part| **part != value)?;
    *part = value;
    Some(place.to_owned())
}

/// Returns whether the examples of two maps have other keys, or values of other kinds at a key that is not known.
fn has_other_keys(one: &Node, other: &Node) -> bool {
    let keys = |node: &Node| -> BTreeSet<String> {
        let maps = node.examples.iter().filter_map(Value::as_object);
        maps.flat_map(|map| map.keys().cloned()).collect()
    };
    let keys_of_one = keys(one);
    keys_of_one != keys(other) || keys_of_one.contains(UNKNOWN)
}

#[cfg(test)]
mod tests;
