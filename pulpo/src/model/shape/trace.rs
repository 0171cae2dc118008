//! Tracing: runs a `Deserialize` once for each node, with a source that leads it to that node, records what it asks for
//! there, and gives it nothing.

use std::collections::{BTreeMap, VecDeque};

use super::bodies::TEXTS;
use super::node::{MOST_PARTS, MOST_STEPS};
use super::text::field;
use super::{Kind, Node, Shape};
use crate::decode::{
    Asked, Error, Found, Hint, Key, List, Map, Part, Probe, Scalar, Seed, Source, Take, Variants, json as reader,
};
use crate::guard;

/// The maximum number of nodes; the rest is opaque.
const MOST_NODES: usize = 4096;

/// One step from a node to one of its parts.
#[derive(Clone, Debug)]
enum Step {
    Field(&'static str),
    Variant(&'static str),
    /// The first part of a list or a tuple.
    First,
    /// The part of a tuple behind these parts, which are JSON that is read.
    Part(Vec<String>),
    /// A value of a map, with a key that most types of keys accept, or with this one.
    Value(Option<&'static str>),
    /// The content of an option or a newtype.
    Inside,
    /// The content of a variant whose name stands beside it, as JSON.
    Content {
        tag: &'static str,
        variant: String,
        content: &'static str,
    },
    /// A variant whose name stands in an object, as JSON, without content.
    Tag {
        tag: &'static str,
        variant: String,
    },
}

/// The request of a type at a node.
#[derive(Clone, Copy, Debug)]
enum Request {
    Asked(Asked),
    /// The name of a variant alone.
    Unit,
    /// Anything, and then the key that holds the variant.
    Tagged(&'static str, &'static [&'static str]),
}

/// A node that is still to be traced.
#[derive(Clone)]
struct Todo {
    steps: Vec<Step>,
    path: String,
    nullable: bool,
    /// The visitors of the nodes above, each with its path. A visitor identifies its type, including type parameters.
    above: Vec<(&'static str, String)>,
    /// The first visitor at this path: that of an option or a newtype, if there is one.
    first: Option<&'static str>,
}

/// A traced type, which can be traced further.
pub(super) struct Traced {
    pub(super) shape: Shape,
    probe: Probe,
    /// How each node was reached, and the first visitor there.
    ways: BTreeMap<String, (Todo, Option<Seen>)>,
    traces: usize,
}

impl Traced {
    pub(super) fn of(probe: Probe) -> Self {
        let (shape, ways) = (Shape::default(), BTreeMap::new());
        let mut traced = Self { shape, probe, ways, traces: 0 };
        let (steps, above) = (Vec::new(), Vec::new());
        traced.follow(Todo { steps, path: "body".to_owned(), nullable: false, above, first: None });
        traced
    }

    pub(super) fn probe(&self) -> Probe {
        self.probe
    }

    /// Traces a node, and all nodes below it.
    fn follow(&mut self, root: Todo) {
        let mut todo = VecDeque::from([root]);
        while let Some(mut next) = todo.pop_front() {
            let seen = self.observe(&next.steps).or_else(|| self.observe_below_keys(&mut next));
            let kind = match seen {
                None => Some(Kind::Opaque),
                Some(Seen { request, visitor, panicked }) => {
                    next.first = next.first.or(Some(visitor));
                    let before = next.above.iter().find(|(name, _)| *name == visitor && request.has_parts());
                    match before {
                        Some((_, path)) => Some(Kind::Recursive(path.clone())),
                        // Its parts are not looked at, so it is not shown that it has any.
                        None if panicked && request.has_parts() => Some(Kind::Opaque),
                        None if panicked => request.kind(),
                        None => match self.adjacent(&next, request, visitor) {
                            Some((kind, variants)) => {
                                todo.extend(variants);
                                Some(kind)
                            }
                            None => {
                                todo.extend(next.parts(request, visitor));
                                request.kind()
                            }
                        },
                    }
                }
            };
            if let Some(kind) = kind {
                self.shape.0.insert(next.path.clone(), Node::new(kind, next.nullable));
                self.ways.insert(next.path.clone(), (next, seen));
            }
        }
    }

    /// Runs the type to the end of these steps, unless it has been run too often.
    fn observe(&mut self, steps: &[Step]) -> Option<Seen> {
        self.traces += 1;
        let may_trace = self.traces <= MOST_NODES && steps.len() <= MOST_STEPS;
        if may_trace { observe(self.probe, steps) } else { None }
    }

    /// Looks at the values of a map whose keys are texts of some form.
    fn observe_below_keys(&mut self, node: &mut Todo) -> Option<Seen> {
        if !matches!(node.steps.last(), Some(Step::Value(None))) {
            return None;
        }
        TEXTS.into_iter().find_map(|key| {
            node.steps.pop();
            node.steps.push(Step::Value(Some(key)));
            self.observe(&node.steps)
        })
    }

    /// Finds the variants of an enum whose objects have one key for the name and one for the content. It looks like an
    /// object with an enum and anything; but once the name is known, the type asks for something else.
    fn adjacent(&mut self, node: &Todo, request: Request, visitor: &'static str) -> Option<(Kind, Vec<Todo>)> {
        let Request::Asked(Asked::Struct(&[one, other])) = request else { return None };
        let mut of_field = |name| self.observe(&node.to(Step::Field(name)).steps).map(|seen| (name, seen));
        let (one, other) = (of_field(one)?, of_field(other)?);
        let (tag, variants, content, hidden) = match (one, other) {
            ((tag, Seen { request: Request::Asked(Asked::Enum(variants)), .. }), (content, hidden))
            | ((content, hidden), (tag, Seen { request: Request::Asked(Asked::Enum(variants)), .. })) => {
                (tag, variants, content, hidden)
            }
            _ => return None,
        };
        if !matches!(hidden.request, Request::Asked(Asked::Any)) {
            return None;
        }
        let (mut all, mut is_adjacent) = (Vec::new(), false);
        for name in variants {
            let variant = serde_json::Value::from(*name).to_string();
            let mut inside = node.part(Step::Content { tag, variant: variant.clone(), content }, &field(name), visitor);
            let seen = self.observe(&inside.steps)?;
            is_adjacent |= seen.visitor != hidden.visitor;
            if matches!(seen.request, Request::Asked(Asked::Any)) {
                let alone = node.part(Step::Tag { tag, variant }, &field(name), visitor);
                if matches!(self.observe(&alone.steps), Some(Seen { request: Request::Unit, .. })) {
                    inside = alone;
                }
            }
            all.push(inside);
        }
        is_adjacent.then(|| (Kind::Adjacent { tag: tag.to_owned(), content: content.to_owned() }, all))
    }

    fn todo_of_part(&self, tuple: &str, before: Vec<String>) -> Option<Todo> {
        let (way, seen) = self.ways.get(tuple)?;
        let index = before.len();
        Some(way.part(Step::Part(before), &format!("[{index}]"), seen.as_ref()?.visitor))
    }

    /// Traces the part of a tuple behind these parts, which are JSON that is read.
    pub(super) fn trace_part(&mut self, tuple: &str, before: Vec<String>) {
        if let Some(todo) = self.todo_of_part(tuple, before) {
            self.follow(todo);
        }
    }

    /// Returns whether the part of a tuple behind these parts has another type than the first.
    pub(super) fn differs_from_first(&mut self, tuple: &str, before: Vec<String>) -> bool {
        let Some(todo) = self.todo_of_part(tuple, before) else { return false };
        let first = self.ways.get(&format!("{tuple}[0]")).and_then(|(way, _)| way.first);
        self.observe(&todo.steps).is_some_and(|seen| first != Some(seen.visitor))
    }
}

impl Request {
    /// Returns the kind; `None` for a wrapper that JSON does not show.
    fn kind(self) -> Option<Kind> {
        Some(match self {
            Self::Unit => Kind::Value("unit".into()),
            Self::Tagged(_, []) => Kind::Opaque,
            Self::Tagged(tag, variants) => Kind::Tagged { tag: tag.to_owned(), variants: sorted(variants) },
            Self::Asked(Asked::Value(scalar)) => Kind::Value(name(scalar).into()),
            Self::Asked(Asked::Struct(_)) => Kind::Object,
            Self::Asked(Asked::Enum(_)) => Kind::Enum,
            Self::Asked(Asked::Map) => Kind::Map,
            Self::Asked(Asked::List) => Kind::List,
            Self::Asked(Asked::Tuple(len)) if len <= MOST_PARTS => Kind::Tuple(len),
            Self::Asked(Asked::Any | Asked::Tuple(_)) => Kind::Opaque,
            Self::Asked(Asked::Option | Asked::Newtype(_)) => return None,
        })
    }

    fn has_parts(self) -> bool {
        !matches!(self, Self::Unit | Self::Tagged(..) | Self::Asked(Asked::Value(_) | Asked::Any))
    }
}

/// Returns the name of a value without parts in a shape.
fn name(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Bool => "bool",
        Scalar::I8 => "i8",
        Scalar::I16 => "i16",
        Scalar::I32 => "i32",
        Scalar::I64 => "i64",
        Scalar::I128 => "i128",
        Scalar::U8 => "u8",
        Scalar::U16 => "u16",
        Scalar::U32 => "u32",
        Scalar::U64 => "u64",
        Scalar::U128 => "u128",
        Scalar::F32 => "f32",
        Scalar::F64 => "f64",
        Scalar::Char => "char",
        Scalar::Str | Scalar::String | Scalar::Identifier => "text",
        Scalar::Bytes | Scalar::ByteBuf => "bytes",
        Scalar::Unit => "null",
        Scalar::Ignored => "ignored",
    }
}

fn sorted(names: &[&str]) -> Vec<String> {
    let mut names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    names.sort_unstable();
    names
}

impl Todo {
    /// Returns a part of this node, seen by this visitor.
    fn part(&self, step: Step, suffix: &str, visitor: &'static str) -> Self {
        let mut part = self.to(step);
        part.path.push_str(suffix);
        part.above.push((visitor, self.path.clone()));
        part.first = None;
        part
    }

    /// Returns the value behind one more step.
    fn to(&self, step: Step) -> Self {
        let mut steps = self.steps.clone();
        steps.push(step);
        Self { steps, path: self.path.clone(), nullable: false, above: self.above.clone(), first: self.first }
    }

    /// Returns the parts of this node.
    fn parts(&self, request: Request, visitor: &'static str) -> Vec<Self> {
        let Request::Asked(asked) = request else { return Vec::new() };
        let part = |step, suffix: &str| self.part(step, suffix, visitor);
        match asked {
            Asked::Struct(fields) => fields.iter().map(|name| part(Step::Field(name), &field(name))).collect(),
            Asked::Enum(variants) => variants.iter().map(|name| part(Step::Variant(name), &field(name))).collect(),
            Asked::List => vec![part(Step::First, "[]")],
            Asked::Tuple(1..=MOST_PARTS) => vec![part(Step::First, "[0]")],
            Asked::Map => vec![part(Step::Value(None), ".*")],
            Asked::Option | Asked::Newtype(_) => {
                let nullable = self.nullable || matches!(asked, Asked::Option);
                vec![Self { nullable, first: self.first, ..part(Step::Inside, "") }]
            }
            Asked::Value(_) | Asked::Any | Asked::Tuple(_) => Vec::new(),
        }
    }
}

/// The result of tracing a node.
#[derive(Clone, Copy)]
struct Seen {
    request: Request,
    visitor: &'static str,
    /// Whether the type's code panicked at the end of the trace: it is not run again then.
    panicked: bool,
}

/// Runs the type's `Deserialize` to the end of these steps.
fn observe(probe: Probe, steps: &[Step]) -> Option<Seen> {
    let mut pass = Pass { steps, seen: None };
    let mut panicked = run(probe, &mut pass);
    if matches!(pass.seen, Some((Request::Tagged(..), _))) && !panicked {
        // Run again now that the name of the tag is known.
        panicked = run(probe, &mut pass);
    }
    pass.seen.map(|(request, visitor)| Seen { request, visitor, panicked })
}

/// Runs the probe, and returns whether it panicked. If the type returns a value, it is dropped in here too.
fn run<'t>(probe: Probe, pass: &mut Pass<'t>) -> bool {
    guard::catch_quietly(|| probe(Part::<'_, 't>(&mut Tracer { pass, depth: 0 }))).is_err()
}

/// One run of a type's `Deserialize`.
struct Pass<'t> {
    steps: &'t [Step],
    /// The first request at the end of the steps.
    seen: Option<(Request, &'static str)>,
}

/// The source that leads to the end of the steps.
struct Tracer<'a, 't> {
    pass: &'a mut Pass<'t>,
    depth: usize,
}

impl<'t> Source<'t> for Tracer<'_, 't> {
    fn ask(&mut self, asked: Asked, visitor: &'static str, taker: &mut dyn Take<'t>) -> Result<(), Error> {
        let Some(step) = self.pass.steps.get(self.depth) else {
            match asked {
                Asked::Any => self.anything(visitor, taker),
                _ => drop(self.pass.seen.get_or_insert((Request::Asked(asked), visitor))),
            }
            return Err(Error::stopped());
        };
        let mut inside = Tracer { pass: self.pass, depth: self.depth + 1 };
        match (asked, step) {
            (Asked::Option, Step::Inside) => taker.take(Found::Some(&mut inside)),
            (Asked::Newtype(_), Step::Inside) => taker.take(Found::Newtype(&mut inside)),
            (Asked::List | Asked::Tuple(_), Step::First) => taker.take(Found::List(&mut Parts::of(None, inside))),
            (Asked::Tuple(_), Step::Part(before)) => {
                taker.take(Found::List(&mut Parts { before, ..Parts::of(None, inside) }))
            }
            (Asked::Map, Step::Value(key)) => {
                let key = key.map_or(Key::Whatever, Key::Copied);
                taker.take(Found::Map(&mut Parts::of(Some(key), inside)))
            }
            (Asked::Struct(_), Step::Field(name)) => {
                taker.take(Found::Map(&mut Parts::of(Some(Key::Copied(name)), inside)))
            }
            (Asked::Struct(_), Step::Content { tag, variant, content }) => {
                let before = std::slice::from_ref(variant);
                let parts = Parts::of(Some(Key::Copied(content)), inside);
                taker.take(Found::Map(&mut Parts { tag: Some(tag), before, ..parts }))
            }
            (Asked::Struct(_), Step::Tag { tag, variant }) => {
                let before = std::slice::from_ref(variant);
                let parts = Parts { key: Some(Key::Copied(tag)), tag: None, before, part: None };
                let read = taker.take(Found::Map(&mut { parts }));
                if read.is_ok() {
                    self.pass.seen.get_or_insert((Request::Unit, visitor));
                }
                read
            }
            (Asked::Enum(_), Step::Variant(name)) => taker.take(Found::Enum(&mut Variant { name, inside })),
            _ => Err(Error::stopped()),
        }
    }
}

impl Tracer<'_, '_> {
    /// Gives an empty object to a type that takes anything, and, if the type looks for a tag in it, one with the tag of
    /// no variant.
    fn anything<'de>(&mut self, visitor: &'static str, taker: &mut dyn Take<'de>) {
        let seen = &mut self.pass.seen;
        let tag = match seen {
            Some((Request::Tagged(tag, _), before)) if *before == visitor => Some(*tag),
            _ => None,
        };
        let hint = taker.take(Found::Map(&mut Tag(tag))).map_or_else(|error| error.hint(), |()| Hint::Nothing);
        match (tag, hint) {
            (None, Hint::Missing(tag)) => *seen = Some((Request::Tagged(tag, &[]), visitor)),
            (Some(tag), Hint::Variants(variants)) => *seen = Some((Request::Tagged(tag, variants), visitor)),
            (Some(_), _) => *seen = Some((Request::Asked(Asked::Any), visitor)),
            (None, _) => drop(seen.get_or_insert((Request::Asked(Asked::Any), visitor))),
        }
    }
}

/// A list or an object with the one part that the next step leads to, and what must stand before it. Then it ends, also
/// for a type that goes on after an error.
struct Parts<'a, 't> {
    /// The key of the first of the parts before.
    tag: Option<&'t str>,
    /// The parts before, as JSON.
    before: &'t [String],
    key: Option<Key<'t, 't>>,
    part: Option<Tracer<'a, 't>>,
}

impl<'a, 't> Parts<'a, 't> {
    fn of(key: Option<Key<'t, 't>>, part: Tracer<'a, 't>) -> Self {
        Self { tag: None, before: &[], key, part: Some(part) }
    }

    /// Reads the next part. Returns false at the end.
    fn read(&mut self, seed: &mut Seed<'_, 't>) -> Result<bool, Error> {
        if let Some((text, rest)) = self.before.split_first() {
            self.before = rest;
            return reader::read(text, seed).map(|()| true).map_err(|_| Error::stopped());
        }
        match self.part.take() {
            Some(mut part) => seed(Part(&mut part)).map(|()| true),
            None => Ok(false),
        }
    }
}

impl<'t> List<'t> for Parts<'_, 't> {
    fn next(&mut self, seed: &mut Seed<'_, 't>) -> Result<bool, Error> {
        self.read(seed)
    }
}

impl<'t> Map<'t> for Parts<'_, 't> {
    fn next_key(&mut self) -> Result<Option<Key<'_, 't>>, Error> {
        if let Some(tag) = self.tag.take() {
            return Ok(Some(Key::Copied(tag)));
        }
        Ok(self.key.take().map(|key| match key {
            Key::Borrowed(name) | Key::Copied(name) => Key::Copied(name),
            Key::Whatever => Key::Whatever,
        }))
    }

    fn refused_key(&mut self) {}

    fn value(&mut self, seed: &mut Seed<'_, 't>) -> Result<(), Error> {
        if self.read(seed)? { Ok(()) } else { Err(Error::stopped()) }
    }
}

/// An object with this key, and a variant that does not exist.
struct Tag(Option<&'static str>);

impl<'de> Map<'de> for Tag {
    fn next_key(&mut self) -> Result<Option<Key<'_, 'de>>, Error> {
        Ok(self.0.take().map(Key::Copied))
    }

    fn refused_key(&mut self) {}

    fn value(&mut self, seed: &mut Seed<'_, 'de>) -> Result<(), Error> {
        seed(Part(&mut NoVariant))
    }
}

/// The name of a variant that does not exist.
struct NoVariant;

impl<'de> Source<'de> for NoVariant {
    fn ask(&mut self, _: Asked, _: &'static str, taker: &mut dyn Take<'de>) -> Result<(), Error> {
        taker.take(Found::Str("\0"))
    }
}

/// A variant of an enum, and its content.
struct Variant<'a, 't> {
    name: &'static str,
    inside: Tracer<'a, 't>,
}

impl<'t> Variants<'t> for Variant<'_, 't> {
    fn name(&mut self) -> Result<Key<'_, 't>, Error> {
        Ok(Key::Copied(self.name))
    }

    fn refused_name(&mut self) {}

    fn unit(&mut self) -> Result<(), Error> {
        let Tracer { pass, depth } = &mut self.inside;
        if pass.steps.len() == *depth {
            pass.seen.get_or_insert((Request::Unit, "()"));
        }
        Err(Error::stopped())
    }

    fn newtype(&mut self, seed: &mut Seed<'_, 't>) -> Result<(), Error> {
        seed(Part(&mut self.inside))
    }

    fn parts(&mut self, asked: Asked, visitor: &'static str, taker: &mut dyn Take<'t>) -> Result<(), Error> {
        self.inside.ask(asked, visitor, taker)
    }
}
