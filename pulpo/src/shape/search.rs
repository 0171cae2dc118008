//! Finds details that the trace of a type cannot show: which fields may be left out, which texts are read, and the
//! content of types that serde hides.
//!
//! The type itself reads bodies that the shape describes. If it refuses one, the error gives the place, and another
//! value is tried there. Once a body is read, a field is left out of it, and so on. The tried values are part of the
//! format of a shape.

use std::cell::Cell;
use std::collections::HashMap;

use serde_json::{Value, json};

use super::bodies::{Change, ends, leads_to};
use super::{Kind, Shape};
use crate::decode::{Probe, json as reader};
use crate::guard;

/// The maximum number of nodes; types with more stay as the trace shows them.
const MOST_NODES: usize = 512;

/// The maximum number of bodies that are tried until one is read.
const MOST_TRIES: usize = 200;

/// Texts that some types read and others do not.
const TEXTS: [&str; 20] = [
    "text",
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
    "::1",
    "127.0.0.1:80",
    "Europe/Berlin",
    "UTC",
    "1s",
    "1.0.0",
    "en",
    "00000000000000000000000000",
];

/// Returns the values to try where serde hides which ones are read.
fn anything() -> Vec<Value> {
    let mut all =
        vec![json!({}), json!(1), json!("text"), json!(true), json!(0.5), json!([]), json!(["text"]), json!([1])];
    all.extend(TEXTS[1..].iter().copied().map(Value::from));
    all.push(Value::Null);
    all
}

/// Fills in the details that a trace leaves open.
pub(super) fn complete(shape: &mut Shape, probe: Probe) {
    if shape.0.len() > MOST_NODES {
        return;
    }
    let traced = shape.clone();
    if !completed(shape, probe) {
        *shape = traced;
    }
}

/// Completes the shape; false if the type has panicked, after which it is not run again.
fn completed(shape: &mut Shape, probe: Probe) -> bool {
    let mut search = Search { probe, tried: HashMap::new(), panicked: Cell::new(false) };
    let paths: Vec<_> = shape.0.keys().cloned().collect();
    let (found, lost): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| search.finds(shape, path));
    for path in lost {
        shape.0.entry(path).and_modify(|node| node.examples.clear());
    }
    for path in &found {
        search.variants(shape, path);
    }
    let mut parts = Vec::new();
    for path in &found {
        let readable = |change| shape.body(path, &change).is_some_and(|body| search.read(&body).is_ok());
        let strict = shape.0[path].kind == Kind::Object
            && shape.body(path, &Change::More).is_some_and(|body| {
                search.read(&body).is_err_and(|refused| refused.error.starts_with("unknown field"))
            });
        let is_field = matches!(path.rfind(['.', '[']), Some(end) if path[end..].starts_with('.'))
            && shape.body(path, &Change::Without) != shape.body(path, &Change::None);
        let not = ends(&shape.0[path]).into_iter().filter(|end| !readable(Change::Instead(end.clone()))).collect();
        parts.push((path.clone(), is_field && readable(Change::Without), strict, not));
    }
    for (path, optional, strict, not) in parts {
        if let Some(node) = shape.0.get_mut(&path) {
            (node.optional, node.strict, node.not) = (optional, strict, not);
        }
    }
    !search.panicked.get()
}

/// The reason why a body is not read.
pub(crate) struct Refused {
    /// The path, which begins with `body`.
    pub(crate) path: String,
    pub(crate) error: String,
    panicked: bool,
}

/// Reads a body as the type of a probe.
pub(crate) fn read(probe: Probe, body: &Value) -> Result<(), Refused> {
    let text = body.to_string();
    let read = guard::catch(|| reader::read(&text, &mut |part| probe(part)));
    match read {
        Ok(Ok(())) => Ok(()),
        Ok(Err(unfit)) => {
            let error = unfit.error.to_string();
            let error = error.rsplit_once(" at line ").map_or(error.as_str(), |(error, _)| error).to_owned();
            Err(Refused { path: format!("body{}", unfit.path), error, panicked: false })
        }
        Err(panic) => Err(Refused { path: "body".to_owned(), error: panic, panicked: true }),
    }
}

/// Finds a name in serde's error text, after these words.
pub(crate) fn named<'e>(error: &'e str, words: &str) -> Option<&'e str> {
    error.strip_prefix(words)?.strip_prefix(" `")?.split('`').next()
}

struct Search {
    probe: Probe,
    /// The progress at each node, by its path.
    tried: HashMap<String, Slot>,
    panicked: Cell<bool>,
}

/// A node at which values are tried.
#[derive(Clone, Default)]
struct Slot {
    base: usize,
    /// The fields that the type has asked for, each with the value to try.
    fields: Vec<(String, usize)>,
}

