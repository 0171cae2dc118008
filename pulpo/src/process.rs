//! The process that pulpo runs in: what it inherits from whoever started it,
//! and what it shares with the rest of the program.
//!
//! # Invariants
//!
//! - Nothing that was opened in one process is used or closed in a fork of it
//!   ([`fork`]).

pub(crate) mod fork;
