//! Several servers as one queue, when some of them fail or their workers die.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pulpo::queue::several::Several;
use pulpo::queue::{Consumer, DequeueFilter, Inspection as _, NewMessage, QueueAdapter, QueueError, Settlement};
use pulpo_tests::beanstalkd::{BeanstalkdServer, Options};
use pulpo_tests::http::{self, ANYWHERE};
use pulpo_tests::program::{CommandOutput, Sandbox};
use pulpo_tests::wait::{until, within};
use serde_json::Value;

use crate::several::{WORKER, adapter, command, message, run, several, take};
use crate::slow::server_stat;

const CRASHING: &str = env!("CARGO_BIN_EXE_crashing_worker");
const PRODUCER: &str = env!("CARGO_BIN_EXE_spooling_producer");

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
fn the_log_says_whether_another_server_is_left() {
    let mut servers = [BeanstalkdServer::start(), BeanstalkdServer::start()];
    let ports = [servers[0].port(), servers[1].port()];
    let place = Sandbox::new();
    let worker = place.start(command(&place, &ports, WORKER, &["work"]));
    let logged = |end: &str| place.log().matches(&format!("a server is not available{end}")).count();
    servers[0].kill();
    until("one is lost", || logged(": continuing with the others") == 1);
    servers[1].kill();
    until("the last one is lost", || logged(", and neither is any other: trying again") == 1);
    assert_eq!(logged(""), 2, "{}", place.log());
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
