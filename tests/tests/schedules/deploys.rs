//! Schedules while workers are away, replaced and restarted.

use crate::stage::{DAY, HOUR, MINUTE, Stage};

#[test]
fn what_was_missed_runs_as_the_handler_says() {
    let stage = Stage::new();
    drop(stage.work(&["nightly", "skipping", "each"]));
    stage.pass_alone(3 * DAY);
    let _worker = stage.work(&["nightly", "skipping", "each"]);
    stage.pass(MINUTE, &["nightly", "skipping", "each"]);
    stage.assert_ran(&["each 24 03:00", "each 25 03:00", "each 26 03:00", "nightly 26 03:00"]);
    stage.pass(DAY, &["nightly", "skipping", "each"]);
    stage.assert_ran(&[
        "each 24 03:00",
        "each 25 03:00",
        "each 26 03:00",
        "each 27 03:00",
        "nightly 26 03:00",
        "nightly 27 03:00",
        "skipping 27 03:00",
    ]);
}

#[test]
fn a_weekly_job_runs_though_workers_are_restarted_every_day() {
    let stage = Stage::new();
    // Each time at ten, and once in the very moment that it is due.
    for day in 0..21 {
        let worker = stage.work(&["weekly"]);
        stage.pass(22 * HOUR, &["weekly"]);
        drop(worker);
        let _next = stage.work(&["weekly"]);
        stage.pass(2 * HOUR, &["weekly"]);
        assert!(day < 21);
    }
    stage.assert_ran(&["weekly 06 04:00", "weekly 13 04:00", "weekly 29 04:00"]);
}

#[test]
fn a_long_outage_is_followed_by_no_flood() {
    let stage = Stage::new();
    drop(stage.work(&["often"]));
    stage.pass_alone(3 * DAY);
    let _workers: Vec<_> = (0..3).map(|_| stage.work(&["often"])).collect();
    stage.pass(MINUTE, &["often"]);
    stage.assert_ran(&["often 26 12:00"]);
    stage.pass(5 * MINUTE, &["often"]);
    stage.assert_ran(&["often 26 12:00", "often 26 12:05"]);
}

#[test]
fn a_short_break_at_the_wrong_moment_loses_no_occurrence() {
    let stage = Stage::new();
    let worker = stage.work(&["skipping"]);
    stage.pass(15 * HOUR - MINUTE / 30, &["skipping"]);
    // The next worker starts before the previous one is missed.
    stage.once_settled("skipping");
    drop(worker);
    stage.pass_alone(MINUTE / 6);
    let _worker = stage.work(&["skipping"]);
    stage.pass(MINUTE, &["skipping"]);
    stage.assert_ran(&["skipping 24 03:00"]);
}

#[test]
fn versions_do_not_touch_the_entries_of_each_other() {
    let stage = Stage::new();
    let (old, new) = (stage.work(&["nightly"]), stage.work(&["each"]));
    stage.pass(DAY, &["nightly", "each"]);
    drop(old);
    for _ in 0..29 {
        stage.pass(DAY, &["each"]);
    }
    assert!(stage.known().entries.iter().any(|entry| entry.name == "nightly"));
    // A rollback continues where the old version was.
    let old = stage.work(&["nightly"]);
    stage.pass(MINUTE, &["nightly"]);
    let nights = stage.runs.all().iter().filter(|run| run.starts_with("nightly")).count();
    assert_eq!(nights, 2);
    drop(old);
    // No worker has it for a month.
    for _ in 0..31 {
        stage.pass(DAY, &["each"]);
    }
    stage.pass(2 * HOUR, &["each"]);
    pulpo_tests::wait::until("it is removed", || stage.known().entries.iter().all(|entry| entry.name != "nightly"));
    let _old = stage.work(&["nightly"]);
    stage.pass(MINUTE, &["nightly"]);
    drop(new);
    let nights = stage.runs.all().iter().filter(|run| run.starts_with("nightly")).count();
    assert_eq!(nights, 2, "it is new, and does not look back");
}
