//! Faults decided by a seed: workers that die before and after the handler, messages that are delivered twice, one after
//! the other or at the same time, lost leases, timeouts, and a queue that does not answer.
//!
//! Wraps the queue of the test. The worker's reaction is its real code; the queue is left as the fault would leave it.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fastrand::Rng;

use crate::clock::{Clock, ManualClock, Notify};
use crate::context::Cancellation;
use crate::message::{Incoming, MessageId};
use crate::queue::{
    ActivityLog, Cancelled, Capabilities, Consumer, Delivery, DequeueFilter, Edit, Edited, Enqueued, Filter,
    Inspection, Keeping, Lease, NewMessage, OutboxIds, QueueAdapter, QueueError, ScheduleStore, Settlement, Stats,
    StoredMessage, Survey, Workers,
};
use crate::registry::{Handler, Registry};
use crate::state::interleave;
use crate::sync::lock;

/// The maximum number of faults per message, so that each message is done in the end.
const MOST_OF_ONE: usize = 3;

/// The maximum number of publications, and of dequeues, that fail in a row.
const MOST_IN_A_ROW: u32 = 2;

/// How often, and for how long each time, a handler waits in the middle for the second run of its message, which may need
/// a lock that it holds. Counted in waits, so that a machine that stands still for a while does not end all of them.
const WAITS: usize = 300;
const WAIT: Duration = Duration::from_millis(1);

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
    /// The handler may learn of it, after a number of points of its run that the seed decides.
    LosesLease { told_after: Option<u8> },
    /// The lease is lost at a point in the middle of the run, and another worker runs the message then, from beginning
    /// to end.
    Overlaps { points: u8 },
    /// The handler runs for longer than its policy allows, and is notified.
    TimesOut { limit: Duration, told_after: u8 },
    /// The queue does not answer when the outcome is settled: before that has an effect, or after.
    SettleFails { has_effect: bool },
}

/// The decisions of a seed, and what happened.
pub(super) struct Faults {
    pub(super) seed: u64,
    /// Whether a handler is running. Publications of the test itself never fail.
    pub(super) running: AtomicBool,
    /// After how many points the handler that runs next is notified that its run does not count.
    tells_after: Mutex<Option<u8>>,
    /// Whether it was notified.
    has_told: AtomicBool,
    /// Whether the queue does not answer at the moment.
    is_out: AtomicBool,
    plan: Mutex<Plan>,
    /// Does one step of another worker.
    other: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
    /// The thread of the other worker.
    overlapping: Mutex<Option<JoinHandle<()>>>,
    overlaps: AtomicBool,
}

