//! What only the beanstalkd queue has to cope with: other programs at the
//! same server.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use pulpo::clock::SystemClock;
use pulpo::queue::beanstalkd::{BeanstalkdOptions, BeanstalkdQueue, queue_name_problem};
use pulpo::queue::{Filter, NewMessage, QueueAdapter as _, State};
use pulpo_tests::beanstalkd::BeanstalkdServer;

fn queue_at(server: &BeanstalkdServer) -> BeanstalkdQueue {
    let options = BeanstalkdOptions::new("localhost").port(server.port());
    BeanstalkdQueue::connect(options, Arc::new(SystemClock::new())).unwrap()
}

/// Another program, in whatever language.
struct Other(TcpStream);

impl Other {
    fn new(server: &BeanstalkdServer) -> Self {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self(socket)
    }

    fn say(&mut self, words: &[u8]) -> String {
        self.0.write_all(words).unwrap();
        self.0.write_all(b"\r\n").unwrap();
        let (mut line, mut byte) = (Vec::new(), [0]);
        while !line.ends_with(b"\r\n") {
            assert_eq!(self.0.read(&mut byte).unwrap(), 1, "the server closed the connection");
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    fn put(&mut self, text: &[u8]) -> u64 {
        let words = [format!("put 7 0 5 {}\r\n", text.len()).as_bytes(), text].concat();
        self.say(&words).strip_prefix("INSERTED ").unwrap().parse().unwrap()
    }
}

#[test]
fn what_another_program_put_comes_as_it_is() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    let mut other = Other::new(&server);
    assert_eq!(other.say(b"use mail"), "USING mail");
    let texts: [&[u8]; 4] =
        [br#"{"header": {"request_type": "greet"}, "body": {"name": "Ada"}}"#, b"\xff\xfe not UTF-8 \0", b"", b"\r\n"];
    let mut seat = queue.consumer(&["mail".to_owned()]).unwrap();
    for text in texts {
        let id = other.put(text).into();
        let stored = queue.peek(&id).unwrap().unwrap();
        assert_eq!((stored.text.as_slice(), stored.priority.get()), (text, 7));
        let delivery = seat.dequeue(Duration::ZERO).unwrap().unwrap();
        assert_eq!((delivery.text.as_slice(), delivery.ttr), (text, Duration::from_secs(5)));
        seat.commit(&delivery.lease).unwrap();
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
        assert_eq!(queue.stats().unwrap()[0].queue, name);
        assert_eq!(queue.list(&Filter::all().queue(name)).unwrap()[0].queue, name);
        let mut seat = queue.consumer(&[name.to_owned()]).unwrap();
        let delivery = seat.dequeue(Duration::ZERO).unwrap().unwrap();
        assert_eq!(delivery.queue, name);
        seat.commit(&delivery.lease).unwrap();
    }
}

#[test]
fn a_list_finds_old_messages_between_many_that_are_gone() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    let old = queue.enqueue(vec![NewMessage::new("old", "type", "old")]).unwrap();
    let gone = queue.enqueue((0..3000).map(|_| NewMessage::new("gone", "type", "gone")).collect()).unwrap();
    let mut seat = queue.consumer(&["gone".to_owned()]).unwrap();
    for _ in gone {
        let delivery = seat.dequeue(Duration::ZERO).unwrap().unwrap();
        seat.commit(&delivery.lease).unwrap();
    }
    let listed = queue.list(&Filter::all()).unwrap();
    assert_eq!(listed.iter().map(|message| &message.id).collect::<Vec<_>>(), [&old[0]]);
    assert_eq!(queue.stats().unwrap().len(), 1, "the look for the newest id leaves nothing behind");
}

#[test]
fn a_kick_by_another_program_gives_all_attempts_again() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    let id = queue.enqueue(vec![NewMessage::new("mail", "type", "x")]).unwrap().remove(0);
    let mut seat = queue.consumer(&["mail".to_owned()]).unwrap();
    for _ in 0..2 {
        let delivery = seat.dequeue(Duration::ZERO).unwrap().unwrap();
        seat.rollback(&delivery.lease, Duration::ZERO, "failed", true).unwrap();
    }
    let delivery = seat.dequeue(Duration::ZERO).unwrap().unwrap();
    assert_eq!(delivery.failed(3), 2);
    seat.bury(&delivery.lease, "failed", true).unwrap();
    assert_eq!(queue.peek(&id).unwrap().unwrap().state, State::Buried);
    let mut other = Other::new(&server);
    assert_eq!(other.say(format!("kick-job {id}").as_bytes()), "KICKED");
    let delivery = seat.dequeue(Duration::ZERO).unwrap().unwrap();
    assert_eq!((delivery.attempts, delivery.kicks, delivery.failed(3)), (3, 1, 0));
}
