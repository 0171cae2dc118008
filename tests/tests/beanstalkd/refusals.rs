//! Messages that a beanstalkd server does not take: they are too large, or it is full or draining.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use pulpo::queue::{DequeueFilter, Inspection as _, NewMessage, QueueAdapter as _, QueueError, Settlement};
use pulpo_tests::beanstalkd::{BeanstalkdServer, Options};

use crate::faults::{consumer, drain, message, queue_at};

#[test]
fn a_message_that_the_server_does_not_take_is_a_clear_error() {
    let server = Options::new().max_job_size(1000).start();
    let queue = queue_at(server.port());
    let error = queue.enqueue(vec![message(&"x".repeat(1001))]).unwrap_err();
    assert!(error.to_string().starts_with("the message has 1001 bytes"), "{error}");
    assert!(error.to_string().contains("takes at most 1000"), "{error}");
    assert!(!error.is_transient());

    let error = queue.enqueue(vec![NewMessage::new("two words", "type", "x")]).unwrap_err();
    assert!(error.to_string().starts_with("\"two words\" cannot be the name of a queue here"), "{error}");
    assert!(queue.consumer(&["x".repeat(201)]).is_err());

    let mut late = message("late");
    late.delay = Some(chrono::Utc::now() + chrono::TimeDelta::days(365 * 150));
    assert!(matches!(queue.enqueue(vec![late]), Err(QueueError::DelayTooLong { .. })));

    // The first messages of the batch are in the queue, and the error says which.
    let batch = vec![message("a"), message("b"), message(&"x".repeat(2000)), message("c")];
    match queue.enqueue(batch).unwrap_err() {
        QueueError::PartOfBatch { ids, of: 4, source } => {
            assert_eq!(ids.len(), 2);
            assert!(matches!(*source, QueueError::TooBig { size: 2000, limit: Some(1000), .. }), "{source}");
        }
        other => panic!("expected a part of the batch, got {other}"),
    }
    assert_eq!(drain(&queue), BTreeSet::from(["a", "b"].map(str::to_owned)));
}

#[test]
fn follow_ups_that_are_kept_are_not_published_again() {
    let server = Options::new().max_job_size(1000).start();
    let queue = queue_at(server.port());
    queue.enqueue(vec![message("done")]).unwrap();
    let mut consumer = consumer(&queue);
    let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap();
    let follow_ups = vec![message("a"), message("b"), message(&"x".repeat(2000)), message("c")];
    let mut commit = Settlement::commit_with(follow_ups);
    let error = consumer.settle(&delivery.lease, &mut commit).unwrap_err();
    assert!(matches!(error, QueueError::TooBig { size: 2000, .. }), "{error}");
    let left: Vec<_> = commit.follow_ups().iter().map(|message| message.text.len()).collect();
    assert_eq!(left, [2000, 1]);
    let mut commit = Settlement::commit_with(commit.follow_ups()[1..].to_vec());
    consumer.settle(&delivery.lease, &mut commit).unwrap();
    assert!(commit.follow_ups().is_empty());
    assert_eq!(drain(&queue), BTreeSet::from(["a", "b", "c"].map(str::to_owned)));
}

#[test]
fn a_server_out_of_memory_says_so_and_keeps_what_it_took() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(server.port());
    server.limit_memory(8 << 20);
    let text = |number: usize| format!("{number} {}", "x".repeat(60_000));
    let mut kept = BTreeSet::new();
    let error = loop {
        assert!(kept.len() < 1000, "it has more memory than it should");
        let text = text(kept.len());
        match queue.enqueue(vec![message(&text)]) {
            Ok(_) => drop(kept.insert(text)),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, QueueError::OutOfMemory { .. }) && error.is_transient(), "{error}");
    assert!(!kept.is_empty());
    assert_eq!(drain(&queue), kept);
    queue.enqueue(vec![message("room again")]).unwrap();
}

/// Until it is full, the server accepts all messages of a batch. Then it rejects the big ones, but
/// would accept small ones after them.
#[test]
fn only_the_first_of_a_batch_that_does_not_fit_into_memory_are_kept() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(server.port());
    server.limit_memory(8 << 20);
    let mut kept = BTreeSet::new();
    let mut number = 0;
    loop {
        assert!(number < 1000, "it has more memory than it should");
        let texts: Vec<_> = (0..4)
            .map(|_| {
                number += 1;
                format!("{number} {}", "x".repeat(if number % 2 == 0 { 60_000 } else { 10 }))
            })
            .collect();
        match queue.enqueue(texts.iter().map(|text| message(text)).collect()) {
            Ok(ids) => {
                assert_eq!(ids.len(), 4);
                kept.extend(texts);
                continue;
            }
            Err(QueueError::PartOfBatch { ids, of: 4, source }) => {
                assert!(matches!(*source, QueueError::OutOfMemory { .. }), "{source}");
                for (id, text) in ids.iter().zip(&texts) {
                    assert_eq!(String::from_utf8_lossy(&queue.peek(id).unwrap().expect("it is there").text), *text);
                }
                assert!(ids.len() == 1 || ids.len() == 3, "a big one was refused, not number {}", ids.len());
                kept.extend(texts.into_iter().take(ids.len()));
            }
            Err(error) => panic!("expected a part of the batch, got {error}"),
        }
        break;
    }
    assert_eq!(drain(&queue), kept);
}

#[test]
fn a_draining_server_takes_nothing_and_gives_all() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(server.port());
    queue.enqueue(vec![message("before")]).unwrap();
    server.signal("USR1");
    let deadline = Instant::now() + Duration::from_secs(60);
    let error = loop {
        match queue.enqueue(vec![message("before")]) {
            Err(error) => break error,
            Ok(_) => assert!(Instant::now() < deadline, "it does not drain"),
        }
    };
    assert!(matches!(error, QueueError::Draining { .. }), "{error}");
    assert!(error.is_transient());
    assert_eq!(drain(&queue), BTreeSet::from(["before".to_owned()]));
}
