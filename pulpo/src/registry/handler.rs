//! One entry of the registry: a handler, its description, and its call.

use std::time::Duration;

use chrono::{DateTime, Utc};

#[cfg(feature = "cli")]
use super::described::DescribedJob;
use super::names::JobNames;
use crate::context::Run;
use crate::decode::{Probe, probe};
use crate::job::{Job, KeysOf, MessageKeys};
#[cfg(feature = "cli")]
use crate::message::only_payload;
use crate::message::{MessageError, WireBody};
use crate::outcome::{Outcome, Outcomes};
use crate::policy::Policy;
use crate::producer::{Producer, PublishError};
use crate::queue::NewMessage;
use crate::schedule::Schedule;
use crate::shape::ShapeId;
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
    names: fn() -> JobNames,
    body_type: fn() -> &'static str,
    probe: Probe,
    #[cfg(feature = "cli")]
    job: fn() -> DescribedJob,
    /// The fields in its unique key; empty for the whole body.
    unique: Option<&'static str>,
    limited_by_key: bool,
    keys: KeysOf,
    run: Call,
    needs: &'static [fn() -> Option<Needed>],
    schedule: Option<Scheduled>,
}

/// The schedule of a handler, and how the message of an occurrence is made.
#[derive(Clone, Copy, Debug)]
struct Scheduled {
    schedule: Schedule,
    prepare: PrepareOccurrence,
}

/// Makes the message of an occurrence.
type PrepareOccurrence = fn(&Producer, DateTime<Utc>) -> Result<NewMessage, PublishError>;

inventory::collect!(Handler);

/// How a handler is called: it decodes the body and runs the function.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    One(fn(&Run<'_>) -> Result<Outcome, MessageError>),
    Batch(Batch),
}

/// How a handler takes several messages at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    /// The maximum number.
    pub(crate) most: usize,
    /// How long to wait for more after the first.
    pub(crate) linger: Duration,
    /// Runs the function; `None` if no body fits, and the function was not run.
    pub(crate) run: fn(&Run<'_>) -> Option<Outcomes>,
}

