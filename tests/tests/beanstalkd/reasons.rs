//! The reasons of burials, and the notes on the server that keep them.

use std::time::Duration;

use pulpo::MessageId;
use pulpo::queue::beanstalkd::{BeanstalkdQueue, queue_name_problem};
use pulpo::queue::{
    DequeueFilter, Filter, Inspection as _, MessageState, NewMessage, QueueAdapter as _, QueueError, Settlement,
    StoredMessage,
};
use pulpo_tests::beanstalkd::{BeanstalkdServer, Options};
use pulpo_tests::ids;
use pulpo_tests::touch;
use tempfile::TempDir;

use crate::other_programs::{Other, queue_at};

/// Publishes a message to the tube `mail` and buries it for this reason.
pub(crate) fn bury(queue: &BeanstalkdQueue, reason: &str) -> MessageId {
    let text = format!(r#"{{"header": {{"request_type": "{}"}}, "body": null}}"#, &reason[..1]);
    let id = queue.enqueue(vec![NewMessage::new("mail", "type", text)]).unwrap().remove(0).id;
    let mut consumer = queue.consumer(&["mail".to_owned()]).unwrap();
    let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap();
    assert_eq!(delivery.lease.id, id);
    consumer.settle(&delivery.lease, &mut Settlement::bury(reason, true)).unwrap();
    id
}

fn reason(message: &StoredMessage) -> Option<&str> {
    assert_eq!(message.last_error.is_some(), message.last_error_at.is_some());
    message.last_error.as_deref()
}

/// Returns the ids of the listed messages with their reasons, oldest first.
fn reasons(listed: &[StoredMessage]) -> Vec<(&str, Option<&str>)> {
    listed.iter().rev().map(|message| (message.id.as_str(), reason(message))).collect()
}

/// Returns the number of stored reasons on the server.
fn notes(server: &BeanstalkdServer) -> usize {
    let mut other = Other::new(server);
    // The tube exists as long as a client uses it.
    other.say(b"use pulpo.reasons");
    let stats = other.ask("stats-tube pulpo.reasons");
    stats.lines().find_map(|line| line.strip_prefix("current-jobs-delayed: ")).unwrap().parse().unwrap()
}

#[test]
fn the_reason_of_a_burial_is_listed_and_peeked() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    let [a, b, c] = ["a \u{1} \"first\"", "b ü", "c"].map(|reason| (bury(&queue, reason), reason));
    let gone = ids(queue.enqueue((0..100).map(|_| NewMessage::new("mail", "type", "gone")).collect()).unwrap());
    let expected = [&a, &b, &c].map(|(id, reason)| (id.as_str(), Some(*reason)));
    assert_eq!(reasons(&queue.list(&Filter::all().state(MessageState::Buried)).unwrap()), expected);
    assert_eq!(reasons(&queue.list(&Filter::all().request_type("b")).unwrap()), expected[1..2]);
    assert_eq!(reasons(&queue.list(&Filter::all().id(c.0.clone())).unwrap()), expected[2..]);
    for (id, expected) in [&a, &b, &c] {
        assert_eq!(reason(&queue.peek(id).unwrap().unwrap()), Some(*expected));
    }
    assert_eq!(reason(&queue.peek(&gone[0]).unwrap().unwrap()), None);
    let all = queue.list(&Filter::all()).unwrap();
    assert_eq!((all.len(), reasons(&all[100..])), (103, expected.to_vec()));
}

#[test]
fn a_message_that_is_buried_while_a_list_goes_on_is_listed_with_its_reason() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    const COUNT: usize = 300;
    queue.enqueue((0..COUNT).map(|_| NewMessage::new("mail", "type", "{}")).collect()).unwrap();
    let bury_all = || {
        let mut consumer = queue.consumer(&["mail".to_owned()]).unwrap();
        for _ in 0..COUNT {
            let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap();
            consumer.settle(&delivery.lease, &mut Settlement::bury("fatal", true)).unwrap();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(bury_all);
        let buried = Filter::all().state(MessageState::Buried);
        let mut listed = 0;
        while listed < COUNT {
            let list = queue.list(&buried).unwrap();
            listed = list.len();
            let without = list.iter().filter(|message| reason(message) != Some("fatal")).count();
            assert_eq!(without, 0, "of {listed} messages");
        }
    });
}

