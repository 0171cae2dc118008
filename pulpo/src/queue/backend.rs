//! Queue adapters by the scheme of their URL: how a configuration names, sets
//! up and opens an adapter that is linked into the program.
//!
//! An adapter describes itself in a [`Factory`] and registers it with
//! [`register_backend!`](crate::register_backend). From then on
//! `PULPO_QUEUE=scheme:…` and the table of the adapter in `pulpo.toml` reach
//! it, in every command. The adapters of pulpo register in the same way:
//! nothing outside of this folder knows them by name.
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
//!         let host = address.text()?.strip_prefix("//").ok_or("two slashes come after `redis:`")?;
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
    /// The schemes of its URLs, `line` in `line:orders`. The first one is used
    /// where a configuration names the adapter by its table alone.
    fn schemes(&self) -> &'static [Scheme];

    /// Its table in the configuration, by custom `NAME_queue_adapter`: this is
    /// also its name in the key `queue_adapter_type`.
    fn table(&self) -> &'static str;

    /// The keys of its table, in the order of the documentation. The first one
    /// should be what says where the queue is.
    fn keys(&self) -> &'static [Key];

    /// Reads the address in a URL of one of its schemes: which keys it sets,
    /// and to what. These go before what the table says. An empty value unsets
    /// a key.
    ///
    /// # Errors
    /// Says what is wrong with the address. The text must not repeat the
    /// address, which may hold a secret.
    fn read(&self, address: &Address<'_>) -> Result<Vec<(&'static str, OsString)>, String>;

    /// Writes the address as [`read`](Self::read) reads it: what comes after
    /// the scheme and its colon. Where people see it, passwords are left out.
    fn write(&self, settings: &Settings) -> OsString;

    /// The queue of jobs that name none; [`DEFAULT_QUEUE`](super::DEFAULT_QUEUE)
    /// by default.
    fn default_queue<'a>(&self, settings: &'a Settings) -> &'a str {
        let _ = settings;
        super::DEFAULT_QUEUE
    }

    /// What a queue by name is called here, for error messages: `queue`.
    fn queue_noun(&self) -> &'static str {
        "queue"
    }

    /// Why this cannot be the name of a queue here; `None`, the default, if it
    /// can.
    fn queue_name_problem(&self, name: &str) -> Option<&'static str> {
        let _ = name;
        None
    }

    /// What a queue with these settings can do, if that is known before it is
    /// opened: then the command `check` finds what it cannot keep.
    fn capabilities(&self, settings: &Settings) -> Option<Capabilities> {
        let _ = settings;
        None
    }

    /// The folder in which a queue with these settings keeps messages safe on
    /// this machine, without a server: such a queue can be the spool of
    /// another. `None`, the default, if it cannot.
    fn spool_folder<'a>(&self, settings: &'a Settings) -> Option<&'a Path> {
        let _ = settings;
        None
    }

    /// Whether its queues keep the schedules of handlers
    /// ([`Capabilities::schedules`](super::Capabilities::schedules)); true by
    /// default. The command `check`, which opens no queue, goes by it.
    fn keeps_schedules(&self) -> bool {
        true
    }

    /// Brings what the queue keeps its messages in to this program's version;
    /// `print`: only says how.
    ///
    /// # Errors
    /// [`QueueError::Unsupported`] by default: the queue does so when it is
    /// opened. Else if it cannot be reached or changed.
    fn migrate(&self, settings: &Settings, print: bool) -> Result<Migration, QueueError> {
        let _ = (settings, print);
        Err(QueueError::Unsupported("be migrated by a command: it needs none, or does so when it is opened"))
    }

    /// Opens the queue. A relative path in the settings has been made absolute.
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

/// What became of a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Migration {
    /// The steps that were made, in words; none if nothing was to be done.
    Made(Vec<String>),
    /// The statements that would be run, for a person to look at or to run.
    Statements(String),
}

impl fmt::Debug for dyn Factory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Factory").field(&self.table()).finish()
    }
}

/// A scheme of URLs, and how one of them is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    name: &'static str,
    form: &'static str,
}

impl Scheme {
    /// The scheme `name`, in lower case and without a colon, with the form of
    /// its URLs for error messages: `line:NAME`. An empty form leaves it out
    /// there, for another spelling of a scheme.
    #[must_use]
    pub const fn new(name: &'static str, form: &'static str) -> Self {
        Self { name, form }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// How its URLs are written.
    #[must_use]
    pub const fn form(&self) -> &'static str {
        self.form
    }
}

/// What a URL says after its scheme.
#[derive(Clone, Copy, Debug)]
pub struct Address<'a> {
    scheme: &'static str,
    rest: &'a OsStr,
}

impl<'a> Address<'a> {
    pub(crate) fn new(scheme: &'static str, rest: &'a OsStr) -> Self {
        Self { scheme, rest }
    }

    /// The scheme, which is one of the factory's own.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// What comes after the colon, as it is written: nothing is decoded.
    #[must_use]
    pub fn rest(&self) -> &'a OsStr {
        self.rest
    }

    /// The same as text.
    ///
    /// # Errors
    /// If it is not text.
    pub fn text(&self) -> Result<&'a str, String> {
        self.rest.to_str().ok_or_else(|| "it is not UTF-8 text".to_owned())
    }
}

/// What a queue is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// A program publishes to it or works it. The queue is made if it is not
    /// there and can be made.
    Program,
    /// A command publishes to it and ends. A queue that ends with its process
    /// refuses.
    Publication,
    /// A command looks at it or changes what is in it. A queue that is not
    /// there is an error, and is not made; one that ends with its process
    /// refuses.
    Administration,
}
