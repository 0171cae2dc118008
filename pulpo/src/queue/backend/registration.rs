//! The adapters that are linked into the program, collected by the linker.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Factory, Scheme};

/// An adapter that is linked into the program.
#[derive(Debug)]
pub struct Registration {
    factory: &'static dyn Factory,
    file: &'static str,
    line: u32,
}

inventory::collect!(Registration);

impl Registration {
    /// Creates the entry that `register_backend!` submits; reached through `__private`.
    pub(crate) const fn new(factory: &'static dyn Factory, file: &'static str, line: u32) -> Self {
        Self { factory, file, line }
    }

    fn described(&self) -> String {
        format!("`{}` ({}:{})", self.factory.table(), self.file, self.line)
    }
}

/// Errors in the registrations of a program's adapters. With one of them, no configuration can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// Two adapters register the same scheme.
    #[error("two queue adapters register the scheme `{scheme}:`, {first} and {second}: link only one of them")]
    #[non_exhaustive]
    Scheme {
        /// The scheme.
        scheme: String,
        /// The table and the source location of one adapter.
        first: String,
        /// The table and the source location of the other.
        second: String,
    },
    /// Two adapters have the same table in the configuration.
    #[error("two queue adapters have the table `[{table}]`, {first} and {second}: link only one of them")]
    #[non_exhaustive]
    Table {
        /// The table.
        table: String,
        /// The table and the source location of one adapter.
        first: String,
        /// The table and the source location of the other.
        second: String,
    },
    /// A name that no configuration can express.
    #[error(
        "the queue adapter {adapter} registers {name:?}: expected a lower-case name of letters, digits and `{signs}` \
         that begins with a letter"
    )]
    #[non_exhaustive]
    Name {
        /// The table and the source location of the adapter.
        adapter: String,
        /// The scheme, the table or the key.
        name: String,
        /// The characters that are allowed beside letters and digits.
        signs: &'static str,
    },
    /// A table with the name of one of pulpo's own keys.
    #[error("the queue adapter {adapter} has the table `[{table}]`, which is a key of pulpo: choose another name")]
    #[non_exhaustive]
    Reserved {
        /// The table and the source location of the adapter.
        adapter: String,
        /// The table.
        table: String,
    },
}

/// The adapters that this program has registered.
#[derive(Clone, Debug)]
pub(crate) struct Registered(Arc<[&'static dyn Factory]>);

impl Registered {
    /// Collects all linked adapters: pulpo's own first, the others by the name of their table.
    ///
    /// # Errors
    /// If two of them cannot be told apart, or one has an invalid name.
    pub(crate) fn collect() -> Result<Self, RegistrationError> {
        Self::of(inventory::iter::<Registration>())
    }

    fn of(all: impl IntoIterator<Item = &'static Registration>) -> Result<Self, RegistrationError> {
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by_key(|it| (rank(it.factory), it.factory.table(), it.file, it.line));
        let (mut schemes, mut tables) = (HashMap::new(), HashMap::new());
        for registration in &all {
            let adapter = || registration.described();
            let refused =
                |name: &str, signs| RegistrationError::Name { adapter: adapter(), name: name.to_owned(), signs };
            let table = registration.factory.table();
            let names = registration.factory.keys().iter().map(|key| key.name()).chain([table]);
            if let Some(name) = names.into_iter().find(|name| !is_name(name, "_")) {
                return Err(refused(name, "_"));
            }
            if let Some(first) = tables.insert(table, *registration) {
                let (first, second) = (first.described(), adapter());
                return Err(RegistrationError::Table { table: table.to_owned(), first, second });
            }
            for scheme in registration.factory.schemes() {
                if !is_name(scheme.name(), "+-.") {
                    return Err(refused(scheme.name(), "+-."));
                }
                if let Some(first) = schemes.insert(scheme.name(), *registration) {
                    let (first, second) = (first.described(), adapter());
                    return Err(RegistrationError::Scheme { scheme: scheme.name().to_owned(), first, second });
                }
            }
        }
        Ok(Self(all.into_iter().map(|registration| registration.factory).collect()))
    }

    /// Refuses a table with the name of one of pulpo's own keys.
    pub(crate) fn apart_from(self, own: impl Fn(&str) -> bool) -> Result<Self, RegistrationError> {
        let taken = inventory::iter::<Registration>().find(|registration| own(registration.factory.table()));
        taken.map_or(Ok(self), |registration| {
            let (adapter, table) = (registration.described(), registration.factory.table().to_owned());
            Err(RegistrationError::Reserved { adapter, table })
        })
    }

    pub(crate) fn factories(&self) -> impl Iterator<Item = &'static dyn Factory> {
        self.0.iter().copied()
    }

    /// Returns the factory that the key `queue_adapter_type` means: by its table, also in the form `FileQueueAdapter`.
    pub(crate) fn by_table(&self, name: &str) -> Option<&'static dyn Factory> {
        self.factories().find(|factory| factory.table() == name || camel(factory.table()) == name)
    }

    /// Returns the factory of a scheme.
    pub(crate) fn by_scheme(&self, name: &str) -> Option<(&'static dyn Factory, &'static Scheme)> {
        self.schemes().into_iter().find(|(_, scheme)| scheme.name() == name)
    }

    /// Returns all schemes, in the order of the documentation.
    pub(crate) fn schemes(&self) -> Vec<(&'static dyn Factory, &'static Scheme)> {
        let mut all: Vec<_> = self
            .factories()
            .flat_map(|factory| factory.schemes().iter().map(move |scheme| (factory, scheme)))
            .collect();
        all.sort_by_key(|(_, scheme)| OURS.iter().position(|ours| ours.scheme == scheme.name).unwrap_or(OURS.len()));
        all
    }

    /// Lists the forms of queue URLs: `file:FOLDER, memory: or line:NAME`.
    pub(crate) fn forms(&self) -> String {
        listed(self.schemes().into_iter().map(|(_, scheme)| scheme.form().to_owned()))
    }

    /// Lists the names that the key `queue_adapter_type` accepts.
    pub(crate) fn tables(&self) -> String {
        listed(self.factories().map(|factory| factory.table().to_owned()))
    }
}

