//! Keys of messages: unique keys, with how long they are taken and what happens
//! to duplicates, and the keys of limits.
//!
//! A key belongs to a request type. pulpo makes it from some fields of the
//! body, as canonical JSON after the version of this format; other producers
//! choose their own. This module knows nothing of messages or queues.
//!
//! # Invariants
//! Equal values have the same key in every program and in every version of
//! pulpo: whatever changes the text of a key changes [`FORMAT`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde_json::value::RawValue;

/// The version of the form that keys have.
const FORMAT: &str = "1:";

/// A longer key is replaced by its hash.
const LONGEST_KEY: usize = 200;

/// The unique key of a message, and its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unique {
    /// The key. Only one message of a request type can have it.
    pub key: String,
    /// How long this message keeps the key.
    pub unique_for: UniqueFor,
    /// How this message is treated if another one has the key.
    pub on_duplicate: OnDuplicate,
}

impl Unique {
    /// Creates a key that is taken until the job is finished; of two messages,
    /// the first is kept. A key of more than 200 bytes is replaced by its hash.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: bounded(key.into()), unique_for: UniqueFor::default(), on_duplicate: OnDuplicate::default() }
    }

    /// Sets how long the key is taken.
    #[must_use]
    pub fn unique_for(mut self, unique_for: UniqueFor) -> Self {
        self.unique_for = unique_for;
        self
    }

    /// Sets what happens to a duplicate.
    #[must_use]
    pub fn on_duplicate(mut self, on_duplicate: OnDuplicate) -> Self {
        self.on_duplicate = on_duplicate;
        self
    }

    /// Returns why these options cannot be combined, if so.
    #[must_use]
    pub fn problem(&self) -> Option<&'static str> {
        let replaces = self.on_duplicate == OnDuplicate::Replace && self.unique_for != UniqueFor::Waiting;
        replaces.then_some(
            "`on_duplicate` can be \"replace\" only where `unique_for` is \"waiting\": \
             a job that may have started cannot be replaced",
        )
    }
}

/// How long a message keeps its unique key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UniqueFor {
    /// Until the job is done, expired, deleted or buried.
    #[default]
    Unfinished,
    /// Until its run starts, so that one may run while another waits.
    Waiting,
    /// For this long after its publication, whatever happens to it.
    Time(Duration),
}

impl FromStr for UniqueFor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "unfinished" => Ok(Self::Unfinished),
            "waiting" => Ok(Self::Waiting),
            time => match humantime::parse_duration(time.trim()) {
                Ok(time) if !time.is_zero() => Ok(Self::Time(time)),
                _ => Err(format!("expected \"unfinished\", \"waiting\" or a time such as \"1h\", got {text:?}")),
            },
        }
    }
}

/// Writes the form of the attribute.
impl fmt::Display for UniqueFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfinished => f.write_str("unfinished"),
            Self::Waiting => f.write_str("waiting"),
            Self::Time(time) => humantime::format_duration(*time).fmt(f),
        }
    }
}

/// How a message is treated if its unique key is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDuplicate {
    /// The existing message stays as it is.
    #[default]
    Keep,
    /// The existing message gets the new body, header, priority and delay, and
    /// a fresh set of attempts; its id and place stay. Only with
    /// [`UniqueFor::Waiting`].
    Replace,
    /// The publication fails.
    Reject,
}

impl FromStr for OnDuplicate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "keep" => Ok(Self::Keep),
            "replace" => Ok(Self::Replace),
            "reject" => Ok(Self::Reject),
            _ => Err(format!("expected \"keep\", \"replace\" or \"reject\", got {text:?}")),
        }
    }
}

impl fmt::Display for OnDuplicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keep => "keep",
            Self::Replace => "replace",
            Self::Reject => "reject",
        })
    }
}

/// The result of a publication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Publication {
    /// A new message is in the queue.
    #[default]
    New,
    /// A message with the same unique key existed, and stays as it is.
    Kept,
    /// A message with the same unique key existed, and has the new content.
    Replaced,
}

impl Publication {
    /// Returns the name of the result.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Kept => "kept",
            Self::Replaced => "replaced",
        }
    }
}

