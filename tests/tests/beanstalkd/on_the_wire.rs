//! The bytes on connections, and what is left when connections or programs end.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pulpo::clock::SystemClock;
use pulpo::queue::beanstalkd::{BeanstalkdOptions, BeanstalkdQueue};
use pulpo::queue::{DequeueFilter, Filter, Inspection as _, MessageState, NewMessage, QueueAdapter as _, Settlement};
use pulpo_tests::beanstalkd::{BeanstalkdServer, Options, free_port};
use pulpo_tests::http;
use pulpo_tests::program::{CommandOutput, Sandbox};
use pulpo_tests::proxy::Proxy;
use pulpo_tests::wait::{until, within};
use serde_json::{Value, json};

use crate::inspection::use_up_ids;
use crate::reasons::bury;

const WORKER: &str = env!("CARGO_BIN_EXE_worker");
const OPERATOR: &str = env!("CARGO_BIN_EXE_operator_worker");

fn command(place: &Sandbox, port: u16, program: &str, arguments: &[&str]) -> Command {
    let mut command = place.command(program, arguments);
    command.env("PULPO_QUEUE", format!("beanstalkd://127.0.0.1:{port}/pulpo"));
    command
}

fn run(place: &Sandbox, port: u16, arguments: &[&str]) -> CommandOutput {
    CommandOutput::of(command(place, port, WORKER, arguments))
}

fn queue_at(port: u16) -> BeanstalkdQueue {
    BeanstalkdQueue::new(BeanstalkdOptions::new("127.0.0.1").port(port), Arc::new(SystemClock::new()))
}

fn message(text: &str) -> NewMessage {
    NewMessage::new("mail", "type", text)
}

/// Returns the server's answers to these commands, the last of which is `quit`.
fn ask(port: u16, commands: &str) -> String {
    let mut line = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    line.write_all(commands.as_bytes()).unwrap();
    let mut told = String::new();
    line.read_to_string(&mut told).unwrap();
    told
}

