//! Pushes many jobs through one worker, in pieces, and measures after each piece the figures that
//! must not grow: `endurance --jobs 2000000`. It fails if one grows.

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use pulpo::{Config, Pulpo};
use serde::{Deserialize, Serialize};

#[derive(Parser)]
struct Arguments {
    /// Number of jobs.
    #[arg(long, default_value_t = 20_000)]
    jobs: u64,
    /// Number of pieces.
    #[arg(long, default_value_t = 8)]
    pieces: u64,
    /// Folder for the queue [default: a folder that is deleted at the end].
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Endure {
    number: u64,
    pad: String,
}

/// Every hundredth job fails once, so that not all take the same path.
#[pulpo::handler("endure", backoff = "1ms..10ms")]
fn endure(endure: Endure, context: &pulpo::Context) -> pulpo::Outcome {
    if endure.number.is_multiple_of(100) && context.attempt() == 1 {
        Err("not at first")?;
    }
    Ok(())
}

const BATCH: u64 = 500;

/// The number of jobs for which the reader stays open.
const READ_FOR: u64 = 6000;

/// The figures that must stay flat.
#[derive(Clone, Copy, Debug)]
struct Figures {
    /// In KB.
    memory: u64,
    /// In KB.
    database: u64,
    /// In KB.
    log: u64,
    handles: u64,
    threads: u64,
}

impl Figures {
    fn take(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default()
        };
        let size = |name: &str| std::fs::metadata(folder.join(name)).map_or(0, |file| file.len() / 1024);
        Ok(Self {
            memory: number("VmRSS:"),
            database: size("queue.db"),
            log: size("queue.db-wal"),
            handles: std::fs::read_dir("/proc/self/fd")?.count() as u64,
            threads: number("Threads:"),
        })
    }

    /// Returns the figures that have grown since early on, beyond normal variation.
    fn grown(&self, early: &Self) -> Vec<&'static str> {
        let most = [
            ("memory", self.memory, early.memory * 3 / 2 + 16 * 1024),
            ("database", self.database, early.database * 3 / 2 + 1024),
            ("log", self.log, 64 * 1024),
            ("handles", self.handles, early.handles),
            ("threads", self.threads, early.threads),
        ];
        most.into_iter().filter(|(_, is, most)| is > most).map(|(name, ..)| name).collect()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { jobs, pieces, folder } = Arguments::parse();
    let made = tempfile::tempdir()?;
    let folder = folder.unwrap_or_else(|| made.path().to_owned());
    let mut config = Config::default().queue(&format!("file:{}", folder.display()))?;
    config.worker.handle_signals = false;
    config.worker.concurrency = 4;
    let pulpo = Pulpo::new(config)?;
    let worker = pulpo.worker()?;
    let stopper = worker.stopper();
    let working = std::thread::spawn(move || worker.run());

    let mut out = std::io::stdout();
    writeln!(out, "   jobs     jobs/s  memory KB  database KB  log KB  handles  threads")?;
    let mut all = Vec::new();
    for piece in 0..pieces {
        let started = Instant::now();
        // In the second piece, a long read keeps SQLite from reusing the log; later pieces must not
        // show that.
        let mut reader = (piece == 1).then(|| rusqlite::Connection::open(folder.join("queue.db"))).transpose()?;
        if let Some(reader) = &reader {
            reader.execute_batch("BEGIN; SELECT count(*) FROM message;")?;
        }
        let (first, end) = (piece * jobs / pieces, (piece + 1) * jobs / pieces);
        for from in (first..end).step_by(usize::try_from(BATCH)?) {
            let numbers = from..(from + BATCH).min(end);
            pulpo.publish_all(numbers.map(|number| Endure { number, pad: "x".repeat(200) }).collect::<Vec<_>>())?;
            if from >= first + READ_FOR {
                reader = None;
            }
            // Publish no more than the worker can keep up with.
            while waiting(&pulpo)? > 10 * BATCH {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        while waiting(&pulpo)? > 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(reader);
        let figures = Figures::take(&folder)?;
        let Figures { memory, database, log, handles, threads } = figures;
        let rate = (end - first) as f64 / started.elapsed().as_secs_f64();
        writeln!(out, "{end:>9} {rate:>8.0} {memory:>10} {database:>12} {log:>7} {handles:>8} {threads:>8}")?;
        all.push(figures);
    }
    stopper.stop();
    let summary = working.join().map_err(|_| "the worker panicked")??;
    if summary.done != jobs || summary.buried > 0 {
        return Err(format!("expected {jobs} jobs done, got {summary:?}").into());
    }
    // The reader of the second piece may leave a file handle open: SQLite closes none while a
    // process has locks on the file.
    let (Some(early), Some(last)) = (all.get(1), all.last()) else { return Ok(()) };
    match last.grown(early).as_slice() {
        [] => Ok(()),
        grown => Err(format!("grown from the second piece to the last: {}", grown.join(", ")).into()),
    }
}

fn waiting(pulpo: &Pulpo) -> Result<u64, Box<dyn Error>> {
    Ok(pulpo.queue().stats()?.total())
}
