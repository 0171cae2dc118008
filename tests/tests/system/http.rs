//! The endpoint of a worker: where it listens, what it tells, and what others
//! cannot do to it.

mod addresses;
mod hostile_hour;
mod labels;
mod slow_queue;

const WORKER: &str = env!("CARGO_BIN_EXE_operator_worker");
