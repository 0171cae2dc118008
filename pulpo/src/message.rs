//! The message: what a producer asks for, and its form on the wire.
//!
//! A message is an id, a header and a body. On the wire it is JSON, so that a
//! producer in any language can write one. What we write is strict (RFC 3339
//! UTC times, a body that is an object); what we read is lenient, since others
//! write it. This module knows nothing of queues, handlers or the time of day.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

mod header;
mod time;

use header::TRACEPARENT;
pub use header::{Header, Priority};

/// The key under which a body travels that is not a JSON object.
const PAYLOAD: &str = "payload";

/// What a queue calls a message: unique within that queue, set on enqueue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct MessageId(Cow<'static, str>);

impl MessageId {
    /// The id as text, the form that the command line takes.
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
    /// A string, or a number as other producers write it.
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

/// A moment, as a producer says it: so long from now, or at a time.
///
/// Made by `into()` from a [`Duration`], a [`chrono::TimeDelta`] (a negative
/// one is none), a [`DateTime`] of any zone or a [`SystemTime`]. "Now" is the
/// moment of publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum When {
    /// So long after the message is published.
    In(Duration),
    /// At this time.
    At(DateTime<Utc>),
}

impl When {
    /// The time that is meant, if the message is published at `now`; the end
    /// of the calendar if it is beyond that.
    pub(crate) fn from(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            When::At(at) => at,
            When::In(wait) => chrono::TimeDelta::from_std(wait)
                .ok()
                .and_then(|wait| now.checked_add_signed(wait))
                .unwrap_or(DateTime::<Utc>::MAX_UTC),
        }
    }
}

impl From<Duration> for When {
    fn from(wait: Duration) -> Self {
        When::In(wait)
    }
}

impl From<chrono::TimeDelta> for When {
    fn from(wait: chrono::TimeDelta) -> Self {
        When::In(wait.to_std().unwrap_or_default())
    }
}

impl<Tz: chrono::TimeZone> From<DateTime<Tz>> for When {
    fn from(at: DateTime<Tz>) -> Self {
        When::At(at.to_utc())
    }
}

impl From<SystemTime> for When {
    fn from(at: SystemTime) -> Self {
        When::At(at.into())
    }
}

/// A job request: an id (once a queue has it), a header and a body.
///
/// ```
/// use std::time::Duration;
/// use pulpo::Message;
///
/// let message = Message::new("hello")
///     .priority(10)
///     .delay(Duration::from_secs(60))
///     .header("source", "shop");
/// assert!(message.id().is_none()); // the queue gives it
/// assert_eq!(message.headers().get("source").unwrap(), "shop");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Message<B> {
    id: Option<MessageId>,
    header: Header,
    body: B,
}

impl<B> Message<B> {
    /// A message with this body and nothing else said: the defaults of the
    /// job's policy hold, and it may be processed at once.
    pub fn new(body: B) -> Self {
        Self { id: None, header: Header::default(), body }
    }

    /// Puts `priority` in place of the policy's: 0 is the most urgent, a
    /// negative number is 0, 4294967295 is the least.
    #[must_use]
    pub fn priority(mut self, priority: impl Into<Priority>) -> Self {
        self.header.priority = Some(priority.into());
        self
    }

    /// The job does not start before: after a duration, or at a time.
    #[must_use]
    pub fn delay(mut self, delay: impl Into<When>) -> Self {
        self.header.delay = Some(delay.into());
        self
    }

    /// The job does not start after: the message is then deleted unprocessed.
    #[must_use]
    pub fn expiration(mut self, expiration: impl Into<When>) -> Self {
        self.header.expiration = Some(expiration.into());
        self
    }

    /// Adds a header of your own, which travels with the message to the
    /// handler. The names that pulpo itself uses (`request_type`, `priority`,
    /// `delay`, `expiration`, `attempts`) are refused at publishing.
    #[must_use]
    pub fn header(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.header.extra.insert(key.into(), value.into());
        self
    }

    /// The queue's id: set once the message has been published.
    #[must_use]
    pub fn id(&self) -> Option<&MessageId> {
        self.id.as_ref()
    }

    /// All of the header.
    #[must_use]
    pub fn headers(&self) -> &Header {
        &self.header
    }

