//! Shared parts of the examples: their data, and a queue adapter.

pub mod line;
pub mod orders;
