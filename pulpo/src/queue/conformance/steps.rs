//! The steps that cases are made of.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::harness::Harness;
use crate::message::{MessageId, Priority};
use crate::queue::{
    Consumer, Delivery, DequeueFilter, Filter, Lease, MessageState, NewMessage, QueueError, Settlement, StoredMessage,
};

/// The queue that most cases use.
pub(super) const QUEUE: &str = "conformance";

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A time that never ends within a case.
pub(super) const LONG: Duration = Duration::from_secs(600);

/// Creates a message with this text, which can wait for its consumer.
pub(super) fn message(text: &str) -> NewMessage {
    let mut message = NewMessage::new(QUEUE, "type", envelope("type", text));
    message.ttr = LONG;
    message
}

/// Returns the wire form of a message.
pub(super) fn envelope(request_type: &str, text: &str) -> String {
    serde_json::json!({"header": {"request_type": request_type}, "body": {"text": text}}).to_string()
}

/// Returns the text that [`message`] was created with.
pub(super) fn text(delivery: &Delivery) -> String {
    let value: serde_json::Value = serde_json::from_slice(&delivery.text).expect("the text is the one published");
    value["body"]["text"].as_str().expect("the text is the one published").to_owned()
}

pub(super) trait HarnessExt {
    fn put(&self, message: NewMessage) -> MessageId;
    fn consumer(&self) -> Box<dyn Consumer>;
    fn consumer_of(&self, queues: &[&str]) -> Box<dyn Consumer>;
    fn peek(&self, id: &MessageId) -> StoredMessage;
    fn state(&self, id: &MessageId) -> MessageState;
    /// Returns whether the message is done, even if the queue keeps it.
    fn is_gone(&self, id: &MessageId) -> bool;
    fn in_seconds(&self, seconds: i64) -> DateTime<Utc>;
}

impl HarnessExt for dyn Harness + '_ {
    fn put(&self, message: NewMessage) -> MessageId {
        let mut enqueued = self.queue().enqueue(vec![message]).expect("enqueue");
        assert_eq!(enqueued.len(), 1, "one message has one id");
        enqueued.remove(0).id
    }

    fn consumer(&self) -> Box<dyn Consumer> {
        self.consumer_of(&[QUEUE])
    }

    fn consumer_of(&self, queues: &[&str]) -> Box<dyn Consumer> {
        let queues: Vec<_> = queues.iter().map(|&queue| queue.to_owned()).collect();
        self.queue().consumer(&queues).expect("consumer")
    }

    fn peek(&self, id: &MessageId) -> StoredMessage {
        self.queue().peek(id).expect("peek").expect("the message is there")
    }

    fn state(&self, id: &MessageId) -> MessageState {
        self.peek(id).state
    }

    fn is_gone(&self, id: &MessageId) -> bool {
        self.queue().peek(id).expect("peek").is_none_or(|message| message.state == MessageState::Done)
    }

    fn in_seconds(&self, seconds: i64) -> DateTime<Utc> {
        self.now() + chrono::TimeDelta::seconds(seconds)
    }
}

pub(super) trait ConsumerExt {
    /// Takes the next message, which is ready or about to be.
    fn take(&mut self) -> Delivery;
    /// Takes and commits the next message, and returns its text.
    fn work(&mut self) -> String;
    /// Asserts that there is no message.
    #[track_caller]
    fn nothing(&mut self);
}

impl ConsumerExt for Box<dyn Consumer> {
    fn take(&mut self) -> Delivery {
        // A server may need a moment to notice that a connection was closed.
        for _ in 0..2000 {
            if let Some(delivery) = self.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue") {
                return delivery;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("expected a message, got none");
    }

    fn work(&mut self) -> String {
        let delivery = self.take();
        self.settle(&delivery.lease, &mut Settlement::commit()).expect("commit");
        text(&delivery)
    }

    #[track_caller]
    fn nothing(&mut self) {
        let delivery = self.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue");
        assert!(delivery.is_none(), "expected no message, got {delivery:?}");
    }
}

/// The most servers that a queue without a total order has here.
pub(super) const PARTS: usize = 3;

/// A consumer that can let a lease end.
///
/// beanstalkd 1.12 sometimes forgets the deadline of a silent connection until the connection sends a command. So this
/// consumer holds a second message, and touches it when the time has passed.
pub(super) struct Sleeper {
    pub(super) consumer: Box<dyn Consumer>,
    pub(super) others: Vec<Lease>,
}

impl Sleeper {
    pub(super) fn new(harness: &dyn Harness) -> Self {
        let mut consumer = harness.consumer_of(&[QUEUE, "awake"]);
        // One message on each of several servers, because publications take turns among them.
        let count = if harness.queue().capabilities().total_order { 1 } else { PARTS };
        let hold = || {
            harness.put(queue(message("held"), "awake"));
            consumer.take().lease
        };
        let others = std::iter::repeat_with(hold).take(count).collect();
        Self { consumer, others }
    }

