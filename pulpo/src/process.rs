//! The process that pulpo runs in: what it inherits from its parent, and what it shares with the rest of the program.
//!
//! # Invariants
//!
//! - Stray values in the environment are never an error ([`environment`]).
//! - A path of the configuration keeps its meaning when the current folder changes ([`paths`]).
//! - While no worker runs, signals behave as they would without pulpo (`signals`).
//! - A fork never uses or closes anything that its parent opened ([`fork`]).

pub(crate) mod environment;
pub(crate) mod fork;
pub(crate) mod host;
pub(crate) mod paths;
#[cfg(unix)]
pub(crate) mod signals;
