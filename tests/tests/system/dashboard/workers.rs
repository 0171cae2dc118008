//! `/workers`, and the actions on a running job.

use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::until;

use super::{Served, WORKER};

#[test]
fn workers_are_shown_with_what_they_run_and_a_running_job_is_cancelled() {
    let place = Sandbox::new();
    let file = place.path("go").display().to_string();
    let said = place.run(WORKER, &["publish", "until", "--payload", &file]);
    assert_eq!(said.code, 0, "{}", said.err);
    let served = Served::start(&place, &["--allow-changes"], &[]);
    assert!(served.page("/workers").contains("No worker is running."));
    assert!(served.page("/jobs/1").contains("no worker serves its queue"));
    let worker = place.start(place.command(WORKER, &["work", "--concurrency", "3"]));
    until("the job runs", || served.page("/workers").contains("href=\"/jobs/1\""));
    let page = served.page("/workers");
    for part in [format!("process {}", worker.id()), "1 of 3 lanes busy".to_owned(), "until".to_owned()] {
        assert!(page.contains(&part), "{part}: {page}");
    }
    let job = served.page("/jobs/1");
    assert!(job.contains(&format!("process {}", worker.id())) && job.contains("/jobs/1/cancel"), "{job}");
    // Marked for cancellation, and buried when the run ends.
    let answer = served.post("/jobs/1/cancel", "");
    assert_eq!((answer.status, answer.header("location")), (303, Some("/jobs/1")), "{}", answer.body);
    until("it is shown as cancelled", || served.page("/jobs/1").contains(">cancelled</span>"));
    std::fs::write(&file, "").expect("written");
    until("it is buried", || served.page("/jobs/1").contains("<span class=\"state buried\">buried</span>"));
    assert!(served.page("/jobs/1").contains("cancelled"));
    let again = served.post("/jobs/1/cancel", "");
    assert_eq!(again.status, 409);
    assert!(again.body.contains("only waiting or running jobs can be cancelled"), "{}", again.body);
    worker.signal("TERM");
    worker.end();
    until("no worker is left", || served.page("/workers").contains("No worker is running."));
}

#[test]
fn a_job_that_waits_is_cancelled_at_once() {
    let place = Sandbox::new();
    let said = place.run(WORKER, &["publish", "note", "--payload", "later", "--delay", "1h"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let served = Served::start(&place, &["--allow-changes"], &[]);
    assert_eq!(served.post("/jobs/1/cancel", "").status, 303);
    let page = served.page("/jobs/1");
    assert!(page.contains("<span class=\"state buried\">buried</span>") && page.contains("cancelled"), "{page}");
}
