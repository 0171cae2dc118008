//! Writes only values that can be read again.
//!
//! serde_json writes `null` for a float that JSON cannot represent, and more levels than it reads. Both would come to
//! light only in the worker, or never, if `null` fits too. So a serializer between a body and serde_json refuses them
//! and reports the path.

use std::cell::{Cell, RefCell};
use std::fmt::Display;

use serde::ser::{self, Error as _, Serialize, Serializer};

use crate::report::limited_to;

/// The number of levels that serde_json reads.
const MOST_LEVELS: usize = 127;

/// A value whose writing fails, with the path in the error, if it could not be read again.
pub(super) struct Checked<'a, T: ?Sized> {
    /// The beginning of the path.
    pub(super) root: &'static str,
    /// The next step of the path, unless it is empty.
    pub(super) key: &'a str,
    pub(super) value: &'a T,
}

impl<T: Serialize + ?Sized> Serialize for Checked<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let trace = Trace::default();
        self.value.serialize(Checking { inner: serializer, trace: &trace }).map_err(|error| {
            let mut path = self.root.to_owned();
            if !self.key.is_empty() {
                path.push('.');
                path.push_str(self.key);
            }
            path.extend(trace.segments.take().into_iter().rev());
            S::Error::custom(format_args!("{path}: {error}"))
        })
    }
}

/// The current position while writing.
#[derive(Default)]
struct Trace {
    levels: Cell<usize>,
    /// The path from an error back to the root. Empty until there is an error.
    segments: RefCell<Vec<String>>,
}

impl Trace {
    fn enter<E: ser::Error>(&self, levels: usize) -> Result<(), E> {
        let now = self.levels.get() + levels;
        if now > MOST_LEVELS {
            return Err(E::custom(format_args!("expected at most {MOST_LEVELS} levels, which is what a reader takes")));
        }
        self.levels.set(now);
        Ok(())
    }

    fn leave(&self, levels: usize) {
        self.levels.set(self.levels.get().saturating_sub(levels));
    }

    /// Adds a step to the path of an error.
    fn on<T, E>(&self, result: Result<T, E>, segment: impl FnOnce() -> String) -> Result<T, E> {
        if result.is_err() {
            self.segments.borrow_mut().push(segment());
        }
        result
    }
}

/// A part of a value that is being written.
struct Part<'a, T: ?Sized>(&'a T, &'a Trace);

impl<T: Serialize + ?Sized> Serialize for Part<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Checking { inner: serializer, trace: self.1 })
    }
}

/// The serializer in between.
struct Checking<'a, S> {
    inner: S,
    trace: &'a Trace,
}

impl<'a, S: Serializer> Checking<'a, S> {
    fn compound<C>(self, levels: usize, open: impl FnOnce(S) -> Result<C, S::Error>) -> Result<Open<'a, C>, S::Error> {
        let trace = self.trace;
        trace.enter(levels)?;
        Ok(Open { inner: open(self.inner)?, trace, levels, index: 0 })
    }
}

fn finite<F: Display, E: ser::Error>(float: F, is_finite: bool) -> Result<F, E> {
    if is_finite { Ok(float) } else { Err(E::custom(format_args!("{float} cannot be written as JSON"))) }
}

/// Methods that are passed through.
macro_rules! plain {
    ($($method:ident($($argument:ident: $type:ty),*))*) => {
        $(fn $method(self, $($argument: $type),*) -> Result<S::Ok, S::Error> {
            self.inner.$method($($argument),*)
        })*
    };
}

