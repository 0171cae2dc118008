//! The rows of the embedded queue.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use pulpo::Pulpo;
use pulpo::clock::SystemClock;
use pulpo::queue::file::FileQueue;
use pulpo::worker::WorkerOptions;
use pulpo_bench::{Email, RUNS};

use crate::measure::{BATCH, Effort, PRODUCERS, Row, Target, median};
use crate::{sqlite, work};

pub(crate) const ROWS: &[crate::Group] = &[
    ("file publish", publish),
    ("file drain", drain),
    ("file publish-while-draining", publish_while_draining),
    ("file backlog", backlog),
    ("file async", publish_async),
    ("file long-queue", long_queue),
    ("file large-body", large_body),
];

pub(crate) fn open(folder: &Path, lanes: usize) -> Pulpo {
    open_with(folder, lanes, |_| ())
}

pub(crate) fn open_with(folder: &Path, lanes: usize, change: fn(&mut WorkerOptions)) -> Pulpo {
    let queue = FileQueue::open(folder, false, Arc::new(SystemClock::new())).expect("a queue");
    work::pulpo_with(Arc::new(queue), lanes, change)
}

fn publish(effort: &Effort) -> Vec<Row> {
    let (time, place) = (effort.publish(), || effort.place());
    let one = effort
        .against(|| work::publish_one(&open(place().path(), 1), time), || sqlite::publish_one(place().path(), time));
    let many = effort.against(
        || work::publish_many(&open(place().path(), 1), time),
        || sqlite::publish_many(place().path(), time, false).0,
    );
    let batches = effort.against(
        || work::publish_batches(&open(place().path(), 1), time),
        || sqlite::publish_batches(place().path(), time),
    );
    let times = effort.against(
        || work::publish_many(&open(place().path(), 1), time),
        || work::publish_one(&open(place().path(), 1), time),
    );
    vec![
        Row::rates("file: publish one by one", "SQLite, one synced commit each", &one).target(Target::Ratio(0.8)),
        Row::rates("file: publish by 8 threads", "SQLite, group commits", &many),
        Row::rates("file: publish by 8 threads", "pulpo, one by one", &times).target(Target::Ratio(4.0)),
        Row::rates("file: publish in batches of 256", "SQLite, batches of 256", &batches).target(Target::Ratio(0.5)),
    ]
}

fn drain(effort: &Effort) -> Vec<Row> {
    let (jobs, place) = (effort.drain(), || effort.place());
    let limit = || sqlite::drain(place().path(), jobs, BATCH);
    let one = effort.against(|| work::drain_all(&open(place().path(), 1), jobs), limit);
    let eight = effort.against(|| work::drain_all(&open(place().path(), 8), jobs), limit);
    let of = "SQLite, lease and delete by 256";
    vec![
        Row::rates("file: drain with 1 lane", of, &one).target(Target::AtLeast(10_000.0)),
        Row::rates("file: drain with 8 lanes", of, &eight).target(Target::Ratio(0.4)),
        Row::rates("file: drain with 8 lanes", "pulpo, 1 lane", &(eight.0, one.0)).target(Target::Ratio(1.0)),
    ]
}

fn publish_while_draining(effort: &Effort) -> Vec<Row> {
    let time = effort.publish() * 2;
    let (mut ours, mut limits): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        ours.push(work::publish_while_draining(&open(effort.place().path(), 8), time));
        limits.push(sqlite::publish_many(effort.place().path(), time, true));
    }
    let both = |pick: fn(&(f64, f64)) -> f64| -> (Vec<f64>, Vec<f64>) {
        (ours.iter().map(pick).collect(), limits.iter().map(pick).collect())
    };
    let of = "SQLite, both in the same commits";
    vec![
        Row::rates("file: publish by 8 threads while 8 lanes drain", of, &both(|(published, _)| *published)),
        Row::rates("file: done by those 8 lanes", of, &both(|(_, done)| *done)),
    ]
}

