//! A job: the type of its body, its request type and its policy.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::message::Message;
use crate::policy::Policy;

/// What may travel as the body of a message: serde's two traits, and free to
/// go to another thread. Implemented by itself for each such type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the body of a message",
    label = "it needs `#[derive(serde::Serialize, serde::Deserialize)]`, owned and `Send`",
    note = "the body travels as JSON between the process that publishes and the one that works"
)]
pub trait Body: Serialize + DeserializeOwned + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + 'static> Body for T {}

/// A type that is the body of a job.
///
/// `#[pulpo::handler("name")]` implements it for the body type of the handler,
/// or [`derive(Job)`](macro@crate::Job) on the type itself. It ties the type to
/// one request type, so that a body cannot be published under the name of
/// another.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a job",
    label = "nothing makes this type the body of a job",
    note = "put `#[pulpo::handler(\"its_name\")]` on the function that processes it, \
            or `#[derive(pulpo::Job)]` and `#[job(\"its_name\")]` on the type"
)]
pub trait Job: Body {
    /// The name of the job in the header of its messages.
    const REQUEST_TYPE: &'static str;

    /// Other names that its handler serves, for messages that were published
    /// under a former one.
    const ALIASES: &'static [&'static str] = &[];

    /// How its messages are queued, run and tried again.
    const POLICY: Policy = Policy::DEFAULT;
}

/// What can be published as the job `J`: its body, or a [`Message`] with that
/// body and options.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be published as the job `{J}`",
    label = "expected the body of the job by value, or a `pulpo::Message` with it",
    note = "a job is a type with serde's two traits that some `#[pulpo::handler(\"its_name\")]` takes as its body, \
            or that has `#[derive(pulpo::Job)]`"
)]
pub trait IntoMessage<J> {
    /// The message to publish.
    fn into_message(self) -> Message<J>;
}

// Not bound by `Job`: for a body that no handler takes, it is the bound of the
// caller that fails, alone and with its better advice. Bound by `Body`, which
// `Message` is not, so that rustc can infer `J` from what is published.
impl<J: Body> IntoMessage<J> for J {
    fn into_message(self) -> Message<J> {
        Message::new(self)
    }
}

impl<J> IntoMessage<J> for Message<J> {
    fn into_message(self) -> Message<J> {
        self
    }
}

// Never holds. With one more candidate, rustc does not infer from a reference,
// or from a type without serde, that the job must be this very type, only to
// complain a second time that it is none.
#[doc(hidden)]
#[diagnostic::do_not_recommend]
impl<T: Undecided> IntoMessage<Nothing> for T {
    fn into_message(self) -> Message<Nothing> {
        Message::new(Nothing)
    }
}

#[doc(hidden)]
#[derive(Debug)]
pub struct Nothing;

#[doc(hidden)]
pub trait Undecided {}
