//! Durable background jobs from plain functions.
#![warn(missing_docs)]

#[doc(hidden)]
pub mod __private;
pub mod clock;
mod disposition;
mod job;
mod message;
mod outcome;
mod policy;
pub mod queue;
mod registry;

pub use job::{Body, IntoMessage, Job};
pub use message::{Header, Message, MessageError, MessageId, Priority, When};
pub use outcome::{Failure, IntoOutcome, Outcome, ResultExt, fatal, retry_after, transient};
pub use policy::{Backoff, Policy};
pub use pulpo_macros::handler;
pub use registry::{Duplicate, Handler, Registry, RegistryError};
