//! A spool in front of a server that is down, and of processes that are killed.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use pulpo_tests::beanstalkd::{Options, free_port};
use pulpo_tests::http::{address, get, value};
use pulpo_tests::program::{CommandOutput, Running, Sandbox};
use pulpo_tests::wait::{until, within};
use serde_json::{Value, json};

const WORKER: &str = env!("CARGO_BIN_EXE_worker");
const PRODUCER: &str = env!("CARGO_BIN_EXE_spooling_producer");

/// Returns a command on the server at this port, with a spool in the folder.
fn command(place: &Sandbox, port: u16, program: &str, arguments: &[&str]) -> Command {
    let mut command = place.command(program, arguments);
    command
        .env("PULPO_QUEUE", format!("beanstalkd://127.0.0.1:{port}"))
        .env("PULPO_SPOOL", "file:./spool")
        .env("PULPO_BEANSTALKD_QUEUE_ADAPTER__SOCKET_TIMEOUT", "10")
        .env("ACKNOWLEDGED", place.path("acknowledged"));
    command
}

fn run(place: &Sandbox, port: u16, arguments: &[&str]) -> CommandOutput {
    CommandOutput::of(command(place, port, WORKER, arguments))
}

#[track_caller]
fn as_json(place: &Sandbox, port: u16, code: i32, arguments: &[&str]) -> Value {
    let output = run(place, port, &[arguments, &["--json"]].concat());
    assert_eq!(output.code, code, "{arguments:?}: {} {}", output.out, output.err);
    serde_json::from_str(&output.out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", output.out))
}

#[track_caller]
fn publish(place: &Sandbox, port: u16, number: u64) -> String {
    let published = as_json(place, port, 0, &["publish", "record", "--body", &format!(r#"{{"number": {number}}}"#)]);
    published["ids"][0].as_str().expect("an id").to_owned()
}

/// Returns the numbers of the jobs that ran, in order.
fn ran(place: &Sandbox) -> Vec<u64> {
    place.record().lines().filter_map(|line| line.split(' ').nth(2)?.parse().ok()).collect()
}

fn is_empty(place: &Sandbox) -> bool {
    !place.path("spool/spool.waiting").exists()
}

#[test]
fn publications_that_no_server_takes_wait_in_the_spool_and_go_out_in_order() {
    let (place, port) = (Sandbox::new(), free_port());
    for number in 1..=3 {
        assert_eq!(publish(&place, port, number), format!("spool/{number}"));
    }
    // It shows the waiting messages, and does not claim that the server has none.
    let stats = as_json(&place, port, 1, &["stats"]);
    assert_eq!((&stats["spool"]["waiting"], &stats["spool"]["refused"]), (&json!(3), &json!(0)));
    assert!(stats["spool"]["oldest"].is_string() && stats["unreachable"][0]["error"].is_string(), "{stats}");
    let text = run(&place, port, &["stats"]);
    assert!(text.code == 1 && text.out.contains("SPOOL 3 wait for a server, the oldest since"), "{}", text.out);
    assert!(text.err.contains("error: the queue did not take part: "), "{}", text.err);
    let spool = as_json(&place, port, 0, &["spool"]);
    assert_eq!((&spool["waiting"], spool["messages"].as_array().map(Vec::len)), (&json!(3), Some(3)));
    assert_eq!((&spool["messages"][2]["id"], &spool["messages"][2]["queue"]), (&json!("spool/1"), &json!("pulpo")));
    assert_eq!(as_json(&place, port, 0, &["peek", "spool/2"])["message"]["body"]["number"], 2);
    let flush = run(&place, port, &["spool", "flush"]);
    assert!(flush.code == 1 && flush.out == "sent 0, 3 left\n", "{} {}", flush.out, flush.err);
    assert!(flush.err.contains("not all messages were sent: cannot publish to beanstalkd"), "{}", flush.err);
    assert_eq!(as_json(&place, port, 0, &["delete", "spool/3"])["deleted"], 1);

    // A server is up again: a command's publications queue behind the waiting ones.
    let _server = Options::new().port(port).start();
    let id = publish(&place, port, 4);
    assert!(!id.starts_with("spool/") && is_empty(&place), "{id}");
    assert_eq!(as_json(&place, port, 0, &["stats"])["counts"][0]["ready"], 3);
    assert_eq!(run(&place, port, &["spool"]).out, "the spool is empty\n");
    let worker = place.start(command(&place, port, WORKER, &["work", "--concurrency", "1"]));
    until("all have run", || ran(&place).len() == 3);
    assert_eq!(ran(&place), [1, 2, 4]);
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

#[test]
fn a_worker_sends_what_a_command_has_left_in_the_spool() {
    let (place, port) = (Sandbox::new(), free_port());
    for number in 1..=5 {
        publish(&place, port, number);
    }
    let worker = place.start(command(&place, port, WORKER, &["work", "--listen", "127.0.0.1:0"]));
    let address = address(&place);
    // This is a degradation and not an outage: publications are kept.
    until("the page tells", || {
        get(address, "/readyz").is_some_and(|(status, text)| {
            status == 200
                && text.starts_with("ready, degraded: the queue does not answer")
                && text.contains("5 messages wait")
        })
    });
    let (_, metrics) = get(address, "/metrics").expect("metrics");
    assert_eq!(value(&metrics, "pulpo_spool_messages"), Some(5.0), "{metrics}");
    assert_eq!(value(&metrics, "pulpo_queue_reachable"), Some(0.0), "{metrics}");
    assert!(value(&metrics, "pulpo_spool_oldest_seconds").is_some_and(|age| age > 0.0), "{metrics}");
    let _server = Options::new().port(port).start();
    until("all have run", || ran(&place).len() == 5);
    until("the page is well again", || get(address, "/readyz").is_some_and(|(_, text)| text == "ready\n"));
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

/// It accepts connections and never answers, and its timeout is longer than the pages wait.
#[test]
fn a_worker_with_a_spool_is_ready_while_the_server_is_silent() {
    let (place, silent) = (Sandbox::new(), std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port"));
    let port = silent.local_addr().expect("an address").port();
    publish(&place, port, 1);
    let mut command = command(&place, port, WORKER, &["work", "--listen", "127.0.0.1:0"]);
    command.env("PULPO_BEANSTALKD_QUEUE_ADAPTER__SOCKET_TIMEOUT", "30");
    let worker = place.start(command);
    let address = address(&place);
    for _ in 0..2 {
        let (status, text) = get(address, "/readyz").expect("an answer, within the bound");
        assert_eq!(status, 200, "{text}");
        assert!(text.starts_with("ready, degraded: the queue did not answer within 2s"), "{text}");
        assert!(text.contains("1 messages wait in the spool, the oldest for "), "{text}");
    }
    let (_, metrics) = get(address, "/metrics").expect("metrics");
    for (name, expected) in [("pulpo_spool_messages", 1.0), ("pulpo_queue_reachable", 0.0)] {
        assert_eq!(value(&metrics, name), Some(expected), "{metrics}");
    }
    worker.signal("KILL");
    worker.end();
}

/// Not even root may create a folder in a file.
#[test]
fn a_publication_that_neither_a_server_nor_the_spool_takes_fails_with_both_reasons() {
    let (place, port) = (Sandbox::new(), free_port());
    std::fs::write(place.path("plain"), "").expect("a file");
    let publish = |number: u64| {
        let body = format!(r#"{{"number": {number}}}"#);
        let mut command = command(&place, port, WORKER, &["publish", "record", "--body", &body]);
        command.env("PULPO_SPOOL", "file:./plain/spool");
        CommandOutput::of(command)
    };
    for _ in 0..2 {
        let said = publish(1);
        assert_eq!(said.code, 1, "{}", said.out);
        for reason in ["Connection refused", "cannot keep the publication in the spool", "plain/spool"] {
            assert!(said.err.contains(reason), "{reason}: {}", said.err);
        }
    }
    let _server = Options::new().port(port).start();
    let said = publish(2);
    assert!(said.code == 0 && !said.out.contains("spool/"), "{} {}", said.out, said.err);
    assert_eq!(as_json(&place, port, 0, &["stats"])["counts"][0]["ready"], 1);
}

#[test]
fn a_message_that_the_queue_refuses_for_good_stays_in_the_spool_with_the_reason() {
    let (place, port) = (Sandbox::new(), free_port());
    let body = format!(r#"{{"number": 1, "pad": "{}"}}"#, "x".repeat(2000));
    publish(&place, port, 1);
    let published = run(&place, port, &["publish", "record", "--body", &body]);
    assert_eq!((published.code, published.out.contains("spool/2")), (0, true), "{}", published.err);
    publish(&place, port, 3);
    let _server = Options::new().port(port).max_job_size(1000).start();
    let flush = run(&place, port, &["spool", "flush"]);
    assert!(flush.code == 1 && flush.err.contains("1 were refused: `spool` says why"), "{}", flush.err);
    let spool = as_json(&place, port, 0, &["spool"]);
    assert_eq!((&spool["waiting"], &spool["refused"]), (&json!(0), &json!(1)));
    assert_eq!(spool["messages"][0]["id"], "spool/2");
    let reason = spool["messages"][0]["last_error"].as_str().expect("a reason");
    assert!(reason.contains("takes at most 1000"), "{reason}");
    assert_eq!(as_json(&place, port, 0, &["stats"])["counts"][0]["ready"], 2);
    // It does not block later publications.
    assert!(!publish(&place, port, 4).starts_with("spool/"));
}

#[test]
fn an_unknown_outcome_is_never_spooled() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    // The server reads the message, and disconnects without an answer.
    let server = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for connection in listener.incoming().map_while(Result::ok) {
            let (mut connection, mut said, mut buffer) = (connection, String::new(), [0; 4096]);
            while !said.contains("number") {
                match connection.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => said.push_str(&String::from_utf8_lossy(&buffer[..count])),
                }
                if !said.contains("put ") {
                    let answer =
                        if said.ends_with("list-tube-used\r\n") { "USING default\r\n" } else { "USING pulpo\r\n" };
                    let _ = connection.write_all(answer.as_bytes());
                }
            }
            if said.contains("number") {
                return;
            }
        }
    });
    let place = Sandbox::new();
    let output = run(&place, port, &["publish", "record", "--body", r#"{"number": 1}"#]);
    assert!(
        output.code == 1 && output.err.contains("cannot know whether it succeeded"),
        "{} {}",
        output.out,
        output.err
    );
    assert!(!place.path("spool").exists(), "nothing is kept");
    server.join().expect("no panic");
}

#[test]
fn a_spool_that_cannot_be_one_is_refused() {
    let place = Sandbox::new();
    let none = CommandOutput::of(place.command(WORKER, &["spool"]));
    assert!(none.code == 1, "{}", none.out);
    for (queue, spool, expected) in [
        ("beanstalkd://h", "memory:", "expected `spool` to be an embedded queue of this machine"),
        ("beanstalkd://h", "beanstalkd://h", "expected `spool` to be an embedded queue of this machine"),
        ("beanstalkd://h", "fil:x", "did you mean `file:`?"),
        ("file:./one", "file:one", "expected `spool` to be a folder other than that of the queue"),
    ] {
        let mut command = place.command(WORKER, &["stats"]);
        let output = CommandOutput::of({
            command.env("PULPO_QUEUE", queue).env("PULPO_SPOOL", spool);
            command
        });
        assert!(output.code == 1 && output.err.contains(expected), "{spool}: {}", output.err);
    }
}

/// A program that is older than the one that wrote the spool cannot read it. Publications do not pass those that wait.
#[test]
fn a_spool_of_a_newer_version_hides_no_numbers_of_the_queue_and_lets_nothing_pass() {
    let (place, port) = (Sandbox::new(), free_port());
    publish(&place, port, 1);
    let database = || rusqlite::Connection::open(place.path("spool/queue.db")).expect("the spool");
    let change = |version: i64| database().pragma_update(None, "user_version", version).expect("changed");
    let version: i64 = database().pragma_query_value(None, "user_version", |row| row.get(0)).expect("a number");
    change(1000);
    // Both problems are named.
    let stats = run(&place, port, &["stats"]);
    for problem in ["the queue did not take part", "cannot read the spool", "newer pulpo"] {
        assert!(stats.code == 1 && stats.err.contains(problem), "{problem}: {}", stats.err);
    }
    let _server = Options::new().port(port).start();
    let body = r#"{"number": 2}"#;
    let refused = run(&place, port, &["publish", "record", "--body", body]);
    assert!(refused.code == 1 && refused.err.contains("was written by a newer pulpo"), "{}", refused.err);
    let stats = run(&place, port, &["stats", "--json"]);
    let shown: Value = serde_json::from_str(&stats.out).expect("the numbers of the server");
    assert_eq!((stats.code, &shown["counts"], shown.get("spool")), (1, &json!([]), None), "{}", stats.err);
    assert!(stats.err.contains("cannot read the spool") && stats.err.contains("newer pulpo"), "{}", stats.err);
    change(version);
    assert_eq!(run(&place, port, &["spool", "flush"]).code, 0);
    assert!(!publish(&place, port, 2).starts_with("spool/"));
    assert_eq!(as_json(&place, port, 0, &["stats"])["counts"][0]["ready"], 2);
}

/// The server is down for a third of the time, producers and workers are killed, and all
/// acknowledged jobs are done.
#[test]
fn nothing_is_lost_or_stranded_while_the_server_comes_and_goes_and_processes_are_killed() {
    let place = Sandbox::new();
    let binlog = place.path("binlog");
    std::fs::create_dir(&binlog).expect("made");
    let mut server = Options::new().binlog(Path::new(&binlog)).start();
    let port = server.port();
    let mut first = 0;
    let mut producer = || -> Running {
        first += 1_000_000;
        place.start(command(&place, port, PRODUCER, &[&first.to_string()]))
    };
    let worker = || place.start(command(&place, port, WORKER, &["work", "--concurrency", "4"]));
    let (mut producers, mut workers) = (vec![producer(), producer()], vec![worker(), worker()]);
    let acknowledged = || -> HashSet<u64> {
        let text = std::fs::read_to_string(place.path("acknowledged")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    };
    until("they publish", || acknowledged().len() > 10);
    let (began, mut spooled) = (Instant::now(), 0);
    // A machine that is busy elsewhere takes longer to publish as many.
    let is_over = |spooled: usize| match began.elapsed().as_secs() {
        ..8 => false,
        8..60 => spooled > 100,
        60..300 => spooled > 5,
        _ => true,
    };
    while !is_over(spooled) {
        let before = acknowledged().len();
        // Up for twice as long as down.
        let _ = within(Duration::from_millis(600), || false);
        until("publishing goes on", || acknowledged().len() > before);
        producers.remove(0).signal("KILL");
        producers.push(producer());
        server.kill();
        let during = acknowledged().len();
        let _ = within(Duration::from_millis(300), || false);
        spooled += acknowledged().len() - during;
        workers.remove(0).signal("KILL");
        workers.push(worker());
        server.restart();
    }
    for producer in producers {
        producer.signal("KILL");
    }
    assert!(spooled > 5, "publications were acknowledged while no server was there: {spooled}");
    let expected = acknowledged();
    until("nothing is stranded in the spool", || {
        is_empty(&place) && as_json(&place, port, 0, &["spool"])["waiting"] == 0
    });
    let ready = |stats: &Value| stats["counts"].as_array().is_none_or(Vec::is_empty);
    until("nothing is left at the server", || ready(&as_json(&place, port, 0, &["stats"])));
    let done: HashSet<u64> = ran(&place).into_iter().collect();
    let lost: Vec<_> = expected.difference(&done).collect();
    assert!(lost.is_empty(), "lost {} of {}: {lost:?}", lost.len(), expected.len());
    for worker in workers {
        worker.signal("TERM");
        assert_eq!(worker.end(), 0);
    }
}
