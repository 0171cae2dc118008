//! Messages and their form on the wire.
//!
//! A message is an id, a header and a body. On the wire it is JSON, so that a
//! producer in any language can write one. pulpo writes strictly (RFC 3339 UTC
//! times, a body that is an object, nothing that cannot be read again) and
//! reads leniently, since others write too: `docs/messages.md` lists the forms.
//! This module knows nothing of queues, handlers or the time of day.

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::keys::{OnDuplicate, Publication, Unique, UniqueFor};

mod checked;
#[cfg(any(feature = "file", feature = "postgres", feature = "cli"))]
mod edit;
mod error;
mod extra;
mod header;
mod id;
mod incoming;
mod members;
mod payload;
mod priority;
mod raw;
mod time;
mod when;
mod write;

#[cfg(feature = "cli")]
pub(crate) use edit::with_new_key;
#[cfg(any(feature = "file", feature = "postgres"))]
pub(crate) use edit::{HeaderEdit, without_delay};
pub use error::MessageError;
pub use header::Header;
use header::TRACEPARENT;
pub use id::MessageId;
pub(crate) use incoming::{Incoming, OwnedBody, WireBody};
pub(crate) use members::Members;
pub(crate) use payload::only_payload;
pub use priority::Priority;
pub use when::When;
use write::WithBodyText;

/// The length in bytes of most headers, with what stands around the header and the body.
const USUAL_HEADER: usize = 192;

/// A job request: an id (once it is in a queue), a header and a body.
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
    /// Creates a message with this body. It is due at once, and the job's
    /// policy provides everything else.
    pub fn new(body: B) -> Self {
        Self { id: None, header: Header::default(), body, unchecked: false, publication: Publication::New }
    }

    /// Overrides the priority of the job's policy: 0 is the most urgent,
    /// 4294967295 the least, and a negative number counts as 0.
    #[must_use]
    pub fn priority(mut self, priority: impl Into<Priority>) -> Self {
        self.header.priority = Some(priority.into());
        self
    }

    /// Delays the job: it starts no earlier than this duration or time.
    #[must_use]
    pub fn delay(mut self, delay: impl Into<When>) -> Self {
        self.header.delay = Some(delay.into());
        self
    }

    /// Sets an expiration: after this duration or time the job no longer
    /// starts, and the message is deleted without a run.
    #[must_use]
    pub fn expiration(mut self, expiration: impl Into<When>) -> Self {
        self.header.expiration = Some(expiration.into());
        self
    }

    /// Adds a header of your own, which travels with the message to the
    /// handler. Names that pulpo uses (`request_type`, `priority`, `delay`,
    /// `expiration`, `attempts`, `unique_key`, `scheduled_for` and others) are
    /// refused at publication.
    #[must_use]
    pub fn header(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.header.extra.set(key, value.into());
        self
    }

    /// Overrides the unique key of the job: only one message of the request
    /// type can have it. A key of more than 200 bytes is replaced by its hash.
    #[must_use]
    pub fn unique_key(mut self, key: impl Into<String>) -> Self {
        self.header.unique.key = Some(Unique::new(key).key);
        self
    }

    /// Overrides how long the message keeps its unique key.
    #[must_use]
    pub fn unique_for(mut self, unique_for: UniqueFor) -> Self {
        self.header.unique.unique_for = Some(unique_for.to_string());
        self
    }

    /// Overrides what happens to the message if its unique key is taken.
    #[must_use]
    pub fn on_duplicate(mut self, on_duplicate: OnDuplicate) -> Self {
        self.header.unique.on_duplicate = Some(on_duplicate.to_string());
        self
    }

    /// Publishes the body without reading it back first.
    ///
    /// `publish` normally reads each body back, so that a body that no worker
    /// could read is an error where it is made. Skip this for a type whose
    /// `Deserialize` works only in the worker, for example because it decrypts
    /// with a key that the producer does not have.
    #[must_use]
    pub fn unchecked(mut self) -> Self {
        self.unchecked = true;
        self
    }

    /// Returns the id in the queue, once the message has been published.
    #[must_use]
    pub fn id(&self) -> Option<&MessageId> {
        self.id.as_ref()
    }

    /// Returns the effect of its publication. If its unique key was taken,
    /// [`id`](Self::id) is the id of the message that has the key. For a
    /// message that was not published or is not unique, this is
    /// [`Publication::New`].
    #[must_use]
    pub fn publication(&self) -> Publication {
        self.publication
    }

    /// Returns the header.
    #[must_use]
    pub fn headers(&self) -> &Header {
        &self.header
    }

    /// Returns the request type. It is empty until the message is published,
    /// because it comes from the job's type.
    #[must_use]
    pub fn request_type(&self) -> &str {
        &self.header.request_type
    }

    /// Returns the body.
    #[must_use]
    pub fn body(&self) -> &B {
        &self.body
    }

    /// Returns the body by value.
    #[must_use]
    pub fn into_body(self) -> B {
        self.body
    }

    /// Sets the trace that the message belongs to: the header `traceparent` of
    /// W3C's Trace Context, `00-<32 digits>-<16 digits>-<2 digits>`. It travels
    /// to the handler's [`Context`](crate::Context), to the follow-ups of the
    /// job, and to its logs.
    #[must_use]
    pub fn traceparent(self, traceparent: impl Into<String>) -> Self {
        self.header(TRACEPARENT, traceparent.into())
    }

    pub(crate) fn header_mut(&mut self) -> &mut Header {
        &mut self.header
    }

    /// Returns the wire form, with a body that has already been written.
    pub(crate) fn to_json_with(&self, body: &RawValue) -> Result<String, WriteError> {
        let message = WithBodyText { id: self.id.as_ref(), header: &self.header, body };
        // Enough for most headers, so that the text is not moved while it grows.
        let mut text = Vec::with_capacity(body.get().len() + USUAL_HEADER);
        serde_json::to_writer(&mut text, &message).map_err(WriteError::Encode)?;
        Ok(String::from_utf8(text).expect("serde_json writes UTF-8"))
    }

    /// Records that this message, or another one with its unique key, is
    /// published.
    pub(crate) fn set_published(&mut self, id: MessageId, publication: Publication) {
        self.id = Some(id);
        self.publication = publication;
    }
}

