//! The cost of a worker's death, with real processes: the job that killed it loses one attempt,
//! other jobs in hand lose at most one, and all others lose none.
//!
//! `PULPO_DEATHS=20` repeats the aborting job that often with each number of lanes.

use std::collections::HashSet;
use std::time::Duration;

use pulpo_tests::beanstalkd::BeanstalkdServer;
use pulpo_tests::program::{CommandOutput, Sandbox};
use pulpo_tests::proxy::WithholdingProxy;
use pulpo_tests::wait::{until, within};
use serde_json::Value;

const WORKER: &str = env!("CARGO_BIN_EXE_crashing_worker");

fn publish(place: &Sandbox, arguments: &[&str]) {
    let said = place.run(WORKER, &[&["publish"], arguments].concat());
    assert_eq!(said.code, 0, "{}", said.err);
}

fn listed(place: &Sandbox) -> Vec<Value> {
    let said = place.run(WORKER, &["list", "--json", "--limit", "0"]);
    assert_eq!(said.code, 0, "{}", said.err);
    serde_json::from_str(&said.out).expect("JSON")
}

fn lines(place: &Sandbox, word: &str) -> usize {
    place.record().lines().filter(|line| line.starts_with(word)).count()
}

/// Starts workers with this number of lanes, one after the other, until one of them does not die.
/// Returns how many died.
fn supervise(place: &Sandbox, lanes: &str) -> usize {
    for deaths in 0..10 {
        let mut worker = place.start(place.command(WORKER, &["work", "--concurrency", lanes]));
        let over = || worker.has_ended() || listed(place).iter().all(|message| message["state"] == "buried");
        assert!(within(Duration::from_secs(120), over), "{:?}\n{}", listed(place), place.log());
        if !worker.has_ended() {
            worker.signal("TERM");
            assert_eq!(worker.end(), 0);
            return deaths;
        }
    }
    panic!("it has no end: {:?}\n{}", listed(place), place.log());
}

/// Other workers are idle at the server at the same time, and take over.
fn aborts_exactly_max_attempts_times(lanes: &str) {
    let times: usize = std::env::var("PULPO_DEATHS").map_or(2, |times| times.parse().expect("a number"));
    let place = Sandbox::with_beanstalkd();
    for round in 1..=times {
        publish(&place, &["abort", "--body", "{}"]);
        assert_eq!(supervise(&place, lanes), 3, "round {round}: {}", place.record());
        assert_eq!(lines(&place, "abort"), 3 * round, "round {round}");
        let buried = listed(&place);
        let reason = buried[0]["last_error"].as_str().expect("a reason");
        assert!(reason.starts_with("its worker died 3 times"), "round {round}: {reason}");
        let counts = [&buried[0]["attempts"], &buried[0]["abandoned"]].map(Value::as_u64);
        assert_eq!(counts, [Some(3); 2], "round {round}: the reservation for the burial does not count as an attempt");
    }
}

#[test]
fn a_job_that_kills_its_worker_of_1_lane_runs_exactly_max_attempts_times() {
    aborts_exactly_max_attempts_times("1");
}

#[test]
fn a_job_that_kills_its_worker_of_4_lanes_runs_exactly_max_attempts_times() {
    aborts_exactly_max_attempts_times("4");
}

#[test]
fn a_job_that_kills_its_worker_of_16_lanes_runs_exactly_max_attempts_times() {
    aborts_exactly_max_attempts_times("16");
}

#[test]
fn a_job_that_kills_its_worker_of_64_lanes_runs_exactly_max_attempts_times() {
    aborts_exactly_max_attempts_times("64");
}

#[test]
fn a_job_that_may_run_once_runs_once_though_its_worker_dies() {
    let place = Sandbox::with_beanstalkd();
    publish(&place, &["abort_once", "--body", "{}"]);
    assert_eq!(supervise(&place, "16"), 1);
    assert_eq!(lines(&place, "abort_once"), 1);
}

