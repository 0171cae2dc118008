//! The id of a message in its queue.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::raw::{number, text};

/// The id of a message in its queue: unique within that queue, assigned when it
/// is enqueued.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct MessageId(Cow<'static, str>);

impl MessageId {
    /// Returns the id as text, the form that the command line takes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<String> for MessageId {
    fn from(id: String) -> Self {
        Self(Cow::Owned(id))
    }
}

impl From<&str> for MessageId {
    fn from(id: &str) -> Self {
        Self(Cow::Owned(id.to_owned()))
    }
}

impl From<u64> for MessageId {
    fn from(id: u64) -> Self {
        Self(Cow::Owned(id.to_string()))
    }
}

impl PartialEq<str> for MessageId {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for MessageId {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl<'de> Deserialize<'de> for MessageId {
    /// Reads a string, or a number, as some producers write it.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a string or a whole number")]
        enum Written {
            Text(String),
            Number(u64),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Text(text) => text.into(),
            Written::Number(number) => number.into(),
        })
    }
}

impl MessageId {
    /// Reads the id inside a message, which is only its producer's claim: a text or a number; anything else counts as
    /// missing.
    pub(super) fn read(value: &RawValue) -> Option<Self> {
        text(value).or_else(|| number(value)).map(|id| id.into_owned().into())
    }
}
