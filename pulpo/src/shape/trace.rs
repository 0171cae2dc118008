//! Tracing: a `Deserialize` is run once for each node, by a deserializer that
//! leads it to that node, notes what it asks for there, and gives nothing.

use std::any::type_name;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};

use super::{Kind, Node};
use crate::guard;

/// How many nodes are looked at, and how deep: what is beyond is opaque.
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
    /// What is in an option or a newtype.
    Inside,
}

/// What a type asks for at a node.
#[derive(Debug)]
enum Asked {
    Value(&'static str),
    Struct(&'static [&'static str]),
    Enum(&'static [&'static str]),
    Map,
    List,
    Tuple(usize),
    Option,
    Newtype,
    Anything,
    /// Anything, and then the key that tells the variant.
    Tagged(&'static str, &'static [&'static str]),
}

/// A node that is to be looked at.
struct Todo {
    steps: Vec<Step>,
    path: String,
    nullable: bool,
    /// The visitors of the nodes above, each with its path. A visitor stands
    /// for its type, with all parameters of that.
    above: Vec<(&'static str, String)>,
}

/// One run of a type's `Deserialize`: all that is compiled for each type.
pub(super) type Trace = fn(&mut Pass);

/// The [`Trace`] of a type. What it returns, if it does, is dropped in here too.
pub(super) fn once<B: DeserializeOwned>(pass: &mut Pass) {
    drop(B::deserialize(Tracer { pass, depth: 0 }));
}

pub(super) fn nodes(trace: Trace) -> BTreeMap<String, Node> {
    let root = Todo { steps: Vec::new(), path: "body".to_owned(), nullable: false, above: Vec::new() };
    let mut todo = VecDeque::from([root]);
    let (mut nodes, mut looks) = (BTreeMap::new(), 0);
    while let Some(next) = todo.pop_front() {
        looks += 1;
        let may_look = looks <= MOST_NODES && next.steps.len() <= MOST_STEPS;
        let kind = if may_look { look(trace, next.steps.clone()) } else { None };
        let node = match kind {
            None => Some(Kind::Opaque),
            Some(Seen { asked, visitor, panicked }) => {
                let before = next.above.iter().find(|(name, _)| *name == visitor && asked.has_parts());
                match before {
                    Some((_, path)) => Some(Kind::Recursive(path.clone())),
                    None => {
                        if !panicked {
                            todo.extend(next.parts(&asked, visitor));
                        }
                        asked.kind()
                    }
                }
            }
        };
        if let Some(kind) = node {
            nodes.insert(next.path, Node { kind, nullable: next.nullable });
        }
    }
    nodes
}

impl Asked {
    /// `None` for what is the same in JSON as what it holds.
    fn kind(self) -> Option<Kind> {
        Some(match self {
            Self::Value(name) => Kind::Value(name),
            Self::Struct(_) => Kind::Object,
            Self::Enum(_) => Kind::Enum,
            Self::Map => Kind::Map,
            Self::List => Kind::List,
            Self::Tuple(len) => Kind::Tuple(len),
            Self::Anything => Kind::Opaque,
            Self::Tagged(tag, variants) => Kind::Tagged { tag, variants: sorted(variants) },
            Self::Option | Self::Newtype => return None,
        })
    }

    fn has_parts(&self) -> bool {
        !matches!(self, Self::Value(_) | Self::Anything | Self::Tagged(..))
    }
}

fn sorted(names: &'static [&'static str]) -> Vec<&'static str> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names
}

impl Todo {
    /// The parts of this node.
    fn parts(&self, asked: &Asked, visitor: &'static str) -> Vec<Todo> {
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
            Asked::Struct(fields) => fields.iter().map(|name| part(Step::Field(name), format!(".{name}"))).collect(),
            Asked::Enum(variants) => {
                variants.iter().map(|name| part(Step::Variant(name), format!(".{name}"))).collect()
            }
            Asked::List => vec![part(Step::First, "[]".to_owned())],
            Asked::Tuple(0) => Vec::new(),
            Asked::Tuple(_) => vec![part(Step::First, "[0]".to_owned())],
            Asked::Map => vec![part(Step::Value, ".*".to_owned())],
            Asked::Option | Asked::Newtype => vec![part(Step::Inside, String::new())],
            Asked::Value(_) | Asked::Anything | Asked::Tagged(..) => Vec::new(),
        }
    }
}

