//! Several processes on one queue, for each kind of queue.

use std::collections::HashMap;

use std::time::{Duration, Instant};

use pulpo_tests::program::{Running, Sandbox};
use pulpo_tests::wait::until;

on_each_queue! {
    two_workers_drain_what_another_process_published_each_job_once_and_in_order
    jobs_published_while_workers_drain_run_once
    an_idle_worker_is_woken_by_a_publication_of_another_process
    a_worker_that_is_told_to_stop_ends_its_job_first
    a_worker_that_is_told_twice_ends_at_once_and_gives_its_job_back
    a_job_of_a_killed_worker_runs_again_elsewhere
    an_urgent_job_comes_soon_though_thousands_fell_due_before_it
}

const WORKER: &str = env!("CARGO_BIN_EXE_worker");
/// Its job `until` lasts until a file exists, and its job `note` records a text.
const OPERATOR: &str = env!("CARGO_BIN_EXE_operator_worker");
const PUBLISHER: &str = env!("CARGO_BIN_EXE_publisher");

/// Starts two workers that do nothing yet, since the queue is paused.
fn two_at_the_start(place: &Sandbox) -> [Running; 2] {
    assert_eq!(place.run(WORKER, &["pause", "pulpo"]).code, 0);
    let workers = ["log", "log2"].map(|log| {
        let mut command = place.command(WORKER, &["work", "--concurrency", "4"]);
        command.env("PULPO_SLEEP_DURATION", "1h");
        place.start_with_log(command, log)
    });
    let starts = |log: &str| place.log_named(log).contains("the worker starts");
    until("both are there", || starts("log") && starts("log2"));
    workers
}

/// Has workers end when this number of jobs is done.
fn end_after(place: &Sandbox, workers: [Running; 2], count: usize) {
    until("all are done", || place.record().lines().count() >= count);
    for worker in workers {
        worker.signal("TERM");
        assert_eq!(worker.end(), 0, "{}{}", place.log(), place.log_named("log2"));
    }
}

/// A run in a lane, in the lane's order.
struct Run {
    number: u64,
    priority: u32,
    delayed: bool,
}

/// Returns the record, by process and thread.
fn lanes(place: &Sandbox) -> HashMap<String, Vec<Run>> {
    let mut lanes: HashMap<_, Vec<_>> = HashMap::new();
    for line in place.record().lines() {
        let [process, lane, number, priority, delayed] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("not a record: {line}")
        };
        lanes.entry(format!("{process} {lane}")).or_default().push(Run {
            number: number.parse().expect("a number"),
            priority: priority.parse().expect("a priority"),
            delayed: delayed == "true",
        });
    }
    lanes
}

fn assert_each_ran_once(lanes: &HashMap<String, Vec<Run>>, count: u64) {
    let mut numbers: Vec<_> = lanes.values().flatten().map(|run| run.number).collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..count), "{} runs of {count} jobs", numbers.len());
}

/// Half of the messages that a worker may lease ahead. If its lanes are kept from running, it
/// returns them, and they run out of order.
const AHEAD: usize = 256;

/// Returns how many jobs ran after more than [`AHEAD`] less urgent ones.
fn late(priorities: &[u32]) -> usize {
    let after = |(index, one): (usize, &u32)| priorities[..index].iter().filter(|before| *before > one).count();
    priorities.iter().enumerate().map(after).filter(|count| *count > AHEAD).count()
}

