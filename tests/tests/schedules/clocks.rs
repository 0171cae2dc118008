//! Clocks: time zones change theirs, and machines have wrong ones.

use chrono::TimeDelta;

use crate::stage::{DAY, HOUR, MINUTE, Stage};

#[test]
fn a_job_at_a_time_that_clocks_leave_out_runs_after_the_gap() {
    let stage = Stage::at("2026-03-28T12:00:00Z");
    let _worker = stage.work(&["berlin"]);
    for _ in 0..48 {
        stage.pass(HOUR / 2, &["berlin"]);
    }
    stage.assert_ran(&["berlin 29 01:00"]);
    for _ in 0..48 {
        stage.pass(HOUR / 2, &["berlin"]);
    }
    stage.assert_ran(&["berlin 29 01:00", "berlin 30 00:30", "berlin 30 10:00"]);
}

#[test]
fn a_job_at_a_time_that_comes_twice_runs_once() {
    let stage = Stage::at("2026-10-24T12:00:00Z");
    let _worker = stage.work(&["berlin"]);
    for _ in 0..48 {
        stage.pass(HOUR / 2, &["berlin"]);
    }
    stage.assert_ran(&["berlin 25 00:30"]);
}

#[test]
fn a_clock_that_is_set_back_a_little_doubles_nothing() {
    let stage = Stage::new();
    let _worker = stage.work(&["often"]);
    stage.pass(10 * MINUTE, &["often"]);
    stage.assert_ran(&["often 23 12:10"]);
    stage.clock.jump(TimeDelta::minutes(-10));
    stage.clock.advance(9 * MINUTE);
    stage.pass(6 * MINUTE, &["often"]);
    let mut runs = stage.runs.all();
    runs.sort();
    // Times that were skipped as missed may run now, and nothing runs twice.
    runs.retain(|run| run != "often 23 12:05");
    assert_eq!(runs, ["often 23 12:10", "often 23 12:15"]);
}

#[test]
fn a_schedule_goes_on_after_a_clock_was_years_ahead() {
    let stage = Stage::new();
    let worker = stage.work(&["nightly"]);
    // The first round of the scheduler ends with a search for entries that no worker has had for a month.
    stage.pass(10 * MINUTE, &["nightly"]);
    stage.clock.jump(TimeDelta::days(3650));
    stage.once_settled("nightly");
    pulpo_tests::wait::until("the last night that was missed ran", || stage.runs.all().len() == 1);
    pulpo_tests::wait::until("it is done", || stage.messages().is_empty());
    stage.clock.jump(TimeDelta::days(-3650));
    drop(worker);
    let before = stage.runs.all().len();
    let _worker = stage.work(&["nightly"]);
    stage.pass(DAY, &["nightly"]);
    assert_eq!(stage.runs.all()[before..], ["nightly 24 03:00"]);
}
