//! The queue of a test: wraps any queue, and records which messages come in and what happens to them.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::run::{Run, Settled};
use crate::clock::ManualClock;
use crate::keys::Publication;
use crate::message::{Incoming, MessageId};
use crate::queue::{
    ActivityLog, CANCELLED, Cancelled, Capabilities, Consumer, Delivery, DequeueFilter, Edit, Edited, EnqueueAsync,
    Enqueued, Filter, Inspection, Keeping, Lease, NewMessage, OccurrenceMessage, OutboxIds, Progress, QueueAdapter,
    QueueError, ScheduleStep, ScheduleStore, Schedules, Settlement, Stats, Stepped, StoredMessage, Survey, Unique,
    Workers,
};
use crate::state::interleave;
use crate::sync::lock;

/// Called after each publication.
pub(super) type OnPublish = Box<dyn Fn() + Send + Sync>;

#[derive(Clone)]
pub(super) struct Recorder(Arc<Shared>);

struct Shared {
    queue: Arc<dyn QueueAdapter>,
    clock: ManualClock,
    record: Mutex<Record>,
    on_publish: OnPublish,
}

/// Everything that has happened.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) published: Vec<Published>,
    /// Publications whose unique key was taken.
    pub(super) duplicates: Vec<Published>,
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

    /// Reads the record while it is locked.
    pub(super) fn read<R>(&self, read: impl FnOnce(&Record) -> R) -> R {
        read(&lock(&self.0.record))
    }

    /// Records the progress of the runs from this one on, of which the handler has reported it for the first. Returns
    /// where the next run will be.
    pub(super) fn note_progress(&self, first: usize, progress: Option<Progress>) -> usize {
        let mut record = lock(&self.0.record);
        if let Some(run) = record.runs.get_mut(first) {
            run.set_progress(progress);
        }
        record.runs.len()
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

    fn enqueue(&self, messages: Vec<NewMessage>) -> Result<Vec<Enqueued>, QueueError> {
        // Before the lock, which the second run of the message takes too.
        interleave::reached();
        let mut record = lock(&self.0.record);
        let enqueued = self.0.queue.enqueue(messages.clone())?;
        messages.into_iter().zip(&enqueued).for_each(|(new, one)| record.add(new, one));
        drop(record);
        (self.0.on_publish)();
        Ok(enqueued)
    }

    /// Enqueues at once if a handler among faults publishes, so that all that happens has an order.
    fn enqueue_async(&self, messages: Vec<NewMessage>) -> EnqueueAsync {
        if interleave::is_active() {
            return EnqueueAsync::Pending(Box::pin(std::future::ready(self.enqueue(messages))));
        }
        EnqueueAsync::Blocks(messages)
    }

    fn consumer(&self, queues: &[String]) -> Result<Box<dyn Consumer>, QueueError> {
        let consumer = self.0.queue.consumer(queues)?;
        let (taken, unanswered) = (HashMap::new(), BTreeSet::new());
        Ok(Box::new(RecordingConsumer { consumer, recorder: self.clone(), taken, unanswered }))
    }

    fn outbox_ids(&self) -> Option<&dyn OutboxIds> {
        self.0.queue.outbox_ids()
    }

    fn activity(&self) -> Option<&dyn ActivityLog> {
        self.0.queue.activity()
    }

    fn schedules(&self) -> Option<&dyn ScheduleStore> {
        self.0.queue.schedules().map(|_| self as &dyn ScheduleStore)
    }

    fn workers(&self) -> Option<&dyn Workers> {
        self.0.queue.workers()
    }

    fn keeping(&self) -> Option<&dyn Keeping> {
        self.0.queue.keeping()
    }

    fn check_rights(&self) -> Result<(), QueueError> {
        self.0.queue.check_rights()
    }

    fn stores(&self) -> Result<Vec<String>, QueueError> {
        self.0.queue.stores()
    }

    fn interrupt(&self) {
        self.0.queue.interrupt();
    }

    fn hold_back(&self, request_type: &str, key: Option<&str>, time: Duration) -> Result<(), QueueError> {
        self.0.queue.hold_back(request_type, key, time)
    }
}

impl Recorder {
    fn kept(&self) -> &dyn ScheduleStore {
        self.0.queue.schedules().expect("a recorder is one of a queue that has schedules")
    }
}

