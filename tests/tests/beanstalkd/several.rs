//! Several servers as one queue.

use std::collections::HashSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pulpo::clock::SystemClock;
use pulpo::queue::beanstalkd::{BeanstalkdOptions, BeanstalkdQueue};
use pulpo::queue::several::Several;
use pulpo::queue::{
    Consumer, DequeueFilter, Filter, Inspection, MessageState, NewMessage, QueueAdapter, QueueError, Settlement,
};
use pulpo_tests::beanstalkd::{BeanstalkdServer, Options, free_port};
use pulpo_tests::program::{CommandOutput, Sandbox};
use pulpo_tests::proxy::Proxy;
use serde_json::{Value, json};

pub(crate) const WORKER: &str = env!("CARGO_BIN_EXE_worker");

pub(crate) fn adapter(port: u16) -> Arc<dyn QueueAdapter> {
    let options = BeanstalkdOptions::new("127.0.0.1").port(port).socket_timeout(Duration::from_secs(5));
    Arc::new(BeanstalkdQueue::new(options, Arc::new(SystemClock::new())))
}

pub(crate) fn several(ports: &[u16]) -> Several {
    Several::new(ports.iter().map(|port| (format!("s{port}:{port}"), adapter(*port))).collect())
}

fn url(ports: &[u16]) -> String {
    let servers: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("beanstalkd://{}/pulpo", servers.join(","))
}

pub(crate) fn message(text: &str) -> NewMessage {
    NewMessage::new("pulpo", "record", text)
}

pub(crate) fn take(consumer: &mut dyn Consumer, wait: Duration) -> Option<pulpo::queue::Delivery> {
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

/// Lanes that may not take every job, as while they gather a batch, pause between two checks.
#[test]
fn an_idle_lane_is_handed_a_job_at_once_while_others_look_for_jobs_of_their_own() {
    let servers = [BeanstalkdServer::start(), BeanstalkdServer::start()];
    let ports = [servers[0].port(), servers[1].port()];
    let queue = several(&ports);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let mut other = queue.consumer(&["pulpo".to_owned()]).unwrap();
            let is_over = &is_over;
            scope.spawn(move || {
                let none = DequeueFilter::all().except_queue("pulpo");
                while !is_over.load(Ordering::SeqCst) {
                    assert!(other.dequeue(&none, Duration::from_millis(200)).unwrap().is_none());
                }
            });
        }
        let mut consumer = queue.consumer(&["pulpo".to_owned()]).unwrap();
        let mut longest = Duration::ZERO;
        for round in 0..20 {
            let published = scope.spawn(move || {
                // By then, the lane waits.
                std::thread::park_timeout(Duration::from_millis(10));
                adapter(ports[round % 2]).enqueue(vec![message("x")]).unwrap();
                Instant::now()
            });
            let taken = take(&mut *consumer, Duration::from_secs(10)).map(|delivery| (delivery, Instant::now()));
            let published = published.join().unwrap();
            let Some((delivery, at)) = taken else {
                longest = Duration::MAX;
                break;
            };
            longest = longest.max(at.saturating_duration_since(published));
            consumer.settle(&delivery.lease, &mut Settlement::commit()).unwrap();
            if longest > Duration::from_secs(5) {
                break;
            }
        }
        is_over.store(true, Ordering::SeqCst);
        // A lane that is not told finds the job when its wait is over.
        assert!(longest < Duration::from_secs(5), "{longest:?}");
    });
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
        assert_eq!(queue.stats().unwrap().total(), 0, "a dequeue that finds nothing settles too");
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

pub(crate) fn run(place: &Sandbox, ports: &[u16], arguments: &[&str]) -> CommandOutput {
    CommandOutput::of(command(place, ports, WORKER, arguments))
}

pub(crate) fn command(place: &Sandbox, ports: &[u16], program: &str, arguments: &[&str]) -> Command {
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
