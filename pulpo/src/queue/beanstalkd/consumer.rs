//! A consumer of the server: reserves jobs and settles them, on a connection of
//! its own, since only the connection that reserved a job can settle it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::client::{Client, Server};
use super::fault::{Fault, found};
use super::job::JobStats;
use super::limits::seconds;
use super::pipeline::MOST_JOBS;
use super::reasons::{self, Note};
use super::{BeanstalkdQueue, Shared, ago};
use crate::clock::Clock as _;
use crate::message::MessageId;
use crate::process::fork::{Birthplace, Unforked};
use crate::queue::{
    Consumer, Delivery, DequeueFilter, Lease, MessageState, NewMessage, QueueError, Settlement, enqueue_follow_ups,
};
use crate::report::chain;

/// How long the server is asked to wait at most, so that an interrupt is
/// noticed soon.
const LONGEST_SLICE: Duration = Duration::from_secs(1);

/// How often it is asked in the last part of a wait, which is less than the
/// second that its protocol counts in.
const SHORT_PAUSE: Duration = Duration::from_millis(10);

/// What a wait may last longer than was asked: as much as its seconds took by
/// themselves. Else the last of them would be one of short pauses.
const NEARLY: Duration = Duration::from_millis(250);

/// The tube that a new connection watches unasked.
const DEFAULT_TUBE: &str = "default";

pub(super) struct BeanstalkdConsumer {
    /// Takes what follows from a job.
    queue: BeanstalkdQueue,
    shared: Arc<Shared>,
    queues: Arc<[String]>,
    /// A fork would speak into the middle of what its parent says.
    client: Option<Unforked<Client>>,
    birthplace: Birthplace,
    /// The tubes that this connection watches.
    watched: Vec<String>,
    /// What this connection has reserved: empty without one, since then the
    /// server has made all of it ready again.
    held: HashMap<u64, Held>,
    /// Jobs that are done, to be deleted by the next call. Only with a
    /// connection.
    put_off: Vec<(Lease, u64, Held)>,
    /// Leases of such jobs that had ended by then.
    lost: Vec<Lease>,
    interrupts: u64,
}

struct Held {
    token: Arc<str>,
    priority: u32,
    /// The server's count, which no other delivery of the job has.
    reserves: u32,
    ttr: Duration,
    /// The lease lasts at least for its ttr from then.
    since: Duration,
}

impl Held {
    fn holding(&self, now: Duration) -> Holding {
        let certain = now.saturating_sub(self.since) < self.ttr / 2;
        Holding { priority: self.priority, reserves: self.reserves, certain }
    }
}

impl BeanstalkdConsumer {
    pub(super) fn new(queue: BeanstalkdQueue, queues: Arc<[String]>) -> Self {
        let shared = queue.shared().clone();
        let interrupts = shared.interrupts.load(Ordering::SeqCst);
        Self {
            queue,
            shared,
            queues,
            client: None,
            birthplace: Birthplace::here(),
            watched: Vec::new(),
            held: HashMap::new(),
            put_off: Vec::new(),
            lost: Vec::new(),
            interrupts,
        }
    }

    fn connect(&mut self) -> Result<&mut Client, Fault> {
        if self.client.is_none() {
            self.client = Some(Unforked::new(open(self.shared.pool.server(), &self.queues)?));
            self.watched = self.queues.to_vec();
        }
        Ok(self.client.as_mut().expect("it was just set"))
    }

    /// Refuses to take or settle anything in a fork: the server tells clients
    /// apart by their connections, and ours is the parent's.
    fn check_process(&self) -> Result<(), QueueError> {
        let refused = |source| QueueError::Forked { place: self.shared.place.clone(), source };
        self.birthplace.check().map_err(refused)
    }

    /// A connection that ended has lost its leases.
    fn notice(&mut self, fault: &Fault) {
        if fault.ends_connection() {
            self.client = None;
            self.held.clear();
            self.lost.extend(self.put_off.drain(..).map(|(lease, ..)| lease));
        }
    }

    /// Does `talk` with the server, if it can be reached.
    fn talk<R>(&mut self, talk: impl FnOnce(&mut Client) -> Result<R, Fault>) -> Result<R, Fault> {
        self.connect().and_then(talk).inspect_err(|fault| self.notice(fault))
    }

