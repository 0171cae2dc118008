//! The torture program: processes that publish and work on one queue and are
//! killed again and again, and a ledger beside the queue that tells in the end
//! whether anything was lost, stranded, or run more often than the kills
//! explain.
//!
//! `torture --queue beanstalkd --seconds 60` is the driver. It starts itself
//! in two other roles: `torture produce`, and `torture work`, which is the
//! worker that every user of pulpo has, command line and all.

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

/// Tortures a queue: producers and workers that are killed at random moments
/// and started again, handlers that fail in every way, and in the end a look
/// at what became of each job.
#[derive(Debug, Parser)]
struct Arguments {
    /// Which queue; a server is started, killed and restarted too
    #[arg(long, value_enum, default_value = "file")]
    queue: scene::Kind,
    /// For how long processes are killed; then what is left is worked off
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// How many producer processes
    #[arg(long, default_value_t = 2)]
    producers: usize,
    /// How many worker processes, of four lanes each
    #[arg(long, default_value_t = 3)]
    workers: usize,
    /// Chooses the jobs and the kills; said in the report [default: random]
    #[arg(long)]
    seed: Option<u64>,
    /// Where queue, ledger and logs are kept [default: a temporary folder,
    /// kept only if something is wrong]
    #[arg(long)]
    folder: Option<PathBuf>,
    /// The report as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("produce") => produce::main(arguments),
        // Whatever else is a word is a command of the worker.
        Some(word) if !word.starts_with('-') => work::main(),
        _ => driver::main(Arguments::parse()),
    }
}
