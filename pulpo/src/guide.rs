//! The guide, from your first job to many machines. Each page can be read on its own, and all of its code is compiled.
//!
//! 1. [Getting started](getting_started): a program, its jobs, its test.
//! 2. [Handlers](handlers): what a function may take and return.
//! 3. [Publishing](publishing): options, batches, async code, follow-ups.
//! 4. [Scheduled jobs](time): cron and periods, each time run once.
//! 5. [Unique jobs and limits](unique_jobs_and_limits): unique keys, rates and limits.
//! 6. [Failures and retries](failures): what happens to a job that does not succeed.
//! 7. [Results and status](results): ask how a job went.
//! 8. Testing: the module `pulpo::testing` of the feature `testing`.
//! 9. [Deploying](deploying): workers in production.
//! 10. [The beanstalkd queue](beanstalkd): more than one machine.
//! 11. [Writing an adapter](adapters): a queue of your own.
//!
//! This module exists only in the documentation, not in a program.

#[doc = include_str!("guide/getting_started.md")]
pub mod getting_started {}

#[doc = include_str!("guide/handlers.md")]
pub mod handlers {}

#[doc = include_str!("guide/publishing.md")]
pub mod publishing {}

#[doc = include_str!("guide/time.md")]
pub mod time {}

#[doc = include_str!("guide/unique_jobs_and_limits.md")]
pub mod unique_jobs_and_limits {}

#[doc = include_str!("guide/failures.md")]
pub mod failures {}

#[doc = include_str!("guide/results.md")]
pub mod results {}

#[doc = include_str!("guide/deploying.md")]
pub mod deploying {}

#[doc = include_str!("guide/beanstalkd.md")]
pub mod beanstalkd {}

#[doc = include_str!("guide/adapters.md")]
pub mod adapters {}
