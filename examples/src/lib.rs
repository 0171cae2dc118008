//! What the examples share: their data, and a queue adapter.

pub mod line;
pub mod orders;
