//! Reads bodies as a type does, and interprets its refusals.

#[cfg(feature = "cli")]
use std::collections::BTreeSet;

#[cfg(feature = "cli")]
use serde_json::Value;

use super::node::MOST_PARTS;
#[cfg(feature = "cli")]
use super::text::written;
use crate::decode::{Probe, json as reader};
use crate::guard;

/// The reason why a body is not read.
pub(crate) struct Refused {
    /// The path, which begins with `body`.
    pub(crate) path: String,
    pub(crate) error: String,
    pub(super) panicked: bool,
}

/// Reads a body as the type of a probe. `first` are the keys that come first in objects.
#[cfg(feature = "cli")]
pub(crate) fn read(probe: Probe, body: &Value, first: &BTreeSet<String>) -> Result<(), Refused> {
    read_text(probe, &written(body, first))
}

/// Reads a body as the type of a probe.
pub(crate) fn read_text(probe: Probe, text: &str) -> Result<(), Refused> {
    let read = guard::catch_quietly(|| reader::read(text, &mut |part| probe(part)));
    match read {
        Ok(Ok(())) => Ok(()),
        Ok(Err(unfit)) => {
            let error = unfit.error.to_string();
            let error = error.rsplit_once(" at line ").map_or(error.as_str(), |(error, _)| error).to_owned();
            Err(Refused { path: format!("body{}", unfit.path), error, panicked: false })
        }
        Err(_) => {
            Err(Refused { path: "body".to_owned(), error: "its `Deserialize` panicked".to_owned(), panicked: true })
        }
    }
}

/// Finds a name in serde's error text, after these words.
pub(crate) fn named<'e>(error: &'e str, words: &str) -> Option<&'e str> {
    error.strip_prefix(words)?.strip_prefix(" `")?.split('`').next()
}

/// Returns the length that a type expects, as its error tells: the last number there.
pub(super) fn expected_length(error: &str) -> Option<usize> {
    let (_, expected) = error.split_once(", expected ")?;
    let number = expected.rsplit(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())?;
    number.parse().ok().filter(|len| *len <= MOST_PARTS)
}
