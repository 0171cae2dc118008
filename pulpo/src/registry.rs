//! The handlers of this program: what the linker collected, checked.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use once_cell::race::OnceBox;
use serde::de::DeserializeOwned;

use self::names::JobNames;
use crate::job::Job;
use crate::keys::LimitKeys;
use crate::message::{Incoming, Message, MessageError, WireBody};
use crate::policy::Policy;
use crate::report::limited;

#[cfg(feature = "cli")]
mod described;
mod handler;
mod names;

#[cfg(feature = "cli")]
pub(crate) use described::DescribedJob;
pub use handler::Handler;
pub(crate) use handler::{Batch, Call};

/// A job that is declared on its body type, apart from its handler.
#[derive(Debug)]
pub struct JobDeclaration {
    request_type: &'static str,
    names: fn() -> JobNames,
    body_type: fn() -> &'static str,
    file: &'static str,
    line: u32,
    #[cfg(feature = "cli")]
    job: fn() -> DescribedJob,
}

inventory::collect!(JobDeclaration);

/// Returns the request types of a type, if it is the body of a job of this program.
fn names_of(body: TypeId) -> Option<&'static JobNames> {
    // Not a cell that a thread can leave locked: a fork reads messages, too.
    static ALL: OnceBox<HashMap<TypeId, JobNames>> = OnceBox::new();
    let all = ALL.get_or_init(|| {
        let declared = inventory::iter::<JobDeclaration>().map(|declared| (declared.names)());
        let handled = inventory::iter::<Handler>().map(Handler::names);
        Box::new(declared.chain(handled).map(|names| (names.body, names)).collect())
    });
    all.get(&body)
}

impl<B: DeserializeOwned + 'static> Message<B> {
    /// Reads the wire form. If `B` is the body of a job, it must be a message
    /// of that job: its request type, or one of its aliases.
    ///
    /// # Errors
    /// If the text, the header or the body is wrong, or it is a message of another job.
    pub fn from_json(text: &[u8]) -> Result<Self, MessageError> {
        let incoming = Incoming::read(text)?;
        if let Some(JobNames { request_type, aliases, .. }) = names_of(TypeId::of::<B>()) {
            let got = incoming.header.request_type();
            if got != *request_type && !aliases.contains(&got) {
                return Err(MessageError::OtherJob { expected: request_type, got: limited(got.to_owned()) });
            }
        }
        Self::read(incoming)
    }
}

impl JobDeclaration {
    /// Creates the declaration that the derive macro submits; reached through `__private`.
    pub(crate) const fn new<J: Job>(file: &'static str, line: u32) -> Self {
        Self {
            request_type: J::REQUEST_TYPE,
            names: JobNames::of::<J>,
            body_type: std::any::type_name::<J>,
            file,
            line,
            #[cfg(feature = "cli")]
            job: DescribedJob::of::<J>,
        }
    }

    /// Returns the request type.
    #[must_use]
    pub fn request_type(&self) -> &'static str {
        self.request_type
    }

    /// Returns the type of the body.
    #[must_use]
    pub fn body_type(&self) -> &'static str {
        (self.body_type)()
    }

    /// Returns the source file of the type.
    #[must_use]
    pub fn file(&self) -> &'static str {
        self.file
    }

    /// Returns the line in that file.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.line
    }
}

/// All handlers of this program, by request type.
#[derive(Debug, Default)]
pub struct Registry {
    handlers: Vec<&'static Handler>,
    by_type: HashMap<&'static str, &'static Handler>,
    duplicates: Vec<DuplicateHandler>,
    declared: Vec<&'static JobDeclaration>,
}

impl Registry {
    /// Collects the handlers that are linked into this program.
    ///
    /// # Errors
    /// If there is no handler, or two serve one request type.
    pub fn collect() -> Result<Self, RegistryError> {
        Self::gather().sound()
    }

    /// Collects the handlers that are linked into this program, without checking them.
    pub(crate) fn gather() -> Self {
        let mut registry = Self::with(inventory::iter::<Handler>());
        registry.declared = inventory::iter::<JobDeclaration>().collect();
        registry.declared.sort_by_key(|declared| declared.request_type);
        registry
    }

    /// Creates a registry of these handlers.
    ///
    /// # Errors
    /// If there is no handler, or two serve one request type.
    pub fn of(handlers: impl IntoIterator<Item = &'static Handler>) -> Result<Self, RegistryError> {
        Self::with(handlers).sound()
    }

    fn sound(self) -> Result<Self, RegistryError> {
        if !self.duplicates.is_empty() {
            return Err(RegistryError::Duplicates(self.duplicates));
        }
        if self.handlers.is_empty() {
            return Err(RegistryError::Empty);
        }
        Ok(self)
    }

