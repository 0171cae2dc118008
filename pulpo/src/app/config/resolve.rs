//! Turns the layers into the configuration: each key's value, checked.

use std::collections::BTreeMap;

use super::Config;
use super::backend::{Backend, Named, value_of};
use super::error::ConfigError;
use super::keys::{Keys, Row};
use super::layer::{Entry, Layers};
use super::origin::Origin;
use super::secrets::hidden;
use super::table::Of;
use crate::queue::backend::{Key, Value};

impl Config {
    pub(super) fn resolve(layers: &Layers, keys: &Keys) -> Result<Self, ConfigError> {
        let mut config = Self { backend: backend(layers, keys)?, warnings: layers.warnings.clone(), ..Self::default() };
        for entry in layers.iter() {
            config.read(entry, keys)?;
        }
        config.follow_backend();
        config.check_names(layers)?;
        config.check_spool(layers)?;
        Ok(config)
    }

    /// Applies one key; the queue has been read before.
    fn read(&mut self, entry: &Entry, keys: &Keys) -> Result<(), ConfigError> {
        let Some(of) = keys.find(&entry.key).and_then(Row::of) else { return Ok(()) };
        let name = || entry.key.of_named().map(|(_, name, _)| name.to_owned()).unwrap_or_default();
        match of {
            Of::Program { read, .. } => read(self, entry),
            Of::Queue { read } => {
                let queue = self.worker.queue_options.entry(name()).or_default();
                note(&mut queue.origin, entry);
                read(queue, entry)
            }
            Of::Handler { read } => {
                let handler = self.worker.handlers.entry(name()).or_default();
                note(&mut handler.origin, entry);
                read(handler, entry)
            }
            Of::Backend { .. } | Of::Attribute => Ok(()),
        }
    }

    /// Checks that the spool is not the queue itself.
    fn check_spool(&self, layers: &Layers) -> Result<(), ConfigError> {
        let folder = self.spool.as_ref().and_then(Backend::spool_folder);
        match layers.get("spool") {
            Some(entry) if folder.is_some() && folder == self.backend.spool_folder() => {
                Err(entry.refuse("a folder other than that of the queue"))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the queue accepts the names of the queues to serve.
    fn check_names(&self, layers: &Layers) -> Result<(), ConfigError> {
        let Some(entry) = layers.get("queues") else { return Ok(()) };
        let problem = |queue: &String| Some((hidden(queue), self.backend.queue_name_problem(queue)?));
        self.worker.queues.iter().find_map(problem).map_or(Ok(()), |(queue, problem)| {
            Err(entry.refuse(format!("names of {}s, not {queue:?} ({problem})", self.backend.queue_noun())))
        })
    }
}

fn note(origin: &mut String, entry: &Entry) {
    if origin.is_empty() {
        *origin = entry.origin.to_string();
    }
}

/// Reads the queue from its short form or its long one, with the additions from the tables. The short form overrides
/// the tables.
fn backend(layers: &Layers, keys: &Keys) -> Result<Backend, ConfigError> {
    // The tables of other adapters are checked too.
    let mut tables: BTreeMap<(&str, &str), Value> = BTreeMap::new();
    for row in keys.iter() {
        if let Row::Adapter { name, factory, key } = row
            && let Some(value) = layers.read(name, |entry| value_of(key, entry))?
        {
            tables.insert((factory.table(), key.name()), value);
        }
    }
    let long = layers.read("queue_adapter_type", |entry| {
        let named = Named::by_table(&keys.registered, &entry.text()?);
        named.ok_or_else(|| entry.refuse(keys.registered.tables()))
    })?;
    let short = short_form(layers, keys)?;
    let origin = layers.get("queue").map_or(Origin::Default, |entry| entry.origin.clone());
    let named = short.or(long).unwrap_or_else(|| Named::default(&keys.registered));
    let table = named.table();
    let mut backend = Backend::with(named, &origin, |key: &'static Key| tables.remove(&(table, key.name())))?;
    backend.make_absolute()?;
    Ok(backend)
}

/// Reads the key `queue`.
pub(super) fn short_form(layers: &Layers, keys: &Keys) -> Result<Option<Named>, ConfigError> {
    layers.read("queue", |entry| Named::parse(&entry.raw()?, &keys.registered).map_err(|refused| refused.of(entry)))
}
