//! The torture program on each queue: a quarter of a minute of kills, or as many seconds as
//! `PULPO_TORTURE_SECONDS` says.

use std::sync::{Mutex, PoisonError};

use pulpo_tests::program::Sandbox;
use serde_json::Value;

const TORTURE: &str = env!("CARGO_BIN_EXE_torture");

/// Runs one test at a time, because each needs the whole machine.
static TURN: Mutex<()> = Mutex::new(());

fn torture(queue: &str) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let seconds = std::env::var("PULPO_TORTURE_SECONDS").unwrap_or_else(|_| "15".to_owned());
    let said = Sandbox::new().run(TORTURE, &["--queue", queue, "--seconds", &seconds, "--json"]);
    let report: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    // The report contains all violations, with the ledger entries of each job.
    assert_eq!(report["violations"], Value::Array(Vec::new()), "{}", said.out);
    assert_eq!((&report["lost"], &report["stranded"], &report["attempts_wrong"]), (&0.into(), &0.into(), &0.into()));
    assert_eq!(said.code, 0, "{}", said.err);
    // Check that the run had enough faults.
    let figure = |path: &str| report.pointer(path).and_then(Value::as_u64).unwrap_or_default();
    for (path, least) in [
        ("/kills/workers", 3),
        ("/kills/producers", 1),
        ("/published", 500),
        ("/done", 500),
        ("/buried", 20),
        ("/cut_off", 1),
        ("/extra_runs", 1),
    ] {
        assert!(figure(path) >= least, "expected at least {least} at {path}: {}", said.out);
    }
    if queue != "file" {
        assert!(figure("/kills/servers") >= 1, "{}", said.out);
    }
    let explained: u64 = report["explained"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
    assert_eq!(explained, figure("/extra_runs"), "each run more than one is explained by a kill");
}

#[test]
fn nothing_is_lost_or_stranded_in_the_embedded_queue_under_kills() {
    torture("file");
}

#[test]
fn nothing_is_lost_or_stranded_at_a_beanstalkd_under_kills() {
    torture("beanstalkd");
}

#[test]
fn nothing_is_lost_or_stranded_at_three_beanstalkds_under_kills() {
    torture("servers");
}

#[test]
fn nothing_is_lost_or_stranded_behind_a_spool_whose_server_is_away_for_a_third_of_the_time() {
    torture("spool");
}

// Three test processes and a recovering server are too much for two cores beside other tests: a
// late heartbeat looks like a fault.
#[test]
#[ignore = "wants a machine for itself: ./check runs it after the other tests"]
fn nothing_is_lost_or_stranded_in_postgresql_under_kills() {
    torture("postgres");
}
