//! The header: routing, flow control, and the producer's own keys.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Local, Utc};
use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::extra::Extra;
use super::priority::Priority;
use super::raw::{number, text};
use super::time;
use super::when::When;
use crate::keys::{OnDuplicate, Unique, UniqueFor};
use crate::shape::ShapeId;

/// The header of a message: everything beside its body.
///
/// ```
/// let message = pulpo::Message::<serde_json::Value>::from_json(
///     br#"{"header": {"request_type": "echo", "priority": -3, "trace": "abc"}}"#,
/// )?;
/// let header = message.headers();
/// assert_eq!(header.request_type(), "echo");
/// assert_eq!(header.priority().get(), 0);
/// assert_eq!(header.get("trace").unwrap(), "abc");
/// # Ok::<(), pulpo::MessageError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header {
    pub(crate) request_type: String,
    pub(crate) priority: Option<Priority>,
    pub(crate) delay: Option<When>,
    pub(crate) expiration: Option<When>,
    pub(crate) attempts: u32,
    /// The unique key and its options, as written.
    pub(crate) unique: WrittenUnique,
    /// The shape of the producer's body type; `None` if not given.
    pub(crate) shape: Option<ShapeId>,
    /// The row of an outbox that it came from, if any.
    pub(crate) outbox_id: Option<String>,
    /// The occurrence of its schedule that the message is for.
    pub(crate) scheduled_for: Option<DateTime<Utc>>,
    /// Whether pulpo wrapped the body in `{"payload": …}`; `None` if the message does not say. Only read: when a
    /// message is written, the body decides.
    pub(crate) body_wrapped: Option<bool>,
    pub(crate) extra: Extra,
}

impl Header {
    /// The keys that pulpo itself uses.
    pub(crate) const OWN_KEYS: [&str; 12] = [
        "request_type",
        "priority",
        "delay",
        "expiration",
        "attempts",
        "scheduled_for",
        UNIQUE_KEY,
        UNIQUE_FOR,
        ON_DUPLICATE,
        "shape",
        "outbox_id",
        "body_wrapped",
    ];

    /// Those of them that a message has a method for.
    pub(crate) const CHOSEN_KEYS: [&str; 6] = ["priority", "delay", "expiration", UNIQUE_KEY, UNIQUE_FOR, ON_DUPLICATE];

    /// Returns the name of the job.
    #[must_use]
    pub fn request_type(&self) -> &str {
        &self.request_type
    }

    /// Returns the priority; the default if the message sets none.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.priority.unwrap_or_default()
    }

    /// Returns the time before which the job does not start, if any. `None`
    /// also for a relative delay that has not been published yet.
    #[must_use]
    pub fn delay(&self) -> Option<DateTime<Utc>> {
        absolute(self.delay)
    }

    /// Returns the time after which the job does not start, if any. `None` also
    /// for a relative expiration that has not been published yet.
    #[must_use]
    pub fn expiration(&self) -> Option<DateTime<Utc>> {
        absolute(self.expiration)
    }

    /// Returns its unique key, if any: the one of its job, or the one that its
    /// producer wrote.
    #[must_use]
    pub fn unique_key(&self) -> Option<&str> {
        self.unique.key.as_deref()
    }

    /// Returns how many runs of the job have failed so far.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns the time that a scheduled message is for; `None` if it was
    /// published in another way.
    #[must_use]
    pub fn scheduled_for(&self) -> Option<DateTime<Utc>> {
        self.scheduled_for
    }

    /// Returns a header that the producer added; if it is repeated, the last
    /// one.
    ///
    /// A message passes its headers on unchanged, to the last digit. A `Value`
    /// cannot hold all of that: here an integer beyond 64 bits becomes a float,
    /// and `1e400` a string.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.extra.get(key)
    }

    /// Returns the trace that the message belongs to, if its producer set one
    /// in the form of W3C's Trace Context.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.get(TRACEPARENT)?.as_str().filter(|text| is_traceparent(text))
    }

    /// Inherits the trace of the job that published this message, unless it has
    /// its own.
    pub(crate) fn follow(&mut self, before: &Self) {
        if self.extra.contains(TRACEPARENT) || before.traceparent().is_none() {
            return;
        }
        for key in [TRACEPARENT, TRACESTATE] {
            if let Some(value) = before.extra.get(key) {
                self.extra.set(key, value.clone());
            }
        }
    }

    /// Returns the row of an [outbox](crate::outbox) that the message came
    /// from, if any. It stays the same if the row is moved twice.
    #[must_use]
    pub fn outbox_id(&self) -> Option<&str> {
        self.outbox_id.as_deref()
    }

    /// Iterates over the headers that the producer added, in the order in which
    /// they are written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.extra.iter()
    }
}

