//! The page of one job: its failed runs, its result, and the actions on it.

use pulpo_tests::http::ask;
use pulpo_tests::program::Sandbox;
use pulpo_tests::stored::found;
use serde_json::{Value, json};

use super::{Served, WORKER, some_jobs};

/// Its jobs fail, panic, or have a result, as their bodies say.
const MAILING: &str = env!("CARGO_BIN_EXE_mailing_worker");

/// Publishes a mail. Returns its id.
fn publish(place: &Sandbox, body: &Value, more: &[&str]) -> String {
    let body = body.to_string();
    let said = place.run(MAILING, &[&["publish", "mail", "--body", &body], more].concat());
    assert_eq!(said.code, 0, "{}", said.err);
    said.out.trim_end().rsplit(' ').next().expect("an id").to_owned()
}

/// Works until nothing is left to do. Finished jobs are kept.
fn drain(place: &Sandbox) {
    let settings = ["keep_done=1h", "sleep_duration=1s", "shutdown_after_number_of_empty_iterations=1"];
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    let said = place.run(MAILING, &["work"].into_iter().chain(settings).collect::<Vec<_>>());
    assert_eq!(said.code, 0, "{}", said.err);
}

fn on_all(test: impl Fn(&Sandbox)) {
    for place in [Sandbox::new(), Sandbox::with_postgres()] {
        test(&place);
    }
}

#[test]
fn its_failed_runs_and_its_result_are_shown() {
    on_all(|place| {
        let fails = publish(place, &json!({"to": "ada@example.com", "comes_to": "fails"}), &[]);
        let panics = publish(place, &json!({"to": "bob@example.com", "comes_to": "panics"}), &[]);
        drain(place);
        let served = Served::by(MAILING, place, &[], &[]);
        let page = served.page(&format!("/jobs/{fails}"));
        let rows: Vec<_> = page.split("data-label=\"Run\">").skip(1).collect();
        assert_eq!(rows.len(), 3, "{page}");
        // Newest first.
        for (row, number) in rows.iter().zip(["3<", "2<", "1<"]) {
            let fits = row.starts_with(number) && row.contains("data-label=\"Outcome\">failed<");
            assert!(fits && row.contains("data-label=\"Error\">cannot reach ada@example.com"), "{number}: {row}");
        }
        let page = served.page(&format!("/jobs/{panics}"));
        assert!(page.contains("<span class=\"state done\">done</span>"), "{page}");
        assert!(page.contains("data-label=\"Outcome\">panicked<") && page.contains("nobody knows bob@"), "{page}");
        assert!(page.contains("&quot;sent_to&quot;: &quot;bob@example.com&quot;"), "{page}");
        assert!(page.contains("<h2>Result</h2><pre class=\"card\">{\n"), "{page}");
        // A job that has not run has neither.
        let waits = publish(place, &json!({"to": "bob@example.com"}), &[]);
        let page = served.page(&format!("/jobs/{waits}"));
        assert!(!page.contains("<h2>Failed runs") && !page.contains("<h2>Result"), "{page}");
    });
}

#[test]
fn a_run_whose_worker_died_or_that_was_cancelled_is_shown() {
    let place = Sandbox::new();
    let dies = publish(&place, &json!({"to": "ada@example.com", "comes_to": "dies"}), &[]);
    assert_ne!(place.run(MAILING, &["work", "--concurrency", "1"]).code, 0);
    drain(&place);
    let served = Served::by(MAILING, &place, &["--allow-changes"], &[]);
    let page = served.page(&format!("/jobs/{dies}"));
    assert!(page.contains("data-label=\"Outcome\">abandoned<") && page.contains("its worker died"), "{page}");
    // A job that was cancelled while it waited has no run to show.
    let waits = publish(&place, &json!({"to": "bob@example.com"}), &["--delay", "1h"]);
    assert_eq!(served.post(&format!("/jobs/{waits}/cancel"), "").status, 303);
    let page = served.page(&format!("/jobs/{waits}"));
    assert!(page.contains("<pre class=\"card reason\">cancelled</pre>") && !page.contains("<h2>Failed runs"), "{page}");
}

