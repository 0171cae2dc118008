//! A server that is slow, far away, or stands still for a while is not treated as gone.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pulpo::clock::SystemClock;
use pulpo::queue::beanstalkd::{BeanstalkdOptions, BeanstalkdQueue};
use pulpo::queue::{DequeueFilter, Filter, Inspection as _, MessageState, NewMessage, QueueAdapter as _, Settlement};
use pulpo_tests::beanstalkd::{BeanstalkdServer, Options};
use pulpo_tests::proxy::{Line, RewritingProxy};
use pulpo_tests::wait::until;

const QUEUE: &str = "slow";

/// How long the impatient wait for an answer. A server on a busy machine may be silent for a moment, too.
const SILENCE: Duration = Duration::from_secs(3);

fn queue_at(port: u16) -> BeanstalkdQueue {
    with_patience(port, Duration::from_secs(30))
}

fn with_patience(port: u16, patience: Duration) -> BeanstalkdQueue {
    let options = BeanstalkdOptions::new("127.0.0.1").port(port).socket_timeout(patience);
    BeanstalkdQueue::new(options, Arc::new(SystemClock::new()))
}

fn message(text: impl Into<String>) -> NewMessage {
    NewMessage::new(QUEUE, "type", text)
}

#[test]
fn a_large_message_over_a_slow_line_takes_longer_than_the_timeout_and_arrives() {
    let server = Options::new().max_job_size(8_000_000).start();
    // Half a megabyte a second: each direction takes four seconds.
    let line = Line::new().bytes_per_second(500_000).start(server.port());
    let queue = with_patience(line.port(), SILENCE);
    let text = "x".repeat(2_000_000);
    let started = Instant::now();
    queue.enqueue(vec![message(text.as_str())]).unwrap();
    let mut consumer = queue.consumer(&[QUEUE.to_owned()]).unwrap();
    let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(20)).unwrap().unwrap();
    assert!(started.elapsed() > SILENCE * 2, "it was not slow: {:?}", started.elapsed());
    assert_eq!(delivery.text.len(), text.len());
    consumer.settle(&delivery.lease, &mut Settlement::commit()).unwrap();
    assert_eq!(queue.stats().unwrap().total(), 0);
}

#[test]
fn a_large_message_is_sent_on_when_the_server_goes_on() {
    let server = Options::new().max_job_size(8_000_000).start();
    let options = BeanstalkdOptions::new("127.0.0.1").port(server.port()).socket_timeout(Duration::from_secs(20));
    let queue = BeanstalkdQueue::connect(options, Arc::new(SystemClock::new())).unwrap();
    queue.enqueue(vec![message("first")]).unwrap();
    server.signal("STOP");
    let sender = {
        let queue = queue.clone();
        std::thread::spawn(move || queue.enqueue(vec![message("x".repeat(6_000_000))]))
    };
    // Its socket accepts less than the whole message at once.
    std::thread::sleep(Duration::from_millis(300));
    assert!(!sender.is_finished());
    server.signal("CONT");
    let id = sender.join().unwrap().unwrap().remove(0).id;
    assert_eq!(queue.peek(&id).unwrap().unwrap().text.len(), 6_000_000);
}

