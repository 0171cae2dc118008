//! The queue at a beanstalkd server: what only it has to cope with.
#![allow(clippy::unwrap_used, reason = "a test")]

mod deaths;
mod faults;
mod inspection;
mod on_the_wire;
mod other_programs;
mod publish_in;
mod several;
mod slow;
mod witness;
