//! Schedules in the test kit.

use std::time::Duration;

use pulpo::testing::TestPulpo;
use pulpo::worker::{HandlerOptions, WorkerOptions};

use crate::jobs::{Berlin, Each, Failing, Nightly, Often, Runs, Weekly};
use crate::stage::{DAY, HOUR, time};

/// Returns a kit in which only this handler runs by its schedule.
fn kit(only: &str, now: &str) -> TestPulpo {
    let mut options = WorkerOptions::default();
    for handler in pulpo::Registry::collect().unwrap().iter() {
        let mut off = HandlerOptions::default();
        off.schedule = Some(handler.request_type() == only);
        options.handlers.insert(handler.request_type().to_owned(), off);
    }
    TestPulpo::with_options(options).at(time(now)).state(Runs::default())
}

#[test]
fn time_that_passes_publishes_the_jobs_of_a_schedule() {
    let pulpo = kit("each", "2026-11-23T12:00:00Z");
    pulpo.assert_none_published::<Each>();
    pulpo.advance(3 * DAY);
    assert_eq!(pulpo.drain().len(), 3);
    let runs = pulpo.state_of::<Runs>().all();
    assert_eq!(runs, ["each 24 03:00", "each 25 03:00", "each 26 03:00"]);
}

#[test]
fn a_worker_lives_through_each_occurrence() {
    let pulpo = kit("nightly", "2026-11-23T12:00:00Z");
    let runs = pulpo.work_for(3 * DAY);
    assert_eq!(runs.len(), 3);
    assert_eq!(pulpo.state_of::<Runs>().all(), ["nightly 24 03:00", "nightly 25 03:00", "nightly 26 03:00"]);
}

#[test]
fn an_unfinished_job_holds_up_the_next_in_a_test_too() {
    let pulpo = kit("nightly", "2026-11-23T12:00:00Z");
    pulpo.advance(365 * DAY);
    assert_eq!(pulpo.drain().len(), 1);
    assert_eq!(pulpo.now(), time("2027-11-23T12:00:00Z"));
    pulpo
        .assert_published::<Nightly>(|message| message.headers().scheduled_for() == Some(time("2026-11-24T03:00:00Z")));
}

#[test]
fn the_times_of_a_schedule_can_be_asked_for() {
    let pulpo = kit("none", "2026-11-23T12:00:00Z");
    let hours: Vec<_> = pulpo
        .occurrences::<Berlin>(time("2026-03-28T12:00:00Z"))
        .take(3)
        .map(|at| at.format("%d %H:%M").to_string())
        .collect();
    assert_eq!(hours, ["29 01:00", "30 00:30", "30 10:00"]);
    let mut often = pulpo.occurrences::<Often>(time("2026-11-23T12:00:01Z"));
    assert_eq!(often.next(), Some(time("2026-11-23T12:05:00Z")));
    assert_eq!(pulpo.occurrences::<Weekly>(pulpo.now()).next(), Some(time("2026-11-29T04:00:00Z")));
}

#[test]
fn a_job_of_a_schedule_carries_the_shape_of_its_body() {
    let pulpo = kit("nightly", "2026-11-23T12:00:00Z");
    pulpo.advance(DAY);
    let stored = pulpo.queue().list(&pulpo::queue::Filter::all()).unwrap();
    let message: serde_json::Value = serde_json::from_slice(&stored[0].text).unwrap();
    let shape = message["header"]["shape"].as_str().map(str::to_owned);
    assert_eq!(shape, Some(pulpo::__private::shape_id::<Nightly>()), "{message}");
}

#[test]
fn a_job_of_a_schedule_runs_inline() {
    let pulpo = kit("often", "2026-11-23T12:00:00Z").inline();
    pulpo.advance(HOUR);
    assert_eq!(pulpo.state_of::<Runs>().all().len(), 12);
}

#[test]
fn a_context_knows_the_time() {
    let pulpo = kit("none", "2026-11-23T12:00:00Z");
    let context = pulpo.context().build();
    assert_eq!((context.now(), context.scheduled_for()), (pulpo.now(), None));
    pulpo.advance(Duration::from_secs(90));
    assert_eq!(context.now(), time("2026-11-23T12:01:30Z"));
    let context = pulpo.context().scheduled_for(pulpo.now()).build();
    assert_eq!(context.scheduled_for(), Some(pulpo.now()));
}

#[test]
fn a_body_that_cannot_be_made_fails_the_test() {
    let pulpo = kit("failing", "2026-11-23T12:00:00Z");
    pulpo.assert_none_published::<Failing>();
    let waits: [fn(&TestPulpo); 3] =
        [|pulpo| pulpo.advance(HOUR), |pulpo| drop(pulpo.drain()), |pulpo| drop(pulpo.work_for(HOUR))];
    for (name, wait) in ["advance", "drain", "work_for"].into_iter().zip(waits) {
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wait(&pulpo))).unwrap_err();
        let said = panicked.downcast_ref::<String>().unwrap();
        assert!(said.contains("cannot publish the job `failing` of the schedule `every 5m`"), "{name}: {said}");
        assert!(said.contains("no default today"), "{name}: {said}");
    }
}
