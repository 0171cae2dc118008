//! The process that pulpo runs in: what it inherits from whoever started it,
//! and what it shares with the rest of the program.
//!
//! # Invariants
//!
//! - What the environment holds by accident is never an error ([`environment`]).
//! - A path of the configuration means the same after a change of the current
//!   folder ([`paths`]).
//! - While no worker runs, signals do what they would do without pulpo
//!   (`signals`).
//! - Nothing that was opened in one process is used or closed in a fork of it
//!   ([`fork`]).

pub(crate) mod environment;
pub(crate) mod fork;
pub(crate) mod host;
pub(crate) mod paths;
#[cfg(unix)]
pub(crate) mod signals;
