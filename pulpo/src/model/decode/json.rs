//! Values in JSON, read by serde_json.
//!
//! serde_json decides what a text means; this module only passes values on, and records the path on the way back from
//! an error. Errors keep their position in the text, since serde_json reads it back from their wording.

use std::cell::RefCell;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::{Asked, Error, Found, Key, List, Map, Part, Scalar, Seed, Source, Take, Variants};

/// The place where a text does not fit, and the reason.
#[derive(Debug)]
pub(crate) struct Unfit {
    /// The path after the name of the whole: `.items[3].price`.
    pub(crate) path: String,
    pub(crate) error: serde_json::Error,
}

/// Reads a text. `read` gets the value, and keeps its result.
pub(crate) fn read<'de>(text: &'de str, read: &mut Seed<'_, 'de>) -> Result<(), Unfit> {
    let path = Path::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let mut value = Value { deserializer: Some(&mut deserializer), place: Place { path: &path, depth: 0 } };
    if let Err(error) = read(Part(&mut value)) {
        let mut error = error.into_json();
        if error.line() == 0 {
            // No object or list around it has recorded the position.
            let read = &text[..deserializer.into_iter::<IgnoredAny>().byte_offset()];
            let (line, column) =
                (1 + read.matches('\n').count(), read.len() - read.rfind('\n').map_or(0, |end| end + 1));
            error = serde_json::Error::custom(format_args!("{error} at line {line} column {column}"));
        }
        return Err(Unfit { path: path.text(), error });
    }
    deserializer.end().map_err(|error| Unfit { path: String::new(), error })
}

/// The path from an error back to the root, innermost step first, each with its depth.
#[derive(Default)]
struct Path(RefCell<Vec<(usize, String)>>);

impl Path {
    fn text(&self) -> String {
        self.0.borrow().iter().rev().map(|(_, step)| step.as_str()).collect()
    }
}

/// The position of a value.
#[derive(Clone, Copy)]
struct Place<'p> {
    path: &'p Path,
    depth: usize,
}

impl Place<'_> {
    fn inside(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }

    /// Records a step of the path.
    #[cold]
    fn note(self, step: String) {
        let mut steps = self.path.0.borrow_mut();
        // The steps belong to an error that the type has recovered from.
        if steps.last().is_some_and(|(depth, _)| *depth != self.depth + 1) {
            steps.clear();
        }
        steps.push((self.depth, step));
    }
}

/// A value.
struct Value<'p, D> {
    /// The deserializer; `None` once the value has been read.
    deserializer: Option<D>,
    place: Place<'p>,
}

macro_rules! put {
    ($deserializer:ident, $answer:ident, $scalar:ident: $($name:ident $method:ident)*) => {
        match $scalar {
            $(Scalar::$name => $deserializer.$method($answer),)*
        }
    };
}

impl<'de, D: Deserializer<'de>> Source<'de> for Value<'_, D> {
    fn ask(&mut self, asked: Asked, _: &'static str, taker: &mut dyn Take<'de>) -> Result<(), Error> {
        let Some(deserializer) = self.deserializer.take() else { return Err(Error::stopped()) };
        let answer = Answer { taker, place: self.place };
        let taken = match asked {
            Asked::Any => deserializer.deserialize_any(answer),
            Asked::Value(scalar) => put! {
                deserializer, answer, scalar:
                Bool deserialize_bool
                I8 deserialize_i8 I16 deserialize_i16 I32 deserialize_i32 I64 deserialize_i64 I128 deserialize_i128
                U8 deserialize_u8 U16 deserialize_u16 U32 deserialize_u32 U64 deserialize_u64 U128 deserialize_u128
                F32 deserialize_f32 F64 deserialize_f64
                Char deserialize_char Str deserialize_str String deserialize_string
                Identifier deserialize_identifier
                Bytes deserialize_bytes ByteBuf deserialize_byte_buf
                Unit deserialize_unit Ignored deserialize_ignored_any
            },
            Asked::Option => deserializer.deserialize_option(answer),
            Asked::Newtype(name) => deserializer.deserialize_newtype_struct(name, answer),
            Asked::List => deserializer.deserialize_seq(answer),
            Asked::Tuple(len) => deserializer.deserialize_tuple(len, answer),
            Asked::Map => deserializer.deserialize_map(answer),
            Asked::Struct(fields) => deserializer.deserialize_struct("", fields, answer),
            Asked::Enum(variants) => deserializer.deserialize_enum("", variants, answer),
        };
        taken.map_err(Error::custom)
    }
}

/// Passes on the value that serde_json finds.
struct Answer<'a, 'p, 'de> {
    taker: &'a mut dyn Take<'de>,
    place: Place<'p>,
}

macro_rules! values {
    ($($method:ident($type:ty) $found:ident)*) => {
        $(fn $method<E: serde::de::Error>(self, value: $type) -> Result<(), E> {
            self.taker.take(Found::$found(value)).map_err(E::custom)
        })*
    };
}

