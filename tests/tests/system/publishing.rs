//! Publishing, as a producer does it.

use std::time::Duration;

use pulpo::queue::{Filter, MessageState};
use pulpo::{Config, Message, Pulpo};

use crate::jobs::{Act, What};

fn in_memory() -> Pulpo {
    Pulpo::new(Config::default().queue("memory:").expect("a place")).expect("a queue")
}

fn acts(count: usize) -> Vec<Act> {
    (0..count).map(|n| Act::new(&format!("publishing {n}"), What::Succeed)).collect()
}

#[test]
fn a_published_message_has_the_id_of_the_queue_and_its_header_filled_in() {
    let pulpo = in_memory();
    let message = Message::new(acts(1).remove(0)).delay(Duration::from_secs(60)).header("trace", "abc");
    let sent = pulpo.publish::<Act>(message).expect("published");
    let stored = pulpo.queue().peek(sent.id().expect("an id")).expect("the queue answers").expect("kept");
    assert_eq!(stored.state, MessageState::Delayed);
    assert_eq!(sent.request_type(), "act");
    assert_eq!(sent.headers().priority().get(), 65_536);
    // The queue stores microseconds, and rounds up, so that nothing starts early.
    let early = sent.headers().delay().expect("a time") - stored.until.expect("a time");
    assert!(early <= chrono::TimeDelta::zero() && early > chrono::TimeDelta::microseconds(-1), "{early}");
    let wire = Message::<Act>::from_json(&stored.text).expect("a message");
    assert_eq!(wire.headers(), sent.headers());
    assert_eq!(wire.headers().get("trace").expect("kept"), "abc");
}

#[test]
fn a_batch_gets_its_ids_in_order() {
    let pulpo = in_memory();
    let sent = pulpo.publish_all(acts(1000)).expect("published");
    let listed = pulpo.queue().list(&Filter::all()).expect("a list");
    let ids = sent.iter().map(|message| message.id().expect("an id"));
    assert!(ids.eq(listed.iter().rev().map(|message| &message.id)));
    assert!(pulpo.publish_all(Vec::<Act>::new()).expect("nothing to do").is_empty());
}

#[test]
fn a_header_with_a_name_of_pulpos_is_refused() {
    let pulpo = in_memory();
    for (key, instead) in [
        ("priority", "set it with the message's method of that name"),
        ("on_duplicate", "set it with the message's method of that name"),
        ("attempts", "leave it to pulpo, which sets it itself"),
        ("shape", "leave it to pulpo, which sets it itself"),
    ] {
        let error = pulpo.publish(Message::new(acts(1).remove(0)).header(key, 5)).expect_err("refused");
        let expected = format!("the header `{key}` is reserved by pulpo: {instead}, or choose another name");
        assert_eq!(error.to_string(), expected);
    }
    assert!(pulpo.queue().list(&Filter::all()).expect("a list").is_empty());
}

/// The only test of this program that uses the process-wide default.
#[test]
fn the_process_wide_default_is_made_once() {
    pulpo::initialize(Config::default().queue("memory:").expect("a place")).expect("the first time");
    let first = pulpo::publish::<Act>(acts(1).remove(0)).expect("published");
    let batch = pulpo::publish_all(acts(2)).expect("published");
    assert_eq!(first.id().expect("an id"), &"1");
    assert_eq!(batch[1].id().expect("an id"), &"3");
    let error = pulpo::initialize(Config::default()).expect_err("refused");
    assert!(error.to_string().starts_with("pulpo is already initialized"), "{error}");
}
