//! Running jobs: which worker runs which job, its progress, and its cancellation by a person.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pulpo::Pulpo;
use pulpo::clock::ManualClock;
use pulpo::queue::file::FileQueue;
use pulpo::queue::{
    Capabilities, Consumer, Enqueued, Filter, Lease, LongRun, NewMessage, QueueAdapter, QueueError, WorkerEntry,
    WorkerReport, Workers,
};
use pulpo::worker::WorkerOptions;
use pulpo_tests::postgres::PostgresServer;
use pulpo_tests::program::{CommandOutput, Running, Sandbox};
use pulpo_tests::wait::{until, within};
use serde_json::{Value, json};

use crate::jobs::{Act, What, free, runs};

const WORKER: &str = env!("CARGO_BIN_EXE_cancelled_worker");

/// A folder, and the queue that the programs in it use.
struct Place {
    sandbox: Sandbox,
    url: Option<String>,
    _server: Option<Arc<PostgresServer>>,
}

/// Runs a test on the embedded queue and on PostgreSQL.
fn both(test: impl Fn(&Place)) {
    test(&Place { sandbox: Sandbox::new(), url: None, _server: None });
    let server = PostgresServer::shared();
    test(&Place { sandbox: Sandbox::new(), url: Some(server.fresh_url()), _server: Some(server) });
}

impl Place {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.command(WORKER, arguments);
        if let Some(url) = &self.url {
            command.env("PULPO_QUEUE", url);
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> CommandOutput {
        self.sandbox.to_end(&mut self.command(arguments))
    }

    #[track_caller]
    fn well(&self, arguments: &[&str]) -> String {
        let CommandOutput { out, err, code } = self.run(arguments);
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}: {out}");
        out
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.well(&[arguments, &["--json"]].concat())).expect("JSON")
    }

    /// Publishes one job. Returns its id.
    fn publish(&self, request_type: &str, body: &str) -> String {
        let published = self.json(&["publish", request_type, "--body", body]);
        published["ids"][0].as_str().expect("an id").to_owned()
    }

    fn work(&self, arguments: &[&str]) -> Running {
        self.sandbox.start(self.command(&[&["work", "--log-level", "error"], arguments].concat()))
    }

    /// Counts the lines in the record with this text about a message.
    fn said(&self, id: &str, what: &str) -> usize {
        self.sandbox.record().lines().filter(|line| *line == format!("{id} {what}")).count()
    }

    fn begins(&self, id: &str) {
        until("it runs", || self.said(id, "begins") > 0);
    }

    fn peek(&self, id: &str) -> Value {
        self.json(&["peek", id])
    }

    fn is_buried(&self, id: &str) -> bool {
        self.peek(id)["state"] == "buried"
    }

    #[track_caller]
    fn assert_cancelled(&self, id: &str) {
        let message = self.peek(id);
        let facts = ["state", "last_error", "attempts", "progress", "cancelled"].map(|name| message[name].clone());
        assert_eq!(facts, [json!("buried"), json!("cancelled"), json!(0), Value::Null, json!(false)], "{message:#}");
    }

    fn running(&self) -> Vec<Value> {
        let workers = self.json(&["workers"]);
        let workers = workers.as_array().expect("a list").clone();
        workers.iter().flat_map(|worker| worker["running"].as_array().expect("a list").clone()).collect()
    }
}

