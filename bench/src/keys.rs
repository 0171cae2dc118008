//! The cost of unique keys and limits. Compares a unique publication with a plain one, each in a
//! long queue of its own kind, and draining the same jobs with limits that never bind and without
//! limits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pulpo::clock::SystemClock;
use pulpo::queue::file::FileQueue;
use pulpo::queue::{DequeueFilter, Limit, LimitKeys, LimitKind, LimitScope, NewMessage, QueueAdapter as _, Settlement};
use pulpo::worker::{HandlerOptions, WorkerOptions};
use pulpo::{Pulpo, Rate};
use pulpo_bench::UniqueEmail;
use pulpo_tests::postgres::PostgresServer;

use crate::measure::{Effort, Row, Target};
use crate::{file, postgres, work};

pub(crate) const ROWS: &[crate::Group] = &[
    ("file unique", unique_in_file),
    ("file limits", limits_in_file),
    ("file keys", keys_in_file),
    ("postgres unique", unique_in_postgres),
    ("postgres limits", limits_in_postgres),
];

/// A plain publication takes at least this share of the time of a unique one.
const UNIQUE: Target = Target::Ratio(1.0 / 1.3);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How many keys a rate counts apart.
const KEYS: u64 = 100_000;

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
    let row = |what: &str, change: fn(&mut WorkerOptions)| {
        let rates = effort.against(|| drain(change), || drain(|_| ()));
        Row::rates(format!("{of}: drain with 8 lanes, {what}"), "pulpo, without", &rates).target(LIMITED)
    };
    vec![
        row("a limit", with_limit),
        row("a rate and a limit", with_limits),
        row("a rate of a million a day", with_long_rate),
    ]
}

/// Sets a limit of runs that no queue of the benchmark reaches.
fn with_limit(options: &mut WorkerOptions) {
    let mut handler = HandlerOptions::default();
    handler.limit = Some(1_000_000);
    options.handlers.insert("send_email".to_owned(), handler);
}

/// Sets a rate that counts everything that the benchmark starts.
fn with_long_rate(options: &mut WorkerOptions) {
    let mut handler = HandlerOptions::default();
    handler.rate = Some(Rate::new(1_000_000, DAY));
    options.handlers.insert("send_email".to_owned(), handler);
}

/// Starts the jobs of these numbers, with this many keys, each of which has a rate. Returns jobs per second.
fn start_by_key(queue: &FileQueue, numbers: std::ops::Range<u64>, keys: u64) -> f64 {
    let jobs = numbers.end - numbers.start;
    let numbers: Vec<_> = numbers.collect();
    for part in numbers.chunks(4096) {
        let message = |number: &u64| {
            let text = r#"{"header": {"request_type": "keyed"}, "body": {}}"#;
            NewMessage::new("keyed", "keyed", text).limit_keys(LimitKeys::of((number % keys).to_string()))
        };
        queue.enqueue(part.iter().map(message).collect()).expect("published");
    }
    let limit = Limit::new(LimitScope::handler(["keyed"], false), LimitKind::Rate(Rate::new(1_000_000, DAY)));
    let filter = DequeueFilter::all().limits([limit.by_key()]);
    let mut consumer = queue.consumer(&["keyed".to_owned()]).expect("a consumer");
    let started = Instant::now();
    for _ in 0..jobs {
        let delivery = consumer.dequeue(&filter, Duration::ZERO).expect("dequeue").expect("a message");
        consumer.settle(&delivery.lease, &mut Settlement::deferrable_commit()).expect("done");
    }
    jobs as f64 / started.elapsed().as_secs_f64()
}

/// Compares a queue in which 100,000 keys have started with one of few keys.
fn keys_in_file(effort: &Effort) -> Vec<Row> {
    let (many, few, jobs) = (effort.place(), effort.place(), effort.drain() / 4);
    let open = |place: &tempfile::TempDir| {
        FileQueue::open(place.path(), false, Arc::new(SystemClock::new())).expect("a queue")
    };
    let (many, few) = (open(&many), open(&few));
    start_by_key(&many, 0..KEYS, KEYS);
    let rates = effort.against(|| start_by_key(&many, 0..jobs, KEYS), || start_by_key(&few, 0..jobs, 10));
    let name = format!("file: start by one of {KEYS} keys, each with a rate per day");
    vec![Row::rates(name, "pulpo, by one of 10", &rates).target(LIMITED)]
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