impl<'a, S: Serializer> Serializer for Checking<'a, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Open<'a, S::SerializeSeq>;
    type SerializeTuple = Open<'a, S::SerializeTuple>;
    type SerializeTupleStruct = Open<'a, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Open<'a, S::SerializeTupleVariant>;
    type SerializeMap = Open<'a, S::SerializeMap>;
    type SerializeStruct = Open<'a, S::SerializeStruct>;
    type SerializeStructVariant = Open<'a, S::SerializeStructVariant>;

    plain! {
        serialize_bool(v: bool)
        serialize_i8(v: i8) serialize_i16(v: i16) serialize_i32(v: i32) serialize_i64(v: i64) serialize_i128(v: i128)
        serialize_u8(v: u8) serialize_u16(v: u16) serialize_u32(v: u32) serialize_u64(v: u64) serialize_u128(v: u128)
        serialize_char(v: char) serialize_str(v: &str) serialize_bytes(v: &[u8])
        serialize_none() serialize_unit() serialize_unit_struct(name: &'static str)
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str)
    }

    fn serialize_f32(self, v: f32) -> Result<S::Ok, S::Error> {
        self.inner.serialize_f32(finite(v, v.is_finite())?)
    }

    fn serialize_f64(self, v: f64) -> Result<S::Ok, S::Error> {
        self.inner.serialize_f64(finite(v, v.is_finite())?)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.serialize_some(&Part(value, self.trace))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.serialize_newtype_struct(name, &Part(value, self.trace))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.trace.enter(1)?;
        let written = self.inner.serialize_newtype_variant(name, index, variant, &Part(value, self.trace));
        self.trace.leave(1);
        self.trace.on(written, || format!(".{variant}"))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.compound(1, |inner| inner.serialize_seq(len))
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.compound(1, |inner| inner.serialize_tuple(len))
    }

    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.compound(1, |inner| inner.serialize_tuple_struct(name, len))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        self.compound(2, |inner| inner.serialize_tuple_variant(name, index, variant, len))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        self.compound(1, |inner| inner.serialize_map(len))
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, S::Error> {
        self.compound(1, |inner| inner.serialize_struct(name, len))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.compound(2, |inner| inner.serialize_struct_variant(name, index, variant, len))
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// A list or an object that is being written.
struct Open<'a, C> {
    inner: C,
    trace: &'a Trace,
    levels: usize,
    index: usize,
}

impl<C> Open<'_, C> {
    fn close<T>(self, end: impl FnOnce(C) -> T) -> T {
        self.trace.leave(self.levels);
        end(self.inner)
    }
}

/// Compounds whose parts are identified by their position.
macro_rules! list {
    ($($kind:ident $method:ident)*) => {
        $(impl<C: ser::$kind> ser::$kind for Open<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                let written = self.inner.$method(&Part(value, self.trace));
                let index = self.index;
                self.index += 1;
                self.trace.on(written, || format!("[{index}]"))
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.close(C::end)
            }
        })*
    };
}

list! {
    SerializeSeq serialize_element
    SerializeTuple serialize_element
    SerializeTupleStruct serialize_field
    SerializeTupleVariant serialize_field
}

/// Compounds whose parts have a name.
macro_rules! object {
    ($($kind:ident)*) => {
        $(impl<C: ser::$kind> ser::$kind for Open<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), C::Error> {
                let written = self.inner.serialize_field(key, &Part(value, self.trace));
                self.trace.on(written, || format!(".{key}"))
            }

            fn skip_field(&mut self, key: &'static str) -> Result<(), C::Error> {
                self.inner.skip_field(key)
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.close(C::end)
            }
        })*
    };
}

object! { SerializeStruct SerializeStructVariant }

impl<C: ser::SerializeMap> ser::SerializeMap for Open<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    /// serde_json itself refuses a key that is not a text.
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        self.inner.serialize_key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.inner.serialize_value(&Part(value, self.trace))
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), C::Error> {
        let written = self.inner.serialize_entry(key, &Part(value, self.trace));
        self.trace.on(written, || match serde_json::to_value(key) {
            Ok(serde_json::Value::String(key)) => format!(".{}", limited_to(key, 100)),
            Ok(serde_json::Value::Number(key)) => format!(".{key}"),
            // The key itself cannot be written.
            _ => String::new(),
        })
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.close(C::end)
    }
}
