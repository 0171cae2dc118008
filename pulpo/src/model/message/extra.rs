//! The header keys that pulpo does not use: kept and passed on as they were written.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::checked::Checked;

/// Keys and values in the order in which they were written, repeated keys
/// included.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Extra(Vec<Entry>);

#[derive(Clone, Debug)]
struct Entry {
    key: String,
    value: Value,
    /// The original text, only if `value` would be written differently: a number beyond 64 bits, a float with more
    /// digits, an object that repeats a key.
    written: Option<Box<RawValue>>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        let written = |entry: &'_ Self| entry.written.as_ref().map(|written| written.get().to_owned());
        self.key == other.key && self.value == other.value && written(self) == written(other)
    }
}

impl Extra {
    /// Replaces all values of this key by this one.
    pub(crate) fn set(&mut self, key: impl Into<String>, value: Value) {
        let key = key.into();
        self.0.retain(|entry| entry.key != key);
        self.0.push(Entry { key, value, written: None });
    }

    /// Adds a value that was read.
    pub(super) fn add(&mut self, key: String, written: &RawValue) {
        // A value that `Value` cannot hold, such as `1e400` or 200 levels, is shown as its text.
        let value =
            serde_json::from_str::<Value>(written.get()).unwrap_or_else(|_| Value::String(written.get().to_owned()));
        let again = value.to_string();
        self.0.push(Entry { key, value, written: (again != written.get()).then(|| written.to_owned()) });
    }

    /// Returns the value of this key; the last one, if it is repeated.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().rev().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Iterates over all keys and values, in the order in which they were written.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|entry| (entry.key.as_str(), &entry.value))
    }

    /// Iterates over the keys, each with its value for writing.
    pub(super) fn written(&self) -> impl Iterator<Item = (&str, Written<'_>)> {
        self.0.iter().map(|entry| {
            let key = entry.key.as_str();
            let written = match entry.written.as_deref() {
                Some(written) => Written::AsItWas(written),
                None => Written::Value(Checked { root: "header", key, value: &entry.value }),
            };
            (key, written)
        })
    }
}

/// The form in which a value is written.
pub(super) enum Written<'a> {
    Value(Checked<'a, Value>),
    AsItWas(&'a RawValue),
}

impl Serialize for Written<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => value.serialize(serializer),
            Self::AsItWas(written) => written.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(written: &[(&str, &str)]) -> Extra {
        let mut extra = Extra::default();
        for (key, written) in written {
            let written = RawValue::from_string((*written).to_owned()).expect("JSON");
            extra.add((*key).to_owned(), &written);
        }
        extra
    }

    #[test]
    fn a_value_that_was_set_takes_the_place_of_all_of_its_key() {
        let mut extra = read(&[("a", "1"), ("b", "2"), ("a", "3")]);
        assert_eq!(extra.get("a"), Some(&Value::from(3)));
        assert_eq!(extra.iter().count(), 3);
        extra.set("a", Value::from(4));
        assert_eq!(extra.iter().collect::<Vec<_>>(), [("b", &Value::from(2)), ("a", &Value::from(4))]);
    }

    #[test]
    fn json_that_no_value_holds_is_shown_as_its_text_and_written_unchanged() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for written in ["1e400", r#""\ud800""#, deep.as_str()] {
            let extra = read(&[("a", written)]);
            assert_eq!(extra.get("a"), Some(&Value::from(written)));
            let all: Vec<_> = extra.written().map(|(_, value)| serde_json::to_string(&value).expect("JSON")).collect();
            assert_eq!(all, [written]);
        }
    }
}
