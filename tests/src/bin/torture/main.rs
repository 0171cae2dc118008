//! The torture program: processes that publish and work on one queue and are killed again and
//! again, and a ledger beside the queue that shows at the end whether anything was lost, stranded,
//! or run more often than the kills explain.
//!
//! `torture --queue beanstalkd --seconds 60` is the driver. It starts itself in two other roles:
//! `torture produce`, and `torture work`, which is the worker of every user of pulpo, including its
//! command line.

mod driver;
mod faults;
mod history;
mod jobs;
mod kind;
mod ledger;
mod life;
mod process;
mod produce;
mod report;
mod scene;
mod verify;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Tortures a queue: kills producers and workers at random moments and restarts them, runs handlers
/// that fail in every way, and finally checks the fate of each job.
#[derive(Debug, Parser)]
struct Arguments {
    /// Queue to torture; a server is started, killed and restarted too
    #[arg(long, value_enum, default_value = "file")]
    queue: scene::Kind,
    /// How long to kill processes, before the queue is drained
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Number of producer processes
    #[arg(long, default_value_t = 2)]
    producers: usize,
    /// Number of worker processes, with four lanes each
    #[arg(long, default_value_t = 3)]
    workers: usize,
    /// Seed for the jobs and the kills, printed in the report [default: random]
    #[arg(long)]
    seed: Option<u64>,
    /// Folder for queue, ledger and logs [default: a temporary folder, kept only if something is wrong]
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("produce") => produce::main(arguments),
        // Any other word is a command of the worker.
        Some(word) if !word.starts_with('-') => work::main(),
        _ => driver::main(Arguments::parse()),
    }
}
