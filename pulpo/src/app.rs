//! A program with pulpo in it: its configuration, the instance that it publishes to and works, and what keeps it from
//! doing its jobs.

pub(crate) mod check;
pub mod config;
pub(crate) mod instance;
#[cfg(feature = "cli")]
pub(crate) mod setup;