    /// Deletes what was put off, and reserves the next job, the server waiting
    /// for it for so many seconds.
    fn next_job(&mut self, wait: u64) -> Result<(u64, Vec<u8>), Fault> {
        if self.put_off.is_empty() || self.put_off.len() > MOST_JOBS || !self.is_certain_of_put_off() {
            self.delete_put_off()?;
            return self.talk(|client| client.reserve(wait));
        }
        let ids = self.ids_put_off();
        let next = self.talk(|client| client.delete_and_reserve(&ids, wait))?;
        self.deleted_put_off(next.deleted);
        next.reserved
    }

    fn delete_put_off(&mut self) -> Result<(), Fault> {
        if self.put_off.is_empty() {
            return Ok(());
        }
        let deleted = if self.is_certain_of_put_off() {
            let ids = self.ids_put_off();
            self.talk(|client| client.delete_all(&ids))?
        } else {
            let now = self.shared.lease_clock.uptime();
            let jobs: Vec<_> = self.put_off.iter().map(|(_, id, held)| (*id, held.holding(now))).collect();
            let delete_each = |client: &mut Client| {
                jobs.iter().map(|(id, holding)| Ok(found(delete(client, *id, holding))?.is_some())).collect()
            };
            self.talk(delete_each)?
        };
        self.deleted_put_off(deleted);
        Ok(())
    }

    /// Whether none of their leases can have ended.
    fn is_certain_of_put_off(&self) -> bool {
        let now = self.shared.lease_clock.uptime();
        self.put_off.iter().all(|(.., held)| held.holding(now).certain)
    }

    fn ids_put_off(&self) -> Vec<u64> {
        self.put_off.iter().map(|(_, id, _)| *id).collect()
    }

    /// They are settled; those that were not there any more are lost.
    fn deleted_put_off(&mut self, deleted: Vec<bool>) {
        let put_off = self.put_off.drain(..).zip(deleted);
        self.lost.extend(put_off.filter(|(_, was_there)| !was_there).map(|((lease, ..), _)| lease));
    }

    /// Watches these tubes, of which there is at least one, and no other.
    fn watch(&mut self, wanted: &[String]) -> Result<(), Fault> {
        self.connect()?;
        if wanted == self.watched {
            return Ok(());
        }
        self.delete_put_off()?;
        let without = |all: &[String], some: &[String]| -> Vec<String> {
            all.iter().filter(|tube| !some.contains(tube)).cloned().collect()
        };
        let (more, less) = (without(wanted, &self.watched), without(&self.watched, wanted));
        // First the new ones: the server never lets the last one go.
        self.talk(|client| {
            more.iter().try_for_each(|tube| client.watch(tube))?;
            less.iter().try_for_each(|tube| client.ignore(tube))
        })?;
        self.watched = wanted.to_vec();
        Ok(())
    }

