//! Shared by all commands: how they end, how they open the queue, and the flag `--json`.

use std::error::Error;
use std::io;

use clap::Args;

use crate::instance::Pulpo;
use crate::message::MessageId;
use crate::setup::{App, SetupFailure};

/// The description of the program.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its purpose; may be empty.
    pub about: &'static str,
    /// Provides the states.
    pub setup: fn(&mut App) -> Result<(), SetupFailure>,
}

/// The result of a command; an error is shown to a person.
pub(super) type Done = Result<(), Box<dyn Error>>;

/// Opens the queue, once the arguments are known to make sense.
pub(super) type Open<'a> = &'a dyn Fn() -> Result<Pulpo, Box<dyn Error>>;

/// A command line that clap accepts but that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct WrongUsage(pub(super) String);

/// Returns whether the error comes from a broken pipe, wrapped or not.
pub(super) fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            return true;
        }
        next = error.source();
    }
    false
}

#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Format {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl std::str::FromStr for MessageId {
    type Err = std::convert::Infallible;

    fn from_str(id: &str) -> Result<Self, Self::Err> {
        Ok(id.into())
    }
}
