//! Jobs that kill their workers, and other jobs in the same worker.

use std::collections::HashSet;
use std::time::Duration;

use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::within;
use serde_json::Value;

on_each_queue! {
    a_job_that_aborts_its_workers_is_buried_and_the_others_are_done
}

const PERILS: &str = env!("CARGO_BIN_EXE_crashing_worker");

fn listed(place: &Sandbox) -> Vec<Value> {
    let said = place.run(PERILS, &["list", "--json", "--limit", "0"]);
    assert_eq!(said.code, 0, "{}", said.err);
    serde_json::from_str(&said.out).expect("JSON")
}

/// Starts workers, as a supervisor does, until nothing is left to do. Returns the number of workers.
fn supervise(place: &Sandbox) -> usize {
    for workers in 1..20 {
        let mut worker = place.start(place.command(PERILS, &["work", "--concurrency", "3"]));
        let mut left = Vec::new();
        let over = within(Duration::from_secs(60), || {
            left = listed(place);
            worker.has_ended() || left.iter().all(|message| message["state"] == "buried")
        });
        assert!(over, "{left:?}\n{}", place.log());
        if !worker.has_ended() {
            worker.signal("TERM");
            assert_eq!(worker.end(), 0);
            return workers;
        }
    }
    panic!("it has no end: {:?}\n{}", listed(place), place.log());
}

fn a_job_that_aborts_its_workers_is_buried_and_the_others_are_done(place: &Sandbox) {
    let mut innocents = 0;
    for (poison, deaths) in [("abort", 3), ("abort_once", 1)] {
        // So each worker holds some of them when it dies.
        assert_eq!(place.run(PERILS, &["publish", "innocent", "--body", "100", "--count", "12"]).code, 0);
        assert_eq!(place.run(PERILS, &["publish", poison, "--body", "{}", "--priority", "0"]).code, 0);
        innocents += 12;
        assert_eq!(supervise(place), deaths + 1);
        let record = place.record();
        assert_eq!(record.lines().filter(|line| *line == poison).count(), deaths, "{record}");
        let done: HashSet<_> = record.lines().filter(|line| line.starts_with("innocent")).collect();
        assert_eq!(done.len(), innocents, "{record}");
    }
    let buried = listed(place);
    let mut reasons: Vec<_> = buried
        .iter()
        .map(|message| (message["request_type"].as_str(), message["last_error"].as_str(), message["attempts"].as_u64()))
        .collect();
    reasons.sort_unstable();
    let silent = "(or fell silent for longer than its ttr)";
    let (thrice, once) = (format!("its worker died 3 times {silent}"), format!("its worker died once {silent}"));
    let attempts = |reserves: u64| if place.is_on_a_server() { reserves + 1 } else { reserves };
    assert_eq!(
        reasons,
        [
            (Some("abort"), Some(thrice.as_str()), Some(attempts(3))),
            (Some("abort_once"), Some(once.as_str()), Some(attempts(1)))
        ]
    );
}
