//! The rows of the embedded queue.

use std::path::Path;
use std::sync::Arc;

use pulpo::Pulpo;
use pulpo::clock::SystemClock;
use pulpo::queue::file::FileQueue;
use pulpo::worker::WorkerOptions;

use crate::measure::{BATCH, Effort, Row, Target, median};
use crate::{sqlite, work};

pub(crate) const ROWS: &[crate::Group] = &[
    ("file publish", publish),
    ("file drain", drain),
    ("file publish-while-draining", publish_while_draining),
    ("file backlog", backlog),
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
        Row::rates("file: done by 8 lanes meanwhile", of, &both(|(_, done)| *done)),
    ]
}

/// The same number of jobs taken from a short queue and from long ones.
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