#[test]
fn the_first_publication_takes_one_connection_and_two_round_trips() {
    let (place, server) = (Sandbox::new(), BeanstalkdServer::start());
    let trace = place.path("trace");
    let path = trace.display().to_string();
    let calls = "trace=connect,setsockopt,sendto,sendmsg,write,writev,recvfrom,recvmsg,read,readv";
    let publish = ["publish", "record", "--body", r#"{"number": 1}"#];
    let traced = [&["-f", "-yy", "-s", "20", "-e", calls, "-o", &path, WORKER], &publish[..]].concat();
    let said = CommandOutput::of(command(&place, server.port(), "strace", &traced));
    assert_eq!(said.code, 0, "strace is there and may trace: {}", said.err);
    let trace = fs::read_to_string(&trace).unwrap();
    let count = |fits: &dyn Fn(&str) -> bool| trace.lines().filter(|line| fits(line)).count();
    assert_eq!(count(&|line| line.contains(" connect(") && line.contains("sin_port=")), 1, "{trace}");
    let to_server = format!("->127.0.0.1:{}]>", server.port());
    let on_it = |line: &str, names: &[&str]| {
        line.contains(&to_server) && names.iter().any(|name| line.contains(&format!(" {name}(")))
    };
    assert_eq!(count(&|line| on_it(line, &["sendto", "sendmsg", "write", "writev"])), 2, "{trace}");
    for option in ["TCP_NODELAY, [1]", "SO_KEEPALIVE, [1]"] {
        assert_eq!(count(&|line| on_it(line, &["setsockopt"]) && line.contains(option)), 1, "{option}: {trace}");
    }
    // Both happen before the first bytes are sent.
    let first = |fits: &dyn Fn(&str) -> bool| trace.lines().position(fits);
    let sent = first(&|line| on_it(line, &["sendto", "sendmsg", "write", "writev"]));
    assert!(first(&|line| line.contains("TCP_NODELAY, [1]")) < sent, "{trace}");
}

#[test]
fn a_list_that_is_killed_leaves_nothing_behind() {
    let (place, server) = (Sandbox::new(), BeanstalkdServer::start());
    let queue = queue_at(server.port());
    bury(&queue, "old");
    for _ in 0..4 {
        queue.enqueue((0..5000).map(|_| message("{}")).collect()).unwrap();
    }
    drop(queue);
    let left = || {
        let told = ask(server.port(), "stats\r\nlist-tubes\r\nquit\r\n");
        let kept =
            |line: &&str| line.starts_with("current-jobs-") || line.starts_with("cmd-put:") || line.starts_with("- ");
        told.lines().filter(kept).map(str::to_owned).collect::<Vec<_>>()
    };
    let before = left();
    let whole = Instant::now();
    assert_eq!(run(&place, server.port(), &["list", "--state", "buried"]).code, 0);
    let whole = whole.elapsed();
    for part in 1..=12 {
        let list = place.start(command(&place, server.port(), WORKER, &["list", "--state", "buried"]));
        // From its start to its end.
        let _ = within(whole * part / 12, || false);
        list.signal("KILL");
        let _ = list.end_by_signal();
    }
    until("its connections are closed", || {
        ask(server.port(), "stats\r\nquit\r\n").contains("current-connections: 1\n")
    });
    assert_eq!(left(), before);
}

#[test]
fn the_metrics_of_a_worker_beside_a_thousand_tubes_are_those_of_its_own_queues_and_soon_there() {
    let (place, server) = (Sandbox::new(), BeanstalkdServer::start());
    let tubes = (0..1000).map(|tube| NewMessage::new(format!("tube{tube}"), "type", "{}")).collect();
    queue_at(server.port()).enqueue(tubes).unwrap();
    let address: SocketAddr = (Ipv4Addr::LOCALHOST, free_port()).into();
    let listen = ["work", "--listen", &address.to_string()];
    let worker = place.start(command(&place, server.port(), WORKER, &listen));
    until("it is ready", || http::status(address, "/readyz") == 200);
    let before = ask(server.port(), "stats\r\nquit\r\n");
    let started = Instant::now();
    let mut looks = 0;
    // A queue that a busy machine holds up is reported as out of reach.
    until("the queue is measured", || {
        looks += 1;
        let text = http::get(address, "/metrics").map(|(_, text)| text).unwrap_or_default();
        assert!(!text.contains("tube7"), "{text}");
        http::value(&text, "pulpo_queue_reachable") == Some(1.0)
    });
    let took = started.elapsed();
    assert!(took < Duration::from_secs(60), "it took {took:?}");
    let asked = |told: &str| -> u64 {
        told.lines().find_map(|line| line.strip_prefix("cmd-stats-tube: ")).unwrap().parse().unwrap()
    };
    let after = ask(server.port(), "stats\r\nquit\r\n");
    assert!(asked(&after) - asked(&before) < 50 * looks, "not each tube is asked for");
    worker.signal("TERM");
    assert_eq!(worker.end(), 0, "{}", place.log());
}

/// Starts a server whose next id is far ahead, with two messages buried long ago, far from each other, and a new one.
/// The server's binlog contains the ids.
fn with_old_messages(folder: &std::path::Path) -> BeanstalkdServer {
    let mut server = Options::new().binlog(folder).start();
    let queue = queue_at(server.port());
    let typed = r#"{"header": {"request_type": "type"}, "body": {}}"#;
    bury(&queue, "older");
    // A list asks for the ids around those that the server shows.
    use_up_ids(&queue, 5000);
    bury(&queue, "old");
    queue.enqueue(vec![NewMessage::new("newest", "type", typed)]).unwrap();
    server.kill();
    let mut changed = 0;
    for file in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        let mut bytes = fs::read(&file).unwrap();
        let Some(at) = bytes.windows(6).position(|name| name == b"newest") else { continue };
        bytes[at + 6..at + 14].copy_from_slice(&3_000_000_u64.to_ne_bytes());
        fs::write(&file, bytes).unwrap();
        changed += 1;
    }
    assert_eq!(changed, 1, "one record of the message");
    server.restart();
    server
}

#[test]
fn commands_say_what_a_list_could_not_see_and_exit_with_1() {
    let (place, folder) = (Sandbox::new(), tempfile::TempDir::new().unwrap());
    let server = with_old_messages(folder.path());
    let list = run(&place, server.port(), &["list", "--json"]);
    let listed: Vec<Value> = serde_json::from_str(&list.out).unwrap();
    assert_eq!((list.code, listed.len()), (1, 2), "{} {}", list.out, list.err);
    assert_eq!((&listed[0]["id"], &listed[1]), (&json!("3000000"), &json!({"unseen": 2})), "{}", list.out);
    assert!(list.err.contains("2 messages are beyond the reach of this queue"), "{}", list.err);
    // By queue and state, the server does it without a list.
    let kick = run(&place, server.port(), &["kick", "--all", "--json"]);
    let kicked: Value = serde_json::from_str(&kick.out).unwrap();
    assert_eq!((kick.code, &kicked["kicked"]), (0, &json!(2)), "{} {}", kick.out, kick.err);
    // By type, a list is needed, and it sees one message.
    let purge = run(&place, server.port(), &["delete", "--type", "type", "--yes", "--json"]);
    let purged: Value = serde_json::from_str(&purge.out).unwrap();
    assert_eq!((purge.code, &purged["deleted"], &purged["unseen"]), (1, &json!(1), &json!(2)), "{}", purge.err);
}

