//! The name of a key in a file, in the environment or on the command line.

use std::fmt;

/// The path to a value: `concurrency`, `handlers.send_email.ttr`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyPath(Vec<String>);

impl KeyPath {
    pub(super) fn root() -> Self {
        Self(Vec::new())
    }

    pub(super) fn child(&self, name: &str) -> Self {
        Self(self.0.iter().cloned().chain([name.to_owned()]).collect())
    }

    /// Parses a key written with dots. The name of a handler or a queue may also contain dots.
    pub(super) fn dotted(text: &str) -> Self {
        let parts: Vec<_> = text.split('.').collect();
        Self(match parts.as_slice() {
            [table @ ("handlers" | "queues"), name @ .., last] if !name.is_empty() => {
                vec![(*table).to_owned(), name.join("."), (*last).to_owned()]
            }
            _ => parts.into_iter().map(str::to_owned).collect(),
        })
    }

    /// Returns its table, or its only part.
    pub(super) fn first(&self) -> &str {
        self.0.first().map(String::as_str).unwrap_or_default()
    }

    /// Returns the table, the name of a handler or a queue, and the key of that.
    pub(super) fn of_named(&self) -> Option<(&str, &str, &str)> {
        match self.0.as_slice() {
            [table, name, what] => Some((table, name, what)),
            _ => None,
        }
    }

    /// Returns whether it is this key, in which `*` stands for any name.
    pub(super) fn is(&self, known: &str) -> bool {
        let parts: Vec<_> = known.split('.').collect();
        parts.len() == self.0.len() && parts.iter().zip(&self.0).all(|(known, part)| *known == "*" || known == part)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            let bare = part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
            let dot = if index > 0 { "." } else { "" };
            if bare { write!(f, "{dot}{part}")? } else { write!(f, "{dot}{part:?}")? }
        }
        Ok(())
    }
}