const UNIQUE_KEY: &str = "unique_key";
const UNIQUE_FOR: &str = "unique_for";
const ON_DUPLICATE: &str = "on_duplicate";

/// The unique key and its options, as a producer in any language writes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WrittenUnique {
    pub(crate) key: Option<String>,
    pub(crate) unique_for: Option<String>,
    pub(crate) on_duplicate: Option<String>,
}

impl WrittenUnique {
    /// Reads the unique key and its options, with defaults from `otherwise`. `None` for a message without a key.
    ///
    /// # Errors
    /// The wrong key of the header, and the expected value.
    pub(crate) fn read(&self, otherwise: (UniqueFor, OnDuplicate)) -> Result<Option<Unique>, String> {
        let Some(key) = self.key.as_deref() else { return Ok(None) };
        let (unique_for, on_duplicate) = otherwise;
        let unique_for = parsed(UNIQUE_FOR, self.unique_for.as_deref())?.unwrap_or(unique_for);
        let on_duplicate = parsed(ON_DUPLICATE, self.on_duplicate.as_deref())?.unwrap_or(on_duplicate);
        if key.is_empty() {
            return Err(format!("`{UNIQUE_KEY}`: expected a key, got an empty string"));
        }
        let unique = Unique::new(key).unique_for(unique_for).on_duplicate(on_duplicate);
        unique.problem().map_or(Ok(Some(unique)), |problem| Err(problem.to_owned()))
    }
}

fn parsed<T: std::str::FromStr<Err = String>>(name: &str, written: Option<&str>) -> Result<Option<T>, String> {
    written.map(|text| text.parse().map_err(|error| format!("`{name}`: {error}"))).transpose()
}

/// Returns a text as it is, and any other value as JSON; `null` counts as missing.
fn unique_text(value: &RawValue) -> Option<String> {
    (value.get() != "null").then(|| text(value).map_or_else(|| value.get().to_owned(), Cow::into_owned))
}

/// The names of W3C's Trace Context.
pub(super) const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// Checks the form `version-trace-parent-flags`; a later version may append more.
fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let parts: Vec<_> = text.split('-').collect();
    let [version, trace, parent, flags, more @ ..] = parts.as_slice() else { return false };
    let lengths = [version.len(), trace.len(), parent.len(), flags.len()] == [2, 32, 16, 2];
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    lengths
        && [version, trace, parent, flags].into_iter().all(|part| hex(part))
        && !zero(trace)
        && !zero(parent)
        && *version != "ff"
        && (more.is_empty() || *version != "00")
        && text.len() <= 256
}

fn absolute(when: Option<When>) -> Option<DateTime<Utc>> {
    match when {
        Some(When::At(at)) => Some(at),
        _ => None,
    }
}

impl Serialize for Header {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WithBody { header: self, body_wrapped: None }.serialize(serializer)
    }
}

/// A header together with its body, because the header records how the body is written.
pub(super) struct WithBody<'a> {
    pub(super) header: &'a Header,
    pub(crate) body_wrapped: Option<bool>,
}

