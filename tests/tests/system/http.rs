//! The HTTP endpoint of a worker: its address, its information, and its resistance to attacks.

mod addresses;
mod hostile_hour;
mod labels;
mod slow_queue;

const WORKER: &str = env!("CARGO_BIN_EXE_operator_worker");
