//! Typed publishing over a connection of another client.

use std::sync::Arc;
use std::time::Duration;

use beanstalkc::Beanstalkc;
use pulpo::clock::SystemClock;
use pulpo::queue::beanstalkd::{BeanstalkdOptions, BeanstalkdQueue};
use pulpo::queue::{DequeueFilter, Inspection as _, MessageState, QueueAdapter as _};
use pulpo::{Config, Message, Pulpo};
use pulpo_tests::beanstalkd::{BeanstalkdServer, Options};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Letter {
    to: String,
}

#[pulpo::handler("letter_over_beanstalkc", queue = "letters", priority = 7, ttr = "90s")]
fn letter(_: Letter) {}

fn set_up(server: &BeanstalkdServer) -> (Pulpo, BeanstalkdQueue, Beanstalkc) {
    let config = Config::default().queue(&format!("beanstalkd://127.0.0.1:{}", server.port())).unwrap();
    let options = BeanstalkdOptions::new("127.0.0.1").port(server.port());
    let queue = BeanstalkdQueue::connect(options, Arc::new(SystemClock::new())).unwrap();
    let mut connection = Beanstalkc::new().host("127.0.0.1").port(server.port()).connect().unwrap();
    connection.use_tube("own").unwrap();
    (Pulpo::new(config).unwrap(), queue, connection)
}

fn to(name: &str) -> Letter {
    Letter { to: name.to_owned() }
}

#[test]
fn a_job_goes_out_over_the_connection_as_its_handler_says() {
    let server = BeanstalkdServer::start();
    let (pulpo, queue, mut connection) = set_up(&server);
    let sent = pulpo.publish_in(&mut connection, to("ada")).unwrap();
    let stored = queue.peek(sent.id().unwrap()).unwrap().unwrap();
    assert_eq!((stored.queue.as_str(), stored.request_type.as_str()), ("letters", "letter_over_beanstalkc"));
    assert_eq!(
        (stored.priority.get(), stored.ttr, stored.state),
        (7, Some(Duration::from_secs(90)), MessageState::Ready)
    );
    let delivery = queue.consumer(&["letters".to_owned()]).unwrap();
    let delivery = { delivery }.dequeue(&DequeueFilter::all(), Duration::from_secs(5)).unwrap().unwrap();
    assert_eq!(Message::<Letter>::from_json(&delivery.text).unwrap().body(), &to("ada"));
    assert_eq!(connection.using().unwrap(), "own", "the connection goes on where it was");
}

#[test]
fn options_of_the_message_hold_and_a_delay_never_ends_early() {
    let server = BeanstalkdServer::start();
    let (pulpo, queue, mut connection) = set_up(&server);
    let message = Message::new(to("grace")).priority(3).delay(Duration::from_millis(600_500));
    let before = chrono::Utc::now();
    let sent = pulpo.publish_in(&mut connection, message).unwrap();
    let stored = queue.peek(sent.id().unwrap()).unwrap().unwrap();
    assert_eq!((stored.priority.get(), stored.state), (3, MessageState::Delayed));
    let until = stored.until.unwrap();
    // The server says how many whole seconds are left.
    assert!((until - before).num_milliseconds() >= 600_000, "{until}");
    assert!((until - chrono::Utc::now()).num_milliseconds() <= 601_000, "{until}");
}

/// The server would take it, and forget what it does not know.
#[test]
fn a_job_that_the_server_cannot_keep_as_asked_is_refused_and_not_sent() {
    let server = BeanstalkdServer::start();
    let (pulpo, queue, mut connection) = set_up(&server);
    let years = Duration::from_secs(200 * 365 * 24 * 60 * 60);
    for (message, expected) in [
        (Message::new(to("ada")).unique_key("ada"), "this queue cannot keep messages unique: use one that can"),
        (Message::new(to("ada")).delay(years), "expected a delay of at most 136years"),
    ] {
        let error = pulpo.publish_in(&mut connection, message).unwrap_err();
        let mut said = vec![error.to_string()];
        let mut next = std::error::Error::source(&error);
        while let Some(error) = next {
            said.push(error.to_string());
            next = error.source();
        }
        assert!(said.iter().any(|said| said.starts_with(expected)), "{said:?}");
        assert_eq!(connection.using().unwrap(), "own");
    }
    assert_eq!(queue.stats().unwrap().total(), 0);
    pulpo.publish_in(&mut connection, to("ada")).unwrap();
}

#[test]
fn a_message_that_the_server_refuses_is_an_error_and_the_connection_stays_usable() {
    let server = Options::new().max_job_size(300).start();
    let (pulpo, queue, mut connection) = set_up(&server);
    let error = pulpo.publish_in(&mut connection, to(&"x".repeat(400))).unwrap_err();
    assert!(matches!(error, pulpo::PublishError::Transaction(_)), "{error:?}");
    assert_eq!(connection.using().unwrap(), "own");
    pulpo.publish_in(&mut connection, to("ada")).unwrap();
    assert_eq!(queue.stats().unwrap().counts.iter().map(|counts| counts.ready).sum::<u64>(), 1);
}