impl<B: Serialize> Message<B> {
    /// Returns the wire form. It omits a relative delay or expiration, which
    /// becomes a time only at publication.
    ///
    /// # Errors
    /// If the body cannot be written as JSON that can be read again: a map with
    /// keys that are not strings, a float that is NaN or infinite, more than
    /// 127 levels, or a `Serialize` that fails. The error says where.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Writes the body as JSON.
    pub(crate) fn write_body(&self) -> Result<Box<RawValue>, WriteError> {
        write::body(&self.body).map_err(WriteError::Encode)
    }
}

impl<B: Serialize + DeserializeOwned> Message<B> {
    /// Writes the body as JSON and reads it back as its type, unless the
    /// message is unchecked.
    ///
    /// A body's value decides whether it can be read: an integer of 128 bits in an untagged enum, two keys of one name
    /// through `flatten`, or a text that its type refuses cannot. So each body is read back, which takes less time than
    /// storing it.
    pub(crate) fn write_checked_body(&self) -> Result<Box<RawValue>, WriteError> {
        let body = self.write_body()?;
        if !self.unchecked {
            WireBody::as_written(body.get()).decode::<B>().map_err(WriteError::Unreadable)?;
        }
        Ok(body)
    }
}

/// Writes values as JSON that can be read again.
pub(crate) fn write_values<T: Serialize + ?Sized>(values: &T) -> Result<Box<RawValue>, serde_json::Error> {
    write::body(values)
}

/// Errors of writing a message.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// JSON cannot represent it.
    Encode(serde_json::Error),
    /// Its own type cannot read it.
    Unreadable(MessageError),
}

impl<B: Serialize> Serialize for Message<B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let body = write::body(&self.body).map_err(serde::ser::Error::custom)?;
        WithBodyText { id: self.id.as_ref(), header: &self.header, body: &body }.serialize(serializer)
    }
}

impl<B: DeserializeOwned> Message<B> {
    /// Reads the wire form, whatever its request type.
    pub(crate) fn read(incoming: Incoming<'_>) -> Result<Self, MessageError> {
        let body = incoming.body().decode()?;
        let header = Header { body_wrapped: None, ..incoming.header };
        Ok(Self { id: incoming.id, header, body, unchecked: false, publication: Publication::New })
    }
}

#[cfg(test)]
mod tests;