    fn with(handlers: impl IntoIterator<Item = &'static Handler>) -> Self {
        let mut registry = Self::default();
        for handler in handlers {
            registry.handlers.push(handler);
            for name in std::iter::once(&handler.request_type()).chain(handler.aliases()) {
                if let Some(first) = registry.by_type.insert(name, handler) {
                    registry.duplicates.push(DuplicateHandler { request_type: name, first, second: handler });
                }
            }
        }
        registry.handlers.sort_by_key(|handler| handler.request_type());
        registry
    }

    /// Returns the jobs of this program that are declared on their types and have no handler in it.
    pub fn unhandled(&self) -> impl Iterator<Item = &'static JobDeclaration> {
        self.declared.iter().copied().filter(|declared| self.get(declared.request_type).is_none())
    }

    /// Iterates over all jobs of this program, by request type: those with a handler, and those that are only declared.
    #[cfg(feature = "cli")]
    pub(crate) fn jobs(&self) -> impl Iterator<Item = DescribedJob> {
        let mut all: Vec<_> = self.iter().map(Handler::job).collect();
        all.extend(self.unhandled().map(|declared| (declared.job)()));
        all.sort_by_key(|job| job.request_type);
        all.into_iter()
    }

    /// Returns the job of this request type, or with this alias.
    #[cfg(feature = "cli")]
    pub(crate) fn job(&self, request_type: &str) -> Option<DescribedJob> {
        self.get(request_type).map(Handler::job).or_else(|| {
            let mut declared = self.unhandled().map(|declared| (declared.job)());
            declared.find(|job| job.request_type == request_type || job.aliases.contains(&request_type))
        })
    }

    /// Returns the request types that have two handlers.
    pub(crate) fn duplicates(&self) -> &[DuplicateHandler] {
        &self.duplicates
    }

    /// Returns the handler that serves this request type.
    #[must_use]
    pub fn get(&self, request_type: &str) -> Option<&'static Handler> {
        self.by_type.get(request_type).copied()
    }

    /// Iterates over all handlers, by request type.
    pub fn iter(&self) -> impl Iterator<Item = &'static Handler> {
        self.handlers.iter().copied()
    }

    /// Returns the known name that is most similar to this unknown one.
    #[must_use]
    pub fn nearest(&self, request_type: &str) -> Option<&'static str> {
        nearest(request_type, self.by_type.keys().copied())
    }

    /// Returns the queue of messages of this request type, their ttr, and the limit keys of this body. A request type
    /// without a handler here gets the defaults.
    pub(crate) fn route_of(
        &self,
        request_type: &str,
        body: Option<WireBody<'_>>,
        default_queue: &str,
    ) -> (String, Duration, LimitKeys) {
        let handler = self.get(request_type);
        let policy = handler.map_or(&Policy::DEFAULT, Handler::policy);
        let keys = handler.and_then(Handler::limit_keys).zip(body).and_then(|(keys, body)| keys(body).ok());
        let limits = keys.map(|keys| keys.limits).unwrap_or_default();
        (policy.queue.unwrap_or(default_queue).to_owned(), policy.ttr, limits)
    }

    /// Lists the known request types, for people.
    pub(crate) fn known(&self) -> String {
        let mut names: Vec<_> = self.by_type.keys().copied().collect();
        names.sort_unstable();
        names.join(", ")
    }
}

/// Returns the one of `known` that is most similar to `name`, if any is similar.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| {
            // In short names, one slip makes a big difference.
            let slip = name.len() > 2 && strsim::osa_distance(name, candidate) == 1;
            let similarity = strsim::jaro_winkler(name, candidate);
            (if slip { similarity.max(0.9) } else { similarity }, candidate)
        })
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Two handlers of one request type.
#[derive(Clone, Debug)]
pub struct DuplicateHandler {
    request_type: &'static str,
    first: &'static Handler,
    second: &'static Handler,
}

impl DuplicateHandler {
    pub(crate) fn second(&self) -> &'static Handler {
        self.second
    }
}

impl fmt::Display for DuplicateHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request_type, first, second } = self;
        write!(f, "`{request_type}` is served by {} and by {}", first.described(), second.described())
    }
}

/// Errors in the handlers of a program, with which a worker does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// There is no handler in this program.
    #[error(
        "this program has no handlers: expected at least one function with #[pulpo::handler(\"name\")]; \
         handlers of a library crate are linked only if something names the crate: \
         write `pulpo::main! {{ crates: [my_jobs] }}`, or `use my_jobs as _;`"
    )]
    Empty,
    /// Some request type has two handlers.
    #[error("two handlers for one request type: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Duplicates(Vec<DuplicateHandler>),
}