impl ScheduleStore for Recorder {
    fn read_schedules(&self) -> Result<Schedules, QueueError> {
        self.kept().read_schedules()
    }

    fn step_schedule(&self, step: &ScheduleStep) -> Result<Stepped, QueueError> {
        let mut record = lock(&self.0.record);
        let stepped = self.kept().step_schedule(step)?;
        let Stepped::Done(ids) = &stepped else { return Ok(stepped) };
        let mut published = false;
        for (occurrence, id) in step.occurrences.iter().zip(ids) {
            if let (OccurrenceMessage::New(message), Some(id)) = (&occurrence.message, id) {
                // A unique message may be there already.
                let is_known = record.published.iter().any(|published| published.id == *id);
                let publication = if is_known { Publication::Kept } else { Publication::New };
                record.add(message.clone(), &Enqueued::duplicate(id.clone(), publication));
                published = true;
            }
        }
        drop(record);
        if published {
            (self.0.on_publish)();
        }
        Ok(stepped)
    }

    fn pause_schedule(&self, name: &str, paused: bool) -> Result<bool, QueueError> {
        self.kept().pause_schedule(name, paused)
    }

    fn forget_schedules(&self, unattended_for: Duration) -> Result<u64, QueueError> {
        self.kept().forget_schedules(unattended_for)
    }
}

impl Inspection for Recorder {
    fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError> {
        self.0.queue.peek(id)
    }

    fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
        self.0.queue.list(filter)
    }

    fn survey(&self, filter: &Filter, texts: bool) -> Result<Survey, QueueError> {
        self.0.queue.survey(filter, texts)
    }

    fn stats(&self) -> Result<Stats, QueueError> {
        self.0.queue.stats()
    }

    fn change_mark(&self) -> Result<u64, QueueError> {
        self.0.queue.change_mark()
    }

    fn kick(&self, filter: &Filter) -> Result<u64, QueueError> {
        self.0.queue.kick(filter)
    }

    fn key_taken_by(&self, id: &MessageId) -> Result<Option<MessageId>, QueueError> {
        self.0.queue.key_taken_by(id)
    }

    fn delete(&self, filter: &Filter) -> Result<u64, QueueError> {
        self.0.queue.delete(filter)
    }

    fn cancel(&self, filter: &Filter) -> Result<Cancelled, QueueError> {
        self.0.queue.cancel(filter)
    }

    fn edit(&self, id: &MessageId, edit: &Edit) -> Result<Edited, QueueError> {
        self.0.queue.edit(id, edit)
    }

    fn pause(&self, queue: &str, time: Duration) -> Result<(), QueueError> {
        self.0.queue.pause(queue, time)
    }

    fn backup(&self, file: &Path) -> Result<u64, QueueError> {
        self.0.queue.backup(file)
    }
}

impl Record {
    fn add(&mut self, new: NewMessage, enqueued: &Enqueued) {
        let published = Published { id: enqueued.id.clone(), request_type: new.request_type, text: new.text };
        match enqueued.publication {
            Publication::New => self.published.push(published),
            Publication::Kept => self.duplicates.push(published),
            Publication::Replaced => {
                let same = self.published.iter_mut().filter(|before| before.id == published.id);
                same.for_each(|before| before.text.clone_from(&published.text));
                self.duplicates.push(published);
            }
        }
    }

    /// Adds follow-ups, of which a commit returns no ids: they are the new messages with these texts, or else, if they
    /// are unique, the messages with these keys.
    fn add_follow_ups(&mut self, follow_ups: Vec<NewMessage>, stored: Vec<StoredMessage>) {
        let mut known: BTreeSet<_> = self.published.iter().map(|published| published.id.clone()).collect();
        for new in follow_ups {
            let is_new = |stored: &&StoredMessage| stored.text == new.text.as_bytes() && !known.contains(&stored.id);
            let enqueued = match stored.iter().rev().find(is_new) {
                Some(stored) => Enqueued::new(stored.id.clone()),
                None => match stored.iter().find(|stored| has_key_of(stored, &new)) {
                    Some(stored) if stored.text == new.text.as_bytes() => {
                        Enqueued::duplicate(stored.id.clone(), Publication::Replaced)
                    }
                    Some(stored) => Enqueued::duplicate(stored.id.clone(), Publication::Kept),
                    None => continue,
                },
            };
            known.insert(enqueued.id.clone());
            self.add(new, &enqueued);
        }
    }
}

