//! Reads a value as a type, through the one deserializer that each type is compiled for.
//!
//! A type's `Deserialize` is compiled again for each deserializer that reads it, and a program has a type for each of
//! its jobs. So pulpo reads all types of the user's through [`Part`], whatever the source: the JSON of a message
//! ([`json`]), or the trace of a shape.
//!
//! # Invariants
//! Generic code in this module is compiled for each type of the user's, so it is short and written out: in a debug
//! build each `?`, `map` or `ok_or` is a function of its own for each type. The work is done behind [`Source`], which
//! is compiled once.

use std::any::type_name;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, Visitor};

mod error;
pub(crate) mod json;
mod key;

pub(crate) use error::{Error, Hint};
pub(crate) use key::Key;

/// A value that is being read: the deserializer.
pub(crate) struct Part<'a, 'de>(pub(crate) &'a mut dyn Source<'de>);

/// Reads a type from a value and drops the result.
pub(crate) type Probe = fn(Part<'_, '_>) -> Result<(), Error>;

/// Reads a type, as its [`Probe`], and drops the result.
pub(crate) fn probe<B: de::DeserializeOwned>(part: Part<'_, '_>) -> Result<(), Error> {
    match B::deserialize(part) {
        Ok(value) => {
            let _dropped = value;
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Reads a part of a value.
pub(crate) type Seed<'a, 'de> = dyn FnMut(Part<'_, 'de>) -> Result<(), Error> + 'a;

/// The source of a value.
pub(crate) trait Source<'de> {
    /// Hands the value to `taker`, if it is of the kind asked for. `visitor` is the name of the visitor's type.
    fn ask(&mut self, asked: Asked, visitor: &'static str, taker: &mut dyn Take<'de>) -> Result<(), Error>;
}

/// The kind of value that a type asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    Any,
    Value(Scalar),
    Option,
    Newtype(&'static str),
    List,
    Tuple(usize),
    Map,
    Struct(&'static [&'static str]),
    Enum(&'static [&'static str]),
}

/// A value that the source has found.
pub(crate) enum Found<'a, 'de> {
    Bool(bool),
    I64(i64),
    U64(u64),
    I128(i128),
    U128(u128),
    F64(f64),
    Str(&'a str),
    BorrowedStr(&'de str),
    Bytes(&'a [u8]),
    BorrowedBytes(&'de [u8]),
    Unit,
    None,
    Some(&'a mut dyn Source<'de>),
    Newtype(&'a mut dyn Source<'de>),
    List(&'a mut dyn List<'de>),
    Map(&'a mut dyn Map<'de>),
    Enum(&'a mut dyn Variants<'de>),
}

/// Takes a value that was found: wraps the user's visitor.
pub(crate) trait Take<'de> {
    fn take(&mut self, found: Found<'_, 'de>) -> Result<(), Error>;

    /// Writes the expected value, for errors.
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// The parts of a list.
pub(crate) trait List<'de> {
    /// Reads the next part; false at the end.
    fn next(&mut self, seed: &mut Seed<'_, 'de>) -> Result<bool, Error>;
}

/// The entries of an object.
pub(crate) trait Map<'de> {
    fn next_key(&mut self) -> Result<Option<Key<'_, 'de>>, Error>;

    /// Records that the type refused the last key.
    fn refused_key(&mut self);

    fn value(&mut self, seed: &mut Seed<'_, 'de>) -> Result<(), Error>;
}

/// A variant of an enum: its name, then its content.
pub(crate) trait Variants<'de> {
    fn name(&mut self) -> Result<Key<'_, 'de>, Error>;

    /// Records that the type has no variant of that name.
    fn refused_name(&mut self);

    fn unit(&mut self) -> Result<(), Error>;

    fn newtype(&mut self, seed: &mut Seed<'_, 'de>) -> Result<(), Error>;

    /// Reads a tuple or a struct.
    fn parts(&mut self, asked: Asked, visitor: &'static str, taker: &mut dyn Take<'de>) -> Result<(), Error>;
}

/// Holds a visitor until a value is found, and then its result.
struct Taker<'de, V: Visitor<'de>, F> {
    visitor: Option<V>,
    visit: F,
    value: Option<V::Value>,
}

impl<'de, V, F> Take<'de> for Taker<'de, V, F>
where
    V: Visitor<'de>,
    F: Fn(V, Found<'_, 'de>) -> Result<V::Value, Error>,
{
    fn take(&mut self, found: Found<'_, 'de>) -> Result<(), Error> {
        match self.visitor.take() {
            Some(visitor) => match (self.visit)(visitor, found) {
                Ok(value) => {
                    self.value = Some(value);
                    Ok(())
                }
                Err(error) => Err(error),
            },
            None => Err(Error::stopped()),
        }
    }

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.visitor {
            Some(visitor) => visitor.expecting(f),
            None => Ok(()),
        }
    }
}

