//! The dashboard of a queue on beanstalkd, on one server or on several.

use std::sync::Arc;

use pulpo::clock::SystemClock;
use pulpo::dashboard::Dashboard;
use pulpo::queue::beanstalkd::{BeanstalkdOptions, BeanstalkdQueue};
use pulpo::queue::{NewMessage, QueueAdapter as _};
use pulpo_tests::beanstalkd::BeanstalkdServer;
use pulpo_tests::http::ask;
use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::until;

use super::in_process::{Service, pulpo_on};
use super::{Served, WORKER, some_jobs};

#[test]
fn all_that_match_are_retried_on_a_server_too() {
    let place = Sandbox::with_beanstalkd();
    some_jobs(&place, 30);
    let served = Served::start(&place, &["--allow-changes"], &[]);
    let list = served.page("/jobs?state=buried");
    assert_eq!(list.matches("data-label=\"Type\">pay<").count(), 30, "{list}");
    assert!(list.contains("no card") && !list.contains("could not list"), "{list}");
    // It cannot cancel, so there is no button for that.
    assert!(list.contains("Retry all buried") && !list.contains("value=\"cancel\""), "{list}");
    let refused = served.post("/jobs/act", "action=cancel&all=yes&sure=yes");
    assert!(refused.status == 501 && refused.body.contains("cancel messages"), "{}", refused.body);
    let begun = served.post("/jobs/act", "action=retry&all=yes&sure=yes&state=buried&type=pay");
    let task = begun.header("location").expect("where it is shown").to_owned();
    until("it is done", || served.page(&task).contains("Done: retried 30 jobs of 30."));
    assert!(served.page("/jobs?state=buried").contains("No jobs match."));
    // It knows only queues with messages or workers.
    let unknown = served.post("/queues/pause", "queue=nowhere");
    assert!(unknown.status == 404 && unknown.body.contains("has no queue &quot;nowhere&quot;"), "{}", unknown.body);
    assert_eq!(served.post("/queues/pause", "queue=notes").status, 303);
    assert_eq!(served.post("/queues/resume", "queue=notes").status, 303);
}

#[test]
fn jobs_that_a_list_does_not_reach_are_counted() {
    let server = BeanstalkdServer::start();
    let options = BeanstalkdOptions::new("127.0.0.1").port(server.port()).max_scanned_ids(5);
    let queue = Arc::new(BeanstalkdQueue::new(options, Arc::new(SystemClock::new())));
    let text = r#"{"header": {"request_type": "pay"}, "body": {}}"#;
    queue.enqueue((0..12).map(|_| NewMessage::new("pulpo", "pay", text)).collect()).expect("published");
    let service = Service::start(Dashboard::new(pulpo_on(queue)).allow_changes(true).router());
    let list = service.get("/jobs?state=ready").body;
    assert_eq!(list.matches("data-label=\"ID\"").count(), 5, "{list}");
    assert!(list.contains("And 7 that this queue could not list"), "{list}");
    let act = |fields: &str| {
        let form = format!("csrf={}&all=yes&sure=yes&{fields}", service.csrf("/jobs"));
        let begun = ask(service.address, "POST", "/jobs/act", &[], &form);
        let task = begun.header("location").unwrap_or_else(|| panic!("{}", begun.body)).to_owned();
        let mut page = String::new();
        until("it is done", || {
            page = service.get(&task).body;
            page.contains("Done: ")
        });
        page
    };
    let page = act("action=delete&type=pay");
    assert!(
        page.contains("Done: deleted 5 jobs of 5.") && page.contains("And 7 that this queue could not list"),
        "{page}"
    );
    // By queue and state alone it reaches them all.
    let page = act("action=delete&state=ready");
    assert!(page.contains("Done: deleted 7 jobs of 7.") && !page.contains("could not list"), "{page}");
}

#[test]
fn one_of_two_servers_that_is_down_is_named() {
    let place = Sandbox::new();
    let (one, two) = (BeanstalkdServer::start(), BeanstalkdServer::start());
    let url = format!("beanstalkd://127.0.0.1:{},127.0.0.1:{}/pulpo", one.port(), two.port());
    // At each server by its own name: a publisher chooses one of several itself.
    for server in [&one, &two] {
        let mut publish = place.command(WORKER, &["publish", "pay", "--body", "{\"card\": 0}"]);
        let alone = format!("beanstalkd://127.0.0.1:{}/pulpo", server.port());
        assert_eq!(place.to_end(publish.env("PULPO_QUEUE", &alone)).code, 0);
    }
    let served = Served::start(&place, &["--allow-changes"], &[("PULPO_QUEUE", &url)]);
    let named = format!("127.0.0.1:{}", two.port());
    assert!(!served.page("/").contains(&named));
    drop(two);
    for path in ["/", "/queues", "/jobs"] {
        until("it is named", || served.page(path).contains(&format!("{named} does not answer: ")));
    }
    let begun = served.post("/jobs/act", "action=delete&all=yes&sure=yes&type=pay");
    let task = begun.header("location").expect("where it is shown").to_owned();
    until("it is done", || served.page(&task).contains("Done: deleted "));
    let page = served.page(&task);
    assert!(page.contains(&format!("Took no part: {named}")), "{page}");
    drop(one);
}
