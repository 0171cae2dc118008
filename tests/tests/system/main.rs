//! pulpo as its users see it: handlers, a queue, a worker, a command line.

#[macro_use]
mod queues;

mod abandoned;
mod adapters;
mod architecture;
mod bad_queues;
mod changed_bodies;
mod cli;
mod configuration;
mod crashing_jobs;
mod damage;
mod dashboard;
mod deployment;
mod disk;
mod encryption;
mod endurance;
#[cfg(target_os = "linux")]
mod folders;
#[cfg(unix)]
mod forks;
mod fsync;
mod health;
mod hostile_messages;
mod http;
mod jobs;
mod kills;
mod leases;
mod lifecycle;
mod limits;
mod links;
mod log_output;
mod logs;
mod messages;
mod migrations;
mod monitoring;
mod outages;
mod outbox;
mod packages;
mod past;
mod postgres;
mod prefetch;
mod process;
mod processes;
mod publishing;
mod readme;
mod rolling_deploys;
mod running;
#[cfg(target_os = "linux")]
mod scripts;
mod spool;
mod time;
mod torture;
mod transfer;
mod unique_jobs_and_limits;