impl Serialize for WithBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { header, body_wrapped } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("request_type", &header.request_type)?;
        if let Some(priority) = header.priority {
            map.serialize_entry("priority", &priority)?;
        }
        if let Some(delay) = header.delay() {
            map.serialize_entry("delay", &time::write(delay))?;
        }
        if let Some(expiration) = header.expiration() {
            map.serialize_entry("expiration", &time::write(expiration))?;
        }
        map.serialize_entry("attempts", &header.attempts)?;
        if let Some(scheduled_for) = header.scheduled_for {
            map.serialize_entry("scheduled_for", &time::write(scheduled_for))?;
        }
        let WrittenUnique { key, unique_for, on_duplicate } = &header.unique;
        for (key, value) in [(UNIQUE_KEY, key), (UNIQUE_FOR, unique_for), (ON_DUPLICATE, on_duplicate)] {
            if let Some(value) = value {
                map.serialize_entry(key, value)?;
            }
        }
        if let Some(shape) = &header.shape {
            map.serialize_entry("shape", shape)?;
        }
        if let Some(outbox_id) = &header.outbox_id {
            map.serialize_entry("outbox_id", outbox_id)?;
        }
        if let Some(body_wrapped) = body_wrapped {
            map.serialize_entry("body_wrapped", body_wrapped)?;
        }
        for (key, value) in header.extra.written() {
            if !Header::OWN_KEYS.contains(&key) {
                map.serialize_entry(key, &value)?;
            }
        }
        map.end()
    }
}

/// A key, which owns its text only if the JSON has it escaped.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Key<'text>(#[serde(borrow)] pub(super) Cow<'text, str>);

impl<'de> Deserialize<'de> for Header {
    /// Reads from a JSON text only, since unknown values are kept as written.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadHeader)
    }
}

struct ReadHeader;

impl<'de> Visitor<'de> for ReadHeader {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with request_type")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                "request_type" => header.request_type = map.next_value::<Option<_>>()?.unwrap_or_default(),
                "priority" => header.priority = map.next_value_seed(As(Priority::read))?,
                "delay" => header.delay = map.next_value_seed(As(delay))?,
                "expiration" => header.expiration = map.next_value_seed(As(when))?,
                // Only the queue counts attempts, so a strange value from a producer must not make its message
                // unreadable.
                "attempts" => {
                    header.attempts = Priority::read(map.next_value()?).ok().flatten().map_or(0, Priority::get);
                }
                // It is information for the handler, and no reason not to run it.
                "scheduled_for" => {
                    header.scheduled_for = when(map.next_value()?).ok().flatten().and_then(|when| absolute(Some(when)))
                }
                // An unreadable value here matters only to the producer.
                UNIQUE_KEY => header.unique.key = unique_text(map.next_value()?),
                UNIQUE_FOR => header.unique.unique_for = unique_text(map.next_value()?),
                ON_DUPLICATE => header.unique.on_duplicate = unique_text(map.next_value()?),
                "shape" => header.shape = text(map.next_value()?).and_then(|text| text.parse().ok()),
                "outbox_id" => header.outbox_id = text(map.next_value()?).map(Cow::into_owned),
                "body_wrapped" => header.body_wrapped = map.next_value::<&RawValue>()?.get().parse().ok(),
                _ => header.extra.add(key.into_owned(), map.next_value()?),
            }
        }
        Ok(header)
    }
}

/// Reads a value that may be written in several ways, with this function.
struct As<T>(fn(&RawValue) -> Result<T, String>);

impl<'de, T> DeserializeSeed<'de> for As<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        (self.0)(Deserialize::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Reads a delay. Zero means no delay, both as a duration and as 1970.
fn delay(value: &RawValue) -> Result<Option<When>, String> {
    if number(value).is_some_and(|number| number.trim().parse() == Ok(0.0)) { Ok(None) } else { when(value) }
}

fn when(value: &RawValue) -> Result<Option<When>, String> {
    Ok(time::read_json(value, &Local)?.map(When::At))
}
