//! Measures what pulpo achieves, and in the same run what SQLite and beanstalkd achieve alone;
//! prints one table.
//!
//! `scripts/figures` builds and runs it, and writes the table into the docs.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use self::measure::{Effort, Row};

mod beanstalkd;
mod dashboard;
mod file;
mod growth;
mod idle;
mod keys;
mod latency;
mod measure;
mod postgres;
mod server;
mod sqlite;
mod table;
mod work;

/// Rows that are measured together, and their name on the command line.
type Group = (&'static str, fn(&Effort) -> Vec<Row>);

/// Measures what pulpo achieves, and what the disk and the server achieve alone.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Run only the groups whose name contains one of these.
    filters: Vec<String>,
    /// Run fewer and shorter rounds.
    #[arg(long)]
    quick: bool,
    /// Number of rounds (default: 7, or 3 with --quick).
    #[arg(long)]
    rounds: Option<usize>,
    /// Print the rows as JSON.
    #[arg(long)]
    json: bool,
    /// Print the names of the groups.
    #[arg(long)]
    list: bool,
    /// Folder for the queues, on a disk and not in memory (default: the
    /// folder for temporary files).
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// The other processes of a row, and what is measured apart from the table.
#[derive(Subcommand)]
enum Command {
    /// Many worker processes on one PostgreSQL and on one beanstalkd.
    Growth {
        #[arg(long, default_value_t = 200)]
        processes: usize,
        #[arg(long, default_value_t = 2)]
        lanes: usize,
    },
    #[command(hide = true)]
    ChildWorker { place: String, lanes: usize },
    #[command(hide = true)]
    ChildJobs { place: String, what: String, jobs: u64 },
}

fn main() {
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Command::ChildWorker { place, lanes }) => return latency::child_worker(&place, lanes),
        Some(Command::Growth { processes, lanes }) => return growth::measure(processes, lanes),
        Some(Command::ChildJobs { place, what, jobs }) => return idle::child_jobs(&place, &what, jobs),
        None => {}
    }
    let quick = arguments.quick;
    let rounds = arguments.rounds.unwrap_or(if quick { 3 } else { 7 });
    let effort = Effort { rounds, quick, folder: arguments.folder };
    let groups =
        [file::ROWS, dashboard::ROWS, keys::ROWS, latency::ROWS, beanstalkd::ROWS, postgres::ROWS, idle::ROWS].concat();
    let wanted = |name: &str| {
        arguments.filters.is_empty() || arguments.filters.iter().any(|filter| name.contains(filter.as_str()))
    };
    let mut rows = Vec::new();
    for (name, measure) in groups.into_iter().filter(|(name, _)| wanted(name)) {
        if arguments.list {
            println!("{name}");
            continue;
        }
        eprintln!("measuring: {name}");
        rows.extend(measure(&effort));
    }
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    if arguments.json {
        let document = serde_json::json!({"cores": cores, "rounds": rounds, "rows": rows});
        println!("{}", serde_json::to_string_pretty(&document).expect("JSON"));
    } else if !rows.is_empty() {
        println!("{} cores, medians of {rounds} rounds\n\n{}", cores, table::markdown(&rows));
    }
}
