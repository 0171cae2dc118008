//! The effect of each signal on a worker, and on a program that has run one.

use std::time::{Duration, Instant};

use pulpo_tests::program::{Running, Sandbox};
use pulpo_tests::wait::until;

const EMBEDDER: &str = env!("CARGO_BIN_EXE_embedder");

fn publish(place: &Sandbox, action: &str) {
    let said = place.run(EMBEDDER, &["publish", action]);
    assert_eq!(said.code, 0, "{}", said.err);
}

/// Starts a program that a SIGHUP ends, even if the tests themselves run under `nohup`.
fn started(place: &Sandbox, program: &str, arguments: &[&str]) -> Running {
    let mut command = place.command("env", &["--default-signal=HUP", program]);
    command.args(arguments);
    place.start(command)
}

/// Starts a program that has run a worker and has continued with something else.
fn after_a_worker(place: &Sandbox, arguments: &[&str]) -> Running {
    let program = started(place, EMBEDDER, arguments);
    if arguments[1].starts_with("run") {
        publish(place, "note working");
        until("it works", || place.record().contains("note working"));
        program.signal("TERM");
    }
    until("the worker has returned", || place.record().contains("returned"));
    program
}

#[test]
fn the_default_action_is_back_when_a_worker_has_returned() {
    for how in ["drain", "drain twice", "run", "run two"] {
        for (signal, number) in [("TERM", 15), ("INT", 2), ("HUP", 1)] {
            let place = Sandbox::new();
            let program = after_a_worker(&place, &["stay", how]);
            program.signal(signal);
            assert_eq!(program.end_by_signal(), Some(number), "{how} {signal}");
        }
    }
}

#[test]
fn a_handler_for_another_signal_does_not_keep_the_default_action_away() {
    for when in ["before other", "after other"] {
        let place = Sandbox::new();
        let program = after_a_worker(&place, &["stay", "drain", when]);
        program.signal("INT");
        assert_eq!(program.end_by_signal(), Some(2), "{when}");
    }
}

#[test]
fn a_handler_of_the_programs_own_goes_on_before_and_after_a_worker() {
    for handler in ["signal-hook", "tokio", "ctrlc"] {
        for when in ["before", "after"] {
            let place = Sandbox::new();
            let mut program = after_a_worker(&place, &["stay", "drain", &format!("{when} {handler}")]);
            for times in 1..=2 {
                program.signal("INT");
                until(&format!("{handler} {when} has caught it"), || place.record().matches("caught").count() == times);
                assert!(!program.has_ended(), "{handler} {when}");
            }
            // Without another handler, the default is restored.
            if handler == "ctrlc" || when == "before" {
                program.signal("TERM");
                assert_eq!(program.end_by_signal(), Some(15), "{handler} {when}");
            }
        }
    }
}

#[test]
fn a_handler_of_the_programs_own_runs_beside_a_worker() {
    for handler in ["signal-hook", "tokio", "ctrlc"] {
        let place = Sandbox::new();
        let program = started(&place, EMBEDDER, &["stay", "run", &format!("before {handler}")]);
        publish(&place, "note working");
        until("it works", || place.record().contains("note working"));
        program.signal("INT");
        until("both have heard it", || place.record().contains("caught") && place.record().contains("returned"));
    }
}

#[test]
fn a_signal_that_is_ignored_when_the_worker_starts_is_ignored_when_it_has_returned() {
    let place = Sandbox::new();
    let script = format!("trap '' INT; exec {EMBEDDER} stay drain");
    let mut program = after_a_worker_of_a_shell(&place, &script);
    program.signal("INT");
    program.signal("INT");
    assert!(!program.has_ended());
    program.signal("TERM");
    assert_eq!(program.end_by_signal(), Some(15), "and not by INT");
}

fn after_a_worker_of_a_shell(place: &Sandbox, script: &str) -> Running {
    let program = started(place, "sh", &["-c", script]);
    until("the worker has returned", || place.record().contains("returned"));
    program
}

