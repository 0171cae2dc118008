//! Messages and decisions, without a queue, a clock or a thread.

pub(crate) mod decode;
pub(crate) mod disposition;
pub(crate) mod keys;
pub(crate) mod message;
pub(crate) mod outcome;
pub(crate) mod policy;
pub mod schedule;
pub(crate) mod shape;
