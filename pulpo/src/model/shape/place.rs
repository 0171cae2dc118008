//! Places: the paths of a body, as in the reason of a burial, and the nodes of a shape that they belong to.

use std::collections::BTreeSet;

use serde_json::Value;

use super::text::{self, last_step};
use super::{Kind, Shape};

/// The node of a place.
pub(super) struct Found {
    pub(super) path: String,
    /// The list and the index of the last part on the way that has no node of its own, and so is like the first.
    pub(super) like_first: Option<(String, usize)>,
}

/// Returns the steps behind the key `name` at the start of a place. Keys may contain dots, so this is a guess.
fn behind<'p>(place: &'p str, name: &str) -> Option<&'p str> {
    let rest = place.strip_prefix('.')?.strip_prefix(name)?;
    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
}

/// Returns the index at the start of a place, and the rest.
fn index(place: &str) -> Option<(usize, &str)> {
    let (index, rest) = place.strip_prefix('[')?.split_once(']')?;
    Some((index.parse().ok()?, rest))
}

impl Shape {
    /// Returns the path of the node of a place in a body: the node itself, or the last one on the way that serde shows.
    pub(crate) fn place_of(&self, body: &Value, place: &str) -> Option<String> {
        self.find(body, place).map(|found| found.path)
    }

    pub(super) fn find(&self, body: &Value, place: &str) -> Option<Found> {
        let mut like_first = None;
        let found = |path, like_first| Some(Found { path, like_first });
        let mut path = "body".to_owned();
        let (mut value, mut rest) = (body, place.strip_prefix("body")?);
        while !rest.is_empty() {
            if let Some(Kind::Recursive(above)) = self.0.get(&path).map(|node| &node.kind) {
                path.clone_from(above);
            }
            let node = self.0.get(&path)?;
            match (&node.kind, value) {
                (Kind::Object | Kind::Enum, here) => {
                    let fields = self.fields(&path);
                    let next = fields.into_iter().filter_map(|(name, path)| {
                        let rest = behind(rest, &name)?;
                        Some((name, path, rest))
                    });
                    let next = next.max_by_key(|(name, ..)| name.len());
                    let Some((name, next, behind)) = next else { return found(path, like_first) };
                    let Some(inner) = here.get(&name) else { return found(next, like_first) };
                    (path, value, rest) = (next, inner, behind);
                }
                (Kind::Adjacent { tag, content }, here) => {
                    let variant = here.get(tag).and_then(Value::as_str);
                    let variant = variant.map(|variant| format!("{path}{}", text::field(variant)));
                    let Some((variant, behind)) =
                        variant.filter(|path| self.0.contains_key(path)).zip(behind(rest, content))
                    else {
                        return found(path, like_first);
                    };
                    let Some(inner) = here.get(content) else { return found(variant, like_first) };
                    (path, value, rest) = (variant, inner, behind);
                }
                (Kind::List, Value::Array(parts)) => {
                    let (index, behind) = index(rest)?;
                    path.push_str("[]");
                    (value, rest) = (parts.get(index)?, behind);
                }
                (Kind::Tuple(_), Value::Array(parts)) => {
                    let (index, behind) = index(rest)?;
                    let part = self.part_of_tuple(&path, index);
                    if !self.0.contains_key(&part) {
                        return found(path, like_first);
                    }
                    if index > 0 && part.ends_with("[0]") {
                        like_first = Some((path, index));
                    }
                    path = part;
                    (value, rest) = (parts.get(index)?, behind);
                }
                (Kind::Map, Value::Object(object)) => {
                    let next = object.iter().filter_map(|(name, value)| Some((name, value, behind(rest, name)?)));
                    let next = next.max_by_key(|(name, ..)| name.len());
                    let Some((_, inner, behind)) = next.filter(|_| self.shows_values(&path)) else {
                        return found(path, like_first);
                    };
                    path.push_str(".*");
                    (value, rest) = (inner, behind);
                }
                _ => return found(path, like_first),
            }
        }
        found(path, like_first)
    }

    /// Returns the path of a part of a list of fixed length: its own, or that of the first.
    pub(super) fn part_of_tuple(&self, path: &str, index: usize) -> String {
        let own = format!("{path}[{index}]");
        if self.0.contains_key(&own) { own } else { format!("{path}[0]") }
    }

    /// Returns whether the values of a map are seen.
    pub(super) fn shows_values(&self, path: &str) -> bool {
        self.0.get(&format!("{path}.*")).is_some_and(|node| node.kind != Kind::Opaque)
    }

