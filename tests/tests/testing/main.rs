//! The test kit `pulpo::testing`, used as a program's tests would use it.
#![allow(clippy::unwrap_used, reason = "a test")]

mod assertions;
mod asynchronous;
mod bodies;
mod contexts;
mod defaults;
mod inline;
mod jobs;
mod limits;
mod past;
mod relay;
mod running;
mod sign_up;
mod snooze;
mod time;
