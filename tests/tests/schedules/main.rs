//! Scheduled jobs: which worker publishes the occurrences of a schedule, and which ones.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod clocks;
mod deploys;
mod jobs;
mod kit;
mod processes;
mod refusals;
mod stage;
mod workers;