struct Plan {
    random: Rng,
    story: Vec<String>,
    /// Number of faults of each message.
    met: Vec<(MessageId, usize)>,
    failed_publications: u32,
    failed_dequeues: u32,
}

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        let (story, met) = (Vec::new(), Vec::new());
        let (failed_publications, failed_dequeues) = Default::default();
        let plan = Plan { random: Rng::with_seed(seed), story, met, failed_publications, failed_dequeues };
        let (running, tells_after, has_told, is_out) = Default::default();
        let (other, overlapping, overlaps) = Default::default();
        Self { seed, running, tells_after, has_told, is_out, plan: Mutex::new(plan), other, overlapping, overlaps }
    }

    /// Begins a step of a worker. `other` does a step of another one.
    pub(super) fn begin_step(&self, other: impl Fn() + Send + Sync + 'static) {
        self.seed_pauses();
        *lock(&self.other) = Some(Arc::new(other));
        self.running.store(true, Ordering::SeqCst);
        interleave::set_active(true);
    }

    pub(super) fn end_step(&self) {
        interleave::finish();
        interleave::set_active(false);
        *lock(&self.other) = None;
        self.running.store(false, Ordering::SeqCst);
    }

    /// Lets another worker run what is due, while a handler stands still on this thread. If the other one needs a lock
    /// that this handler holds, they go on together.
    fn run_other(&self) {
        let Some(other) = lock(&self.other).clone() else { return };
        let (ended, end) = mpsc::channel::<()>();
        self.overlaps.store(true, Ordering::SeqCst);
        // The numbers come from a copy: with or without a second run, the plan goes on as it would.
        let seed = lock(&self.plan).random.clone().u64(..);
        let thread = std::thread::spawn(move || {
            // The pauses between attempts are drawn on the thread of the run.
            fastrand::seed(seed);
            interleave::set_active(true);
            // The other end waits for it.
            let _ = ended.send(());
            other();
            drop(ended);
        });
        *lock(&self.overlapping) = Some(thread);
        // Before it has begun, it needs no lock of the handler's.
        let has_begun = end.recv().is_ok();
        let has_ended = || end.recv_timeout(WAIT) == Err(RecvTimeoutError::Disconnected);
        if !has_begun || (0..WAITS).any(|_| has_ended()) {
            self.await_other();
        }
    }

    /// Waits until the other worker is done, if one was started.
    fn await_other(&self) {
        let thread = lock(&self.overlapping).take();
        if let Some(thread) = thread {
            // A panic of the handler was caught; any other shows itself in the next step.
            drop(thread.join());
            self.overlaps.store(false, Ordering::SeqCst);
        }
    }

    /// Begins a run. If the plan says so, its handler is notified at some point that the run does not count.
    pub(super) fn begin_run(self: &Arc<Self>, cancellation: &Arc<Cancellation>) {
        self.has_told.store(false, Ordering::SeqCst);
        if let Some(points) = lock(&self.tells_after).take() {
            let (faults, cancellation) = (self.clone(), cancellation.clone());
            let tell = move || {
                faults.has_told.store(true, Ordering::SeqCst);
                cancellation.cancel();
            };
            interleave::plan(points, tell, || {});
        }
    }

    /// Returns the words for a handler that was notified.
    fn told(&self) -> &'static str {
        if self.has_told.load(Ordering::SeqCst) { ", and the handler is notified" } else { "" }
    }

    /// Returns the story so far, one line per event.
    pub(super) fn story(&self) -> Vec<String> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).story.clone()
    }

    /// Lets the seed decide the pauses between attempts too.
    fn seed_pauses(&self) {
        fastrand::seed(lock(&self.plan).random.u64(..));
    }

    fn tell(&self, line: String) {
        lock(&self.plan).story.push(line);
    }
}