impl fmt::Display for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The keys of a message for the limits of its handler. An empty key counts as none. A queue replaces a key of more
/// than 200 bytes, or with a line feed in it, by its hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitKeys {
    /// For a limit on starts.
    pub rate: Option<String>,
    /// For a limit on runs at the same time.
    pub running: Option<String>,
}

impl LimitKeys {
    /// Creates them from these keys.
    #[must_use]
    pub fn new(rate: Option<String>, running: Option<String>) -> Self {
        Self { rate, running }
    }

    /// Uses this key for both kinds of limits.
    #[must_use]
    pub fn of(key: impl Into<String>) -> Self {
        let key = key.into();
        Self { rate: Some(key.clone()), running: Some(key) }
    }

    /// Returns the key by which messages are held back together.
    #[must_use]
    pub fn hold_key(&self) -> Option<&str> {
        [&self.rate, &self.running].into_iter().flatten().map(String::as_str).find(|key| !key.is_empty())
    }

    /// The form in which queues keep a key and compare it: bounded, and without a line feed.
    #[cfg_attr(not(any(feature = "file", feature = "postgres")), allow(dead_code, reason = "for queues in databases"))]
    pub(crate) fn stored(key: &str) -> Cow<'_, str> {
        // PostgreSQL keeps no NUL.
        if key.len() <= LONGEST_KEY && !key.contains(['\n', '\0']) {
            return Cow::Borrowed(key);
        }
        Cow::Owned(hashed(key))
    }

    /// Joins both keys into one text, for a single column; `None` without any key.
    #[cfg_attr(not(any(feature = "file", feature = "postgres")), allow(dead_code, reason = "for queues in databases"))]
    pub(crate) fn joined(&self) -> Option<String> {
        self.hold_key()?;
        let [rate, running] = [&self.rate, &self.running].map(|key| Self::stored(key.as_deref().unwrap_or_default()));
        Some(format!("{rate}\n{running}"))
    }

    /// Splits a joined text into the two keys.
    #[cfg_attr(not(any(feature = "file", feature = "postgres")), allow(dead_code, reason = "for queues in databases"))]
    pub(crate) fn from_joined(joined: &str) -> Self {
        let (rate, running) = Self::split(joined);
        let key = |key: &str| (!key.is_empty()).then(|| key.to_owned());
        Self { rate: key(rate), running: key(running) }
    }

    /// Returns the key of the rate, and the key of the concurrency limit.
    #[cfg_attr(not(any(feature = "file", feature = "postgres")), allow(dead_code, reason = "for queues in databases"))]
    pub(crate) fn split(joined: &str) -> (&str, &str) {
        joined.split_once('\n').unwrap_or((joined, joined))
    }
}

/// Returns the key of these values, given as JSON.
pub(crate) fn key(values: &RawValue) -> String {
    let mut key = FORMAT.to_owned();
    canonical(values.get(), &mut key);
    bounded(key)
}

/// Shortens a key that is too long for an index.
fn bounded(key: String) -> String {
    if key.len() <= LONGEST_KEY { key } else { hashed(&key) }
}

fn hashed(key: &str) -> String {
    let hash = hmac_sha256::Hash::hash(key.as_bytes());
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{FORMAT}sha256:{hex}")
}

/// Writes the same JSON without spaces, the keys of each object in the order of their bytes. Numbers and strings stay
/// as they are written.
fn canonical(text: &str, out: &mut String) {
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = read(text);
            out.push('{');
            for (index, (name, value)) in members.into_iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                out.push_str(&serde_json::Value::from(name).to_string());
                out.push(':');
                canonical(value.get(), out);
            }
            out.push('}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = read(text);
            out.push('[');
            for (index, value) in items.into_iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                canonical(value.get(), out);
            }
            out.push(']');
        }
        _ => out.push_str(text),
    }
}

