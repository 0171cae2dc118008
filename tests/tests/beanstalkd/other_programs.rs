//! Cases that concern only the beanstalkd queue: other programs on the same server.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pulpo::clock::SystemClock;
use pulpo::queue::beanstalkd::{BeanstalkdOptions, BeanstalkdQueue, queue_name_problem};
use pulpo::queue::{
    DequeueFilter, Filter, Inspection as _, Lease, MessageState, NewMessage, QueueAdapter as _, QueueError, Settlement,
};
use pulpo_tests::beanstalkd::{BeanstalkdServer, Options};
use pulpo_tests::ids;
use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::until;
use tempfile::TempDir;

pub(crate) fn queue_at(server: &BeanstalkdServer) -> BeanstalkdQueue {
    let options = BeanstalkdOptions::new("localhost").port(server.port());
    BeanstalkdQueue::connect(options, Arc::new(SystemClock::new())).unwrap()
}

/// Another program, in any language.
pub(crate) struct Other(TcpStream);

impl Other {
    pub(crate) fn new(server: &BeanstalkdServer) -> Self {
        Self::at(server.port())
    }

    fn at(port: u16) -> Self {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self(socket)
    }

    pub(crate) fn say(&mut self, words: &[u8]) -> String {
        self.0.write_all(words).unwrap();
        self.0.write_all(b"\r\n").unwrap();
        let (mut line, mut byte) = (Vec::new(), [0]);
        while !line.ends_with(b"\r\n") {
            assert_eq!(self.0.read(&mut byte).unwrap(), 1, "the server closed the connection");
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    /// Returns the text that follows the answer.
    pub(crate) fn ask(&mut self, words: &str) -> String {
        let line = self.say(words.as_bytes());
        let bytes: usize = line.split(' ').next_back().unwrap().parse().unwrap_or_else(|_| panic!("{line}"));
        let mut text = vec![0; bytes + 2];
        self.0.read_exact(&mut text).unwrap();
        String::from_utf8(text).unwrap().trim_end().to_owned()
    }

    pub(crate) fn put(&mut self, text: &[u8]) -> u64 {
        let words = [format!("put 7 0 60 {}\r\n", text.len()).as_bytes(), text].concat();
        self.say(&words).strip_prefix("INSERTED ").unwrap().parse().unwrap()
    }
}

#[test]
fn a_job_buried_before_it_is_due_runs_as_soon_as_it_is_kicked() {
    const WORKER: &str = env!("CARGO_BIN_EXE_long_lease_worker");
    let place = Sandbox::with_beanstalkd();
    let mut other = Other::at(place.server_address().rsplit(':').next().unwrap().parse().unwrap());
    other.say(b"use pulpo");
    other.say(b"watch pulpo");
    let id = other.put(br#"{"header": {"request_type": "fuse", "delay": "2100-01-01T00:00:00Z"}, "body": "it runs"}"#);
    other.ask("reserve");
    assert_eq!(other.say(format!("bury {id} 7").as_bytes()), "BURIED");
    let said = place.run(WORKER, &["kick", &id.to_string()]);
    assert_eq!(said.out, format!("kicked {id}\n"), "{}", said.err);
    let worker = place.start_with_log(place.command(WORKER, &["work"]), "log");
    until("it has run", || place.record().contains("it runs"));
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
    assert!(!place.log_named("log").contains("its delay is not over"), "{}", place.log_named("log"));
}

#[test]
fn a_deferred_delete_goes_with_the_next_dequeue_or_at_the_end() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    queue.enqueue(["a", "b", "c"].map(|text| NewMessage::new("hand", "type", text)).to_vec()).unwrap();
    let mut consumer = queue.consumer(&["hand".to_owned()]).unwrap();
    let [a, b] = [(); 2].map(|()| consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap().lease);
    let there = |lease: &Lease| queue.peek(&lease.id).unwrap().is_some();
    consumer.settle(&a, &mut Settlement::deferrable_commit()).unwrap();
    consumer.settle(&b, &mut Settlement::deferrable_commit()).unwrap();
    assert!(there(&a) && there(&b));
    let c = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap().lease;
    assert!(!there(&a) && !there(&b));
    consumer.settle(&c, &mut Settlement::deferrable_commit()).unwrap();
    assert!(there(&c));
    consumer.flush().unwrap();
    assert!(!there(&c) && consumer.take_lost_leases().is_empty());
}

/// Otherwise a worker that is killed in the middle of the next job would run both again.
#[test]
fn a_deferred_delete_goes_before_a_job_begins_that_was_reserved_earlier() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    queue.enqueue(["a", "b", "c"].map(|text| NewMessage::new("hand", "type", text)).to_vec()).unwrap();
    let mut consumer = queue.consumer(&["hand".to_owned()]).unwrap();
    let mut other = queue.consumer(&["hand".to_owned()]).unwrap();
    // One request reserves all three, and two of them wait here.
    let first = consumer.dequeue(&DequeueFilter::all().more(2), Duration::ZERO).unwrap().unwrap().lease;
    let second = other.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap().lease;
    let there = |lease: &Lease| queue.peek(&lease.id).unwrap().is_some();
    other.settle(&second, &mut Settlement::deferrable_commit()).unwrap();
    consumer.settle(&first, &mut Settlement::deferrable_commit()).unwrap();
    let third = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap().lease;
    assert!(!there(&first) && there(&third));
    consumer.settle(&third, &mut Settlement::commit()).unwrap();
    other.flush().unwrap();
    assert!(consumer.take_lost_leases().is_empty() && queue.list(&Filter::all()).unwrap().is_empty());
}

#[test]
fn a_large_batch_is_deleted_in_parts_that_the_server_can_answer() {
    const JOBS: usize = 30_000;
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    queue.enqueue((0..JOBS).map(|_| NewMessage::new("hand", "type", "x")).collect()).unwrap();
    for ends in [false, true] {
        let mut consumer = queue.consumer(&["hand".to_owned()]).unwrap();
        let leases: Vec<_> = (0..JOBS / 2)
            .map(|_| consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap().lease)
            .collect();
        leases.iter().for_each(|lease| consumer.settle(lease, &mut Settlement::deferrable_commit()).unwrap());
        if ends {
            consumer.flush().unwrap();
        } else {
            let next = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap();
            consumer.settle(&next.lease, &mut Settlement::rollback(Duration::ZERO, "for the next one", false)).unwrap();
        }
        assert!(consumer.take_lost_leases().is_empty());
    }
    assert!(queue.list(&Filter::all()).unwrap().is_empty());
}

#[test]
fn of_deferred_commits_only_the_lost_ones_are_reported() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    let mut other = Other::new(&server);
    queue.enqueue(["a", "b", "c"].map(|text| NewMessage::new("hand", "type", text)).to_vec()).unwrap();
    let mut consumer = queue.consumer(&["hand".to_owned()]).unwrap();
    let leases = [(); 3].map(|()| consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap().lease);
    consumer.settle(&leases[1], &mut Settlement::rollback(Duration::ZERO, "for another", true)).unwrap();
    assert_eq!(other.say(b"watch hand"), "WATCHING 2");
    let taken = other.say(b"reserve-with-timeout 1");
    assert!(taken.starts_with(&format!("RESERVED {} ", leases[1].id)), "{taken}");
    for lease in [&leases[0], &leases[2]] {
        consumer.settle(lease, &mut Settlement::deferrable_commit()).unwrap();
    }
    assert!(matches!(
        consumer.settle(&leases[1], &mut Settlement::deferrable_commit()),
        Err(QueueError::LeaseLost { .. })
    ));
    assert!(consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().is_none());
    assert!(consumer.take_lost_leases().is_empty());
    let left: Vec<_> = queue.list(&Filter::all()).unwrap().into_iter().map(|message| message.id).collect();
    assert_eq!(left, [leases[1].id.clone()]);
}

