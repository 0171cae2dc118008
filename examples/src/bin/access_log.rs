//! A batch handler: the access log of a web server becomes a report.
//!
//! ```text
//! cargo run -p pulpo-examples --bin access_log
//! ```
//!
//! It shows when a batch pays off, and how it is settled. Each line of the log
//! is its own job. The handler gets up to a hundred at once, adds them up,
//! and writes the report once for all of them. It returns one outcome per line:
//! a line that is not a log line is buried alone, and you can look at it with
//! `access_log list --state buried`.
//!
//! The queue is the folder `pulpo-data`, the report is `access-report.json`,
//! which grows with each run. With arguments it is the command line of the worker.
#![allow(clippy::print_stdout, reason = "it talks to a person")]

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::{env, fs, io};

use anyhow::Context as _;
use chrono::{DateTime, FixedOffset};
use pulpo::config::Sources;
use pulpo::queue::{Filter, MessageState};
use pulpo::{Config, Outcome, Pulpo, State};
use serde::{Deserialize, Serialize};

const LOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/access.log");
const REPORT: &str = "access-report.json";

/// One line, as the server wrote it. The publisher does not parse it.
#[derive(Serialize, Deserialize)]
struct LogLine(String);

/// A batch that is not full waits a little for more. The job has its own queue, so that on a server
/// no message of another type ends a batch early.
#[pulpo::handler("log_line", queue = "log", batch = 100, linger = "100ms")]
fn add_up(lines: Vec<LogLine>, report: State<Mutex<Report>>) -> anyhow::Result<Vec<Outcome>> {
    let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
    let mut sum = report.clone();
    sum.batches += 1;
    let add = |LogLine(line): &LogLine| match Hit::read(line) {
        Ok(hit) => {
            sum.add(hit);
            Ok(())
        }
        // A retry would not help.
        Err(error) => Err(pulpo::fatal(format!("{error:#}, in {line:?}"))),
    };
    let outcomes = lines.iter().map(add).collect();
    // If this fails, the whole batch is tried again, and nothing was counted. If the worker dies
    // right after it, the batch is counted twice: a job runs at least once. To avoid that, store
    // the ids of the counted jobs.
    sum.save()?;
    *report = sum;
    Ok(outcomes)
}

/// A parsed line.
struct Hit {
    at: DateTime<FixedOffset>,
    path: String,
    status: u16,
    bytes: u64,
}

impl Hit {
    /// Parses `192.0.2.7 - ada [21/Nov/2026:09:14:05 +0100] "GET / HTTP/1.1" 200 512 "-" "curl/8"`.
    fn read(line: &str) -> anyhow::Result<Self> {
        let (_, rest) = line.split_once(" [").context("expected a time in brackets")?;
        let (at, rest) = rest.split_once("] \"").context("expected a request after the time")?;
        let at = DateTime::parse_from_str(at, "%d/%b/%Y:%H:%M:%S %z").with_context(|| format!("the time {at:?}"))?;
        let (request, rest) = rest.split_once("\" ").context("expected a status after the request")?;
        let path = request.split(' ').nth(1).with_context(|| format!("no path in the request {request:?}"))?;
        let path = path.split('?').next().unwrap_or(path).to_owned();
        let mut numbers = rest.split(' ');
        let status = numbers.next().unwrap_or_default();
        let status = status.parse().with_context(|| format!("the status {status:?}"))?;
        let bytes = match numbers.next().unwrap_or_default() {
            "-" => 0,
            bytes => bytes.parse().with_context(|| format!("the size {bytes:?}"))?,
        };
        Ok(Self { at, path, status, bytes })
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Report {
    batches: u64,
    hits: u64,
    bytes: u64,
    by_hour: BTreeMap<String, u64>,
    by_status: BTreeMap<u16, u64>,
    by_path: BTreeMap<String, u64>,
}

impl Report {
    /// Loads the report of the earlier runs.
    fn load() -> anyhow::Result<Self> {
        match fs::read(REPORT) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| format!("{REPORT} is not a report")),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {REPORT}")),
        }
    }

    fn add(&mut self, Hit { at, path, status, bytes }: Hit) {
        self.hits += 1;
        self.bytes += bytes;
        *self.by_hour.entry(at.format("%F %Hh").to_string()).or_default() += 1;
        *self.by_status.entry(status).or_default() += 1;
        *self.by_path.entry(path).or_default() += 1;
    }

    /// Saves the report atomically.
    fn save(&self) -> anyhow::Result<()> {
        let new = format!("{REPORT}.new");
        fs::write(&new, serde_json::to_vec_pretty(self)?).with_context(|| format!("cannot write {new}"))?;
        fs::rename(&new, REPORT).with_context(|| format!("cannot write {REPORT}"))
    }

    fn print(&self) {
        let widest = self.by_hour.values().max().map_or(1, |most| most / 40 + 1);
        self.by_hour.iter().for_each(|(hour, hits)| {
            println!("{hour} {hits:6} {}", "*".repeat(usize::try_from(hits / widest).unwrap_or_default()));
        });
        self.by_status.iter().for_each(|(status, hits)| println!("status {status}     {hits:6}"));
        let mut paths: Vec<_> = self.by_path.iter().collect();
        paths.sort_by_key(|(path, hits)| (std::cmp::Reverse(**hits), *path));
        paths.iter().take(5).for_each(|(path, hits)| println!("{hits:6} of {path}"));
    }
}

fn main() -> anyhow::Result<ExitCode> {
    if env::args_os().len() > 1 {
        return Ok(command_line::run());
    }
    let level = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "error".into());
    tracing_subscriber::fmt().with_env_filter(level).with_writer(io::stderr).with_ansi(false).init();

    // The worker ends after a second without new jobs.
    let mut sources = Sources::default();
    sources.set_default("sleep_duration", "1s").set_default("shutdown_after_number_of_empty_iterations", "1");
    let pulpo = Pulpo::new(Config::load_from(&sources)?)?;

    let log = fs::read_to_string(LOG).with_context(|| format!("cannot read {LOG}"))?;
    let published = pulpo.publish_all(log.lines().map(|line| LogLine(line.to_owned())))?;
    println!("published {} lines", published.len());

    let summary = pulpo.worker()?.state(Mutex::new(Report::load()?)).run()?;
    let report = Report::load()?;
    println!("counted {} lines, buried {}", summary.done, summary.buried);
    println!("{} hits in {} batches, {} bytes", report.hits, report.batches, report.bytes);
    report.print();
    for line in pulpo.queue().list(&Filter::all().state(MessageState::Buried))? {
        println!("buried {}: {}", line.id, line.last_error.unwrap_or_default());
    }
    Ok(ExitCode::SUCCESS)
}

/// The worker's command line.
mod command_line {
    use std::sync::Mutex;

    pulpo::main! {
        setup: |app| {
            app.state(Mutex::new(super::Report::load()?));
            Ok::<(), anyhow::Error>(())
        },
    }

    pub(super) fn run() -> std::process::ExitCode {
        main()
    }
}