    pub(super) fn sleep(&mut self, harness: &dyn Harness, time: Duration) {
        harness.pass(time);
        let lost = self.consumer.touch(&self.others).expect("touch");
        assert!(lost.is_empty(), "the held messages keep their leases: {lost:?}");
    }
}

/// Renews one lease.
pub(super) fn touch(consumer: &mut dyn Consumer, lease: &Lease) -> Result<(), QueueError> {
    let lost = consumer.touch(std::slice::from_ref(lease))?;
    if lost.contains(lease) { Err(QueueError::LeaseLost { id: lease.id.clone() }) } else { Ok(()) }
}

/// Asserts that each settling call reports the lease as lost.
#[track_caller]
pub(super) fn assert_all_lost(consumer: &mut dyn Consumer, lease: &Lease) {
    let results = [
        ("commit", consumer.settle(lease, &mut Settlement::commit())),
        ("expire", consumer.settle(lease, &mut Settlement::Expire)),
        ("rollback", consumer.settle(lease, &mut Settlement::rollback(Duration::ZERO, "late", true))),
        (
            "rollback that does not count",
            consumer.settle(lease, &mut Settlement::rollback(Duration::ZERO, "late", false)),
        ),
        ("rollback with delay", consumer.settle(lease, &mut Settlement::rollback(SECOND, "late", true))),
        ("bury", consumer.settle(lease, &mut Settlement::bury("late", true))),
        ("touch", touch(consumer, lease)),
    ];
    for (call, result) in results {
        match result {
            Err(QueueError::LeaseLost { id }) => assert_eq!(id, lease.id, "the id in the error of {call}"),
            other => panic!("expected LeaseLost from the late {call}, got {other:?}"),
        }
    }
}

/// Takes a consumer's messages until there are no more, and returns their texts.
pub(super) fn drain(consumer: &mut Box<dyn Consumer>) -> Vec<String> {
    come(&mut **consumer, &DequeueFilter::all()).into_iter().map(|one| one.text).collect()
}

/// Asserts that messages come in this order: over the whole queue, or within each ordered part.
#[track_caller]
pub(super) fn assert_order(harness: &dyn Harness, came: &[Came], expected: &[&str]) {
    let sorted = |texts: &mut dyn Iterator<Item = &str>| {
        let mut texts: Vec<_> = texts.map(str::to_owned).collect();
        texts.sort();
        texts
    };
    let mut all = came.iter().map(|one| &*one.text);
    assert_eq!(sorted(&mut all), sorted(&mut expected.iter().copied()), "each came once");
    let parts: std::collections::BTreeSet<_> = came.iter().map(|one| part_of(harness, &one.id)).collect();
    for part in parts {
        let mut left = expected.iter();
        for one in came.iter().filter(|one| part_of(harness, &one.id) == part) {
            assert!(left.any(|next| *next == one.text), "expected the order {expected:?}, got {came:?}");
        }
    }
}

/// Returns the ordered part of the queue that this message is in.
pub(super) fn part_of(harness: &dyn Harness, id: &MessageId) -> String {
    let part = if harness.queue().capabilities().total_order { None } else { id.as_str().rsplit_once('/') };
    part.map_or_else(String::new, |(part, _)| part.to_owned())
}

/// Keeps the given order if the whole queue has one, and sorts otherwise.
pub(super) fn in_order<T: Ord>(harness: &dyn Harness, mut all: Vec<T>) -> Vec<T> {
    if !harness.queue().capabilities().total_order {
        all.sort();
    }
    all
}

/// A message that was handed out.
#[derive(Debug)]
pub(super) struct Came {
    pub(super) id: MessageId,
    pub(super) text: String,
}

impl Came {
    pub(super) fn new(delivery: &Delivery) -> Self {
        Self { id: delivery.lease.id.clone(), text: text(delivery) }
    }
}

/// Takes a consumer's messages until there are no more.
pub(super) fn come(consumer: &mut dyn Consumer, filter: &DequeueFilter) -> Vec<Came> {
    std::iter::from_fn(|| {
        let delivery = consumer.dequeue(filter, Duration::ZERO).expect("dequeue")?;
        consumer.settle(&delivery.lease, &mut Settlement::commit()).expect("commit");
        Some(Came::new(&delivery))
    })
    .collect()
}

pub(super) fn priority(mut message: NewMessage, priority: u32) -> NewMessage {
    message.priority = Priority::new(priority);
    message
}

pub(super) fn ttr(mut message: NewMessage, ttr: Duration) -> NewMessage {
    message.ttr = ttr;
    message
}

pub(super) fn delay(mut message: NewMessage, until: DateTime<Utc>) -> NewMessage {
    message.delay = Some(until);
    message
}

pub(super) fn queue(mut message: NewMessage, queue: &str) -> NewMessage {
    queue.clone_into(&mut message.queue);
    message
}

pub(super) fn ids(messages: &[StoredMessage]) -> Vec<MessageId> {
    messages.iter().map(|message| message.id.clone()).collect()
}

pub(super) fn everything() -> Filter {
    Filter::all()
}