/// The server answers the reservations of all lanes after the time at which they were due.
#[test]
fn a_server_that_stands_still_while_lanes_wait_costs_no_job_an_attempt() {
    let server = BeanstalkdServer::start();
    let queue = with_patience(server.port(), SILENCE);
    let failed = AtomicUsize::new(0);
    let mut consumers: Vec<_> = (0..8).map(|_| queue.consumer(&[QUEUE.to_owned()]).unwrap()).collect();
    std::thread::scope(|scope| {
        let lanes: Vec<_> = consumers
            .iter_mut()
            .map(|consumer| {
                scope.spawn(|| {
                    let mut has_failed = false;
                    let end = Instant::now() + Duration::from_secs(120);
                    loop {
                        assert!(Instant::now() < end, "no job came");
                        match consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(1)) {
                            Ok(Some(delivery)) => break delivery,
                            Ok(None) => {}
                            Err(error) => {
                                assert!(error.is_transient(), "{error}");
                                if !std::mem::replace(&mut has_failed, true) {
                                    failed.fetch_add(1, Ordering::SeqCst);
                                }
                            }
                        }
                    }
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(200));
        server.signal("STOP");
        // Written into the socket of the server that stands still.
        let mut other = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
        other.write_all(b"use slow\r\n").unwrap();
        (0..8).for_each(|_| other.write_all(b"put 1 0 60 2\r\n{}\r\n").unwrap());
        // After a second of waiting at the server, plus the timeout.
        until("each lane is told that the server is silent", || failed.load(Ordering::SeqCst) == 8);
        server.signal("CONT");
        for lane in lanes {
            let delivery = lane.join().unwrap();
            assert_eq!((delivery.attempts, delivery.abandoned), (0, 0), "message {}", delivery.lease.id);
        }
    });
}

#[test]
fn a_settlement_that_the_server_answers_late_is_done_once_and_not_lost() {
    let server = BeanstalkdServer::start();
    let queue = with_patience(server.port(), SILENCE);
    queue.enqueue(vec![message("done"), message("again"), message("buried")]).unwrap();
    let mut consumer = queue.consumer(&[QUEUE.to_owned()]).unwrap();
    let mut settlements = [
        Settlement::commit(),
        Settlement::rollback(Duration::from_secs(600), "later", true),
        Settlement::bury("never", true),
    ];
    let leases = [(); 3].map(|()| consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap().lease);
    server.signal("STOP");
    for (lease, settlement) in leases.iter().zip(&mut settlements) {
        let error = consumer.settle(lease, settlement).unwrap_err();
        assert!(error.is_transient(), "{error}");
    }
    server.signal("CONT");
    for (lease, settlement) in leases.iter().zip(&mut settlements) {
        consumer.settle(lease, settlement).unwrap();
    }
    let counts = queue.stats().unwrap().counts.remove(0);
    assert_eq!((counts.ready, counts.delayed, counts.reserved, counts.buried), (0, 1, 0, 1));
    let buried = queue.peek(&leases[2].id).unwrap().unwrap();
    assert_eq!(buried.last_error.as_deref(), Some("never"));
}

#[test]
fn a_batch_far_away_costs_few_round_trips() {
    const JOBS: usize = 400;
    let server = BeanstalkdServer::start();
    let near = queue_at(server.port());
    let line = Line::new().delay(Duration::from_millis(5)).start(server.port());
    let far = queue_at(line.port());
    let mut took = Vec::new();
    // A machine that is busy with other things may hold up some of the tries. One by one, two round trips of 10 ms each
    // take 8 s each time.
    while took.iter().all(|took| *took > Duration::from_secs(4)) {
        assert!(took.len() < 5, "it took {took:?}");
        near.enqueue((0..JOBS).map(|_| message("{}")).collect()).unwrap();
        let mut consumer = far.consumer(&[QUEUE.to_owned()]).unwrap();
        let started = Instant::now();
        for _ in 0..JOBS / 100 {
            let mut take =
                |more| consumer.dequeue(&DequeueFilter::all().more(more), Duration::from_secs(20)).unwrap().unwrap();
            let batch: Vec<_> = (0..100).rev().map(|more| take(more).lease).collect();
            for lease in &batch {
                consumer.settle(lease, &mut Settlement::deferrable_commit()).unwrap();
            }
        }
        consumer.flush().unwrap();
        took.push(started.elapsed());
        assert!(consumer.take_lost_leases().is_empty());
        assert_eq!(near.stats().unwrap().total(), 0);
    }
}

#[test]
fn the_last_jobs_of_a_queue_are_handed_out_before_it_counts_as_empty() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(server.port());
    let mut consumer = queue.consumer(&[QUEUE.to_owned()]).unwrap();
    for count in [1, 2, 3, 7, 20] {
        queue.enqueue((0..count).map(|_| message("{}")).collect()).unwrap();
        let mut taken = 0;
        // It reserves more than there are.
        while let Some(delivery) = consumer.dequeue(&DequeueFilter::all().more(9), Duration::ZERO).unwrap() {
            consumer.settle(&delivery.lease, &mut Settlement::deferrable_commit()).unwrap();
            taken += 1;
        }
        assert_eq!(taken, count);
    }
    consumer.flush().unwrap();
    assert_eq!(queue.stats().unwrap().total(), 0);
}

/// Returns one number of the server's `stats`.
pub(crate) fn server_stat(server: &BeanstalkdServer, key: &str) -> u64 {
    let mut line = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
    line.write_all(b"stats\r\nquit\r\n").unwrap();
    let mut told = String::new();
    line.read_to_string(&mut told).unwrap();
    let number = told.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    number.unwrap().parse().unwrap()
}

/// The server has found nothing, and its answer is on its way when messages are published.
#[test]
fn a_call_finds_what_was_published_before_it_whatever_an_earlier_check_found() {
    let server = BeanstalkdServer::start();
    let line = Line::new().delay(Duration::from_millis(150)).start(server.port());
    let (near, far) = (queue_at(server.port()), queue_at(line.port()));
    for wait in [Duration::ZERO, Duration::from_secs(20)] {
        let looks = server_stat(&server, "cmd-reserve-with-timeout");
        let (mut first, mut second) =
            (far.consumer(&[QUEUE.to_owned()]).unwrap(), far.consumer(&[QUEUE.to_owned()]).unwrap());
        std::thread::scope(|scope| {
            let early = scope.spawn(move || first.dequeue(&DequeueFilter::all(), wait).unwrap());
            until("the server has looked", || server_stat(&server, "cmd-reserve-with-timeout") > looks);
            // One message may be for the call that waits at the server.
            near.enqueue(vec![message("1"), message("2")]).unwrap();
            let found = second.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap();
            assert!(found.is_some(), "a call after one that waits {wait:?}");
            let early = early.join().unwrap();
            assert_eq!(early.is_some(), !wait.is_zero(), "a call that waits {wait:?}");
        });
        near.delete(&Filter::all()).unwrap();
    }
}

#[test]
fn a_call_without_wait_does_not_wait_for_one_that_waits_at_the_server() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(server.port());
    let (mut first, mut second) =
        (queue.consumer(&[QUEUE.to_owned()]).unwrap(), queue.consumer(&[QUEUE.to_owned()]).unwrap());
    std::thread::scope(|scope| {
        let patient = scope.spawn(move || first.dequeue(&DequeueFilter::all(), Duration::from_secs(20)).unwrap());
        until("it waits at the server", || server_stat(&server, "current-waiting") == 1);
        let mut took: Vec<_> = (0..9)
            .map(|_| {
                let started = Instant::now();
                assert!(second.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().is_none());
                started.elapsed()
            })
            .collect();
        took.sort();
        // The wait at the server lasts a second.
        assert!(took[4] < Duration::from_millis(600), "{took:?}");
        queue.enqueue(vec![message("{}")]).unwrap();
        assert!(patient.join().unwrap().is_some());
    });
}

