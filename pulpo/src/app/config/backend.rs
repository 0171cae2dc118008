//! The queue as a URL: `file:./pulpo-data`, `beanstalkd://host:11300/tube`, or `scheme:…` of any linked adapter.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use super::error::{ConfigError, ParseBackendError, Refusal, got};
use super::key::KeyPath;
use super::layer::{Entry, Written};
use super::origin::Origin;
use super::secrets::masked;
use super::value::absolute;
use crate::clock::Clock;
use crate::process::paths;
#[cfg(feature = "cli")]
use crate::queue::Capabilities;
#[cfg(feature = "cli")]
use crate::queue::backend::Migration;
use crate::queue::backend::{
    Absent, Address, Factory, Key, Kind, Purpose, Registered, RegistrationError, Settings, Value, absent_scheme,
    absent_table,
};
use crate::queue::{DEFAULT_QUEUE, QueueAdapter, QueueError};
use crate::registry::nearest;

/// The queue that a configuration names: an adapter and its settings.
///
/// It is parsed from a URL whose scheme an adapter has registered ([`queue::backend`](crate::queue::backend)), and
/// displayed as one, without passwords.
///
/// ```
/// use pulpo::config::Backend;
///
/// let backend: Backend = "beanstalkd://queue.example/shop".parse()?;
/// assert_eq!(backend.to_string(), "beanstalkd://queue.example:11300/shop");
/// assert_eq!(backend.setting("port").map(ToString::to_string).as_deref(), Some("11300"));
/// # Ok::<(), pulpo::config::ParseBackendError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Backend(Inner);

#[derive(Clone)]
enum Inner {
    Linked {
        factory: &'static dyn Factory,
        settings: Settings,
    },
    /// An adapter of pulpo that is not built into this program.
    Absent {
        absent: &'static Absent,
        rest: OsString,
    },
    /// The adapters of this program conflict.
    Refused(RegistrationError),
}

impl PartialEq for Inner {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Linked { factory, settings }, Self::Linked { factory: other, settings: others }) => {
                factory.table() == other.table() && settings == others
            }
            (Self::Absent { absent, rest }, Self::Absent { absent: other, rest: others }) => {
                absent == other && rest == others
            }
            (Self::Refused(error), Self::Refused(other)) => error == other,
            _ => false,
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linked { settings, .. } => write!(f, "{settings:?}"),
            Self::Absent { absent, .. } => write!(f, "{absent:?}"),
            Self::Refused(error) => write!(f, "{error:?}"),
        }
    }
}

impl Backend {
    /// Returns the scheme of its URL.
    #[must_use]
    pub fn scheme(&self) -> &str {
        match &self.0 {
            Inner::Linked { settings, .. } => settings.scheme(),
            Inner::Absent { absent, .. } => absent.scheme,
            Inner::Refused(_) => "",
        }
    }

    /// Returns the value of a key of its adapter's table, such as `base_path`; `None` if it is not set.
    #[must_use]
    pub fn setting(&self, key: &str) -> Option<&Value> {
        match &self.0 {
            Inner::Linked { settings, .. } => settings.get(key),
            Inner::Absent { .. } | Inner::Refused(_) => None,
        }
    }

