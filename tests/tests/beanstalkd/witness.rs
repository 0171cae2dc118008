//! Another client, `beanstalkc`, as a witness: it publishes messages that we read, and reads
//! messages that we publish.

use std::sync::Arc;
use std::time::Duration;

use beanstalkc::Beanstalkc;
use pulpo::clock::SystemClock;
use pulpo::queue::beanstalkd::{BeanstalkdOptions, BeanstalkdQueue};
use pulpo::queue::{DequeueFilter, Filter, Inspection as _, MessageState, NewMessage, QueueAdapter as _, Settlement};
use pulpo_tests::beanstalkd::BeanstalkdServer;
use pulpo_tests::ids;

const QUEUE: &str = "witnessed";

fn both(server: &BeanstalkdServer) -> (BeanstalkdQueue, Beanstalkc) {
    let options = BeanstalkdOptions::new("127.0.0.1").port(server.port());
    let queue = BeanstalkdQueue::connect(options, Arc::new(SystemClock::new())).unwrap();
    let mut other = Beanstalkc::new().host("127.0.0.1").port(server.port()).connect().unwrap();
    other.use_tube(QUEUE).unwrap();
    other.watch(QUEUE).unwrap();
    (queue, other)
}

fn texts() -> [String; 5] {
    ["".to_owned(), "{}".to_owned(), "\r\nDELETED\r\n".to_owned(), "ü\u{0}".to_owned(), "x".repeat(65_000)]
}

#[test]
fn messages_of_another_client_are_read_to_the_byte() {
    let server = BeanstalkdServer::start();
    let (queue, mut other) = both(&server);
    let mut consumer = queue.consumer(&[QUEUE.to_owned()]).unwrap();
    for (number, text) in texts().into_iter().enumerate() {
        let (priority, ttr) = (100 + u32::try_from(number).unwrap(), Duration::from_secs(77));
        let id = other.put(text.as_bytes(), priority, Duration::ZERO, ttr).unwrap();
        let stored = queue.peek(&id.into()).unwrap().unwrap();
        assert_eq!(
            (stored.text.as_slice(), stored.priority.get(), stored.state),
            (text.as_bytes(), priority, MessageState::Ready)
        );
        let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(5)).unwrap().unwrap();
        assert_eq!((delivery.lease.id, delivery.text.as_slice(), delivery.ttr), (id.into(), text.as_bytes(), ttr));
    }
    assert_eq!(queue.list(&Filter::all().state(MessageState::Reserved)).unwrap().len(), texts().len());
}

#[test]
fn another_client_reads_published_messages_to_the_byte() {
    let server = BeanstalkdServer::start();
    let (queue, mut other) = both(&server);
    let batch: Vec<_> = texts().map(|text| NewMessage::new(QUEUE, "type", text)).to_vec();
    let published = ids(queue.enqueue(batch).unwrap());
    for (id, text) in published.iter().zip(texts()) {
        let job = other.reserve_with_timeout(Duration::from_secs(5)).unwrap();
        assert_eq!((job.id().to_string(), job.body()), (id.to_string(), text.as_bytes()));
    }
    let ours = queue.stats().unwrap().counts.remove(0);
    let theirs = other.stats_tube(QUEUE).unwrap();
    assert_eq!(ours.reserved.to_string(), theirs["current-jobs-reserved"]);
}

#[test]
fn settled_messages_look_the_same_to_another_client() {
    let server = BeanstalkdServer::start();
    let (queue, mut other) = both(&server);
    let all = ids(queue.enqueue((0..4).map(|_| NewMessage::new(QUEUE, "type", "{}")).collect()).unwrap());
    let mut consumer = queue.consumer(&[QUEUE.to_owned()]).unwrap();
    let settlements = [
        Settlement::commit(),
        Settlement::rollback(Duration::from_secs(60), "later", true),
        Settlement::bury("never", true),
        Settlement::rollback(Duration::ZERO, "again", true),
    ];
    for mut settlement in settlements {
        let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(5)).unwrap().unwrap();
        consumer.settle(&delivery.lease, &mut settlement).unwrap();
    }
    let state = |other: &mut Beanstalkc, index: usize| {
        let id = all[index].as_str().parse().unwrap();
        other.stats_job(id).map(|job| job["state"].clone()).ok()
    };
    let states: Vec<_> = (0..4).map(|index| state(&mut other, index)).collect();
    let expected = [None, Some("delayed"), Some("buried"), Some("ready")].map(|state| state.map(str::to_owned));
    assert_eq!(states, expected);
    assert_eq!(queue.kick(&Filter::all()).unwrap(), 1);
    assert_eq!(state(&mut other, 2).as_deref(), Some("ready"));
}
