//! Shared measurements of all queues: publishing and draining through pulpo.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use pulpo::clock::SystemClock;
use pulpo::queue::QueueAdapter;
use pulpo::worker::{Stopper, Summary, WorkerOptions};
use pulpo::{Message, Pulpo, worker::Worker};
use pulpo_bench::{Email, RUNS};

use crate::measure::{BATCH, PRODUCERS};

/// Creates a `Pulpo` with this many lanes.
pub(crate) fn pulpo(queue: Arc<dyn QueueAdapter>, lanes: usize) -> Pulpo {
    pulpo_with(queue, lanes, |_| ())
}

/// Creates a `Pulpo` with changed options.
pub(crate) fn pulpo_with(queue: Arc<dyn QueueAdapter>, lanes: usize, change: fn(&mut WorkerOptions)) -> Pulpo {
    let mut options = WorkerOptions::default();
    options.concurrency = lanes;
    options.handle_signals = false;
    change(&mut options);
    Pulpo::with_queue(queue, options, Arc::new(SystemClock::new()))
}

/// A worker on a thread.
pub(crate) struct Working {
    stopper: Stopper,
    thread: thread::JoinHandle<Summary>,
}

impl Working {
    pub(crate) fn start(pulpo: &Pulpo) -> Self {
        let worker: Worker = pulpo.worker().expect("a handler");
        let stopper = worker.stopper();
        Self { stopper, thread: thread::spawn(move || worker.run().expect("a run")) }
    }

    pub(crate) fn stop(self) -> Summary {
        self.stopper.stop();
        self.thread.join().expect("no panic")
    }
}

/// Publishes one job after the other; returns jobs per second.
pub(crate) fn publish_one(pulpo: &Pulpo, time: Duration) -> f64 {
    warm_up(pulpo);
    let (started, mut n) = (Instant::now(), 0);
    while started.elapsed() < time {
        pulpo.publish(Email::numbered(n)).expect("published");
        n += 1;
    }
    n as f64 / started.elapsed().as_secs_f64()
}

/// Publishes the first job, which connects, and is not counted in the rate.
fn warm_up(pulpo: &Pulpo) {
    pulpo.publish(Email::numbered(0)).expect("published");
}

/// Publishes from eight threads.
pub(crate) fn publish_many(pulpo: &Pulpo, time: Duration) -> f64 {
    // This is job 0.
    warm_up(pulpo);
    let (next, started) = (AtomicU64::new(1), Instant::now());
    thread::scope(|scope| {
        for _ in 0..PRODUCERS {
            scope.spawn(|| {
                while started.elapsed() < time {
                    pulpo.publish(Email::numbered(next.fetch_add(1, Relaxed))).expect("published");
                }
            });
        }
    });
    next.load(Relaxed) as f64 / started.elapsed().as_secs_f64()
}

/// Publishes in batches.
pub(crate) fn publish_batches(pulpo: &Pulpo, time: Duration) -> f64 {
    warm_up(pulpo);
    let (started, mut n) = (Instant::now(), 0);
    while started.elapsed() < time {
        pulpo.publish_all((n..n + BATCH).map(Email::numbered)).expect("published");
        n += BATCH;
    }
    n as f64 / started.elapsed().as_secs_f64()
}

/// Publishes from this number of async tasks, each one job after the other.
pub(crate) fn publish_async(pulpo: &Pulpo, tasks: u64, time: Duration) -> f64 {
    warm_up(pulpo);
    let runtime = tokio::runtime::Builder::new_multi_thread().build().expect("a runtime");
    let (next, started) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let publish = |pulpo: Pulpo, next: Arc<AtomicU64>| async move {
        while started.elapsed() < time {
            let email = Email::numbered(next.fetch_add(1, Relaxed));
            pulpo.publish_async(email).await.expect("published");
        }
    };
    let all: Vec<_> = (0..tasks).map(|_| runtime.spawn(publish(pulpo.clone(), next.clone()))).collect();
    runtime.block_on(async {
        for task in all {
            task.await.expect("no panic");
        }
    });
    next.load(Relaxed) as f64 / started.elapsed().as_secs_f64()
}

/// Publishes one job after the other, and returns the longest time that one took.
pub(crate) fn longest_publication(pulpo: &Pulpo, numbers: std::ops::Range<u64>) -> Duration {
    let publish = |number| {
        let started = Instant::now();
        pulpo.publish(Email::numbered(number)).expect("published");
        started.elapsed()
    };
    numbers.map(publish).max().unwrap_or_default()
}

/// Publishes delayed jobs as fast as possible.
pub(crate) fn fill_delayed(pulpo: &Pulpo, count: u64, due: DateTime<Utc>) {
    for first in (0..count).step_by(4096) {
        let numbers = first..(first + 4096).min(count);
        let messages = numbers.map(|number| Message::new(Email::numbered(number)).delay(due));
        pulpo.publish_all(messages).expect("published");
    }
}

/// Publishes these jobs as fast as possible.
pub(crate) fn fill(pulpo: &Pulpo, numbers: std::ops::Range<u64>) {
    let mut first = numbers.start;
    while first < numbers.end {
        let end = (first + 4096).min(numbers.end);
        pulpo.publish_all((first..end).map(Email::numbered)).expect("published");
        first = end;
    }
}

/// Runs `jobs` waiting jobs; returns jobs per second.
pub(crate) fn drain(pulpo: &Pulpo, jobs: u64) -> f64 {
    RUNS.expect(jobs, false);
    let started = Instant::now();
    let working = Working::start(pulpo);
    let took = RUNS.wait().duration_since(started);
    working.stop();
    assert_eq!(RUNS.twice(), 0, "each job runs once");
    jobs as f64 / took.as_secs_f64()
}

/// Runs `jobs` waiting jobs, and checks that the queue is empty afterwards.
pub(crate) fn drain_all(pulpo: &Pulpo, jobs: u64) -> f64 {
    fill(pulpo, 0..jobs);
    let rate = drain(pulpo, jobs);
    let left: u64 = pulpo.queue().stats().expect("stats").total();
    assert_eq!((RUNS.count(), left), (jobs, 0), "all jobs are done");
    rate
}

/// Eight threads publish while eight lanes work. Returns the jobs published and the
/// jobs done, per second.
pub(crate) fn publish_while_draining(pulpo: &Pulpo, time: Duration) -> (f64, f64) {
    RUNS.expect(u64::MAX, false);
    let working = Working::start(pulpo);
    let started = Instant::now();
    let published = publish_many(pulpo, time);
    let done = RUNS.count() as f64 / started.elapsed().as_secs_f64();
    working.stop();
    assert_eq!(RUNS.twice(), 0, "each job runs once");
    (published, done)
}