impl Plan {
    /// Decides about a delivery. `timeout` is that of its handler, if a timeout would not be its last attempt.
    fn of_delivery(&mut self, id: &MessageId, timeout: Option<Duration>) -> Fault {
        let fault = match (self.random.u8(0..14), timeout) {
            (0, _) => Fault::DiesBefore,
            (1 | 2, _) => Fault::DiesAfter,
            (3, _) | (4, None) => {
                let is_told = self.random.bool();
                Fault::LosesLease { told_after: is_told.then(|| self.random.u8(0..2)) }
            }
            (4, Some(limit)) => Fault::TimesOut { limit, told_after: self.random.u8(0..2) },
            (5, _) => Fault::SettleFails { has_effect: self.random.bool() },
            (6, _) => Fault::Overlaps { points: self.random.u8(0..3) },
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

    /// Decides whether the queue does not answer when a worker asks for a message.
    fn of_dequeue(&mut self) -> bool {
        let fails = self.random.u8(0..10) == 0 && self.failed_dequeues < MOST_IN_A_ROW;
        self.failed_dequeues = if fails { self.failed_dequeues + 1 } else { 0 };
        fails
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
        // Of two handlers that run at the same time, the seed cannot say which one publishes first.
        let fails = if running && !self.faults.overlaps.load(Ordering::SeqCst) {
            lock(&self.faults.plan).of_publication()
        } else {
            None
        };
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
        let (faults, queue, queues) = (self.faults.clone(), self.queue.clone(), queues.to_vec());
        Ok(Box::new(FaultyConsumer { consumer, faults, queue, queues, taken: Vec::new(), overlapped: Arc::default() }))
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

    fn check_rights(&self) -> Result<(), QueueError> {
        self.queue.check_rights()
    }

    fn stores(&self) -> Result<Vec<String>, QueueError> {
        self.queue.stores()
    }

    fn interrupt(&self) {
        self.queue.interrupt();
    }

    fn hold_back(&self, request_type: &str, key: Option<&str>, time: Duration) -> Result<(), QueueError> {
        self.queue.hold_back(request_type, key, time)
    }
}

impl Inspection for FaultyQueue {
    fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError> {
        self.queue.peek(id)
    }

    fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
        self.queue.list(filter)
    }

    fn survey(&self, filter: &Filter, texts: bool) -> Result<Survey, QueueError> {
        self.queue.survey(filter, texts)
    }

    fn stats(&self) -> Result<Stats, QueueError> {
        self.queue.stats()
    }

    fn change_mark(&self) -> Result<u64, QueueError> {
        self.queue.change_mark()
    }

    fn kick(&self, filter: &Filter) -> Result<u64, QueueError> {
        self.queue.kick(filter)
    }

    fn key_taken_by(&self, id: &MessageId) -> Result<Option<MessageId>, QueueError> {
        self.queue.key_taken_by(id)
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

/// The clock of the test. While the queue does not answer, time passes, so that a worker tries again.
#[derive(Clone)]
pub(super) struct OutageClock {
    pub(super) clock: ManualClock,
    pub(super) faults: Arc<Faults>,
}

impl fmt::Debug for OutageClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.clock.fmt(f)
    }
}

impl Clock for OutageClock {
    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn uptime(&self) -> Duration {
        if self.faults.is_out.load(Ordering::SeqCst) {
            self.clock.advance(Duration::from_secs(1));
        }
        self.clock.uptime()
    }

    fn real_timeout(&self, duration: Duration) -> Option<Duration> {
        self.clock.real_timeout(duration)
    }

    fn attach(&self, signal: &Arc<Notify>) {
        self.clock.attach(signal);
    }
}

struct FaultyConsumer {
    consumer: Box<dyn Consumer>,
    faults: Arc<Faults>,
    /// The queue, and the names of the queues that are worked.
    queue: Arc<dyn QueueAdapter>,
    queues: Vec<String>,
    /// The messages that it has, each with its fault; those of a batch have one together.
    taken: Vec<(MessageId, String, Fault)>,
    /// The leases that are lost in the middle of the run.
    overlapped: Arc<Mutex<Vec<Lease>>>,
}

impl FaultyConsumer {
    /// Puts the message back, as if another process had done it.
    fn give_back(&mut self, lease: &Lease, reason: String, counted: bool) -> Result<(), QueueError> {
        self.consumer.settle(lease, &mut Settlement::rollback(Duration::ZERO, reason, counted))
    }

    /// Puts the message back as if its worker had died.
    fn die(&mut self, lease: &Lease, counted: bool) -> Result<(), QueueError> {
        self.consumer.settle(lease, &mut died(counted))
    }

    /// Plans that the leases of the next run are lost at a point in the middle of it, and that another worker gets its
    /// messages then.
    fn plan_overlap(&mut self, points: u8) {
        self.overlapped = Arc::default();
        let (queue, queues, leases) = (self.queue.clone(), self.queues.clone(), self.overlapped.clone());
        let faults = self.faults.clone();
        let then = faults.clone();
        let run = move || {
            // The consumer of this run is in the worker's hands.
            let Ok(mut consumer) = queue.consumer(&queues) else { return };
            for lease in lock(&leases).drain(..) {
                // If that fails, the other worker finds nothing to run.
                drop(consumer.settle(&lease, &mut died(false)));
            }
            drop(consumer);
            faults.run_other();
        };
        interleave::plan(points, run, move || then.await_other());
    }

    /// Chooses the fault of a delivery, and tells of its run.
    fn choose(&self, delivery: &Delivery, name: &str, handler: Option<&Handler>) -> Fault {
        let overlaps = self.faults.overlaps.load(Ordering::SeqCst);
        let fault = match self.taken.first() {
            _ if overlaps => Fault::None,
            // A batch has one outcome, and its worker dies as a whole.
            Some((.., fault)) => *fault,
            None => lock(&self.faults.plan).of_delivery(&delivery.lease.id, timeout(handler, delivery.attempts)),
        };
        let fault = match fault {
            // Without a handler there is no middle.
            Fault::Overlaps { .. } if handler.is_none() => Fault::LosesLease { told_after: None },
            fault => fault,
        };
        let told = match fault {
            Fault::DiesBefore => "the worker dies before the handler is called",
            _ if overlaps => "another worker calls the handler, while the first still runs",
            _ => "the handler is called",
        };
        self.faults.tell(format!("{name}, attempt {}: {told}", delivery.attempts + 1));
        fault
    }
}

/// Returns the settlement of a message whose worker has died.
fn died(counted: bool) -> Settlement {
    Settlement::rollback(Duration::ZERO, "its worker died", counted)
}

/// Returns the timeout of a handler, unless this is its last attempt.
fn timeout(handler: Option<&Handler>, attempts: u32) -> Option<Duration> {
    let policy = handler?.policy();
    policy.timeout.filter(|_| attempts + 1 < policy.max_attempts)
}

impl Consumer for FaultyConsumer {
    fn dequeue(&mut self, filter: &DequeueFilter, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        loop {
            let Some(delivery) = self.consumer.dequeue(filter, wait)? else { return Ok(None) };
            let message = Incoming::read(&delivery.text).ok();
            let request_type = message.map(|message| message.header.request_type().to_owned()).unwrap_or_default();
            let name = format!("{request_type} {}", delivery.lease.id);
            let overlaps = self.faults.overlaps.load(Ordering::SeqCst);
            if self.taken.is_empty() && !overlaps && lock(&self.faults.plan).of_dequeue() {
                self.faults.tell("the queue does not answer a worker that asks for a message".to_owned());
                self.give_back(&delivery.lease, "the answer of the queue was lost".to_owned(), false)?;
                return Err(QueueError::Unavailable { doing: "take a message".to_owned(), source: no_answer() });
            }
            match self.choose(&delivery, &name, Registry::gather().get(&request_type)) {
                Fault::DiesBefore => {
                    let lease = delivery.lease.clone();
                    self.die(&lease, true)?;
                }
                fault => {
                    let is_first = self.taken.is_empty();
                    match fault {
                        Fault::Overlaps { points } => {
                            if is_first {
                                self.plan_overlap(points);
                            }
                            lock(&self.overlapped).push(delivery.lease.clone());
                        }
                        Fault::LosesLease { told_after: Some(points) } | Fault::TimesOut { told_after: points, .. } => {
                            *lock(&self.faults.tells_after) = Some(points);
                        }
                        _ => {}
                    }
                    self.taken.push((delivery.lease.id.clone(), name, fault));
                    return Ok(Some(delivery));
                }
            }
        }
    }

    fn settle(&mut self, lease: &Lease, settlement: &mut Settlement) -> Result<(), QueueError> {
        self.faults.is_out.store(false, Ordering::SeqCst);
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
        let lost = || Err(QueueError::LeaseLost { id: lease.id.clone() });
        match fault {
            Fault::None | Fault::DiesBefore => {
                let settled = self.consumer.settle(lease, settlement);
                self.faults.tell(format!("{name}: {outcome}"));
                settled
            }
            Fault::DiesAfter => {
                self.faults.tell(format!("{name}: the handler has returned ({outcome}), and the worker dies"));
                self.die(lease, true)?;
                lost()
            }
            Fault::LosesLease { .. } => {
                let told = self.faults.told();
                self.faults.tell(format!("{name}: the lease is lost while the handler runs{told} ({outcome})"));
                self.die(lease, false)?;
                lost()
            }
            Fault::Overlaps { .. } => {
                self.faults.tell(format!("{name}: the lease is lost while the handler runs ({outcome})"));
                // Already given back, if the handler has come to the point.
                match self.die(lease, false) {
                    Ok(()) | Err(QueueError::LeaseLost { .. } | QueueError::Cancelled { .. }) => lost(),
                    Err(error) => Err(error),
                }
            }
            Fault::TimesOut { limit, .. } => {
                let reason = format!("timed out after {}", humantime::format_duration(limit));
                self.faults.tell(format!("{name}: {reason}{} ({outcome})", self.faults.told()));
                self.give_back(lease, reason, true)?;
                lost()
            }
            Fault::SettleFails { has_effect } => {
                if has_effect {
                    self.consumer.settle(lease, settlement)?;
                    self.faults.tell(format!("{name}: {outcome}, and the answer of the queue is lost"));
                } else {
                    self.faults.tell(format!("{name}: {outcome}, and the queue cannot be reached to settle that"));
                    self.taken.push((lease.id.clone(), name, Fault::None));
                }
                self.faults.is_out.store(true, Ordering::SeqCst);
                Err(QueueError::Unavailable { doing: format!("settle {}", lease.id), source: no_answer() })
            }
        }
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