/// Many idle lanes wait beside the lane that has the job.
#[test]
fn a_job_in_hand_at_a_kill_loses_one_attempt_however_many_lanes_are_idle() {
    let place = Sandbox::with_beanstalkd();
    publish(&place, &["held", "--body", r#"{"name": "job", "then": "ok"}"#]);
    for attempt in 1..=3 {
        let mut worker = place.start(place.command(WORKER, &["work", "--concurrency", "64"]));
        until("it has begun", || place.record().contains(&format!("job begun {attempt}\n")));
        assert!(!worker.has_ended());
        worker.signal("KILL");
        worker.end();
        let left = listed(&place);
        assert_eq!((&left[0]["attempts"], &left[0]["state"]), (&attempt.into(), &"ready".into()), "{left:?}");
    }
}

#[test]
fn jobs_in_hand_lose_one_attempt_at_a_kill_and_those_that_wait_lose_none() {
    let place = Sandbox::with_beanstalkd();
    for number in 0..6 {
        publish(&place, &["held", "--body", &format!(r#"{{"name": "job{number}", "then": "ok"}}"#)]);
    }
    for kill in 1..=2 {
        let worker = place.start(place.command(WORKER, &["work", "--concurrency", "4"]));
        until("four have begun", || lines(&place, "job") == 4 * kill);
        worker.signal("KILL");
        worker.end();
    }
    let attempts: Vec<u64> = listed(&place).iter().rev().filter_map(|message| message["attempts"].as_u64()).collect();
    assert_eq!(attempts, [2, 2, 2, 2, 0, 0]);
}

fn publish_held(place: &Sandbox, handler: &str, names: &[&str]) {
    for name in names {
        publish(place, &[handler, "--body", &format!(r#"{{"name": "{name}", "then": "ok"}}"#)]);
    }
}

/// Returns the job, the state and the attempts of each message, oldest first.
fn attempts(place: &Sandbox) -> Vec<(String, String, u64)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let row = |one: &Value| (text(&one["request_type"]), text(&one["state"]), one["attempts"].as_u64().unwrap_or(99));
    listed(place).iter().rev().map(row).collect()
}

/// The server hands out jobs of all types. A job of another type ends a batch, and more may have
/// been taken ahead.
#[test]
fn a_kill_during_a_batch_costs_no_attempt_of_a_job_that_is_not_in_it() {
    for (batch, members, others) in [
        ("held_batch", &["a"][..], &["x"][..]),
        ("held_batch", &["a"], &["x", "y", "z"]),
        ("held_flock", &["a", "b", "c", "d"], &["u", "v", "w", "x", "y", "z"]),
        ("held_flock", &["a", "b", "c", "d", "e", "f", "g"], &["x", "y"]),
    ] {
        let place = Sandbox::with_beanstalkd();
        publish_held(&place, batch, members);
        publish_held(&place, "held", others);
        for kill in 1..=2 {
            let worker = place.start(place.command(WORKER, &["work", "--concurrency", "1"]));
            let begun = format!(" begun {kill}\n");
            until("the batch has begun", || place.record().matches(&begun).count() == members.len());
            worker.signal("KILL");
            worker.end();
            let left = attempts(&place);
            let expected = |index| (if index < members.len() { (batch, kill) } else { ("held", 0) }, "ready");
            for (index, (request_type, state, count)) in left.iter().enumerate() {
                let found = ((request_type.as_str(), *count), state.as_str());
                assert_eq!(found, expected(index), "{batch} of {members:?} and {others:?}, kill {kill}: {left:?}");
            }
            assert_eq!(left.len(), members.len() + others.len());
        }
    }
}

#[test]
fn a_job_that_a_batch_does_not_take_is_run_by_an_idle_lane_at_once() {
    let place = Sandbox::with_beanstalkd();
    publish_held(&place, "held_batch", &["a"]);
    publish_held(&place, "held", &["x", "y"]);
    let worker = place.start(place.command(WORKER, &["work", "--concurrency", "3"]));
    until("all have begun while the batch runs", || {
        ["a", "x", "y"].iter().all(|name| place.record().contains(&format!("{name} begun 1\n")))
    });
    for name in ["a", "x", "y"] {
        std::fs::write(place.path(&format!("{name}.1")), "").unwrap();
    }
    until("all are done", || listed(&place).is_empty());
    assert_eq!(place.record().matches("begun").count(), 3, "{}", place.record());
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

#[test]
fn another_worker_takes_over_what_a_killed_one_had_and_nothing_is_lost() {
    let place = Sandbox::with_beanstalkd();
    let survivor = place.start(place.command(WORKER, &["work", "--concurrency", "4"]));
    for _ in 0..4 {
        let before = lines(&place, "innocent");
        let victim = place.start(place.command(WORKER, &["work", "--concurrency", "16"]));
        publish(&place, &["innocent", "--body", "20", "--count", "50"]);
        until("some are done", || lines(&place, "innocent") > before + 10);
        victim.signal("KILL");
        victim.end();
    }
    until("all are done", || listed(&place).is_empty());
    let record = place.record();
    let done: HashSet<_> = record.lines().filter(|line| line.starts_with("innocent")).collect();
    assert_eq!(done.len(), 200);
    survivor.signal("TERM");
    assert_eq!(survivor.end(), 0);
}

#[test]
fn a_stopped_worker_gives_back_what_it_has_uncounted() {
    let place = Sandbox::with_beanstalkd();
    publish(&place, &["held", "--body", r#"{"name": "job", "then": "ok"}"#]);
    for _ in 0..2 {
        let mut command = place.command(WORKER, &["work", "--concurrency", "16"]);
        command.env("PULPO_SHUTDOWN_GRACE", "100ms");
        let begun = lines(&place, "job begun");
        let worker = place.start(command);
        until("it has begun", || lines(&place, "job begun") > begun);
        worker.signal("TERM");
        worker.end();
        let left = listed(&place);
        assert_eq!((left[0]["attempts"].as_u64(), left[0]["abandoned"].as_u64()), (Some(0), Some(0)), "{left:?}");
    }
}

/// Only a kick after the release makes the server not count the run. The worker dies when the release is answered.
#[test]
fn a_worker_that_is_killed_while_it_gives_a_job_back_costs_it_no_attempt() {
    let (place, server) = (Sandbox::new(), BeanstalkdServer::start());
    let proxy = WithholdingProxy::start(server.port(), "RELEASED");
    let at = |port: u16, arguments: &[&str]| {
        let mut command = place.command(WORKER, arguments);
        command.env("PULPO_QUEUE", format!("beanstalkd://127.0.0.1:{port}")).env("PULPO_SHUTDOWN_GRACE", "100ms");
        command
    };
    let body = r#"{"name": "job", "then": "ok"}"#;
    let said = CommandOutput::of(at(server.port(), &["publish", "held", "--body", body]));
    assert_eq!(said.code, 0, "{}", said.err);
    let mut worker = place.start(at(proxy.port(), &["work"]));
    until("it has begun", || lines(&place, "job begun") > 0);
    worker.signal("TERM");
    proxy.await_answer();
    worker.signal("KILL");
    until("it is gone", || worker.has_ended());
    let said = CommandOutput::of(at(server.port(), &["list", "--json"]));
    let left: Vec<Value> = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((left[0]["attempts"].as_u64(), left[0]["abandoned"].as_u64()), (Some(0), Some(0)), "{left:?}");
    assert_eq!(left[0]["state"], "ready");
}
