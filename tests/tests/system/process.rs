//! The process around pulpo: its environment, its folder, its signals, and its
//! forks.

mod environment;
mod paths;
mod signals;
