//! The error of a value that does not fit a type.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

/// The error of a value that does not fit a type, as serde_json would word it.
#[derive(Debug)]
pub(crate) struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    error: serde_json::Error,
    hint: Hint,
}

/// The details that a type gives when it refuses a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    Nothing,
    /// It needs this field.
    Missing(&'static str),
    /// It has these variants.
    Variants(&'static [&'static str]),
}

impl Error {
    fn new(error: serde_json::Error, hint: Hint) -> Self {
        Self(Box::new(Inner { error, hint }))
    }

    /// Creates the error that ends a reading early.
    #[cold]
    pub(crate) fn stopped() -> Self {
        de::Error::custom("the reading ended here")
    }

    pub(crate) fn hint(&self) -> Hint {
        self.0.hint
    }

    pub(crate) fn into_json(self) -> serde_json::Error {
        self.0.error
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.error.fmt(f)
    }
}

impl std::error::Error for Error {}

/// Uses the wording of serde_json.
impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(de::Error::custom(message), Hint::Nothing)
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(de::Error::invalid_type(unexpected, expected), Hint::Nothing)
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(de::Error::invalid_value(unexpected, expected), Hint::Nothing)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(de::Error::unknown_variant(variant, expected), Hint::Variants(expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(de::Error::missing_field(field), Hint::Missing(field))
    }
}
