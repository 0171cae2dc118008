//! A log that cannot be written, or that is not read, never ends or delays a job; and the data
//! that must not appear in it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pulpo_tests::program::{Running, Sandbox};
use pulpo_tests::wait::until;
use serde_json::Value;

/// Its handlers accept their input, or fail or panic with it.
const WORKER: &str = env!("CARGO_BIN_EXE_hostile_input_worker");

/// More lines than a pipe holds.
const JOBS: u64 = 2000;

fn publish(place: &Sandbox) {
    for (request_type, jobs) in [("text", JOBS), ("fail", 20), ("panic", 20)] {
        let arguments = ["publish", request_type, "--payload", "bob@example.com", "--count", &jobs.to_string()];
        let said = place.run(WORKER, &arguments);
        assert_eq!(said.code, 0, "{}", said.err);
    }
}

/// Returns a shell that runs the worker until nothing is left to do; `{}` stands for the worker.
fn shell(place: &Sandbox, line: &str, settings: &[&str]) -> Command {
    let idle = ["sleep_duration=100ms", "shutdown_after_number_of_empty_iterations=2", "concurrency=4"];
    let settings: Vec<_> = idle.iter().chain(settings).map(|setting| format!(" --set {setting}")).collect();
    let worker = format!("{WORKER} work{}", settings.concat());
    place.command("sh", &["-c", &line.replace("{}", &worker)])
}

/// Checks that all valid jobs are done, and the others buried at their first run.
#[track_caller]
fn all_are_settled(place: &Sandbox) {
    let left = place.run(WORKER, &["list", "--json", "--limit", "0"]);
    let left: Value = serde_json::from_str(&left.out).expect("JSON");
    let left = left.as_array().expect("a list");
    assert_eq!(left.len(), 40, "{left:#?}");
    for message in left {
        assert_eq!((&message["state"], &message["attempts"]), (&"buried".into(), &1.into()), "{message}");
        let reason = message["last_error"].as_str().unwrap_or_default();
        assert!(["bob@example.com", "panicked: bob@example.com"].contains(&reason), "{message}");
    }
}

#[test]
fn a_log_that_cannot_be_written_ends_no_worker() {
    for settings in [&[][..], &["enable_output_buffering=true"], &["log_format=json"]] {
        for line in ["{} 2>/dev/full", "{} 2>&-", "{} >/dev/full 2>&1"] {
            let place = Sandbox::new();
            publish(&place);
            let status = shell(&place, line, settings).status().expect("started");
            assert_eq!(status.code(), Some(0), "{line} {settings:?}");
            all_are_settled(&place);
        }
    }
}

#[test]
fn a_log_that_has_reached_its_largest_size_ends_no_worker() {
    // The limit does not apply to the queue.
    let place = Sandbox::with_beanstalkd();
    publish(&place);
    let status = shell(&place, "ulimit -f 16; exec {} 2>log", &[]).status().expect("started");
    assert_eq!(status.code(), Some(0));
    assert!(place.log().len() <= 16 << 10, "{}", place.log().len());
    let said = place.run(WORKER, &["stats", "--json"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let left = place.run(WORKER, &["list", "--json", "--limit", "0"]);
    assert_eq!(left.out.matches("\"buried\"").count(), 40, "{}", left.out);
}

#[test]
fn a_reader_that_has_seen_enough_ends_no_worker() {
    for settings in [&[][..], &["enable_output_buffering=true"], &["enable_banner=true"]] {
        let place = Sandbox::new();
        publish(&place);
        let output = shell(&place, "{ {}; echo $? >code; } 2>&1 | head -2", settings).output().expect("started");
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 2);
        until("it has ended", || !place.log_named("code").is_empty());
        assert_eq!(place.log_named("code"), "0\n", "{settings:?}");
        all_are_settled(&place);
    }
}

#[test]
fn a_pipe_without_a_reader_delays_no_job_and_no_end() {
    for settings in [&[][..], &["enable_output_buffering=true"]] {
        let place = Sandbox::new();
        publish(&place);
        let mut command = shell(&place, "exec {}", settings);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("started");
        let unread = child.stderr.take().expect("a pipe");
        let begin = Instant::now();
        assert_eq!(Running::from(child).end(), 0);
        assert!(begin.elapsed() < Duration::from_secs(100), "{:?}", begin.elapsed());
        all_are_settled(&place);
        drop(unread);
    }
}

#[test]
fn a_worker_whose_log_is_not_read_ends_with_its_error() {
    let place = Sandbox::new();
    publish(&place);
    // The pipe is full when the folder of its queue disappears, and the worker reports that at its end.
    let mut command = shell(&place, "{}; exec {} --set queue=file:/dev/null/nowhere", &[]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("started");
    let unread = child.stderr.take().expect("a pipe");
    assert_eq!(Running::from(child).end(), 1);
    drop(unread);
}

#[test]
fn other_commands_end_quietly_when_the_reader_has_gone() {
    let place = Sandbox::new();
    publish(&place);
    for command in ["list --limit 0", "list --limit 0 --json", "config", "handlers"] {
        let line = format!("{{ {WORKER} {command}; echo $? >code; }} | head -1");
        let output = place.command("sh", &["-c", &line]).output().expect("started");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{command}");
        until("it has ended", || !place.log_named("code").is_empty());
        assert_eq!(place.log_named("code"), "0\n", "{command}");
        std::fs::remove_file(place.path("code")).expect("removed");
    }
    let line = format!("{WORKER} list --limit 0 >/dev/full");
    let output = place.command("sh", &["-c", &line]).output().expect("started");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"), "{output:?}");
}

#[test]
fn reasons_stay_out_of_the_log_if_so_configured() {
    for (setting, told) in [("log_reasons=true", true), ("log_reasons=false", false)] {
        for format in ["log_format=plain", "log_format=json"] {
            let place = Sandbox::new();
            publish(&place);
            // The keys of a map are data, and anybody can choose the name of a type.
            let output = shell(&place, "{}", &[setting, format]).output().expect("started");
            let log = String::from_utf8_lossy(&output.stderr);
            assert_eq!(log.contains("bob@example.com"), told, "{log}");
            assert_eq!(log.matches("buried: look at it with `peek`").count(), 40, "{log}");
            assert_eq!(log.matches("panicked").count(), if told { 40 } else { 20 }, "{log}");
            all_are_settled(&place);
        }
    }
}
