//! What the output of the macros may touch. Nothing here is an interface:
//! it changes without notice.

use std::time::Duration;

pub use inventory::submit;
pub use pulpo_macros::beside;

pub use super::__outcome_async;

#[cfg(feature = "cli")]
pub use crate::app::{SetUp, set_up};
#[cfg(feature = "cli")]
pub use crate::cli::{Program, main};
pub use crate::context::{Parameter, Run};
pub use crate::job::HasOneHandler;
use crate::job::Job;
pub use crate::message::MessageError;
pub use crate::outcome::{IntoOutcome, IntoOutcomes, Outcome, Outcomes};
use crate::registry::{Batch, Call};
pub use crate::registry::{Declared, Handler};
pub use crate::state::Needed;

/// An entry for the registry.
pub const fn handler<J: Job>(
    function: &'static str,
    file: &'static str,
    line: u32,
    run: fn(&Run<'_>) -> Result<Outcome, MessageError>,
    needs: &'static [fn() -> Option<Needed>],
) -> Handler {
    Handler::new::<J>(function, file, line, Call::One(run), needs)
}

/// An entry for the registry, of a handler that takes several messages at once.
pub const fn batch_handler<J: Job>(
    function: &'static str,
    file: &'static str,
    line: u32,
    run: fn(&Run<'_>) -> Option<Outcomes>,
    needs: &'static [fn() -> Option<Needed>],
    most: u32,
    linger: Duration,
) -> Handler {
    Handler::new::<J>(function, file, line, Call::Batch(Batch { most: most as usize, linger, run }), needs)
}

/// The bodies of the messages of a batch that fit.
pub fn decode_all<J: Job>(run: &Run<'_>) -> Option<Vec<J>> {
    run.bodies()
}

/// What a batch handler returned, in one form.
pub fn outcomes<R: IntoOutcomes>(returned: R) -> Outcomes {
    returned.into_outcomes()
}

/// Asks for the handler of a job that is declared on its type: with two, rustc
/// says that it needs to know which.
pub const fn a_declared_job_has_one_handler<J: HasOneHandler<H>, H>() {}

/// An entry for the registry, of a job that says its name by itself.
pub const fn declared<J: Job>(file: &'static str, line: u32) -> Declared {
    Declared::new::<J>(file, line)
}

/// The body of a message for its handler.
pub fn decode<J: Job>(run: &Run<'_>) -> Result<J, MessageError> {
    run.body()
}

/// What a handler takes beside the body.
pub fn parameter<'run, P: Parameter<'run>>(run: &Run<'run>) -> P {
    P::of(run)
}

/// The state that a parameter of a handler brings.
pub fn needed<'run, P: Parameter<'run>>() -> Option<Needed> {
    P::needed()
}

/// What a handler returned, in one form.
pub fn outcome<R: IntoOutcome>(returned: R) -> Outcome {
    returned.into_outcome()
}

/// What an async handler returned, in one form.
#[cfg(feature = "tokio")]
pub fn outcome_async<R: IntoOutcome>(run: &Run<'_>, future: impl Future<Output = R> + Send) -> Outcome {
    run.context.wait_for(future)?.into_outcome()
}

/// What an async batch handler returned, in one form.
#[cfg(feature = "tokio")]
pub fn outcomes_async<R: IntoOutcomes>(run: &Run<'_>, future: impl Future<Output = R> + Send) -> Outcomes {
    run.context.wait_for(future).map_or_else(|failure| Outcomes::All(Err(failure)), IntoOutcomes::into_outcomes)
}

/// Runs an async handler: only this crate knows whether it can.
#[cfg(feature = "tokio")]
#[doc(hidden)]
#[macro_export]
macro_rules! __outcome_async {
    ($kind:ident, $run:expr, $returned:ty, $call:expr) => {
        $crate::__private::$kind::<$returned>($run, $call)
    };
}

/// The same without a runtime to run it on.
#[cfg(not(feature = "tokio"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __outcome_async {
    ($($anything:tt)*) => {
        ::core::compile_error!(
            "an `async fn` handler needs the feature `tokio` of pulpo: add it to `features` in Cargo.toml, \
             or write a plain `fn`"
        )
    };
}
