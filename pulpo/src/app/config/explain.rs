//! Returns the effective value of each key, and where it comes from.

use super::Config;
use super::backend::Named;
use super::error::ConfigError;
use super::keys::{Keys, Row};
use super::layer::{Layers, Written};
use super::origin::{Origin, Setting};
use super::resolve::short_form;
use super::secrets::masked;
use super::table::Of;

impl Config {
    /// Returns all keys, in the order of the documentation; keys of single handlers and queues only if they are set.
    pub(super) fn settings(&self, layers: &Layers, keys: &Keys) -> Result<Vec<Setting>, ConfigError> {
        let short = short_form(layers, keys)?;
        let general = keys.iter().filter_map(|row| {
            Some(Setting {
                key: row.name().to_owned(),
                value: masked(&self.value(row, layers)?),
                default: row.default(),
                meaning: row.doc(),
                origin: self.origin(row, layers, short.as_ref(), keys),
            })
        });
        // Keys of single handlers and queues, and keys of absent adapters.
        let is_listed = |row: &Row| !matches!(row.of(), Some(Of::Queue { .. } | Of::Handler { .. } | Of::Attribute));
        let others = layers.iter().filter(|entry| !keys.find(&entry.key).is_some_and(is_listed));
        let others = others.map(|entry| Setting {
            key: entry.key.to_string(),
            value: masked(&as_written(&entry.written)),
            default: keys.find(&entry.key).map(Row::default).unwrap_or_default(),
            meaning: keys.find(&entry.key).map(Row::doc).unwrap_or_default(),
            origin: entry.origin.clone(),
        });
        Ok(general.chain(others).collect())
    }

    /// Returns the value of a key; `None` if it is a key of single handlers or queues. For the adapter in use, this is
    /// the effective value; for another one, the value as written.
    fn value(&self, row: &Row, layers: &Layers) -> Option<String> {
        match row {
            Row::Own(_) => match row.of()? {
                Of::Backend { show } | Of::Program { show, .. } => Some(show(self)),
                Of::Queue { .. } | Of::Handler { .. } | Of::Attribute => None,
            },
            Row::Adapter { name, factory, key } => {
                let is_used = factory.table() == self.backend.table();
                let value = if is_used {
                    self.backend.setting(key.name()).map(ToString::to_string)
                } else {
                    let default = || Some(key.default().to_owned()).filter(|default| !default.is_empty());
                    layers.get(name).map(|entry| as_written(&entry.written)).or_else(default)
                };
                Some(match value {
                    Some(_) if key.is_secret() => "***".to_owned(),
                    Some(value) => value,
                    None => "none".to_owned(),
                })
            }
        }
    }

    /// Returns the place of a key. A key that the short form of the queue sets comes from there, and not from the
    /// tables.
    fn origin(&self, row: &Row, layers: &Layers, short: Option<&Named>, keys: &Keys) -> Origin {
        let of = |key: &str| layers.get(key).map(|entry| entry.origin.clone());
        let said_in_short = match row {
            Row::Own(_) => row.name() == "queue_adapter_type" && short.is_some(),
            Row::Adapter { factory, key, .. } => short.is_some_and(|short| short.says(factory.table(), key.name())),
        };
        let short = if said_in_short { of("queue") } else { None };
        // Without the short form, the first key of the adapter determines the place.
        let long = || {
            let used =
                |row: &&Row| matches!(row, Row::Adapter { factory, .. } if factory.table() == self.backend.table());
            let first = keys.iter().find(used).and_then(|row| of(row.name()));
            if row.name() == "queue" { first.or_else(|| of("queue_adapter_type")) } else { None }
        };
        short.or_else(|| of(row.name())).or_else(long).unwrap_or(Origin::Default)
    }
}

fn as_written(written: &Written) -> String {
    match written {
        Written::Text(text) | Written::Other(text) => text.clone(),
        Written::NotText(text) => text.to_string_lossy().into_owned(),
        Written::Whole(number) => number.to_string(),
        Written::Fraction(number) => number.to_string(),
        Written::Flag(flag) => flag.to_string(),
        Written::List(values) => values.iter().map(as_written).collect::<Vec<_>>().join(","),
    }
}

#[cfg(test)]
mod tests;
