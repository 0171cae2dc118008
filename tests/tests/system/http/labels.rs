//! The metrics of a queue, and their labels.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pulpo::clock::ManualClock;
use pulpo::queue::NewMessage;
use pulpo::worker::WorkerOptions;
use pulpo::{Config, Pulpo};
use pulpo_tests::beanstalkd::free_port;
use pulpo_tests::http::{ANYWHERE, address, get, value};
use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::until;

use super::WORKER;

/// Returns the metrics of a worker, once it has counted its queue.
fn measured(address: SocketAddr) -> String {
    let mut text = String::new();
    until("the queue is counted", || {
        text = get(address, "/metrics").map(|(_, text)| text).unwrap_or_default();
        !series(&text, "pulpo_queue_messages").is_empty()
    });
    text
}

/// Returns the series of a metric: the text between its braces, and its value.
fn series(text: &str, metric: &str) -> BTreeMap<String, f64> {
    let of_metric = text.lines().filter_map(|line| line.strip_prefix(metric)?.strip_prefix('{'));
    of_metric
        .map(|line| {
            let (labels, value) = line.rsplit_once("} ").expect("labels and a value");
            (labels.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

#[test]
fn the_documented_query_counts_a_queue_of_several_workers_once() {
    let place = Sandbox::new();
    for (request_type, count) in [("talk", "4"), ("note", "3")] {
        let said =
            place.run(WORKER, &["publish", request_type, "--payload", "later", "--count", count, "--delay", "1h"]);
        assert_eq!(said.code, 0, "{}", said.err);
    }
    let places = [Sandbox::new(), Sandbox::new()];
    let all = places.each_ref().map(|at| {
        let mut command = at.command(WORKER, &["work", ANYWHERE[0], ANYWHERE[1]]);
        command.env("PULPO_QUEUE", format!("file:{}", place.path("pulpo-data").display()));
        let worker = at.start(command);
        let text = measured(address(at));
        worker.signal("TERM");
        assert_eq!(worker.end(), 0);
        series(&text, "pulpo_queue_messages")
    });
    // max by (queue, request_type, state) (…)
    let mut greatest: BTreeMap<&str, f64> = BTreeMap::new();
    for (labels, value) in all.iter().flatten() {
        let known = greatest.entry(labels).or_default();
        *known = known.max(*value);
    }
    assert_eq!(greatest[r#"queue="pulpo",request_type="talk",state="delayed""#], 4.0);
    assert_eq!(greatest[r#"queue="notes",request_type="note",state="delayed""#], 3.0);
    assert_eq!(greatest.values().sum::<f64>(), 7.0, "{greatest:?}");
    // A sum counts each message twice, which the documentation warns of.
    assert_eq!(all.iter().flatten().map(|(_, value)| value).sum::<f64>(), 14.0);
}

#[test]
fn types_that_others_make_up_stay_few() {
    let place = Sandbox::new();
    let pulpo =
        Pulpo::new(Config::default().queue(&format!("file:{}", place.path("pulpo-data").display())).expect("a queue"))
            .expect("opened");
    let strange = ["a\"b\\c\nd", "{}", "naïve ✓", &"long".repeat(1_000)];
    let made_up = (0..300).map(|number| format!("made-up-{number}"));
    let messages = strange.into_iter().map(str::to_owned).chain(made_up).map(|request_type| {
        let mut message = NewMessage::new("pulpo", request_type, r#"{"header": {"request_type": "x"}, "body": {}}"#);
        message.delay = Some(chrono::Utc::now() + Duration::from_secs(3600));
        message
    });
    pulpo.queue().enqueue(messages.collect()).expect("kept");
    let worker = place.start(place.command(WORKER, &["work", ANYWHERE[0], ANYWHERE[1]]));
    let text = measured(address(&place));
    let all = series(&text, "pulpo_queue_messages");
    assert_eq!(all.values().sum::<f64>(), 304.0, "all are counted");
    let types: BTreeSet<_> = all.keys().filter_map(|labels| labels.split("request_type=").nth(1)).collect();
    // The types of the handlers, a hundred others, and the rest.
    assert!(types.len() < 4 * 110, "{} series", types.len());
    assert!(all[r#"queue="pulpo",request_type="(other)",state="delayed""#] > 200.0, "{text}");
    assert!(text.lines().all(|line| line.len() < 1_000), "{text}");
    assert!(all.contains_key(r#"queue="pulpo",request_type="a\"b\\c\nd",state="delayed""#), "{text}");
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

#[test]
fn the_oldest_ready_message_has_an_age() {
    let clock = ManualClock::at("2026-11-23T09:00:00Z".parse().expect("a time"));
    let config = Config::default().queue("memory:").expect("a queue");
    let queue = Pulpo::with_clock(config, Arc::new(clock.clone())).expect("opened").queue().clone();
    let mut options = WorkerOptions::default();
    options.concurrency = 1;
    options.handle_signals = false;
    options.queues = vec!["aged".to_owned()];
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    options.listen = Some(address);
    let worker = Pulpo::with_queue(queue.clone(), options, Arc::new(clock.clone())).worker().expect("handlers");
    let stopper = worker.stopper();
    let working = std::thread::spawn(move || worker.run().expect("works"));
    let age = || value(&get(address, "/metrics")?.1, r#"pulpo_queue_oldest_ready_seconds{queue="aged"}"#);
    until("nothing is ready", || age() == Some(0.0));
    // No worker takes the messages that follow.
    queue.pause("aged", Duration::from_secs(36_000)).expect("paused");
    let message = || NewMessage::new("aged", "old", r#"{"header": {"request_type": "old"}, "body": {}}"#);
    queue.enqueue(vec![message()]).expect("kept");
    clock.advance(Duration::from_secs(60));
    queue.enqueue(vec![message()]).expect("kept");
    clock.advance(Duration::from_secs(30));
    until("it has waited for 90 seconds", || age() == Some(90.0));
    queue.delete(&pulpo::queue::Filter::all()).expect("deleted");
    until("nothing is ready any more", || age() == Some(0.0));
    stopper.stop();
    working.join().expect("no panic");
}
