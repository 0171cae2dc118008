//! Every page of a queue with many messages appears quickly.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pulpo::clock::SystemClock;
use pulpo::queue::file::FileQueue;
use pulpo::queue::{DequeueFilter, NewMessage, QueueAdapter as _, Settlement};
use pulpo_tests::program::Sandbox;

use super::Served;

/// The number of messages. If `PULPO_DASHBOARD_JOBS` sets it, each page must appear within 100 ms.
fn size() -> (usize, Duration) {
    let asked = std::env::var("PULPO_DASHBOARD_JOBS").ok();
    let asked = asked.map(|count| count.parse().expect("PULPO_DASHBOARD_JOBS is a number"));
    asked.map_or((120_000, Duration::from_secs(3)), |count| (count, Duration::from_millis(100)))
}

/// Publishes one message of a rare type, and then many of twenty other types, some of which are buried.
fn fill(place: &Sandbox, count: usize) {
    let queue = FileQueue::open(&place.path("pulpo-data"), false, Arc::new(SystemClock::new())).expect("the queue");
    let message = |name: &str| {
        let text = format!(r#"{{"header": {{"request_type": "{name}"}}, "body": {{"text": "{:<150}"}}}}"#, "x");
        NewMessage::new("pulpo", name, text)
    };
    queue.enqueue(vec![message("rare")]).expect("published");
    let mut left = count - 1;
    while left > 0 {
        let part = left.min(5000);
        queue.enqueue((0..part).map(|n| message(&format!("type_{}", n % 20))).collect()).expect("published");
        left -= part;
    }
    let mut consumer = queue.consumer(&["pulpo".to_owned()]).expect("a consumer");
    for _ in 0..500 {
        let filter = DequeueFilter::all().request_type("type_7");
        let delivery = consumer.dequeue(&filter, Duration::ZERO).expect("a look").expect("a message");
        consumer.settle(&delivery.lease, &mut Settlement::bury("no card", true)).expect("buried");
    }
    consumer.flush().expect("flushed");
}

#[test]
fn each_page_of_a_long_queue_is_there_soon() {
    let place = Sandbox::new();
    let (count, longest) = size();
    fill(&place, count);
    let served = Served::start(&place, &["--allow-changes"], &[]);
    let paths = [
        "/",
        "/?span=day",
        "/?span=month&type=type_3",
        "/jobs",
        "/jobs?state=buried",
        "/jobs?state=delayed",
        "/jobs?type=rare",
        "/jobs?type=type_3&state=ready",
        "/jobs?queue=nowhere",
        "/jobs?reason=nothing+says+this",
        "/jobs?older=1d",
        "/jobs/1",
        "/queues",
        "/schedules",
    ];
    let mut slow = Vec::new();
    for path in paths {
        let mut times: Vec<Duration> = (0..5)
            .map(|_| {
                let began = Instant::now();
                served.page(path);
                began.elapsed()
            })
            .collect();
        times.sort();
        if times[2] > longest {
            slow.push((path, times[2]));
        }
    }
    assert!(slow.is_empty(), "of {count} messages: {slow:?}");
}

#[test]
fn what_is_rare_is_found_a_part_at_a_time() {
    let place = Sandbox::new();
    fill(&place, 120_000);
    let served = Served::start(&place, &[], &[]);
    let (mut path, mut pages) = ("/jobs?type=rare".to_owned(), 0);
    let found = loop {
        let page = served.page(&path);
        pages += 1;
        if page.contains("/jobs/1\"") {
            break page;
        }
        assert!(page.contains("No job matches, of the 50,000 that were looked at."), "{path}: {page}");
        let next = page.split("rel=\"next\"").next().and_then(|before| before.rsplit("href=\"").next());
        path = next.and_then(|link| link.split('"').next()).expect("a link").replace("&amp;", "&");
    };
    assert_eq!(pages, 3, "{found}");
    assert!(!found.contains("Look at older ones"), "{found}");
}
