//! The cost of an idle worker, and the cost of a job without its queue.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use pulpo_tests::beanstalkd::BeanstalkdServer;

use crate::latency::ChildWorker;
use crate::measure::{Effort, Row, Target, median};

pub(crate) const ROWS: &[crate::Group] =
    &[("idle", idle), ("cost of-a-job", cost), ("syncs", syncs), ("round-trips", round_trips)];

fn idle(effort: &Effort) -> Vec<Row> {
    let window = Duration::from_secs(if effort.quick { 4 } else { 20 });
    let server = BeanstalkdServer::start();
    let mut rows = Vec::new();
    for lanes in [1, 16] {
        for kind in ["file", "beanstalkd"] {
            let place = effort.place();
            let at = if kind == "file" { place.path().display().to_string() } else { server.port().to_string() };
            let worker = ChildWorker::start(&at, lanes);
            thread::sleep(Duration::from_millis(500));
            let (before, started) = (cpu(worker.id()), Instant::now());
            thread::sleep(window);
            let spent = (cpu(worker.id()) - before) / started.elapsed().as_secs_f64() * 60.0;
            let plural = if lanes == 1 { "" } else { "s" };
            rows.push(Row::new(format!("{kind}: processor time idle, {lanes} lane{plural}"), "s a minute", spent));
            let memory = memory(worker.id());
            let row = Row::new(format!("{kind}: memory idle, {lanes} lane{plural}"), "MB", memory);
            rows.push(row.target(Target::Below(15.0)));
        }
    }
    rows
}

/// Returns the CPU time of all threads of a process, in seconds.
pub(crate) fn cpu(id: u32) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten();
    let nanos = tasks.map(|task| {
        let path = task.expect("a thread").path().join("schedstat");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0_u64)
    });
    nanos.sum::<u64>() as f64 / 1e9
}

/// Returns the resident memory, in MB of a million bytes.
fn memory(id: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024.0 / 1e6
}

/// Returns the cost of a job without a queue.
fn cost(effort: &Effort) -> Vec<Row> {
    const JOBS: u64 = 200_000;
    let of_each = |_| pulpo_bench::nothing::work(JOBS).as_secs_f64() * 1e6 / JOBS as f64;
    let cost: Vec<f64> = (0..=effort.rounds).map(of_each).collect();
    let mut rows = vec![Row::new("pulpo's own cost of a job", "µs", median(&cost[1..])).target(Target::Below(2.0))];
    let counter = std::env::current_exe().expect("this program").with_file_name("pulpo-bench-allocations");
    match Command::new(&counter).output() {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let (count, bytes) = text.trim().split_once(' ').expect("two numbers");
            rows.push(Row::new("allocations of a job", "", count.parse().expect("a number")));
            rows.push(Row::new("bytes allocated for a job", "", bytes.parse().expect("a number")));
        }
        _ => eprintln!(
            "allocations are not counted: expected {} (cargo build --release -p pulpo-bench)",
            counter.display()
        ),
    }
    rows
}

/// The number of jobs that are traced.
const TRACED: u64 = 2048;

/// Counts these system calls per job with `strace`. Returns `None` without `strace`.
fn traced(calls: &str, place: &str, what: &str) -> Option<f64> {
    let folder = tempfile::tempdir().expect("a folder");
    let summary = folder.path().join("summary");
    let status = Command::new("strace")
        .args(["-f", "-qq", "-e", &format!("trace={calls}"), "-o"])
        .arg(&summary)
        .arg(std::env::current_exe().expect("this program"))
        .args(["child-jobs", place, what, &TRACED.to_string()])
        .status();
    if !status.is_ok_and(|status| status.success()) {
        return None;
    }
    let text = std::fs::read_to_string(&summary).expect("a summary");
    // A call that another thread's call interrupts is written as two lines.
    let is_one = |line: &&str| calls.split(',').any(|call| line.contains(&format!(" {call}(")));
    Some(text.lines().filter(is_one).count() as f64 / TRACED as f64)
}

/// Counts the calls for each of these steps, minus the calls of the preparation.
fn rows_traced(calls: &str, place: impl Fn() -> String, kinds: &[(&str, &'static str)]) -> Vec<Row> {
    let mut rows = Vec::new();
    // Opening the queue costs some calls, and so does filling it for the drain.
    let (base, fill) = (traced(calls, &place(), "open"), traced(calls, &place(), "fill"));
    for (what, name) in kinds {
        let before = if *what == "drain" { fill } else { base };
        let Some((all, before)) = traced(calls, &place(), what).zip(before) else {
            eprintln!("{calls}: not counted, expected strace to be installed");
            return Vec::new();
        };
        rows.push(Row::new(*name, "", (all - before).max(0.0)));
    }
    rows
}

/// Disk syncs per job.
fn syncs(effort: &Effort) -> Vec<Row> {
    let places = std::cell::RefCell::new(Vec::new());
    let place = || {
        places.borrow_mut().push(effort.place());
        places.borrow().last().expect("one").path().display().to_string()
    };
    let kinds = [
        ("one", "file: syncs for a job published"),
        ("many", "file: syncs for a job published by 8 threads"),
        ("batches", "file: syncs for a job published in a batch"),
        ("drain", "file: syncs for a job done"),
    ];
    rows_traced("fsync,fdatasync", place, &kinds)
}

/// Messages sent to the server per job.
fn round_trips(_: &Effort) -> Vec<Row> {
    let servers = std::cell::RefCell::new(Vec::new());
    let place = || {
        servers.borrow_mut().push(BeanstalkdServer::start());
        servers.borrow().last().expect("one").port().to_string()
    };
    let kinds = [
        ("one", "beanstalkd: round trips for a job published"),
        ("batches", "beanstalkd: round trips for a job published in a batch"),
        ("drain", "beanstalkd: round trips for a job done"),
    ];
    rows_traced("sendto", place, &kinds)
}

/// The work that is traced.
pub(crate) fn child_jobs(place: &str, what: &str, jobs: u64) {
    let pulpo = crate::latency::open(place, 8);
    let email = pulpo_bench::Email::numbered;
    match what {
        "open" => {}
        "one" => (0..jobs).for_each(|n| drop(pulpo.publish(email(n)).expect("published"))),
        "many" => thread::scope(|scope| {
            for thread in 0..8 {
                let pulpo = &pulpo;
                scope.spawn(move || {
                    (0..jobs / 8).for_each(|n| drop(pulpo.publish(email(n * 8 + thread)).expect("published")));
                });
            }
        }),
        "batches" => {
            for first in (0..jobs).step_by(256) {
                pulpo.publish_all((first..first + 256).map(email)).expect("published");
            }
        }
        "fill" => crate::work::fill(&pulpo, 0..jobs),
        "drain" => {
            crate::work::drain_all(&pulpo, jobs);
        }
        other => panic!("unknown: {other}"),
    }
}
