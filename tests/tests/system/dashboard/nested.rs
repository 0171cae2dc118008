//! A dashboard below a path of another program, and behind a proxy.

use std::sync::Arc;

use pulpo::dashboard::Dashboard;
use pulpo::queue::{NewMessage, QueueAdapter as _};
use pulpo_tests::http::ask;

use super::in_process::{Service, file_queue, pulpo_on};

/// Starts a read-write dashboard of a queue with one job, below this path.
fn below(path: &str, hosts: Option<&[&str]>) -> (tempfile::TempDir, Service) {
    let folder = tempfile::tempdir().expect("a folder");
    let queue = file_queue(folder.path());
    let text = r#"{"header": {"request_type": "mail"}, "body": {}}"#;
    queue.enqueue(vec![NewMessage::new("pulpo", "mail", text)]).expect("published");
    let mut dashboard = Dashboard::new(pulpo_on(Arc::new(queue))).allow_changes(true).token("open sesame");
    if let Some(hosts) = hosts {
        dashboard = dashboard.hosts(hosts.iter().copied());
    }
    (folder, Service::start(axum::Router::new().nest(path, dashboard.router())))
}

/// Logs in. Returns the cookie.
fn session(service: &Service, prefix: &str) -> String {
    let form = format!("csrf={}&token=open+sesame", service.csrf(&format!("{prefix}/login")));
    let answer = ask(service.address, "POST", &format!("{prefix}/login"), &[], &form);
    assert_eq!(answer.status, 303, "{}", answer.body);
    let cookie = answer.header("set-cookie").expect("a session");
    let path = cookie.split("; ").find_map(|part| part.strip_prefix("Path=")).expect("a path");
    assert!(prefix.starts_with(path) && !path.contains([';', ',']), "{cookie}");
    cookie.split(';').next().expect("name and value").to_owned()
}

#[test]
fn each_page_works_below_a_path_with_parameters_of_its_own() {
    for (path, prefix) in [("/t/{id}/{x}", "/t/7/jobs"), ("/a/{id}/x", "/a/b;c,d/x"), ("/p", "/p")] {
        let (_folder, service) = below(path, None);
        let session = session(&service, prefix);
        let cookie = [("Cookie", session.as_str())];
        let get = |page: &str| ask(service.address, "GET", &format!("{prefix}{page}"), &cookie, "");
        for page in ["", "/jobs", "/jobs/1", "/queues", "/schedules", "/workers", "/assets/style.css"] {
            let answer = get(page);
            assert_eq!(answer.status, 200, "{prefix}{page}: {}", answer.body);
        }
        for page in ["/jobs/99", "/tasks/1", "/tasks/x", "/nowhere", "/jobs/%FF"] {
            let answer = get(page);
            assert_eq!(answer.status, 404, "{prefix}{page}: {}", answer.body);
            assert!(answer.body.contains("<h1>Not Found</h1>"), "{prefix}{page}: {}", answer.body);
        }
        let page = get("/jobs").body;
        let csrf = page.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a form");
        let post = |page: &str, fields: &str| {
            let form = format!("csrf={csrf}&{fields}");
            ask(service.address, "POST", &format!("{prefix}{page}"), &cookie, &form)
        };
        for (page, fields) in [
            ("/jobs/1/edit", "priority=3"),
            ("/jobs/1/cancel", ""),
            ("/jobs/1/retry", ""),
            ("/jobs/1/delete", ""),
            ("/queues/pause", "queue=pulpo"),
            ("/jobs/act", "action=retry&all=yes&sure=yes"),
            ("/tasks/1/stop", ""),
        ] {
            let answer = post(page, fields);
            assert_eq!(answer.status, 303, "{prefix}{page}: {}", answer.body);
            assert!(answer.header("location").is_some_and(|to| to.starts_with(&format!("{prefix}/"))), "{page}");
        }
    }
}

#[test]
fn behind_a_proxy_changes_come_from_pages_of_the_hosts_that_were_set() {
    let (_folder, service) = below("/jobs", Some(&["jobs.example.com", "127.0.0.1"]));
    let session = session(&service, "/jobs");
    let page = ask(service.address, "GET", "/jobs/queues", &[("Cookie", &session)], "").body;
    let csrf = page.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a form");
    let form = format!("csrf={csrf}&queue=pulpo&for=1m");
    let pause = |headers: &[(&str, &str)]| {
        let headers = [headers, &[("Cookie", session.as_str())]].concat();
        ask(service.address, "POST", "/jobs/queues/pause", &headers, &form)
    };
    // A proxy that keeps the host, with TLS on its usual port; and one that names its own address for the service.
    assert_eq!(pause(&[("Origin", "https://jobs.example.com"), ("Sec-Fetch-Site", "same-origin")]).status, 303);
    let forwarded = [("Origin", "https://evil.example"), ("X-Forwarded-Host", "evil.example")];
    assert_eq!(pause(&forwarded).status, 403, "anyone can set such a header");
    let foreign = pause(&[("Origin", "https://jobs.example.org")]);
    assert!(foreign.status == 403 && foreign.body.contains("dashboard_hosts"), "{}", foreign.body);
    // A browser says so itself, even if the origin is missing.
    let cross_site = pause(&[("Sec-Fetch-Site", "cross-site")]);
    assert!(cross_site.status == 403 && cross_site.body.contains("another site"), "{}", cross_site.body);
    assert_eq!(pause(&[("Origin", "https://jobs.example.com"), ("Sec-Fetch-Site", "cross-site")]).status, 403);
}
