//! The pages and their actions, without JavaScript.

use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::until;

use super::{Served, WORKER, some_jobs};

#[test]
fn the_overview_the_list_and_a_job_show_what_is_there() {
    let place = Sandbox::new();
    some_jobs(&place, 3);
    let served = Served::start(&place, &[], &[]);
    let overview = served.page("/");
    for part in ["Buried", "href=\"/jobs?state=buried&amp;type=pay&amp;queue=pulpo\">3</a>", "no card"] {
        assert!(overview.contains(part), "{part}: {overview}");
    }
    let list = served.page("/jobs?state=buried");
    assert!(list.contains("href=\"/jobs/2\"") && !list.contains("href=\"/jobs/4\""), "{list}");
    assert!(served.page("/jobs?reason=NO+CARD&state=buried").contains("/jobs/1"));
    assert!(served.page("/jobs?reason=other").contains("No jobs match."));
    let delayed = served.page("/jobs/4");
    assert!(delayed.contains("delayed") && delayed.contains("due "), "{delayed}");
    let job = served.page("/jobs/1");
    for part in ["no card", "<dt>Failed runs</dt><dd>1</dd>", "&quot;card&quot;: 0"] {
        assert!(job.contains(part), "{part}: {job}");
    }
    let gone = served.get("/jobs/99");
    assert_eq!(gone.status, 404);
    assert!(gone.body.contains("there is no job 99"), "{}", gone.body);
    assert_eq!(served.get("/nowhere").status, 404);
    assert!(served.page("/queues").contains(">notes</a>"));
}

