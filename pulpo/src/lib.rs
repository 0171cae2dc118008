//! Durable background jobs from plain functions.

#[doc(hidden)]
pub mod __private;
#[cfg(feature = "cli")]
mod cli;
pub mod clock;
pub mod config;
mod disposition;
mod instance;
mod job;
mod message;
mod outcome;
mod policy;
mod producer;
pub mod queue;
mod registry;
mod report;
pub mod worker;

pub use config::{Config, ConfigError};
pub use instance::{Pulpo, SetupError, initialize};
pub use job::{Body, IntoMessage, Job};
pub use message::{Header, Message, MessageError, MessageId, Priority, When};
pub use outcome::{Failure, IntoOutcome, Outcome, ResultExt, fatal, retry_after, transient};
pub use policy::{Backoff, Policy};
pub use producer::PublishError;
pub use pulpo_macros::handler;
pub use registry::{Duplicate, Handler, Registry, RegistryError};
pub use worker::{Summary, WorkError};

/// Publishes a job to the process-wide default queue: its body, or a
/// [`Message`] with options. When it returns Ok, the message is in the queue,
/// and has its id.
///
/// # Errors
/// If it is not in the queue.
pub fn publish<J: Job>(message: impl IntoMessage<J>) -> Result<Message<J>, PublishError> {
    instance::default()?.publish(message)
}

/// Publishes several jobs of one type to the process-wide default queue, as
/// one batch: all or none, where the queue can.
///
/// # Errors
/// If they are not all in the queue.
pub fn publish_all<J: Job>(
    messages: impl IntoIterator<Item = impl IntoMessage<J>>,
) -> Result<Vec<Message<J>>, PublishError> {
    instance::default()?.publish_all(messages)
}

/// Makes the whole program: a worker for all its handlers, with its command
/// line.
///
/// ```no_run
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Greet {
///     name: String,
/// }
///
/// #[pulpo::handler("greet")]
/// fn greet(greet: Greet) {
///     println!("hello {}", greet.name);
/// }
///
/// pulpo::main!();
/// ```
///
/// Handlers in library crates are linked only if something names the crate:
/// `pulpo::main! { crates: [billing_jobs, mail_jobs] }` does.
#[cfg(feature = "cli")]
#[macro_export]
macro_rules! main {
    ($(crates: [$($library:ident),* $(,)?] $(,)?)?) => {
        $($(use $library as _;)*)?

        fn main() -> ::std::process::ExitCode {
            $crate::__private::main($crate::__private::Program {
                name: ::core::env!("CARGO_PKG_NAME"),
                version: ::core::env!("CARGO_PKG_VERSION"),
                about: ::core::env!("CARGO_PKG_DESCRIPTION"),
            })
        }
    };
}
