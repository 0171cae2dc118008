//! Faults decided by a seed: workers that die before and after the handler, messages that are delivered twice, lost
//! leases, and publications that fail.
//!
//! Wraps the queue of the test. The worker's reaction is its real code; the queue is left as the fault would leave it.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;

use crate::clock::lock;
use crate::message::{Incoming, MessageId};
use crate::queue::{
    ActivityLog, Cancelled, Capabilities, Consumer, Delivery, DequeueFilter, Edit, Edited, Enqueued, Filter,
    Inspection, Keeping, Lease, NewMessage, OutboxIds, QueueAdapter, QueueError, ScheduleStore, Settlement, Stats,
    StoredMessage, Workers,
};

/// The maximum number of faults per message, so that each message is done in the end.
const MOST_OF_ONE: usize = 3;

/// The maximum number of publications that fail in a row.
const MOST_IN_A_ROW: u32 = 2;

/// The fault of one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// No fault.
    None,
    /// The worker dies before the handler is called.
    DiesBefore,
    /// The worker dies after the handler has returned, before the outcome reaches the queue.
    DiesAfter,
    /// The lease is lost while the handler runs: another worker gets the message, and the outcome here does not count.
    LosesLease,
}

/// The decisions of a seed, and what happened.
pub(super) struct Faults {
    pub(super) seed: u64,
    /// Whether a handler is running. Publications of the test itself never fail.
    pub(super) running: AtomicBool,
    plan: Mutex<Plan>,
}

struct Plan {
    random: Rng,
    story: Vec<String>,
    /// Number of faults of each message.
    met: Vec<(MessageId, usize)>,
    failed_publications: u32,
}

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        let (story, met) = (Vec::new(), Vec::new());
        let plan = Plan { random: Rng::with_seed(seed), story, met, failed_publications: 0 };
        Self { seed, running: AtomicBool::new(false), plan: Mutex::new(plan) }
    }

    /// Returns the story so far, one line per event.
    pub(super) fn story(&self) -> Vec<String> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).story.clone()
    }

    /// Lets the seed decide the pauses between attempts too.
    pub(super) fn seed_pauses(&self) {
        fastrand::seed(lock(&self.plan).random.u64(..));
    }

    fn tell(&self, line: String) {
        lock(&self.plan).story.push(line);
    }
}

impl Plan {
    fn of_delivery(&mut self, id: &MessageId) -> Fault {
        let fault = match self.random.u8(0..8) {
            0 => Fault::DiesBefore,
            1 | 2 => Fault::DiesAfter,
            3 => Fault::LosesLease,
            _ => return Fault::None,
        };
        match self.met.iter_mut().find(|(met, _)| met == id) {
            Some((_, count)) if *count >= MOST_OF_ONE => return Fault::None,
            Some((_, count)) => *count += 1,
            None => self.met.push((id.clone(), 1)),
        }
        fault
    }

    /// Decides whether a publication fails, and if so, whether the queue has accepted it.
    fn of_publication(&mut self) -> Option<bool> {
        let fails = self.random.u8(0..8) == 0 && self.failed_publications < MOST_IN_A_ROW;
        self.failed_publications = if fails { self.failed_publications + 1 } else { 0 };
        fails.then(|| self.random.bool())
    }
}

/// The queue with the faults.
pub(super) struct FaultyQueue {
    pub(super) queue: Arc<dyn QueueAdapter>,
    pub(super) faults: Arc<Faults>,
}

impl fmt::Debug for FaultyQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyQueue").field("seed", &self.faults.seed).finish_non_exhaustive()
    }
}

/// Returns the error of a queue that does not answer.
fn no_answer() -> Box<dyn std::error::Error + Send + Sync> {
    "the test has cut the connection".into()
}

impl QueueAdapter for FaultyQueue {
    fn capabilities(&self) -> Capabilities {
        self.queue.capabilities()
    }

    fn enqueue(&self, messages: Vec<NewMessage>) -> Result<Vec<Enqueued>, QueueError> {
        let what: Vec<_> = messages.iter().map(|message| message.request_type.clone()).collect();
        let what = what.join(", ");
        let running = self.faults.running.load(Ordering::SeqCst);
        let fails = if running { lock(&self.faults.plan).of_publication() } else { None };
        match fails {
            None => {
                let enqueued = self.queue.enqueue(messages)?;
                let ids: Vec<_> = enqueued.iter().map(|one| one.id.to_string()).collect();
                self.faults.tell(format!("{what} is published, as {}", ids.join(", ")));
                Ok(enqueued)
            }
            Some(false) => {
                self.faults.tell(format!("{what} is not published: the queue cannot be reached"));
                Err(QueueError::Unavailable { doing: format!("publish {what}"), source: no_answer() })
            }
            Some(true) => {
                self.queue.enqueue(messages)?;
                self.faults.tell(format!("{what} is published, and the answer of the queue is lost"));
                Err(QueueError::UnknownOutcome { doing: format!("publish {what}"), source: no_answer() })
            }
        }
    }

