//! The workers of a queue, and the jobs that they run.

use super::harness::Harness;
use super::steps::{ConsumerExt as _, HarnessExt as _, SECOND, everything, message, ttr};
use crate::queue::{
    Consumer, LongRun, MessageState, Progress, RunningJob, Settlement, WorkerEntry, WorkerReport, Workers,
};

/// Returns the capability; `None` if this queue says that it does not have it.
fn workers(harness: &dyn Harness) -> Option<&dyn Workers> {
    let workers = harness.queue().workers();
    assert_eq!(workers.is_some(), harness.queue().capabilities().workers);
    workers
}

fn report(program: &str, queues: &[&str], lanes: usize, harness: &dyn Harness) -> WorkerReport {
    WorkerReport {
        host: "here".to_owned(),
        pid: 4711,
        program: program.to_owned(),
        program_version: Some("1.2.3".to_owned()),
        pulpo_version: "0.9.0".to_owned(),
        since: harness.now(),
        queues: queues.iter().map(|&queue| queue.to_owned()).collect(),
        lanes,
        types: vec!["order".to_owned()],
        shapes: [("order".to_owned(), format!("1-{lanes:016x}"))].into(),
    }
}

fn one(workers: &dyn Workers) -> WorkerEntry {
    let mut all = workers.read_workers().expect("workers");
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn jobs(workers: &dyn Workers) -> Vec<RunningJob> {
    one(workers).running
}

/// Takes a message whose run is reported to the queue.
fn long_run(workers: &dyn Workers, consumer: &mut Box<dyn Consumer>) -> crate::queue::Lease {
    let lease = consumer.take().lease;
    workers.follow_runs(&[LongRun::new(lease.clone())]).expect("follow");
    lease
}

pub(super) fn a_worker_is_listed_while_it_works(harness: &dyn Harness) {
    let Some(workers) = workers(harness) else { return };
    assert_eq!(workers.read_workers().expect("workers"), []);
    // A consumer alone is not a worker.
    let _consumer = harness.consumer();
    assert_eq!(workers.read_workers().expect("workers"), []);
    workers.report_worker(1, &report("shop", &["mail", "b"], 4, harness)).expect("report");
    let entry = one(workers);
    let WorkerReport { host, pid, program, program_version, pulpo_version, queues, lanes, types, shapes, .. } =
        entry.report;
    assert_eq!(types, ["order"]);
    assert_eq!(shapes, [("order".to_owned(), "1-0000000000000004".to_owned())].into());
    assert_eq!((host.as_str(), pid, program.as_str(), pulpo_version.as_str()), ("here", 4711, "shop", "0.9.0"));
    assert_eq!(
        (program_version.as_deref(), queues, lanes),
        (Some("1.2.3"), vec!["b".to_owned(), "mail".to_owned()], 4)
    );
    assert_eq!(entry.running, []);

    workers.report_worker(1, &report("shop", &["mail"], 4, harness)).expect("report");
    assert_eq!(one(workers).report.queues, ["mail"], "the last report counts");
    workers.report_worker(2, &report("shop", &["a"], 3, harness)).expect("report");
    let both = one(workers).report;
    assert_eq!((both.queues, both.lanes), (vec!["a".to_owned(), "mail".to_owned()], 7), "one entry for a process");
    workers.remove_worker(1).expect("remove");
    assert_eq!(one(workers).report.lanes, 3);
    workers.remove_worker(2).expect("remove");
    workers.remove_worker(2).expect("removing it again changes nothing");
    assert_eq!(workers.read_workers().expect("workers"), []);
}

pub(super) fn a_worker_is_listed_with_what_it_runs(harness: &dyn Harness) {
    let Some(workers) = workers(harness) else { return };
    let mut consumer = harness.consumer();
    workers.report_worker(1, &report("shop", &["conformance"], 4, harness)).expect("report");
    let waits = harness.put(message("waits"));
    assert_eq!(jobs(workers), []);
    let first = long_run(workers, &mut consumer);
    harness.pass(SECOND);
    let second = harness.put(message("second"));
    let mut other = harness.consumer();
    let again = long_run(workers, &mut other);
    other.settle(&again, &mut Settlement::rollback(std::time::Duration::ZERO, "no luck", true)).expect("rollback");
    let again = long_run(workers, &mut other);
    let running = jobs(workers);
    assert_eq!(running.iter().map(|job| &job.id).collect::<Vec<_>>(), [&waits, &second], "the oldest run first");
    assert_eq!(running.iter().map(|job| job.attempt).collect::<Vec<_>>(), [1, 2]);
    let job = &running[0];
    assert_eq!((job.request_type.as_str(), job.queue.as_str()), ("type", "conformance"));
    assert!((harness.now() - job.since).num_milliseconds() >= 900, "{:?} at {}", job.since, harness.now());
    let lease = harness.peek(&waits).lease.expect("it is leased");
    assert!(lease.starts_with(&format!("{}-", one(workers).id)), "the lease {lease} begins with the worker's own id");
    consumer.settle(&first, &mut Settlement::commit()).expect("commit");
    assert_eq!(jobs(workers).len(), 1);
    other.settle(&again, &mut Settlement::bury("fatal", true)).expect("bury");
    assert_eq!(jobs(workers), []);
    workers.remove_worker(1).expect("remove");
}

pub(super) fn a_message_that_is_only_leased_ahead_does_not_count_as_running(harness: &dyn Harness) {
    let Some(workers) = workers(harness) else { return };
    let mut consumer = harness.consumer();
    workers.report_worker(1, &report("shop", &["conformance"], 1, harness)).expect("report");
    (0..20).for_each(|n| drop(harness.put(message(&n.to_string()))));
    for _ in 0..10 {
        let lease = consumer.take().lease;
        consumer.settle(&lease, &mut Settlement::deferrable_commit()).expect("commit");
    }
    let runs = consumer.take().lease;
    workers.follow_runs(&[LongRun::new(runs.clone())]).expect("follow");
    let running: Vec<_> = jobs(workers).into_iter().map(|job| job.id).collect();
    assert_eq!(running, std::slice::from_ref(&runs.id));
    consumer.settle(&runs, &mut Settlement::commit()).expect("commit");
    consumer.flush().expect("flush");
    workers.remove_worker(1).expect("remove");
}

pub(super) fn a_cancelled_run_is_listed_as_cancelled(harness: &dyn Harness) {
    let Some(workers) = workers(harness).filter(|_| harness.queue().capabilities().cancels) else { return };
    let mut consumer = harness.consumer();
    workers.report_worker(1, &report("shop", &["conformance"], 1, harness)).expect("report");
    harness.put(message("runs"));
    let lease = long_run(workers, &mut consumer);
    assert_eq!(jobs(workers).iter().map(|job| job.cancelled).collect::<Vec<_>>(), [false]);
    harness.queue().cancel(&everything()).expect("cancel");
    assert_eq!(jobs(workers).iter().map(|job| job.cancelled).collect::<Vec<_>>(), [true]);
    consumer.settle(&lease, &mut Settlement::commit()).expect_err("buried");
    assert_eq!(jobs(workers), []);
    workers.remove_worker(1).expect("remove");
}

pub(super) fn progress_is_shown_while_a_run_lasts(harness: &dyn Harness) {
    let Some(workers) = workers(harness) else { return };
    let mut consumer = harness.consumer();
    workers.report_worker(1, &report("shop", &["conformance"], 1, harness)).expect("report");
    let id = harness.put(message("runs"));
    let mut lease = long_run(workers, &mut consumer);
    assert_eq!(harness.peek(&id).progress, None);
    let say = |lease: &crate::queue::Lease, fraction, text: &str| {
        let progress = Progress::new(fraction, text, harness.now());
        workers.follow_runs(&[LongRun::new(lease.clone()).progress(progress)]).expect("follow");
    };
    let settlements = [
        Settlement::rollback(std::time::Duration::ZERO, "no luck", true),
        Settlement::rollback(std::time::Duration::ZERO, "stopped", false),
        Settlement::bury("fatal", true),
    ];
    for mut settlement in settlements {
        say(&lease, 0.25, "row 1\0 of 4");
        say(&lease, 0.5, "половина");
        for progress in [harness.peek(&id).progress, jobs(workers)[0].progress.clone()] {
            let progress = progress.expect("the handler has reported it");
            assert_eq!((progress.fraction.to_bits(), progress.text.as_str()), (0.5_f64.to_bits(), "половина"));
            let age = (harness.now() - progress.at).num_seconds();
            assert!((-5..60).contains(&age), "{age}");
        }
        assert_eq!(
            harness.queue().list(&everything()).expect("list")[0].progress.as_ref().map(|of| of.fraction),
            Some(0.5)
        );
        consumer.settle(&lease, &mut settlement).expect("settled");
        assert_eq!(harness.peek(&id).progress, None, "progress ends with its run: {settlement:?}");
        say(&lease, 0.9, "too late");
        assert_eq!(harness.peek(&id).progress, None, "that run is over");
        if harness.state(&id) == MessageState::Ready {
            lease = long_run(workers, &mut consumer);
            assert_eq!(jobs(workers)[0].progress, None, "another run begins");
            say(&lease, 0.1, "");
            assert_eq!(harness.peek(&id).progress.map(|progress| progress.text), Some(String::new()));
        }
    }
    workers.remove_worker(1).expect("remove");
}

pub(super) fn progress_ends_with_a_lease_that_is_lost(harness: &dyn Harness) {
    let Some(workers) = workers(harness) else { return };
    let mut consumer = harness.consumer();
    let id = harness.put(ttr(message("runs"), SECOND));
    let lease = long_run(workers, &mut consumer);
    let progress = Progress::new(0.5, "half", harness.now());
    workers.follow_runs(&[LongRun::new(lease).progress(progress)]).expect("follow");
    harness.pass(2 * SECOND);
    assert_eq!(harness.peek(&id).progress, None, "no worker runs it");
    let mut other = harness.consumer();
    other.take();
    assert_eq!(harness.peek(&id).progress, None, "the next run has reported nothing");
}
