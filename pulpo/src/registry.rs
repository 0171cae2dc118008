//! The handlers of this program: what the linker collected, checked.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use crate::context::Run;
use crate::job::Job;
use crate::message::{MessageError, decode_body};
use crate::outcome::{Outcome, Outcomes};
use crate::policy::Policy;
use crate::state::Needed;

/// One handler, as its attribute submitted it.
#[derive(Debug)]
pub struct Handler {
    request_type: &'static str,
    aliases: &'static [&'static str],
    policy: Policy,
    function: &'static str,
    file: &'static str,
    line: u32,
    body_type: fn() -> &'static str,
    check: fn(Option<&str>) -> Result<(), MessageError>,
    run: Call,
    needs: &'static [fn() -> Option<Needed>],
}

inventory::collect!(Handler);

/// How a handler is called: decode, run the function.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    One(fn(&Run<'_>) -> Result<Outcome, MessageError>),
    Batch(Batch),
}

/// How a handler takes several messages at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    /// So many at most.
    pub(crate) most: usize,
    /// How long to wait for more after the first.
    pub(crate) linger: Duration,
    /// `None`: no body fits, and the function was not run.
    pub(crate) run: fn(&Run<'_>) -> Option<Outcomes>,
}

impl Handler {
    /// What the attribute submits; reached through `__private`.
    pub(crate) const fn new<J: Job>(
        function: &'static str,
        file: &'static str,
        line: u32,
        run: Call,
        needs: &'static [fn() -> Option<Needed>],
    ) -> Self {
        Self {
            request_type: J::REQUEST_TYPE,
            aliases: J::ALIASES,
            policy: J::POLICY,
            function,
            file,
            line,
            body_type: std::any::type_name::<J>,
            check: |body| decode_body::<J>(body).map(drop),
            run,
            needs,
        }
    }

    /// The request type that it serves.
    #[must_use]
    pub fn request_type(&self) -> &'static str {
        self.request_type
    }

    /// Other request types that it serves, for messages that were published
    /// under a former name.
    #[must_use]
    pub fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }

    /// How its jobs are run.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The path of the function.
    #[must_use]
    pub fn function(&self) -> &'static str {
        self.function
    }

    /// The type of its body.
    #[must_use]
    pub fn body_type(&self) -> &'static str {
        (self.body_type)()
    }

    /// The source file that it stands in.
    #[must_use]
    pub fn file(&self) -> &'static str {
        self.file
    }

    /// The line of that file.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.line
    }

    /// Whether a body, as JSON, fits the type of the handler; `None`: a message
    /// without a body.
    ///
    /// # Errors
    /// Names the field that does not fit.
    pub fn check_body(&self, body: Option<&str>) -> Result<(), MessageError> {
        (self.check)(body)
    }

    /// Decodes the body and runs the function; an error means that the body
    /// does not fit and the function was not run.
    pub(crate) fn run(&self, run: &Run<'_>) -> Result<Outcome, MessageError> {
        match &self.run {
            Call::One(one) => one(run),
            Call::Batch(_) => unreachable!("a batch handler is run as one"),
        }
    }

    /// Decodes the bodies and runs the function with those that fit.
    pub(crate) fn run_batch(&self, run: &Run<'_>) -> Option<Outcomes> {
        match &self.run {
            Call::Batch(batch) => (batch.run)(run),
            Call::One(_) => unreachable!("only a batch handler is run as one"),
        }
    }

    /// If it takes several messages at once, how.
    pub(crate) fn batch(&self) -> Option<&Batch> {
        match &self.run {
            Call::Batch(batch) => Some(batch),
            Call::One(_) => None,
        }
    }

    /// The types of the states that it takes.
    pub fn states(&self) -> impl Iterator<Item = &'static str> {
        self.needed().map(|needed| needed.type_name)
    }

    /// For people: `my_jobs::send_email (src/lib.rs:7)`.
    pub(crate) fn described(&self) -> String {
        format!("{} ({}:{})", self.function, self.file, self.line)
    }

    pub(crate) fn needed(&self) -> impl Iterator<Item = Needed> + use<> {
        self.needs.iter().filter_map(|needed| needed())
    }
}

