//! A queue with only the required capabilities: it cannot leave out ready messages, and it uses the
//! default methods. It holds messages with the text `held` until the test lets them in. It refuses
//! follow-ups with the text `refuse`.

use std::time::Duration;

use pulpo::queue::file::FileQueue;
use pulpo::queue::{
    Capabilities, Consumer, Delivery, DequeueFilter, Enqueued, Lease, NewMessage, QueueAdapter, QueueError, Settlement,
    enqueue_follow_ups,
};

use crate::board::Board;

#[derive(Clone, Debug)]
pub(crate) struct Plain(pub(crate) FileQueue, pub(crate) Board);

struct PlainConsumer {
    queue: Plain,
    consumer: Box<dyn Consumer>,
}

impl QueueAdapter for Plain {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn enqueue(&self, messages: Vec<NewMessage>) -> Result<Vec<Enqueued>, QueueError> {
        if messages.iter().any(|message| message.text.contains(r#""text":"refuse"}"#)) {
            return Err(QueueError::Unsupported("keep a message as large as that"));
        }
        if messages.iter().any(|message| message.text.contains(r#""text":"held"}"#)) {
            self.1.wait("enqueue");
        }
        self.0.enqueue(messages)
    }

    fn consumer(&self, queues: &[String]) -> Result<Box<dyn Consumer>, QueueError> {
        Ok(Box::new(PlainConsumer { queue: self.clone(), consumer: self.0.consumer(queues)? }))
    }

    fn interrupt(&self) {
        self.0.interrupt();
    }
}

pulpo_tests::inspect_through!(Plain, 0);

impl Consumer for PlainConsumer {
    fn dequeue(&mut self, _: &DequeueFilter, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        self.consumer.dequeue(&DequeueFilter::all(), wait)
    }

    fn settle(&mut self, lease: &Lease, settlement: &mut Settlement) -> Result<(), QueueError> {
        let Settlement::Commit { follow_ups, .. } = settlement else { return self.consumer.settle(lease, settlement) };
        if !follow_ups.is_empty() {
            if !self.touch(std::slice::from_ref(lease))?.is_empty() {
                return Err(QueueError::LeaseLost { id: lease.id.clone() });
            }
            enqueue_follow_ups(&self.queue, follow_ups)?;
        }
        self.consumer.settle(lease, &mut Settlement::commit())
    }

    fn touch(&mut self, leases: &[Lease]) -> Result<Vec<Lease>, QueueError> {
        self.consumer.touch(leases)
    }
}
