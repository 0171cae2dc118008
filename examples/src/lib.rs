//! What the examples share: their data.

pub mod orders;
