//! Reads a message from any producer.

use std::fmt;

use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::header::{Header, Key, WithBody};
use super::payload::only_payload;
use super::{MessageError, MessageId};
use crate::decode::json::{self, Unfit};
use crate::decode::{self, Part, Probe};
use crate::shape::ShapeId;

/// A message with its header read and its body unread: only the request type shows which type the body must fit.
#[derive(Debug)]
pub(crate) struct Incoming<'text> {
    pub(crate) id: Option<MessageId>,
    pub(crate) header: Header,
    body: Option<&'text RawValue>,
}

impl<'text> Incoming<'text> {
    pub(crate) fn read(text: &'text [u8]) -> Result<Self, MessageError> {
        let text = std::str::from_utf8(text).map_err(MessageError::NotUtf8)?;
        // Some editors and languages write a byte order mark first.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let Envelope { id, header, body } = serde_json::from_str(text).map_err(|error| fault(text, error))?;
        let header = header.filter(|header| !header.request_type.is_empty()).ok_or(MessageError::NoRequestType)?;
        Ok(Self { id, header, body })
    }

    /// Writes the message with its changed header. The body stays as written, and the queue assigns the id.
    pub(crate) fn rewritten(&self) -> Result<String, serde_json::Error> {
        let Self { header, body, .. } = self;
        serde_json::to_string(&Rewritten { header, body: *body })
    }

    /// Returns the body, with details of how it is written.
    pub(crate) fn body(&self) -> WireBody<'text> {
        let Header { body_wrapped, shape, .. } = self.header;
        WireBody { text: self.body.map(RawValue::get), wrapped: body_wrapped, shape }
    }
}

/// The three parts of a message. All are optional, unknown members are left out, and the last one of a repeated key
/// counts.
#[derive(Default)]
struct Envelope<'text> {
    id: Option<MessageId>,
    header: Option<Header>,
    body: Option<&'text RawValue>,
}

impl<'de> Deserialize<'de> for Envelope<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadEnvelope)
    }
}

struct ReadEnvelope;

impl<'de> Visitor<'de> for ReadEnvelope {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with header and body")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'de>, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                "id" => envelope.id = MessageId::read(map.next_value()?),
                "header" => envelope.header = map.next_value()?,
                "body" => envelope.body = Some(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(envelope)
    }
}

struct Rewritten<'a> {
    header: &'a Header,
    body: Option<&'a RawValue>,
}

impl Serialize for Rewritten<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { header, body } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("header", &WithBody { header, body_wrapped: header.body_wrapped })?;
        if let Some(body) = body {
            map.serialize_entry("body", body)?;
        }
        map.end()
    }
}

/// Explains what is wrong with a text, by reading it again; only on this path.
fn fault(text: &str, error: serde_json::Error) -> MessageError {
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        return MessageError::NotJson(error);
    }
    match json::read(text, &mut |part| Envelope::deserialize(part).map(drop)) {
        Err(Unfit { path, error }) => match path.strip_prefix('.') {
            Some(path) => MessageError::Header { path: path.to_owned(), source: error },
            None => MessageError::NotAnObject(kind_of(text)),
        },
        Ok(()) => MessageError::NotJson(error),
    }
}

/// A body as it stands on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WireBody<'text> {
    /// The text; `None` if the message has no body.
    text: Option<&'text str>,
    /// Whether pulpo wrapped it in `{"payload": …}`; `None` if the message does not say.
    wrapped: Option<bool>,
    /// The shape of the producer's type; `None` if the message does not say.
    shape: Option<ShapeId>,
}

/// A wire body that owns its text.
#[derive(Clone, Debug)]
pub(crate) struct OwnedBody {
    text: Option<String>,
    wrapped: Option<bool>,
    shape: Option<ShapeId>,
}

impl OwnedBody {
    pub(crate) fn as_wire(&self) -> WireBody<'_> {
        WireBody { text: self.text.as_deref(), wrapped: self.wrapped, shape: self.shape }
    }
}

impl<'text> WireBody<'text> {
    pub(crate) fn to_owned(self) -> OwnedBody {
        OwnedBody { text: self.text.map(str::to_owned), wrapped: self.wrapped, shape: self.shape }
    }

    /// Creates a body without details of how it is written.
    pub(crate) fn unmarked(text: Option<&'text str>) -> Self {
        Self { text, wrapped: None, shape: None }
    }

    /// Creates a body that is written as its type writes it.
    pub(crate) fn as_written(text: &'text str) -> Self {
        Self { text: Some(text), wrapped: Some(false), shape: None }
    }

    /// Returns the shape of the producer's type, if the message gives it.
    pub(crate) fn shape(&self) -> Option<ShapeId> {
        self.shape
    }

    /// Returns the body as JSON, with its wrapping, if any.
    #[cfg(any(feature = "testing", feature = "conformance"))]
    pub(crate) fn text(&self) -> Option<&'text str> {
        self.text
    }

    /// Reads the body as a `B`.
    ///
    /// # Errors
    /// The path of the field that does not fit.
    pub(crate) fn decode<B: DeserializeOwned>(self) -> Result<B, MessageError> {
        let mut body = None;
        match self.read(&mut |part| match B::deserialize(part) {
            Ok(read) => {
                body = Some(read);
                Ok(())
            }
            Err(error) => Err(error),
        }) {
            Ok(()) => match body {
                Some(body) => Ok(body),
                None => unreachable!("a reading that went well left the body"),
            },
            Err(error) => Err(error),
        }
    }

    /// Checks whether the body can be read as the type of the probe.
    ///
    /// # Errors
    /// The path of the field that does not fit.
    pub(crate) fn probe(self, probe: Probe) -> Result<(), MessageError> {
        self.read(&mut |part| probe(part))
    }

    /// Finds the value that is the body, and reads it with `read`.
    fn read(self, read: &mut Reading<'_>) -> Result<(), MessageError> {
        let mut at = |root: &str, text: &str| {
            json::read(text, read)
                .map_err(|Unfit { path, error }| MessageError::Body { path: format!("{root}{path}"), source: error })
        };
        let Some(text) = self.text else {
            // A missing body serves a type without required content.
            return at("body", "{}").or_else(|error| at("body", "null").map_err(|_| error));
        };
        // The producer may have said whether the body is wrapped.
        let payload = (self.wrapped != Some(false)).then(|| only_payload(text)).flatten();
        if let (Some(true), Some(payload)) = (self.wrapped, payload) {
            return at("body.payload", payload);
        }
        let Err(error) = at("body", text) else { return Ok(()) };
        if text == "null" {
            return at("body", "{}");
        }
        let Some(payload) = payload else { return Err(error) };
        at("body.payload", payload).map_err(|inner| match error {
            // The failure of the first reading shows which form was meant: a type that takes objects got into the
            // object.
            MessageError::Body { path, source } if path != "body" || !expected_no_map(&source) => {
                MessageError::Body { path, source }
            }
            _ => inner,
        })
    }
}

/// Reads a value as a body.
type Reading<'a> = dyn FnMut(Part<'_, '_>) -> Result<(), decode::Error> + 'a;

fn expected_no_map(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("invalid type: map")
}

/// Returns JSON's name for the kind of this value, for errors.
fn kind_of(text: &str) -> &'static str {
    match text.trim_start().bytes().next() {
        Some(b'n') => "null",
        Some(b't' | b'f') => "a boolean",
        Some(b'"') => "a string",
        Some(b'[') => "an array",
        Some(b'{') => "an object",
        _ => "a number",
    }
}
