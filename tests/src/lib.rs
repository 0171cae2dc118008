//! What the tests of the whole system share.

pub mod program;
pub mod wait;
