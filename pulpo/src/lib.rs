//! Durable background jobs from plain functions.

#[doc(hidden)]
pub mod __private;
#[cfg(feature = "cli")]
mod app;
mod check;
#[cfg(feature = "cli")]
mod cli;
pub mod clock;
pub mod config;
mod context;
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
mod state;
pub mod worker;

#[cfg(feature = "cli")]
pub use app::App;
pub use check::{Problem, ProblemKind};
pub use config::{Config, ConfigError};
pub use context::Context;
pub use instance::{Pulpo, SetupError, initialize};
pub use job::{Body, IntoMessage, Job};
pub use message::{Header, Message, MessageError, MessageId, Priority, When};
pub use outcome::{Failure, IntoOutcome, Outcome, ResultExt, fatal, retry_after, transient};
pub use policy::{Backoff, Policy};
pub use producer::PublishError;
pub use pulpo_macros::handler;
pub use registry::{Duplicate, Handler, Registry, RegistryError};
pub use state::State;
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
/// Two parts may be given, in any order:
///
/// - `crates: [billing_jobs, mail_jobs]`: handlers in library crates are
///   linked only if something names the crate, and this does.
/// - `setup: |app| …`: gives the handlers their states, see [`App`]. It is run
///   before a worker starts and by the command `check`, and returns `()` or
///   `Result<(), E>` with any std error or `anyhow::Error`.
///
/// ```no_run
/// struct Greeting(String);
///
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Greet { name: String }
/// #[pulpo::handler("greet")]
/// fn greet(greet: Greet, greeting: pulpo::State<Greeting>) {
///     println!("{} {}", greeting.0, greet.name);
/// }
///
/// pulpo::main! {
///     setup: |app| app.state(Greeting("hello".into())),
/// }
/// ```
#[cfg(feature = "cli")]
#[macro_export]
macro_rules! main {
    (@program [$($library:ident)*] $setup:expr) => {
        $(use $library as _;)*

        fn main() -> ::std::process::ExitCode {
            $crate::__private::main($crate::__private::Program {
                name: ::core::env!("CARGO_PKG_NAME"),
                version: ::core::env!("CARGO_PKG_VERSION"),
                about: ::core::env!("CARGO_PKG_DESCRIPTION"),
                setup: |__app| $crate::__private::set_up(__app, $setup),
            })
        }
    };
    ($(crates: [$($library:ident),* $(,)?])? $(,)?) => {
        $crate::main! { @program [$($($library)*)?] |_| () }
    };
    (crates: [$($library:ident),* $(,)?], setup: $setup:expr $(,)?) => {
        $crate::main! { @program [$($library)*] $setup }
    };
    (setup: $setup:expr $(, crates: [$($library:ident),* $(,)?])? $(,)?) => {
        $crate::main! { @program [$($($library)*)?] $setup }
    };
    ($($other:tt)*) => {
        ::core::compile_error!(
            "expected the parts of the program: `pulpo::main! { crates: [my_jobs], setup: |app| app.state(…) }`, \
             each of them optional"
        );

        // Not a second error, that it is missing.
        fn main() {}
    };
}