impl<'de> Visitor<'de> for Answer<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.taker.expecting(f)
    }

    values! {
        visit_bool(bool) Bool
        visit_i64(i64) I64 visit_u64(u64) U64 visit_i128(i128) I128 visit_u128(u128) U128 visit_f64(f64) F64
        visit_str(&str) Str visit_borrowed_str(&'de str) BorrowedStr
        visit_bytes(&[u8]) Bytes visit_borrowed_bytes(&'de [u8]) BorrowedBytes
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.taker.take(Found::Unit).map_err(E::custom)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<(), E> {
        self.taker.take(Found::None).map_err(E::custom)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let mut value = Value { deserializer: Some(deserializer), place: self.place };
        self.taker.take(Found::Some(&mut value)).map_err(D::Error::custom)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let mut value = Value { deserializer: Some(deserializer), place: self.place };
        self.taker.take(Found::Newtype(&mut value)).map_err(D::Error::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<(), A::Error> {
        let mut parts = Parts { access, index: 0, place: self.place };
        self.taker.take(Found::List(&mut parts)).map_err(A::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<(), A::Error> {
        let mut entries = Entries { access, key: Name::default(), place: self.place };
        self.taker.take(Found::Map(&mut entries)).map_err(A::Error::custom)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<(), A::Error> {
        let mut variant =
            Variant::<A> { access: Some(access), content: None, name: Name::default(), place: self.place };
        self.taker.take(Found::Enum(&mut variant)).map_err(A::Error::custom)
    }
}

/// Reads a part with a seed.
struct Inside<'a, 'b, 'p, 'de> {
    seed: &'a mut Seed<'b, 'de>,
    place: Place<'p>,
}

impl<'de> DeserializeSeed<'de> for Inside<'_, '_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let mut value = Value { deserializer: Some(deserializer), place: self.place };
        (self.seed)(Part(&mut value)).map_err(D::Error::custom)
    }
}

struct Parts<'p, A> {
    access: A,
    index: usize,
    place: Place<'p>,
}

impl<'de, A: SeqAccess<'de>> List<'de> for Parts<'_, A> {
    fn next(&mut self, seed: &mut Seed<'_, 'de>) -> Result<bool, Error> {
        match self.access.next_element_seed(Inside { seed, place: self.place.inside() }) {
            Ok(read) => {
                self.index += 1;
                Ok(read.is_some())
            }
            Err(error) => {
                self.place.note(format!("[{}]", self.index));
                Err(Error::custom(error))
            }
        }
    }
}

struct Entries<'p, 'de, A> {
    access: A,
    key: Name<'de>,
    place: Place<'p>,
}

impl<'de, A: MapAccess<'de>> Map<'de> for Entries<'_, 'de, A> {
    fn next_key(&mut self) -> Result<Option<Key<'_, 'de>>, Error> {
        let read = self.access.next_key_seed(ReadName(&mut self.key)).map_err(Error::custom)?;
        Ok(read.map(|()| self.key.key()))
    }

    fn refused_key(&mut self) {
        self.place.note(format!(".{}", self.key.text()));
    }

    fn value(&mut self, seed: &mut Seed<'_, 'de>) -> Result<(), Error> {
        self.access.next_value_seed(Inside { seed, place: self.place.inside() }).map_err(|error| {
            self.place.note(format!(".{}", self.key.text()));
            Error::custom(error)
        })
    }
}

struct Variant<'p, 'de, A: EnumAccess<'de>> {
    access: Option<A>,
    content: Option<A::Variant>,
    name: Name<'de>,
    place: Place<'p>,
}

impl<'de, A: EnumAccess<'de>> Variant<'_, 'de, A> {
    fn within<T>(&mut self, read: impl FnOnce(A::Variant, Place<'_>) -> Result<T, A::Error>) -> Result<T, Error> {
        let Some(content) = self.content.take() else { return Err(Error::stopped()) };
        read(content, self.place.inside()).map_err(|error| {
            self.place.note(format!(".{}", self.name.text()));
            Error::custom(error)
        })
    }
}

impl<'de, A: EnumAccess<'de>> Variants<'de> for Variant<'_, 'de, A> {
    fn name(&mut self) -> Result<Key<'_, 'de>, Error> {
        let Some(access) = self.access.take() else { return Err(Error::stopped()) };
        let ((), content) = access.variant_seed(ReadName(&mut self.name)).map_err(Error::custom)?;
        self.content = Some(content);
        Ok(self.name.key())
    }

    /// Adds nothing: the path ends at the enum, whose variant names are not parts.
    fn refused_name(&mut self) {}

    fn unit(&mut self) -> Result<(), Error> {
        self.within(|content, _| content.unit_variant())
    }

    fn newtype(&mut self, seed: &mut Seed<'_, 'de>) -> Result<(), Error> {
        self.within(|content, place| content.newtype_variant_seed(Inside { seed, place }))
    }

    fn parts(&mut self, asked: Asked, _: &'static str, taker: &mut dyn Take<'de>) -> Result<(), Error> {
        self.within(|content, place| {
            let answer = Answer { taker, place };
            match asked {
                Asked::Struct(fields) => content.struct_variant(fields, answer),
                Asked::Tuple(len) => content.tuple_variant(len, answer),
                _ => Err(A::Error::custom(Error::stopped())),
            }
        })
    }
}

/// The last key or name. Most are taken from the text without copying.
#[derive(Default)]
struct Name<'de> {
    borrowed: Option<&'de str>,
    copied: String,
}

impl<'de> Name<'de> {
    fn key(&self) -> Key<'_, 'de> {
        self.borrowed.map_or(Key::Copied(&self.copied), Key::Borrowed)
    }

    fn text(&self) -> &str {
        self.borrowed.unwrap_or(&self.copied)
    }
}

struct ReadName<'a, 'de>(&'a mut Name<'de>);

impl<'de> DeserializeSeed<'de> for ReadName<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for ReadName<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<(), E> {
        self.0.borrowed = None;
        self.0.copied.clear();
        self.0.copied.push_str(name);
        Ok(())
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, name: &'de str) -> Result<(), E> {
        self.0.borrowed = Some(name);
        Ok(())
    }
}