    /// Returns the adapter's word for a named queue.
    pub(super) fn queue_noun(&self) -> &'static str {
        match &self.0 {
            Inner::Linked { factory, .. } => factory.queue_noun(),
            Inner::Absent { .. } | Inner::Refused(_) => "queue",
        }
    }

    /// Returns the folder, if this queue can be the spool of another.
    pub(super) fn spool_folder(&self) -> Option<&Path> {
        match &self.0 {
            Inner::Linked { factory, settings } => factory.spool_folder(settings),
            Inner::Absent { .. } | Inner::Refused(_) => None,
        }
    }

    /// Parses a URL, with the adapter's defaults for everything else, because no table adds to it.
    pub(super) fn of_entry(entry: &Entry) -> Result<Self, ConfigError> {
        let registered = Registered::collect()?;
        let named = Named::parse(&entry.raw()?, &registered).map_err(|refused| refused.of(entry))?;
        let mut backend = Self::with(named, &entry.origin, |_| None)?;
        backend.make_absolute()?;
        Ok(backend)
    }

    /// Returns the name of its adapter's table.
    pub(super) fn table(&self) -> &str {
        match &self.0 {
            Inner::Linked { factory, .. } => factory.table(),
            Inner::Absent { absent, .. } => absent.table,
            Inner::Refused(_) => "",
        }
    }

    /// Returns why the adapter refuses this name for a queue, if it does.
    pub(super) fn queue_name_problem(&self, name: &str) -> Option<&'static str> {
        match &self.0 {
            Inner::Linked { factory, .. } => factory.queue_name_problem(name),
            Inner::Absent { .. } | Inner::Refused(_) => None,
        }
    }

    /// Returns whether it keeps the schedules of handlers.
    #[cfg(feature = "cli")]
    pub(super) fn keeps_schedules(&self) -> bool {
        match &self.0 {
            Inner::Linked { factory, .. } => factory.keeps_schedules(),
            // Opening it reports the fault.
            Inner::Absent { .. } | Inner::Refused(_) => true,
        }
    }

    /// Returns the queue of jobs that name none.
    pub(super) fn default_queue(&self) -> &str {
        match &self.0 {
            Inner::Linked { factory, settings } => factory.default_queue(settings),
            Inner::Absent { .. } | Inner::Refused(_) => DEFAULT_QUEUE,
        }
    }

    /// Resolves relative paths against the current folder.
    pub(super) fn make_absolute(&mut self) -> Result<(), ConfigError> {
        let Inner::Linked { settings, .. } = &mut self.0 else { return Ok(()) };
        for value in settings.values_mut() {
            if let Value::Path(path) = value {
                *path = absolute(path)?;
            }
        }
        Ok(())
    }

    /// Combines the named adapter with the values from its table.
    pub(super) fn with(
        named: Named,
        origin: &Origin,
        mut table: impl FnMut(&'static Key) -> Option<Value>,
    ) -> Result<Self, ConfigError> {
        let (factory, scheme, said) = match named {
            Named::Linked { factory, scheme, said } => (factory, scheme, said),
            Named::Absent { absent, rest } => return Ok(Self(Inner::Absent { absent, rest })),
        };
        let read = |key: &'static Key, text: &OsStr, origin: &Origin| {
            let is_set = !text.is_empty();
            is_set.then(|| value_of(key, &entry(factory, key, text, origin.clone()))).transpose()
        };
        let mut settings = Settings::new(scheme);
        for key in factory.keys() {
            let value = match said.iter().find(|(name, _)| *name == key.name()) {
                Some((_, text)) => read(key, text, origin)?,
                None => match table(key) {
                    None => read(key, OsStr::new(key.default()), &Origin::Default)?,
                    said => said,
                },
            };
            settings.set(key.name(), value);
        }
        Ok(Self(Inner::Linked { factory, settings }))
    }

    /// Migrates the queue's storage to this version.
    #[cfg(feature = "cli")]
    pub(crate) fn migrate(&self, print: bool) -> Result<Migration, QueueError> {
        match &self.0 {
            Inner::Linked { factory, settings } => factory.migrate(settings, print),
            Inner::Absent { absent, .. } => Err(QueueError::Unsupported(absent.refusal)),
            Inner::Refused(error) => {
                let doing = "migrate the queue".to_owned();
                Err(QueueError::Unavailable { doing, source: Box::new(error.clone()) })
            }
        }
    }

    /// Returns the capabilities of the queue, if they are known before it is opened.
    #[cfg(feature = "cli")]
    pub(crate) fn capabilities(&self) -> Option<Capabilities> {
        match &self.0 {
            Inner::Linked { factory, settings } => factory.capabilities(settings),
            Inner::Absent { .. } | Inner::Refused(_) => None,
        }
    }

    /// Returns the problem of the servers that it names, as far as they answer.
    #[cfg(feature = "cli")]
    pub(crate) fn problem_at_servers(&self) -> Option<String> {
        match &self.0 {
            Inner::Linked { factory, settings } => factory.problem_at_servers(settings),
            Inner::Absent { .. } | Inner::Refused(_) => None,
        }
    }

    /// Opens the queue.
    pub(crate) fn open(&self, purpose: Purpose, clock: Arc<dyn Clock>) -> Result<Arc<dyn QueueAdapter>, QueueError> {
        let failed = |source| QueueError::Unavailable { doing: "open the queue".to_owned(), source };
        match &self.0 {
            Inner::Linked { factory, .. } => {
                // The default is relative until it is used.
                let mut here = self.clone();
                here.make_absolute().map_err(|error| failed(Box::new(error)))?;
                match &here.0 {
                    Inner::Linked { settings, .. } => factory.open(settings, purpose, clock),
                    Inner::Absent { .. } | Inner::Refused(_) => unreachable!("a copy is of the same kind"),
                }
            }
            Inner::Absent { absent, .. } => Err(QueueError::Unsupported(absent.refusal)),
            Inner::Refused(error) => Err(failed(Box::new(error.clone()))),
        }
    }
}

