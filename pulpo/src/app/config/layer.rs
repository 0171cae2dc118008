//! The layers: keys and values as they are written in a file, in the environment and on the command line, each with its
//! place.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use serde_json::value::RawValue;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::key::KeyPath;
use super::origin::Origin;
use super::warning::ConfigWarning;

/// A value as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Written {
    Text(String),
    /// An environment variable that is not text.
    NotText(OsString),
    Whole(i128),
    Fraction(f64),
    Flag(bool),
    List(Vec<Self>),
    /// Another type of value, such as a date, as written.
    Other(String),
}

/// One key of one layer.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: KeyPath,
    pub(super) written: Written,
    pub(super) origin: Origin,
}

/// The keys of all layers. Later ones replace earlier ones.
#[derive(Debug, Default)]
pub(super) struct Layers {
    entries: BTreeMap<KeyPath, Entry>,
    pub(super) warnings: Vec<ConfigWarning>,
}

impl Layers {
    pub(super) fn put(&mut self, entries: impl IntoIterator<Item = Entry>) {
        self.entries.extend(entries.into_iter().map(|entry| (entry.key.clone(), entry)));
    }

    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(&KeyPath::dotted(key))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }
}

/// Returns pairs of key and value, all from one place.
pub(super) fn pairs(pairs: &[(String, String)], origin: &Origin) -> Vec<Entry> {
    let entry = |(key, value): &(String, String)| Entry {
        key: KeyPath::dotted(key),
        written: Written::Text(value.clone()),
        origin: origin.clone(),
    };
    pairs.iter().map(entry).collect()
}

/// Reads the keys of a file, TOML or JSON by its extension.
pub(super) fn file(file: &Path) -> Result<Vec<Entry>, ConfigError> {
    let read: fn(&str, &Document<'_>) -> Result<Vec<Entry>, ConfigError> =
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => toml,
            Some("json") => json,
            _ => return Err(ConfigError::Format(file.to_owned())),
        };
    let unreadable = |source| ConfigError::Unreadable { file: file.to_owned(), source };
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    // Windows editors begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    read(text, &Document { file, text })
}

/// Finds the line of a position in a file.
struct Document<'a> {
    file: &'a Path,
    text: &'a str,
}

impl Document<'_> {
    fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }

    fn origin(&self, offset: usize) -> Origin {
        Origin::File { file: self.file.to_owned(), line: self.line(offset) }
    }

    fn wrong(&self, line: usize, message: impl Into<String>) -> ConfigError {
        ConfigError::Syntax { file: self.file.to_owned(), line, message: message.into() }
    }
}

fn toml(text: &str, document: &Document<'_>) -> Result<Vec<Entry>, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = document.line(error.span().map_or(0, |span| span.start));
        document.wrong(line, error.message())
    })?;
    let mut entries = Vec::new();
    toml_table(&KeyPath::root(), table.get_ref(), document, &mut entries);
    Ok(entries)
}

fn toml_table(above: &KeyPath, table: &DeTable<'_>, document: &Document<'_>, entries: &mut Vec<Entry>) {
    for (name, value) in table {
        let key = above.child(name.get_ref());
        match value.get_ref() {
            DeValue::Table(table) => toml_table(&key, table, document, entries),
            value => {
                let origin = document.origin(name.span().start);
                entries.push(Entry { key, written: toml_value(value), origin });
            }
        }
    }
}

fn toml_value(value: &DeValue<'_>) -> Written {
    match value {
        DeValue::String(text) => Written::Text(text.to_string()),
        DeValue::Boolean(flag) => Written::Flag(*flag),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Written::Whole(number),
            Err(_) => Written::Other(number.as_str().to_owned()),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Written::Fraction(number),
            Err(_) => Written::Other(number.as_str().to_owned()),
        },
        DeValue::Array(values) => Written::List(values.iter().map(|value| toml_value(value.get_ref())).collect()),
        DeValue::Datetime(time) => Written::Other(time.to_string()),
        DeValue::Table(_) => Written::Other("a table".to_owned()),
    }
}

fn json(text: &str, document: &Document<'_>) -> Result<Vec<Entry>, ConfigError> {
    // Parsed as a whole first, so that its parts are known to be valid.
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| {
        let text = error.to_string();
        // The line is reported before the message.
        let message = text.split(" at line ").next().unwrap_or_default().to_owned();
        document.wrong(error.line(), message)
    })?;
    let mut entries = Vec::new();
    if !whole.get().starts_with('{') {
        return Err(document.wrong(1, "expected an object"));
    }
    json_value(KeyPath::root(), whole, document, &mut entries);
    Ok(entries)
}

fn json_value(key: KeyPath, value: &RawValue, document: &Document<'_>, entries: &mut Vec<Entry>) {
    if let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(value.get()) {
        for (name, value) in members {
            json_value(key.child(&name), value, document, entries);
        }
        return;
    }
    // The raw text is part of the document, so its position is known.
    let offset = (value.get().as_ptr() as usize).saturating_sub(document.text.as_ptr() as usize);
    let written = serde_json::from_str(value.get()).map_or_else(|_| Written::Other(value.get().to_owned()), json_leaf);
    entries.push(Entry { key, written, origin: document.origin(offset) });
}

fn json_leaf(value: serde_json::Value) -> Written {
    use serde_json::Value;
    match value {
        Value::String(text) => Written::Text(text),
        Value::Bool(flag) => Written::Flag(flag),
        Value::Number(number) => match (number.as_i128(), number.as_f64()) {
            (Some(whole), _) => Written::Whole(whole),
            (None, Some(fraction)) => Written::Fraction(fraction),
            (None, None) => Written::Other(number.to_string()),
        },
        Value::Array(values) => Written::List(values.into_iter().map(json_leaf).collect()),
        Value::Null => Written::Other("null".to_owned()),
        Value::Object(_) => Written::Other("an object".to_owned()),
    }
}