    /// The request type: empty until the message is published, as it comes
    /// from the job's type.
    #[must_use]
    pub fn request_type(&self) -> &str {
        &self.header.request_type
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &B {
        &self.body
    }

    /// The body alone.
    #[must_use]
    pub fn into_body(self) -> B {
        self.body
    }

    /// With the trace that it belongs to: the header `traceparent` as W3C's
    /// Trace Context writes it, `00-<32 digits>-<16 digits>-<2 digits>`. It
    /// travels to the handler's [`Context`](crate::Context), to what that
    /// publishes, and to the logs of the job.
    #[must_use]
    pub fn traceparent(self, traceparent: impl Into<String>) -> Self {
        self.header(TRACEPARENT, traceparent.into())
    }

    pub(crate) fn header_mut(&mut self) -> &mut Header {
        &mut self.header
    }

    pub(crate) fn set_id(&mut self, id: MessageId) {
        self.id = Some(id);
    }
}

impl<B: Serialize> Message<B> {
    /// The wire form. A relative delay or expiration has no wire form before
    /// publishing has made it a time, and is left out.
    ///
    /// # Errors
    /// When the body cannot be written as JSON: a map with keys that are not
    /// strings, or a `Serialize` that fails.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

impl<B: Serialize> Serialize for Message<B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let body = serde_json::value::to_raw_value(&self.body).map_err(serde::ser::Error::custom)?;
        let mut map = serializer.serialize_map(None)?;
        if let Some(id) = &self.id {
            map.serialize_entry("id", id)?;
        }
        map.serialize_entry("header", &self.header)?;
        if body.get().starts_with('{') {
            map.serialize_entry("body", &body)?;
        } else {
            map.serialize_entry("body", &std::collections::BTreeMap::from([(PAYLOAD, &body)]))?;
        }
        map.end()
    }
}

impl<B: DeserializeOwned> Message<B> {
    /// Reads the wire form.
    ///
    /// # Errors
    /// Says what is wrong with the text, the header or the body.
    pub fn from_json(text: &[u8]) -> Result<Self, MessageError> {
        let incoming = Incoming::read(text)?;
        let body = incoming.body()?;
        Ok(Self { id: incoming.id, header: incoming.header, body })
    }
}

/// A message of which the header is read and the body is not yet: which type
/// it must fit is known only by its request type.
#[derive(Debug, Deserialize)]
pub(crate) struct Incoming<'text> {
    #[serde(default)]
    pub(crate) id: Option<MessageId>,
    pub(crate) header: Header,
    #[serde(borrow, default)]
    body: Option<&'text RawValue>,
}

impl<'text> Incoming<'text> {
    pub(crate) fn read(text: &'text [u8]) -> Result<Self, MessageError> {
        let text = std::str::from_utf8(text).map_err(MessageError::NotUtf8)?;
        let incoming: Self = serde_json::from_str(text).map_err(|error| {
            // A second reading, only on this path, tells apart what is wrong.
            match serde_json::from_str::<Value>(text) {
                Err(error) => MessageError::NotJson(error),
                Ok(Value::Object(map)) if map.get("header").is_none_or(Value::is_null) => MessageError::NoRequestType,
                Ok(Value::Object(_)) => at_path(&mut serde_json::Deserializer::from_str(text)).map_or_else(
                    |(path, source)| MessageError::Header { path, source },
                    |()| MessageError::NotJson(error),
                ),
                Ok(other) => MessageError::NotAnObject(kind_of(&other)),
            }
        })?;
        if incoming.header.request_type.is_empty() {
            return Err(MessageError::NoRequestType);
        }
        Ok(incoming)
    }

    /// The body as it stands on the wire, if there is one.
    pub(crate) fn body_text(&self) -> Option<&'text str> {
        self.body.map(RawValue::get)
    }

    pub(crate) fn body<B: DeserializeOwned>(&self) -> Result<B, MessageError> {
        decode_body(self.body_text())
    }
}

/// Where in an envelope its reading fails, and why.
fn at_path<'de>(
    deserializer: &mut serde_json::Deserializer<serde_json::de::StrRead<'de>>,
) -> Result<(), (String, serde_json::Error)> {
    serde_path_to_error::deserialize::<_, Incoming<'de>>(deserializer)
        .map(drop)
        .map_err(|error| (error.path().to_string(), error.into_inner()))
}