/// The embedded queue in the folder `./pulpo-data`.
impl Default for Backend {
    fn default() -> Self {
        let registered = match Registered::collect() {
            Ok(registered) => registered,
            Err(error) => return Self(Inner::Refused(error)),
        };
        let named = Named::default(&registered);
        Self::with(named, &Origin::Default, |_| None).expect("the defaults of the file adapter are sound")
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = match &self.0 {
            Inner::Linked { factory, settings } => (settings.scheme(), factory.write(settings)),
            Inner::Absent { absent, rest } => (absent.scheme, rest.clone()),
            Inner::Refused(_) => return f.write_str("none"),
        };
        f.write_str(&masked(&format!("{scheme}:{}", rest.display())))
    }
}

impl FromStr for Backend {
    type Err = ParseBackendError;

    fn from_str(text: &str) -> Result<Self, ParseBackendError> {
        let registered = Registered::collect().map_err(|error| ParseBackendError(Refusal::Registration(error)))?;
        let named = Named::parse(OsStr::new(text), &registered)?;
        Self::with(named, &Origin::Program, |_| None).map_err(|error| match error {
            ConfigError::Value { key, expected, got, .. } => {
                ParseBackendError::new(&registered, text, format!("expected `{key}` to be {expected}, got {got}"))
            }
            other => ParseBackendError::new(&registered, text, other.to_string()),
        })
    }
}

/// An adapter, and the keys that the URL sets.
pub(super) enum Named {
    Linked {
        factory: &'static dyn Factory,
        scheme: &'static str,
        said: Vec<(&'static str, OsString)>,
    },
    /// An adapter of pulpo that is not built into this program.
    Absent {
        absent: &'static Absent,
        rest: OsString,
    },
}

impl Named {
    /// Parses a URL, whose address need not be text.
    pub(super) fn parse(text: &OsStr, registered: &Registered) -> Result<Self, ParseBackendError> {
        let shown = text.to_string_lossy();
        let refused = |problem| ParseBackendError::new(registered, &shown, problem);
        let Some((scheme, _)) = shown.split_once(':') else { return Err(refused(String::new())) };
        let rest = paths::after(text, &format!("{scheme}:"));
        let Some(rest) = rest else { return Err(refused("it is not UTF-8 text".to_owned())) };
        match (registered.by_scheme(scheme), absent_scheme(scheme)) {
            (Some((factory, scheme)), _) => {
                let scheme = scheme.name();
                let said = factory.read(&Address::new(scheme, rest)).map_err(refused)?;
                Ok(Self::Linked { factory, scheme, said })
            }
            (None, Some(absent)) => Ok(Self::Absent { absent, rest: rest.to_owned() }),
            (None, None) => Err(refused(unregistered(scheme, registered))),
        }
    }