#[test]
fn an_idle_wait_asks_the_server_once_a_second() {
    let server = BeanstalkdServer::start();
    let mut consumer = queue_at(&server).consumer(&["idle".to_owned()]).unwrap();
    let started = Instant::now();
    assert!(consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(2)).unwrap().is_none());
    assert!(started.elapsed() >= Duration::from_millis(1900), "it waited for {:?}", started.elapsed());
    let stats = Other::new(&server).ask("stats");
    let asked = stats.lines().find_map(|line| line.strip_prefix("cmd-reserve-with-timeout: ")).unwrap();
    assert!(asked.parse::<u32>().unwrap() <= 10, "asked {asked} times");
}

#[test]
fn messages_of_another_program_arrive_unchanged() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    let mut other = Other::new(&server);
    assert_eq!(other.say(b"use mail"), "USING mail");
    let texts: [&[u8]; 4] =
        [br#"{"header": {"request_type": "greet"}, "body": {"name": "Ada"}}"#, b"\xff\xfe not UTF-8 \0", b"", b"\r\n"];
    let mut consumer = queue.consumer(&["mail".to_owned()]).unwrap();
    for text in texts {
        let id = other.put(text).into();
        let stored = queue.peek(&id).unwrap().unwrap();
        assert_eq!((stored.text.as_slice(), stored.priority.get()), (text, 7));
        let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap();
        assert_eq!((delivery.text.as_slice(), delivery.ttr), (text, Duration::from_secs(60)));
        consumer.settle(&delivery.lease, &mut Settlement::commit()).unwrap();
    }
    other.put(texts[0]);
    assert_eq!(queue.list(&Filter::all().request_type("greet")).unwrap().len(), 1);
}