/// Drains the same number of jobs from a short queue and from long ones.
fn backlog(effort: &Effort) -> Vec<Row> {
    const SHORT: u64 = 10_000;
    let sizes: &[u64] = if effort.quick { &[SHORT, 100_000] } else { &[SHORT, 100_000, 1_000_000] };
    let part = SHORT / 2;
    let places: Vec<_> = sizes.iter().map(|_| effort.place()).collect();
    let queues: Vec<_> = places.iter().map(|place| open(place.path(), 8)).collect();
    let mut next = vec![0; sizes.len()];
    let mut rates = vec![Vec::new(); sizes.len()];
    for (index, (queue, size)) in queues.iter().zip(sizes).enumerate() {
        work::fill(queue, 0..*size);
        next[index] = *size;
    }
    for round in 0..=effort.rounds {
        for (index, queue) in queues.iter().enumerate() {
            let rate = work::drain(queue, part);
            // The first round warms up.
            if round > 0 {
                rates[index].push(rate);
            }
            let left: u64 = queue.queue().stats().expect("stats").total();
            let missing = sizes[index].saturating_sub(left);
            work::fill(queue, next[index]..next[index] + missing);
            next[index] += missing;
        }
    }
    let of = |size: u64| format!("file: drain with 8 lanes, {size} waiting");
    let mut rows = vec![Row::new(of(SHORT), "jobs/s", median(&rates[0]))];
    for (size, rate) in sizes.iter().zip(&rates).skip(1) {
        let row = Row::rates(of(*size), "pulpo, 10 000 waiting", &(rate.clone(), rates[0].clone()));
        rows.push(row.target(Target::Ratio(0.8)));
    }
    rows
}

/// Publishes from async code, with as many threads as there are cores.
fn publish_async(effort: &Effort) -> Vec<Row> {
    let (time, place) = (effort.publish(), || effort.place());
    let one = effort.against(
        || work::publish_async(&open(place().path(), 1), 1, time),
        || work::publish_one(&open(place().path(), 1), time),
    );
    let eight = effort.against(
        || work::publish_async(&open(place().path(), 1), PRODUCERS, time),
        || work::publish_many(&open(place().path(), 1), time),
    );
    vec![
        Row::rates("file: publish_async one by one", "pulpo, publish", &one).target(Target::Ratio(0.9)),
        Row::rates("file: publish_async from 8 tasks", "pulpo, publish by 8 threads", &eight)
            .target(Target::Ratio(0.9)),
    ]
}

/// Measures what a long queue costs a reader of its statistics, and a publisher while the whole
/// queue falls due at once.
fn long_queue(effort: &Effort) -> Vec<Row> {
    let size = if effort.quick { 100_000 } else { 1_000_000 };
    let place = effort.place();
    let queue = open(place.path(), 8);
    let due = Utc::now() + Duration::from_secs(if effort.quick { 5 } else { 40 });
    work::fill_delayed(&queue, size, due);
    let looks: Vec<_> = (0..effort.rounds)
        .map(|_| {
            let started = Instant::now();
            queue.queue().stats().expect("stats");
            started.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    while Utc::now() < due {
        std::thread::sleep(Duration::from_millis(50));
    }
    RUNS.expect(u64::MAX, false);
    let working = work::Working::start(&queue);
    let longest = work::longest_publication(&queue, size..size + 2000);
    working.stop();
    let due_at_once = format!("file: the longest of 2000 publications while {size} fall due");
    vec![
        Row::new(format!("file: stats, {size} waiting"), "ms", median(&looks)).target(Target::Below(10.0)),
        Row::new(due_at_once, "ms", longest.as_secs_f64() * 1e3).target(Target::Below(100.0)),
    ]
}

/// Measures the bytes written to all files of the queue for a job with a body of a million bytes,
/// until it is done.
fn large_body(effort: &Effort) -> Vec<Row> {
    const SIZE: usize = 1_000_000;
    const JOBS: u64 = 50;
    let place = effort.place();
    let queue = open(place.path(), 1);
    RUNS.expect(JOBS, false);
    let before = written();
    for number in 0..JOBS {
        queue.publish(Email::of_size(number, SIZE)).expect("published");
    }
    let working = work::Working::start(&queue);
    RUNS.wait();
    working.stop();
    let each = (written() - before) / JOBS as f64 / SIZE as f64;
    vec![Row::new("file: bytes written for each of a body of 1 MB, published and done", "", each)]
}

/// Returns the number of bytes that this process has asked the system to write.
fn written() -> f64 {
    let text = std::fs::read_to_string("/proc/self/io").expect("counters");
    let line = text.lines().find_map(|line| line.strip_prefix("wchar: ")).expect("a counter");
    line.parse().expect("a number")
}
