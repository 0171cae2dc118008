//! Schedules while workers are away, replaced and restarted.

use std::time::Duration;

use pulpo::clock::Clock as _;
use pulpo::queue::{Filter, Inspection as _, NewMessage, Occurrence, ScheduleStep, ScheduleStore as _};

use crate::stage::{DAY, HOUR, MINUTE, Stage};

#[test]
fn missed_times_run_as_the_handler_says() {
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
    // A Monday. Each day, no worker is there at four and at midnight, when the jobs are due.
    let stage = Stage::at("2026-11-23T00:01:00Z");
    let names = &["weekly", "each_week"];
    let gap = 3 * MINUTE / 2;
    for _ in 0..21 {
        for time in [4 * HOUR, 20 * HOUR] {
            let worker = stage.work(names);
            stage.pass(time - gap, names);
            drop(worker);
            stage.pass_alone(gap);
        }
    }
    let _worker = stage.work(names);
    stage.pass(MINUTE, names);
    stage.assert_ran(&[
        "each_week 03 00:00",
        "each_week 10 00:00",
        "each_week 26 00:00",
        "weekly 06 04:00",
        "weekly 13 04:00",
        "weekly 29 04:00",
    ]);
}

#[test]
fn a_renamed_job_is_left_to_the_version_before_while_that_is_there() {
    let stage = Stage::at("2026-11-23T04:59:00Z");
    // The version before steps under the former name.
    let settle = |from| {
        let now = stage.clock.now();
        stage.queue.step_schedule(&ScheduleStep::new("former", "0 5 * * *", from, now)).unwrap();
        Some(now)
    };
    let settled = settle(None);
    let _worker = stage.work(&["renamed"]);
    stage.clock.advance(Duration::from_secs(55));
    let settled = settle(settled);
    // Now it is due, and a second later the version before has published it.
    stage.clock.advance(Duration::from_secs(10));
    stage.clock.advance(Duration::from_secs(1));
    settle(settled);
    stage.pass(MINUTE / 6, &["renamed"]);
    stage.assert_ran(&[]);
    // A day later that version is gone.
    stage.pass(DAY, &["renamed"]);
    stage.assert_ran(&["renamed 24 05:00"]);
}

#[test]
fn a_renamed_job_loses_no_time_to_a_version_that_dies_before_it_publishes() {
    let stage = Stage::at("2026-11-23T04:59:00Z");
    let _worker = stage.work(&["renamed"]);
    stage.clock.advance(Duration::from_secs(50));
    let former = ScheduleStep::new("former", "0 5 * * *", None, stage.clock.now());
    stage.queue.step_schedule(&former).unwrap();
    stage.clock.advance(Duration::from_secs(15));
    stage.pass(MINUTE, &["renamed"]);
    stage.assert_ran(&["renamed 23 05:00"]);
}

#[test]
fn a_renamed_job_runs_what_was_missed_between_the_versions() {
    let stage = Stage::at("2026-11-23T04:50:00Z");
    let former = ScheduleStep::new("former", "0 5 * * *", None, stage.clock.now());
    stage.queue.step_schedule(&former).unwrap();
    stage.pass_alone(HOUR);
    let _worker = stage.work(&["renamed"]);
    stage.pass(MINUTE, &["renamed"]);
    stage.assert_ran(&["renamed 23 05:00"]);
    stage.pass(DAY, &["renamed"]);
    stage.assert_ran(&["renamed 23 05:00", "renamed 24 05:00"]);
}

#[test]
fn a_renamed_job_stays_paused() {
    let stage = Stage::at("2026-11-23T04:50:00Z");
    let former = ScheduleStep::new("former", "0 5 * * *", None, stage.clock.now());
    stage.queue.step_schedule(&former).unwrap();
    stage.queue.pause_schedule("former", true).unwrap();
    let _worker = stage.work(&["renamed"]);
    stage.pass(DAY, &["renamed"]);
    stage.assert_ran(&[]);
    stage.queue.pause_schedule("former", false).unwrap();
    stage.pass(DAY, &["renamed"]);
    stage.assert_ran(&["renamed 24 05:00"]);
}

#[test]
fn a_renamed_job_waits_for_the_job_of_its_former_name() {
    let stage = Stage::at("2026-11-23T04:50:00Z");
    let text = r#"{"header": {"request_type": "former"}, "body": {}}"#;
    let job = NewMessage::new("elsewhere", "former", text);
    let mut former = ScheduleStep::new("former", "0 5 * * *", None, stage.clock.now());
    former.occurrences.push(Occurrence::new(stage.clock.now(), job));
    stage.queue.step_schedule(&former).unwrap();
    // This worker does not serve the queue of that job.
    let _worker = stage.work(&["renamed"]);
    for _ in 0..2 {
        stage.clock.advance(DAY / 2);
        stage.once_settled("renamed");
    }
    stage.assert_ran(&[]);
    assert_eq!(stage.queue.delete(&Filter::all()).unwrap(), 1);
    stage.pass(DAY, &["renamed"]);
    stage.assert_ran(&["renamed 24 05:00"]);
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
