//! Several servers as one queue.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pulpo::clock::SystemClock;
use pulpo::queue::beanstalkd::{BeanstalkdOptions, BeanstalkdQueue};
use pulpo::queue::several::Several;
use pulpo::queue::{
    Consumer, DequeueFilter, Filter, Inspection, MessageState, NewMessage, QueueAdapter, QueueError, Settlement,
};
use pulpo_tests::beanstalkd::{BeanstalkdServer, Options, free_port};
use pulpo_tests::http::{self, ANYWHERE};
use pulpo_tests::program::{CommandOutput, Sandbox};
use pulpo_tests::proxy::Proxy;
use pulpo_tests::wait::{until, within};
use serde_json::{Value, json};

use crate::slow::server_stat;

const WORKER: &str = env!("CARGO_BIN_EXE_worker");
const CRASHING: &str = env!("CARGO_BIN_EXE_crashing_worker");
const PRODUCER: &str = env!("CARGO_BIN_EXE_spooling_producer");

fn adapter(port: u16) -> Arc<dyn QueueAdapter> {
    let options = BeanstalkdOptions::new("127.0.0.1").port(port).socket_timeout(Duration::from_secs(5));
    Arc::new(BeanstalkdQueue::new(options, Arc::new(SystemClock::new())))
}

fn several(ports: &[u16]) -> Several {
    Several::new(ports.iter().map(|port| (format!("s{port}:{port}"), adapter(*port))).collect())
}

fn url(ports: &[u16]) -> String {
    let servers: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("beanstalkd://{}/pulpo", servers.join(","))
}

fn message(text: &str) -> NewMessage {
    NewMessage::new("pulpo", "record", text)
}

fn take(consumer: &mut dyn Consumer, wait: Duration) -> Option<pulpo::queue::Delivery> {
    consumer.dequeue(&DequeueFilter::all(), wait).unwrap()
}

#[test]
fn publications_go_round_and_lanes_take_from_all() {
    let servers = [BeanstalkdServer::start(), BeanstalkdServer::start(), BeanstalkdServer::start()];
    let ports = [servers[0].port(), servers[1].port(), servers[2].port()];
    let queue = several(&ports);
    let ids: HashSet<_> =
        (0..30).map(|number| queue.enqueue(vec![message(&number.to_string())]).unwrap().remove(0).id).collect();
    for port in ports {
        assert_eq!(ids.iter().filter(|id| id.as_str().starts_with(&format!("s{port}:{port}/"))).count(), 10);
    }
    assert_eq!(queue.stats().unwrap().counts[0].ready, 30);
    let mut consumer = queue.consumer(&["pulpo".to_owned()]).unwrap();
    let mut taken = HashSet::new();
    for _ in 0..30 {
        let delivery = take(&mut *consumer, Duration::from_secs(5)).expect("one more");
        assert_eq!(queue.peek(&delivery.lease.id).unwrap().unwrap().state, MessageState::Reserved);
        consumer.settle(&delivery.lease, &mut Settlement::commit()).unwrap();
        taken.insert(delivery.lease.id);
    }
    assert_eq!(taken, ids);
    assert_eq!(take(&mut *consumer, Duration::ZERO).map(|delivery| delivery.lease.id), None);
}

#[test]
fn an_idle_lane_picks_up_from_each_server_at_once() {
    let servers = [BeanstalkdServer::start(), BeanstalkdServer::start(), BeanstalkdServer::start()];
    let ports = [servers[0].port(), servers[1].port(), servers[2].port()];
    let queue = several(&ports);
    let mut consumer = queue.consumer(&["pulpo".to_owned()]).unwrap();
    let mut waits = Vec::new();
    std::thread::scope(|scope| {
        for round in 0..9 {
            let port = ports[round % 3];
            let published = scope.spawn(move || {
                // By then, the lane waits.
                std::thread::park_timeout(Duration::from_millis(150));
                adapter(port).enqueue(vec![message("x")]).unwrap();
                Instant::now()
            });
            let delivery = take(&mut *consumer, Duration::from_secs(60)).expect("a job");
            let taken = Instant::now();
            waits.push(taken.saturating_duration_since(published.join().unwrap()));
            consumer.settle(&delivery.lease, &mut Settlement::commit()).unwrap();
        }
    });
    waits.sort();
    // A lane that looked when it is tired of waiting would wait for most of a second.
    assert!(waits[4] < Duration::from_millis(400), "{waits:?}");
}

fn reserved(port: u16) -> u64 {
    adapter(port).stats().unwrap().counts.iter().map(|counts| counts.reserved).sum()
}

