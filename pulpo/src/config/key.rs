//! Every key that there is.

use std::fmt;

use crate::registry::nearest;

/// All keys, a table's with a dot; `*` is the name of a handler or a queue.
/// What they mean is told in `docs/configuration.md`, key by key.
pub(super) const KEYS: [&str; 35] = [
    "queue",
    "queue_adapter_type",
    "file_queue_adapter.base_path",
    "file_queue_adapter.enable_archive",
    "beanstalkd_queue_adapter.host",
    "beanstalkd_queue_adapter.port",
    "beanstalkd_queue_adapter.default_tube",
    "beanstalkd_queue_adapter.socket_timeout",
    "beanstalkd_queue_adapter.reserve_timeout",
    "concurrency",
    "sleep_duration",
    "shutdown_after_number_of_empty_iterations",
    "shutdown_grace",
    "max_abandoned_runs",
    "unknown_type_grace",
    "queues",
    "enable_banner",
    "banner_name",
    "banner_font",
    "enable_output_buffering",
    "log_format",
    "log_reasons",
    "listen",
    "queues.*.concurrency",
    "queues.*.enabled",
    "handlers.*.priority",
    "handlers.*.max_attempts",
    "handlers.*.backoff",
    "handlers.*.ttr",
    "handlers.*.timeout",
    "handlers.*.batch",
    "handlers.*.linger",
    "handlers.*.concurrency",
    // Known, to be refused with the reason.
    "handlers.*.queue",
    "handlers.*.alias",
];

/// Those that are refused with their reason.
const REFUSED: [&str; 2] = ["handlers.*.queue", "handlers.*.alias"];

/// A key as it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(Vec<String>);

impl Key {
    pub(super) fn root() -> Self {
        Self(Vec::new())
    }

    pub(super) fn child(&self, name: &str) -> Self {
        Self(self.0.iter().cloned().chain([name.to_owned()]).collect())
    }

    /// One that is written as a text, with dots. The name of a handler or a
    /// queue may have dots too.
    pub(super) fn dotted(text: &str) -> Self {
        let parts: Vec<_> = text.split('.').collect();
        Self(match parts.as_slice() {
            [table @ ("handlers" | "queues"), name @ .., last] if !name.is_empty() => {
                vec![(*table).to_owned(), name.join("."), (*last).to_owned()]
            }
            _ => parts.into_iter().map(str::to_owned).collect(),
        })
    }

    /// For whom it says something, and what.
    pub(super) fn of_named(&self, table: &str) -> Option<(&str, &str)> {
        match self.0.as_slice() {
            [of, name, what] if of == table => Some((name, what)),
            _ => None,
        }
    }

    /// The known key that it is.
    pub(super) fn known(&self) -> Option<&'static str> {
        KEYS.into_iter().find(|known| {
            let parts: Vec<_> = known.split('.').collect();
            parts.len() == self.0.len() && parts.iter().zip(&self.0).all(|(known, part)| *known == "*" || known == part)
        })
    }

    /// Whether it is one that cannot be configured.
    pub(super) fn is_refused(&self) -> bool {
        self.known().is_some_and(|known| REFUSED.contains(&known))
    }

    /// The known key that is most like it, with the name that it has.
    pub(super) fn nearest(&self) -> Option<String> {
        if let [table, name, what] = self.0.as_slice()
            && let Some(table) = nearest(table, ["handlers", "queues"])
        {
            let fields = settable().filter_map(|key| key.strip_prefix(table)?.strip_prefix(".*."));
            return nearest(what, fields).map(|what| Self(vec![table.into(), name.clone(), what.into()]).to_string());
        }
        nearest(&self.to_string(), settable().filter(|key| !key.contains('*'))).map(str::to_owned)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            let bare = part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
            let dot = if index > 0 { "." } else { "" };
            if bare { write!(f, "{dot}{part}")? } else { write!(f, "{dot}{part:?}")? }
        }
        Ok(())
    }
}

/// The keys that can be set.
pub(super) fn settable() -> impl Iterator<Item = &'static str> {
    KEYS.into_iter().filter(|key| !REFUSED.contains(key))
}

/// The same, for an error about one that is like none.
pub(super) fn all() -> String {
    settable().collect::<Vec<_>>().join(", ")
}
