//! `/schedules`: the scheduled jobs, and the actions on them.

use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::until;

use super::Served;

/// Its `tick` runs each second, and its `report` in no test.
const SCHEDULED: &str = env!("CARGO_BIN_EXE_scheduled_worker");

/// Returns a sandbox with an existing queue.
fn begun() -> Sandbox {
    let place = Sandbox::new();
    let said = place.run(super::WORKER, &["publish", "note", "--payload", "x", "--delay", "1h"]);
    assert_eq!(said.code, 0, "{}", said.err);
    place
}

#[test]
fn schedules_are_shown_run_paused_and_resumed() {
    let place = begun();
    let served = Served::by(SCHEDULED, &place, &["--allow-changes"], &[]);
    // No worker has run yet.
    let page = served.page("/schedules");
    for part in ["report", "0 3 29 2 *", "no worker has had it yet", "tick"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let worker = place.start(place.command(SCHEDULED, &["work"]));
    until("a worker has the schedules", || {
        let page = served.page("/schedules");
        !page.contains("no worker has had it yet") && page.contains(">job ")
    });
    // Each change, and how it shows.
    assert_eq!(served.post("/schedules/pause", "name=tick").status, 303);
    assert!(served.page("/schedules").contains("<span class=\"state paused\">paused</span>"));
    assert_eq!(served.post("/schedules/resume", "name=tick").status, 303);
    assert!(!served.page("/schedules").contains("<span class=\"state paused\">paused</span>"));
    let answer = served.post("/schedules/run", "name=report");
    assert_eq!((answer.status, answer.header("location")), (303, Some("/schedules")), "{}", answer.body);
    until("the report has run", || place.record().contains("report"));
    worker.signal("TERM");
    worker.end();
    // An unknown name is rejected with a suggestion, and a missing name is rejected.
    let unknown = served.post("/schedules/run", "name=reprot");
    assert_eq!(unknown.status, 404);
    assert!(unknown.body.contains("did you mean `report`?"), "{}", unknown.body);
    assert_eq!(served.post("/schedules/pause", "").status, 400);
    assert_eq!(served.post("/schedules/pause", &format!("name={}", "x".repeat(301))).status, 400);
}

#[test]
fn a_read_only_dashboard_changes_no_schedule() {
    let place = begun();
    let served = Served::by(SCHEDULED, &place, &[], &[]);
    assert!(!served.page("/schedules").contains("Run now"));
    let origin = format!("http://{}", served.address);
    let answer =
        pulpo_tests::http::ask(served.address, "POST", "/schedules/run", &[("Origin", &origin)], "name=report");
    assert_eq!(answer.status, 403, "{}", answer.body);
}