/// Reads a body of type `B`.
///
/// A `B` that is not an object on the wire (a number, a string, a list, a
/// newtype of one) is read from `{"payload": …}`, where its producer put it.
pub(crate) fn decode_body<B: DeserializeOwned>(text: Option<&str>) -> Result<B, MessageError> {
    // All that is compiled for each type: one reading, with its path at hand.
    let mut body = None;
    read_body(text, &mut |text| {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let read = serde_path_to_error::deserialize(&mut deserializer);
        body = Some(read.map_err(|error| (error.path().to_string(), error.into_inner()))?);
        deserializer.end().map_err(|error| (".".to_owned(), error))
    })?;
    Ok(body.expect("a reading that went well left the body"))
}

/// Reads a text as a body; where it does not fit, and why.
type Reading<'a> = dyn FnMut(&str) -> Result<(), (String, serde_json::Error)> + 'a;

/// Which text to read as the body, and where that failed.
fn read_body(text: Option<&str>, read: &mut Reading<'_>) -> Result<(), MessageError> {
    let mut at = |root: &str, text: &str| {
        read(text).map_err(|(within, source)| {
            let path = match within.as_str() {
                "." => root.to_owned(),
                within if within.starts_with('[') => format!("{root}{within}"),
                within => format!("{root}.{within}"),
            };
            MessageError::Body { path, source }
        })
    };
    let Some(text) = text else {
        // No body at all serves a type without required content.
        return at("body", "{}").or_else(|error| at("body", "null").map_err(|_| error));
    };
    let Err(error) = at("body", text) else { return Ok(()) };
    let Some(payload) = only_payload(text) else { return Err(error) };
    at("body.payload", payload.get()).map_err(|inner| match error {
        // Which of the two was meant shows in how the first one failed: a
        // type that takes objects got into the object.
        MessageError::Body { path, source } if path != "body" || !expected_no_map(&source) => {
            MessageError::Body { path, source }
        }
        _ => inner,
    })
}

fn expected_no_map(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("invalid type: map")
}

/// The value of `payload`, if the text is an object with that key alone.
fn only_payload(text: &str) -> Option<&RawValue> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wrapped<'a> {
        #[serde(borrow)]
        payload: &'a RawValue,
    }
    serde_json::from_str::<Wrapped<'_>>(text).ok().map(|wrapped| wrapped.payload)
}

/// What JSON calls this value, for errors.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Why a text is not a message, or not one with the body that was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Not UTF-8, which JSON is.
    #[error("expected a message in JSON, got bytes that are not UTF-8: {0}")]
    NotUtf8(std::str::Utf8Error),
    /// Not JSON.
    #[error("expected a message in JSON, got text that is not: {0}")]
    NotJson(serde_json::Error),
    /// JSON, but not an object.
    #[error("expected a message with header and body, got {0}")]
    NotAnObject(&'static str),
    /// The one thing that a message must say is missing.
    #[error("expected the name of a job in header.request_type, got none")]
    NoRequestType,
    /// Something in the header cannot be read.
    #[error("{path}: {source}")]
    #[non_exhaustive]
    Header {
        /// Where, for instance `header.delay`.
        path: String,
        /// What is wrong there.
        source: serde_json::Error,
    },
    /// The body does not fit the type of its handler.
    #[error("{path}: {source}")]
    #[non_exhaustive]
    Body {
        /// The field, for instance `body.items[3].price`.
        path: String,
        /// What is wrong there.
        source: serde_json::Error,
    },
}

impl MessageError {
    /// The same without what the body says, for places that others read than
    /// those who may see it: serde's errors quote values. What is left of an
    /// error in a body is the path, with the names of its fields.
    pub(crate) fn without_values(&self) -> String {
        match self {
            Self::Body { path, source } => format!(
                "{path}: does not fit the type of its handler, at line {} column {}; `peek` tells why",
                source.line(),
                source.column()
            ),
            Self::NotJson(error) if error.is_data() => {
                format!("expected a message in JSON, got text that is not, at line {}; `peek` tells why", error.line())
            }
            other => other.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