#[test]
fn names_that_look_like_something_else_are_names() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    for name in ["null", "true", "1", "1.50", "0x10", "1_000", ".inf", "+1", "(a)", "$x", "a-;/.$_()", "default"] {
        assert_eq!(queue_name_problem(name), None);
        queue.enqueue(vec![NewMessage::new(name, "type", "x")]).unwrap();
        assert_eq!(queue.stats().unwrap().counts[0].queue, name);
        assert_eq!(queue.list(&Filter::all().queue(name)).unwrap()[0].queue, name);
        let mut consumer = queue.consumer(&[name.to_owned()]).unwrap();
        let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap();
        assert_eq!(delivery.queue, name);
        consumer.settle(&delivery.lease, &mut Settlement::commit()).unwrap();
    }
}

#[test]
fn a_list_finds_old_messages_between_many_that_are_gone() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    let old = ids(queue.enqueue(vec![NewMessage::new("old", "type", "old")]).unwrap());
    let gone = ids(queue.enqueue((0..3000).map(|_| NewMessage::new("gone", "type", "gone")).collect()).unwrap());
    let mut consumer = queue.consumer(&["gone".to_owned()]).unwrap();
    for _ in gone {
        let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap();
        consumer.settle(&delivery.lease, &mut Settlement::commit()).unwrap();
    }
    let listed = queue.list(&Filter::all()).unwrap();
    assert_eq!(listed.iter().map(|message| &message.id).collect::<Vec<_>>(), [&old[0]]);
    assert_eq!(queue.stats().unwrap().counts.len(), 1, "the search for the newest id leaves nothing behind");
}

#[test]
fn a_kick_by_another_program_gives_all_attempts_again() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    let id = queue.enqueue(vec![NewMessage::new("mail", "type", "x")]).unwrap().remove(0).id;
    let mut consumer = queue.consumer(&["mail".to_owned()]).unwrap();
    for _ in 0..2 {
        let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap();
        consumer.settle(&delivery.lease, &mut Settlement::rollback(Duration::ZERO, "failed", true)).unwrap();
    }
    let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap();
    assert_eq!(delivery.failed(3), 2);
    consumer.settle(&delivery.lease, &mut Settlement::bury("failed", true)).unwrap();
    assert_eq!(queue.peek(&id).unwrap().unwrap().state, MessageState::Buried);
    let mut other = Other::new(&server);
    assert_eq!(other.say(format!("kick-job {id}").as_bytes()), "KICKED");
    let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap();
    assert_eq!((delivery.attempts, delivery.kicks, delivery.failed(3)), (3, 1, 0));
}

#[test]
fn a_restarted_server_has_forgotten_the_deaths_since_its_last_log_entry() {
    let folder = TempDir::new().unwrap();
    let mut server = Options::new().binlog(folder.path()).start();
    let queue = queue_at(&server);
    queue.enqueue(vec![NewMessage::new("mail", "type", "x")]).unwrap();
    let take = || {
        let mut consumer = queue.consumer(&["mail".to_owned()]).unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        // The server may notice the end of a connection a moment later.
        let delivery = loop {
            match consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(1)) {
                Ok(Some(delivery)) => break delivery,
                other => assert!(Instant::now() < end, "{other:?}"),
            }
        };
        (consumer, delivery)
    };
    let counts = || {
        let (_, delivery) = take();
        (delivery.attempts, delivery.abandoned)
    };
    assert_eq!([counts(), counts(), counts()], [(0, 0), (1, 1), (2, 2)]);
    server.kill();
    server.restart();
    assert_eq!(counts(), (0, 0));
    let (mut consumer, delivery) = take();
    assert_eq!((delivery.attempts, delivery.abandoned), (1, 1));
    consumer.settle(&delivery.lease, &mut Settlement::rollback(Duration::from_secs(1), "failed", true)).unwrap();
    drop(consumer);
    assert_eq!(counts(), (2, 1));
    server.kill();
    server.restart();
    assert_eq!(counts(), (2, 1), "with its word, the server writes down what was before");
}
