//! The parts of a shape.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

/// The text that is tried first.
pub(super) const WORD: &str = "text";

/// The maximum length of a list of fixed length; a longer one is opaque.
pub(super) const MOST_PARTS: usize = 1024;

/// The maximum depth of a node, in steps; deeper ones are opaque.
pub(super) const MOST_STEPS: usize = 64;

/// The length up to which is tried how long a text, a list or a map may be.
pub(super) const LONG: usize = 1024;

/// The names of the values without parts.
#[cfg(feature = "cli")]
pub(super) const VALUES: [&str; 19] = [
    "bool", "i8", "i16", "i32", "i64", "i128", "u8", "u16", "u32", "u64", "u128", "f32", "f64", "char", "text",
    "bytes", "null", "ignored", "unit",
];

/// Returns whether a path leads to another one.
pub(super) fn leads_to(path: &str, target: &str) -> bool {
    target.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The JSON that a type reads: a node for each path in the body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape(pub(crate) BTreeMap<String, Node>);

/// The value at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// Whether `null` is read too.
    pub(crate) nullable: bool,
    /// Whether the field may be left out.
    pub(crate) optional: bool,
    /// Whether the object may have no other fields.
    pub(crate) strict: bool,
    /// The greatest length that is read, if longer values are refused: of a text or bytes in bytes, of a list in parts,
    /// of a map in entries.
    pub(crate) most: Option<usize>,
    /// The field of which this one is an alias.
    pub(crate) alias_of: Option<String>,
    /// Values of the kind that are not read, of those at its ends.
    pub(crate) not: Vec<Value>,
    /// Values that are read here, if not every value of the kind is.
    pub(crate) examples: Vec<Value>,
    /// Whether no value was found that is read here. A refusal here or below then says nothing.
    pub(crate) unseen: bool,
}

impl Node {
    pub(crate) fn new(kind: Kind, nullable: bool) -> Self {
        let (optional, strict, unseen) = (false, false, false);
        let (most, alias_of) = (None, None);
        Self { kind, nullable, optional, strict, most, alias_of, not: Vec::new(), examples: Vec::new(), unseen }
    }

    /// Returns whether it is a text, and plain words are read there.
    pub(super) fn reads_words(&self) -> bool {
        matches!(&self.kind, Kind::Value(kind) if kind == "text")
            && self.examples.first().is_none_or(|word| word == WORD)
    }

    /// Whether only some values of its kind may be readable, so that one has to be tried.
    pub(super) fn may_be_picky(&self) -> bool {
        match &self.kind {
            Kind::Value(kind) => kind == "text",
            Kind::Opaque | Kind::Tagged { .. } => true,
            _ => false,
        }
    }
}

/// The kind of JSON at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A value without parts, by its Rust name: a `u8` reads less than a `u64`.
    Value(Cow<'static, str>),
    /// An object whose fields are the paths below.
    Object,
    /// An object with any keys; a type with `flatten` looks like one.
    Map,
    /// A list of any length.
    List,
    /// A list of this length. A part without a node of its own is like the first.
    Tuple(usize),
    /// One of the variants below.
    Enum,
    /// An object whose key of this name holds the variant, one of these.
    Tagged { tag: String, variants: Vec<String> },
    /// An object with one of the variants below: its name at the key `tag`, its content at the key `content`.
    Adjacent { tag: String, content: String },
    /// The same type as at that path, which is above this one.
    Recursive(String),
    /// A type that serde does not show.
    Opaque,
}
