//! Queue adapters by the scheme of their URL: how a configuration names, sets up and opens an adapter that is linked
//! into the program.
//!
//! An adapter describes itself in a [`Factory`] and registers it with [`register_backend!`](crate::register_backend).
//! After that, every command reaches it through `PULPO_QUEUE=scheme:…` and the adapter's table in `pulpo.toml`. pulpo's
//! own adapters register in the same way: nothing outside this folder knows them by name.
//!
//! ```
//! # mod adapter {
//! use std::ffi::OsString;
//! use std::sync::Arc;
//!
//! use pulpo::clock::Clock;
//! use pulpo::queue::backend::{Address, Factory, Key, Purpose, Scheme, Settings};
//! use pulpo::queue::{QueueAdapter, QueueError};
//!
//! struct Redis;
//!
//! pulpo::register_backend!(Redis);
//!
//! const SCHEMES: &[Scheme] = &[Scheme::new("redis", "redis://HOST")];
//! const KEYS: &[Key] = &[
//!     Key::text("host", "localhost", "the server"),
//!     Key::whole("connections", "4", 1..=64, "the most connections of a process"),
//! ];
//!
//! impl Factory for Redis {
//!     fn schemes(&self) -> &'static [Scheme] {
//!         SCHEMES
//!     }
//!
//!     fn table(&self) -> &'static str {
//!         "redis_queue_adapter"
//!     }
//!
//!     fn keys(&self) -> &'static [Key] {
//!         KEYS
//!     }
//!
//!     fn read(&self, address: &Address<'_>) -> Result<Vec<(&'static str, OsString)>, String> {
//!         let host = address.text()?.strip_prefix("//").ok_or("expected two slashes after `redis:`")?;
//!         Ok(vec![("host", host.into())])
//!     }
//!
//!     fn write(&self, settings: &Settings) -> OsString {
//!         format!("//{}", settings.text("host")).into()
//!     }
//!
//!     fn open(
//!         &self,
//!         settings: &Settings,
//!         purpose: Purpose,
//!         clock: Arc<dyn Clock>,
//!     ) -> Result<Arc<dyn QueueAdapter>, QueueError> {
//!         let (host, connections) = (settings.text("host"), settings.whole("connections"));
//! #       let _ = (host, connections, purpose, clock);
//! #       Err(QueueError::Unsupported("be opened"))
//!     }
//! }
//! # }
//! let config = pulpo::Config::default().queue("redis://queue.example")?;
//! assert_eq!(config.backend.to_string(), "redis://queue.example");
//! # Ok::<(), pulpo::ConfigError>(())
//! ```

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::{Capabilities, QueueAdapter, QueueError};
use crate::clock::Clock;

mod key;
mod registration;
mod settings;

pub use key::{Key, Kind};
#[doc(hidden)]
pub use registration::Registration;
pub use registration::RegistrationError;
pub(crate) use registration::{Absent, Registered, absent_scheme, absent_table};
pub use settings::{Settings, Value};

/// Describes an adapter to the configuration, and opens it.
pub trait Factory: Sync {
    /// Returns the schemes of its URLs, such as `line` in `line:orders`. The first one is used where a configuration
    /// names the adapter by its table alone.
    fn schemes(&self) -> &'static [Scheme];

    /// Returns the name of its table in the configuration, by custom `NAME_queue_adapter`. This is also its name in the
    /// key `queue_adapter_type`.
    fn table(&self) -> &'static str;

    /// Returns the keys of its table, in the order of the documentation. The first one should be the location of the
    /// queue.
    fn keys(&self) -> &'static [Key];

    /// Reads the address in a URL of one of its schemes, and returns the keys that it sets, with their values. These
    /// override the table. An empty value unsets a key.
    ///
    /// # Errors
    /// The fault of the address. The text must not repeat the address, which may hold a secret.
    fn read(&self, address: &Address<'_>) -> Result<Vec<(&'static str, OsString)>, String>;

    /// Writes the address as [`read`](Self::read) reads it: the part after the scheme and its colon. People see the
    /// result with passwords removed.
    fn write(&self, settings: &Settings) -> OsString;