/// Formats a list: `a, b or c`.
fn listed(words: impl Iterator<Item = String>) -> String {
    let mut words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    match (words.pop(), words.is_empty()) {
        (None, _) => "that of a linked adapter, but none is linked".to_owned(),
        (Some(only), true) => only,
        (Some(last), false) => format!("{} or {last}", words.join(", ")),
    }
}

fn camel(table: &str) -> String {
    let word = |word: &str| word.chars().take(1).map(|c| c.to_ascii_uppercase()).chain(word.chars().skip(1)).collect();
    table.split('_').map(word).collect::<Vec<String>>().concat()
}

/// Returns whether a name is valid. Two underscores are not, since they stand for a dot in the environment.
fn is_name(name: &str, signs: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.contains("__")
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || signs.contains(c))
}

fn rank(factory: &dyn Factory) -> usize {
    OURS.iter().position(|ours| ours.table == factory.table()).unwrap_or(OURS.len())
}

/// One of pulpo's own adapters, which this program may have been built without.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Absent {
    pub(crate) scheme: &'static str,
    pub(crate) table: &'static str,
    /// Why it cannot be opened, with the feature that provides it.
    pub(crate) refusal: &'static str,
}

const WITHOUT_FILE: &str = "be opened: this program was built without pulpo's feature `file`";
const WITHOUT_BEANSTALKD: &str = "be opened: this program was built without pulpo's feature `beanstalkd`";

const WITHOUT_POSTGRES: &str = "be opened: this program was built without pulpo's feature `postgres`";

/// The schemes of pulpo's own adapters, in the order of the documentation. A new adapter of pulpo is added here too,
/// for programs that are built without it.
const OURS: [Absent; 5] = [
    Absent { scheme: "file", table: "file_queue_adapter", refusal: WITHOUT_FILE },
    Absent { scheme: "beanstalkd", table: "beanstalkd_queue_adapter", refusal: WITHOUT_BEANSTALKD },
    Absent { scheme: "memory", table: "file_queue_adapter", refusal: WITHOUT_FILE },
    Absent { scheme: "postgres", table: "postgres_queue_adapter", refusal: WITHOUT_POSTGRES },
    Absent { scheme: "postgresql", table: "postgres_queue_adapter", refusal: WITHOUT_POSTGRES },
];

/// Returns pulpo's own adapter with this scheme, linked or not.
pub(crate) fn absent_scheme(scheme: &str) -> Option<&'static Absent> {
    OURS.iter().find(|ours| ours.scheme == scheme)
}

