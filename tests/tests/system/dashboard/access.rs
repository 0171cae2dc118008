//! Access to the dashboard, and the requirements for changes.

use pulpo_tests::http::{ask, get};
use pulpo_tests::program::Sandbox;

use super::{Served, WORKER, some_jobs};

#[test]
fn it_only_looks_until_it_is_told_otherwise() {
    let place = Sandbox::new();
    some_jobs(&place, 1);
    let served = Served::start(&place, &[], &[]);
    assert!(!served.page("/jobs").contains("<button type=\"submit\" name=\"action\""));
    for path in [
        "/jobs/1/retry",
        "/jobs/1/delete",
        "/jobs/1/edit",
        "/jobs/act",
        "/queues/pause",
        "/queues/resume",
        "/tasks/1/stop",
    ] {
        let answer = ask(served.address, "POST", path, &[], "csrf=x&queue=pulpo&action=delete&id=1");
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.body.contains("this dashboard is read-only: start it with --allow-changes"), "{}", answer.body);
    }
    assert!(served.page("/jobs/1").contains("buried"));
}

#[test]
fn a_change_needs_the_secret_of_its_page_and_the_same_origin() {
    let place = Sandbox::new();
    some_jobs(&place, 1);
    let served = Served::start(&place, &["--allow-changes"], &[]);
    let (address, csrf) = (served.address, served.csrf("/jobs/1"));
    let right = format!("csrf={csrf}");
    for wrong in ["", "csrf=", "csrf=0123", &format!("csrf={csrf}0"), "other=1"] {
        let answer = ask(address, "POST", "/jobs/1/retry", &[], wrong);
        assert_eq!(answer.status, 403, "{wrong:?}: {}", answer.body);
    }
    for origin in ["http://evil.example", "null", "https://127.0.0.1:1", "http://127.0.0.1", ""] {
        let answer = ask(address, "POST", "/jobs/1/retry", &[("Origin", origin)], &right);
        assert_eq!(answer.status, 403, "{origin:?}: {}", answer.body);
    }
    // A link or an image on another site cannot change anything either.
    assert_eq!(served.get(&format!("/jobs/1/retry?{right}")).status, 405);
    assert!(served.page("/jobs/1").contains("buried"));
    assert_eq!(ask(address, "POST", "/jobs/1/retry", &[("Origin", &format!("http://{address}"))], &right).status, 303);
}

#[test]
fn other_names_of_the_server_are_refused_unless_they_are_configured() {
    let place = Sandbox::new();
    some_jobs(&place, 1);
    let served = Served::start(&place, &["--allow-changes"], &[("PULPO_DASHBOARD_HOSTS", "jobs.example.com, other")]);
    let port = served.address.port();
    let status = |host: &str| ask(served.address, "GET", "/", &[("Host", host)], "").status;
    for host in ["127.0.0.1", "localhost", "LOCALHOST", "jobs.example.com", "other"] {
        assert_eq!(status(&format!("{host}:{port}")), 200, "{host}");
        assert_eq!(status(host), 200, "{host}");
    }
    for host in ["evil.example", "127.0.0.1.evil.example", "jobs.example.com.evil", "[::1]", "", "localhost@evil"] {
        let answer = ask(served.address, "GET", "/", &[("Host", host)], "");
        assert_eq!(answer.status, 403, "{host:?}");
        assert!(answer.body.contains("dashboard_hosts"), "{}", answer.body);
    }
}

#[test]
fn a_token_is_asked_for_by_a_form_or_a_header() {
    let place = Sandbox::new();
    some_jobs(&place, 1);
    let served = Served::start(&place, &[], &[("PULPO_DASHBOARD_TOKEN", "open sesame")]);
    let address = served.address;
    for path in ["/", "/jobs", "/jobs/1", "/queues", "/events"] {
        let answer = served.get(path);
        assert_eq!((answer.status, answer.header("location")), (303, Some("/login")), "{path}");
        assert!(!answer.body.contains("pay"));
    }
    let bearer = |token: &str| ask(address, "GET", "/", &[("Authorization", token)], "").status;
    assert_eq!([bearer("Bearer open sesame"), bearer("bearer open sesame")], [200, 200]);
    assert_eq!([bearer("Bearer open"), bearer("Basic open sesame"), bearer("open sesame")], [303, 303, 303]);
    let csrf = served.csrf("/login");
    let log_in = |token: &str| ask(address, "POST", "/login", &[], &format!("csrf={csrf}&token={token}"));
    let wrong = log_in("open+simsim");
    assert_eq!(wrong.status, 401);
    assert!(wrong.body.contains("Wrong token.") && wrong.header("set-cookie").is_none());
    let right = log_in("open+sesame");
    let cookie = right.header("set-cookie").expect("a session");
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains("sesame"),
        "{cookie}"
    );
    let session = cookie.split(';').next().expect("its value").to_owned();
    let look = || ask(address, "GET", "/jobs", &[("Cookie", &format!("a=b; {session}"))], "").status;
    assert_eq!(look(), 200);
    assert_eq!(ask(address, "POST", "/logout", &[("Cookie", &session)], &format!("csrf={csrf}")).status, 303);
    assert_eq!(look(), 303);
    assert_eq!(ask(address, "GET", "/jobs", &[("Cookie", "pulpo_session=")], "").status, 303);
    // No output contains the token.
    let config = place.to_end(place.command(WORKER, &["config"]).env("PULPO_DASHBOARD_TOKEN", "open sesame"));
    assert!(config.out.contains("dashboard_token") && !config.out.contains("sesame"), "{}", config.out);
}

#[test]
fn beyond_loopback_it_wants_a_token() {
    let place = Sandbox::new();
    some_jobs(&place, 1);
    let said = place.run(WORKER, &["dashboard", "--listen", "0.0.0.0:0"]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("anyone who can reach 0.0.0.0:0 could read the queue: set `dashboard_token`"),
        "{}",
        said.err
    );
    // A worker continues without a dashboard.
    let worker = place.start(place.command(WORKER, &["work", "--listen", "0.0.0.0:0"]));
    let mut address = pulpo_tests::http::address(&place);
    address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    assert_eq!(get(address, "/"), Some((404, "there are /metrics, /healthz and /readyz\n".to_owned())));
    assert_eq!(get(address, "/jobs").map(|(status, _)| status), Some(404));
    assert_eq!(get(address, "/healthz").map(|(status, _)| status), Some(200));
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

#[test]
fn a_worker_that_listens_serves_it_beside_its_metrics() {
    let place = Sandbox::new();
    some_jobs(&place, 1);
    let worker = place.start(place.command(WORKER, &["work", "--listen", "127.0.0.1:0"]));
    let address = pulpo_tests::http::address(&place);
    let host = address.to_string();
    let page = |path: &str| ask(address, "GET", path, &[("Host", &host)], "");
    assert!(page("/").body.contains("<h1>Overview</h1>"));
    assert!(page("/metrics").body.contains("pulpo_worker_lanes") || page("/metrics").status == 200);
    assert_eq!(page("/jobs/1").status, 200);
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

#[test]
fn browsers_are_told_to_run_nothing_but_what_is_ours() {
    let place = Sandbox::new();
    some_jobs(&place, 1);
    let served = Served::start(&place, &[], &[]);
    for path in ["/", "/jobs/1", "/nowhere", "/assets/style.css", "/assets/script.js"] {
        let answer = served.get(path);
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    }
    assert_eq!(served.get("/").header("cache-control"), Some("no-store"));
    assert!(!served.page("/").contains("style=\"") && !served.page("/jobs").contains("onclick"));
}
