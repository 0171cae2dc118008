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

// Never holds. If there were but the one above, rustc would complain of what
// that one asks for, of each on its own; of two it knows only that none fits.
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

/// Of nothing.
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

    /// Which of its values its messages are told apart by. Only the macros
    /// write it.
    #[doc(hidden)]
    const KEYS: Keys<Self> = Keys::NONE;

    /// Only the macros have it: an implementation by hand could give one request
    /// type to two bodies. rustc shows its name where it is missing.
    #[doc(hidden)]
    const USE_THE_ATTRIBUTE_PULPO_HANDLER_OR_DERIVE_PULPO_JOB_INSTEAD: ByMacro;
}

/// Says that a macro has written an implementation of [`Job`].
#[doc(hidden)]
#[derive(Debug)]
pub struct ByMacro;

/// What can be published as the job `J`: its body, or a [`Message`] with that
/// body and options.
///
/// What publishes asks for this alone, and not for `J: Job` beside it: it is
/// implied, and so a type that is no job has one error, on the argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be published as the job `{J}`",
    label = "expected the body of the job by value, or a `pulpo::Message` with it",
    note = "a type is a job if some `#[pulpo::handler(\"its_name\")]` takes it as its body, \
            or if it has `#[derive(pulpo::Job)]` and `#[job(\"its_name\")]`"
)]
pub trait IntoMessage<J>: Sized {
    /// The message to publish.
    fn into_message(self) -> Message<J> {
        self.into_draft().message
    }

    /// The message, and what its job says of it.
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

/// A message on its way to a queue. It knows what its job says of it, so that
/// what publishes need not know that `J` is a job.
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
    /// To be taken from the body.
    OfBody(Keys<J>),
    /// Taken already.
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

/// How the body of a message is written down.
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

/// The handler of a job. `H` stands for the handler: where two are in sight,
/// rustc cannot tell which one is meant, and says so with the name of this trait.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "no handler of this program does the job `{Self}`",
    label = "the list of jobs has `{Self}`",
    note = "write a function with `#[pulpo::handler]` that takes it, or name the crate that has one: \
            `pulpo::main! {{ crates: [my_handlers], … }}`"
)]
pub trait HasOneHandler<H> {}

/// The job of a request type. `J` stands for the job: where two are in sight,
/// rustc cannot tell which one is meant, and says so with the name of this trait.
#[doc(hidden)]
pub trait NamesOneJob<J> {}

/// A request type, by its hash.
#[doc(hidden)]
#[derive(Debug)]
pub struct RequestType<const HASH: u64>;

/// Stands in a list of jobs for one that a `cfg` has taken away.
#[doc(hidden)]
#[derive(Debug)]
pub struct NoJob;

impl HasOneHandler<NoJob> for NoJob {}