/// Returns pulpo's own adapter with this table, linked or not.
pub(crate) fn absent_table(table: &str) -> Option<&'static Absent> {
    OURS.iter().find(|ours| ours.table == table)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::clock::Clock;
    use crate::queue::backend::{Address, Key, Purpose, Settings};
    use crate::queue::{QueueAdapter, QueueError};

    struct Fake {
        schemes: &'static [Scheme],
        table: &'static str,
        keys: &'static [Key],
    }

    impl Factory for Fake {
        fn schemes(&self) -> &'static [Scheme] {
            self.schemes
        }

        fn table(&self) -> &'static str {
            self.table
        }

        fn keys(&self) -> &'static [Key] {
            self.keys
        }

        fn read(&self, _: &Address<'_>) -> Result<Vec<(&'static str, OsString)>, String> {
            Ok(Vec::new())
        }

        fn write(&self, _: &Settings) -> OsString {
            OsString::new()
        }

        fn open(&self, _: &Settings, _: Purpose, _: Arc<dyn Clock>) -> Result<Arc<dyn QueueAdapter>, QueueError> {
            Err(QueueError::Unsupported("be opened"))
        }
    }

    const REDIS: &[Scheme] = &[Scheme::new("redis", "redis://HOST"), Scheme::new("rediss", "")];
    const LINE: &[Scheme] = &[Scheme::new("line", "line:FILE")];

    const fn fake(schemes: &'static [Scheme], table: &'static str) -> Fake {
        Fake { schemes, table, keys: &[] }
    }

    /// Collects these registrations, in this order.
    fn collected<const N: usize>(all: [&'static Registration; N]) -> Result<Registered, String> {
        Registered::of(all).map_err(|error| error.to_string())
    }

    #[test]
    fn the_order_of_linking_does_not_matter() {
        static ONE: Registration = Registration::new(&const { fake(REDIS, "redis_queue_adapter") }, "one.rs", 1);
        static TWO: Registration = Registration::new(&const { fake(LINE, "line_queue_adapter") }, "two.rs", 2);
        static OURS: Registration = {
            const FILE: &[Scheme] = &[Scheme::new("file", "file:FOLDER"), Scheme::new("memory", "memory:")];
            Registration::new(&const { fake(FILE, "file_queue_adapter") }, "ours.rs", 3)
        };
        for all in [[&ONE, &TWO, &OURS], [&OURS, &TWO, &ONE]] {
            let registered = collected(all).expect("no clash");
            assert_eq!(registered.forms(), "file:FOLDER, memory:, line:FILE or redis://HOST");
            assert_eq!(registered.tables(), "file_queue_adapter, line_queue_adapter or redis_queue_adapter");
            for name in ["line_queue_adapter", "LineQueueAdapter"] {
                let factory = registered.by_table(name).expect("by its table");
                assert_eq!(factory.table(), "line_queue_adapter");
            }
            assert_eq!(registered.by_scheme("rediss").map(|(it, _)| it.table()), Some("redis_queue_adapter"));
            assert!(registered.by_scheme("Line").is_none());
        }
    }

    #[test]
    fn two_adapters_of_one_scheme_or_table_are_refused() {
        static ONE: Registration = Registration::new(&const { fake(LINE, "one_adapter") }, "one.rs", 1);
        static TWO: Registration = Registration::new(&const { fake(LINE, "two_adapter") }, "two.rs", 2);
        static SAME: Registration = Registration::new(&const { fake(REDIS, "one_adapter") }, "same.rs", 3);
        assert_eq!(
            collected([&TWO, &ONE]).expect_err("a clash"),
            "two queue adapters register the scheme `line:`, `one_adapter` (one.rs:1) and `two_adapter` (two.rs:2): \
             link only one of them"
        );
        assert_eq!(
            collected([&SAME, &ONE]).expect_err("a clash"),
            "two queue adapters have the table `[one_adapter]`, `one_adapter` (one.rs:1) and `one_adapter` (same.rs:3): \
             link only one of them"
        );
        // An adapter that is registered twice, by calling the macro twice.
        assert!(collected([&ONE, &ONE]).is_err());
    }

    #[test]
    fn a_name_that_no_configuration_can_say_is_refused() {
        const UPPER: &[Scheme] = &[Scheme::new("Line", "Line:X")];
        const COLON: &[Scheme] = &[Scheme::new("line:", "line:X")];
        static SCHEMES: [Registration; 2] = [
            Registration::new(&const { fake(UPPER, "a") }, "a.rs", 1),
            Registration::new(&const { fake(COLON, "a") }, "a.rs", 1),
        ];
        static TABLES: [Registration; 3] = [
            Registration::new(&const { fake(LINE, "line-adapter") }, "a.rs", 1),
            Registration::new(&const { fake(LINE, "line__adapter") }, "a.rs", 1),
            Registration::new(
                &const { Fake { schemes: LINE, table: "line", keys: &[Key::flag("Loud", "false", "")] } },
                "a.rs",
                1,
            ),
        ];
        for (registration, name) in
            SCHEMES.iter().chain(&TABLES).zip(["Line", "line:", "line-adapter", "line__adapter", "Loud"])
        {
            let error = collected([registration]).expect_err("refused");
            assert!(error.contains(&format!("(a.rs:1) registers {name:?}: expected a lower-case name")), "{error}");
        }
    }
}
