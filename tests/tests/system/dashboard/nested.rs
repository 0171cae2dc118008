//! A dashboard below a path of another program, and behind a proxy.

use std::collections::BTreeSet;
use std::sync::Arc;

use pulpo::dashboard::Dashboard;
use pulpo::queue::{NewMessage, QueueAdapter as _};
use pulpo_tests::http::ask;

use super::in_process::{Service, file_queue, pulpo_on};
use super::{Served, some_jobs};

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

/// Visits each address that the pages below this path lead to. `send` returns the status and the text of a page.
/// Returns the addresses, without their queries.
fn visit_all(home: &str, below: &str, send: impl Fn(&str) -> (u16, String)) -> BTreeSet<String> {
    let (mut waiting, mut seen) = (vec![home.to_owned()], BTreeSet::new());
    while let Some(address) = waiting.pop() {
        if seen.len() > 80 || address.ends_with("/events") || !seen.insert(address.clone()) {
            continue;
        }
        let (status, page) = send(&address);
        assert_eq!(status, 200, "{address}: {page}");
        let links = ["href=\"", "src=\"", "data-events=\""].into_iter().flat_map(|part| page.split(part).skip(1));
        let links = links.filter_map(|rest| rest.split('"').next()).map(|link| link.replace("&amp;", "&"));
        for link in links.filter(|link| !link.is_empty() && !link.starts_with('#')) {
            assert!(link.starts_with(below), "{address} leads to {link}");
            waiting.push(link);
        }
        for form in page.split("<form").skip(1) {
            assert!(
                form.split("action=\"").nth(1).is_some_and(|action| action.starts_with(below)),
                "{address}: {form}"
            );
        }
    }
    seen.iter().map(|address| address.split('?').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn each_link_leads_to_a_page_with_or_without_a_slash_at_the_end() {
    let (folder, _) = below("/unused", None);
    let router = || {
        let queue = Arc::new(file_queue(folder.path()));
        Dashboard::new(pulpo_on(queue)).allow_changes(true).router()
    };
    let inner = axum::Router::new().nest("/jobs/", router());
    for (service, is_twice_nested, homes) in [
        (axum::Router::new().nest("/admin/jobs", router()), false, &["/admin/jobs"][..]),
        (axum::Router::new().nest("/admin/jobs/", router()), false, &["/admin/jobs/"]),
        (axum::Router::new().nest_service("/admin/jobs", router()), false, &["/admin/jobs", "/admin/jobs/"]),
        (axum::Router::new().nest("/admin", inner), true, &["/admin/jobs/"]),
        (router(), false, &["/"]),
        (axum::Router::new().fallback_service(router()), false, &["/"]),
    ] {
        let service = Service::start(service);
        for home in homes {
            let path = home.trim_end_matches('/');
            let seen = visit_all(home, path, |address| {
                let answer = service.get(address);
                (answer.status, answer.body)
            });
            for page in ["/jobs", "/jobs/1", "/queues", "/schedules", "/workers", "/assets/style.css"] {
                assert!(seen.contains(&format!("{path}{page}")), "{page} below {home}: {seen:?}");
            }
            let answer = service.get(&format!("{path}/jobs/?state=buried"));
            let to = format!("{path}/jobs?state=buried");
            // axum passes only addresses that it knows to a router in a router below a path.
            let expected = if is_twice_nested { (404, None) } else { (307, Some(&*to)) };
            assert_eq!((answer.status, answer.header("location")), expected, "below {home}: {}", answer.body);
            for nowhere in ["/nowhere//", "/jobs//", "/%2e%2e/x"] {
                assert_eq!(service.get(&format!("{path}{nowhere}")).status, 404, "{nowhere} below {home}");
            }
            // To a browser, a backslash is a slash.
            let stays = |to: &str| to.starts_with(&format!("{path}/")) && !to.replace('\\', "/").starts_with("//");
            for outside in ["//evil.example/", "/\\evil.example/", "/\\/evil.example/"] {
                let answer = service.get(&format!("{path}{outside}"));
                let to = answer.header("location");
                assert!(answer.status == 404 || to.is_some_and(stays), "{outside}: {} to {to:?}", answer.status);
            }
        }
    }
}

#[test]
fn no_link_leads_to_another_host_whatever_stands_in_for_a_parameter_of_the_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let dashboard = Dashboard::new(pulpo_on(Arc::new(file_queue(folder.path())))).token("open sesame");
    let service = Service::start(axum::Router::new().nest_service("/{of}/jobs", dashboard.router()));
    let login = service.get("/\\evil.example/jobs/queues");
    assert_eq!((login.status, login.header("location")), (303, Some("/%5Cevil.example/jobs/login")));
    let page = service.get("/%5Cevil.example/jobs/login");
    assert!(page.status == 200 && page.body.contains("action=\"/%5Cevil.example/jobs/login\""), "{}", page.body);
}

#[test]
fn behind_a_proxy_that_removes_a_path_all_links_have_it() {
    let place = pulpo_tests::program::Sandbox::new();
    some_jobs(&place, 1);
    let environment = [("PULPO_DASHBOARD_PATH", "/ops/jobs/"), ("PULPO_DASHBOARD_TOKEN", "open sesame")];
    let served = Served::start(&place, &["--allow-changes"], &environment);
    let passed_on = |address: &str| address.strip_prefix("/ops/jobs").expect("below the path").to_owned();
    let login = served.get("/");
    assert_eq!((login.status, login.header("location")), (303, Some("/ops/jobs/login")));
    let form = format!("csrf={}&token=open+sesame", served.csrf(&passed_on("/ops/jobs/login")));
    let answer = ask(served.address, "POST", "/login", &[], &form);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/ops/jobs/")), "{}", answer.body);
    let cookie = answer.header("set-cookie").expect("a session").to_owned();
    assert!(cookie.contains("; Path=/ops/jobs;"), "{cookie}");
    let cookie = cookie.split(';').next().expect("name and value");
    let get = |path: &str| ask(served.address, "GET", path, &[("Cookie", cookie)], "");
    let seen = visit_all("/ops/jobs/", "/ops/jobs/", |address| {
        let answer = get(&passed_on(address));
        (answer.status, answer.body)
    });
    assert!(seen.contains("/ops/jobs/jobs/1") && seen.contains("/ops/jobs/assets/script.js"), "{seen:?}");
    let page = get("/jobs/1").body;
    let csrf = page.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a form");
    let post = |path: &str, fields: &str| {
        let form = format!("csrf={csrf}&{fields}");
        let answer = ask(served.address, "POST", path, &[("Cookie", cookie)], &form);
        (answer.status, answer.header("location").map(str::to_owned))
    };
    for (path, fields, to) in [
        ("/jobs/1/retry", "", "/ops/jobs/jobs/1"),
        ("/queues/pause", "queue=pulpo", "/ops/jobs/queues"),
        ("/jobs/act", "action=delete&all=yes&sure=yes&type=pay", "/ops/jobs/tasks/1"),
        ("/logout", "", "/ops/jobs/login"),
    ] {
        assert_eq!(post(path, fields), (303, Some(to.to_owned())), "{path}");
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