impl Search {
    fn read(&self, body: &Value) -> Result<(), Refused> {
        if self.panicked.get() {
            return Err(Refused { path: String::new(), error: String::new(), panicked: true });
        }
        read(self.probe, body).inspect_err(|refused| self.panicked.set(refused.panicked))
    }

    /// Returns whether a body with this part is read, after some tries.
    fn finds(&mut self, shape: &mut Shape, path: &str) -> bool {
        for _ in 0..MOST_TRIES {
            let Some(body) = shape.body(path, &Change::None) else { return false };
            match self.read(&body) {
                Ok(()) => return true,
                Err(refused) => {
                    if !self.mend(shape, path, &body, &refused) {
                        return false;
                    }
                }
            }
        }
        false
    }

    /// Makes another choice at the place where a body was refused.
    fn mend(&mut self, shape: &mut Shape, target: &str, body: &Value, refused: &Refused) -> bool {
        let Some(path) = shape.place_of(body, &refused.path) else { return false };
        if let Some(name) = named(&refused.error, "duplicate field") {
            return self.is_alias(shape, target, &path, name);
        }
        let missing = named(&refused.error, "missing field");
        // Perhaps the key is refused, and not its value.
        let is_key = |path: &String| {
            let tried = self.tried.get(path).map_or(0, |slot| slot.base);
            let is_text = |node: &super::Node| matches!(&node.kind, Kind::Value(kind) if kind == "text");
            let may_mend = shape.0.get(path).is_some_and(|node| match node.kind {
                Kind::Value(_) => is_text(node) && tried + 1 < TEXTS.len(),
                _ => matches!(node.kind, Kind::Opaque | Kind::Tagged { .. } | Kind::Tuple(_)),
            });
            !may_mend
        };
        let path = match path.strip_suffix(".*").filter(|_| is_key(&path)) {
            Some(map) => map.to_owned(),
            None => path,
        };
        let value = shape.part(&format!("{path}.*"));
        let first = shape.part(&format!("{path}[0]"));
        let Some(node) = shape.0.get_mut(&path) else { return false };
        let slot = self.tried.entry(path).or_default();
        match &node.kind {
            Kind::Value(kind) if kind == "text" => {
                slot.base += 1;
                let Some(text) = TEXTS.get(slot.base) else { return false };
                node.examples = vec![Value::from(*text)];
            }
            Kind::Opaque => {
                let all = anything();
                if !slot.advance(missing, all.len()) {
                    return false;
                }
                let Some(example) = all.get(slot.base).and_then(|base| slot.on(base.clone())) else { return false };
                node.examples = vec![example];
            }
            Kind::Tagged { tag, variants } => {
                let Some(variant) = variants.first() else { return false };
                let base = json!({ tag: variant });
                if !slot.advance(missing, 1) {
                    return false;
                }
                node.examples = slot.on(base).into_iter().collect();
            }
            Kind::Map => {
                let keys = ["1", "true"].iter().chain(&TEXTS[1..]);
                let bases = keys.map(|key| Some(json!({ *key: value.clone()? })));
                let bases: Vec<_> = [Some(json!({}))].into_iter().chain(bases).flatten().collect();
                if !slot.advance(missing, bases.len()) {
                    return false;
                }
                let Some(example) = bases.get(slot.base).and_then(|base| slot.on(base.clone())) else { return false };
                node.examples = vec![example];
            }
            Kind::Tuple(len) => {
                // The values after the first, one by one.
                let all = anything();
                let at = refused.path.rsplit_once('[').and_then(|(_, at)| at.strip_suffix(']')?.parse::<usize>().ok());
                let Some(at) = at.filter(|at| *at > 0 && at < len) else { return false };
                let mut parts = match node.examples.pop() {
                    Some(Value::Array(parts)) => parts,
                    _ => vec![Value::Null; *len],
                };
                let name = at.to_string();
                if slot.fields.last().is_none_or(|(last, _)| *last != name) {
                    slot.fields.push((name, 0));
                } else if let Some((_, tried)) = slot.fields.last_mut() {
                    *tried += 1;
                }
                let Some(value) = slot.fields.last().and_then(|(_, tried)| all.get(*tried)) else { return false };
                if let Some(part) = parts.get_mut(at) {
                    *part = value.clone();
                }
                if let (Some(part), Some(first)) = (parts.first_mut(), first) {
                    *part = first;
                }
                node.examples = vec![Value::Array(parts)];
            }
            _ => return false,
        }
        true
    }