/// What was seen at a node.
struct Seen {
    asked: Asked,
    visitor: &'static str,
    /// The code of the type did not take the end of the trace well: it is not
    /// run again.
    panicked: bool,
}

/// Runs the type's `Deserialize` as far as the end of these steps.
fn look(trace: Trace, steps: Vec<Step>) -> Option<Seen> {
    let mut pass = Pass { steps, seen: None };
    let mut panicked = run(trace, &mut pass);
    if matches!(pass.seen, Some((Asked::Tagged(..), _))) && !panicked {
        // Now that the name of the tag is known.
        panicked = run(trace, &mut pass);
    }
    pass.seen.map(|(asked, visitor)| Seen { asked, visitor, panicked })
}

/// Whether it panicked.
fn run(trace: Trace, pass: &mut Pass) -> bool {
    guard::catch(|| trace(pass)).is_err()
}

/// One run.
pub(super) struct Pass {
    steps: Vec<Step>,
    /// What was asked for at the end of the steps, first.
    seen: Option<(Asked, &'static str)>,
}

/// Ends a run. Texts of others are not looked at, as making them is their code.
#[derive(Debug)]
enum Stop {
    Missing(&'static str),
    NoVariant(&'static [&'static str]),
    Other,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the shape of the type is being traced")
    }
}

impl std::error::Error for Stop {}

impl de::Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Other
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::NoVariant(expected)
    }
}

/// Leads to the end of the steps.
struct Tracer<'a> {
    pass: &'a mut Pass,
    depth: usize,
}

impl<'a> Tracer<'a> {
    /// The next step, or what is seen at the end of all.
    fn step(self, asked: Asked, visitor: &'static str) -> Result<(Step, Tracer<'a>), Stop> {
        let Some(step) = self.pass.steps.get(self.depth).copied() else {
            self.pass.seen.get_or_insert((asked, visitor));
            return Err(Stop::Other);
        };
        Ok((step, Tracer { depth: self.depth + 1, pass: self.pass }))
    }

    /// The key that tells the variant, if it is known of this visitor.
    fn tag(&self, visitor: &'static str) -> Option<&'static str> {
        self.pass.seen.as_ref().and_then(|(asked, before)| match asked {
            Asked::Tagged(tag, _) if *before == visitor => Some(*tag),
            _ => None,
        })
    }

    /// What a visitor that takes anything made of an object with that key, or
    /// of an empty one.
    fn saw_anything(self, visitor: &'static str, tag: Option<&'static str>, stopped: Option<Stop>) {
        let seen = &mut self.pass.seen;
        match (tag, stopped) {
            (None, Some(Stop::Missing(tag))) => *seen = Some((Asked::Tagged(tag, &[]), visitor)),
            (Some(tag), Some(Stop::NoVariant(variants))) => *seen = Some((Asked::Tagged(tag, variants), visitor)),
            (Some(_), _) => *seen = Some((Asked::Anything, visitor)),
            (None, _) => drop(seen.get_or_insert((Asked::Anything, visitor))),
        }
    }

    fn end(self, asked: Asked, visitor: &'static str) -> Stop {
        self.step(asked, visitor).err().unwrap_or(Stop::Other)
    }
}

macro_rules! values {
    ($($method:ident $name:literal)*) => {
        $(fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
            Err(self.end(Asked::Value($name), type_name::<V>()))
        })*
    };
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Stop;

    values! {
        deserialize_bool "bool"
        deserialize_i8 "i8" deserialize_i16 "i16" deserialize_i32 "i32" deserialize_i64 "i64" deserialize_i128 "i128"
        deserialize_u8 "u8" deserialize_u16 "u16" deserialize_u32 "u32" deserialize_u64 "u64" deserialize_u128 "u128"
        deserialize_f32 "f32" deserialize_f64 "f64"
        deserialize_char "char" deserialize_str "text" deserialize_string "text" deserialize_identifier "text"
        deserialize_bytes "bytes" deserialize_byte_buf "bytes"
        deserialize_unit "null" deserialize_ignored_any "ignored"
    }

    fn is_human_readable(&self) -> bool {
        true
    }