/// A deferred commit is sent with the next request to its server, and the next job may be long and
/// on another server.
#[test]
fn a_job_done_at_one_server_is_deleted_before_a_job_of_another_begins() {
    let servers = [BeanstalkdServer::start(), BeanstalkdServer::start(), BeanstalkdServer::start()];
    let ports = [servers[0].port(), servers[1].port(), servers[2].port()];
    for done_at_once in [1, 2, 5] {
        let queue = several(&ports);
        for number in 0..9 {
            queue.enqueue(vec![message(&number.to_string())]).unwrap();
        }
        let mut consumer = queue.consumer(&["pulpo".to_owned()]).unwrap();
        let mut left = 9;
        while left > 0 {
            // A batch is settled when all of its jobs have run.
            let together: Vec<_> = (0..done_at_once.min(left))
                .map(|_| take(&mut *consumer, Duration::from_secs(5)).expect("one more").lease)
                .collect();
            let before: u64 = ports.iter().map(|port| reserved(*port)).sum();
            assert_eq!(before, together.len() as u64, "what was done before is deleted");
            for lease in &together {
                consumer.settle(lease, &mut Settlement::deferrable_commit()).unwrap();
            }
            left -= together.len();
        }
        assert_eq!(take(&mut *consumer, Duration::ZERO).map(|delivery| delivery.lease.id), None);
        assert_eq!(queue.stats().unwrap().total(), 0, "a look that finds nothing settles too");
    }
}

#[test]
fn a_lane_with_short_jobs_at_one_server_takes_from_the_others_too() {
    let servers = [BeanstalkdServer::start(), BeanstalkdServer::start()];
    let queue = several(&[servers[0].port(), servers[1].port()]);
    for server in &servers {
        adapter(server.port()).enqueue((0..100).map(|number| message(&number.to_string())).collect()).unwrap();
    }
    let mut consumer = queue.consumer(&["pulpo".to_owned()]).unwrap();
    let mut from = [0; 2];
    for _ in 0..100 {
        let delivery = take(&mut *consumer, Duration::from_secs(5)).expect("one more");
        from[usize::from(delivery.lease.id.as_str().starts_with(&format!("s{}:", servers[1].port())))] += 1;
        consumer.settle(&delivery.lease, &mut Settlement::deferrable_commit()).unwrap();
    }
    assert!(from.iter().all(|count| *count >= 30), "{from:?}");
}

#[test]
fn a_server_that_is_away_or_drains_is_passed_over() {
    let server = BeanstalkdServer::start();
    let queue = several(&[free_port(), server.port(), free_port()]);
    for number in 0..20 {
        queue.enqueue(vec![message(&number.to_string())]).unwrap();
    }
    let batch = (0..20).map(|number| message(&number.to_string())).collect();
    assert_eq!(queue.enqueue(batch).unwrap().len(), 20);
    assert_eq!(queue.stats().unwrap().counts[0].ready, 40);
    // A draining server is skipped too, and is emptied.
    let other = BeanstalkdServer::start();
    let queue = several(&[server.port(), other.port()]);
    server.signal("USR1");
    for _ in 0..10 {
        let id = queue.enqueue(vec![message("x")]).unwrap().remove(0).id;
        assert!(id.as_str().starts_with(&format!("s{}:", other.port())), "{id}");
    }
    let mut consumer = queue.consumer(&["pulpo".to_owned()]).unwrap();
    for _ in 0..50 {
        let delivery = take(&mut *consumer, Duration::from_secs(5)).expect("one more");
        consumer.settle(&delivery.lease, &mut Settlement::commit()).unwrap();
    }
    // All servers are down.
    let queue = several(&[free_port(), free_port()]);
    let error = queue.enqueue(vec![message("x")]).unwrap_err();
    assert!(matches!(error, QueueError::Unavailable { .. }), "{error:?}");
    let mut consumer = queue.consumer(&["pulpo".to_owned()]).unwrap();
    let error = consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(10)).unwrap_err();
    assert!(matches!(error, QueueError::Unavailable { .. }), "{error:?}");
}

#[test]
fn after_an_unknown_outcome_no_other_server_gets_the_message() {
    let (one, other) = (BeanstalkdServer::start(), BeanstalkdServer::start());
    // After the greeting, and before the answer to a publication.
    let proxy = Proxy::start(one.port(), |_| 46);
    let queue = several(&[proxy.port(), other.port()]);
    let sent: Vec<_> = (0..2).map(|number| queue.enqueue(vec![message(&number.to_string())])).collect();
    let unknown = |result: &Result<_, _>| matches!(result, Err(QueueError::UnknownOutcome { .. }));
    assert_eq!(sent.iter().filter(|result| unknown(result)).count(), 1, "{sent:?}");
    assert_eq!(sent.iter().filter(|result| result.is_ok()).count(), 1, "{sent:?}");
    assert_eq!(adapter(other.port()).stats().unwrap().counts[0].ready, 1);
}