#[test]
fn a_job_that_waits_is_edited() {
    on_all(|place| {
        let id = publish(place, &json!({"to": "ada@example.com"}), &["--delay", "2h"]);
        let served = Served::by(MAILING, place, &["--allow-changes"], &[]);
        let path = format!("/jobs/{id}/edit");
        let look = || {
            let said = place.run(MAILING, &["peek", &id, "--json"]);
            serde_json::from_str::<Value>(&said.out).expect("JSON")
        };
        assert!(served.page(&format!("/jobs/{id}")).contains(&format!("action=\"{path}\"")));
        let answer = served.post(&path, "priority=7&delay=&queue=");
        assert_eq!((answer.status, answer.header("location")), (303, Some(&*format!("/jobs/{id}"))), "{}", answer.body);
        let message = look();
        assert_eq!((&message["priority"], &message["state"]), (&json!(7), &json!("delayed")));
        assert_eq!(served.post(&path, "priority=&delay=0&queue=+night+").status, 303);
        let message = look();
        assert_eq!(
            (&message["priority"], &message["state"], &message["queue"]),
            (&json!(7), &json!("ready"), &json!("night"))
        );
        assert_eq!(served.post(&path, "delay=1h+30m").status, 303);
        assert_eq!(look()["state"], "delayed");
        let page = served.page(&format!("/jobs/{id}"));
        assert!(
            page.contains("<dt>Priority</dt><dd>7</dd>") && page.contains("<dt>Queue</dt><dd>night</dd>"),
            "{page}"
        );
    });
}

#[test]
fn an_edit_that_is_refused_says_why() {
    let place = Sandbox::new();
    some_jobs(&place, 1);
    let served = Served::start(&place, &["--allow-changes"], &[]);
    let long = "x".repeat(301);
    let bad = [
        ("", "expected a priority, a delay or a queue"),
        ("priority=+&delay=", "expected a priority, a delay or a queue"),
        ("priority=urgent", "expected a priority from 0 to 4294967295, got &quot;urgent&quot;"),
        ("priority=-1", "expected a priority from 0 to 4294967295"),
        ("priority=4294967296", "expected a priority from 0 to 4294967295"),
        ("delay=soon", "expected a delay such as 90s, 2h or 0, got &quot;soon&quot;"),
        ("queue=a%00b", "without NUL characters"),
        (&format!("queue={long}"), "300"),
        (&format!("priority={long}"), "300"),
    ];
    let page = served.page("/jobs?state=delayed");
    let delayed = page.split("href=\"/jobs/").nth(1).and_then(|rest| rest.split('"').next()).expect("a delayed job");
    for (fields, expected) in bad {
        let answer = served.post(&format!("/jobs/{delayed}/edit"), fields);
        assert!(answer.status == 400 && answer.body.contains(expected), "{fields}: {} {}", answer.status, answer.body);
    }
    let buried = served.post("/jobs/1/edit", "priority=1");
    assert_eq!(buried.status, 409);
    assert!(buried.body.contains("job 1 is buried: only waiting jobs can be edited"), "{}", buried.body);
    assert!(!served.page("/jobs/1").contains("/jobs/1/edit"));
    assert_eq!(served.post("/jobs/99/edit", "priority=1").status, 404);
    // A queue without this capability shows an explanation instead of the form.
    let place = Sandbox::with_beanstalkd();
    assert_eq!(place.run(WORKER, &["publish", "note", "--payload", "x"]).code, 0);
    let said = place.run(WORKER, &["list", "--json"]);
    let id = serde_json::from_str::<Value>(&said.out).expect("JSON")[0]["id"].as_str().expect("an id").to_owned();
    let served = Served::start(&place, &["--allow-changes"], &[]);
    assert!(!served.page(&format!("/jobs/{id}")).contains("/edit\""));
    let answer = served.post(&format!("/jobs/{id}/edit"), "priority=1");
    assert_eq!(answer.status, 501, "{}", answer.body);
    assert!(answer.body.contains("`delete` it and `publish` it again"), "{}", answer.body);
}

#[test]
fn a_job_whose_unique_key_is_taken_stays_buried_and_says_why() {
    let place = Sandbox::new();
    let publish = || {
        let header = json!({"request_type": "pay", "unique_key": "one", "unique_for": "unfinished"});
        let message = json!({"header": header, "body": {"card": 0}}).to_string();
        let said = place.run_with_input(WORKER, &["publish", "--messages", "-"], &message);
        assert_eq!(said.code, 0, "{}", said.err);
    };
    publish();
    let once = ["work", "--set", "shutdown_after_number_of_empty_iterations=1", "--set", "sleep_duration=50ms"];
    assert_eq!(place.run(WORKER, &once).code, 0);
    publish();
    let served = Served::start(&place, &["--allow-changes"], &[]);
    let answer = served.post("/jobs/1/retry", "");
    assert_eq!(answer.status, 409);
    assert!(answer.body.contains("job 1 stays buried: job 2 has its unique key"), "{}", answer.body);
}