    /// Returns the default: the embedded queue.
    pub(super) fn default(registered: &Registered) -> Self {
        Self::by_table(registered, "file_queue_adapter").expect("pulpo has an embedded queue, linked or not")
    }

    /// Returns the adapter of a table, with the defaults of its keys.
    pub(super) fn by_table(registered: &Registered, table: &str) -> Option<Self> {
        if let Some(factory) = registered.by_table(table) {
            let scheme = factory.schemes().first()?.name();
            return Some(Self::Linked { factory, scheme, said: Vec::new() });
        }
        absent_table(table).map(|absent| Self::Absent { absent, rest: OsString::new() })
    }

    /// Returns the name of the adapter's table.
    pub(super) fn table(&self) -> &'static str {
        match self {
            Self::Linked { factory, .. } => factory.table(),
            Self::Absent { absent, .. } => absent.table,
        }
    }

    /// Returns whether the URL sets this key.
    pub(super) fn says(&self, table: &str, key: &str) -> bool {
        match self {
            Self::Linked { factory, said, .. } => factory.table() == table && said.iter().any(|(name, _)| *name == key),
            Self::Absent { .. } => false,
        }
    }
}

/// Describes a scheme that no adapter has registered. A text with something else before its colon is not a URL.
fn unregistered(scheme: &str, registered: &Registered) -> String {
    let is_scheme = scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    if !is_scheme {
        return String::new();
    }
    let known: Vec<_> = registered.schemes().into_iter().map(|(_, scheme)| scheme.name()).collect();
    let nearest = nearest(scheme, known).map(|nearest| format!("; did you mean `{nearest}:`?"));
    format!("no adapter in this program registers the scheme `{scheme}:`{}", nearest.unwrap_or_default())
}

/// Returns the entry of a key as if it were in the table of its adapter.
fn entry(factory: &dyn Factory, key: &Key, text: &OsStr, origin: Origin) -> Entry {
    // A URL is all text, even in a file whose tables have types.
    let written = match (text.to_str(), key.kind()) {
        (Some(text @ ("true" | "false")), Kind::Flag) => Written::Flag(text == "true"),
        (Some(text), Kind::Whole(_)) if text.parse::<i128>().is_ok() => {
            Written::Whole(text.parse().unwrap_or_default())
        }
        (Some(text), _) => Written::Text(text.to_owned()),
        (None, _) => Written::NotText(text.to_owned()),
    };
    Entry { key: KeyPath::dotted(&format!("{}.{}", factory.table(), key.name())), written, origin }
}

/// Converts an entry to the kind of this key.
pub(super) fn value_of(key: &Key, entry: &Entry) -> Result<Value, ConfigError> {
    let value = match key.kind() {
        Kind::Text => Value::Text(entry.text()?),
        Kind::Path => Value::Path(entry.path()?),
        Kind::Flag => Value::Flag(entry.flag()?),
        Kind::Whole(range) => Value::Whole(entry.whole(range.clone())?),
        Kind::Duration(range) => Value::Duration(entry.duration(range.clone())?),
        Kind::Choice(words) => Value::Text(entry.word(words)?),
    };
    if let (Some(check), Value::Text(text)) = (key.checks(), &value) {
        check(text).map_err(|expected| entry.refuse(expected))?;
    }
    Ok(value)
}

impl ParseBackendError {
    /// Converts it to the error of the key with that text.
    pub(super) fn of(self, entry: &Entry) -> ConfigError {
        match self.0 {
            Refusal::Text { expected, text, problem } => entry.refuse_as(expected, got(&text, &problem)),
            Refusal::Registration(error) => error.into(),
        }
    }
}
