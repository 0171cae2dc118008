//! The queue on a beanstalkd server: cases that concern only this queue.
#![allow(clippy::unwrap_used, reason = "a test")]

mod cuts;
mod deaths;
mod faults;
mod inspection;
mod on_the_wire;
mod other_programs;
mod publish_in;
mod reasons;
mod refusals;
mod several;
mod several_faults;
mod slow;
mod snoozes;
mod witness;
