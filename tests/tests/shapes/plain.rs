//! A queue that does what every queue must and nothing more: the methods that
//! have a default are left to it. It holds messages with the text `held` until the
//! test lets them in. It refuses follow-ups with the text `refuse`.

use std::time::Duration;

use pulpo::MessageId;
use pulpo::queue::file::FileQueue;
use pulpo::queue::{
    Capabilities, Consumer, Delivery, Filter, Lease, NewMessage, QueueAdapter, QueueError, Stats, StoredMessage,
};

use crate::board::Board;

#[derive(Debug)]
pub(crate) struct Plain(pub(crate) FileQueue, pub(crate) Board);

struct PlainConsumer(Box<dyn Consumer>);

impl QueueAdapter for Plain {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn enqueue(&self, messages: Vec<NewMessage>) -> Result<Vec<MessageId>, QueueError> {
        if messages.iter().any(|message| message.text.contains(r#""text":"refuse"}"#)) {
            return Err(QueueError::Unsupported("keep a message as large as that"));
        }
        if messages.iter().any(|message| message.text.contains(r#""text":"held"}"#)) {
            self.1.wait("enqueue");
        }
        self.0.enqueue(messages)
    }

    fn consumer(&self, queues: &[String]) -> Result<Box<dyn Consumer>, QueueError> {
        Ok(Box::new(PlainConsumer(self.0.consumer(queues)?)))
    }

    fn interrupt(&self) {
        self.0.interrupt();
    }

    fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError> {
        self.0.peek(id)
    }

    fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
        self.0.list(filter)
    }

    fn stats(&self) -> Result<Stats, QueueError> {
        self.0.stats()
    }

    fn kick(&self, filter: &Filter) -> Result<u64, QueueError> {
        self.0.kick(filter)
    }

    fn delete(&self, filter: &Filter) -> Result<u64, QueueError> {
        self.0.delete(filter)
    }
}

impl Consumer for PlainConsumer {
    fn dequeue(&mut self, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        self.0.dequeue(wait)
    }

    fn commit(&mut self, lease: &Lease) -> Result<(), QueueError> {
        self.0.commit(lease)
    }

    fn expire(&mut self, lease: &Lease) -> Result<(), QueueError> {
        self.0.expire(lease)
    }

    fn rollback(&mut self, lease: &Lease, delay: Duration, reason: &str, counted: bool) -> Result<(), QueueError> {
        self.0.rollback(lease, delay, reason, counted)
    }

    fn bury(&mut self, lease: &Lease, reason: &str, counted: bool) -> Result<(), QueueError> {
        self.0.bury(lease, reason, counted)
    }

    fn touch(&mut self, lease: &Lease) -> Result<(), QueueError> {
        self.0.touch(lease)
    }
}