    /// Returns whether nothing is known of the values at a path, or of those around it.
    pub(super) fn is_unseen(&self, path: &str) -> bool {
        let above = std::iter::successors(Some(path), |path| last_step(path).map(|(parent, _)| parent));
        above.into_iter().any(|path| self.0.get(path).is_some_and(|node| node.unseen))
    }

    /// Takes values from bodies that are known to be read, without trying them: of each place, the first.
    #[cfg(feature = "cli")]
    pub(crate) fn taught(mut self, bodies: &[Value]) -> Self {
        for body in bodies {
            let mut seen = BTreeSet::new();
            self.each_part(body, body, "body", None, &mut |path, _| {
                seen.insert(path.to_owned());
            });
            self.learn(std::slice::from_ref(body));
            for path in seen {
                self.0.entry(path).and_modify(|node| node.unseen = false);
            }
        }
        self
    }

    /// Returns the paths where no value is known that is read.
    pub(crate) fn unseen(&self) -> BTreeSet<String> {
        self.0.iter().filter(|(_, node)| node.unseen).map(|(path, _)| path.clone()).collect()
    }

    /// Takes values that are read from whole bodies that are read: for the paths that are unseen, and those below.
    /// Returns whether there are any new ones.
    pub(crate) fn learn(&mut self, bodies: &[Value]) -> bool {
        let mut learned = Vec::new();
        for body in bodies {
            self.each_part(body, body, "body", None, &mut |path, value| learned.push((path.to_owned(), value.clone())));
        }
        let mut is_new = false;
        for (path, value) in learned {
            if !self.is_unseen(&path) {
                continue;
            }
            let Some(node) = self.0.get_mut(&path) else { continue };
            let has_parts = matches!(
                node.kind,
                Kind::Object | Kind::Enum | Kind::List | Kind::Tuple(_) | Kind::Adjacent { .. } | Kind::Recursive(_)
            );
            let is_null = value.is_null() && node.nullable;
            if !has_parts && !is_null && !node.examples.contains(&value) {
                node.examples.push(value);
                is_new = true;
            }
        }
        is_new
    }

    /// Calls `learn` for each part of a body that has a node, with the path of the node.
    fn each_part(
        &self,
        body: &Value,
        part: &Value,
        place: &str,
        above: Option<&str>,
        learn: &mut dyn FnMut(&str, &Value),
    ) {
        let Some(path) = self.place_of(body, place) else { return };
        if above == Some(path.as_str()) {
            return;
        }
        learn(&path, part);
        match part {
            Value::Object(object) => {
                for (key, value) in object {
                    self.each_part(body, value, &format!("{place}.{key}"), Some(&path), learn);
                }
            }
            Value::Array(parts) => {
                for (index, value) in parts.iter().enumerate() {
                    self.each_part(body, value, &format!("{place}[{index}]"), Some(&path), learn);
                }
            }
            _ => {}
        }
    }
}

/// Returns the place in a body that a path stands for: the first part of each list.
#[cfg(feature = "cli")]
pub(super) fn place(path: &str) -> String {
    let Some((parent, step)) = last_step(path) else { return path.to_owned() };
    let parent = place(parent);
    match step {
        "[]" => format!("{parent}[0]"),
        ".*" => format!("{parent}.key"),
        step => match step.strip_prefix('.').and_then(|name| serde_json::from_str::<String>(name).ok()) {
            Some(name) => format!("{parent}.{name}"),
            None => format!("{parent}{step}"),
        },
    }
}

/// Returns the part of a body at a place.
#[cfg(feature = "cli")]
pub(super) fn part<'v>(body: &'v Value, place: &str) -> Option<&'v Value> {
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

#[cfg(feature = "cli")]
pub(super) fn part_mut<'v>(body: &'v mut Value, place: &str) -> Option<&'v mut Value> {
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

#[cfg(feature = "cli")]
enum Step {
    Index(usize),
    Key(String),
}

/// Returns the first step of a place in a value: keys may contain dots.
#[cfg(feature = "cli")]
fn step<'r>(value: &Value, rest: &'r str) -> Option<(Step, &'r str)> {
    if let Some((index, rest)) = index(rest) {
        return Some((Step::Index(index), rest));
    }
    let found = value.as_object()?.keys().filter_map(|key| Some((key, behind(rest, key)?)));
    found.max_by_key(|(key, _)| key.len()).map(|(key, behind)| (Step::Key(key.clone()), behind))
}
