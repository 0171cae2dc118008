//! The message: what a producer asks for, and its form on the wire.
//!
//! A message is an id, a header and a body. On the wire it is JSON, so that a
//! producer in any language can write one. What we write is strict (RFC 3339
//! UTC times, a body that is an object, nothing that cannot be read again);
//! what we read is lenient, since others write it: `docs/messages.md` lists the
//! forms. This module knows nothing of queues, handlers or the time of day.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::keys::{OnDuplicate, Publication, Unique, UniqueFor};

mod error;
mod extra;
mod header;
mod id;
mod incoming;
mod priority;
mod raw;
mod time;
mod write;

pub use error::MessageError;
pub use header::Header;
use header::TRACEPARENT;
pub use id::MessageId;
#[cfg(feature = "cli")]
pub(crate) use incoming::only_payload;
pub(crate) use incoming::{Incoming, OwnedBody, WireBody};
pub use priority::Priority;
use write::WithBodyText;

/// The key under which a body travels that is not a JSON object.
const PAYLOAD: &str = "payload";

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
    unchecked: bool,
    publication: Publication,
}

impl<B> Message<B> {
    /// A message with this body and nothing else said: the defaults of the
    /// job's policy hold, and it may be processed at once.
    pub fn new(body: B) -> Self {
        Self { id: None, header: Header::default(), body, unchecked: false, publication: Publication::New }
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
    /// `delay`, `expiration`, `attempts`, `unique_key`, `scheduled_for` and
    /// others) are refused at publishing.
    #[must_use]
    pub fn header(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.header.extra.set(key, value.into());
        self
    }

    /// Puts this unique key in place of the job's: only one message of the
    /// request type has it. A key of more than 200 bytes becomes a hash of it.
    #[must_use]
    pub fn unique_key(mut self, key: impl Into<String>) -> Self {
        self.header.unique.key = Some(Unique::new(key).key);
        self
    }

    /// For how long the message keeps its unique key, in place of what its job
    /// says.
    #[must_use]
    pub fn unique_for(mut self, unique_for: UniqueFor) -> Self {
        self.header.unique.unique_for = Some(unique_for.to_string());
        self
    }

    /// What becomes of the message if its unique key is taken, in place of what
    /// its job says.
    #[must_use]
    pub fn on_duplicate(mut self, on_duplicate: OnDuplicate) -> Self {
        self.header.unique.on_duplicate = Some(on_duplicate.to_string());
        self
    }

    /// Publishes the body without reading it back first.
    ///
    /// What is published is read back, so that a body that no worker could
    /// read is an error where it is made. That cannot be done here for a type
    /// whose `Deserialize` works in the worker alone: one that decrypts with a
    /// key that the producer does not have.
    #[must_use]
    pub fn unchecked(mut self) -> Self {
        self.unchecked = true;
        self
    }

    /// The queue's id: set once the message has been published.
    #[must_use]
    pub fn id(&self) -> Option<&MessageId> {
        self.id.as_ref()
    }

    /// What its publication has done. If its unique key was taken,
    /// [`id`](Self::id) is that of the message that has it. A message that was
    /// not published, or that is not unique, is [`Publication::New`].
    #[must_use]
    pub fn publication(&self) -> Publication {
        self.publication
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

    /// The wire form, with a body that has been written already.
    pub(crate) fn to_json_with(&self, body: &RawValue) -> Result<String, WriteError> {
        let message = WithBodyText { id: self.id.as_ref(), header: &self.header, body };
        serde_json::to_string(&message).map_err(WriteError::Encode)
    }

    /// It is published, or one is that has its unique key.
    pub(crate) fn set_published(&mut self, id: MessageId, publication: Publication) {
        self.id = Some(id);
        self.publication = publication;
    }
}

impl<B: Serialize> Message<B> {
    /// The wire form. A relative delay or expiration has no wire form before
    /// publishing has made it a time, and is left out.
    ///
    /// # Errors
    /// When the body cannot be written as JSON that can be read again: a map
    /// with keys that are not strings, a float that is not a number or
    /// infinite, more than 127 levels, or a `Serialize` that fails. The error
    /// says where.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// The body as JSON.
    pub(crate) fn write_body(&self) -> Result<Box<RawValue>, WriteError> {
        write::body(&self.body).map_err(WriteError::Encode)
    }
}

impl<B: Serialize + DeserializeOwned> Message<B> {
    /// The body as JSON that its type has been read from again, unless the
    /// message says otherwise.
    ///
    /// Whether a body can be read depends on its value: an integer of 128 bits
    /// in an untagged enum, two keys of one name through `flatten`, a text that
    /// its type refuses. So each is read; that takes less time than the queue
    /// takes to keep it.
    pub(crate) fn write_checked_body(&self) -> Result<Box<RawValue>, WriteError> {
        let body = self.write_body()?;
        if !self.unchecked {
            WireBody::as_written(body.get()).decode::<B>().map_err(WriteError::Unreadable)?;
        }
        Ok(body)
    }
}

/// Some values as JSON that can be read again.
pub(crate) fn write_values<T: Serialize + ?Sized>(values: &T) -> Result<Box<RawValue>, serde_json::Error> {
    write::body(values)
}

/// Why a message cannot be written.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// There is no JSON for it.
    Encode(serde_json::Error),
    /// There is, and its type does not read it.
    Unreadable(MessageError),
}

impl<B: Serialize> Serialize for Message<B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let body = write::body(&self.body).map_err(serde::ser::Error::custom)?;
        WithBodyText { id: self.id.as_ref(), header: &self.header, body: &body }.serialize(serializer)
    }
}

impl<B: DeserializeOwned> Message<B> {
    /// Reads the wire form, whichever job it asks for.
    pub(crate) fn read(incoming: Incoming<'_>) -> Result<Self, MessageError> {
        let body = incoming.body().decode()?;
        let header = Header { body_wrapped: None, ..incoming.header };
        Ok(Self { id: incoming.id, header, body, unchecked: false, publication: Publication::New })
    }
}

#[cfg(test)]
mod tests;