#[test]
fn texts_of_failed_runs_and_results_are_never_a_part_of_the_page() {
    let place = Sandbox::new();
    let hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u{202e}\u{1b}[2J";
    let bounces = publish(&place, &json!({"to": hostile, "comes_to": "bounces"}), &[]);
    let panics = publish(&place, &json!({"to": hostile, "comes_to": "panics"}), &[]);
    drain(&place);
    let served = Served::by(MAILING, &place, &["--allow-changes"], &[]);
    for (id, part) in [(bounces, "is not an address"), (panics, "sent_to")] {
        let page = served.page(&format!("/jobs/{id}"));
        assert!(page.contains("data-label=\"Error\"") && page.contains(part), "{page}");
        assert!(!page.contains("<script>alert") && !page.contains("<img"), "{page}");
        assert!(!page.contains('\u{202e}') && !page.contains('\u{1b}'), "{page}");
    }
    // Form fields are not reflected either.
    let query: String = hostile.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for field in ["priority", "delay"] {
        let answer = served.post("/jobs/1/edit", &format!("{field}={query}"));
        assert_eq!(answer.status, 400);
        assert!(!answer.body.contains("<script>alert") && !answer.body.contains('\u{202e}'), "{}", answer.body);
    }
}

#[test]
fn results_are_hidden_with_the_bodies() {
    let place = Sandbox::new();
    let id = publish(&place, &json!({"to": "ada@example.com"}), &[]);
    drain(&place);
    let served = Served::by(MAILING, &place, &[], &[("PULPO_DASHBOARD_BODIES", "false")]);
    let page = served.page(&format!("/jobs/{id}"));
    assert!(page.contains("Results are hidden here.") && !page.contains("ada@example.com"), "{page}");
}

#[test]
fn jobs_deleted_by_a_page_are_in_no_file_of_the_queue() {
    let place = Sandbox::new();
    let bodies =
        ["fails", "bounces", "", "panics"].map(|comes_to| json!({"to": "ada@example.com", "comes_to": comes_to}));
    for body in &bodies {
        publish(&place, body, &[]);
    }
    drain(&place);
    let delayed = publish(&place, &bodies[2], &["--delay", "1h"]);
    publish(&place, &json!({"to": "bob@example.com"}), &["--delay", "1h"]);
    let folder = place.path("pulpo-data");
    assert!(!found(&folder, "ada@example.com").is_empty());
    let served = Served::by(MAILING, &place, &["--allow-changes"], &[]);
    // Delete one by its page, one by selection, and then all that match, including done ones.
    assert_eq!(served.post(&format!("/jobs/{delayed}/delete"), "").status, 303);
    let answer = served.post("/jobs/act", "action=delete&id=3");
    assert_eq!(answer.status, 303, "{}", answer.body);
    for state in ["buried", "done"] {
        let answer = served.post("/jobs/act", &format!("all=yes&sure=yes&action=delete&state={state}"));
        let task = answer.header("location").expect("a task").to_owned();
        pulpo_tests::wait::until("it is done", || served.page(&task).contains("Done: deleted "));
    }
    assert_eq!(found(&folder, "ada@example.com"), [""; 0]);
    assert!(!found(&folder, "bob@example.com").is_empty());
}

#[test]
fn an_edit_is_refused_from_elsewhere_and_where_one_may_only_look() {
    let place = Sandbox::new();
    let id = publish(&place, &json!({"to": "ada@example.com"}), &["--delay", "1h"]);
    let path = format!("/jobs/{id}/edit");
    let served = Served::by(MAILING, &place, &["--allow-changes"], &[]);
    let right = format!("csrf={}&priority=1", served.csrf(&format!("/jobs/{id}")));
    let origin = |origin: &str| ask(served.address, "POST", &path, &[("Origin", origin)], &right).status;
    assert_eq!([origin("http://evil.example"), origin("null")], [403, 403]);
    assert_eq!(ask(served.address, "POST", &path, &[("Host", "evil.example")], &right).status, 403);
    assert_eq!(ask(served.address, "POST", &path, &[], "csrf=0&priority=1").status, 403);
    assert_eq!(served.get(&format!("{path}?{right}")).status, 405);
    drop(served);
    let served = Served::by(MAILING, &place, &[], &[]);
    assert!(!served.page(&format!("/jobs/{id}")).contains("<summary>Edit"));
    assert_eq!(ask(served.address, "POST", &path, &[], &right).status, 403);
    assert!(served.page(&format!("/jobs/{id}")).contains("<dt>Priority</dt><dd>65536</dd>"));
}
