//! A queue, a clock that stands still, and workers with some of the handlers.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, Utc};
use pulpo::Registry;
use pulpo::clock::{Clock as _, ManualClock};
use pulpo::queue::file::FileQueue;
use pulpo::queue::{Filter, Inspection as _, QueueAdapter as _, ScheduleStore as _, Schedules, StoredMessage};
use pulpo::worker::{Stopper, Worker, WorkerOptions};
use pulpo_tests::wait::until;

use crate::jobs::Runs;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) struct Stage {
    pub(crate) clock: ManualClock,
    pub(crate) queue: FileQueue,
    pub(crate) runs: Runs,
}

/// A worker on its thread, stopped on drop.
pub(crate) struct Working {
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.stopper.stop();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the worker does not panic");
    }
}

impl Stage {
    /// Starts on a Monday at noon.
    pub(crate) fn new() -> Self {
        Self::at("2026-11-23T12:00:00Z")
    }

    pub(crate) fn at(now: &str) -> Self {
        let clock = ManualClock::at(time(now));
        let queue = FileQueue::memory(false, Arc::new(clock.clone())).unwrap();
        Self { clock, queue, runs: Runs::default() }
    }

    /// Creates a worker with these handlers, for all queues.
    pub(crate) fn worker(&self, handlers: &[&str], mut options: WorkerOptions) -> Worker {
        let all = Registry::collect().unwrap();
        let registry = Registry::of(handlers.iter().map(|name| all.get(name).unwrap())).unwrap();
        options.handle_signals = false;
        options.concurrency = 2;
        let clock = Arc::new(self.clock.clone());
        Worker::with_clock(Arc::new(self.queue.clone()), registry, options, clock).state(self.runs.clone())
    }

    pub(crate) fn work(&self, handlers: &[&str]) -> Working {
        self.work_with(handlers, WorkerOptions::default())
    }

    pub(crate) fn work_with(&self, handlers: &[&str], options: WorkerOptions) -> Working {
        let worker = self.worker(handlers, options);
        let stopper = worker.stopper();
        let working = Working { stopper, thread: Some(std::thread::spawn(move || assert!(worker.run().is_ok()))) };
        for name in handlers {
            self.once_settled(name);
        }
        working
    }

    /// Lets time pass, and waits until the workers have processed these schedules, and all jobs
    /// that they published have run.
    pub(crate) fn pass(&self, time: Duration, names: &[&str]) {
        // A lease must not end while its job runs.
        until("all has run", || self.messages().is_empty());
        self.clock.advance(time);
        for name in names {
            self.once_settled(name);
        }
        until("all has run", || self.messages().is_empty());
    }

    /// Lets time pass while no worker runs.
    pub(crate) fn pass_alone(&self, time: Duration) {
        self.clock.advance(time);
    }

    pub(crate) fn once_settled(&self, name: &str) {
        let now = self.clock.now();
        until(&format!("{name} is settled until {now}, of {:?}", self.known()), || {
            let known = self.known();
            let mut of_name = known.entries.iter().filter(|entry| entry.name == name).peekable();
            of_name.peek().is_some()
                && of_name.all(|entry| (now - entry.settled).abs() < chrono::TimeDelta::seconds(10))
        });
    }

    pub(crate) fn known(&self) -> Schedules {
        self.queue.read_schedules().unwrap()
    }

    pub(crate) fn messages(&self) -> Vec<StoredMessage> {
        self.queue.list(&Filter::all()).unwrap()
    }

    /// Asserts that exactly these jobs ran, in any order.
    #[track_caller]
    pub(crate) fn assert_ran(&self, expected: &[&str]) {
        let mut runs = self.runs.all();
        runs.sort();
        assert_eq!(runs, expected);
    }

    pub(crate) fn schedules(&self) -> &dyn pulpo::queue::ScheduleStore {
        self.queue.schedules().unwrap()
    }
}

pub(crate) fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}
