//! `watch`: what happens to jobs, as it happens.

use pulpo_tests::program::{Running, Sandbox};
use pulpo_tests::wait::until;
use serde_json::{Value, json};

/// Its jobs report progress, and run until they are cancelled.
const CANCELLED: &str = env!("CARGO_BIN_EXE_cancelled_worker");

/// Its jobs run until a file exists, fail, or follow each other.
const OPERATOR: &str = env!("CARGO_BIN_EXE_operator_worker");

fn on_all(test: impl Fn(&Sandbox)) {
    for place in [Sandbox::new(), Sandbox::with_postgres()] {
        test(&place);
    }
}

fn publish(place: &Sandbox, program: &str, arguments: &[&str]) {
    let said = place.run(program, &[&["publish"], arguments].concat());
    assert_eq!(said.code, 0, "{}", said.err);
}

/// Starts `watch`. Its output is in the file `out`.
fn watch(place: &Sandbox, program: &str, more: &[&str]) -> Running {
    let _ = std::fs::remove_file(place.path("out"));
    place.start_with_output(place.command(program, &[&["watch", "--interval", "100ms"], more].concat()))
}

/// Returns its lines so far, without the times.
fn lines(place: &Sandbox) -> Vec<String> {
    let said = std::fs::read_to_string(place.path("out")).unwrap_or_default();
    let whole = said.rsplit_once('\n').map(|(whole, _)| whole.to_owned()).unwrap_or_default();
    whole.lines().filter_map(|line| line.split_once(' ')).map(|(_, rest)| rest.to_owned()).collect()
}

#[track_caller]
fn says(place: &Sandbox, expected: &str) {
    until(expected, || lines(place).iter().any(|line| line.starts_with(expected)));
}

#[test]
fn a_job_is_followed_from_its_start_to_its_end() {
    on_all(|place| {
        // It creates the queue, and by its run it is seen that `watch` looks.
        publish(place, CANCELLED, &["waits", "--body", "null"]);
        publish(place, CANCELLED, &["quick", "--body", "null", "--delay", "1h"]);
        let worker = place.start(place.command(CANCELLED, &["work", "--concurrency", "2"]));
        until("one job runs", || place.run(CANCELLED, &["workers"]).out.contains("waits"));
        let watching = watch(place, CANCELLED, &[]);
        says(place, "running 1 waits on ");
        publish(place, CANCELLED, &["long", "--body", "\"fails\""]);
        let started = format!("started 3 long on {}/{}", host(place), worker.id());
        says(place, &started);
        says(place, "progress 3 long 25% row 1 of 4");
        assert_eq!(place.run(CANCELLED, &["cancel", "3"]).code, 0);
        says(place, "buried 3 long cancelled");
        // One look may see both that it is cancelled and that it has ended.
        let seen = lines(place);
        assert!(seen.iter().filter(|line| line.contains(" 3 long")).count() <= 4, "{seen:?}");
        drop(watching);
        drop(worker);
    });
}

/// Returns the name of this machine, as the workers say it.
fn host(place: &Sandbox) -> String {
    let mut host = None;
    until("the worker is there", || {
        let said = place.run(CANCELLED, &["workers", "--json"]);
        let workers: Value = serde_json::from_str(&said.out).unwrap_or_default();
        host = workers[0]["host"].as_str().map(str::to_owned);
        host.is_some()
    });
    host.expect("just found")
}

#[test]
fn a_lost_run_and_a_done_one_are_distinguished() {
    on_all(|place| {
        let file = place.path("go").display().to_string();
        publish(place, OPERATOR, &["until", "--payload", &file]);
        let worker = place.start(place.command(OPERATOR, &["work", "--concurrency", "1"]));
        until("it runs", || place.run(OPERATOR, &["workers"]).out.contains("until"));
        let watching = watch(place, OPERATOR, &["--type", "until"]);
        says(place, "running 1 until on ");
        worker.signal("KILL");
        worker.end();
        let keep = ["work", "--concurrency", "1", "--set", "keep_done=1h"];
        let worker = place.start(place.command(OPERATOR, &keep));
        says(place, "failed 1 until attempt 1: its worker died");
        says(place, "started 1 until on ");
        // It ignores jobs of another type.
        publish(place, OPERATOR, &["note", "--payload", "x"]);
        std::fs::write(&file, "").expect("written");
        says(place, "done 1 until");
        std::fs::remove_file(&file).expect("removed");
        publish(place, OPERATOR, &["until", "--payload", &file]);
        says(place, "started 3 until on ");
        worker.signal("TERM");
        std::fs::write(&file, "").expect("written");
        says(place, "done 3 until");
        assert!(lines(place).iter().all(|line| !line.contains("note")), "{:?}", lines(place));
        drop(watching);
    });
}

#[test]
fn jobs_that_are_too_quick_to_be_seen_are_counted_once() {
    on_all(|place| {
        let file = place.path("go").display().to_string();
        publish(place, OPERATOR, &["until", "--payload", &file]);
        let worker = place.start(place.command(OPERATOR, &["work", "--concurrency", "3"]));
        until("one job runs", || place.run(OPERATOR, &["workers"]).out.contains("until"));
        let watching = watch(place, OPERATOR, &["--json"]);
        let events = || -> Vec<Value> {
            let said = std::fs::read_to_string(place.path("out")).unwrap_or_default();
            said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
        };
        let sum = |name: &str, kinds: &[&str]| {
            let events = events();
            let others: u64 = events.iter().filter_map(|event| event[name].as_u64()).sum();
            others + events.iter().filter(|event| kinds.iter().any(|kind| event["event"] == *kind)).count() as u64
        };
        until("it looks", || events().iter().any(|event| event["event"] == "running"));
        publish(place, OPERATOR, &["note", "--payload", "x", "--count", "300"]);
        publish(place, OPERATOR, &["pay", "--body", "{\"card\": 0}", "--count", "7"]);
        until("all are counted", || {
            (sum("published", &[]), sum("done", &["done", "ended"]), sum("failed", &["failed", "buried"]))
                == (307, 300, 7)
        });
        let others = events().into_iter().find(|event| event["event"] == "others").expect("some");
        assert_eq!((&others["id"], &others["host"], &others["error"]), (&json!(null), &json!(null), &json!(null)));
        drop((watching, worker));
    });
}

#[test]
fn a_queue_that_does_not_know_its_workers_says_so() {
    let place = Sandbox::with_beanstalkd();
    publish(&place, OPERATOR, &["note", "--payload", "x"]);
    let said = place.run(OPERATOR, &["watch"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(
        said.err.starts_with("error: this queue cannot say which jobs run: it does not know its workers"),
        "{}",
        said.err
    );
    let said = place.run(OPERATOR, &["watch", "--interval", "1ms"]);
    assert!(said.code == 2 && said.err.contains("expected at least 100ms"), "{}", said.err);
}
