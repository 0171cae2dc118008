//! Tracing: runs a `Deserialize` once for each node, with a source that leads it to that node, records what it asks for
//! there, and gives it nothing.

use std::collections::{BTreeMap, VecDeque};

use super::text::field;
use super::{Kind, Node};
use crate::decode::{Asked, Error, Found, Hint, Key, List, Map, Part, Probe, Scalar, Seed, Source, Take, Variants};
use crate::guard;

/// The maximum number of nodes, and their depth; the rest is opaque.
const MOST_NODES: usize = 4096;
const MOST_STEPS: usize = 64;

/// One step from a node to one of its parts.
#[derive(Clone, Copy, Debug)]
enum Step {
    Field(&'static str),
    Variant(&'static str),
    /// The first part of a list or a tuple.
    First,
    /// A value of a map.
    Value,
    /// The content of an option or a newtype.
    Inside,
}

/// The request of a type at a node.
#[derive(Clone, Copy, Debug)]
enum Look {
    Asked(Asked),
    /// The name of a variant alone.
    Unit,
    /// Anything, and then the key that holds the variant.
    Tagged(&'static str, &'static [&'static str]),
}

/// A node that is still to be traced.
struct Todo {
    steps: Vec<Step>,
    path: String,
    nullable: bool,
    /// The visitors of the nodes above, each with its path. A visitor identifies its type, including type parameters.
    above: Vec<(&'static str, String)>,
}

pub(super) fn nodes(probe: Probe) -> BTreeMap<String, Node> {
    let root = Todo { steps: Vec::new(), path: "body".to_owned(), nullable: false, above: Vec::new() };
    let mut todo = VecDeque::from([root]);
    let (mut nodes, mut looks) = (BTreeMap::new(), 0);
    while let Some(next) = todo.pop_front() {
        looks += 1;
        let may_look = looks <= MOST_NODES && next.steps.len() <= MOST_STEPS;
        let seen = if may_look { look(probe, next.steps.clone()) } else { None };
        let kind = match seen {
            None => Some(Kind::Opaque),
            Some(Seen { look, visitor, panicked }) => {
                let before = next.above.iter().find(|(name, _)| *name == visitor && look.has_parts());
                match before {
                    Some((_, path)) => Some(Kind::Recursive(path.clone())),
                    None => {
                        if !panicked {
                            todo.extend(next.parts(look, visitor));
                        }
                        look.kind()
                    }
                }
            }
        };
        if let Some(kind) = kind {
            nodes.insert(next.path, Node::new(kind, next.nullable));
        }
    }
    nodes
}

impl Look {
    /// Returns the kind; `None` for a wrapper that JSON does not show.
    fn kind(self) -> Option<Kind> {
        Some(match self {
            Self::Unit => Kind::Value("unit".into()),
            Self::Tagged(tag, variants) => Kind::Tagged { tag: tag.to_owned(), variants: sorted(variants) },
            Self::Asked(Asked::Value(scalar)) => Kind::Value(name(scalar).into()),
            Self::Asked(Asked::Struct(_)) => Kind::Object,
            Self::Asked(Asked::Enum(_)) => Kind::Enum,
            Self::Asked(Asked::Map) => Kind::Map,
            Self::Asked(Asked::List) => Kind::List,
            Self::Asked(Asked::Tuple(len)) => Kind::Tuple(len),
            Self::Asked(Asked::Any) => Kind::Opaque,
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
    /// Returns the parts of this node.
    fn parts(&self, look: Look, visitor: &'static str) -> Vec<Todo> {
        let Look::Asked(asked) = look else { return Vec::new() };
        let part = |step: Step, suffix: String| {
            let mut steps = self.steps.clone();
            steps.push(step);
            let mut above = self.above.clone();
            above.push((visitor, self.path.clone()));
            let is_same = matches!(step, Step::Inside);
            let nullable = is_same && (self.nullable || matches!(asked, Asked::Option));
            Todo { steps, path: format!("{}{suffix}", self.path), nullable, above }
        };
        match asked {
            Asked::Struct(fields) => fields.iter().map(|name| part(Step::Field(name), field(name))).collect(),
            Asked::Enum(variants) => variants.iter().map(|name| part(Step::Variant(name), field(name))).collect(),
            Asked::List => vec![part(Step::First, "[]".to_owned())],
            Asked::Tuple(0) => Vec::new(),
            Asked::Tuple(_) => vec![part(Step::First, "[0]".to_owned())],
            Asked::Map => vec![part(Step::Value, ".*".to_owned())],
            Asked::Option | Asked::Newtype(_) => vec![part(Step::Inside, String::new())],
            Asked::Value(_) | Asked::Any => Vec::new(),
        }
    }
}

/// The result of tracing a node.
struct Seen {
    look: Look,
    visitor: &'static str,
    /// Whether the type's code panicked at the end of the trace: it is not run again then.
    panicked: bool,
}

/// Runs the type's `Deserialize` to the end of these steps.
fn look(probe: Probe, steps: Vec<Step>) -> Option<Seen> {
    let mut pass = Pass { steps, seen: None };
    let mut panicked = run(probe, &mut pass);
    if matches!(pass.seen, Some((Look::Tagged(..), _))) && !panicked {
        // Run again now that the name of the tag is known.
        panicked = run(probe, &mut pass);
    }
    pass.seen.map(|(look, visitor)| Seen { look, visitor, panicked })
}

/// Runs the probe, and returns whether it panicked. If the type returns a value, it is dropped in here too.
fn run(probe: Probe, pass: &mut Pass) -> bool {
    guard::catch(|| probe(Part(&mut Tracer { pass, depth: 0 }))).is_err()
}

/// One run of a type's `Deserialize`.
struct Pass {
    steps: Vec<Step>,
    /// The first request at the end of the steps.
    seen: Option<(Look, &'static str)>,
}

/// The source that leads to the end of the steps.
struct Tracer<'a> {
    pass: &'a mut Pass,
    depth: usize,
}

impl<'de> Source<'de> for Tracer<'_> {
    fn ask(&mut self, asked: Asked, visitor: &'static str, taker: &mut dyn Take<'de>) -> Result<(), Error> {
        let Some(step) = self.pass.steps.get(self.depth).copied() else {
            match asked {
                Asked::Any => self.anything(visitor, taker),
                _ => drop(self.pass.seen.get_or_insert((Look::Asked(asked), visitor))),
            }
            return Err(Error::stopped());
        };
        let mut inside = Tracer { pass: self.pass, depth: self.depth + 1 };
        match (asked, step) {
            (Asked::Option, Step::Inside) => taker.take(Found::Some(&mut inside)),
            (Asked::Newtype(_), Step::Inside) => taker.take(Found::Newtype(&mut inside)),
            (Asked::List | Asked::Tuple(_), Step::First) => taker.take(Found::List(&mut Parts::of(None, inside))),
            (Asked::Map, Step::Value) => taker.take(Found::Map(&mut Parts::of(Some(Key::Whatever), inside))),
            (Asked::Struct(_), Step::Field(name)) => {
                taker.take(Found::Map(&mut Parts::of(Some(Key::Copied(name)), inside)))
            }
            (Asked::Enum(_), Step::Variant(name)) => taker.take(Found::Enum(&mut Variant { name, inside })),
            _ => Err(Error::stopped()),
        }
    }
}

impl Tracer<'_> {
    /// Gives an empty object to a type that takes anything, and, if the type looks for a tag in it, one with the tag of
    /// no variant.
    fn anything<'de>(&mut self, visitor: &'static str, taker: &mut dyn Take<'de>) {
        let seen = &mut self.pass.seen;
        let tag = match seen {
            Some((Look::Tagged(tag, _), before)) if *before == visitor => Some(*tag),
            _ => None,
        };
        let hint = taker.take(Found::Map(&mut Tag(tag))).map_or_else(|error| error.hint(), |()| Hint::Nothing);
        match (tag, hint) {
            (None, Hint::Missing(tag)) => *seen = Some((Look::Tagged(tag, &[]), visitor)),
            (Some(tag), Hint::Variants(variants)) => *seen = Some((Look::Tagged(tag, variants), visitor)),
            (Some(_), _) => *seen = Some((Look::Asked(Asked::Any), visitor)),
            (None, _) => drop(seen.get_or_insert((Look::Asked(Asked::Any), visitor))),
        }
    }
}

/// A list or an object with the one part that the next step leads to. Then it ends, also for a type that goes on after
/// an error.
struct Parts<'a> {
    key: Option<Key<'a, 'a>>,
    part: Option<Tracer<'a>>,
}

impl<'a> Parts<'a> {
    fn of(key: Option<Key<'a, 'a>>, part: Tracer<'a>) -> Self {
        Self { key, part: Some(part) }
    }
}

impl<'de> List<'de> for Parts<'_> {
    fn next(&mut self, seed: &mut Seed<'_, 'de>) -> Result<bool, Error> {
        match self.part.take() {
            Some(mut part) => seed(Part(&mut part)).map(|()| true),
            None => Ok(false),
        }
    }
}

impl<'de> Map<'de> for Parts<'_> {
    fn next_key(&mut self) -> Result<Option<Key<'_, 'de>>, Error> {
        Ok(self.key.take().map(|key| match key {
            Key::Borrowed(name) | Key::Copied(name) => Key::Copied(name),
            Key::Whatever => Key::Whatever,
        }))
    }

    fn refused_key(&mut self) {}

    fn value(&mut self, seed: &mut Seed<'_, 'de>) -> Result<(), Error> {
        match self.part.take() {
            Some(mut part) => seed(Part(&mut part)),
            None => Err(Error::stopped()),
        }
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
struct Variant<'a> {
    name: &'static str,
    inside: Tracer<'a>,
}

impl<'de> Variants<'de> for Variant<'_> {
    fn name(&mut self) -> Result<Key<'_, 'de>, Error> {
        Ok(Key::Copied(self.name))
    }

    fn refused_name(&mut self) {}

    fn unit(&mut self) -> Result<(), Error> {
        let Tracer { pass, depth } = &mut self.inside;
        if pass.steps.len() == *depth {
            pass.seen.get_or_insert((Look::Unit, "()"));
        }
        Err(Error::stopped())
    }

    fn newtype(&mut self, seed: &mut Seed<'_, 'de>) -> Result<(), Error> {
        seed(Part(&mut self.inside))
    }

    fn parts(&mut self, asked: Asked, visitor: &'static str, taker: &mut dyn Take<'de>) -> Result<(), Error> {
        self.inside.ask(asked, visitor, taker)
    }
}