    /// Asks for a job once, the server waiting for so many seconds.
    fn reserve(&mut self, wait: u64) -> Result<Option<Delivery>, Fault> {
        let since = self.shared.lease_clock.uptime();
        let reserved = self.next_job(wait).and_then(|(id, text)| {
            let job = self.talk(|client| client.stats_job(id))?;
            Ok((id, text, job))
        });
        let (id, text, job) = match reserved {
            Ok(reserved) => reserved,
            // Without a pause a lease that ends soon would make this spin.
            Err(Fault::DeadlineSoon) => {
                self.shared.signal.wait(self.shared.signal.generation(), Some(SHORT_PAUSE));
                return Ok(None);
            }
            // Not found: its ttr passed, and somebody was fast.
            Err(Fault::TimedOut | Fault::NotFound) => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let number = self.shared.leases.fetch_add(1, Ordering::Relaxed);
        let token: Arc<str> = number.to_string().into();
        let held = Held { token: token.clone(), priority: job.priority, reserves: job.reserves, ttr: job.ttr, since };
        self.held.insert(id, held);
        Ok(Some(self.delivery(Lease { id: id.into(), token }, job, text)))
    }

    fn delivery(&self, lease: Lease, job: JobStats, text: Vec<u8>) -> Delivery {
        let due_since = ago(self.shared.clock.now(), job.waited());
        let counts = job.counts();
        let mut delivery = Delivery::new(lease, job.tube, due_since, job.ttr, text);
        (delivery.attempts, delivery.abandoned, delivery.kicks) = (counts.attempts, counts.lost, counts.kicks);
        delivery
    }

    /// Has the server do what settles the job, or keeps it, if the lease is
    /// still the one that this connection has.
    fn command(
        &mut self,
        lease: &Lease,
        doing: &str,
        keeps: bool,
        command: impl FnOnce(&mut Client, u64, &Holding) -> Result<(), Fault>,
    ) -> Result<(), QueueError> {
        self.check_process()?;
        let lost = || QueueError::LeaseLost { id: lease.id.clone() };
        let id = number(&lease.id).ok_or_else(lost)?;
        let held = self.held.get(&id).filter(|held| held.token == lease.token).ok_or_else(lost)?;
        let client = self.client.as_mut().ok_or_else(lost)?;
        let now = self.shared.lease_clock.uptime();
        let holding = held.holding(now);
        let answer = command(client, id, &holding);
        match &answer {
            Ok(()) if keeps => {
                if let Some(held) = self.held.get_mut(&id) {
                    held.since = now;
                }
            }
            Ok(()) | Err(Fault::NotFound) => drop(self.held.remove(&id)),
            Err(fault) => self.notice(fault),
        }
        answer.map_err(|fault| match fault {
            Fault::NotFound => lost(),
            fault => self.shared.error(doing, fault),
        })
    }

    /// The server cannot do both at once: first what follows, so that none is
    /// lost.
    fn commit(&mut self, lease: &Lease, follow_ups: &mut Vec<NewMessage>) -> Result<(), QueueError> {
        if !follow_ups.is_empty() {
            // Not for a run whose message is another worker's by now.
            self.renew(lease)?;
            enqueue_follow_ups(&self.queue, follow_ups)?;
        }
        self.command(lease, "delete a message from", false, delete)
    }

    /// Put off until the next call: what takes the next message deletes this
    /// one before, in the same round trip.
    fn defer_commit(&mut self, lease: &Lease) -> Result<(), QueueError> {
        let lost = || QueueError::LeaseLost { id: lease.id.clone() };
        let id = number(&lease.id).ok_or_else(lost)?;
        if self.held.get(&id).is_none_or(|held| held.token != lease.token) {
            return Err(lost());
        }
        self.put_off.extend(self.held.remove(&id).map(|held| (lease.clone(), id, held)));
        Ok(())
    }

    fn renew(&mut self, lease: &Lease) -> Result<(), QueueError> {
        self.command(lease, "renew a lease at", true, |client, id, _| client.touch(id))
    }

    fn rollback(&mut self, lease: &Lease, delay: Duration, counted: bool) -> Result<(), QueueError> {
        let delay = seconds(delay);
        self.command(lease, "give a message back to", false, move |client, id, holding| {
            if counted || delay > 0 {
                return client.release(id, holding.priority, delay);
            }
            // Only a kick leaves a mark in the server's counters, and only a
            // buried or delayed job can be kicked. If we die in between, the
            // job is a second late and the run counts.
            client.release(id, holding.priority, 1)?;
            match client.kick_job(id) {
                // Somebody else kicked it.
                Err(Fault::NotFound) => Ok(()),
                kicked => kicked,
            }
        })
    }

    fn bury(&mut self, lease: &Lease, reason: &str) -> Result<(), QueueError> {
        let (reason, at) = (reason.to_owned(), self.shared.clock.now());
        self.command(lease, "bury a message in", false, move |client, id, holding| {
            // First the note: one too many is harmless, one too few is not.
            let note = reasons::leave(client, &Note::new(id, &reason, at))?;
            let buried = client.bury(id, holding.priority);
            if buried == Err(Fault::NotFound) {
                // The message is another's now, and so is what to say of it.
                reasons::remove(client, note);
            }
            buried
        })
    }
}

/// What a settling command may need to know.
struct Holding {
    priority: u32,
    reserves: u32,
    /// The lease cannot have ended yet.
    certain: bool,
}

fn delete(client: &mut Client, id: u64, holding: &Holding) -> Result<(), Fault> {
    // The server lets anyone delete a job that nobody has reserved: a lease
    // that ended would take the job away from those to come.
    if !holding.certain {
        let job = client.stats_job(id)?;
        if job.state != MessageState::Reserved || job.reserves != holding.reserves {
            return Err(Fault::NotFound);
        }
    }
    client.delete(id)
}

/// The server gives numbers: another id is none of its.
pub(super) fn number(id: &MessageId) -> Option<u64> {
    id.as_str().parse().ok()
}

/// A connection that watches these tubes and no other.
fn open(server: &Server, queues: &[String]) -> Result<Client, Fault> {
    let mut client = Client::open(server)?;
    queues.iter().try_for_each(|queue| client.watch(queue))?;
    if queues.iter().all(|queue| queue != DEFAULT_TUBE) {
        client.ignore(DEFAULT_TUBE)?;
    }
    Ok(client)
}

impl Consumer for BeanstalkdConsumer {
    fn dequeue(&mut self, filter: &DequeueFilter, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        self.check_process()?;
        let tubes: Arc<[String]> = if filter.except_queues.is_empty() {
            self.queues.clone()
        } else {
            self.queues.iter().filter(|queue| !filter.except_queues.contains(queue)).cloned().collect()
        };
        let clock = self.shared.clock.clone();
        let end = clock.uptime().saturating_add(wait);
        loop {
            let seen = self.shared.signal.generation();
            let interrupts = self.shared.interrupts.load(Ordering::SeqCst);
            let interrupted = std::mem::replace(&mut self.interrupts, interrupts) != interrupts;
            let left = if interrupted { Duration::ZERO } else { end.saturating_sub(clock.uptime()) };
            let slice = left.saturating_add(NEARLY).min(self.shared.reserve_timeout).min(LONGEST_SLICE).as_secs();
            // Without queues there is nothing to watch, and nothing comes.
            if tubes.is_empty() {
                self.flush()?;
                if !left.is_zero() {
                    self.shared.signal.wait(seen, Some(left.min(LONGEST_SLICE)));
                }
            } else {
                let reserved = self.watch(&tubes).and_then(|()| self.reserve(slice));
                let delivery = reserved.map_err(|fault| self.shared.error("take a message from", fault))?;
                if delivery.is_some() {
                    return Ok(delivery);
                }
            }
            if left.is_zero() || (slice > 0 && clock.uptime() >= end) {
                return Ok(None);
            }
            if slice == 0 && !tubes.is_empty() {
                self.shared.signal.wait(seen, Some(left.min(SHORT_PAUSE)));
            }
        }
    }