#[test]
fn each_signal_that_stops_a_worker_lets_its_job_end() {
    for signal in ["TERM", "INT", "HUP"] {
        let place = Sandbox::new();
        let worker = started(&place, EMBEDDER, &["work"]);
        publish(&place, "nap 500");
        until("the job has begun", || place.record().contains("asleep"));
        worker.signal(signal);
        assert_eq!(worker.end(), 0, "{signal}");
        assert!(place.record().contains("nap 500"), "{signal}");
    }
}

#[test]
fn two_signals_at_once_are_one() {
    for signals in [["TERM", "TERM"], ["TERM", "HUP"], ["INT", "TERM"]] {
        let place = Sandbox::new();
        let worker = started(&place, EMBEDDER, &["work"]);
        publish(&place, "nap 1500");
        until("the job has begun", || place.record().contains("asleep"));
        // One program sends both, so that nothing comes between them.
        let [first, second] = signals;
        let both = format!("kill -{first} {id} && kill -{second} {id}", id = worker.id());
        assert_eq!(place.run("sh", &["-c", &both]).code, 0);
        assert_eq!(worker.end(), 0, "{signals:?}");
        assert!(place.record().contains("nap 1500"), "{signals:?}");
    }
}

#[test]
fn timeout_lets_a_job_end() {
    let place = Sandbox::new();
    publish(&place, "nap 7000");
    // By then, the job has begun, even if the program takes long to start.
    let said = place.run("timeout", &["5", EMBEDDER, "work"]);
    assert_eq!(said.code, 124, "{}", said.err);
    assert!(place.record().contains("nap 7000"), "{}", place.record());
}

#[test]
fn a_later_signal_stops_at_once() {
    let place = Sandbox::new();
    let worker = started(&place, EMBEDDER, &["work"]);
    publish(&place, "nap 3600000");
    until("the job has begun", || place.record().contains("asleep"));
    worker.signal("TERM");
    let told = Instant::now();
    until("a second one counts", || told.elapsed() > Duration::from_secs(1));
    let mut worker = worker;
    until("it has ended", || {
        if !worker.has_ended() {
            worker.signal("HUP");
        }
        worker.has_ended()
    });
    assert!(told.elapsed() < Duration::from_secs(20), "{:?}", told.elapsed());
}

#[test]
fn a_hangup_that_is_ignored_stays_so() {
    for script in [format!("trap '' HUP; exec {EMBEDDER} work"), format!("exec nohup {EMBEDDER} work")] {
        let place = Sandbox::new();
        let worker = started(&place, "sh", &["-c", &script]);
        publish(&place, "note first");
        until("it works", || place.record().contains("note first"));
        worker.signal("HUP");
        publish(&place, "note second");
        until("it works on", || place.record().contains("note second"));
        worker.signal("TERM");
        assert_eq!(worker.end(), 0, "{script}");
    }
}

#[test]
fn other_signals_end_a_worker_and_its_job_comes_again() {
    for (signal, number) in [("USR1", 10), ("USR2", 12), ("ALRM", 14)] {
        let place = Sandbox::new();
        let worker = started(&place, EMBEDDER, &["work"]);
        publish(&place, "nap 3600000");
        until("the job has begun", || place.record().contains("asleep"));
        worker.signal(signal);
        assert_eq!(worker.end_by_signal(), Some(number));
        let again = started(&place, EMBEDDER, &["work"]);
        until("the job has begun again", || place.record().matches("asleep").count() == 2);
        drop(again);
    }
}

#[test]
fn a_pipe_without_a_reader_ends_no_worker() {
    let place = Sandbox::new();
    let worker = started(&place, EMBEDDER, &["work"]);
    publish(&place, "note first");
    until("it works", || place.record().contains("note first"));
    worker.signal("PIPE");
    publish(&place, "note second");
    until("it works on", || place.record().contains("note second"));
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}
