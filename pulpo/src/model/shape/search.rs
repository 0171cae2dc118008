//! Finds details that the trace of a type cannot show: which fields may be left out, which texts are read, and the
//! content of types that serde hides.
//!
//! The type itself reads bodies that the shape describes. If it refuses one, the error gives the place, and another
//! value is tried there. Once a body is read, a field is left out of it, and so on. The tried values are part of the
//! format of a shape. A place where no value is read is marked as unseen, and left out of bodies where that is possible.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::{Value, json};

use super::bodies::{Change, TEXTS, candidates, ends, odd};
use super::examples::{add_wider, anything, expected_variants, more_examples};
use super::node::{WORD, leads_to};
use super::reading::{Refused, expected_length, named, read_text};
use super::text::{last_step, written};
use super::trace::Traced;
use super::{Kind, Node, Shape};
use crate::decode::Probe;

/// The maximum number of nodes; types with more stay as the trace shows them.
const MOST_NODES: usize = 512;

/// The maximum number of bodies that are tried until one is read.
const MOST_TRIES: usize = 200;

/// The maximum number of bodies that are read in all. A number, not a time, so that a shape is the same on each
/// machine.
const MOST_READS: usize = 8192;

/// The maximum number of parts of a list of fixed length that are compared with the first.
const MOST_COMPARED: usize = 32;

/// Fills in the details that a trace leaves open. If that takes too long, or the type panics, the shape stays as the
/// trace shows it, and all of it counts as unseen; then it returns false.
pub(super) fn complete(traced: &mut Traced) -> bool {
    let before = traced.shape.clone();
    if Search::new(&traced.shape).completes(traced) {
        return true;
    }
    traced.shape = before;
    if let Some(root) = traced.shape.0.get_mut("body") {
        root.unseen = true;
    }
    false
}

struct Search {
    /// The keys that come first in objects.
    first: BTreeSet<String>,
    /// The progress at each node, by its path.
    tried: HashMap<String, Slot>,
    /// Bodies that are read.
    known: HashSet<String>,
    /// The places where no value was read.
    stuck: BTreeSet<String>,
    reads: Cell<usize>,
    panicked: Cell<bool>,
}

/// A node at which values are tried.
#[derive(Clone, Default)]
struct Slot {
    /// Whether the first value was tried.
    started: bool,
    base: usize,
    /// The fields that the type has asked for, each with the value to try.
    fields: Vec<(String, usize)>,
}

/// The length of the values that are read at a node.
struct Length {
    most: Option<usize>,
    /// Whether it is a text that may not have all characters.
    refuses_odd: bool,
    /// A list of two equal parts that is refused.
    refused: Option<Value>,
}

/// The findings of the search at a node.
struct Details {
    optional: bool,
    strict: bool,
    most: Option<usize>,
    not: Vec<Value>,
    examples: Vec<Value>,
}

impl Search {
    fn new(shape: &Shape) -> Self {
        Self {
            first: shape.tags(),
            tried: HashMap::new(),
            known: HashSet::new(),
            stuck: BTreeSet::new(),
            reads: Cell::new(0),
            panicked: Cell::new(false),
        }
    }

    fn read(&self, probe: Probe, body: &Value) -> Result<(), Refused> {
        self.read_text(probe, &written(body, &self.first))
    }

    fn read_text(&self, probe: Probe, text: &str) -> Result<(), Refused> {
        self.reads.set(self.reads.get() + 1);
        if self.gave_up() {
            return Err(Refused { path: String::new(), error: String::new(), panicked: true });
        }
        read_text(probe, text).inspect_err(|refused| self.panicked.set(refused.panicked))
    }

    /// After a panic, the type is not run again.
    fn gave_up(&self) -> bool {
        self.panicked.get() || self.reads.get() > MOST_READS
    }