fn ask<'de, V, F>(part: Part<'_, 'de>, asked: Asked, visitor: V, visit: F) -> Result<V::Value, Error>
where
    V: Visitor<'de>,
    F: Fn(V, Found<'_, 'de>) -> Result<V::Value, Error>,
{
    let mut taker = Taker { visitor: Some(visitor), visit, value: None };
    match part.0.ask(asked, type_name::<V>(), &mut taker) {
        Ok(()) => match taker.value {
            Some(value) => Ok(value),
            None => Err(Error::stopped()),
        },
        Err(error) => Err(error),
    }
}

/// Calls a visitor with the value that was found. Each kind of question accepts only the answers that serde_json may
/// give.
mod visit {
    use super::{Content, Elements, Entries, Error, Found, Part, Visitor};

    macro_rules! visits {
        ($($name:ident: $($kind:ident($found:ident) => $visit:ident($value:expr)),*;)*) => {
            $(pub(super) fn $name<'de, V: Visitor<'de>>(visitor: V, found: Found<'_, 'de>) -> Result<V::Value, Error> {
                match found {
                    $(Found::$kind($found) => visitor.$visit($value),)*
                    _ => Err(Error::stopped()),
                }
            })*
        };
    }

    visits! {
        boolean: Bool(v) => visit_bool(v);
        number: U64(v) => visit_u64(v), I64(v) => visit_i64(v), F64(v) => visit_f64(v);
        signed: I128(v) => visit_i128(v);
        unsigned: U128(v) => visit_u128(v);
        text: Str(v) => visit_str(v), BorrowedStr(v) => visit_borrowed_str(v);
        bytes: Bytes(v) => visit_bytes(v), BorrowedBytes(v) => visit_borrowed_bytes(v), List(v) => visit_seq(Elements(v));
        // Types that hold a value as written (`RawValue`) get an object.
        newtype: Newtype(v) => visit_newtype_struct(Part(v)), Map(v) => visit_map(Entries(v));
        list: List(v) => visit_seq(Elements(v));
        map: Map(v) => visit_map(Entries(v));
        structure: Map(v) => visit_map(Entries(v)), List(v) => visit_seq(Elements(v));
        variants: Enum(v) => visit_enum(Content(v));
    }

    pub(super) fn unit<'de, V: Visitor<'de>>(visitor: V, found: Found<'_, 'de>) -> Result<V::Value, Error> {
        match found {
            Found::Unit => visitor.visit_unit(),
            _ => Err(Error::stopped()),
        }
    }

    pub(super) fn option<'de, V: Visitor<'de>>(visitor: V, found: Found<'_, 'de>) -> Result<V::Value, Error> {
        match found {
            Found::Some(inner) => visitor.visit_some(Part(inner)),
            Found::None => visitor.visit_none(),
            _ => Err(Error::stopped()),
        }
    }

    pub(super) fn any<'de, V: Visitor<'de>>(visitor: V, found: Found<'_, 'de>) -> Result<V::Value, Error> {
        match found {
            Found::Bool(v) => visitor.visit_bool(v),
            Found::I64(v) => visitor.visit_i64(v),
            Found::U64(v) => visitor.visit_u64(v),
            Found::I128(v) => visitor.visit_i128(v),
            Found::U128(v) => visitor.visit_u128(v),
            Found::F64(v) => visitor.visit_f64(v),
            Found::Str(v) => visitor.visit_str(v),
            Found::BorrowedStr(v) => visitor.visit_borrowed_str(v),
            Found::Bytes(v) => visitor.visit_bytes(v),
            Found::BorrowedBytes(v) => visitor.visit_borrowed_bytes(v),
            Found::Unit => visitor.visit_unit(),
            Found::None => visitor.visit_none(),
            Found::Some(v) => visitor.visit_some(Part(v)),
            Found::Newtype(v) => visitor.visit_newtype_struct(Part(v)),
            Found::List(v) => visitor.visit_seq(Elements(v)),
            Found::Map(v) => visitor.visit_map(Entries(v)),
            Found::Enum(v) => visitor.visit_enum(Content(v)),
        }
    }
}

macro_rules! values {
    ($($method:ident $scalar:ident $visit:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            ask(self, Asked::Value(Scalar::$scalar), visitor, visit::$visit)
        })*
    };
}

