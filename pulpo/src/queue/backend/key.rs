//! The keys of an adapter's table: name, kind, default and meaning.

use std::ops::RangeInclusive;
use std::time::Duration;

/// The kind of value of a [`Key`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A string.
    Text,
    /// A path, which need not be text, and is made absolute.
    Path,
    /// `true` or `false`.
    Flag,
    /// A whole number in this range.
    Whole(RangeInclusive<u64>),
    /// A duration in this range: a string such as `"1h 30m"`, or seconds.
    Duration(RangeInclusive<Duration>),
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// Checks a text; the error says what is expected.
type Check = fn(&str) -> Result<(), String>;

/// One key of an adapter's table: `base_path` in `[file_queue_adapter]`.
#[derive(Clone, Debug)]
pub struct Key {
    name: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
    check: Option<Check>,
    is_secret: bool,
}

impl Key {
    const fn new(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Self {
        Self { name, kind, default, doc, check: None, is_secret: false }
    }

    /// Creates a key for a string. Each constructor takes the name, the default as written in a file (empty: not set),
    /// and the meaning of the key, for the documentation.
    #[must_use]
    pub const fn text(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self::new(name, Kind::Text, default, doc)
    }

    /// Creates a key for a path.
    #[must_use]
    pub const fn path(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self::new(name, Kind::Path, default, doc)
    }

    /// Creates a key for `true` or `false`.
    #[must_use]
    pub const fn flag(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self::new(name, Kind::Flag, default, doc)
    }

    /// Creates a key for a whole number in this range.
    #[must_use]
    pub const fn whole(
        name: &'static str,
        default: &'static str,
        range: RangeInclusive<u64>,
        doc: &'static str,
    ) -> Self {
        Self::new(name, Kind::Whole(range), default, doc)
    }

    /// Creates a key for a duration in this range.
    #[must_use]
    pub const fn duration(
        name: &'static str,
        default: &'static str,
        range: RangeInclusive<Duration>,
        doc: &'static str,
    ) -> Self {
        Self::new(name, Kind::Duration(range), default, doc)
    }

    /// Creates a key for one of these words.
    #[must_use]
    pub const fn choice(
        name: &'static str,
        default: &'static str,
        words: &'static [&'static str],
        doc: &'static str,
    ) -> Self {
        Self::new(name, Kind::Choice(words), default, doc)
    }

    /// Adds a check of the text. Its error says what is expected: "the name of a tube".
    #[must_use]
    pub const fn check(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }

    /// Keeps the value out of all output for people. Passwords within URLs are left out even without it.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }

    /// Returns the name, without the table.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the kind of its value.
    #[must_use]
    pub const fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Returns the default as written in a file, or an empty text for a key without a default.
    #[must_use]
    pub const fn default(&self) -> &'static str {
        self.default
    }

    /// Returns the meaning, for the documentation.
    #[must_use]
    pub const fn doc(&self) -> &'static str {
        self.doc
    }

    pub(crate) const fn checks(&self) -> Option<Check> {
        self.check
    }

    pub(crate) const fn is_secret(&self) -> bool {
        self.is_secret
    }
}
