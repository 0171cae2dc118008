//! pulpo as its users have it: handlers, a queue, a worker, a command line.

#[macro_use]
mod queues;

mod abandoned;
mod ahead;
mod architecture;
mod bad_queues;
mod cli;
mod configuration;
mod damage;
mod deployment;
mod deploys;
mod disk;
mod endurance;
#[cfg(target_os = "linux")]
mod folders;
#[cfg(unix)]
mod forks;
mod health;
mod hostile;
mod http;
mod jobs;
mod kills;
mod leases;
mod life;
mod limits;
mod links;
mod log_output;
mod logs;
mod messages;
mod migrations;
mod newcomer;
mod outages;
mod packages;
mod poison;
mod power;
mod process;
mod processes;
mod publishing;
mod time;
mod torture;
