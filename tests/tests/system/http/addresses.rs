//! The address on which a worker listens, and for how long.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use pulpo_tests::http::{ANYWHERE, address, exchange, get, status, value};
use pulpo_tests::program::{Running, Sandbox};
use pulpo_tests::wait::until;

use super::WORKER;

fn work(place: &Sandbox, listen: &str) -> Running {
    place.start(place.command(WORKER, &["work", "--listen", listen]))
}

#[test]
fn an_address_that_is_taken_keeps_the_worker_from_starting() {
    for listener in [TcpListener::bind((Ipv4Addr::LOCALHOST, 0)), TcpListener::bind("[::1]:0")] {
        let taken = listener.expect("a port");
        let address = taken.local_addr().expect("its address").to_string();
        let said = Sandbox::new().run(WORKER, &["work", "--listen", &address]);
        assert_eq!(said.code, 1, "{}", said.err);
        assert!(
            said.err.contains(&format!("error: the worker cannot listen at {address}: Address already in use")),
            "{}",
            said.err
        );
    }
    // An address of another machine.
    let said = Sandbox::new().run(WORKER, &["work", "--listen", "192.0.2.1:9100"]);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains("error: the worker cannot listen at 192.0.2.1:9100: Cannot assign"), "{}", said.err);
    for no_address in ["9100", "localhost", "[::1]", "127.0.0.1:65536"] {
        let said = Sandbox::new().run(WORKER, &["work", "--listen", no_address]);
        assert_eq!(said.code, 2, "{no_address}: {}", said.err);
    }
}

#[test]
fn port_0_is_a_free_one_that_the_log_names_also_on_ipv6() {
    for listen in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"] {
        let place = Sandbox::new();
        let worker = work(&place, listen);
        let mut address = address(&place);
        assert_ne!(address.port(), 0);
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        assert_eq!(status(address, "/healthz"), 200, "{listen}");
        until("it is ready", || status(address, "/readyz") == 200);
        worker.signal("TERM");
        assert_eq!(worker.end(), 0);
    }
}

#[test]
fn paths_and_methods_have_their_answers() {
    let place = Sandbox::new();
    let worker = work(&place, ANYWHERE[1]);
    let address = address(&place);
    let ask = |request: &str| exchange(address, format!("{request}\r\nHost: a\r\n\r\n").as_bytes()).expect("an answer");
    for path in ["/metrics", "/healthz", "/readyz"] {
        let got = ask(&format!("GET {path} HTTP/1.1"));
        assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{got}");
        let head = ask(&format!("HEAD {path} HTTP/1.1"));
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
            let refused = ask(&format!("{method} {path} HTTP/1.1"));
            assert!(refused.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{refused}");
            assert!(refused.contains("\r\nallow: GET,HEAD\r\n"), "{refused}");
        }
    }
    let nowhere = ask("GET /nowhere HTTP/1.1");
    // The dashboard does not answer requests for this host.
    assert!(nowhere.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{nowhere}");
    let metrics = ask("GET /metrics HTTP/1.1");
    assert!(metrics.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{metrics}");
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

#[test]
fn it_answers_through_the_grace_of_a_stop_and_no_client_holds_up_the_end() {
    let place = Sandbox::new();
    assert_eq!(place.run(WORKER, &["publish", "until", "--payload", "go"]).code, 0);
    let worker = work(&place, ANYWHERE[1]);
    let address = address(&place);
    let in_flight = r#"pulpo_jobs_in_flight{request_type="until"}"#;
    until("it has begun", || get(address, "/metrics").is_some_and(|(_, text)| value(&text, in_flight) == Some(1.0)));
    worker.signal("TERM");
    until("it is not ready", || status(address, "/readyz") == 503);
    assert_eq!(status(address, "/healthz"), 200);
    assert_eq!(status(address, "/metrics"), 200);
    let idle: Vec<_> = (0..10).map(|_| TcpStream::connect(address).expect("connected")).collect();
    for mut half in &idle[..5] {
        half.write_all(b"GET /healthz HTTP/1.1\r\nHost:").expect("sent");
    }
    std::fs::write(place.path("go"), "").expect("written");
    let began = Instant::now();
    assert_eq!(worker.end(), 0);
    assert!(began.elapsed() < Duration::from_secs(25), "it took {:?}", began.elapsed());
}
