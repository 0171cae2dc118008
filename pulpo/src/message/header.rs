//! The header: what routing and flow control read, and what producers add.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{When, time};

/// How urgent a message is: 0 first, 4294967295 last, 65536 by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Priority(u32);

impl Priority {
    /// 0: before all others.
    pub const MOST_URGENT: Self = Self(0);
    /// 65536: what a message has that says nothing else.
    pub const DEFAULT: Self = Self(65_536);
    /// 4294967295: after all others.
    pub const LEAST_URGENT: Self = Self(u32::MAX);

    /// This priority.
    #[must_use]
    pub const fn new(priority: u32) -> Self {
        Self(priority)
    }

    /// As a number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u32> for Priority {
    fn from(priority: u32) -> Self {
        Self(priority)
    }
}

impl From<i64> for Priority {
    /// A negative number is 0; one above the range is the least urgent.
    fn from(priority: i64) -> Self {
        Self(u32::try_from(priority.max(0)).unwrap_or(u32::MAX))
    }
}

impl From<i32> for Priority {
    /// A negative number is 0.
    fn from(priority: i32) -> Self {
        i64::from(priority).into()
    }
}

/// What a message says beside its body.
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
    pub(crate) extra: Map<String, Value>,
}

impl Header {
    /// The keys that mean something to pulpo itself.
    pub(crate) const OWN_KEYS: [&str; 5] = ["request_type", "priority", "delay", "expiration", "attempts"];

    /// Which job is asked for.
    #[must_use]
    pub fn request_type(&self) -> &str {
        &self.request_type
    }

    /// How urgent: the default where the message does not say.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.priority.unwrap_or_default()
    }

    /// The time before which the job does not start, if there is one. `None`
    /// also for a delay by duration that has not been published yet.
    #[must_use]
    pub fn delay(&self) -> Option<DateTime<Utc>> {
        absolute(self.delay)
    }

    /// The time after which the job does not start, if there is one. `None`
    /// also for one by duration that has not been published yet.
    #[must_use]
    pub fn expiration(&self) -> Option<DateTime<Utc>> {
        absolute(self.expiration)
    }

    /// How many runs of the job have failed so far.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// A header that the producer added.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.extra.get(key)
    }

    /// The trace that the message belongs to, if its producer has said one in
    /// the form of W3C's Trace Context.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.get(TRACEPARENT)?.as_str().filter(|text| is_traceparent(text))
    }

    /// Takes over the trace of the job that this message follows from, unless
    /// it has one of its own.
    pub(crate) fn follow(&mut self, before: &Self) {
        if self.extra.contains_key(TRACEPARENT) || before.traceparent().is_none() {
            return;
        }
        for key in [TRACEPARENT, TRACESTATE] {
            if let Some(value) = before.extra.get(key) {
                self.extra.insert(key.to_owned(), value.clone());
            }
        }
    }

    /// All headers that the producer added.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.extra.iter().map(|(key, value)| (key.as_str(), value))
    }
}

/// The names of W3C's Trace Context.
pub(super) const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// `version-trace-parent-flags`; a later version may add more behind.
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
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("request_type", &self.request_type)?;
        if let Some(priority) = self.priority {
            map.serialize_entry("priority", &priority)?;
        }
        if let Some(delay) = self.delay() {
            map.serialize_entry("delay", &time::write(delay))?;
        }
        if let Some(expiration) = self.expiration() {
            map.serialize_entry("expiration", &time::write(expiration))?;
        }
        map.serialize_entry("attempts", &self.attempts)?;
        for (key, value) in &self.extra {
            if !Self::OWN_KEYS.contains(&key.as_str()) {
                map.serialize_entry(key, value)?;
            }
        }
        map.end()
    }
}

/// Of its own only where the text has it escaped.
#[derive(Deserialize)]
#[serde(transparent)]
struct Key<'text>(#[serde(borrow)] Cow<'text, str>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with request_type")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                "request_type" => header.request_type = map.next_value::<Option<_>>()?.unwrap_or_default(),
                "priority" => header.priority = map.next_value::<Option<_>>()?,
                "delay" => header.delay = map.next_value::<Option<time::Written>>()?.map(|t| When::At(t.0)),
                "expiration" => {
                    header.expiration = map.next_value::<Option<time::Written>>()?.map(|t| When::At(t.0));
                }
                // Only the queue counts attempts: whatever a producer wrote
                // there must not keep its message from being read.
                "attempts" => {
                    let written = map.next_value::<Value>()?.as_u64().unwrap_or_default();
                    header.attempts = u32::try_from(written).unwrap_or(u32::MAX);
                }
                _ => drop(header.extra.insert(key.into_owned(), map.next_value()?)),
            }
        }
        Ok(header)
    }
}

impl<'de> Deserialize<'de> for Priority {
    /// Any JSON number: below the range 0, above it the least urgent, a
    /// fraction is cut off.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        if let Some(whole) = number.as_i64() {
            return Ok(whole.into());
        }
        match number.as_f64() {
            // `as` saturates at both ends, as wanted here.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
            Some(other) if !other.is_nan() => Ok(Self(other as u32)),
            _ => Err(D::Error::custom(format_args!("expected a priority from 0 to 4294967295, got {number}"))),
        }
    }
}