fn read<'text, T: serde::Deserialize<'text>>(text: &'text str) -> T {
    serde_json::from_str(text).expect("a raw value is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> String {
        key(&RawValue::from_string(json.to_owned()).expect("JSON"))
    }

    #[test]
    fn the_form_of_a_key_never_changes() {
        assert_eq!(of("[42]"), "1:[42]");
        assert_eq!(of(r#"[42, "Berlin"]"#), r#"1:[42,"Berlin"]"#);
        assert_eq!(of(r#"{"b": 1.50, "a": {"d": null, "c": [true]}}"#), r#"1:{"a":{"c":[true],"d":null},"b":1.50}"#);
        let long = format!("[{:?}]", "x".repeat(300));
        assert_eq!(of(&long), "1:sha256:d8783aeb02236efa6f1d8c2d9bcb6154244a41bd0f5033497a19916933b2d973");
    }

    #[test]
    fn equal_values_have_equal_keys_and_others_do_not() {
        assert_eq!(of(r#"{"a":1,"b":2}"#), of(r#"{ "b" : 2, "a" : 1 }"#));
        assert_ne!(of("[1,2]"), of("[2,1]"));
        assert_ne!(of(r#"["1"]"#), of("[1]"));
        assert_ne!(of(r#"["a","b"]"#), of(r#"["a\",\"b"]"#));
        // Digits that no float holds.
        assert_ne!(of("[340282366920938463463374607431768211455]"), of("[340282366920938463463374607431768211454]"));
    }

    #[test]
    fn a_key_fits_into_200_bytes() {
        let (longest, longer) = ("x".repeat(194), "x".repeat(195));
        assert_eq!(of(&format!("[{longest:?}]")).len(), 200);
        assert!(of(&format!("[{longer:?}]")).starts_with("1:sha256:"));
        assert_eq!(Unique::new("y".repeat(200)).key.len(), 200);
        let hashed = Unique::new("y".repeat(201)).key;
        assert!(hashed.starts_with("1:sha256:") && hashed != Unique::new("y".repeat(202)).key, "{hashed}");
    }

    #[test]
    fn any_two_limit_keys_are_kept_apart() {
        let of = |rate: &str, running: &str| LimitKeys::new(Some(rate.to_owned()), Some(running.to_owned())).joined();
        let long = "x".repeat(5000);
        let keys = ["a", "b", "a\nb", "a\n", "\nb", "\n", "a\0", "a\\n", &long, &long[1..]];
        let mut all = std::collections::BTreeSet::new();
        for rate in keys {
            for running in keys {
                let joined = of(rate, running).expect("there are keys");
                assert!(
                    joined.len() < 402 && joined.matches('\n').count() == 1 && !joined.contains('\0'),
                    "{joined:?}"
                );
                let split = LimitKeys::split(&joined);
                assert_eq!(split, (&*LimitKeys::stored(rate), &*LimitKeys::stored(running)));
                // It is the same after any number of queues.
                assert_eq!(LimitKeys::from_joined(&joined).joined().as_ref(), Some(&joined));
                assert!(all.insert(joined), "{rate:?} and {running:?}");
            }
        }
    }

    #[test]
    fn an_empty_limit_key_counts_as_none() {
        let of = |rate: Option<&str>, running: Option<&str>| {
            LimitKeys::new(rate.map(str::to_owned), running.map(str::to_owned))
        };
        assert_eq!(of(Some(""), None).joined(), None);
        assert_eq!(of(Some(""), Some("")).hold_key(), None);
        assert_eq!(of(Some(""), Some("a")).hold_key(), Some("a"));
        assert_eq!(of(Some(""), Some("a")).joined(), of(None, Some("a")).joined());
    }

    #[test]
    fn the_words_of_the_attribute_are_read_and_written() {
        for text in ["unfinished", "waiting", "1h", "1h 30m"] {
            assert_eq!(text.parse::<UniqueFor>().expect("known").to_string(), text);
        }
        for text in ["", "0s", "forever", "-1h", "1"] {
            assert!(text.parse::<UniqueFor>().is_err(), "{text}");
        }
        for text in ["keep", "replace", "reject"] {
            assert_eq!(text.parse::<OnDuplicate>().expect("known").to_string(), text);
        }
        assert!("drop".parse::<OnDuplicate>().is_err());
    }

    #[test]
    fn only_what_waits_can_be_replaced() {
        let replace = Unique::new("x").on_duplicate(OnDuplicate::Replace);
        assert!(replace.problem().is_some());
        assert!(replace.clone().unique_for(UniqueFor::Time(Duration::from_secs(1))).problem().is_some());
        assert_eq!(replace.unique_for(UniqueFor::Waiting).problem(), None);
    }
}