#[test]
fn the_overview_shows_numbers_over_time_as_pictures_words_and_a_table() {
    let place = Sandbox::new();
    some_jobs(&place, 3);
    let said = place.run(WORKER, &["publish", "talk", "--payload", "hello"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let once = ["work", "--set", "shutdown_after_number_of_empty_iterations=1", "--set", "sleep_duration=50ms"];
    assert_eq!(place.run(WORKER, &once).code, 0);
    let served = Served::start(&place, &[], &[]);
    for (span, unit) in [("hour", "minute"), ("day", "quarter of an hour"), ("month", "six hours")] {
        let page = served.page(&format!("/?span={span}"));
        let words = "aria-label=\"Done and failed: 2 done, 0 failed and 3 buried, at most ";
        assert!(page.contains(words) && page.contains(&format!("in one {unit}\"")), "{span}: {page}");
        for part in
            ["aria-label=\"Waiting: 0 now, ", "aria-label=\"Oldest waiting: 0 s now, ", "The numbers as a table"]
        {
            assert!(page.contains(part), "{span}: {part}: {page}");
        }
    }
    let page = served.page("/");
    assert!(page.contains("Done, last hour</span><span class=\"value done\">2</span>"), "{page}");
    assert!(page.contains("Failed runs, last hour</span><span class=\"value failed\">3</span>"), "{page}");
    // With only one type.
    assert!(page.contains("href=\"/?span=hour&amp;type=pay&amp;queue=pulpo\""), "{page}");
    let page = served.page("/?type=pay");
    assert!(
        page.contains("Done and failed: 0 done, 0 failed and 3 buried") && page.contains("Over time: pay"),
        "{page}"
    );
    assert!(served.page("/?queue=nowhere").contains("Done and failed: 0 done, 0 failed and 0 buried"));
    assert_eq!(served.get("/?span=year").status, 400);
    assert_eq!(served.get(&format!("/?queue={}", "q".repeat(301))).status, 400);
}

#[test]
fn the_overview_of_postgresql_shows_how_many_jobs_waited() {
    let place = Sandbox::with_postgres();
    let publish = |count: &str| {
        let said = place.run(WORKER, &["publish", "talk", "--payload", "x", "--count", count]);
        assert_eq!(said.code, 0, "{}", said.err);
    };
    publish("5");
    // They have waited for some minutes, and nothing is noted yet.
    let old = "UPDATE SCHEMA.message SET due_since = now() - interval '5 minutes'";
    let _ = place.ask_database(&format!("WITH old AS ({old} RETURNING 1) SELECT count(*) FROM old"));
    let _ = place.ask_database("WITH gone AS (DELETE FROM SCHEMA.activity RETURNING 1) SELECT count(*) FROM gone");
    publish("2");
    let noted = "SELECT string_agg(step || ': ' || waiting || ' since ' || round(extract(epoch FROM now() - oldest_ready) / 60),
        ', ' ORDER BY step) FROM SCHEMA.activity WHERE waiting IS NOT NULL";
    until("the last minute is noted", || place.ask_database(noted).trim() == "1: 5 since 5, 60: 5 since 5");
    let served = Served::start(&place, &[], &[]);
    let page = served.page("/");
    assert!(page.contains("Waiting: 7 now, at most 7") && page.contains("Oldest waiting: 5 min now"), "{page}");
    assert!(served.page("/?span=month").contains("Waiting: 7 now, at most 7"));
    assert!(!served.page("/?type=talk").contains("Waiting: "), "it is known of all together only");
}

#[test]
fn a_job_says_why_it_waits() {
    let place = Sandbox::new();
    let queue = pulpo::queue::file::FileQueue::open(
        &place.path("pulpo-data"),
        false,
        std::sync::Arc::new(pulpo::clock::SystemClock::new()),
    )
    .expect("the queue");
    let envelope = r#"{"header": {"request_type": "unheard_of"}, "body": {}}"#;
    let message = pulpo::queue::NewMessage::new("pulpo", "unheard_of", envelope);
    let id = pulpo::queue::QueueAdapter::enqueue(&queue, vec![message]).expect("published").remove(0).id;
    drop(queue);
    assert_eq!(place.run(WORKER, &["publish", "talk", "--payload", "hello"]).code, 0);
    let served = Served::start(&place, &["--allow-changes"], &[]);
    assert!(served.page(&format!("/jobs/{id}")).contains("no worker serves its queue"));
    // Its job is busy until the end of the test.
    let file = place.path("go").display().to_string();
    assert_eq!(place.run(WORKER, &["publish", "until", "--payload", &file, "--priority", "0"]).code, 0);
    let worker = place.start(place.command(WORKER, &["work", "--concurrency", "1"]));
    let reason = "no running worker has a handler for it";
    until(reason, || served.page(&format!("/jobs/{id}")).contains(reason));
    let page = served.page("/jobs?type=talk");
    assert!(page.contains("waits for a worker") && !page.contains("handler for it"), "{page}");
    // Another program has handlers for other types than the workers.
    let other = Served::by(env!("CARGO_BIN_EXE_mailing_worker"), &place, &[], &[]);
    let said = place.run(env!("CARGO_BIN_EXE_mailing_worker"), &["publish", "mail", "--body", "{\"to\": \"ada\"}"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let page = other.page("/jobs?type=mail");
    assert!(page.contains(reason), "{page}");
    let page = other.page("/jobs?type=talk");
    assert!(page.contains("waits for a worker; this program has no handler for it"), "{page}");
    drop(other);
    assert_eq!(served.post("/queues/pause", "queue=pulpo&for=1h").status, 303);
    assert!(served.page(&format!("/jobs/{id}")).contains("its queue is paused, until <time"));
    std::fs::write(&file, "").expect("written");
    worker.signal("TERM");
    worker.end();
}

#[test]
fn the_largest_and_the_paused_of_many_queues_are_shown() {
    let place = Sandbox::new();
    some_jobs(&place, 1);
    let database = rusqlite::Connection::open(place.path("pulpo-data/queue.db")).expect("opened");
    database.execute_batch("BEGIN").expect("begun");
    for number in 0..600 {
        for _ in 0..1 + number / 599 {
            pulpo_tests::stored::insert(&database, &format!("tenant-{number}"), b"odd", 0, b"{}");
        }
    }
    database.execute_batch("COMMIT").expect("written");
    let served = Served::start(&place, &["--allow-changes"], &[]);
    assert_eq!(served.post("/queues/pause", "queue=empty").status, 303);
    let queues = served.page("/queues");
    assert_eq!(queues.matches("data-label=\"Queue\"").count(), 500, "{}", queues.len());
    for part in ["Showing the 500 with the most jobs of 60", ">empty</a>", "until resumed", ">tenant-599</a>"] {
        assert!(queues.contains(part), "{part}: {queues}");
    }
    let overview = served.page("/");
    assert_eq!(overview.matches("data-label=\"Queue\"").count(), 500, "{}", overview.len());
    assert!(overview.contains("Showing the 500 with the most jobs of 60") && overview.contains("tenant-599"));
    // The rest is found by its name.
    assert_eq!(served.page("/jobs?queue=tenant-7").matches("data-label=\"ID\"").count(), 1);
}

#[test]
fn a_long_list_has_pages_of_fifty() {
    let place = Sandbox::new();
    some_jobs(&place, 120);
    let served = Served::start(&place, &[], &[]);
    let (mut path, mut seen) = ("/jobs?state=buried".to_owned(), Vec::new());
    for _ in 0..3 {
        let page = served.page(&path);
        let ids = page.split("data-label=\"ID\"><a href=\"/jobs/").skip(1);
        seen.extend(ids.map(|rest| rest.split('"').next().expect("an id").to_owned()));
        let next = page.split("rel=\"next\"").next().and_then(|before| before.rsplit("href=\"").next());
        path = next.and_then(|link| link.split('"').next()).unwrap_or_default().replace("&amp;", "&");
    }
    let expected: Vec<_> = (1..=120).rev().map(|id: u32| id.to_string()).collect();
    assert_eq!(seen, expected);
}

#[test]
fn jobs_are_retried_and_deleted_and_queues_paused() {
    let place = Sandbox::new();
    some_jobs(&place, 4);
    let served = Served::start(&place, &["--allow-changes"], &[]);
    let answer = served.post("/jobs/1/retry", "");
    assert_eq!((answer.status, answer.header("location")), (303, Some("/jobs/1")));
    assert!(served.page("/jobs/1").contains("ready"));
    // Once more: it is no longer buried.
    let again = served.post("/jobs/1/retry", "");
    assert_eq!(again.status, 409);
    assert!(again.body.contains("job 1 is ready: only buried jobs can be retried"), "{}", again.body);
    assert_eq!(served.post("/jobs/1/delete", "").status, 303);
    assert_eq!(served.get("/jobs/1").status, 404);
    assert_eq!(served.post("/jobs/1/delete", "").status, 404);
    // Selected jobs of a list.
    assert_eq!(served.post("/jobs/act", "action=retry&id=2&id=3").status, 303);
    let nothing = served.post("/jobs/act", "action=retry");
    assert_eq!(nothing.status, 400, "{}", nothing.body);
    assert_eq!(served.post("/jobs/act", "action=burn&id=4").status, 400);
    // A queue.
    assert_eq!(served.post("/queues/pause", "queue=pulpo&for=1h").status, 303);
    assert!(served.page("/jobs/2").contains("its queue is paused"));
    assert!(served.page("/queues").contains("until <time"));
    assert_eq!(served.post("/queues/resume", "queue=pulpo").status, 303);
    assert!(!served.page("/queues").contains("until <time"));
    assert_eq!(served.post("/queues/pause", "queue=pulpo&for=soon").status, 400);
}

#[test]
fn all_that_match_are_retried_in_the_background() {
    let place = Sandbox::new();
    some_jobs(&place, 2500);
    let served = Served::start(&place, &["--allow-changes"], &[]);
    let unsure = served.post("/jobs/act", "action=retry&all=yes&type=pay");
    assert_eq!(unsure.status, 400, "{}", unsure.body);
    let begun = served.post("/jobs/act", "action=retry&all=yes&sure=yes&type=pay&state=buried");
    let task = begun.header("location").expect("where it is shown").to_owned();
    assert_eq!(begun.status, 303);
    until("it is done", || served.page(&task).contains("Done: retried 2,500 jobs of 2,500"));
    let left = place.run(WORKER, &["list", "--state", "buried", "--json"]);
    assert_eq!(left.out.trim(), "[]");
}

#[test]
fn jobs_that_match_are_cancelled_and_buttons_that_do_not_fit_are_left_out() {
    let place = Sandbox::new();
    some_jobs(&place, 2);
    for _ in 0..3 {
        let said = place.run(WORKER, &["publish", "talk", "--payload", "hello", "--delay", "1h"]);
        assert_eq!(said.code, 0, "{}", said.err);
    }
    let served = Served::start(&place, &["--allow-changes"], &[]);
    let buttons = |query: &str| {
        let page = served.page(&format!("/jobs?{query}"));
        let names =
            page.split("name=\"action\" value=\"").skip(1).map(|rest| rest.split('"').next().unwrap_or_default());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    // Of the selected jobs, and of all that match.
    assert_eq!(buttons(""), ["retry", "cancel", "delete", "retry", "cancel", "delete"]);
    assert_eq!(buttons("state=buried"), ["retry", "delete", "retry", "delete"]);
    assert_eq!(buttons("state=delayed"), ["cancel", "delete", "cancel", "delete"]);
    assert_eq!(buttons("type=talk"), ["cancel", "delete", "retry", "cancel", "delete"]);
    assert_eq!(buttons("type=nothing"), [""; 0]);
    let begun = served.post("/jobs/act", "action=cancel&all=yes&sure=yes&type=talk");
    let task = begun.header("location").expect("where it is shown").to_owned();
    until("it is done", || served.page(&task).contains("Done: cancelled 3 jobs of 3."));
    assert_eq!(served.post("/jobs/act", "action=cancel&id=3").status, 303, "a selected one");
    let buried = served.page("/jobs?state=buried");
    assert_eq!(buried.matches("data-label=\"ID\"").count(), 6, "{buried}");
    assert_eq!(served.page("/jobs?state=buried&reason=cancelled").matches("data-label=\"ID\"").count(), 4);
}

#[test]
fn the_text_of_a_message_is_never_a_part_of_the_page() {
    let place = Sandbox::new();
    let hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u{202e}\u{1b}[2J";
    some_jobs(&place, 1);
    // As another producer might write it.
    let queue = pulpo::queue::file::FileQueue::open(
        &place.path("pulpo-data"),
        false,
        std::sync::Arc::new(pulpo::clock::SystemClock::new()),
    )
    .expect("the queue");
    let body = serde_json::json!({ "header": { "request_type": hostile, hostile: hostile }, "body": hostile });
    let message = pulpo::queue::NewMessage::new(hostile, hostile, body.to_string());
    let id = pulpo::queue::QueueAdapter::enqueue(&queue, vec![message]).expect("published").remove(0).id;
    let mut consumer = pulpo::queue::QueueAdapter::consumer(&queue, &[hostile.to_owned()]).expect("a consumer");
    let delivery = consumer.dequeue(&pulpo::queue::DequeueFilter::default(), std::time::Duration::ZERO);
    let lease = delivery.expect("the queue answers").expect("the message").lease;
    let mut bury = pulpo::queue::Settlement::bury(hostile, true);
    consumer.settle(&lease, &mut bury).expect("buried");
    let served = Served::start(&place, &["--allow-changes"], &[]);
    let query: String = hostile.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let paths = [
        "/".to_owned(),
        "/jobs".to_owned(),
        format!("/jobs/{id}"),
        "/queues".to_owned(),
        format!("/jobs?type={query}&queue={query}&reason={query}"),
        format!("/jobs?state={query}"),
        format!("/?type={query}&queue={query}"),
        format!("/?span={query}"),
        format!("/jobs/{query}"),
        format!("/{query}"),
        format!("/login?{query}"),
    ];
    for path in paths {
        let body = served.get(&path).body;
        assert!(!body.contains("<script>alert") && !body.contains("<img"), "{path}: {body}");
        // It may appear unescaped only in values of fields, where it deceives no one.
        let shown = body.split("value=\"").map(|part| part.split_once('"').map_or(part, |(_, rest)| rest));
        assert!(!shown.collect::<String>().contains('\u{1b}'), "{path}");
    }
    let refused = served.post("/jobs/act", &format!("action={query}&id=1"));
    assert!(refused.status == 400 && !refused.body.contains("<script>alert"), "{}", refused.body);
}

#[test]
fn bodies_can_be_hidden() {
    let place = Sandbox::new();
    some_jobs(&place, 1);
    let served = Served::start(&place, &[], &[("PULPO_DASHBOARD_BODIES", "false")]);
    let job = served.page("/jobs/1");
    assert!(job.contains("Bodies are hidden here.") && !job.contains("&quot;card&quot;"), "{job}");
}

#[test]
fn each_parameter_has_its_limits() {
    let place = Sandbox::new();
    some_jobs(&place, 1);
    let served = Served::start(&place, &["--allow-changes"], &[]);
    let long = "x".repeat(301);
    for name in ["state", "type", "queue", "reason", "older", "newer", "after"] {
        let answer = served.get(&format!("/jobs?{name}={long}"));
        assert_eq!(answer.status, 400, "{name}");
        assert!(answer.body.contains("300"), "{}", answer.body);
    }
    for query in ["type=a%00b", "after=%00", "state=gone", "older=soon", "newer=-1", "older=99999999999999999999d"] {
        let answer = served.get(&format!("/jobs?{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.body);
    }
    for name in ["span", "type", "queue"] {
        let answer = served.get(&format!("/?{name}={long}"));
        assert!(answer.status == 400 && answer.body.contains("<nav"), "{name}: {}", answer.body);
        assert_eq!(served.get(&format!("/?{name}=%00")).status, 400, "{name}");
    }
    assert_eq!(served.get("/?span=year").status, 400);
    // The last of repeated ones counts; a thousand others do no harm.
    assert_eq!(served.get(&format!("/?span=year&span=day{}", "&x=1".repeat(1000))).status, 200);
    assert_eq!(served.get(&format!("/jobs?{}", "type=a&".repeat(5000))).status, 431);
    // Odd queries that are not wrong.
    for query in ["state=", "after=x", "unknown=1", "type=a&type=b", "older=1h&newer=1m", "%"] {
        let answer = served.get(&format!("/jobs?{query}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    }
    let ids: String = (0..51).map(|id| format!("&id={id}")).collect();
    assert_eq!(served.post("/jobs/act", &format!("action=retry{ids}")).status, 400);
    assert_eq!(served.post("/jobs/act", &format!("action=retry&id={}", "x".repeat(70_000))).status, 413);
    assert_eq!(served.post("/jobs/act", &format!("action=retry&id={long}")).status, 400);
    assert_eq!(served.post("/jobs/act", "action=retry&id=1%00").status, 400);
    // Fields of the other forms.
    for (path, field) in [
        ("/jobs/1/edit", "priority"),
        ("/jobs/1/edit", "delay"),
        ("/jobs/1/edit", "queue"),
        ("/queues/pause", "queue"),
        ("/queues/pause", "queue=pulpo&for"),
        ("/queues/resume", "queue"),
        ("/schedules/run", "name"),
        ("/schedules/pause", "name"),
        ("/schedules/resume", "name"),
        ("/jobs/act", "action"),
        ("/jobs/act", "id=1&action=retry&all"),
        ("/jobs/act", "all=yes&action=retry&sure"),
        ("/jobs/act", "all=yes&sure=yes&action=retry&type"),
    ] {
        for value in [long.as_str(), "%00"] {
            let answer = served.post(path, &format!("{field}={value}"));
            assert!(
                answer.status == 400 && answer.body.contains("<nav"),
                "{path} {field}: {} {}",
                answer.status,
                answer.body
            );
        }
    }
    for (path, fields) in [
        ("/queues/pause", "queue=pulpo&for=-1s"),
        ("/queues/pause", "queue=pulpo&for=99999999999999999999d"),
        ("/queues/pause", "for=1h"),
        ("/jobs/1/edit", "priority=4294967296"),
        ("/jobs/1/edit", "priority=1e3"),
        ("/jobs/1/edit", "delay=soon"),
        ("/jobs/1/edit", ""),
        ("/schedules/run", ""),
        ("/jobs/act", "action=retry&all=yes"),
    ] {
        assert_eq!(served.post(path, fields).status, 400, "{path} {fields}");
    }
    // An address of a form that is opened as a page.
    for path in ["/jobs/1/retry", "/jobs/act", "/queues/pause", "/logout"] {
        let answer = served.get(path);
        assert!(answer.status == 405 && answer.body.contains("<nav"), "{path}: {} {}", answer.status, answer.body);
    }
    // Ids in paths, which get a page of the dashboard whatever they are.
    for (path, status) in [
        ("/tasks/1", 404),
        ("/tasks/x", 404),
        ("/tasks/%FF", 404),
        ("/tasks/18446744073709551616", 404),
        ("/tasks/%00", 400),
        ("/jobs/%FF", 404),
        ("/jobs/%00", 400),
        (&format!("/jobs/{long}"), 400),
    ] {
        let answer = served.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(answer.body.contains("<nav aria-label=\"Pages\">"), "{path}: {}", answer.body);
    }
    for path in ["/jobs/%FF/retry", "/jobs/%00/edit", "/tasks/%FF/stop", "/tasks/x/stop"] {
        let answer = served.post(path, "priority=1");
        assert!([400, 404].contains(&answer.status) && answer.body.contains("<nav"), "{path}: {}", answer.body);
    }
}