    /// Completes the shape; false if that takes too long, or the type panics.
    fn completes(&mut self, traced: &mut Traced) -> bool {
        let (mut found, mut lost) = (BTreeSet::new(), BTreeSet::new());
        let mut avoided = BTreeSet::new();
        loop {
            if traced.shape.0.len() > MOST_NODES || self.gave_up() {
                return false;
            }
            let is_next = |path: &&String| !found.contains(*path) && !lost.contains(*path);
            let next: Vec<_> = traced.shape.0.keys().filter(is_next).cloned().collect();
            for path in &next {
                if self.finds(traced, path) {
                    self.compare_parts(traced, path);
                    found.insert(path.clone());
                } else {
                    lost.insert(path.clone());
                }
            }
            if next.is_empty() {
                // The rest is tried again in bodies without these places.
                let new: Vec<_> = self.stuck.difference(&avoided).cloned().collect();
                if new.is_empty() {
                    break;
                }
                for path in new {
                    if let Some(node) = traced.shape.0.get_mut(&path) {
                        (node.unseen, node.examples) = (true, Vec::new());
                    }
                    avoided.insert(path);
                }
                lost.clear();
            }
        }
        for path in &lost {
            let node = traced.shape.0.get_mut(path).filter(|node| node.may_be_picky());
            if let Some(node) = node {
                // The value was tried before others were, so it may well be read.
                node.unseen = true;
                node.examples.truncate(1);
            }
        }
        for path in &found {
            self.variants(traced, path);
        }
        let details: Vec<_> = found.iter().map(|path| (path, self.details(traced, path))).collect();
        for (path, Details { optional, strict, most, not, examples }) in details {
            if let Some(node) = traced.shape.0.get_mut(path) {
                (node.optional, node.strict, node.most) = (optional, strict, most);
                (node.not, node.examples) = (not, examples);
            }
        }
        // An enum without variants has no value, wherever it is.
        let is_empty = |path: &str| traced.shape.fields(path).is_empty();
        let enums = traced.shape.0.iter().filter(|(_, node)| node.kind == Kind::Enum && !node.nullable);
        let empty: Vec<_> = enums.map(|(path, _)| path.clone()).filter(|path| is_empty(path)).collect();
        for path in empty {
            traced.shape.0.entry(path).and_modify(|node| node.unseen = true);
        }
        !self.gave_up()
    }

    fn details(&self, traced: &Traced, path: &str) -> Details {
        let (shape, probe) = (&traced.shape, traced.probe());
        let node = &shape.0[path];
        let reads = |change| shape.body(path, &change).is_some_and(|made| self.read(probe, &made.value).is_ok());
        let strict = node.kind == Kind::Object
            && shape.body(path, &Change::More).is_some_and(|made| {
                self.read(probe, &made.value).is_err_and(|refused| refused.error.starts_with("unknown field"))
            });
        let is_field = last_step(path).is_some_and(|(_, step)| step.starts_with('.')) && {
            let value = |change| shape.body(path, &change).map(|made| made.value);
            value(Change::Without) != value(Change::None)
        };
        let Length { most, refuses_odd, refused } = self.length(traced, path);
        let all = ends(&Node { most, ..node.clone() }).into_iter();
        let mut not: Vec<_> = all.filter(|end| !reads(Change::Instead(end.clone()))).chain(refused).collect();
        let mut examples = node.examples.clone();
        if refuses_odd {
            // Not every text is read, so the known ones are listed.
            not.clear();
            examples.insert(0, Value::from(WORD));
            examples.dedup();
        }
        if examples.len() > 1 && !matches!(node.kind, Kind::Tagged { .. }) {
            examples.retain(|example| reads(Change::Instead(example.clone())));
        }
        if self.reads.get() < MOST_READS / 2 {
            let node_so_far = Node { not: not.clone(), ..node.clone() };
            more_examples(&node_so_far, &mut examples, |example| reads(Change::Instead(example.clone())));
            let hides_fields = matches!(node.kind, Kind::Opaque | Kind::Tagged { .. } | Kind::Map);
            if hides_fields && !shape.shows_values(path) {
                add_wider(&node.examples, &mut examples, |example| reads(Change::Instead(example.clone())));
            }
        }
        Details { optional: is_field && reads(Change::Without), strict, most, not, examples }
    }