#[test]
fn a_list_goes_on_after_any_of_its_messages() {
    let servers = [BeanstalkdServer::start(), BeanstalkdServer::start()];
    let queue = several(&[servers[0].port(), servers[1].port()]);
    for number in 0..11 {
        queue.enqueue(vec![message(&number.to_string())]).unwrap();
    }
    let all: Vec<_> = queue.list(&Filter::all()).unwrap().into_iter().map(|message| message.id).collect();
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 11);
    let mut paged = Vec::new();
    loop {
        let mut filter = Filter::all().limit(3);
        filter.after = paged.last().cloned();
        let page = queue.list(&filter).unwrap();
        paged.extend(page.iter().map(|message| message.id.clone()));
        if page.len() < 3 {
            break;
        }
    }
    assert_eq!(paged, all);
    assert_eq!(queue.delete(&Filter::all().ids(all[..4].iter().cloned())).unwrap(), 4);
    assert_eq!(queue.delete(&Filter::all().limit(5)).unwrap(), 5);
    assert_eq!(queue.stats().unwrap().counts[0].ready, 2);
}

fn run(place: &Sandbox, ports: &[u16], arguments: &[&str]) -> CommandOutput {
    CommandOutput::of(command(place, ports, WORKER, arguments))
}

fn command(place: &Sandbox, ports: &[u16], program: &str, arguments: &[&str]) -> Command {
    let mut command = place.command(program, arguments);
    command
        .env("PULPO_QUEUE", url(ports))
        .env("PULPO_BEANSTALKD_QUEUE_ADAPTER__SOCKET_TIMEOUT", "5")
        .env("ACKNOWLEDGED", place.path("acknowledged"));
    command
}