#[test]
fn the_oldest_message_and_its_reason_are_listed_while_others_are_buried() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    let oldest = bury(&queue, "the first");
    // It is further down than what a list asks for at once.
    queue.enqueue((0..5000).map(|_| NewMessage::new("other", "type", "{}")).collect()).unwrap();
    let old = [oldest, bury(&queue, "the second")];
    queue.enqueue((0..2000).map(|_| NewMessage::new("mail", "type", "{}")).collect()).unwrap();
    let bury_others = || {
        let mut consumer = queue.consumer(&["mail".to_owned()]).unwrap();
        for _ in 0..250 {
            let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap();
            consumer.settle(&delivery.lease, &mut Settlement::bury("another", true)).unwrap();
        }
    };
    std::thread::scope(|scope| {
        let others = [(); 8].map(|()| scope.spawn(bury_others));
        while others.iter().any(|thread| !thread.is_finished()) {
            let list = queue.list(&Filter::all().ids(old.clone())).unwrap();
            let reasons: Vec<_> = list.iter().map(reason).collect();
            assert_eq!(reasons, [Some("the second"), Some("the first")]);
            let list = queue.list(&Filter::all().state(MessageState::Buried)).unwrap();
            assert_eq!(list.last().map(reason), Some(Some("the first")));
        }
    });
}

#[test]
fn the_newest_reason_counts_and_a_long_one_is_cut() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    let mut consumer = queue.consumer(&["mail".to_owned()]).unwrap();
    let id = bury(&queue, "the first");
    // Another program's kick leaves the stored reason.
    assert_eq!(Other::new(&server).say(format!("kick-job {id}").as_bytes()), "KICKED");
    let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap();
    assert_eq!(reason(&queue.peek(&id).unwrap().unwrap()), None, "it runs");
    consumer.settle(&delivery.lease, &mut Settlement::bury("x".repeat(1_000_000), true)).unwrap();
    for message in [queue.peek(&id).unwrap().unwrap(), queue.list(&Filter::all()).unwrap().remove(0)] {
        let reason = reason(&message).unwrap();
        assert!(reason.starts_with("xxx") && reason.ends_with(" more bytes)"), "{reason}");
    }
}

#[test]
fn reasons_outlive_the_server() {
    let folder = TempDir::new().unwrap();
    let mut server = Options::new().binlog(folder.path()).start();
    let ids = {
        let queue = queue_at(&server);
        ["a", "b"].map(|reason| bury(&queue, reason))
    };
    server.kill();
    server.restart();
    let queue = queue_at(&server);
    let expected = [(ids[0].as_str(), Some("a")), (ids[1].as_str(), Some("b"))];
    assert_eq!(reasons(&queue.list(&Filter::all()).unwrap()), expected);
    for (id, expected) in ids.iter().zip(["a", "b"]) {
        assert_eq!(reason(&queue.peek(id).unwrap().unwrap()), Some(expected));
    }
    assert_eq!(Other::new(&server).say(b"reserve-with-timeout 0"), "TIMED_OUT");
}

#[test]
fn a_note_goes_with_its_message() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    let ids = ["a", "b", "c", "b", "e", "f"].map(|reason| bury(&queue, reason));
    assert_eq!(notes(&server), 6);
    assert_eq!(queue.delete(&Filter::all().id(ids[2].clone())).unwrap(), 1);
    assert_eq!(notes(&server), 5);
    assert_eq!(queue.kick(&Filter::all().id(ids[4].clone())).unwrap(), 1);
    assert_eq!(notes(&server), 4);
    assert_eq!(queue.kick(&Filter::all().request_type("b")).unwrap(), 2);
    assert_eq!(notes(&server), 2);
    assert_eq!(queue.kick(&Filter::all()).unwrap(), 2);
    assert_eq!(notes(&server), 0);
    assert_eq!(queue.stats().unwrap().counts[0].ready, 5);
}