fn two_workers_drain_what_another_process_published_each_job_once_and_in_order(place: &Sandbox) {
    let said = place.run(PUBLISHER, &["10000"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let workers = two_at_the_start(place);
    assert_eq!(place.run(WORKER, &["resume", "pulpo"]).code, 0);
    end_after(place, workers, 10_000);

    let lanes = lanes(place);
    assert_each_ran_once(&lanes, 10_000);
    // A busy machine may keep some from running until all is done. With a database, one lane that fetches for all may
    // run most jobs before others have started.
    let fewest = if place.has_database() { 1 } else { 2 };
    assert!((fewest..=8).contains(&lanes.len()), "{} lanes took part", lanes.len());
    // A delayed job joins when it is due; the others were all there from the beginning.
    let priorities =
        |runs: &Vec<Run>| -> Vec<_> { runs.iter().filter(|run| !run.delayed).map(|run| run.priority).collect() };
    // A worker may stand still for a moment and then return what it had leased ahead. Without an order, some 3,000 of the
    // 10,000 come late.
    let late: usize = lanes.values().map(|runs| late(&priorities(runs))).sum();
    assert!(late <= 8 * AHEAD, "they did not go by priority: {late} came late");
    assert_eq!(place.run(WORKER, &["list"]).out, "no messages\n");
    let log = place.log() + &place.log_named("log2");
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "nothing to warn of: {log}");
}

fn jobs_published_while_workers_drain_run_once(place: &Sandbox) {
    let publisher = place.start(place.command(PUBLISHER, &["3000"]));
    until("it publishes", || !place.run(WORKER, &["list", "--limit", "1", "--json"]).out.trim().eq("[]"));
    let workers = [(); 2].map(|()| place.start(place.command(WORKER, &["work", "--concurrency", "4"])));
    assert_eq!(publisher.end(), 0, "{}", place.log());
    end_after(place, workers, 3000);
    assert_each_ran_once(&lanes(place), 3000);
}

/// Starts a worker that polls only once an hour.
fn sleepy(place: &Sandbox, concurrency: &str) -> Running {
    let mut command = place.command(WORKER, &["work", "--concurrency", concurrency]);
    command.env("PULPO_SLEEP_DURATION", "1h");
    place.start(command)
}

fn an_idle_worker_is_woken_by_a_publication_of_another_process(place: &Sandbox) {
    let worker = sleepy(place, "2");
    until("the worker is idle", || place.log().contains("the worker starts"));
    for round in 1..=3 {
        assert_eq!(place.run(WORKER, &["publish", "echo", "--payload", "hello"]).code, 0);
        until("the job has run", || place.record().matches("hello").count() == round);
    }
    // The end of a delay and a kick wake it too.
    assert_eq!(place.run(WORKER, &["publish", "echo", "--payload", "later", "--delay", "1s"]).code, 0);
    until("the delayed job has run", || place.record().contains("later"));
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

fn a_worker_that_is_told_to_stop_ends_its_job_first(place: &Sandbox) {
    assert_eq!(place.run(WORKER, &["publish", "nap", "--body", "1000"]).code, 0);
    let worker = sleepy(place, "1");
    until("it has begun", || place.record().contains("asleep"));
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
    assert!(place.record().contains("awake"));
    assert_eq!(place.run(WORKER, &["list"]).out, "no messages\n");
}

fn a_worker_that_is_told_twice_ends_at_once_and_gives_its_job_back(place: &Sandbox) {
    assert_eq!(place.run(WORKER, &["publish", "nap", "--body", "3600000"]).code, 0);
    let worker = sleepy(place, "1");
    until("it has begun", || place.record().contains("asleep"));
    worker.signal("INT");
    until("the first signal is heard", || place.log().contains("signal again to stop now"));
    let heard = Instant::now();
    until("a second one counts", || heard.elapsed() >= Duration::from_secs(1));
    worker.signal("INT");
    assert_eq!(worker.end(), 0);
    let said = place.run(WORKER, &["list", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((&listed[0]["state"], &listed[0]["attempts"]), (&"ready".into(), &0.into()), "{}", said.out);
}

fn a_job_of_a_killed_worker_runs_again_elsewhere(place: &Sandbox) {
    assert_eq!(place.run(WORKER, &["publish", "nap", "--body", "5000"]).code, 0);
    let worker = sleepy(place, "1");
    until("it has begun", || place.record().contains("asleep"));
    worker.signal("KILL");
    assert_eq!(worker.end(), -1);
    let other = sleepy(place, "1");
    until("it runs again", || place.record().contains("awake"));
    until("it is done", || place.run(WORKER, &["list"]).out == "no messages\n");
    other.signal("TERM");
    assert_eq!(other.end(), 0);
    assert_eq!(place.record().matches("asleep").count(), 2);
}

fn an_urgent_job_comes_soon_though_thousands_fell_due_before_it(place: &Sandbox) {
    let publish = |arguments: &[&str]| {
        let said = place.run(OPERATOR, &[&["publish"], arguments].concat());
        assert_eq!(said.code, 0, "{}", said.err);
    };
    let file = place.path("go").display().to_string();
    publish(&["note", "--payload", "usual", "--count", "6000", "--delay", "1s"]);
    publish(&["note", "--payload", "urgent", "--priority", "0", "--delay", "2s"]);
    publish(&["until", "--payload", &file, "--priority", "1"]);
    let counted = || {
        let said = place.run(OPERATOR, &["stats", "--json"]);
        serde_json::from_str::<serde_json::Value>(&said.out).expect("JSON")["counts"].clone()
    };
    let sum = |state: &str| {
        let counts = counted();
        counts.as_array().expect("a list").iter().filter_map(|of| of[state].as_u64()).sum::<u64>()
    };
    until("all are due", || sum("ready") == 6002);
    // Its lane is busy while they become ready.
    let worker = place.start(place.command(OPERATOR, &["work", "--concurrency", "1"]));
    until("the job runs", || sum("reserved") > 0);
    let waiting = || {
        if place.has_database() {
            return place.ask_database("SELECT count(*) FROM SCHEMA.message WHERE state = 1").trim() != "0";
        }
        let database = rusqlite::Connection::open(place.path("pulpo-data/queue.db")).expect("opened");
        let delayed = "SELECT count(*) FROM message WHERE due IS NOT NULL";
        database.query_row(delayed, [], |row| row.get::<_, i64>(0)).expect("counted") > 0
    };
    until("all are ready", || place.has_server() || !waiting());
    // Messages that were leased for the lane ahead of time have gone back.
    until("it has only that job", || sum("reserved") == 1);
    std::fs::write(&file, "").expect("written");
    until("others have run", || !place.record().is_empty());
    worker.signal("TERM");
    assert_eq!(worker.end(), 0, "{}", place.log());
    let first = place.record().lines().next().map(str::to_owned);
    assert_eq!(first.as_deref(), Some("urgent none"));
}