#[test]
fn a_running_handler_is_notified_and_its_message_buried_however_it_ends() {
    both(|place| {
        let worker = place.work(&["--concurrency", "4"]);
        let ids: Vec<_> = ["done", "fails", "panics"]
            .map(|end| place.publish("long", &json!(end).to_string()))
            .into_iter()
            .chain([place.publish("waits", "null")])
            .collect();
        ids.iter().for_each(|id| place.begins(id));
        for (id, told) in ids.iter().zip(["is told", "is told", "is told", "is dropped"]) {
            assert_eq!(
                place.well(&["cancel", id]),
                format!("cancelled {id}, which is running: its worker will be notified\n")
            );
            let asked = Instant::now();
            until("the handler is told", || place.said(id, told) == 1);
            assert!(asked.elapsed() < Duration::from_secs(60), "within about a second: {:?}", asked.elapsed());
            until("it is buried", || place.is_buried(id));
            place.assert_cancelled(id);
        }
        assert!(place.running().is_empty());
        worker.signal("TERM");
        assert_eq!(worker.end(), 0, "{}", place.sandbox.log());
        let record = place.sandbox.record();
        assert!(!record.contains("follows") && !record.contains("goes on"), "{record}");

        // After a kick, it runs without the cancellation mark.
        assert_eq!(place.well(&["kick", &ids[0]]), format!("kicked {}\n", ids[0]));
        let worker = place.work(&[]);
        until("it runs again", || place.said(&ids[0], "begins") == 2);
        assert!(!within(Duration::from_millis(1500), || place.said(&ids[0], "is told") == 2), "no mark is left");
        worker.signal("KILL");
        worker.end();
    });
}

#[test]
fn waiting_messages_are_cancelled_at_once_by_filters() {
    both(|place| {
        let ids: Vec<_> = (0..4).map(|_| place.publish("quick", "null")).collect();
        let delayed = place.json(&["publish", "long", "--body", "\"done\"", "--delay", "1h"]);
        let delayed = delayed["ids"][0].as_str().expect("an id");
        assert_eq!(place.well(&["cancel", &ids[0], &ids[1]]), format!("cancelled {}\ncancelled {}\n", ids[0], ids[1]));
        ids[..2].iter().for_each(|id| place.assert_cancelled(id));
        assert_eq!(place.well(&["cancel", "--type", "quick", "--dry-run"]), "would cancel 2 messages\n");
        let cancelled = place.json(&["cancel", "--state", "ready", "--yes"]);
        assert_eq!(cancelled, json!({"matched": 2, "cancelled": 2, "running": 0, "dry_run": false}));
        assert_eq!(place.well(&["cancel", "--queue", "pulpo", "--limit", "5", "--yes"]), "cancelled 1 message\n");
        place.assert_cancelled(delayed);
        assert_eq!(place.json(&["list", "--reason", "cancelled"]).as_array().map(Vec::len), Some(5));

        let said = place.run(&["cancel", &ids[0], "4711"]);
        assert_eq!((said.code, said.out.as_str()), (1, ""));
        let expected = format!(
            "error: message {} is buried, and only waiting or running messages can be cancelled; there is no message 4711\n",
            ids[0]
        );
        assert_eq!(said.err, expected);
        for (arguments, error) in [
            (&["cancel"][..], "expected an ID, --state, --queue"),
            (&["cancel", "--queue", "pulpo"], "not a terminal: pass --yes to cancel, or --dry-run"),
            (&["cancel", "--state", "buried", "--yes"], "buried messages do not run"),
            (&["cancel", "1", "--type", "quick"], "expected either IDs or filters"),
        ] {
            let said = place.run(arguments);
            assert!(said.code == 2 && said.err.contains(error), "{arguments:?}: {}", said.err);
        }
        let worker = place.work(&["--set", "shutdown_after_number_of_empty_iterations=1"]);
        assert_eq!(worker.end(), 0);
        assert_eq!(place.sandbox.record(), "", "nothing of it has run");
        assert_eq!(place.well(&["kick", "--reason", "cancelled", "--type", "quick"]), "kicked 4 messages\n");
        let worker = place.work(&["--set", "shutdown_after_number_of_empty_iterations=1"]);
        assert_eq!(worker.end(), 0);
        assert_eq!(place.sandbox.record().matches("quick").count(), 4);
    });
}

