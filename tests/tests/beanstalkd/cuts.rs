//! The beanstalkd queue when its connections are cut, in the middle of commands and answers.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pulpo::queue::{DequeueFilter, Filter, Inspection as _, MessageState, QueueAdapter as _, QueueError, Settlement};
use pulpo_tests::beanstalkd::BeanstalkdServer;
use pulpo_tests::proxy::Proxy;
use pulpo_tests::wait::until;

use crate::faults::{Over, consumer, drain, message, queue_at};

#[test]
fn a_batch_that_is_cut_off_says_which_ones_are_certain() {
    let server = BeanstalkdServer::start();
    let direct = queue_at(server.port());
    // The cut is far into the answers to the second half, which is a separate write.
    let proxy = Proxy::start(server.port(), |number| if number % 2 == 0 { 4000 } else { 120_000 });
    for _ in 0..4 {
        let queue = queue_at(proxy.port());
        let texts: Vec<_> = (0..600).map(|number| format!("{number} {}", "x".repeat(300))).collect();
        let error = queue.enqueue(texts.iter().map(|text| message(text)).collect()).expect_err("it is cut");
        let (certain, source) = match error {
            QueueError::PartOfBatch { ids, of: 600, source } => (ids, *source),
            other => (Vec::new(), other),
        };
        for (id, text) in certain.iter().zip(&texts) {
            let stored = direct.peek(id).unwrap().expect("what is certain is there");
            assert_eq!(String::from_utf8_lossy(&stored.text), *text);
        }
        let is_in_doubt = matches!(source, QueueError::UnknownOutcome { .. });
        assert!(is_in_doubt || certain.is_empty(), "{} are certain, and then: {source}", certain.len());
        drain(&direct);
    }
}

/// Cuts each connection a few bytes later than the previous one.
fn creeping(number: u64) -> u64 {
    40 + number * 3 % 700
}

/// Cuts at each byte of the answers to the first few commands.
fn early(number: u64) -> u64 {
    number % 220
}

#[test]
fn cut_connections_lose_nothing_that_was_published() {
    cut(creeping);
}

#[test]
fn connections_cut_at_the_start_lose_nothing_that_was_published() {
    cut(early);
}

fn cut(cuts: fn(u64) -> u64) {
    let server = BeanstalkdServer::start();
    let proxy = Proxy::start(server.port(), cuts);
    let published = AtomicBool::new(false);
    let (sent, worked) = std::thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            let _over = Over(&published);
            let queue = queue_at(proxy.port());
            let direct = queue_at(server.port());
            let mut sent = BTreeSet::new();
            for n in 0.. {
                let text = format!("message {n}");
                if let Ok(ids) = queue.enqueue(vec![message(&text)]) {
                    // The job may be done by now, but it is the right one.
                    if let Some(stored) = direct.peek(&ids[0].id).unwrap() {
                        assert_eq!(String::from_utf8_lossy(&stored.text), text, "the id is right");
                    }
                    sent.insert(text);
                }
                // The worker may have used up most of the connections.
                if proxy.connections() > 600 && sent.len() > 50 || n > 3000 {
                    break;
                }
            }
            sent
        });
        let worker = scope.spawn(|| {
            let queue = queue_at(proxy.port());
            let mut consumer = consumer(&queue);
            let mut worked = BTreeSet::new();
            while !published.load(Ordering::SeqCst) {
                let Ok(Some(delivery)) = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO) else { continue };
                if delivery.attempts % 2 == 0 {
                    let _ = consumer.settle(&delivery.lease, &mut Settlement::rollback(Duration::ZERO, "again", true));
                } else {
                    // Record it before the commit, which may succeed although its answer is lost.
                    worked.insert(String::from_utf8(delivery.text).unwrap());
                    let _ = consumer.settle(&delivery.lease, &mut Settlement::commit());
                }
            }
            worked
        });
        (publisher.join().unwrap(), worker.join().unwrap())
    });
    proxy.spare();
    let mut all = drain(&queue_at(proxy.port()));
    all.extend(worked);
    let lost: Vec<_> = sent.difference(&all).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), sent.len());
    assert!(sent.len() > 50, "only {} were published", sent.len());
    let left = queue_at(server.port()).list(&Filter::all().state(MessageState::Reserved)).unwrap();
    assert!(left.is_empty(), "{left:?}");
}

fn at_each_byte(number: u64) -> u64 {
    number + 1
}

/// The commands with which a job is taken and given back uncounted, cut off after each byte of them and their answers.
#[test]
fn a_cut_while_a_job_is_given_back_costs_it_an_attempt_at_most_and_none_if_it_was_given_back() {
    let server = BeanstalkdServer::start();
    let proxy = Proxy::start(server.port(), at_each_byte);
    let direct = queue_at(server.port());
    let (mut given_back, mut in_between) = (0, 0);
    while given_back < 3 {
        let id = direct.enqueue(vec![message("{}")]).unwrap().remove(0).id;
        let queue = queue_at(proxy.port());
        let mut consumer = consumer(&queue);
        let taken = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).ok().flatten();
        let was_taken = taken.is_some();
        let ended =
            taken.map(|taken| consumer.settle(&taken.lease, &mut Settlement::rollback(Duration::ZERO, "x", false)));
        drop(consumer);
        let mut now = direct.peek(&id).unwrap().unwrap();
        until("it is free again", || {
            now = direct.peek(&id).unwrap().unwrap();
            now.state != MessageState::Reserved
        });
        match ended {
            Some(Ok(())) => {
                assert_eq!((now.state.as_str(), now.attempts, now.abandoned), ("ready", 0, 0));
                given_back += 1;
            }
            _ => assert!(now.attempts <= 1, "{now:?}"),
        }
        in_between += u32::from(was_taken && given_back == 0);
        assert_eq!(direct.delete(&Filter::all().id(id)).unwrap(), 1);
        assert!(proxy.connections() < 5000, "it was given back after some byte");
    }
    assert!(in_between > 20, "cut during the settlement: {in_between} times");
}
