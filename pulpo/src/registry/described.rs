//! A job as other versions of its program see it: its names, its body and its unique key.

use serde_json::value::RawValue;

use crate::decode::{Probe, probe};
use crate::guard;
use crate::job::Job;
use crate::message::{MessageError, WireBody};
use crate::shape::Shape;

/// A job of this program, with a handler or without.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DescribedJob {
    pub(crate) request_type: &'static str,
    pub(crate) aliases: &'static [&'static str],
    /// The fields in its unique key, if it is unique; empty for the whole body.
    pub(crate) unique: Option<&'static str>,
    pub(crate) probe: Probe,
    unique_values: fn(WireBody<'_>) -> Option<Box<RawValue>>,
}

impl DescribedJob {
    pub(super) fn of<J: Job>() -> Self {
        Self {
            request_type: J::REQUEST_TYPE,
            aliases: J::ALIASES,
            unique: J::KEYS.unique_fields(),
            probe: probe::<J>,
            unique_values: |body| J::KEYS.unique_values(&body.decode::<J>().ok()?),
        }
    }

    /// Traces the shape of its body, with the help of bodies that it reads.
    pub(crate) fn shape(&self, bodies: &[serde_json::Value]) -> Shape {
        Shape::traced_with(self.probe, bodies)
    }

    /// Returns the values in the unique key of a message with this body; `None` if the body does not fit.
    pub(crate) fn unique_values(&self, body: &str) -> Option<Box<RawValue>> {
        guard::catch_quietly(|| (self.unique_values)(WireBody::as_written(body))).ok().flatten()
    }

    /// Checks that a body fits.
    ///
    /// # Errors
    /// The path of the field that does not fit, or that the type panicked.
    pub(crate) fn check(&self, body: &str) -> Result<(), MessageError> {
        checked(self.probe, WireBody::unmarked(Some(body)))
    }
}

/// Checks that a body fits, also for a type that panics.
pub(super) fn checked(probe: Probe, body: WireBody<'_>) -> Result<(), MessageError> {
    guarded("its `Deserialize` panicked", || body.probe(probe))
}

/// Runs the code of a body's type. If that panics, the body does not fit.
pub(super) fn guarded<R>(panicked: &str, run: impl FnOnce() -> Result<R, MessageError>) -> Result<R, MessageError> {
    let panicked = |_| {
        let source = serde::de::Error::custom(panicked);
        Err(MessageError::Body { path: "body".to_owned(), source })
    };
    guard::catch_quietly(run).unwrap_or_else(panicked)
}
