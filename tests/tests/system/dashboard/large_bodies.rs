//! Lists and actions do not read the bodies of messages, which may be large.

use pulpo_tests::http::Usage;
use pulpo_tests::program::Sandbox;
use pulpo_tests::{stored, wait};

use super::{Served, WORKER};

/// The number of jobs, with a body of 1 MB each.
const JOBS: usize = 200;

#[test]
fn many_jobs_with_large_bodies_are_listed_and_retried_in_little_memory() {
    let place = Sandbox::new();
    // Creates the queue.
    assert_eq!(place.run(WORKER, &["publish", "note", "--payload", "x", "--delay", "1h"]).code, 0);
    let database = rusqlite::Connection::open(place.path("pulpo-data/queue.db")).expect("opened");
    let text = format!(r#"{{"header": {{"request_type": "pay"}}, "body": "{}"}}"#, "x".repeat(1_000_000));
    database.execute_batch("BEGIN").expect("begun");
    for _ in 0..JOBS {
        let id = stored::insert(&database, "pulpo", b"pay", 3, text.as_bytes());
        // Done ones with large results, too.
        let done =
            "INSERT INTO archive(id, queue, request_type, outcome, attempts, enqueued_at, archived_at, text, result,
                priority, lost) VALUES (?1, 'pulpo', 'pay', 'done', 0, 0, 0, '', ?2, 5, 0)";
        database.execute(done, rusqlite::params![id + 100_000, text]).expect("written");
    }
    database.execute_batch("COMMIT").expect("written");
    drop(database);
    let served = Served::start(&place, &["--allow-changes"], &[]);
    for page in ["/", "/jobs", "/jobs?state=buried", "/jobs?state=done"] {
        served.page(page);
    }
    for (action, state, done) in [("retry", "buried", "retried"), ("delete", "done", "deleted")] {
        let begun = served.post("/jobs/act", &format!("action={action}&all=yes&sure=yes&state={state}"));
        let task = begun.header("location").expect("where it is shown").to_owned();
        wait::until("it is done", || served.page(&task).contains(&format!("Done: {done} {JOBS} jobs of {JOBS}")));
    }
    let peak = Usage::of(served.program.as_ref().expect("it runs").id()).peak_kib;
    assert!(peak < 100 * 1024, "{peak} KiB");
}