#[test]
fn a_note_that_is_left_over_makes_no_deletion_slow() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    let ids = [(); 20].map(|()| bury(&queue, "fatal"));
    queue.enqueue((0..500).map(|_| NewMessage::new("other", "type", "{}")).collect()).unwrap();
    let mut other = Other::new(&server);
    assert_eq!(other.say(format!("delete {}", ids[0]).as_bytes()), "DELETED");
    let mut asked = || -> u64 {
        let stats = other.ask("stats");
        let of = |key: &str| stats.lines().find_map(|line| line.strip_prefix(key)).unwrap().parse::<u64>().unwrap();
        of("cmd-peek: ") + of("cmd-stats-job: ")
    };
    let before = asked();
    ids[1..].iter().for_each(|id| assert_eq!(queue.delete(&Filter::all().id(id.clone())).unwrap(), 1));
    assert!(asked() - before < 3 * 19 + 3, "{} looks, and no search for notes", asked() - before);
    assert_eq!(notes(&server), 0);
}

#[test]
fn a_list_removes_notes_that_no_longer_apply() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    let ids = ["a", "b", "c"].map(|reason| bury(&queue, reason));
    let mut other = Other::new(&server);
    assert_eq!(other.say(format!("kick-job {}", ids[1]).as_bytes()), "KICKED");
    assert_eq!(other.say(format!("delete {}", ids[2]).as_bytes()), "DELETED");
    let listed = queue.list(&Filter::all()).unwrap();
    assert_eq!(reasons(&listed), [(ids[0].as_str(), Some("a")), (ids[1].as_str(), None)]);
    assert_eq!(notes(&server), 1);
    // On a server without messages too.
    for id in &ids[..2] {
        assert_eq!(other.say(format!("delete {id}").as_bytes()), "DELETED");
    }
    assert!(queue.list(&Filter::all()).unwrap().is_empty());
    assert_eq!(notes(&server), 0);
}

#[test]
fn the_note_of_a_message_about_to_be_buried_stays() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    let id = queue.enqueue(vec![NewMessage::new("mail", "type", "x")]).unwrap().remove(0).id;
    let mut other = Other::new(&server);
    other.say(b"watch mail");
    assert_eq!(other.ask("reserve-with-timeout 0"), "x");
    let mut worker = Other::new(&server);
    worker.say(b"use pulpo.reasons");
    let note = format!(r#"{{"of": {id}, "reason": "any moment", "at": "2026-11-23T09:00:00Z"}}"#);
    assert!(worker.say(format!("put 1 4000000000 1 {}\r\n{note}", note.len()).as_bytes()).starts_with("INSERTED"));
    assert_eq!(reasons(&queue.list(&Filter::all()).unwrap()), [(id.as_str(), None)]);
    assert_eq!(notes(&server), 1);
    assert_eq!(other.say(format!("bury {id} 1").as_bytes()), "BURIED");
    assert_eq!(reasons(&queue.list(&Filter::all()).unwrap()), [(id.as_str(), Some("any moment"))]);
}

#[test]
fn a_burial_that_comes_too_late_leaves_no_note() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    let id = queue.enqueue(vec![NewMessage::new("mail", "type", "x")]).unwrap().remove(0).id;
    let mut message = NewMessage::new("mail", "type", "brief");
    message.ttr = Duration::from_secs(1);
    let brief = queue.enqueue(vec![message]).unwrap().remove(0).id;
    let mut consumer = queue.consumer(&["mail".to_owned()]).unwrap();
    let [held, late] =
        [(); 2].map(|()| consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap().lease);
    assert_eq!((&held.id, &late.id), (&id, &brief));
    std::thread::sleep(Duration::from_millis(1200));
    touch(&mut *consumer, &held).unwrap();
    assert!(matches!(consumer.settle(&late, &mut Settlement::bury("late", true)), Err(QueueError::LeaseLost { .. })));
    assert_eq!(notes(&server), 0);
    consumer.settle(&held, &mut Settlement::bury("in time", true)).unwrap();
    assert_eq!(notes(&server), 1);
}