    fn consumer(&self, queues: &[String]) -> Result<Box<dyn Consumer>, QueueError> {
        let consumer = self.queue.consumer(queues)?;
        Ok(Box::new(FaultyConsumer { consumer, faults: self.faults.clone(), taken: Vec::new() }))
    }

    fn outbox_ids(&self) -> Option<&dyn OutboxIds> {
        self.queue.outbox_ids()
    }

    fn activity(&self) -> Option<&dyn ActivityLog> {
        self.queue.activity()
    }

    fn schedules(&self) -> Option<&dyn ScheduleStore> {
        self.queue.schedules()
    }

    fn workers(&self) -> Option<&dyn Workers> {
        self.queue.workers()
    }

    fn keeping(&self) -> Option<&dyn Keeping> {
        self.queue.keeping()
    }

    fn interrupt(&self) {
        self.queue.interrupt();
    }
}

impl Inspection for FaultyQueue {
    fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError> {
        self.queue.peek(id)
    }

    fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
        self.queue.list(filter)
    }

    fn stats(&self) -> Result<Stats, QueueError> {
        self.queue.stats()
    }

    fn kick(&self, filter: &Filter) -> Result<u64, QueueError> {
        self.queue.kick(filter)
    }

    fn delete(&self, filter: &Filter) -> Result<u64, QueueError> {
        self.queue.delete(filter)
    }

    fn cancel(&self, filter: &Filter) -> Result<Cancelled, QueueError> {
        self.queue.cancel(filter)
    }

    fn edit(&self, id: &MessageId, edit: &Edit) -> Result<Edited, QueueError> {
        self.queue.edit(id, edit)
    }

    fn pause(&self, queue: &str, time: Duration) -> Result<(), QueueError> {
        self.queue.pause(queue, time)
    }

    fn backup(&self, file: &Path) -> Result<u64, QueueError> {
        self.queue.backup(file)
    }
}

struct FaultyConsumer {
    consumer: Box<dyn Consumer>,
    faults: Arc<Faults>,
    /// The messages that it has, each with its fault.
    taken: Vec<(MessageId, String, Fault)>,
}

impl FaultyConsumer {
    /// Puts the message back as if its worker had died.
    fn give_back(&mut self, lease: &Lease, counted: bool) -> Result<(), QueueError> {
        let reason = "its worker died".to_owned();
        self.consumer.settle(lease, &mut Settlement::rollback(Duration::ZERO, reason, counted))
    }
}

impl Consumer for FaultyConsumer {
    fn dequeue(&mut self, filter: &DequeueFilter, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        loop {
            let Some(delivery) = self.consumer.dequeue(filter, wait)? else { return Ok(None) };
            let lease = &delivery.lease;
            let message = Incoming::read(&delivery.text).ok();
            let name = message.map(|message| message.header.request_type().to_owned()).unwrap_or_default();
            let name = format!("{name} {}", lease.id);
            let attempt = delivery.attempts + 1;
            let fault = lock(&self.faults.plan).of_delivery(&lease.id);
            match fault {
                Fault::DiesBefore => {
                    self.faults
                        .tell(format!("{name}, attempt {attempt}: the worker dies before the handler is called"));
                    let lease = lease.clone();
                    self.give_back(&lease, true)?;
                }
                fault => {
                    self.faults.tell(format!("{name}, attempt {attempt}: the handler is called"));
                    self.taken.push((lease.id.clone(), name, fault));
                    return Ok(Some(delivery));
                }
            }
        }
    }

    fn settle(&mut self, lease: &Lease, settlement: &mut Settlement) -> Result<(), QueueError> {
        let index = self.taken.iter().position(|(id, ..)| *id == lease.id);
        let Some((_, name, fault)) = index.map(|index| self.taken.swap_remove(index)) else {
            return self.consumer.settle(lease, settlement);
        };
        let outcome = match settlement {
            Settlement::Commit { .. } => "done".to_owned(),
            Settlement::Expire => "expired".to_owned(),
            Settlement::Rollback { reason, .. } | Settlement::LeaveToOthers { reason, .. } => {
                format!("again: {reason}")
            }
            Settlement::Bury { reason, .. } => format!("buried: {reason}"),
        };
        match fault {
            Fault::None | Fault::DiesBefore => {
                let settled = self.consumer.settle(lease, settlement);
                self.faults.tell(format!("{name}: {outcome}"));
                settled
            }
            Fault::DiesAfter => {
                self.faults.tell(format!("{name}: the handler has returned ({outcome}), and the worker dies"));
                self.give_back(lease, true)?;
                Err(QueueError::LeaseLost { id: lease.id.clone() })
            }
            Fault::LosesLease => {
                self.faults.tell(format!("{name}: the lease is lost while the handler runs ({outcome})"));
                self.give_back(lease, false)?;
                Err(QueueError::LeaseLost { id: lease.id.clone() })
            }
        }
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