/// Returns whether a stored message has the unique key of a new one.
fn has_key_of(stored: &StoredMessage, new: &NewMessage) -> bool {
    let same = |(one, other): (&Unique, &Unique)| one.key == other.key;
    stored.has_key
        && stored.request_type == new.request_type
        && stored.unique.as_ref().zip(new.unique.as_ref()).is_some_and(same)
}

struct RecordingConsumer {
    consumer: Box<dyn Consumer>,
    recorder: Recorder,
    /// The messages that it has.
    taken: HashMap<MessageId, (String, u32)>,
    /// The messages for which the queue has not answered a settlement.
    unanswered: BTreeSet<MessageId>,
}

impl RecordingConsumer {
    fn note(&mut self, delivery: Option<Delivery>) -> Option<Delivery> {
        let delivery = delivery?;
        let message = Incoming::read(&delivery.text).ok();
        let request_type = message.map(|message| message.header.request_type().to_owned()).unwrap_or_default();
        self.taken.insert(delivery.lease.id.clone(), (request_type, delivery.attempts.saturating_add(1)));
        Some(delivery)
    }
}

impl Settled {
    fn of(settlement: &Settlement) -> Self {
        match settlement {
            Settlement::Commit { .. } => Self::Done,
            Settlement::Expire => Self::Expired,
            Settlement::Rollback { delay, reason, .. } | Settlement::LeaveToOthers { delay, reason } => {
                Self::PutBack { after: *delay, reason: reason.clone() }
            }
            Settlement::Bury { reason, .. } => Self::Buried { reason: reason.clone() },
        }
    }
}

impl Consumer for RecordingConsumer {
    /// Lets the waiting time of a batch pass at once, which would be endless because only the test moves the clock.
    fn dequeue(&mut self, filter: &DequeueFilter, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        let lingers = filter.request_type.is_some();
        let mut found = self.consumer.dequeue(filter, if lingers { Duration::ZERO } else { wait })?;
        if found.is_none() && lingers && !wait.is_zero() {
            self.recorder.0.clock.advance(wait);
            found = self.consumer.dequeue(filter, Duration::ZERO)?;
        }
        Ok(self.note(found))
    }

    fn settle(&mut self, lease: &Lease, settlement: &mut Settlement) -> Result<(), QueueError> {
        let shared = self.recorder.0.clone();
        // Before the lock, which the second run of the message takes too.
        interleave::finish();
        let mut record = lock(&shared.record);
        let (settled, follow_ups) = (Settled::of(settlement), settlement.follow_ups().to_vec());
        let result = self.consumer.settle(lease, settlement);
        // A settlement whose answer was lost may have had its effect.
        let may_be_done = result.as_ref().map_or_else(QueueError::is_transient, |()| true);
        if may_be_done && !follow_ups.is_empty() {
            record.add_follow_ups(follow_ups, shared.queue.list(&Filter::all())?);
        }
        let settled = match &result {
            Ok(()) => settled,
            // The try that was not answered has settled it.
            Err(QueueError::LeaseLost { .. }) if self.unanswered.remove(&lease.id) => settled,
            Err(QueueError::LeaseLost { .. }) => Settled::Lost,
            Err(QueueError::Cancelled { .. }) => Settled::Buried { reason: CANCELLED.to_owned() },
            Err(_) => {
                self.unanswered.insert(lease.id.clone());
                return result;
            }
        };
        let (request_type, attempt) = self.taken.get(&lease.id).cloned().unwrap_or_default();
        record.runs.push(Run::new(lease.id.clone(), request_type, attempt, settled));
        result
    }

    fn next_start(&mut self, filter: &DequeueFilter) -> Result<Option<DateTime<Utc>>, QueueError> {
        self.consumer.next_start(filter)
    }

    fn touch(&mut self, leases: &[Lease]) -> Result<Vec<Lease>, QueueError> {
        self.consumer.touch(leases)
    }

    fn flush(&mut self) -> Result<(), QueueError> {
        self.consumer.flush()
    }

    fn take_lost_leases(&mut self) -> Vec<Lease> {
        self.consumer.take_lost_leases()
    }
}