    /// Finds how long the values at a path may be, and whether a text may have odd characters.
    fn length(&self, traced: &Traced, path: &str) -> Length {
        let (shape, probe) = (&traced.shape, traced.probe());
        let any = Length { most: None, refuses_odd: false, refused: None };
        let longest = shape.longest(path);
        let Some(long) = shape.of_length(path, longest).filter(|_| self.reads.get() < MOST_READS / 2) else {
            return any;
        };
        let read = |value: Value| match shape.body(path, &Change::Instead(value)) {
            Some(made) => self.read(probe, &made.value),
            None => Ok(()),
        };
        let is_text = shape.0.get(path).is_some_and(Node::reads_words);
        let both = match (long.as_str(), odd(longest)) {
            (Some(long), Some(Value::String(odd))) => Value::from(odd + long),
            _ => long,
        };
        if read(both).is_ok() {
            return any;
        }
        let fits = |len| shape.of_length(path, len).is_none_or(|value| read(value).is_ok());
        let is_by_length = |len| {
            let value = shape.of_length(path, len);
            value.is_some_and(|value| read(value).is_err_and(|refused| refused.error.starts_with("invalid length")))
        };
        let (mut least, mut greatest) = (0, longest);
        if fits(longest) {
            least = longest;
        }
        while greatest - least > 1 {
            let middle = least.midpoint(greatest);
            *(if fits(middle) { &mut least } else { &mut greatest }) = middle;
        }
        // Two equal parts may be refused for another reason.
        let is_limited = least < longest && least > 0 && (is_text || least > 1 || is_by_length(2));
        let refused = if least == 1 && !is_limited { shape.of_length(path, 2) } else { None };
        let most = is_limited.then_some(least);
        let odd = odd(most.unwrap_or(longest)).filter(|_| is_text);
        Length { most, refuses_odd: odd.is_some_and(|odd| read(odd).is_err()), refused }
    }

    /// Returns whether a body with this part is read, after some tries.
    fn finds(&mut self, traced: &mut Traced, path: &str) -> bool {
        let mut last = None;
        for _ in 0..MOST_TRIES {
            let Some(made) = traced.shape.body(path, &Change::None) else { return false };
            let text = written(&made.value, &self.first);
            if self.known.contains(&text) {
                return true;
            }
            match self.read_text(traced.probe(), &text) {
                Ok(()) => {
                    self.known.insert(text);
                    return true;
                }
                Err(refused) => {
                    let may_go_on = !self.gave_up() && self.mend(traced, path, &made.value, &refused);
                    last = traced.shape.place_of(&made.value, &refused.path);
                    if !may_go_on {
                        break;
                    }
                }
            }
        }
        self.stuck.extend(last);
        false
    }

    /// Returns the parts of a list before one of them, as JSON.
    fn parts_before(&self, shape: &Shape, tuple: &str, index: usize) -> Option<Vec<String>> {
        let part = |index| Some(written(&shape.part(&shape.part_of_tuple(tuple, index))?, &self.first));
        (0..index).map(part).collect()
    }

    /// Gives each part of a list of fixed length that has another type than the first a node of its own.
    fn compare_parts(&self, traced: &mut Traced, path: &str) {
        let Some(Kind::Tuple(len)) = traced.shape.0.get(path).map(|node| node.kind.clone()) else { return };
        for index in 1..len.min(MOST_COMPARED) {
            let has_own = traced.shape.0.contains_key(&format!("{path}[{index}]"));
            let Some(before) = self.parts_before(&traced.shape, path, index).filter(|_| !has_own) else { continue };
            if traced.differs_from_first(path, before.clone()) {
                traced.trace_part(path, before);
            }
        }
    }

