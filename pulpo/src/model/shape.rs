//! The shape of a body: the JSON that its type reads, as far as can be seen from outside.
//!
//! A message carries the hash of the producer's shape. From that, a worker that cannot read the body knows whether
//! another version of the program wrote it. The shape is found by tracing the type's `Deserialize`, so it takes no
//! derive of ours. Details that a trace cannot show are found with made-up bodies: which fields may be left out, which
//! texts are read.
//!
//! # Invariants
//! - Two programs with the same types have the same shape. It contains neither names of Rust types nor the order of
//!   fields.
//! - A trace gives no visitor a made-up value: it ends at the node that it asks for. A type that takes anything is
//!   given an empty object, and one with a tag is given a tag that does not exist; a part behind others is found with
//!   others that the type has read before. A made-up body is read like the body of a message, and dropped.
//! - A place where no value is known that the type reads is marked as unseen. Nothing is concluded from a refusal there.
//! - Traces and trials end, and a panic in them does not escape: after a panic, the type is not run again.

use std::any::TypeId;
use std::fmt;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::decode::{Probe, probe};
use crate::sync::OnceMap;

mod bodies;
#[cfg(feature = "cli")]
pub(crate) mod changes;
mod examples;
#[cfg(feature = "cli")]
mod keys;
mod node;
mod place;
mod reading;
mod search;
mod text;
mod trace;

pub(crate) use node::{Kind, Node, Shape};
#[cfg(feature = "cli")]
pub(crate) use text::read_line;
use trace::Traced;

/// The maximum number of times that a shape is completed with more values.
const MOST_LESSONS: usize = 16;

/// Whether the types of this program can be run with made-up bodies. One that panics then would end a program that is
/// built with `panic = "abort"`, so there nothing is known of any body.
pub(crate) const CAN_TRACE: bool = cfg!(panic = "unwind");

/// The version of the hash and the text of a shape. Shapes of different versions differ, whatever their content.
const FORMAT: u16 = 1;

impl Shape {
    /// Traces a type.
    #[cfg(test)]
    pub(crate) fn of<B: DeserializeOwned>() -> Self {
        Self::traced(probe::<B>)
    }

    /// Traces the type of a probe.
    pub(crate) fn traced(probe: Probe) -> Self {
        Self::traced_with(probe, &[])
    }

    /// Traces the type of a probe, with the help of bodies that it reads.
    pub(crate) fn traced_with(probe: Probe, bodies: &[Value]) -> Self {
        if !CAN_TRACE {
            let mut whole = Node::new(Kind::Opaque, false);
            whole.unseen = true;
            return Self([("body".to_owned(), whole)].into());
        }
        let mut traced = Traced::of(probe);
        let mut before = None;
        // One body may lead to the next place of which nothing is known.
        for _ in 0..=MOST_LESSONS {
            if !search::complete(&mut traced) {
                break;
            }
            let unseen = traced.shape.unseen();
            if before.as_ref() == Some(&unseen) || !traced.shape.learn(bodies) {
                break;
            }
            traced.shape.0.values_mut().for_each(|node| node.unseen = false);
            before = Some(unseen);
        }
        traced.shape
    }

    /// Returns the short form that travels with messages.
    pub(crate) fn id(&self) -> ShapeId {
        // FNV-1a: short and stable forever, and a collision benefits no attacker.
        let hash = self.to_string().bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        ShapeId { format: FORMAT, hash }
    }
}

/// The hash of a shape: `1-9f86d081884c7d65`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ShapeId {
    format: u16,
    hash: u64,
}

impl ShapeId {
    /// Returns the id of a type's shape, which is traced once per process.
    pub(crate) fn of<B: DeserializeOwned + 'static>() -> Self {
        Self::of_type(TypeId::of::<B>(), probe::<B>)
    }

    pub(crate) fn of_type(key: TypeId, probe: Probe) -> Self {
        // The type's own code runs here, and a fork may publish while a thread of its parent is doing the same, so this
        // takes no lock.
        static KNOWN: OnceMap<TypeId, ShapeId> = OnceMap::new();
        *KNOWN.get_or_insert_with(key, |_| Shape::traced(probe).id())
    }
}

impl fmt::Display for ShapeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Faster than `{:016x}`, which writes each zero alone; this stands in each message.
        let mut digits = [0; 16];
        for (place, digit) in digits.iter_mut().rev().enumerate() {
            *digit = b"0123456789abcdef"[(self.hash >> (4 * place)) as usize & 0xf];
        }
        write!(f, "{}-", self.format)?;
        f.write_str(std::str::from_utf8(&digits).expect("digits are ASCII"))
    }
}

impl FromStr for ShapeId {
    type Err = ();

    /// Reads only the form that pulpo writes: others may use the key for something else.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (format, hash) = text.split_once('-').ok_or(())?;
        let is_hash = hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let hash = u64::from_str_radix(hash, 16).ok().filter(|_| is_hash).ok_or(())?;
        Ok(Self { format: format.parse().map_err(drop)?, hash })
    }
}

impl Serialize for ShapeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests;