#[test]
fn a_job_that_comes_while_the_last_consumer_leaves_loses_no_attempt() {
    let server = BeanstalkdServer::start();
    // The answers to what is sent before the wait come while the server waits, and a call that is interrupted then ends.
    let line = Line::new().delay(Duration::from_millis(200)).start(server.port());
    let (near, far) = (queue_at(server.port()), queue_at(line.port()));
    until("a job comes while the last consumer leaves", || {
        let mut consumer = far.consumer(&[QUEUE.to_owned()]).unwrap();
        let wait = Duration::from_secs(20);
        let waiting = std::thread::spawn(move || (consumer.dequeue(&DequeueFilter::all(), wait).unwrap(), consumer));
        until("it waits at the server", || server_stat(&server, "current-waiting") == 1);
        far.interrupt();
        let (found, consumer) = waiting.join().unwrap();
        assert!(found.is_none());
        near.enqueue(vec![message("{}")]).unwrap();
        // The wait at the server lasts for up to a second longer, unless the machine was busy with other things.
        let has_come = server_stat(&server, "current-jobs-reserved") == 1;
        drop(consumer);
        let left = near.list(&Filter::all()).unwrap();
        let states: Vec<_> = left.iter().map(|message| (message.state.as_str(), message.attempts)).collect();
        assert_eq!(states, [("ready", 0)]);
        near.delete(&Filter::all()).unwrap();
        has_come
    });
}