    /// Makes another choice at the place where a body was refused.
    fn mend(&mut self, traced: &mut Traced, target: &str, body: &Value, refused: &Refused) -> bool {
        let Some(found) = traced.shape.find(body, &refused.path) else { return false };
        if let Some((tuple, index)) = found.like_first {
            // It is not like the first after all.
            let Some(before) = self.parts_before(&traced.shape, &tuple, index) else { return false };
            traced.trace_part(&tuple, before);
            return true;
        }
        let path = found.path;
        if let Some(name) = named(&refused.error, "duplicate field") {
            return self.is_alias(traced, target, &path, name);
        }
        let path = match path.strip_suffix(".*").filter(|_| self.is_key(traced, &path, refused)) {
            Some(map) => map.to_owned(),
            None => path,
        };
        let missing = named(&refused.error, "missing field");
        let value = traced.shape.part(&format!("{path}.*"));
        let Some(node) = traced.shape.0.get_mut(&path) else { return false };
        let slot = self.tried.entry(path).or_default();
        match &node.kind {
            Kind::Value(kind) if kind == "bytes" && !slot.started && refused.error.starts_with("invalid length") => {
                slot.started = true;
                let Some(len) = expected_length(&refused.error) else { return false };
                node.examples = vec![Value::from(vec![1; len])];
            }
            Kind::Value(kind) => {
                slot.base += 1;
                let Some(value) = candidates(kind).into_iter().nth(slot.base) else { return false };
                node.examples = vec![value];
            }
            Kind::Opaque => {
                let all = anything();
                let is_first = !std::mem::replace(&mut slot.started, true) && missing.is_none();
                if !is_first && !slot.advance(missing, all.len()) {
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
            Kind::Map if !expected_variants(&refused.error).is_empty() => {
                let keys = expected_variants(&refused.error).into_iter();
                let Some(examples) = keys.map(|key| Some(json!({ key: value.clone()? }))).collect() else {
                    return false;
                };
                if std::mem::replace(&mut node.examples, examples) == node.examples {
                    return false;
                }
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
            _ => return false,
        }
        true
    }

    /// Returns whether the type refuses the key of a value in a map, and so refuses it with any value.
    fn is_key(&self, traced: &Traced, path: &str, refused: &Refused) -> bool {
        let made = traced.shape.body(path, &Change::Instead(json!([[]])));
        made.is_some_and(|made| {
            let read = self.read(traced.probe(), &made.value);
            read.is_err_and(|other| other.path == refused.path && other.error == refused.error)
        })
    }

    /// Finds the fields that are aliases of `field`, and records them; false if it has no alias.
    fn is_alias(&self, traced: &mut Traced, target: &str, path: &str, field: &str) -> bool {
        let (probe, shape) = (traced.probe(), &mut traced.shape);
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
            let twice = pair.is_some_and(|made| {
                let read = self.read(probe, &made.value);
                read.is_err_and(|refused| named(&refused.error, "duplicate field") == Some(field))
            });
            if let (true, Some(node)) = (twice, shape.0.get_mut(&other)) {
                node.alias_of = Some(field.to_owned());
                found = true;
            }
        }
        found
    }

    /// Finds a body for each variant that serde hides.
    fn variants(&mut self, traced: &mut Traced, path: &str) {
        let (probe, shape) = (traced.probe(), &mut traced.shape);
        let Some(Kind::Tagged { tag, variants }) = shape.0.get(path).map(|node| node.kind.clone()) else { return };
        let mut examples = Vec::new();
        for variant in &variants {
            let mut slot = Slot::default();
            for _ in 0..MOST_TRIES {
                let Some(value) = slot.on(json!({ &tag: variant })) else { break };
                let Some(made) = shape.body(path, &Change::Instead(value.clone())) else { break };
                match self.read(probe, &made.value) {
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
            // Examples that were given stay.
            let given = node.examples.iter().filter(|example| !examples.iter().any(|one| one[&tag] == example[&tag]));
            let given: Vec<_> = given.cloned().collect();
            examples.extend(given);
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