    fn settle(&mut self, lease: &Lease, settlement: &mut Settlement) -> Result<(), QueueError> {
        match settlement {
            Settlement::Commit { follow_ups, deferrable: true } if follow_ups.is_empty() => self.defer_commit(lease),
            Settlement::Commit { follow_ups, .. } => self.commit(lease, follow_ups),
            Settlement::Expire => self.command(lease, "delete a message from", false, delete),
            Settlement::Rollback { delay, counted, .. } => self.rollback(lease, *delay, *counted),
            Settlement::LeaveToOthers { delay, .. } => self.rollback(lease, *delay, false),
            Settlement::Bury { reason, .. } => self.bury(lease, reason),
        }
    }

    fn touch(&mut self, leases: &[Lease]) -> Result<Vec<Lease>, QueueError> {
        let mut lost = Vec::new();
        for lease in leases {
            match self.renew(lease) {
                Err(QueueError::LeaseLost { .. }) => lost.push(lease.clone()),
                renewed => renewed?,
            }
        }
        Ok(lost)
    }

    fn flush(&mut self) -> Result<(), QueueError> {
        self.check_process()?;
        self.delete_put_off().map_err(|fault| self.shared.error("delete a message from", fault))
    }

    fn take_lost_leases(&mut self) -> Vec<Lease> {
        std::mem::take(&mut self.lost)
    }
}

impl Drop for BeanstalkdConsumer {
    fn drop(&mut self) {
        // What a fork leaves behind its parent does.
        if self.birthplace.is_here()
            && let Err(error) = self.flush()
        {
            tracing::warn!(error = chain(&error), "cannot settle the last job: it will run again");
        }
    }
}
