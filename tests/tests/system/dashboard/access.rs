//! Access to the dashboard, and the requirements for changes.

use pulpo_tests::http::{ask, get};
use pulpo_tests::program::Sandbox;

use super::{Served, WORKER, some_jobs};

#[test]
fn it_only_looks_unless_changes_are_allowed() {
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
    // Also a second one.
    let twice = [("Origin", format!("http://{address}")), ("Origin", "http://evil.example".to_owned())];
    let twice = twice.each_ref().map(|(name, origin)| (*name, origin.as_str()));
    assert_eq!(ask(address, "POST", "/jobs/1/retry", &twice, &right).status, 403);
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
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "jobs.example.com.evil",
        "[::1]",
        "",
        "localhost@evil",
        "localhost:1,evil.example",
        "localhost:65536",
        "other\r\nHost: evil.example",
    ] {
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
    assert_eq!([bearer("Bearer open"), bearer("Bearer "), bearer("Basic open sesame")], [401, 401, 303]);
    let wrong = ask(address, "GET", "/", &[("Authorization", "Bearer open simsim")], "");
    assert_eq!(wrong.header("www-authenticate"), Some("Bearer"));
    assert!(place.log().contains("a visitor of the dashboard gave a wrong token"), "{}", place.log());
    assert!(!place.log().contains("simsim"), "{}", place.log());
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
    let (name, value) = session.split_once('=').expect("name and value");
    // Other cookies of this name do not hide it: a page elsewhere on the host may set one.
    let planted = format!("{name}=planted; {session}; {name}={value}x");
    assert_eq!(ask(address, "GET", "/jobs", &[("Cookie", &planted)], "").status, 200);
    assert_eq!(ask(address, "GET", "/jobs", &[("Cookie", &format!("{name}=; {name}=planted"))], "").status, 303);
    let page = ask(address, "GET", "/jobs", &[("Cookie", &session)], "").body;
    let csrf = page.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a form");
    assert_eq!(ask(address, "POST", "/logout", &[("Cookie", &session)], &format!("csrf={csrf}")).status, 303);
    assert_eq!(look(), 303);
    // No output contains the token.
    let config = place.to_end(place.command(WORKER, &["config"]).env("PULPO_DASHBOARD_TOKEN", "open sesame"));
    assert!(config.out.contains("dashboard_token") && !config.out.contains("sesame"), "{}", config.out);
}

#[test]
fn the_secret_of_the_login_form_changes_nothing() {
    let place = Sandbox::new();
    some_jobs(&place, 1);
    let token = [("PULPO_DASHBOARD_TOKEN", "open sesame")];
    let served = Served::start(&place, &["--allow-changes", "--log-level", "info"], &token);
    let address = served.address;
    // Anyone can read it.
    let open = served.csrf("/login");
    let answer = ask(address, "POST", "/login", &[], &format!("csrf={open}&token=open+sesame"));
    let session =
        answer.header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a session").to_owned();
    let retry = |csrf: &str| {
        let form = format!("csrf={csrf}&reason=secret");
        ask(address, "POST", "/jobs/1/retry", &[("Cookie", &session)], &form)
    };
    let forged = retry(&open);
    assert!(forged.status == 403 && forged.body.contains("out of date"), "{}", forged.body);
    assert_eq!(ask(address, "POST", "/logout", &[("Cookie", &session)], &format!("csrf={open}")).status, 403);
    let page = ask(address, "GET", "/jobs/1", &[("Cookie", &session)], "").body;
    let right = page.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a form");
    assert_ne!(right, open);
    assert_eq!(retry(right).status, 303);
    // The log says what was changed, and no secret.
    let log = place.log();
    assert_eq!(log.matches("changed on the dashboard").count(), 1, "{log}");
    assert!(log.contains("/jobs/1/retry") && !log.contains(right) && !log.contains("secret"), "{log}");
}

#[test]
fn dashboards_on_other_ports_keep_their_own_sessions() {
    let place = Sandbox::new();
    some_jobs(&place, 1);
    let log_in = |served: &Served| {
        let form = format!("csrf={}&token=open+sesame", served.csrf("/login"));
        let answer = ask(served.address, "POST", "/login", &[], &form);
        answer.header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a session").to_owned()
    };
    let token = [("PULPO_DASHBOARD_TOKEN", "open sesame")];
    let [one, two] = [Served::start(&place, &[], &token), Served::start(&place, &[], &token)];
    let [first, second] = [log_in(&one), log_in(&two)];
    let name = |cookie: &str| cookie.split('=').next().map(str::to_owned);
    assert_ne!(name(&first), name(&second), "a browser sends both to both");
    let both = format!("{first}; {second}");
    for served in [&one, &two] {
        assert_eq!(ask(served.address, "GET", "/jobs", &[("Cookie", &both)], "").status, 200);
    }
    assert_eq!(ask(two.address, "GET", "/jobs", &[("Cookie", &first)], "").status, 303);
}

#[test]
fn on_all_addresses_each_address_of_the_machine_is_a_host() {
    let place = Sandbox::new();
    some_jobs(&place, 1);
    let environment = [("PULPO_DASHBOARD_TOKEN", "open sesame"), ("PULPO_DASHBOARD_HOSTS", "jobs.example.com")];
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let worker = {
            let mut command = place.command(WORKER, &["work", "--listen", listen]);
            let _ = std::fs::remove_file(place.path("log"));
            command.envs(environment);
            place.start(command)
        };
        let mut address = pulpo_tests::http::address(&place);
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        let status = |host: &str| ask(address, "GET", "/login", &[("Host", host)], "").status;
        for host in ["127.0.0.1", "192.0.2.7:8011", "[2001:db8::7]:8011", "localhost", "jobs.example.com"] {
            assert_eq!(status(host), 200, "{listen}: {host}");
        }
        for host in ["evil.example", "192.0.2.7.evil.example", "", "[evil]"] {
            assert_eq!(status(host), 403, "{listen}: {host}");
        }
        worker.signal("TERM");
        assert_eq!(worker.end(), 0);
    }
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
    assert!(page("/metrics").body.contains("# TYPE pulpo_jobs_done_total counter"), "{}", page("/metrics").body);
    assert_eq!(page("/jobs/1").status, 200);
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

#[test]
fn browsers_are_told_to_run_only_our_scripts() {
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
