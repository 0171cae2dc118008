//! The forms that a handler may have, tested with the worker and the real queue.

mod asynchronous;
mod batches;
mod board;
mod follow_ups;
mod odd;
mod parameters;
mod plain;
mod server;
mod stage;
mod start;