impl Handler {
    /// Creates the entry that the attribute submits; reached through `__private`.
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
            names: JobNames::of::<J>,
            body_type: std::any::type_name::<J>,
            probe: probe::<J>,
            #[cfg(feature = "cli")]
            job: DescribedJob::of::<J>,
            unique: J::KEYS.unique_fields(),
            limited_by_key: J::KEYS.has_limits(),
            keys: |body| {
                if !const { J::KEYS.is_any() } {
                    return Ok(MessageKeys::default());
                }
                let at_body = |source| MessageError::Body { path: "body".to_owned(), source };
                J::KEYS.of(&body.decode::<J>()?).map_err(at_body)
            },
            run,
            needs,
            schedule: None,
        }
    }

    /// Adds a schedule.
    pub(crate) const fn scheduled(mut self, schedule: Schedule, prepare: PrepareOccurrence) -> Self {
        self.schedule = Some(Scheduled { schedule, prepare });
        self
    }

    /// Returns the request type that it serves.
    #[must_use]
    pub fn request_type(&self) -> &'static str {
        self.request_type
    }

    /// Returns the other request types that it serves, for messages that were published under a former name.
    #[must_use]
    pub fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }

    /// Returns its request type, followed by its aliases.
    pub(crate) fn all_names(&self) -> impl Iterator<Item = &'static str> {
        [self.request_type()].into_iter().chain(self.aliases.iter().copied())
    }

    pub(super) fn names(&self) -> JobNames {
        (self.names)()
    }

    /// Returns how its jobs are run.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Returns the path of the function.
    #[must_use]
    pub fn function(&self) -> &'static str {
        self.function
    }

    /// Returns the type of its body.
    #[must_use]
    pub fn body_type(&self) -> &'static str {
        (self.body_type)()
    }

    /// Returns the source file of the function.
    #[must_use]
    pub fn file(&self) -> &'static str {
        self.file
    }

    /// Returns the line in that file.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.line
    }

    /// Checks that a body, as JSON, fits the type of the handler; `None` is a message without a body.
    ///
    /// # Errors
    /// The path of the field that does not fit.
    pub fn check_body(&self, body: Option<&str>) -> Result<(), MessageError> {
        WireBody::unmarked(body).probe(self.probe)
    }

    /// Checks that a body, as written on the wire, fits the type of the handler.
    ///
    /// # Errors
    /// The path of the field that does not fit, or that the type panicked.
    #[cfg(feature = "cli")]
    pub(crate) fn check(&self, body: WireBody<'_>) -> Result<(), MessageError> {
        super::described::checked(self.probe, body)
    }

    /// Describes its job.
    #[cfg(feature = "cli")]
    pub(super) fn job(&self) -> DescribedJob {
        (self.job)()
    }

    /// Returns the body in this text as its type writes it: the text itself, or the content of `{"payload": …}`, in
    /// which other producers wrap a body that is not an object.
    ///
    /// # Errors
    /// The path of the field that does not fit, or that the type panicked.
    #[cfg(feature = "cli")]
    pub(crate) fn body_in<'text>(&self, text: &'text str) -> Result<&'text str, MessageError> {
        match self.check(WireBody::as_written(text)) {
            Ok(()) => Ok(text),
            Err(_) => self.check(WireBody::unmarked(Some(text))).map(|()| only_payload(text).unwrap_or(text)),
        }
    }

    /// Returns whether the queue keeps only one message of each unique key.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        self.unique.is_some()
    }

    /// Returns the fields in its unique key, if it is unique, such as `account_id, address.city`; empty for the whole
    /// body.
    #[must_use]
    pub fn unique_fields(&self) -> Option<&'static str> {
        self.unique
    }

    /// Returns the keys of a message with this body.
    ///
    /// # Errors
    /// The path of the field that does not fit, or that the type panicked.
    #[cfg(feature = "cli")]
    pub(crate) fn keys(&self, body: WireBody<'_>) -> Result<MessageKeys, MessageError> {
        super::described::guarded("its `Deserialize` or `Serialize` panicked", || (self.keys)(body))
    }

    /// Returns the function that takes the limit keys from a body, if it has limits by key.
    pub(crate) fn limit_keys(&self) -> Option<KeysOf> {
        self.limited_by_key.then_some(self.keys)
    }

    /// Returns the shape of its body.
    pub(crate) fn shape(&self) -> ShapeId {
        ShapeId::of_type(self.names().body, self.probe)
    }

    /// Decodes the body and runs the function. An error means that the body does not fit and the function was not run.
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

    /// Returns how it takes several messages at once, if it does.
    pub(crate) fn batching(&self) -> Option<&Batch> {
        match &self.run {
            Call::Batch(batch) => Some(batch),
            Call::One(_) => None,
        }
    }

    /// Returns the maximum number of messages that it takes at once; `None` if it takes them one by one.
    #[must_use]
    pub fn batch(&self) -> Option<usize> {
        self.batching().map(|batch| batch.most)
    }

    /// Returns how long a batch that is not full waits for more messages after its first; `None` if it takes them one
    /// by one.
    #[must_use]
    pub fn linger(&self) -> Option<Duration> {
        self.batching().map(|batch| batch.linger)
    }

    /// Returns its schedule, if it has one.
    #[must_use]
    pub fn schedule(&self) -> Option<&Schedule> {
        self.schedule.as_ref().map(|scheduled| &scheduled.schedule)
    }

    /// Creates the message of an occurrence of its schedule.
    ///
    /// # Errors
    /// The errors of publishing it.
    pub(crate) fn prepare_occurrence(
        &self,
        producer: &Producer,
        at: DateTime<Utc>,
    ) -> Option<Result<NewMessage, PublishError>> {
        self.schedule.map(|scheduled| (scheduled.prepare)(producer, at))
    }

    /// Returns the types of the states that it takes, in the order of its parameters.
    pub fn states(&self) -> impl Iterator<Item = &'static str> {
        self.needed().map(|needed| needed.type_name)
    }

    /// Describes it for people: `my_jobs::send_email (src/lib.rs:7)`.
    pub(crate) fn described(&self) -> String {
        format!("{} ({}:{})", self.function, self.file, self.line)
    }

    pub(crate) fn needed(&self) -> impl Iterator<Item = Needed> + use<> {
        self.needs.iter().filter_map(|needed| needed())
    }
}
