//! The queue of a test: whatever queue it is made of, with a record of all
//! that goes in and of what becomes of it.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::run::{Run, Settled};
use crate::clock::{ManualClock, lock};
use crate::message::{Incoming, MessageId};
use crate::queue::{
    Capabilities, Consumer, Delivery, Filter, Lease, NewMessage, Pick, QueueAdapter, QueueError, Stats, StoredMessage,
};

/// Called after something was published.
pub(super) type OnPublish = Box<dyn Fn() + Send + Sync>;

#[derive(Clone)]
pub(super) struct Recorder(Arc<Shared>);

struct Shared {
    queue: Arc<dyn QueueAdapter>,
    clock: ManualClock,
    record: Mutex<Record>,
    on_publish: OnPublish,
}

/// All that has happened.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) published: Vec<Published>,
    pub(super) runs: Vec<Run>,
}

/// A message that was published.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) id: MessageId,
    pub(super) request_type: String,
    pub(super) text: String,
}

impl Recorder {
    pub(super) fn new(queue: Arc<dyn QueueAdapter>, clock: ManualClock, on_publish: OnPublish) -> Self {
        Self(Arc::new(Shared { queue, clock, record: Mutex::default(), on_publish }))
    }

    /// Reads the record, which nothing is added to meanwhile.
    pub(super) fn read<R>(&self, read: impl FnOnce(&Record) -> R) -> R {
        read(&lock(&self.0.record))
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recorder").field(&self.0.queue).finish()
    }
}

impl QueueAdapter for Recorder {
    fn capabilities(&self) -> Capabilities {
        self.0.queue.capabilities()
    }

    fn enqueue(&self, messages: Vec<NewMessage>) -> Result<Vec<MessageId>, QueueError> {
        let mut record = lock(&self.0.record);
        let ids = self.0.queue.enqueue(messages.clone())?;
        record.add(messages.into_iter().zip(ids.iter().cloned()));
        drop(record);
        (self.0.on_publish)();
        Ok(ids)
    }

    fn consumer(&self, queues: &[String]) -> Result<Box<dyn Consumer>, QueueError> {
        let consumer = self.0.queue.consumer(queues)?;
        Ok(Box::new(RecordingConsumer { consumer, recorder: self.clone(), taken: HashMap::new() }))
    }

    fn interrupt(&self) {
        self.0.queue.interrupt();
    }

    fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError> {
        self.0.queue.peek(id)
    }

    fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
        self.0.queue.list(filter)
    }

    fn stats(&self) -> Result<Stats, QueueError> {
        self.0.queue.stats()
    }

    fn kick(&self, filter: &Filter) -> Result<u64, QueueError> {
        self.0.queue.kick(filter)
    }

    fn delete(&self, filter: &Filter) -> Result<u64, QueueError> {
        self.0.queue.delete(filter)
    }

    fn pause(&self, queue: &str, time: Duration) -> Result<(), QueueError> {
        self.0.queue.pause(queue, time)
    }

    fn backup(&self, file: &Path) -> Result<u64, QueueError> {
        self.0.queue.backup(file)
    }
}

impl Record {
    fn add(&mut self, messages: impl Iterator<Item = (NewMessage, MessageId)>) {
        let published = |(new, id): (NewMessage, _)| Published { id, request_type: new.request_type, text: new.text };
        self.published.extend(messages.map(published));
    }

    /// Those that a commit has put into the queue tell no ids: they are the
    /// new ones with these texts.
    fn add_follow_ups(&mut self, follow_ups: Vec<NewMessage>, stored: Vec<StoredMessage>) {
        let mut known: BTreeSet<_> = self.published.iter().map(|published| published.id.clone()).collect();
        for new in follow_ups {
            let is_new = |stored: &&StoredMessage| stored.text == new.text.as_bytes() && !known.contains(&stored.id);
            let Some(id) = stored.iter().rev().find(is_new).map(|stored| stored.id.clone()) else { continue };
            known.insert(id.clone());
            self.add(std::iter::once((new, id)));
        }
    }
}