#[test]
fn jobs_reserved_for_a_batch_and_not_taken_are_ready_again_uncounted() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(server.port());
    queue.enqueue((0..10).map(|_| message("{}")).collect()).unwrap();
    let mut consumer = queue.consumer(&[QUEUE.to_owned()]).unwrap();
    let delivery = consumer.dequeue(&DequeueFilter::all().more(9), Duration::ZERO).unwrap().unwrap();
    until("all are reserved", || queue.stats().unwrap().counts[0].reserved >= 5);
    consumer.settle(&delivery.lease, &mut Settlement::commit()).unwrap();
    consumer.flush().unwrap();
    let left = queue.list(&Filter::all()).unwrap();
    assert_eq!(left.len(), 9);
    for message in left {
        assert_eq!((message.state.as_str(), message.attempts), ("ready", 0), "message {}", message.id);
    }
}

#[test]
fn a_late_answer_about_some_jobs_that_were_not_taken_keeps_no_others_reserved() {
    let (long, short) = (Duration::from_secs(600), Duration::from_secs(30));
    let server = BeanstalkdServer::start();
    let queue = with_patience(server.port(), SILENCE);
    let lasting = |ttr| {
        let mut message = message("{}");
        message.ttr = ttr;
        message
    };
    queue.enqueue(vec![lasting(long), lasting(long), lasting(short)]).unwrap();
    let mut consumer = queue.consumer(&[QUEUE.to_owned()]).unwrap();
    let since = Instant::now();
    let _taken = consumer.dequeue(&DequeueFilter::all().more(2), Duration::ZERO).unwrap().unwrap();
    let reserved = || queue.stats().unwrap().counts[0].reserved;
    until("all are reserved", || reserved() == 3);
    // From then on the shorter lease is not certain, and is released in another request.
    until("half of the shorter lease is over", || since.elapsed() > short / 2 + Duration::from_millis(200));
    server.signal("STOP");
    assert!(consumer.flush().unwrap_err().is_transient());
    server.signal("CONT");
    // What the consumer had when the server fell silent is released without another call; a job whose answer was still on
    // its way is released by the next one.
    until("both are released", || consumer.flush().is_ok() && reserved() == 1);
    assert_eq!(server_stat(&server, "job-timeouts"), 0, "one of them waited for the end of its lease");
}

#[test]
fn a_flush_returns_what_is_reserved_beside_a_job_though_the_answer_is_on_its_way() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(server.port());
    let mut consumer = queue.consumer(&[QUEUE.to_owned()]).unwrap();
    // The first answer often comes apart from the others, but not always.
    for round in 0..100 {
        queue.enqueue((0..3).map(|_| message("{}")).collect()).unwrap();
        let taken = consumer.dequeue(&DequeueFilter::all().more(2), Duration::from_secs(20)).unwrap().unwrap();
        consumer.flush().unwrap();
        assert_eq!(server_stat(&server, "current-jobs-reserved"), 1, "round {round}");
        consumer.settle(&taken.lease, &mut Settlement::commit()).unwrap();
        queue.delete(&Filter::all()).unwrap();
    }
}

/// Starts a server whose answer to the command with this word is one that no beanstalkd gives.
fn odd_server(word: &'static str, answer: &'static str) -> (BeanstalkdServer, u16) {
    let server = BeanstalkdServer::start();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (port, its_port) = (listener.local_addr().unwrap().port(), server.port());
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(upstream)) = (client, TcpStream::connect((Ipv4Addr::LOCALHOST, its_port))) else {
                return;
            };
            std::thread::spawn(move || lie(client, upstream, word, answer));
        }
    });
    (server, port)
}

/// Forwards everything except commands with this word, which it answers itself.
fn lie(mut client: TcpStream, mut upstream: TcpStream, word: &str, answer: &str) {
    let (mut says, mut to_client) = (upstream.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut says, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let mut asked = [0; 4096];
    while let Ok(count @ 1..) = client.read(&mut asked) {
        let sent = if asked[..count].starts_with(word.as_bytes()) {
            client.write_all(answer.as_bytes())
        } else {
            upstream.write_all(&asked[..count])
        };
        if sent.is_err() {
            break;
        }
    }
    let _ = upstream.shutdown(Shutdown::Both);
}

#[test]
fn an_unexpected_answer_is_an_error_of_the_call_and_ends_the_connection() {
    for (word, answer) in [
        ("release", "TOUCHED\r\n"),
        ("touch", "RELEASED\r\n"),
        ("delete", "INSERTED 7\r\n"),
        ("release", "KICKED 3\r\n"),
    ] {
        let (_server, port) = odd_server(word, answer);
        let queue = queue_at(port);
        queue.enqueue(vec![message("{}")]).unwrap();
        let mut consumer = queue.consumer(&[QUEUE.to_owned()]).unwrap();
        let lease = consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(20)).unwrap().unwrap().lease;
        let failed = match word {
            "release" => consumer.settle(&lease, &mut Settlement::rollback(Duration::ZERO, "x", true)).is_err(),
            "touch" => consumer.touch(std::slice::from_ref(&lease)).is_err(),
            _ => consumer.settle(&lease, &mut Settlement::commit()).is_err(),
        };
        assert!(failed, "{word} answered {answer:?}");
        // On another connection, it receives the message again, not the answer to another request.
        let mut again = None;
        until("it comes again", || {
            again = consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(1)).ok().flatten();
            again.is_some()
        });
        assert_eq!(again.unwrap().lease.id, lease.id);
    }
}

