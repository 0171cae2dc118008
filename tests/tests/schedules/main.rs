//! Jobs in time: who publishes the occurrences of a schedule, and which.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod clocks;
mod deploys;
mod jobs;
mod kit;
mod processes;
mod stage;
mod workers;
