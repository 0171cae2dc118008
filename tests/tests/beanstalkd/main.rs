//! The queue at a beanstalkd server: what only it has to cope with.
#![allow(clippy::unwrap_used, reason = "a test")]

mod faults;
mod other_programs;
mod publish_in;
mod witness;