#[test]
fn data_about_another_job_ends_the_connection_and_nobody_gets_a_job() {
    let text = "---\nid: 7\ntube: \"odd\"\nstate: reserved\npri: 1\nage: 0\ndelay: 0\nttr: 60\ntime-left: 59\nfile: 0\n\
                reserves: 1\ntimeouts: 0\nreleases: 0\nburies: 0\nkicks: 0\n";
    let answer: &'static str = format!("OK {}\r\n{text}\r\n", text.len()).leak();
    let (server, port) = odd_server("stats-job", answer);
    let queue = queue_at(port);
    let id = queue.enqueue(vec![message("{}")]).unwrap().remove(0).id;
    let mut consumer = queue.consumer(&[QUEUE.to_owned()]).unwrap();
    assert!(consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(2)).is_err());
    assert!(queue.peek(&id).is_err());
    let direct = queue_at(server.port());
    until("the job is free again", || direct.peek(&id).unwrap().unwrap().state == MessageState::Ready);
    let (_server, port) = odd_server("peek", "FOUND 7 2\r\n{}\r\n");
    let queue = queue_at(port);
    let id = queue.enqueue(vec![message("{}")]).unwrap().remove(0).id;
    assert!(queue.peek(&id).is_err(), "the text is another job's");
}

#[test]
fn a_release_that_buried_the_job_is_not_a_success() {
    let (_server, port) = odd_server("release", "BURIED\r\n");
    let queue = queue_at(port);
    queue.enqueue(vec![message("{}")]).unwrap();
    let mut consumer = queue.consumer(&[QUEUE.to_owned()]).unwrap();
    let lease = consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(20)).unwrap().unwrap().lease;
    let error = consumer.settle(&lease, &mut Settlement::rollback(Duration::ZERO, "x", true)).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "it was out of memory and buried the job");
}

/// A pause of the tube has a negative rest, too.
#[test]
fn a_server_whose_clock_was_set_back_costs_no_job_its_lease_and_can_be_inspected() {
    let server = BeanstalkdServer::start();
    let set_back = |told: &str| {
        // Equally long: no reader looks at the keys that are cut.
        let aged = |told: String, digit| told.replace(&format!("\nage: {digit}\n"), "\nage: -9\n");
        let told = (0..10).fold(told.replace("\ntimeouts: ", "\ntimeout: "), aged);
        let pause =
            ["cmd-pause-tube: 0\npause: 0\npause-time-left: 0", "cmd-pause-tub: 0\npause: 0\npause-time-left: -5"];
        told.replace(pause[0], pause[1])
    };
    let proxy = RewritingProxy::start(server.port(), set_back);
    let queue = queue_at(proxy.port());
    queue.enqueue(vec![message("first"), message("second")]).unwrap();
    let mut consumer = queue.consumer(&[QUEUE.to_owned()]).unwrap();
    for _ in 0..2 {
        let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(5)).unwrap().unwrap();
        assert_eq!((delivery.attempts, delivery.abandoned), (0, 0));
        let reserved = queue.peek(&delivery.lease.id).unwrap().unwrap();
        assert_eq!((reserved.state.as_str(), reserved.attempts), ("reserved", 0));
        assert_eq!(consumer.touch(std::slice::from_ref(&delivery.lease)).unwrap(), []);
        assert_eq!(queue.list(&Filter::all()).unwrap().len() as u64, queue.stats().unwrap().total());
        consumer.settle(&delivery.lease, &mut Settlement::commit()).unwrap();
    }
    assert_eq!(queue.stats().unwrap().total(), 0);
}