struct RecordingConsumer {
    consumer: Box<dyn Consumer>,
    recorder: Recorder,
    /// What is known of the messages that it has.
    taken: HashMap<MessageId, (String, u32)>,
}

impl RecordingConsumer {
    fn note(&mut self, delivery: Option<Delivery>) -> Option<Delivery> {
        let delivery = delivery?;
        let message = Incoming::read(&delivery.text).ok();
        let request_type = message.map(|message| message.header.request_type().to_owned()).unwrap_or_default();
        self.taken.insert(delivery.lease.id.clone(), (request_type, delivery.attempts.saturating_add(1)));
        Some(delivery)
    }

    fn settled(&self, lease: &Lease, result: Result<(), QueueError>, settled: Settled) -> Result<(), QueueError> {
        let settled = match &result {
            Ok(()) => settled,
            Err(QueueError::LeaseLost { .. }) => Settled::Lost,
            Err(_) => return result,
        };
        let (request_type, attempt) = self.taken.get(&lease.id).cloned().unwrap_or_default();
        lock(&self.recorder.0.record).runs.push(Run::new(lease.id.clone(), request_type, attempt, settled));
        result
    }
}

impl Consumer for RecordingConsumer {
    fn dequeue(&mut self, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        let found = self.consumer.dequeue(wait)?;
        Ok(self.note(found))
    }

    /// Nobody but the test moves the clock, so a batch would linger for ever:
    /// the time that it waits passes at once.
    fn dequeue_where(&mut self, pick: &Pick, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        let mut found = self.consumer.dequeue_where(pick, Duration::ZERO)?;
        if found.is_none() && !wait.is_zero() {
            let lingers = pick.request_type.is_some();
            if lingers {
                self.recorder.0.clock.advance(wait);
            }
            found = self.consumer.dequeue_where(pick, if lingers { Duration::ZERO } else { wait })?;
        }
        Ok(self.note(found))
    }

    fn commit(&mut self, lease: &Lease) -> Result<(), QueueError> {
        let result = self.consumer.commit(lease);
        self.settled(lease, result, Settled::Done)
    }

    fn commit_with(
        &mut self,
        lease: &Lease,
        follow_ups: &mut Vec<NewMessage>,
        queue: &dyn QueueAdapter,
    ) -> Result<(), QueueError> {
        let shared = self.recorder.0.clone();
        let mut record = lock(&shared.record);
        let new = follow_ups.clone();
        let result = self.consumer.commit_with(lease, follow_ups, queue);
        if result.is_ok() {
            record.add_follow_ups(new, shared.queue.list(&Filter::all())?);
        }
        drop(record);
        self.settled(lease, result, Settled::Done)
    }

    fn expire(&mut self, lease: &Lease) -> Result<(), QueueError> {
        let result = self.consumer.expire(lease);
        self.settled(lease, result, Settled::Expired)
    }

    fn rollback(&mut self, lease: &Lease, delay: Duration, reason: &str, counted: bool) -> Result<(), QueueError> {
        let result = self.consumer.rollback(lease, delay, reason, counted);
        self.settled(lease, result, Settled::PutBack { after: delay, reason: reason.to_owned() })
    }

    fn leave_to_others(&mut self, lease: &Lease, delay: Duration, reason: &str) -> Result<(), QueueError> {
        let result = self.consumer.leave_to_others(lease, delay, reason);
        self.settled(lease, result, Settled::PutBack { after: delay, reason: reason.to_owned() })
    }

    fn bury(&mut self, lease: &Lease, reason: &str, counted: bool) -> Result<(), QueueError> {
        let result = self.consumer.bury(lease, reason, counted);
        self.settled(lease, result, Settled::Buried { reason: reason.to_owned() })
    }

    fn touch(&mut self, lease: &Lease) -> Result<(), QueueError> {
        self.consumer.touch(lease)
    }
}
