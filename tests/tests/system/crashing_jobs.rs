//! Jobs that kill their workers, and other jobs in the same worker.

use std::collections::HashSet;
use std::time::Duration;

use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::within;
use serde_json::Value;

on_each_queue! {
    a_job_that_aborts_its_workers_is_buried_and_the_others_are_done
    a_job_that_aborts_its_workers_among_short_ones_has_its_attempts_and_takes_none_from_them
    a_job_that_was_leased_ahead_and_had_begun_has_lost_an_attempt
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
        let over = within(Duration::from_secs(120), || {
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
    assert_eq!(
        reasons,
        [(Some("abort"), Some(thrice.as_str()), Some(3)), (Some("abort_once"), Some(once.as_str()), Some(1))]
    );
}

/// So short that others are leased ahead of their lanes, which a queue may not
/// be able to tell from those that have begun.
fn publish_short(place: &Sandbox, count: usize) {
    let published = place.run(PERILS, &["publish", "innocent", "--body", "0", "--count", &count.to_string()]);
    assert_eq!(published.code, 0, "{}", published.err);
}

fn a_job_that_aborts_its_workers_among_short_ones_has_its_attempts_and_takes_none_from_them(place: &Sandbox) {
    for (poison, deaths) in [("abort", 3), ("abort_once", 1)] {
        publish_short(place, 100);
        assert_eq!(place.run(PERILS, &["publish", poison, "--body", "{}"]).code, 0);
        publish_short(place, 400);
        let mut died = 0;
        loop {
            let mut worker = place.start(place.command(PERILS, &["work", "--concurrency", "1"]));
            let done = |left: &[Value]| left.iter().all(|message| message["state"] == "buried");
            let over = within(Duration::from_secs(120), || worker.has_ended() || done(&listed(place)));
            assert!(over, "{:?}\n{}", listed(place), place.log());
            if !worker.has_ended() {
                worker.signal("TERM");
                assert_eq!(worker.end(), 0);
                break;
            }
            died += 1;
            assert!(died <= deaths, "{}", place.record());
            // A message that never began has all its attempts.
            let has_lost = |message: &&Value| message["request_type"] == "innocent" && message["attempts"] != 0;
            assert_eq!(listed(place).iter().find(has_lost), None);
        }
        assert_eq!(place.record().lines().filter(|line| *line == poison).count(), deaths);
    }
    let done: HashSet<_> =
        place.record().lines().filter(|line| line.starts_with("innocent")).map(str::to_owned).collect();
    assert_eq!(done.len(), 1000);
    for message in listed(place) {
        let times = if message["request_type"] == "abort" { "3 times" } else { "once" };
        let reason = message["last_error"].as_str().expect("a reason");
        assert!(reason.starts_with(&format!("its worker died {times} ")), "{message}");
    }
}

fn a_job_that_was_leased_ahead_and_had_begun_has_lost_an_attempt(place: &Sandbox) {
    publish_short(place, 100);
    assert_eq!(place.run(PERILS, &["publish", "innocent", "--body", "3600000"]).code, 0);
    publish_short(place, 400);
    let worker = place.start(place.command(PERILS, &["work", "--concurrency", "1"]));
    // It is the first of those that are there.
    let runs = |message: &Value| message["state"] == "reserved";
    let alone = || place.record().lines().count() == 100 && listed(place).iter().filter(|one| runs(one)).count() == 1;
    assert!(within(Duration::from_secs(120), alone), "{}", place.log());
    worker.signal("KILL");
    let _ = worker.end_by_signal();
    // Another worker notices it, and may take nothing.
    assert_eq!(place.run(PERILS, &["pause", "pulpo"]).code, 0);
    let ready = || listed(place).iter().all(|message| !runs(message));
    let witness = place.start(place.command(PERILS, &["work", "--concurrency", "1"]));
    assert!(within(Duration::from_secs(120), ready), "{}", place.log());
    witness.signal("TERM");
    assert_eq!(witness.end(), 0);
    let attempts: Vec<_> = listed(place).iter().map(|message| message["attempts"].as_u64()).collect();
    let (others, long) = attempts.split_at(attempts.len() - 1);
    assert_eq!(long, [Some(1)]);
    assert!(others.iter().all(|attempts| *attempts == Some(0)), "{others:?}");
}