    /// An internally tagged enum looks for its tag in an empty object, and for
    /// a variant that there is not.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        if self.depth < self.pass.steps.len() {
            return Err(Stop::Other);
        }
        let name = type_name::<V>();
        let tag = self.tag(name);
        let entry = tag.map(|tag| (tag, "\0"));
        let result = visitor.visit_map(de::value::MapDeserializer::<_, Stop>::new(entry.into_iter()));
        self.saw_anything(name, tag, result.err());
        Err(Stop::Other)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, _: V) -> Result<V::Value, Stop> {
        Err(self.end(Asked::Value("null"), type_name::<V>()))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let (_, tracer) = self.step(Asked::Option, type_name::<V>())?;
        visitor.visit_some(tracer)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Stop> {
        let (_, tracer) = self.step(Asked::Newtype, type_name::<V>())?;
        visitor.visit_newtype_struct(tracer)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let (_, tracer) = self.step(Asked::List, type_name::<V>())?;
        visitor.visit_seq(Parts { part: Some(tracer), key: None })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Stop> {
        let (_, tracer) = self.step(Asked::Tuple(len), type_name::<V>())?;
        visitor.visit_seq(Parts { part: Some(tracer), key: None })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let (_, tracer) = self.step(Asked::Map, type_name::<V>())?;
        visitor.visit_map(Parts { part: Some(tracer), key: Some(Key("0")) })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        match self.step(Asked::Struct(fields), type_name::<V>())? {
            (Step::Field(name), tracer) => visitor.visit_map(Parts { part: Some(tracer), key: Some(Key(name)) }),
            _ => Err(Stop::Other),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        match self.step(Asked::Enum(variants), type_name::<V>())? {
            (Step::Variant(name), tracer) => visitor.visit_enum(Variant { name, tracer }),
            _ => Err(Stop::Other),
        }
    }
}

/// A list or an object with the one part that the next step leads to. It ends
/// then, also for those who go on after an error.
struct Parts<'a> {
    part: Option<Tracer<'a>>,
    key: Option<Key>,
}

impl<'de> de::SeqAccess<'de> for Parts<'_> {
    type Error = Stop;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Stop> {
        self.part.take().map(|tracer| seed.deserialize(tracer)).transpose()
    }
}

impl<'de> de::MapAccess<'de> for Parts<'_> {
    type Error = Stop;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Stop> {
        self.key.take().map(|key| seed.deserialize(key)).transpose()
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Stop> {
        self.part.take().map_or(Err(Stop::Other), |tracer| seed.deserialize(tracer))
    }
}

/// A key of an object: the name of a field, or for a map one that any type of
/// key takes.
struct Key(&'static str);

macro_rules! numbers {
    ($($method:ident $visit:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
            visitor.$visit(0)
        })*
    };
}

impl<'de> Deserializer<'de> for Key {
    type Error = Stop;

    numbers! {
        deserialize_i8 visit_i8 deserialize_i16 visit_i16 deserialize_i32 visit_i32 deserialize_i64 visit_i64
        deserialize_u8 visit_u8 deserialize_u16 visit_u16 deserialize_u32 visit_u32 deserialize_u64 visit_u64
        deserialize_i128 visit_i128 deserialize_u128 visit_u128
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_bool(false)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let first = variants.first().copied().unwrap_or_default();
        visitor.visit_enum(IntoDeserializer::<Stop>::into_deserializer(first))
    }

    serde::forward_to_deserialize_any! {
        f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

/// A variant of an enum, and what is in it.
struct Variant<'a> {
    name: &'static str,
    tracer: Tracer<'a>,
}

impl<'de, 'a> de::EnumAccess<'de> for Variant<'a> {
    type Error = Stop;
    type Variant = Tracer<'a>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Tracer<'a>), Stop> {
        let variant = seed.deserialize(IntoDeserializer::<Stop>::into_deserializer(self.name))?;
        Ok((variant, self.tracer))
    }
}

impl<'de> de::VariantAccess<'de> for Tracer<'_> {
    type Error = Stop;

    fn unit_variant(self) -> Result<(), Stop> {
        Err(self.end(Asked::Value("unit"), "()"))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Stop> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_struct("", fields, visitor)
    }
}