    /// Returns the queue of jobs that name none; [`DEFAULT_QUEUE`](super::DEFAULT_QUEUE) by default.
    fn default_queue<'a>(&self, settings: &'a Settings) -> &'a str {
        let _ = settings;
        super::DEFAULT_QUEUE
    }

    /// Returns this adapter's word for a queue, for error messages: `queue` by default.
    fn queue_noun(&self) -> &'static str {
        "queue"
    }

    /// Returns why this cannot be the name of a queue here; `None`, the default, if it can.
    fn queue_name_problem(&self, name: &str) -> Option<&'static str> {
        let _ = name;
        None
    }

    /// Returns the capabilities of a queue with these settings, if they are known before it is opened. The command
    /// `check` uses them to find what the queue cannot do.
    fn capabilities(&self, settings: &Settings) -> Option<Capabilities> {
        let _ = settings;
        None
    }

    /// Returns the folder in which a queue with these settings keeps messages safe on this machine, without a server:
    /// such a queue can be the spool of another one. `None`, the default, if it cannot.
    fn spool_folder<'a>(&self, settings: &'a Settings) -> Option<&'a Path> {
        let _ = settings;
        None
    }

    /// Returns whether its queues keep the schedules of handlers
    /// ([`Capabilities::schedules`](super::Capabilities::schedules)); true by default. The command `check` relies on
    /// it, because it opens no queue.
    fn keeps_schedules(&self) -> bool {
        true
    }

    /// Returns what is wrong with the servers that these settings name, such as one server under two names; `None`, the
    /// default, if nothing is, or if that cannot be found out now. The command `check` waits for the answer, so this
    /// must not take more than a few seconds.
    fn problem_at_servers(&self, settings: &Settings) -> Option<String> {
        let _ = settings;
        None
    }

    /// Migrates the queue's storage to this program's version. With `print`, only returns the statements.
    ///
    /// # Errors
    /// [`QueueError::Unsupported`] by default: the queue migrates when it is opened. Otherwise if it cannot be reached
    /// or changed.
    fn migrate(&self, settings: &Settings, print: bool) -> Result<Migration, QueueError> {
        let _ = (settings, print);
        Err(QueueError::Unsupported("be migrated by a command: it needs none, or does so when it is opened"))
    }

    /// Opens the queue. Relative paths in the settings have been made absolute.
    ///
    /// # Errors
    /// If it cannot be opened, or not for this purpose.
    fn open(
        &self,
        settings: &Settings,
        purpose: Purpose,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<dyn QueueAdapter>, QueueError>;
}

/// The result of a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Migration {
    /// The steps that were made, in words; empty if there was nothing to do.
    Made(Vec<String>),
    /// The statements that a migration would run, for a person to read or to run.
    Statements(String),
}

impl fmt::Debug for dyn Factory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Factory").field(&self.table()).finish()
    }
}

/// A scheme of URLs, and the form of these URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    name: &'static str,
    form: &'static str,
}

impl Scheme {
    /// Creates the scheme `name`, in lower case and without a colon, with the form of its URLs for error messages:
    /// `line:NAME`. An empty form leaves it out of the messages, for another spelling of a scheme.
    #[must_use]
    pub const fn new(name: &'static str, form: &'static str) -> Self {
        Self { name, form }
    }

    /// Returns the name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the form of its URLs.
    #[must_use]
    pub const fn form(&self) -> &'static str {
        self.form
    }
}

/// The address in a URL: the part after its scheme.
#[derive(Clone, Copy, Debug)]
pub struct Address<'a> {
    scheme: &'static str,
    rest: &'a OsStr,
}

impl<'a> Address<'a> {
    pub(crate) fn new(scheme: &'static str, rest: &'a OsStr) -> Self {
        Self { scheme, rest }
    }

    /// Returns the scheme, which is one of the factory's own.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Returns the part after the colon as written, without decoding.
    #[must_use]
    pub fn rest(&self) -> &'a OsStr {
        self.rest
    }

    /// Returns the part after the colon as text.
    ///
    /// # Errors
    /// If it is not text.
    pub fn text(&self) -> Result<&'a str, String> {
        self.rest.to_str().ok_or_else(|| "it is not UTF-8 text".to_owned())
    }
}

/// The purpose for which a queue is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// A program publishes to it or works it. A missing queue is created, if possible.
    Program,
    /// A command publishes to it and ends. A queue that ends with its process refuses to open.
    Publication,
    /// A command inspects or changes its content. A missing queue is an error and is not created; a queue that ends
    /// with its process refuses to open.
    Administration,
}
