//! What the output of the macros may touch. Nothing here is an interface:
//! it changes without notice.

pub use inventory::submit;

use crate::job::Job;
pub use crate::message::Incoming;
pub use crate::message::MessageError;
use crate::outcome::IntoOutcome;
pub use crate::outcome::Outcome;
pub use crate::registry::Handler;

/// An entry for the registry.
pub const fn handler<J: Job>(
    function: &'static str,
    aliases: &'static [&'static str],
    file: &'static str,
    line: u32,
    run: fn(&Incoming<'_>) -> Result<Outcome, MessageError>,
) -> Handler {
    Handler::new::<J>(function, aliases, file, line, run)
}

/// The body of a message for its handler.
pub fn decode<J: Job>(message: &Incoming<'_>) -> Result<J, MessageError> {
    message.body()
}

/// What a handler returned, in one form.
pub fn outcome<R: IntoOutcome>(returned: R) -> Outcome {
    returned.into_outcome()
}

#[cfg(feature = "cli")]
pub use crate::cli::{Program, main};
