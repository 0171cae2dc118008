//! The slots of the lanes: a lane that takes jobs and settles them, the monitor that renews leases, settles jobs and
//! puts them back, a visitor that only reads, and a stop.
//!
//! Waits end only by notifications. So a missed wake-up is a deadlock, which shuttle reports.

use std::time::Duration;

use shuttle::thread;

use super::slot::InFlightSlot;
use super::waker::MonitorWaker;
use crate::clock::Notify;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sync::{Arc, Mutex, lock};

/// A job in hand: its number, and what the monitor still has to do about it.
struct Job {
    number: usize,
    must_be_renewed: bool,
    has_timed_out: bool,
}

struct Worker {
    slot: InFlightSlot<Job>,
    monitor: MonitorWaker,
    notify: Arc<Notify>,
    /// How often each job was settled or put back.
    ends: Mutex<Vec<u32>>,
    renewals: AtomicU32,
    stops: AtomicBool,
}

impl Worker {
    fn new(jobs: usize) -> Arc<Self> {
        let notify = Arc::new(Notify::default());
        Arc::new(Self {
            slot: InFlightSlot::default(),
            monitor: MonitorWaker::new(notify.clone()),
            notify,
            ends: Mutex::new(vec![0; jobs]),
            renewals: AtomicU32::new(0),
            stops: AtomicBool::new(false),
        })
    }

    fn end(&self, job: &Job) {
        lock(&self.ends)[job.number] += 1;
    }

    fn stop(&self) {
        self.stops.store(true, Ordering::SeqCst);
        self.notify.notify();
    }

    /// Takes job after job, each of which the monitor has something to do about;
    /// ends when one was taken away.
    fn lane(&self, jobs: usize, has_timed_out: bool) {
        for number in 0..jobs {
            if self.stops.load(Ordering::SeqCst) {
                break;
            }
            let job = Job { number, must_be_renewed: true, has_timed_out };
            self.slot.with(&self.monitor, |slot| *slot = Some(job));
            self.monitor.wake_by(Some(Duration::ZERO));
            thread::yield_now();
            let settled = self.slot.with(&self.monitor, |slot| slot.take().inspect(|job| self.end(job)));
            if settled.is_none() {
                break;
            }
        }
        self.slot.end();
        self.monitor.wake();
    }

    /// Watches the slot until the lane has ended, or everything is put back after a stop.
    fn watch(&self) {
        loop {
            let seen = self.monitor.begin_check();
            if self.slot.is_left() {
                return;
            }
            let stops = self.stops.load(Ordering::SeqCst);
            if let Some(mut slot) = self.slot.visit()
                && let Some(job) = &mut *slot
            {
                if std::mem::take(&mut job.must_be_renewed) {
                    self.renewals.fetch_add(1, Ordering::SeqCst);
                }
                if stops || job.has_timed_out {
                    let job = slot.take().expect("just seen");
                    self.end(&job);
                }
            }
            self.monitor.wait(seen, None, Duration::ZERO);
        }
    }

    /// No job ended twice, and none is left; of `all`, none was left out.
    fn assert_each_ended_once(&self, all: bool) {
        let ends = lock(&self.ends).clone();
        assert!(ends.iter().all(|count| *count <= 1), "one ended twice: {ends:?}");
        assert!(!all || ends.iter().all(|count| *count == 1), "one did not end: {ends:?}");
        assert!(self.slot.is_left(), "something is left in the slot");
    }
}

const JOBS: usize = 3;

/// A lane finishes its jobs while the monitor renews their leases: each is
/// settled once, by the lane.
pub fn a_lane_that_finishes_while_the_monitor_looks_settles_each_job() {
    let worker = Worker::new(JOBS);
    let (lane, monitor) = (worker.clone(), worker.clone());
    let lane = thread::spawn(move || lane.lane(JOBS, false));
    let monitor = thread::spawn(move || monitor.watch());
    lane.join().expect("the lane");
    monitor.join().expect("the monitor");
    worker.assert_each_ended_once(true);
    assert!(worker.renewals.load(Ordering::SeqCst) as usize <= JOBS);
}

/// A job has timed out when its handler returns: the lane settles it, or the
/// monitor does, and never both.
pub fn a_job_that_times_out_as_it_ends_is_settled_once() {
    let worker = Worker::new(1);
    let (lane, monitor) = (worker.clone(), worker.clone());
    let lane = thread::spawn(move || lane.lane(1, true));
    let monitor = thread::spawn(move || monitor.watch());
    lane.join().expect("the lane");
    monitor.join().expect("the monitor");
    worker.assert_each_ended_once(true);
}

/// A stop comes at any point: each job that was begun is settled or put back, once.
pub fn a_stop_at_any_point_ends_each_begun_job_once() {
    let worker = Worker::new(JOBS);
    let (lane, monitor, stopper) = (worker.clone(), worker.clone(), worker.clone());
    let lane = thread::spawn(move || lane.lane(JOBS, false));
    let monitor = thread::spawn(move || monitor.watch());
    let stopper = thread::spawn(move || stopper.stop());
    lane.join().expect("the lane");
    monitor.join().expect("the monitor");
    stopper.join().expect("the stop");
    worker.assert_each_ended_once(false);
}

/// A visitor reads the slot: the monitor that found it in use comes again.
pub fn the_monitor_misses_nothing_while_somebody_looks() {
    let worker = Worker::new(1);
    let held = Job { number: 0, must_be_renewed: true, has_timed_out: true };
    worker.slot.with(&worker.monitor, |slot| *slot = Some(held));
    let (monitor, visitor) = (worker.clone(), worker.clone());
    let monitor = thread::spawn(move || {
        while lock(&monitor.ends)[0] == 0 {
            let seen = monitor.monitor.begin_check();
            if let Some(mut slot) = monitor.slot.visit() {
                slot.take().inspect(|job| monitor.end(job));
                return;
            }
            monitor.monitor.wait(seen, None, Duration::ZERO);
        }
    });
    let visitor = thread::spawn(move || {
        for _ in 0..2 {
            visitor.slot.try_with(&visitor.monitor, |_| thread::yield_now());
        }
    });
    monitor.join().expect("the monitor");
    visitor.join().expect("the visitor");
    worker.slot.end();
    worker.assert_each_ended_once(true);
}