#[test]
fn a_cancelled_job_whose_worker_is_killed_is_never_run_again() {
    both(|place| {
        let id = place.publish("long", "\"never\"");
        let worker = place.work(&[]);
        place.begins(&id);
        assert_eq!(
            place.well(&["cancel", &id]),
            format!("cancelled {id}, which is running: its worker will be notified\n")
        );
        assert_eq!(
            place.well(&["cancel", &id]),
            format!("cancelled {id}, which is running: its worker will be notified\n")
        );
        assert_eq!(place.peek(&id)["cancelled"], true);
        worker.signal("KILL");
        worker.end();
        let next = place.work(&["--concurrency", "2"]);
        let other = place.publish("quick", "null");
        until("the next worker works", || place.said(&other, "quick") == 1);
        until("the leases of the killed are over", || place.is_buried(&id));
        place.assert_cancelled(&id);
        assert!(!within(Duration::from_secs(1), || place.said(&id, "begins") > 1));
        next.signal("TERM");
        assert_eq!(next.end(), 0);
        assert_eq!(place.sandbox.log(), "");
    });
}

#[test]
fn a_cancelled_job_that_exceeds_its_timeout_or_is_shut_down_is_buried() {
    both(|place| {
        let deaf = place.publish("long", "\"never\"");
        let worker = place.work(&["--concurrency", "2", "--set", "shutdown_grace=8s"]);
        place.begins(&deaf);
        let late = place.publish("late", "null");
        place.begins(&late);
        assert_eq!(place.json(&["cancel", &late])["running"], 1);
        until("its timeout is over", || place.is_buried(&late));
        place.assert_cancelled(&late);
        worker.signal("TERM");
        // The worker still waits for it.
        assert_eq!(place.json(&["cancel", &deaf])["running"], 1);
        worker.end();
        place.assert_cancelled(&deaf);
    });
}

#[test]
fn only_the_cancelled_message_of_a_batch_is_buried() {
    both(|place| {
        let ids: Vec<_> = (0..3).map(|number| place.publish("several", &number.to_string())).collect();
        let worker = place.work(&["--concurrency", "1"]);
        place.begins(&ids[0]);
        assert_eq!(place.json(&["cancel", &ids[1]])["running"], 1);
        assert!(!within(Duration::from_millis(1500), || place.said(&ids[0], "is told") > 0), "the others still count");
        std::fs::write(place.sandbox.path("go"), "").expect("written");
        until("it goes on", || place.said(&ids[0], "goes on") == 1);
        until("the others are done", || place.json(&["list"]).as_array().map(Vec::len) == Some(1));
        place.assert_cancelled(&ids[1]);
        worker.signal("TERM");
        assert_eq!(worker.end(), 0);

        std::fs::remove_file(place.sandbox.path("go")).expect("removed");
        let all: Vec<_> = (0..3).map(|number| place.publish("several", &number.to_string())).collect();
        let worker = place.work(&["--concurrency", "1"]);
        place.begins(&all[0]);
        assert_eq!(place.well(&["cancel", &all[0], &all[1]]).lines().count(), 2);
        assert_eq!(place.json(&["cancel", "--type", "several", "--yes"])["running"], 3);
        until("nothing of the batch counts any more", || place.said(&all[0], "is told") == 1);
        until("all are buried", || all.iter().all(|id| place.is_buried(id)));
        worker.signal("TERM");
        assert_eq!(worker.end(), 0);
    });
}