    /// Finds the fields that are aliases of `field`, and records them; false if it has no alias.
    fn is_alias(&self, shape: &mut Shape, target: &str, path: &str, field: &str) -> bool {
        let mut found = false;
        for (name, other) in shape.fields(path) {
            let known = shape.0.get(&other).is_none_or(|node| node.alias_of.is_some());
            if known || name == field || leads_to(&other, target) {
                continue;
            }
            let own = shape.fields(path).into_iter().find(|(name, _)| name == field);
            let pair = own.and_then(|(_, own)| {
                let object = json!({ field: shape.part(&own)?, &name: shape.part(&other)? });
                shape.body(path, &Change::Instead(object))
            });
            let twice = pair.is_some_and(|body| {
                self.read(&body).is_err_and(|refused| named(&refused.error, "duplicate field") == Some(field))
            });
            if let (true, Some(node)) = (twice, shape.0.get_mut(&other)) {
                node.alias_of = Some(field.to_owned());
                found = true;
            }
        }
        found
    }

    /// Finds a body for each variant that serde hides.
    fn variants(&mut self, shape: &mut Shape, path: &str) {
        let Some(Kind::Tagged { tag, variants }) = shape.0.get(path).map(|node| node.kind.clone()) else { return };
        let mut examples = Vec::new();
        for variant in &variants {
            let mut slot = Slot::default();
            for _ in 0..MOST_TRIES {
                let Some(value) = slot.on(json!({ &tag: variant })) else { break };
                let Some(body) = shape.body(path, &Change::Instead(value.clone())) else { break };
                match self.read(&body) {
                    Ok(()) => {
                        examples.push(value);
                        break;
                    }
                    Err(refused) => {
                        if !slot.advance(named(&refused.error, "missing field"), 1) {
                            break;
                        }
                    }
                }
            }
        }
        if let Some(node) = shape.0.get_mut(path) {
            node.examples = examples;
        }
    }
}

impl Slot {
    /// Chooses the next value to try. Returns false after the last one.
    fn advance(&mut self, missing: Option<&str>, bases: usize) -> bool {
        if let Some(field) = missing.filter(|field| self.fields.iter().all(|(name, _)| name != field)) {
            self.fields.push((field.to_owned(), 0));
            return true;
        }
        if let Some((_, tried)) = self.fields.last_mut() {
            *tried += 1;
            if *tried < anything().len() {
                return true;
            }
            self.fields.clear();
        }
        self.base += 1;
        self.base < bases
    }

    /// Returns a value with the fields that were asked for.
    fn on(&self, base: Value) -> Option<Value> {
        if self.fields.is_empty() {
            return Some(base);
        }
        let Value::Object(mut object) = base else { return None };
        let all = anything();
        for (name, tried) in &self.fields {
            // A field is more likely anything else than an object, so try that last.
            let value = all.get((tried + 1) % all.len())?;
            object.insert(name.clone(), value.clone());
        }
        Some(Value::Object(object))
    }
}

impl Shape {
    /// Returns the path of the node of a place in a body: the node itself, or the last one on the way that serde shows.
    pub(crate) fn place_of(&self, body: &Value, place: &str) -> Option<String> {
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
                    let next = fields.into_iter().find_map(|(name, path)| {
                        let rest = rest.strip_prefix('.')?.strip_prefix(name.as_str())?;
                        (rest.is_empty() || rest.starts_with(['.', '['])).then_some((name, path, rest))
                    });
                    let Some((name, next, behind)) = next else { return Some(path) };
                    let Some(inner) = here.get(&name) else { return Some(next) };
                    (path, value, rest) = (next, inner, behind);
                }
                (Kind::List | Kind::Tuple(_), Value::Array(parts)) => {
                    let (index, behind) = rest.strip_prefix('[')?.split_once(']')?;
                    let index: usize = index.parse().ok()?;
                    if matches!(node.kind, Kind::Tuple(_)) && index > 0 {
                        return Some(path);
                    }
                    path.push_str(if node.kind == Kind::List { "[]" } else { "[0]" });
                    (value, rest) = (parts.get(index)?, behind);
                }
                (Kind::Map, Value::Object(object)) => {
                    let next = object.iter().find_map(|(name, value)| {
                        let rest = rest.strip_prefix('.')?.strip_prefix(name.as_str())?;
                        (rest.is_empty() || rest.starts_with(['.', '['])).then_some((value, rest))
                    });
                    let known = self.0.get(&format!("{path}.*")).is_some_and(|node| node.kind != Kind::Opaque);
                    let Some((inner, behind)) = next.filter(|_| known && node.examples.is_empty()) else {
                        return Some(path);
                    };
                    path.push_str(".*");
                    (value, rest) = (inner, behind);
                }
                _ => return Some(path),
            }
        }
        Some(path)
    }
}
