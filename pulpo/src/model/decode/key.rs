//! The key of an object, or the name of a variant, as a value to read.
//!
//! As in serde_json, a key may stand for a number or a boolean too.

use std::str::FromStr;

use serde::de::value::{BorrowedStrDeserializer, StrDeserializer};
use serde::de::{Deserializer, Error as _, Unexpected, Visitor};
use serde_json::Number;

use super::Error;

/// A key of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key<'a, 'de> {
    Borrowed(&'de str),
    Copied(&'a str),
    /// A key that most key types accept, in a trace.
    Whatever,
}

impl Key<'_, '_> {
    fn text(&self) -> &str {
        match *self {
            Self::Borrowed(text) => text,
            Self::Copied(text) => text,
            Self::Whatever => "0",
        }
    }

    /// Returns the number that a key stands for, in JSON's notation.
    fn number(&self) -> Result<Number, Error> {
        let text = self.text();
        let is_number =
            text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) && text.ends_with(|c: char| c.is_ascii_digit());
        let number = is_number.then(|| serde_json::from_str(text).ok()).flatten();
        number.ok_or_else(|| Error::custom("invalid value: expected key to be a number in quotes"))
    }

    /// Returns the number that a key stands for, with up to 128 bits.
    fn long<N: FromStr>(&self) -> Result<N, Error> {
        self.number().and_then(|_| self.text().parse().map_err(|_| Error::custom("number out of range")))
    }
}

/// Visits a number as serde_json does.
fn visit<'de, V: Visitor<'de>>(visitor: V, number: Number) -> Result<V::Value, Error> {
    if let Some(number) = number.as_u64() {
        return visitor.visit_u64(number);
    }
    match number.as_i64() {
        Some(number) => visitor.visit_i64(number),
        None => visitor.visit_f64(number.as_f64().unwrap_or(f64::INFINITY)),
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.number() {
                Ok(number) => visit(visitor, number),
                Err(error) => Err(error),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Key<'_, 'de> {
    type Error = Error;

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_f32 deserialize_f64
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i128(self.long()?)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u128(self.long()?)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Borrowed(text) => visitor.visit_borrowed_str(text),
            Self::Copied(text) => visitor.visit_str(text),
            Self::Whatever => visitor.visit_borrowed_str("0"),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Whatever | Self::Borrowed("false") | Self::Copied("false") => visitor.visit_bool(false),
            Self::Borrowed("true") | Self::Copied("true") => visitor.visit_bool(true),
            _ => Err(Error::invalid_type(Unexpected::Str(self.text()), &visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Self::Borrowed(text) => visitor.visit_enum(BorrowedStrDeserializer::new(text)),
            Self::Copied(text) => visitor.visit_enum(StrDeserializer::new(text)),
            Self::Whatever => {
                visitor.visit_enum(BorrowedStrDeserializer::new(variants.first().copied().unwrap_or_default()))
            }
        }
    }

    serde::forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
