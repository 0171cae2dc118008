//! Bodies whose unique key is known, to compare the keys of two versions.

use serde_json::Value;

use super::bodies::{Change, candidates};
use super::place::{part, place};
use super::text::written;
use super::{Kind, Shape};

/// A body, and the values that make up its unique key, as JSON.
pub(crate) struct KeySample {
    pub(crate) body: String,
    pub(crate) values: String,
}

impl Shape {
    /// Returns the paths of these fields, which are named as in the program: `account_id, address.city`. `None` if one
    /// cannot be found, for instance because serde knows it under another name.
    pub(crate) fn paths_of_key(&self, fields: &str) -> Option<Vec<String>> {
        fields.split(", ").map(|field| self.path_of_field(field)).collect()
    }

    fn path_of_field(&self, field: &str) -> Option<String> {
        let mut path = "body".to_owned();
        for name in field.split('.') {
            let name = name.strip_prefix("r#").unwrap_or(name);
            match self.0.get(&path)?.kind {
                Kind::Object => {
                    let fields = self.fields(&path);
                    let exact = fields.iter().find(|(field, _)| field == name);
                    let similar = || fields.iter().find(|(field, _)| is_renamed(field, name));
                    path.clone_from(&exact.or_else(similar)?.1);
                }
                Kind::Tuple(_) => path = self.part_of_tuple(&path, name.parse().ok()?),
                // The field of a newtype.
                _ if name == "0" => {}
                _ => return None,
            }
        }
        Some(path)
    }

    /// Returns the first place at which a program of the shape `new` has written a body of this shape in another way:
    /// with other fields, or with another value of a changed type. A value of an unchanged type that it writes in
    /// another way than pulpo made it up says nothing.
    pub(crate) fn written_differently(&self, new: &Shape, body: &Value, written: &Value) -> Option<String> {
        self.differs_at("body", new, body, (body, written))
    }

    fn differs_at(&self, place: &str, new: &Shape, body: &Value, parts: (&Value, &Value)) -> Option<String> {
        match parts {
            (Value::Object(before), Value::Object(after)) => {
                let names = before.keys().chain(after.keys());
                let other = names.into_iter().find(|name| !(before.contains_key(*name) && after.contains_key(*name)));
                if let Some(name) = other {
                    return Some(format!("{place}.{name}"));
                }
                before.iter().find_map(|(name, part)| {
                    self.differs_at(&format!("{place}.{name}"), new, body, (part, after.get(name)?))
                })
            }
            (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
                let mut pairs = before.iter().zip(after).enumerate();
                pairs.find_map(|(index, pair)| self.differs_at(&format!("{place}[{index}]"), new, body, pair))
            }
            (before, after) => {
                let path = self.place_of(body, place)?;
                (before != after && self.0.get(&path) != new.0.get(&path)).then(|| place.to_owned())
            }
        }
    }

    /// Returns bodies with different values at these paths, with these values: all of the body without a path.
    pub(crate) fn key_samples(&self, paths: &[String]) -> Vec<KeySample> {
        let first = self.tags();
        let mut all = vec![self.body("body", &Change::None)];
        for path in paths {
            let other = |kind: &str| candidates(kind).into_iter().nth(1);
            let other = match self.0.get(path).map(|node| (&node.kind, node.examples.get(1))) {
                Some((_, Some(example))) => Some(example.clone()),
                Some((Kind::Value(kind), None)) => other(kind),
                _ => None,
            };
            all.extend(other.map(|other| self.body(path, &Change::Instead(other))));
        }
        let sample = |body: Value| {
            let values: Option<Vec<_>> = paths.iter().map(|path| part(&body, &place(path)).cloned()).collect();
            let values = if paths.is_empty() { body.clone() } else { Value::Array(values?) };
            Some(KeySample { body: written(&body, &first), values: written(&values, &first) })
        };
        all.into_iter().flatten().filter_map(|made| sample(made.value)).collect()
    }
}

/// Returns whether serde may have made one name of the other: `accountId` of `account_id`.
fn is_renamed(field: &str, name: &str) -> bool {
    let plain =
        |name: &str| name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    plain(field) == plain(name)
}