#[test]
fn commands_print_the_answers_of_the_others_and_name_the_one_that_is_away() {
    let place = Sandbox::new();
    let (one, mut two) = (BeanstalkdServer::start(), BeanstalkdServer::start());
    let ports = [one.port(), two.port()];
    for number in 0..4 {
        let body = format!(r#"{{"number": {number}}}"#);
        assert_eq!(run(&place, &ports, &["publish", "record", "--body", &body]).code, 0);
    }
    let all = run(&place, &ports, &["list", "--json"]);
    let here = format!("127.0.0.1:{}/", ports[0]);
    let ids: Vec<Value> = serde_json::from_str(&all.out).unwrap();
    assert_eq!((all.code, ids.len()), (0, 4), "{}", all.err);
    let config = run(&place, &ports, &["config"]);
    assert!(config.out.contains(&url(&ports)), "{}", config.out);
    two.kill();
    let left = ids.iter().filter(|message| message["id"].as_str().unwrap().starts_with(&here)).count();
    let list = run(&place, &ports, &["list", "--json"]);
    let listed: Vec<Value> = serde_json::from_str(&list.out).unwrap();
    let away = format!("127.0.0.1:{}: cannot", ports[1]);
    assert_eq!((list.code, listed.len(), list.err.contains(&away)), (1, left, true), "{}", list.err);
    let stats = run(&place, &ports, &["stats", "--json"]);
    let shown: Value = serde_json::from_str(&stats.out).unwrap();
    assert_eq!((stats.code, &shown["unreachable"][0]["server"]), (1, &json!(format!("127.0.0.1:{}", ports[1]))));
    assert!(stats.err.contains(&away), "{}", stats.err);
    let pause = run(&place, &ports, &["pause", "pulpo"]);
    assert!(
        left == 0 || pause.code == 1 && pause.out.contains("paused pulpo") && pause.err.contains(&away),
        "{}",
        pause.err
    );
    let purge = run(&place, &ports, &["purge", "--all", "--yes", "--json"]);
    let purged: Value = serde_json::from_str(&purge.out).unwrap();
    assert_eq!((purge.code, &purged["deleted"], purge.err.contains(&away)), (1, &json!(left), true), "{}", purge.err);
    // Publishing and checking still work.
    assert_eq!(run(&place, &ports, &["publish", "record", "--body", r#"{"number": 9}"#]).code, 0);
    assert_eq!(run(&place, &ports, &["check"]).code, 0);
}

/// Returns the output of `config` for this queue, or the reason why it is rejected.
fn configured(queue: &str) -> CommandOutput {
    let place = Sandbox::new();
    let mut command = place.command(WORKER, &["config", "--json"]);
    command.env("PULPO_QUEUE", queue);
    CommandOutput::of(command)
}

#[test]
fn a_list_of_servers_is_read_or_refused_in_words() {
    for (queue, expected) in [
        ("beanstalkd://a,a:11300", "one of the servers is named twice"),
        ("beanstalkd://A:11301,a:11301", "one of the servers is named twice"),
        ("beanstalkd://[::1],[0:0:0:0:0:0:0:1]", "one of the servers is named twice"),
        ("beanstalkd://a:11300,a:011300", "one of the servers is named twice"),
        ("beanstalkd://a,", "the host is missing"),
        ("beanstalkd://,a", "the host is missing"),
        ("beanstalkd://a,,b", "the host is missing"),
        ("beanstalkd://a, b", "expected the name or the address of a host"),
        ("beanstalkd://a,b:x", "expected a port from 1 to 65535"),
        ("beanstalkd://a:0,b", "expected a port from 1 to 65535"),
        ("beanstalkd://::1,b", "put an IPv6 address in brackets"),
        ("beanstalkd://[::1,b", "a bracket is not closed"),
        ("beanstalkd://a/one,b/two", "expected one tube, after the last of the servers"),
        ("beanstalkd://a,user:secret@b", "beanstalkd has no users"),
    ] {
        let said = configured(queue);
        assert!(said.code == 1 && said.err.contains(expected), "{queue}: {} {}", said.out, said.err);
        assert!(!said.err.contains("secret"), "{queue}: {}", said.err);
    }
    for (queue, read) in [
        ("beanstalkd://a,b", "beanstalkd://a:11300,b:11300/pulpo"),
        ("beanstalkd://a:1,b:2,a:3/mail", "beanstalkd://a:1,b:2,a:3/mail"),
        ("beanstalkd://[::1],[::2]:7,h", "beanstalkd://[::1]:11300,[::2]:7,h:11300/pulpo"),
    ] {
        let said = configured(queue);
        assert!(said.code == 0 && said.out.contains(&format!("{read:?}")), "{queue}: {} {}", said.out, said.err);
    }
}

/// Starts workers, one after the other, until one of them does not die. Returns how many died.
fn supervise(place: &Sandbox, ports: &[u16], lanes: &str) -> usize {
    for deaths in 0..10 {
        let mut worker = place.start(command(place, ports, CRASHING, &["work", "--concurrency", lanes]));
        let over = || worker.has_ended() || listed(place, ports).iter().all(|message| message["state"] == "buried");
        assert!(within(Duration::from_secs(120), over), "{:?}\n{}", listed(place, ports), place.log());
        if !worker.has_ended() {
            worker.signal("TERM");
            assert_eq!(worker.end(), 0);
            return deaths;
        }
    }
    panic!("it has no end: {:?}\n{}", listed(place, ports), place.log());
}

fn listed(place: &Sandbox, ports: &[u16]) -> Vec<Value> {
    let said = run(place, ports, &["list", "--json", "--limit", "0"]);
    assert_eq!(said.code, 0, "{}", said.err);
    serde_json::from_str(&said.out).unwrap()
}

#[test]
fn deaths_are_counted_exactly_with_three_servers() {
    let place = Sandbox::new();
    let servers = [BeanstalkdServer::start(), BeanstalkdServer::start(), BeanstalkdServer::start()];
    let ports = [servers[0].port(), servers[1].port(), servers[2].port()];
    // As in `deaths.rs`, the variable asks for more.
    let all = std::env::var_os("PULPO_DEATHS").is_some();
    for lanes in if all { &["1", "4", "16", "64"][..] } else { &["1", "16"] } {
        let before = place.record().lines().filter(|line| line.starts_with("abort")).count();
        let published = CommandOutput::of(command(&place, &ports, CRASHING, &["publish", "abort", "--body", "{}"]));
        assert_eq!(published.code, 0, "{}", published.err);
        assert_eq!(supervise(&place, &ports, lanes), 3, "{lanes} lanes: {}", place.record());
        let runs = place.record().lines().filter(|line| line.starts_with("abort")).count() - before;
        assert_eq!(runs, 3, "{lanes} lanes");
        let buried = listed(&place, &ports);
        let reason = buried[0]["last_error"].as_str().unwrap();
        assert!(reason.starts_with("its worker died 3 times"), "{lanes} lanes: {reason}");
        assert_eq!(run(&place, &ports, &["purge", "--all", "--yes"]).code, 0);
    }
}

#[test]
fn jobs_in_hand_lose_one_attempt_at_a_kill_and_those_that_wait_at_three_servers_lose_none() {
    let place = Sandbox::new();
    let servers = [BeanstalkdServer::start(), BeanstalkdServer::start(), BeanstalkdServer::start()];
    let ports = [servers[0].port(), servers[1].port(), servers[2].port()];
    let begun = || place.record().lines().filter(|line| line.contains("begun")).count();
    for number in 0..6 {
        let body = format!(r#"{{"name": "job{number}", "then": "ok"}}"#);
        let held = CommandOutput::of(command(&place, &ports, CRASHING, &["publish", "held", "--body", &body]));
        assert_eq!(held.code, 0, "{}", held.err);
    }
    let worker = place.start(command(&place, &ports, CRASHING, &["work", "--concurrency", "4"]));
    until("four have begun", || begun() == 4);
    worker.signal("KILL");
    worker.end();
    let mut attempts: Vec<_> =
        listed(&place, &ports).iter().filter_map(|message| message["attempts"].as_u64()).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [0, 0, 1, 1, 1, 1]);
}

#[test]
fn a_spool_keeps_what_no_server_takes_and_sends_it_to_the_first_that_is_back() {
    let place = Sandbox::new();
    let ports = [free_port(), free_port()];
    let spooling = |arguments: &[&str]| {
        let mut command = command(&place, &ports, WORKER, arguments);
        command.env("PULPO_SPOOL", "file:./spool");
        CommandOutput::of(command)
    };
    for number in 0..3 {
        let said = spooling(&["publish", "record", "--body", &format!(r#"{{"number": {number}}}"#)]);
        assert!(said.code == 0 && said.out.contains("spool/"), "{} {}", said.out, said.err);
    }
    let server = Options::new().port(ports[1]).start();
    let flushed = spooling(&["spool", "flush"]);
    assert_eq!(flushed.code, 0, "{}", flushed.err);
    let list = spooling(&["list", "--json"]);
    let messages: Vec<Value> = serde_json::from_str(&list.out).unwrap();
    assert_eq!((list.code, messages.len()), (1, 3), "{}", list.err);
    let here = format!("127.0.0.1:{}/", server.port());
    assert!(messages.iter().all(|message| message["id"].as_str().unwrap().starts_with(&here)), "{}", list.out);
}

#[test]
fn a_message_at_a_server_that_is_away_is_not_reported_as_gone() {
    let (one, mut two) = (BeanstalkdServer::start(), BeanstalkdServer::start());
    let queue = several(&[one.port(), two.port()]);
    let mut ids: Vec<_> = (0..2).map(|_| queue.enqueue(vec![message("x")]).unwrap().remove(0).id).collect();
    ids.sort_by_key(|id| !id.as_str().starts_with(&format!("s{}:", one.port())));
    two.kill();
    assert!(queue.peek(&ids[0]).unwrap().is_some());
    let error = queue.peek(&ids[1]).unwrap_err();
    assert!(matches!(error, QueueError::Unavailable { .. }), "{error:?}");
    assert_eq!(queue.delete(&Filter::all().ids(ids.clone())).unwrap(), 1);
    let away = queue.take_unreachable();
    assert_eq!(away.len(), 1);
    assert_eq!(away[0].server, format!("s{0}:{0}", two.port()));
    assert_eq!(queue.take_unreachable(), []);
}

#[test]
fn a_pause_names_a_server_that_does_not_know_the_queue() {
    let (one, two) = (BeanstalkdServer::start(), BeanstalkdServer::start());
    let queue = several(&[one.port(), two.port()]);
    adapter(one.port()).enqueue(vec![message("x")]).unwrap();
    queue.pause("pulpo", Duration::from_secs(60)).unwrap();
    let named = queue.take_unreachable();
    assert_eq!(named.len(), 1);
    assert_eq!(named[0].server, format!("s{0}:{0}", two.port()));
    assert!(named[0].error.contains("has no queue \"pulpo\""), "{}", named[0].error);
    // With a consumer, all servers know the tube.
    let mut consumer = queue.consumer(&["pulpo".to_owned()]).unwrap();
    assert!(take(&mut *consumer, Duration::ZERO).is_none());
    queue.pause("pulpo", Duration::from_secs(60)).unwrap();
    assert_eq!(queue.take_unreachable(), []);
    adapter(two.port()).enqueue(vec![message("y")]).unwrap();
    assert!(take(&mut *consumer, Duration::ZERO).is_none());
    queue.pause("pulpo", Duration::ZERO).unwrap();
    assert!(take(&mut *consumer, Duration::ZERO).is_some());
    assert!(matches!(queue.pause("nowhere", Duration::from_secs(1)), Err(QueueError::NoSuchQueue { .. })));
}

/// Three servers and the programs are each killed and restarted at random.
#[test]
fn nothing_is_lost_or_stranded_while_three_servers_are_killed_and_started_again() {
    let place = Sandbox::new();
    let mut servers: Vec<_> = (0..3)
        .map(|number| {
            let binlog = place.path(&format!("binlog{number}"));
            std::fs::create_dir(&binlog).unwrap();
            Options::new().binlog(Path::new(&binlog)).start()
        })
        .collect();
    let ports: Vec<_> = servers.iter().map(BeanstalkdServer::port).collect();
    let mut first = 0;
    let mut producer = || {
        first += 1_000_000;
        place.start(command(&place, &ports, PRODUCER, &[&first.to_string()]))
    };
    let worker = || place.start(command(&place, &ports, WORKER, &["work", "--concurrency", "4"]));
    let (mut producers, mut workers) = (vec![producer(), producer()], vec![worker(), worker()]);
    let acknowledged = || -> HashSet<u64> {
        let text = std::fs::read_to_string(place.path("acknowledged")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    };
    until("they publish", || acknowledged().len() > 10);
    let began = Instant::now();
    let mut random = fastrand::Rng::with_seed(7);
    // A machine that is busy elsewhere takes longer to publish as many.
    let is_over = || match began.elapsed().as_secs() {
        ..8 => false,
        8..90 => acknowledged().len() > 200,
        _ => true,
    };
    while !is_over() {
        let one = random.usize(..3);
        servers[one].kill();
        let _ = within(Duration::from_millis(random.u64(50..400)), || false);
        if random.bool() {
            workers.remove(0).signal("KILL");
            workers.push(worker());
        } else {
            producers.remove(0).signal("KILL");
            producers.push(producer());
        }
        servers[one].restart();
        let _ = within(Duration::from_millis(random.u64(50..400)), || false);
    }
    until("they have published enough", || acknowledged().len() > 200);
    for producer in producers {
        producer.signal("KILL");
    }
    let expected = acknowledged();
    assert!(expected.len() > 200, "{}", expected.len());
    let queues: Vec<_> = ports.iter().map(|port| adapter(*port)).collect();
    until("nothing is left at any server", || {
        queues.iter().all(|queue| queue.stats().is_ok_and(|stats| stats.counts.is_empty()))
    });
    let done: HashSet<u64> = place.record().lines().filter_map(|line| line.split(' ').nth(2)?.parse().ok()).collect();
    let lost: Vec<_> = expected.difference(&done).collect();
    assert!(lost.is_empty(), "lost {} of {}: {lost:?}", lost.len(), expected.len());
    for worker in workers {
        worker.signal("TERM");
        assert_eq!(worker.end(), 0, "{}", place.log());
    }
}

/// Starts a server that speaks another protocol.
fn of_another_protocol() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let _ = client.read(&mut [0; 4096]);
                let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
            });
        }
    });
    port
}

#[test]
fn a_server_that_speaks_another_protocol_does_not_disturb_the_others() {
    let (good, bad) = (BeanstalkdServer::start(), of_another_protocol());
    let queue = several(&[bad, good.port()]);
    for number in 0..20 {
        queue.enqueue(vec![message(&number.to_string())]).unwrap();
    }
    let mut consumer = several(&[bad, good.port()]).consumer(&["pulpo".to_owned()]).unwrap();
    for _ in 0..20 {
        let delivery = take(&mut *consumer, Duration::from_secs(5)).expect("one more");
        consumer.settle(&delivery.lease, &mut Settlement::commit()).unwrap();
    }
    let stats = queue.stats().unwrap();
    assert_eq!((stats.total(), stats.unreachable.len()), (0, 1));
    assert_eq!(stats.unreachable[0].server, format!("s{bad}:{bad}"));
    assert!(stats.unreachable[0].error.contains("HTTP/1.1 400 Bad Request"), "{}", stats.unreachable[0].error);
    // Behind a spool, this is an outage, too: a proxy may answer while the server is away.
    let place = Sandbox::new();
    let mut publish = command(&place, &[bad], WORKER, &["publish", "record", "--body", r#"{"number": 1}"#]);
    publish.env("PULPO_SPOOL", "file:./spool");
    let said = CommandOutput::of(publish);
    assert!(said.code == 0 && said.out.contains("spool/1"), "{} {}", said.out, said.err);
}

/// An adapter whose consumers fail for good.
#[derive(Debug)]
struct Refusing(Arc<dyn QueueAdapter>);

struct RefusingConsumer;

impl Consumer for RefusingConsumer {
    fn dequeue(&mut self, _: &DequeueFilter, _: Duration) -> Result<Option<pulpo::queue::Delivery>, QueueError> {
        Err(QueueError::Unsupported("be worked"))
    }

    fn settle(&mut self, lease: &pulpo::queue::Lease, _: &mut Settlement) -> Result<(), QueueError> {
        Err(QueueError::LeaseLost { id: lease.id.clone() })
    }

    fn touch(&mut self, leases: &[pulpo::queue::Lease]) -> Result<Vec<pulpo::queue::Lease>, QueueError> {
        Ok(leases.to_vec())
    }
}

impl QueueAdapter for Refusing {
    fn capabilities(&self) -> pulpo::queue::Capabilities {
        self.0.capabilities()
    }

    fn enqueue(&self, messages: Vec<NewMessage>) -> Result<Vec<pulpo::queue::Enqueued>, QueueError> {
        self.0.enqueue(messages)
    }

    fn consumer(&self, _: &[String]) -> Result<Box<dyn Consumer>, QueueError> {
        Ok(Box::new(RefusingConsumer))
    }

    fn interrupt(&self) {
        self.0.interrupt();
    }
}

pulpo_tests::inspect_through!(Refusing, 0);

#[test]
fn a_server_that_refuses_to_be_worked_does_not_stop_the_work_of_the_others() {
    let (one, two) = (BeanstalkdServer::start(), BeanstalkdServer::start());
    let refusing: Arc<dyn QueueAdapter> = Arc::new(Refusing(adapter(one.port())));
    let queue = Several::new(vec![("one".to_owned(), refusing), ("two".to_owned(), adapter(two.port()))]);
    adapter(two.port()).enqueue((0..20).map(|number| message(&number.to_string())).collect()).unwrap();
    let mut consumer = queue.consumer(&["pulpo".to_owned()]).unwrap();
    let (mut taken, mut refused) = (0, 0);
    while taken < 20 {
        match consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(5)) {
            Ok(Some(delivery)) => {
                consumer.settle(&delivery.lease, &mut Settlement::commit()).unwrap();
                taken += 1;
            }
            Ok(None) => panic!("no job, after {taken}"),
            Err(error) => {
                assert!(matches!(error, QueueError::Unsupported(_)), "{error:?}");
                refused += 1;
                assert!(refused <= taken + 1, "it is asked again and again: {refused} times for {taken} jobs");
            }
        }
    }
}

/// Returns the longest and the middle one.
fn longest_and_middle(mut took: Vec<Duration>) -> (Duration, Duration) {
    took.sort();
    (took[took.len() - 1], took[took.len() / 2])
}

/// The timeout of a server is five seconds, and each failure takes that long.
const NO_FAILURE: Duration = Duration::from_millis(4900);

#[test]
fn a_server_that_never_answers_delays_no_caller_after_its_first_failure() {
    let servers = [BeanstalkdServer::start(), BeanstalkdServer::start()];
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let ports = [servers[0].port(), silent.local_addr().unwrap().port(), servers[1].port()];
    let queue = several(&ports);
    // One of these is the first failure.
    (0..3).for_each(|_| _ = queue.enqueue(vec![message("x")]).unwrap());
    let publish = |_| {
        let began = Instant::now();
        queue.enqueue(vec![message("x")]).unwrap();
        began.elapsed()
    };
    let (longest, middle) = longest_and_middle((0..200).map(publish).collect());
    assert!(longest < NO_FAILURE && middle < Duration::from_millis(200), "{longest:?} {middle:?}");
    let working = several(&ports);
    let mut consumer = working.consumer(&["pulpo".to_owned()]).unwrap();
    let mut job = |_| {
        let began = Instant::now();
        let delivery = take(&mut *consumer, Duration::from_secs(20)).expect("one more");
        consumer.settle(&delivery.lease, &mut Settlement::commit()).unwrap();
        began.elapsed()
    };
    (0..3).map(&mut job).for_each(drop);
    let (longest, middle) = longest_and_middle((0..200).map(job).collect());
    assert!(longest < NO_FAILURE && middle < Duration::from_millis(200), "{longest:?} {middle:?}");
    // It takes no part, and the answer does not wait for it either.
    let began = Instant::now();
    let stats = queue.stats().unwrap();
    assert_eq!((stats.total(), stats.unreachable.len()), (0, 1));
    assert!(stats.unreachable[0].error.ends_with("it did not answer within 5s"), "{}", stats.unreachable[0].error);
    assert!(began.elapsed() < NO_FAILURE, "{:?}", began.elapsed());

    let place = Sandbox::new();
    let worker = place.start(command(&place, &ports, WORKER, &[&["work"], &ANYWHERE[..]].concat()));
    let address = http::address(&place);
    until("it is ready", || http::status(address, "/readyz") == 200);
    // It gives an answer after two seconds, which a machine that is busy with other things may need now and then.
    let answers = (0..20).map(|_| http::get(address, "/readyz"));
    let ready = answers.filter(|answer| *answer == Some((200, "ready\n".to_owned()))).count();
    assert!(ready >= 15, "{ready} of 20 times");
    let shows = |name: &str, expected: f64| {
        let shown = || http::get(address, "/metrics").and_then(|(_, text)| http::value(&text, name));
        until(name, || shown() == Some(expected));
    };
    shows("pulpo_queue_servers_unreachable", 1.0);
    shows("pulpo_queue_reachable", 1.0);
    assert_eq!(place.log().matches("a server is not available").count(), 1, "{}", place.log());
    worker.signal("TERM");
    assert_eq!(worker.end(), 0, "{}", place.log());
}

#[test]
fn a_server_that_stood_still_is_used_again_when_it_goes_on() {
    let servers = [BeanstalkdServer::start(), BeanstalkdServer::start()];
    let ports = [servers[0].port(), servers[1].port()];
    let queue = several(&ports);
    let mut consumer = queue.consumer(&["pulpo".to_owned()]).unwrap();
    assert!(take(&mut *consumer, Duration::ZERO).is_none());
    servers[1].signal("STOP");
    // One at least has no answer, and is perhaps there.
    let failed = (0..4).filter(|_| queue.enqueue(vec![message("x")]).is_err()).count();
    assert!(failed <= 1, "{failed} publications failed");
    until("it is known to be away", || !queue.stats().unwrap().unreachable.is_empty());
    servers[1].signal("CONT");
    until("it takes part again", || queue.stats().unwrap().unreachable.is_empty());
    let its = |queue: &Several| {
        let id = queue.enqueue(vec![message("x")]).unwrap().remove(0).id;
        id.as_str().starts_with(&format!("s{}:", ports[1]))
    };
    until("publications go there again", || its(&queue));
    until("all is worked off", || {
        if let Ok(Some(delivery)) = consumer.dequeue(&DequeueFilter::all(), Duration::from_millis(100)) {
            consumer.settle(&delivery.lease, &mut Settlement::commit()).unwrap();
        }
        queue.stats().is_ok_and(|stats| stats.total() == 0)
    });
}

#[test]
fn one_server_under_two_names_is_refused_by_all_that_count_or_work() {
    let place = Sandbox::new();
    let (server, other) = (BeanstalkdServer::start(), BeanstalkdServer::start());
    let proxy = pulpo_tests::proxy::Line::new().start(server.port());
    let (port, second) = (server.port(), proxy.port());
    for (first, again) in [
        (format!("127.0.0.1:{port}"), format!("localhost:{port}")),
        (format!("127.0.0.1:{port}"), format!("127.0.0.1:{second}")),
        (format!("localhost:{port}"), format!("127.1:{port}")),
    ] {
        let run = |arguments: &[&str]| {
            let mut command = place.command(WORKER, arguments);
            let queue = format!("beanstalkd://{first},127.0.0.1:{},{again}/pulpo", other.port());
            CommandOutput::of({
                command.env("PULPO_QUEUE", queue);
                command
            })
        };
        let expected = format!("{first} and {again} are one server: name it once");
        for arguments in [&["check"][..], &["work"], &["list"], &["stats"], &["purge", "--all", "--yes"]] {
            let said = run(arguments);
            assert!(said.code == 1, "{arguments:?}: {} {}", said.out, said.err);
            assert!(said.out.contains(&expected) || said.err.contains(&expected), "{arguments:?}: {said:?}");
        }
        // A publication goes to one of them, whatever its name.
        let said = run(&["publish", "record", "--body", r#"{"number": 1}"#]);
        assert_eq!(said.code, 0, "{}", said.err);
    }
}

/// Forwards connections to the server on a port that can be changed, which ends the connections so far.
struct Switch {
    port: u16,
    upstream: Arc<AtomicU16>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Switch {
    fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (upstream, open) = (Arc::new(AtomicU16::new(upstream)), Arc::<Mutex<Vec<TcpStream>>>::default());
        let (to, all) = (upstream.clone(), open.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to.load(Ordering::SeqCst))) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                all.lock().unwrap().extend([client, server]);
            }
        });
        Self { port, upstream, open }
    }

    fn turn_to(&self, upstream: u16) {
        self.upstream.store(upstream, Ordering::SeqCst);
        for socket in self.open.lock().unwrap().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// As if a name were given another address.
#[test]
fn a_name_that_comes_to_mean_one_of_the_other_servers_is_left_out_until_it_means_another_one() {
    let (one, two) = (BeanstalkdServer::start(), BeanstalkdServer::start());
    let switch = Switch::start(two.port());
    let (place, ports) = (Sandbox::new(), [one.port(), switch.port]);
    let worker = place.start(command(&place, &ports, WORKER, &["work", "--concurrency", "2"]));
    until("it waits at both", || [&one, &two].iter().all(|server| server_stat(server, "current-waiting") == 1));
    switch.turn_to(one.port());
    let said = format!("127.0.0.1:{} and 127.0.0.1:{} are one server: name it once", ports[0], ports[1]);
    until("it says so", || place.log().contains(&said));
    let publish = |port: u16, number: u64| {
        let body = format!(r#"{{"number": {number}}}"#);
        let published = run(&place, &[port], &["publish", "record", "--body", &body]);
        assert_eq!(published.code, 0, "{}", published.err);
    };
    publish(one.port(), 1);
    until("the other server is worked", || place.record().contains(" 1 "));
    switch.turn_to(two.port());
    publish(two.port(), 2);
    until("it is worked again", || place.record().contains(" 2 "));
    assert_eq!(place.log().matches("are one server").count(), 1, "{}", place.log());
    worker.signal("TERM");
    assert_eq!(worker.end(), 0, "{}", place.log());
}
