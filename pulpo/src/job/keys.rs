//! The keys of a job: the values of its body by which its messages are told apart.

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::keys::{self, LimitKeys};
use crate::message::{MessageError, WireBody, write_values};

/// Takes the unique key, and the keys of limits, from a body.
#[doc(hidden)]
pub struct Keys<J> {
    unique: Option<UniqueKey<J>>,
    rate: Option<Values<J>>,
    limit: Option<Values<J>>,
}

/// Takes the unique key from a body.
struct UniqueKey<J> {
    /// The fields, as the program names them; empty for the whole body.
    fields: &'static str,
    values: Values<J>,
}

impl<J> Clone for UniqueKey<J> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<J> Copy for UniqueKey<J> {}

/// Writes some values of a body as JSON.
pub(super) type Values<J> = fn(&J) -> Result<Box<RawValue>, serde_json::Error>;

impl<J> Keys<J> {
    /// No keys.
    pub const NONE: Self = Self { unique: None, rate: None, limit: None };

    /// Uses the values of these fields as the unique key.
    #[must_use]
    pub const fn unique(mut self, fields: &'static str, values: Values<J>) -> Self {
        self.unique = Some(UniqueKey { fields, values });
        self
    }

    /// Uses these values as the key of `rate_by`.
    #[must_use]
    pub const fn rate(mut self, values: Values<J>) -> Self {
        self.rate = Some(values);
        self
    }

    /// Uses these values as the key of `limit_by`.
    #[must_use]
    pub const fn limit(mut self, values: Values<J>) -> Self {
        self.limit = Some(values);
        self
    }

    /// Returns the fields in the unique key, if the job is unique; empty for the whole body.
    pub(crate) const fn unique_fields(&self) -> Option<&'static str> {
        match self.unique {
            Some(UniqueKey { fields, .. }) => Some(fields),
            None => None,
        }
    }

    /// Returns the values in the unique key of a body.
    #[cfg(feature = "cli")]
    pub(crate) fn unique_values(&self, body: &J) -> Option<Box<RawValue>> {
        (self.unique?.values)(body).ok()
    }

    /// Returns whether the job has limits by key.
    pub(crate) const fn has_limits(&self) -> bool {
        self.rate.is_some() || self.limit.is_some()
    }

    /// Returns whether the job has any keys.
    pub(crate) const fn is_any(&self) -> bool {
        self.unique.is_some() || self.rate.is_some() || self.limit.is_some()
    }

    /// Returns the keys of this body.
    pub(crate) fn of(&self, body: &J) -> Result<MessageKeys, serde_json::Error> {
        let key = |values: Option<Values<J>>| values.map(|values| Ok(keys::key(&values(body)?))).transpose();
        let limits = LimitKeys::new(key(self.rate)?, key(self.limit)?);
        Ok(MessageKeys { unique: key(self.unique.map(|unique| unique.values))?, limits })
    }
}

impl<J> Clone for Keys<J> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<J> Copy for Keys<J> {}

impl<J> fmt::Debug for Keys<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

/// Takes the keys of a message from its body.
pub(crate) type KeysOf = fn(WireBody<'_>) -> Result<MessageKeys, MessageError>;

/// The keys of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MessageKeys {
    pub(crate) unique: Option<String>,
    pub(crate) limits: LimitKeys,
}

/// Writes values as JSON that can be read again.
pub(crate) fn values<T: Serialize + ?Sized>(values: &T) -> Result<Box<RawValue>, serde_json::Error> {
    write_values(values)
}
