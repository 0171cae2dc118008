//! The cost of unique keys and limits. Compares a unique publication with a plain one, each in a
//! long queue of its own kind, and draining the same jobs with limits that never bind and without
//! limits.

use std::time::{Duration, Instant};

use pulpo::worker::{HandlerOptions, WorkerOptions};
use pulpo::{Pulpo, Rate};
use pulpo_bench::UniqueEmail;
use pulpo_tests::postgres::PostgresServer;

use crate::measure::{Effort, Row, Target};
use crate::{file, postgres, work};

pub(crate) const ROWS: &[crate::Group] = &[
    ("file unique", unique_in_file),
    ("file limits", limits_in_file),
    ("postgres unique", unique_in_postgres),
    ("postgres limits", limits_in_postgres),
];

/// A plain publication takes at least this share of the time of a unique one.
const UNIQUE: Target = Target::Ratio(1.0 / 1.3);

/// The drain with limits reaches at least this share of the drain without.
const LIMITED: Target = Target::Ratio(0.8);

fn backlog(effort: &Effort) -> u64 {
    if effort.quick { 100_000 } else { 1_000_000 }
}

/// Publishes one message after the other, into a queue that is already long.
fn publish_unique(pulpo: &Pulpo, next: &mut u64, time: Duration) -> f64 {
    let (first, started) = (*next, Instant::now());
    while started.elapsed() < time {
        pulpo.publish(UniqueEmail::numbered(*next)).expect("published");
        *next += 1;
    }
    (*next - first) as f64 / started.elapsed().as_secs_f64()
}

fn unique(of: &str, effort: &Effort, keyed: &Pulpo, plain: &Pulpo) -> Vec<Row> {
    let size = backlog(effort);
    work::fill(plain, 0..size);
    for first in (0..size).step_by(4096) {
        let numbers = first..(first + 4096).min(size);
        keyed.publish_all(numbers.map(UniqueEmail::numbered)).expect("published");
    }
    let (time, mut next) = (effort.publish(), size);
    let rates = effort.against(|| publish_unique(keyed, &mut next, time), || work::publish_one(plain, time));
    let kept = keyed.publish(UniqueEmail::numbered(0)).expect("published");
    assert_eq!(kept.publication(), pulpo::Publication::Kept, "the first of them is still there");
    let name = format!("{of}: publish a unique job, {size} waiting");
    vec![Row::rates(name, "pulpo, a plain job", &rates).target(UNIQUE)]
}

/// Sets limits of both kinds that no queue of the benchmark reaches.
fn with_limits(options: &mut WorkerOptions) {
    let mut handler = HandlerOptions::default();
    handler.rate = Some(Rate::new(1_000_000_000, Duration::from_secs(1)));
    handler.limit = Some(1_000_000);
    options.handlers.insert("send_email".to_owned(), handler);
}

fn limits(of: &str, effort: &Effort, drain: impl Fn(fn(&mut WorkerOptions)) -> f64) -> Vec<Row> {
    let rates = effort.against(|| drain(with_limits), || drain(|_| ()));
    let name = format!("{of}: drain with 8 lanes, a rate and a limit");
    vec![Row::rates(name, "pulpo, without", &rates).target(LIMITED)]
}

fn unique_in_file(effort: &Effort) -> Vec<Row> {
    let (keyed, plain) = (effort.place(), effort.place());
    unique("file", effort, &file::open(keyed.path(), 1), &file::open(plain.path(), 1))
}

fn limits_in_file(effort: &Effort) -> Vec<Row> {
    let jobs = effort.drain();
    limits("file", effort, |change| work::drain_all(&file::open_with(effort.place().path(), 8, change), jobs))
}

fn unique_in_postgres(effort: &Effort) -> Vec<Row> {
    let server = PostgresServer::durable();
    unique("postgres", effort, &postgres::open(&server.fresh_url(), 1), &postgres::open(&server.fresh_url(), 1))
}

fn limits_in_postgres(effort: &Effort) -> Vec<Row> {
    let (server, jobs) = (PostgresServer::durable(), effort.drain() / 2);
    limits("postgres", effort, |change| work::drain_all(&postgres::open_with(&server.fresh_url(), 8, change), jobs))
}