impl<'de> Deserializer<'de> for Part<'_, 'de> {
    type Error = Error;

    values! {
        deserialize_bool Bool boolean
        deserialize_i8 I8 number deserialize_i16 I16 number deserialize_i32 I32 number deserialize_i64 I64 number
        deserialize_u8 U8 number deserialize_u16 U16 number deserialize_u32 U32 number deserialize_u64 U64 number
        deserialize_i128 I128 signed deserialize_u128 U128 unsigned
        deserialize_f32 F32 number deserialize_f64 F64 number
        deserialize_char Char text deserialize_str Str text deserialize_string String text
        deserialize_identifier Identifier text
        deserialize_bytes Bytes bytes deserialize_byte_buf ByteBuf bytes
        deserialize_unit Unit unit deserialize_ignored_any Ignored unit
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        ask(self, Asked::Any, visitor, visit::any)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        ask(self, Asked::Value(Scalar::Unit), visitor, visit::unit)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        ask(self, Asked::Option, visitor, visit::option)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        ask(self, Asked::Newtype(name), visitor, visit::newtype)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        ask(self, Asked::List, visitor, visit::list)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        ask(self, Asked::Tuple(len), visitor, visit::list)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        ask(self, Asked::Tuple(len), visitor, visit::list)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        ask(self, Asked::Map, visitor, visit::map)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        ask(self, Asked::Struct(fields), visitor, visit::structure)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        ask(self, Asked::Enum(variants), visitor, visit::variants)
    }
}

/// Reads a part with a seed, through `read`, which returns whether there is one.
fn read_part<'de, S: DeserializeSeed<'de>>(
    seed: S,
    read: impl FnOnce(&mut Seed<'_, 'de>) -> Result<bool, Error>,
) -> Result<Option<S::Value>, Error> {
    let (mut seed, mut value) = (Some(seed), None);
    let there = read(&mut |part| match seed.take() {
        Some(seed) => match seed.deserialize(part) {
            Ok(read) => {
                value = Some(read);
                Ok(())
            }
            Err(error) => Err(error),
        },
        None => Err(Error::stopped()),
    });
    match there {
        Ok(_) => Ok(value),
        Err(error) => Err(error),
    }
}

/// The parts of a list, for a visitor.
struct Elements<'a, 'de>(&'a mut dyn List<'de>);

impl<'de> de::SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        read_part(seed, |seed| self.0.next(seed))
    }
}

/// The entries of an object, for a visitor.
struct Entries<'a, 'de>(&'a mut dyn Map<'de>);

impl<'de> de::MapAccess<'de> for Entries<'_, 'de> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        match self.0.next_key() {
            Ok(Some(key)) => match seed.deserialize(key) {
                Ok(key) => Ok(Some(key)),
                Err(error) => {
                    self.0.refused_key();
                    Err(error)
                }
            },
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        match read_part(seed, |seed| match self.0.value(seed) {
            Ok(()) => Ok(true),
            Err(error) => Err(error),
        }) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(Error::stopped()),
            Err(error) => Err(error),
        }
    }
}

/// A variant of an enum, for a visitor.
struct Content<'a, 'de>(&'a mut dyn Variants<'de>);

impl<'de> de::EnumAccess<'de> for Content<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        match self.0.name() {
            Ok(name) => match seed.deserialize(name) {
                Ok(variant) => Ok((variant, self)),
                Err(error) => {
                    self.0.refused_name();
                    Err(error)
                }
            },
            Err(error) => Err(error),
        }
    }
}

impl<'de> de::VariantAccess<'de> for Content<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        self.0.unit()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        match read_part(seed, |seed| match self.0.newtype(seed) {
            Ok(()) => Ok(true),
            Err(error) => Err(error),
        }) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(Error::stopped()),
            Err(error) => Err(error),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        ask(Part(&mut InVariant(self.0)), Asked::Tuple(len), visitor, visit::list)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        ask(Part(&mut InVariant(self.0)), Asked::Struct(fields), visitor, visit::structure)
    }
}

/// The content of a variant, as a value.
struct InVariant<'a, 'de>(&'a mut dyn Variants<'de>);

impl<'de> Source<'de> for InVariant<'_, 'de> {
    fn ask(&mut self, asked: Asked, visitor: &'static str, taker: &mut dyn Take<'de>) -> Result<(), Error> {
        self.0.parts(asked, visitor, taker)
    }
}

/// The kinds of values without parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scalar {
    Bool,
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    F32,
    F64,
    Char,
    Str,
    String,
    Identifier,
    Bytes,
    ByteBuf,
    Unit,
    Ignored,
}

#[cfg(test)]
mod tests;
