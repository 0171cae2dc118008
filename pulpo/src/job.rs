//! A job: the type of its body, its request type and its policy.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::message::{Message, WriteError};
use crate::policy::Policy;
use crate::shape::ShapeId;

mod keys;

pub use keys::Keys;
pub(crate) use keys::{KeysOf, MessageKeys, values};

/// Types that can be the body of a message: serde's two traits, and `Send`.
/// Implemented automatically for each such type.
pub trait Body: Coded + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Coded + Send + 'static> Body for T {}

/// serde's two traits as one, so that a type that lacks both has one error.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the body of a message",
    label = "it needs serde's two traits: `#[derive(serde::Serialize, serde::Deserialize)]`",
    note = "the body travels as JSON between the process that publishes and the one that works"
)]
pub trait Coded: Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Coded for T {}

// Never holds. With only the blanket implementation above, rustc would report each of its missing bounds on its own;
// with two candidates it reports only that none fits.
#[diagnostic::do_not_recommend]
impl<T> Coded for T
where
    Never<T>: Undecided,
    T: Coded,
{
}

#[doc(hidden)]
#[derive(Debug)]
pub struct Never<T>(T);

/// A trait that no type implements.
#[doc(hidden)]
pub trait Undecided {}

/// A type that is the body of a job.
///
/// `#[pulpo::handler("name")]` implements it for the body type of the handler,
/// or [`derive(Job)`](macro@crate::Job) for the type itself. It ties the type
/// to one request type, so that a body cannot be published under another job's
/// name. There is no other way to implement it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a job",
    label = "nothing makes this type the body of a job",
    note = "put `#[pulpo::handler(\"its_name\")]` on the function that processes it, \
            or `#[derive(pulpo::Job)]` and `#[job(\"its_name\")]` on the type"
)]
pub trait Job: Body {
    /// The name of the job in the header of its messages.
    const REQUEST_TYPE: &'static str;

    /// Other names that its handler serves, for messages published under a
    /// former one.
    const ALIASES: &'static [&'static str] = &[];

    /// How its messages are queued, run and retried.
    const POLICY: Policy = Policy::DEFAULT;

    /// Extracts the values by which its messages are told apart. Only the macros write it.
    #[doc(hidden)]
    const KEYS: Keys<Self> = Keys::NONE;

    /// Only the macros implement it: an implementation by hand could give one request type to two bodies. rustc shows
    /// its name where it is missing.
    #[doc(hidden)]
    const USE_THE_ATTRIBUTE_PULPO_HANDLER_OR_DERIVE_PULPO_JOB_INSTEAD: ByMacro;
}

impl<J> Keys<J> {
    /// Uses the whole body as the unique key.
    #[must_use]
    pub const fn unique_body(self) -> Self
    where
        J: Job,
    {
        self.unique("", |body| values(body))
    }
}

/// Marks an implementation of [`Job`] as written by a macro.
#[doc(hidden)]
#[derive(Debug)]
pub struct ByMacro;

/// Types that can be published as the job `J`: its body, or a [`Message`] with that body and options.
///
/// Publishing functions have this bound only, not `J: Job` beside it. It implies `J: Job`, so a type that is not a job
/// causes one error, on the argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be published as the job `{J}`",
    label = "expected the body of the job by value, or a `pulpo::Message` with it",
    note = "a type is a job if some `#[pulpo::handler(\"its_name\")]` takes it as its body, \
            or if it has `#[derive(pulpo::Job)]` and `#[job(\"its_name\")]`"
)]
pub trait IntoMessage<J>: Sized {
    /// Converts it into the message to publish.
    fn into_message(self) -> Message<J> {
        self.into_draft().message
    }

    /// Converts it into the message, together with its job's details.
    #[doc(hidden)]
    fn into_draft(self) -> Draft<J>;
}

impl<J: Job> IntoMessage<J> for J {
    fn into_draft(self) -> Draft<J> {
        Draft::new(Message::new(self))
    }
}

impl<J: Job> IntoMessage<J> for Message<J> {
    fn into_draft(self) -> Draft<J> {
        Draft::new(self)
    }
}

/// A message on its way to a queue, with the details of its job, so that the publishing code need not know that `J` is
/// a job.
#[doc(hidden)]
#[derive(Debug)]
pub struct Draft<J> {
    pub(crate) message: Message<J>,
    pub(crate) request_type: &'static str,
    pub(crate) policy: &'static Policy,
    pub(crate) write_body: WriteBody<J>,
    pub(crate) shape: ShapeId,
    pub(crate) keys: DraftKeys<J>,
}

/// The keys of a message on its way to a queue.
#[derive(Clone, Debug)]
pub(crate) enum DraftKeys<J> {
    /// Yet to be taken from the body.
    OfBody(Keys<J>),
    /// Already taken.
    #[cfg(feature = "cli")]
    Known(MessageKeys),
}

impl<J> DraftKeys<J> {
    pub(crate) fn of(&self, body: &J) -> Result<MessageKeys, serde_json::Error> {
        match self {
            Self::OfBody(keys) => keys.of(body),
            #[cfg(feature = "cli")]
            Self::Known(keys) => Ok(keys.clone()),
        }
    }
}

/// Writes the body of a message as JSON.
pub(crate) type WriteBody<J> = fn(&Message<J>) -> Result<Box<RawValue>, WriteError>;

impl<J: Job> Draft<J> {
    fn new(message: Message<J>) -> Self {
        Self {
            message,
            request_type: J::REQUEST_TYPE,
            policy: const { &J::POLICY },
            write_body: Message::write_checked_body,
            shape: ShapeId::of::<J>(),
            keys: DraftKeys::OfBody(J::KEYS),
        }
    }
}

/// The handler of a job. `H` stands for the handler: if there are two, rustc cannot tell which one is meant, and
/// reports that with the name of this trait.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "no handler of this program does the job `{Self}`",
    label = "the list of jobs has `{Self}`",
    note = "write a function with `#[pulpo::handler]` that takes it, or name the crate that has one: \
            `pulpo::main! {{ crates: [my_handlers], … }}`"
)]
pub trait HasOneHandler<H> {}

/// The job of a request type. `J` stands for the job: if there are two, rustc cannot tell which one is meant, and
/// reports that with the name of this trait.
#[doc(hidden)]
pub trait NamesOneJob<J> {}

/// A request type, identified by its hash.
#[doc(hidden)]
#[derive(Debug)]
pub struct RequestType<const HASH: u64>;

/// Replaces a job that a `cfg` has removed from a list of jobs.
#[doc(hidden)]
#[derive(Debug)]
pub struct NoJob;

impl HasOneHandler<NoJob> for NoJob {}
