//! A queue that is slow to answer one request and never answers another.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use pulpo_tests::beanstalkd::BeanstalkdServer;
use pulpo_tests::http::{ANYWHERE, Usage, address, get, status, value};
use pulpo_tests::program::Sandbox;
use pulpo_tests::proxy::HoldingProxy;
use pulpo_tests::wait::until;

use super::WORKER;

const MEASURED: &str = "pulpo_queue_measured_timestamp_seconds";
const REACHABLE: &str = "pulpo_queue_reachable";

#[test]
fn a_slow_count_leaves_the_worker_ready_and_shows_its_age() {
    let (place, server) = (Sandbox::new(), BeanstalkdServer::start());
    let proxy = HoldingProxy::start(server.port());
    let mut command = place.command(WORKER, &["work", ANYWHERE[0], ANYWHERE[1]]);
    command
        .env("PULPO_QUEUE", format!("beanstalkd://127.0.0.1:{}", proxy.port()))
        .env("PULPO_BEANSTALKD_QUEUE_ADAPTER__SOCKET_TIMEOUT", "600");
    let worker = place.start(command);
    let address = address(&place);
    let metrics = || {
        let (code, text) = get(address, "/metrics").expect("metrics");
        assert_eq!(code, 200, "{text}");
        (value(&text, MEASURED), value(&text, REACHABLE))
    };
    until("the queue is measured", || metrics().0.is_some());
    // Publishing works as usual, and so do jobs.
    let mut publish = place.command(WORKER, &["publish", "talk", "--payload", "hello"]);
    publish.env("PULPO_QUEUE", format!("beanstalkd://127.0.0.1:{}", server.port()));
    assert!(publish.output().expect("started").status.success());
    until("the job is done", || place.record().lines().count() == 1);

    let (measured, _) = metrics();
    let before = Usage::of(worker.id());
    proxy.hold(true);
    let began = Instant::now();
    let (mut known, _) = metrics();
    assert!(known >= measured, "what was known");
    assert!(began.elapsed() < Duration::from_secs(60), "it took {:?}", began.elapsed());
    for _ in 0..10 {
        // The queue answers other questions, if the machine lets it do so in time.
        until("it is ready", || status(address, "/readyz") == 200);
        assert_eq!(status(address, "/healthz"), 200);
        until("the queue answers, with what was known", || {
            // A count may have been on its way when the proxy began to hold.
            let (now, reachable) = metrics();
            let before = std::mem::replace(&mut known, now);
            now.is_some() && (now, reachable) == (before, Some(1.0))
        });
    }
    let now = Usage::of(worker.id());
    assert!(now.threads <= before.threads + 6, "{before:?}, then {now:?}");
    proxy.hold(false);
    until("it is measured again", || metrics().0 > known);
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

/// Returns how often the server was asked for the number of messages in a queue.
fn counted(place: &Sandbox) -> u64 {
    let mut server = TcpStream::connect(place.server_address()).expect("connected");
    server.write_all(b"stats\r\n").expect("sent");
    let mut lines = BufReader::new(server).lines().map(|line| line.expect("a line"));
    let count = lines.find_map(|line| line.strip_prefix("cmd-stats-tube: ").map(str::to_owned));
    count.expect("a count").parse().expect("a number")
}

#[test]
fn a_thousand_queues_of_others_do_not_slow_the_metrics_down() {
    let place = Sandbox::with_beanstalkd();
    let mut others = TcpStream::connect(place.server_address()).expect("connected");
    // Each tube exists as long as a client watches it.
    let watch: String = (0..1_000).map(|number| format!("watch other-{number}\r\n")).collect();
    others.write_all(watch.as_bytes()).expect("sent");
    let mut answers = BufReader::new(&others).lines().map(|line| line.expect("an answer"));
    assert!(answers.any(|line| line == "WATCHING 1001"));
    let worker = place.start(place.command(WORKER, &["work", ANYWHERE[0], ANYWHERE[1]]));
    let address = address(&place);
    until("it is ready", || status(address, "/readyz") == 200);
    let before = counted(&place);
    let mut looks = 0;
    // A queue that a busy machine holds up is reported as out of reach.
    until("the queue is measured", || {
        looks += 1;
        let text = get(address, "/metrics").map(|(_, text)| text).unwrap_or_default();
        value(&text, REACHABLE) == Some(1.0) && text.contains(r#"pulpo_queue_messages{queue="notes",state="ready"} 0"#)
    });
    let asked = counted(&place) - before;
    assert!(asked >= 2 && asked < 100 * looks, "its own two queues, and no other: {asked} in {looks} looks");
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}
