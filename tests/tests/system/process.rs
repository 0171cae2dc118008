//! The process around pulpo: its environment, its folder, its signals, and its forks.

mod environment;
mod forks;
mod paths;
mod signals;