#[test]
fn workers_are_listed_while_they_live_with_what_they_run() {
    both(|place| {
        assert_eq!(place.well(&["publish", "quick", "--body", "null"]).lines().count(), 1);
        assert_eq!(place.well(&["workers"]), "no workers\n");
        assert_eq!(place.json(&["workers"]), json!([]));
        let (one, two) =
            (place.work(&["--concurrency", "3"]), place.work(&["--queues", "other", "--concurrency", "1"]));
        until("both are listed", || place.json(&["workers"]).as_array().map(Vec::len) == Some(2));
        let id = place.publish("long", "\"never\"");
        until("it runs, and says how far it is", || {
            place.running().first().is_some_and(|job| job["progress"]["fraction"] == 0.25)
        });
        let workers = place.json(&["workers"]);
        let find = |pid: u32| workers.as_array().expect("a list").iter().find(|worker| worker["pid"] == pid).cloned();
        let (first, second) = (find(one.id()).expect("the first"), find(two.id()).expect("the second"));
        assert_eq!((&first["lanes"], &first["queues"]), (&json!(3), &json!(["pulpo"])));
        assert_eq!((&second["lanes"], &second["queues"]), (&json!(1), &json!(["other"])));
        assert_eq!(first["program"], env!("CARGO_PKG_NAME"));
        assert_eq!(first["program_version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(first["pulpo_version"], env!("CARGO_PKG_VERSION"));
        assert!(first["host"].as_str().is_some_and(|host| !host.is_empty()));
        assert_eq!(second["running"], json!([]));
        let job = &first["running"][0];
        assert_eq!(job["id"], *id);
        assert_eq!([&job["request_type"], &job["queue"]], ["long", "pulpo"]);
        assert_eq!((&job["attempt"], &job["cancelled"]), (&json!(1), &json!(false)));
        assert_eq!(job["progress"]["text"], "row 1 of 4");
        let peeked = place.peek(&id);
        assert_eq!(peeked["progress"]["text"], "row 1 of 4");
        let lease = peeked["lease"].as_str().expect("a lease");
        assert!(lease.starts_with(first["id"].as_str().expect("an id")), "the lease names its worker: {lease}");
        assert!(place.well(&["peek", &id]).contains("progress     25% row 1 of 4, "), "{}", place.well(&["peek", &id]));

        let shown = place.well(&["workers"]);
        assert!(shown.contains("1 of 3") && shown.contains("25% row 1 of 4"), "{shown}");
        assert!(shown.contains(&format!("pulpo-tests {}", env!("CARGO_PKG_VERSION"))), "{shown}");
        place.well(&["cancel", &id]);
        assert!(place.well(&["workers"]).contains("cancelled, 25% row 1 of 4"));

        two.signal("TERM");
        assert_eq!(two.end(), 0);
        let left = place.json(&["workers"]);
        assert_eq!(left.as_array().map(Vec::len), Some(1), "one that has stopped is gone at once: {left:#}");
        one.signal("KILL");
        one.end();
        until("one that was killed is gone", || place.json(&["workers"]) == json!([]));
    });
}

#[test]
fn a_handler_that_reports_often_writes_once_a_second() {
    both(|place| {
        let id = place.publish("counts", "null");
        let worker = place.work(&[]);
        place.begins(&id);
        let at = || place.peek(&id)["progress"]["at"].clone();
        until("it has said how far it is", || at() != Value::Null);
        let (began, mut seen) = (Instant::now(), std::collections::BTreeSet::new());
        until("it has said more", || {
            seen.insert(at().to_string());
            seen.len() > 3
        });
        let most = began.elapsed().as_secs() + 2;
        assert!(seen.len() as u64 <= most, "of {most} at most: {seen:?}");
        worker.signal("KILL");
        worker.end();
    });
}

/// A queue that counts the calls about its workers.
#[derive(Debug)]
struct Counting {
    queue: FileQueue,
    reports: AtomicUsize,
    follows: AtomicUsize,
}

impl QueueAdapter for Counting {
    fn capabilities(&self) -> Capabilities {
        self.queue.capabilities()
    }
    fn enqueue(&self, messages: Vec<NewMessage>) -> Result<Vec<Enqueued>, QueueError> {
        self.queue.enqueue(messages)
    }
    fn consumer(&self, queues: &[String]) -> Result<Box<dyn Consumer>, QueueError> {
        self.queue.consumer(queues)
    }
    fn workers(&self) -> Option<&dyn Workers> {
        Some(self)
    }
    fn interrupt(&self) {
        self.queue.interrupt();
    }
}

impl Workers for Counting {
    fn report_worker(&self, number: u64, report: &WorkerReport) -> Result<(), QueueError> {
        self.reports.fetch_add(1, Ordering::SeqCst);
        self.queue.report_worker(number, report)
    }
    fn remove_worker(&self, number: u64) -> Result<(), QueueError> {
        self.queue.remove_worker(number)
    }
    fn read_workers(&self) -> Result<Vec<WorkerEntry>, QueueError> {
        self.queue.read_workers()
    }
    fn follow_runs(&self, runs: &[LongRun]) -> Result<Vec<Lease>, QueueError> {
        self.follows.fetch_add(1, Ordering::SeqCst);
        self.queue.follow_runs(runs)
    }
}

pulpo_tests::inspect_through!(Counting, queue);

#[test]
fn short_jobs_cost_nothing_for_the_reports_on_long_ones() {
    let clock = ManualClock::at("2026-11-23T09:00:00Z".parse().expect("a time"));
    let queue = FileQueue::memory(false, Arc::new(clock.clone())).expect("a queue");
    let queue = Arc::new(Counting { queue, reports: AtomicUsize::new(0), follows: AtomicUsize::new(0) });
    let mut options = WorkerOptions::default();
    options.concurrency = 2;
    options.handle_signals = false;
    let pulpo = Pulpo::with_queue(queue.clone(), options, Arc::new(clock.clone()));
    let short = (0..500).map(|number| Act::new(&format!("short {number}"), What::Succeed));
    pulpo.publish_all(short).expect("published");
    let worker = pulpo.worker().expect("handlers");
    let stopper = worker.stopper();
    let thread = std::thread::spawn(move || worker.run().expect("a run"));
    until("all are done, while time goes on", || {
        clock.advance(Duration::from_millis(1));
        pulpo.queue().list(&Filter::all()).expect("a list").is_empty()
    });
    // Calls for a lane that a busy machine has delayed, each for half a second.
    let held_up = queue.follows.load(Ordering::SeqCst);
    assert!(held_up < 50, "{held_up} calls for 500 jobs");
    assert_eq!(queue.reports.load(Ordering::SeqCst), 1);

    // A long job causes one call per round, until it is over.
    let id = pulpo.publish(Act::new("long", What::Block)).expect("published").id().expect("an id").clone();
    until("it runs", || runs("long") == 1);
    for round in 1..=3 {
        until("it is asked about", || {
            clock.advance(Duration::from_millis(100));
            queue.follows.load(Ordering::SeqCst) >= held_up + round
        });
    }
    assert_eq!(pulpo.workers().expect("workers")[0].running[0].id, id);
    free("long");
    until("it is done", || pulpo.queue().peek(&id).expect("the queue answers").is_none());
    stopper.stop();
    clock.advance(Duration::from_secs(1));
    thread.join().expect("no panic");
    assert!(pulpo.workers().expect("workers").is_empty(), "it has taken itself out");
}

#[test]
fn a_queue_that_cannot_says_so() {
    let place = Sandbox::with_beanstalkd();
    let id = place.run(WORKER, &["publish", "quick", "--body", "null", "--json"]);
    let id: Value = serde_json::from_str(&id.out).expect("JSON");
    let id = id["ids"][0].as_str().expect("an id");
    let instead = "(`file:FOLDER`, `postgres://…`)";
    for arguments in [&["cancel", id][..], &["cancel", id, "--dry-run"], &["cancel", "--type", "quick", "--yes"]] {
        let said = place.run(WORKER, arguments);
        let why = "error: this queue cannot cancel messages: `delete` those that wait, or use a queue that can";
        assert_eq!((said.code, said.out.as_str(), said.err), (1, "", format!("{why} {instead}\n")), "{arguments:?}");
    }
    let said = place.run(WORKER, &["workers"]);
    let why = "error: this queue cannot list its workers: it does not know them; use one that does";
    assert_eq!((said.code, said.out.as_str(), said.err), (1, "", format!("{why} {instead}\n")));
    let said = place.run(WORKER, &["list", "--json"]);
    assert!(said.out.contains("\"ready\""), "nothing has become of it: {}", said.out);
}
