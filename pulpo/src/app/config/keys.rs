//! All keys that this program has: those of the table, and those of the linked adapters.

use super::error::ConfigError;
use super::key::KeyPath;
use super::table::{FIRST, Key, LAST, Of};
use crate::queue::backend::{self, Factory, Registered, absent_table};
use crate::registry::nearest;

/// One row of the table.
pub(super) enum Row {
    /// One of pulpo's own keys.
    Own(&'static Key),
    /// A key of a linked adapter.
    Adapter { name: String, factory: &'static dyn Factory, key: &'static backend::Key },
}

impl Row {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Own(key) => key.name,
            Self::Adapter { name, .. } => name,
        }
    }

    /// Returns the object of one of pulpo's own keys.
    pub(super) fn of(&self) -> Option<&'static Of> {
        match self {
            Self::Own(key) => Some(&key.of),
            Self::Adapter { .. } => None,
        }
    }

    /// Returns the default as it would be written, or in words.
    pub(super) fn default(&self) -> &'static str {
        match self {
            Self::Own(key) => key.default,
            Self::Adapter { key, .. } if key.default().is_empty() => "none",
            Self::Adapter { key, .. } => key.default(),
        }
    }

    /// Returns its meaning, as Markdown.
    pub(super) fn doc(&self) -> &'static str {
        match self {
            Self::Own(key) => key.doc,
            Self::Adapter { key, .. } => key.doc(),
        }
    }

    pub(super) fn is_settable(&self) -> bool {
        !matches!(self.of(), Some(Of::Attribute))
    }
}

/// All keys, including those of the linked adapters, in the order of the documentation.
pub(super) struct Keys {
    pub(super) registered: Registered,
    rows: Vec<Row>,
}

impl Keys {
    /// # Errors
    /// If two adapters of this program conflict.
    pub(super) fn collect() -> Result<Self, ConfigError> {
        let is_own = |table: &str| FIRST.iter().chain(LAST).any(|key| KeyPath::dotted(key.name).first() == table);
        let registered = Registered::collect()?.apart_from(is_own)?;
        let own = |keys: &'static [Key]| keys.iter().map(Row::Own);
        let of_adapter = |factory: &'static dyn Factory| {
            let row = move |key: &'static backend::Key| Row::Adapter {
                name: format!("{}.{}", factory.table(), key.name()),
                factory,
                key,
            };
            factory.keys().iter().map(row)
        };
        let rows = own(FIRST).chain(registered.factories().flat_map(of_adapter)).chain(own(LAST)).collect();
        Ok(Self { registered, rows })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter()
    }

    /// Returns the keys that can be set.
    pub(super) fn settable(&self) -> impl Iterator<Item = &Row> {
        self.iter().filter(|row| row.is_settable())
    }

    /// Returns the key with this name.
    pub(super) fn find(&self, written: &KeyPath) -> Option<&Row> {
        self.iter().find(|row| written.is(row.name()))
    }

    /// Returns whether it is a key, or is in the table of an adapter of pulpo that is not built into this program:
    /// another program with the same file may use it.
    pub(super) fn knows(&self, written: &KeyPath) -> bool {
        let table = written.first();
        self.find(written).is_some()
            || (absent_table(table).is_some() && self.registered.factories().all(|linked| linked.table() != table))
    }

    /// Returns the known key that is most similar to the written one, with the name of its handler or queue.
    pub(super) fn nearest(&self, written: &KeyPath) -> Option<String> {
        if let Some((table, name, what)) = written.of_named()
            && let Some(table) = nearest(table, ["handlers", "queues"])
        {
            let fields = self.settable().filter_map(|row| row.name().strip_prefix(table)?.strip_prefix(".*."));
            return nearest(what, fields).map(|what| KeyPath::root().child(table).child(name).child(what).to_string());
        }
        let general = self.settable().map(Row::name).filter(|key| !key.contains('*'));
        nearest(&written.to_string(), general).map(str::to_owned)
    }

    /// Returns all keys, for an error about one without a similar key.
    pub(super) fn all(&self) -> String {
        self.settable().map(Row::name).collect::<Vec<_>>().join(", ")
    }
}