/// A job that is declared on its body type, apart from its handler.
#[derive(Debug)]
pub struct Declared {
    request_type: &'static str,
    body_type: fn() -> &'static str,
    file: &'static str,
    line: u32,
}

inventory::collect!(Declared);

impl Declared {
    /// What the derive macro submits; reached through `__private`.
    pub(crate) const fn new<J: Job>(file: &'static str, line: u32) -> Self {
        Self { request_type: J::REQUEST_TYPE, body_type: std::any::type_name::<J>, file, line }
    }

    /// Its request type.
    #[must_use]
    pub fn request_type(&self) -> &'static str {
        self.request_type
    }

    /// The type of its body.
    #[must_use]
    pub fn body_type(&self) -> &'static str {
        (self.body_type)()
    }

    /// The source file that the type stands in.
    #[must_use]
    pub fn file(&self) -> &'static str {
        self.file
    }

    /// The line of that file.
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
    duplicates: Vec<Duplicate>,
    declared: Vec<&'static Declared>,
}

impl Registry {
    /// The handlers that are linked into this program.
    ///
    /// # Errors
    /// If there is none, or two serve one request type.
    pub fn collect() -> Result<Self, RegistryError> {
        Self::gather().sound()
    }

    /// The handlers that are linked into this program, sound or not.
    pub(crate) fn gather() -> Self {
        let mut registry = Self::with(inventory::iter::<Handler>());
        registry.declared = inventory::iter::<Declared>().collect();
        registry.declared.sort_by_key(|declared| declared.request_type);
        registry
    }

    /// These handlers.
    ///
    /// # Errors
    /// If there is none, or two serve one request type.
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
            for name in std::iter::once(&handler.request_type).chain(handler.aliases) {
                if let Some(first) = registry.by_type.insert(name, handler) {
                    registry.duplicates.push(Duplicate { request_type: name, first, second: handler });
                }
            }
        }
        registry.handlers.sort_by_key(|handler| handler.request_type);
        registry
    }

    /// The jobs of this program that are declared on their types and have no
    /// handler in it.
    pub fn unhandled(&self) -> impl Iterator<Item = &'static Declared> {
        self.declared.iter().copied().filter(|declared| self.get(declared.request_type).is_none())
    }

    /// The request types that have two handlers.
    pub(crate) fn duplicates(&self) -> &[Duplicate] {
        &self.duplicates
    }

    /// The handler that serves this request type.
    #[must_use]
    pub fn get(&self, request_type: &str) -> Option<&'static Handler> {
        self.by_type.get(request_type).copied()
    }

    /// All handlers, by request type.
    pub fn iter(&self) -> impl Iterator<Item = &'static Handler> {
        self.handlers.iter().copied()
    }

    /// The known name that is most like this unknown one.
    #[must_use]
    pub fn nearest(&self, request_type: &str) -> Option<&'static str> {
        nearest(request_type, self.by_type.keys().copied())
    }

    /// The request types that it serves, for messages to people.
    pub(crate) fn known(&self) -> String {
        let mut names: Vec<_> = self.by_type.keys().copied().collect();
        names.sort_unstable();
        names.join(", ")
    }
}

/// The one of `known` that is most like `name`, if one is like it at all.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Two handlers of one request type.
#[derive(Clone, Debug)]
pub struct Duplicate {
    request_type: &'static str,
    first: &'static Handler,
    second: &'static Handler,
}

impl Duplicate {
    pub(crate) fn second(&self) -> &'static Handler {
        self.second
    }
}

impl fmt::Display for Duplicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request_type, first, second } = self;
        write!(f, "`{request_type}` is served by {} and by {}", first.described(), second.described())
    }
}

/// Why a worker does not start with the handlers that it has.
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
    Duplicates(Vec<Duplicate>),
}