/// Cuts the second connection, which is the one that publishes, after `AFTER` bytes: 24 are the
/// greeting, 38 the put, and then comes its answer.
fn second<const AFTER: u64>(number: u64) -> u64 {
    if number == 1 { AFTER } else { u64::MAX }
}

#[test]
fn a_follow_up_whose_connection_is_cut_is_put_again_and_its_job_is_done() {
    let cuts: [(u64, pulpo_tests::proxy::Cuts, usize); 7] = [
        (10, second::<10>, 1),
        (20, second::<20>, 1),
        (30, second::<30>, 1),
        (50, second::<50>, 1),
        (61, second::<61>, 1),
        // From here on, the server has the message, and its answer is lost.
        (62, second::<62>, 2),
        (70, second::<70>, 2),
    ];
    for (cut, cuts, copies) in cuts {
        let server = BeanstalkdServer::start();
        let proxy = Proxy::start(server.port(), cuts);
        queue_at(server.port()).enqueue(vec![message("job")]).unwrap();
        let queue = queue_at(proxy.port());
        let mut consumer = queue.consumer(&["mail".to_owned()]).unwrap();
        let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(2)).unwrap().unwrap();
        let mut commit = Settlement::commit_with(vec![NewMessage::new("after", "type", "a follow-up of it")]);
        // As a lane does: repeat the call while the queue is in trouble.
        let error = consumer.settle(&delivery.lease, &mut commit).unwrap_err();
        assert!(error.is_transient(), "cut after {cut} bytes: {error}");
        let job = queue_at(server.port()).peek(&delivery.lease.id).unwrap().unwrap();
        assert_eq!(job.state, MessageState::Reserved, "cut after {cut} bytes: it is not lost");
        consumer.settle(&delivery.lease, &mut commit).unwrap();
        assert_eq!(proxy.connections(), 3, "cut after {cut} bytes");
        let left = queue_at(server.port()).list(&Filter::all()).unwrap();
        let queues: Vec<_> = left.iter().map(|message| message.queue.as_str()).collect();
        assert_eq!(queues, vec!["after"; copies], "cut after {cut} bytes");
    }
}

/// In a worker, with one attempt.
#[test]
fn a_job_whose_follow_up_is_cut_off_is_neither_run_again_nor_buried() {
    // Cut the second to fourth connections. The first one takes and settles.
    let cuts: [pulpo_tests::proxy::Cuts; 2] = [
        |number| if (1..4).contains(&number) { 60 } else { u64::MAX },
        |number| if (1..4).contains(&number) { 24 } else { u64::MAX },
    ];
    for cuts in cuts {
        let (place, server) = (Sandbox::new(), BeanstalkdServer::start());
        let proxy = Proxy::start(server.port(), cuts);
        let talk =
            CommandOutput::of(command(&place, server.port(), OPERATOR, &["publish", "talk", "--body", "\"hi\""]));
        assert_eq!(talk.code, 0, "{}", talk.err);
        let mut work = command(&place, proxy.port(), OPERATOR, &["work", "--concurrency", "1"]);
        work.env("PULPO_HANDLERS__TALK__MAX_ATTEMPTS", "1");
        let worker = place.start(work);
        until("the follow-up is done", || place.record().contains("hi "));
        let stats = || {
            let told = run(&place, server.port(), &["stats", "--json"]);
            serde_json::from_str::<Value>(&told.out).unwrap()["counts"].clone()
        };
        until("nothing is left", || stats() == json!([]));
        worker.signal("TERM");
        assert_eq!(worker.end(), 0, "{}", place.log());
        assert_eq!(place.log().matches("talking").count(), 1, "it ran once: {}", place.log());
        assert!(place.log().contains("cannot settle a message, trying again"), "it was cut: {}", place.log());
    }
}