#[test]
fn notes_are_not_messages() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    let id = bury(&queue, "a");
    let mut other = Other::new(&server);
    other.say(b"use pulpo.reasons");
    let note: MessageId = other.say(b"peek-delayed").split(' ').nth(1).unwrap().into();
    assert!(queue.peek(&note).unwrap().is_none());
    assert_eq!(queue.delete(&Filter::all().id(note.clone())).unwrap(), 0);
    assert_eq!(queue.kick(&Filter::all().id(note.clone())).unwrap(), 0);
    assert!(queue.list(&Filter::all().id(note)).unwrap().is_empty());
    assert!(queue.list(&Filter::all().state(MessageState::Delayed)).unwrap().is_empty());
    assert_eq!(queue.list(&Filter::all()).unwrap().len(), 1);
    let stats = queue.stats().unwrap().counts;
    assert_eq!((stats.len(), stats[0].queue.as_str(), stats[0].total()), (1, "mail", 1));

    for name in ["pulpo.reasons", "pulpo.probe"] {
        assert!(queue_name_problem(name).is_some());
        for error in [
            queue.enqueue(vec![NewMessage::new(name, "type", "x")]).unwrap_err(),
            queue.consumer(&["mail".to_owned(), name.to_owned()]).err().unwrap(),
            queue.list(&Filter::all().queue(name)).unwrap_err(),
            queue.kick(&Filter::all().queue(name)).unwrap_err(),
        ] {
            assert!(matches!(error, QueueError::BadQueueName { .. }), "{error}");
        }
    }
    // A client that watches the tube anyway receives nothing.
    let mut nosy = Other::new(&server);
    assert_eq!(nosy.say(b"watch pulpo.reasons"), "WATCHING 2");
    assert_eq!(nosy.say(b"reserve-with-timeout 0"), "TIMED_OUT");
    assert_eq!(reason(&queue.peek(&id).unwrap().unwrap()), Some("a"));
}

#[test]
fn a_message_whose_text_reads_like_a_note_is_not_a_note() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    let [_, id] = ["a", "b"].map(|reason| bury(&queue, reason));
    let lie = format!(r#"{{"of": {id}, "reason": "a lie", "at": "2026-11-23T09:00:00Z"}}"#);
    queue.enqueue(vec![NewMessage::new("mail", "type", lie)]).unwrap();
    assert_eq!(reason(&queue.peek(&id).unwrap().unwrap()), Some("b"));
    assert_eq!(reason(&queue.list(&Filter::all()).unwrap()[1]), Some("b"));
}

#[test]
fn a_server_that_takes_no_note_still_buries() {
    let server = Options::new().max_job_size(120).start();
    let queue = queue_at(&server);
    let [long, short] = [&"long ".repeat(100), "short"].map(|reason| bury(&queue, reason));
    let expected = [(long.as_str(), None), (short.as_str(), Some("short"))];
    assert_eq!(reasons(&queue.list(&Filter::all().state(MessageState::Buried)).unwrap()), expected);
    assert_eq!(reason(&queue.peek(&long).unwrap().unwrap()), None);

    let id = queue.enqueue(vec![NewMessage::new("mail", "type", "x")]).unwrap().remove(0).id;
    let mut consumer = queue.consumer(&["mail".to_owned()]).unwrap();
    let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).unwrap().unwrap();
    server.signal("USR1");
    pulpo_tests::wait::until("it drains", || {
        matches!(queue.enqueue(vec![NewMessage::new("other", "type", "x")]), Err(QueueError::Draining { .. }))
    });
    consumer.settle(&delivery.lease, &mut Settlement::bury("drained", true)).unwrap();
    let buried = queue.peek(&id).unwrap().unwrap();
    assert_eq!((buried.state, reason(&buried)), (MessageState::Buried, None));
    assert_eq!(queue.delete(&Filter::all().id(id)).unwrap(), 1);
    assert_eq!(queue.kick(&Filter::all().queue("mail")).unwrap(), 2);
}
