//! The queue of many machines: a beanstalkd server, through the client crate
//! `beanstalkc`. A queue is a tube of its name.
//!
//! What differs from the embedded queue, since the server's protocol has no
//! more:
//!
//! - A batch is not atomic. An error in the middle says which messages the
//!   server has ([`QueueError::PartOfBatch`]): the first ones. A server that is
//!   out of memory may take some after one that it did not take; they are
//!   deleted again, which fails to stop one that a worker has already begun.
//! - A connection that drops between a message and its answer leaves open
//!   whether the server has it: [`QueueError::UnknownOutcome`]. Nothing is
//!   sent twice by this adapter; only the caller knows whether it may be.
//! - Times are whole seconds, rounded up: nothing starts early, a ttr is at
//!   least one second.
//! - Attempts come from the server's counters. A rollback that does not count
//!   and has no delay, as on a shutdown, does not count; one with a delay
//!   does, so there is no [`Capabilities::uncounted_rollbacks`]. A delivery
//!   whose answer was lost on the way counts as a run that was lost.
//! - A kick cannot set the counters back: [`Delivery::kicks`] says how often
//!   it happened, and [`Delivery::failed`] makes of it what counts.
//! - Why a message was put back is not kept ([`Capabilities::last_errors`]): it
//!   is in the log. Why it was buried is, in a note: see below.
//! - The server cannot enumerate its jobs. [`Inspection::list`] asks for one
//!   id after the other, from the newest down, until it has found as many as
//!   there are; it gives up after [`LONGEST_WALK`] ids and logs how many are
//!   missing.
//! - There is no archive and no backup; the server's own log (`-b`) is the copy
//!   to keep. The statistics do not tell request types apart, and of what is
//!   ready they show how long the next one has waited, not the oldest.
//! - The server does not tell when a job was put back, kicked or reserved:
//!   [`StoredMessage::since`](super::StoredMessage::since) of such messages is
//!   not known, and filters by it leave them out and log how many. Of buried
//!   ones the note tells, of those that were never reserved the server.
//! - A pause ([`Inspection::pause`]) is in whole seconds, and over when the
//!   server is restarted. A queue that has neither messages nor workers is not
//!   there, and cannot be paused.
//! - A kick or deletion by more than a queue looks at each message before. One
//!   that somebody else changes between the two, within a millisecond or so, is
//!   kicked or deleted as it is then.
//! - The names `pulpo.reasons` and `pulpo.probe` cannot be those of queues.
//!
//! # The reasons of burials
//!
//! A job of the server has no field for a reason and its body cannot change, so
//! a burial first puts a note, a second job, into the tube `pulpo.reasons`:
//! `{"of": 42, "reason": "…", "at": "…"}`, delayed by 136 years, so that nobody
//! is handed it. That costs one round trip, on a burial alone. A message whose
//! note the server does not take is buried all the same.
//!
//! - [`Inspection::list`] meets the notes on its way. They have ids too, and
//!   so take some of its [`LONGEST_WALK`].
//! - [`Inspection::peek`] of a buried message has to look for its note: among
//!   the ids from the newest down to its own, [`LONGEST_WALK`] at most, one
//!   round trip for each, which is about a quarter of a second for 10,000 ids at
//!   a server nearby. It need not if there are no notes, or its own is the
//!   oldest one. Peeks of messages in other states cost nothing more.
//! - A kick or a deletion takes the notes along that are soon found. Those that
//!   are left over, by other programs for instance, say nothing any more; lists
//!   remove those that they meet.
//!
//! # Leases
//!
//! - A lease ends when its connection does, which is when its worker dies, or
//!   after its ttr. The server (1.12) now and then forgets the ttr of a
//!   connection that stays open and says nothing at all, until it says
//!   something again. That takes a frozen process or a machine that vanished:
//!   a worker that lives renews its leases, and one that ends is noticed.
//!
//! - A job that took less than a millisecond, or was one of a batch, is deleted
//!   in the round trip that takes the next one ([`Settlement::Commit`](super::Settlement::Commit)).
//!
//! # A silent server
//!
//! A call that the server leaves without an answer for
//! [`BeanstalkdOptions::socket_timeout`] ends with an error, and its connection
//! with it. On systems other than Unix it ends when the system gives the
//! connection up.
//!
//! A wait ends at most a second after [`QueueAdapter::interrupt`].
//!
//! # Forks
//!
//! A forked process makes connections of its own. A [`Consumer`] that it
//! inherits refuses with [`QueueError::Forked`]: what that has reserved is the
//! parent's.
//!
//! [`Delivery::kicks`]: super::Delivery::kicks
//! [`Delivery::failed`]: super::Delivery::failed

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use self::client::{Client, Server};
use self::fault::Fault;
use self::job::NewJob;
use self::pipeline::Stopped;
use self::pool::Pool;
use self::watchdog::Watchdog;
use super::{
    Capabilities, Consumer, Enqueued, Filter, Inspection, NewMessage, QueueAdapter, QueueError, Stats, StoredMessage,
};
use crate::clock::{Clock, Notify, SystemClock};
use crate::message::MessageId;
use crate::process::fork::PerProcess;

mod backend;
mod client;
mod consumer;
mod fault;
mod inspect;
mod job;
mod limits;
mod pipeline;
mod pool;
mod probe;
mod reasons;
mod socket;
mod walk;
mod watchdog;

pub use walk::LONGEST_WALK;

/// Where the server is, and how to speak to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BeanstalkdOptions {
    /// A name or an address. A name is resolved anew for each connection.
    pub host: String,
    /// 11300 by default.
    pub port: u16,
    /// How long the server may be silent before a call is given up with an
    /// error and its connection replaced. Ten seconds by default.
    pub socket_timeout: Duration,
    /// How long the server is asked to wait for a job in one go; an interrupt
    /// waits for the end of it. In whole seconds; one by default, and at most.
    pub reserve_timeout: Duration,
}

impl BeanstalkdOptions {
    /// The defaults, for the server at this host.
    #[must_use]
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: 11300,
            socket_timeout: Duration::from_secs(10),
            reserve_timeout: Duration::from_secs(1),
        }
    }

    /// At this port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// See [`BeanstalkdOptions::socket_timeout`](#structfield.socket_timeout).
    #[must_use]
    pub fn socket_timeout(mut self, timeout: Duration) -> Self {
        self.socket_timeout = timeout;
        self
    }

    /// See [`BeanstalkdOptions::reserve_timeout`](#structfield.reserve_timeout).
    #[must_use]
    pub fn reserve_timeout(mut self, timeout: Duration) -> Self {
        self.reserve_timeout = timeout;
        self
    }
}

/// A beanstalkd server as a queue. Cheap to clone: all clones share its
/// connections.
#[derive(Clone, Debug)]
pub struct BeanstalkdQueue(Arc<Remote>);

#[derive(Debug)]
struct Remote {
    options: BeanstalkdOptions,
    clock: Arc<dyn Clock>,
    /// A fork has connections of its own.
    shared: PerProcess<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    /// For errors.
    place: String,
    pool: Pool,
    reserve_timeout: Duration,
    /// Says what time it is for delays, and how long a dequeue has waited.
    clock: Arc<dyn Clock>,
    /// The server's leases go by real time, whatever the queue's clock is.
    lease_clock: SystemClock,
    signal: Arc<Notify>,
    interrupts: AtomicU64,
    leases: AtomicU64,
}

impl BeanstalkdQueue {
    /// The queue at this server. Connects when there is something to do, so
    /// that a server which is not there yet is no error yet.
    ///
    /// The clock is the one that delays are measured by when they are made
    /// whole seconds for the server; the rest goes by the server's own.
    #[must_use]
    pub fn new(options: BeanstalkdOptions, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Remote { options, clock, shared: PerProcess::new() }))
    }

    /// What this process shares.
    fn shared(&self) -> &Arc<Shared> {
        self.0.shared.get_or_init(|| Arc::new(Shared::new(&self.0.options, self.0.clock.clone())))
    }

    /// The same, and sees whether the server is there.
    ///
    /// # Errors
    /// If it cannot be reached, or is no beanstalkd.
    pub fn connect(options: BeanstalkdOptions, clock: Arc<dyn Clock>) -> Result<Self, QueueError> {
        let queue = Self::new(options, clock);
        queue.shared().talk("connect to", Client::ping)?;
        Ok(queue)
    }

    /// Which server, in words for people.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.shared().place
    }
}

/// Why beanstalkd does not take this as the name of a tube, and so of a queue;
/// `None` if it does. For checks before anything is published.
#[must_use]
pub fn queue_name_problem(name: &str) -> Option<&'static str> {
    limits::name_problem(name)
}

impl Shared {
    /// Opens nothing.
    fn new(options: &BeanstalkdOptions, clock: Arc<dyn Clock>) -> Self {
        let BeanstalkdOptions { host, port, socket_timeout, reserve_timeout } = options.clone();
        Self {
            place: format!("beanstalkd at {host}:{port}"),
            pool: Pool::new(Server { host, port, silence: socket_timeout, watchdog: Arc::new(Watchdog::new()) }),
            reserve_timeout,
            signal: Notify::new(clock.clone()),
            clock,
            lease_clock: SystemClock::new(),
            interrupts: AtomicU64::new(0),
            leases: AtomicU64::new(0),
        }
    }

    /// Does `talk` on a connection of the pool.
    fn talk<R>(&self, doing: &str, talk: impl FnOnce(&mut Client) -> Result<R, Fault>) -> Result<R, QueueError> {
        let answer = self.pool.take().and_then(|mut client| talk(&mut client));
        answer.map_err(|fault| self.error(doing, fault))
    }

    /// A fault, in the words of the queue.
    fn error(&self, doing: &str, fault: Fault) -> QueueError {
        let place = self.place.clone();
        match fault {
            Fault::Draining => QueueError::Draining { place },
            Fault::OutOfMemory => QueueError::OutOfMemory { place },
            Fault::Foreign(answer) => QueueError::NotAQueue { place, found: format!("it answered {answer:?}") },
            fault => QueueError::Unavailable { doing: format!("{doing} {place}"), source: Box::new(fault) },
        }
    }

    fn enqueue_all(&self, jobs: &[NewJob]) -> Result<Vec<MessageId>, QueueError> {
        let mut client = self.pool.take().map_err(|fault| self.error("publish to", fault))?;
        let mut ids = Vec::with_capacity(jobs.len());
        let put = client.put_all(jobs, &mut ids);
        let ids: Vec<MessageId> = ids.into_iter().map(MessageId::from).collect();
        let Err(Stopped { fault, in_doubt }) = put else { return Ok(ids) };
        let error = match fault {
            Fault::TooBig => {
                let limit = client.max_job_size().ok().flatten();
                let size = jobs.get(ids.len()).map_or(0, |job| job.text.len());
                QueueError::TooBig { place: self.place.clone(), size, limit }
            }
            fault if in_doubt => {
                QueueError::UnknownOutcome { doing: format!("publish to {}", self.place), source: Box::new(fault) }
            }
            fault => self.error("publish to", fault),
        };
        Err(if ids.is_empty() {
            error
        } else {
            QueueError::PartOfBatch { ids, of: jobs.len(), source: Box::new(error) }
        })
    }
}

/// The time that was so long before.
fn ago(now: DateTime<Utc>, time: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(time).ok().and_then(|time| now.checked_sub_signed(time)).unwrap_or(now)
}

/// The time that comes so long after.
fn ahead(now: DateTime<Utc>, time: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(time).ok().and_then(|time| now.checked_add_signed(time)).unwrap_or(now)
}

impl QueueAdapter for BeanstalkdQueue {
    fn capabilities(&self) -> Capabilities {
        Capabilities { burial_reasons: true, pauses: true, picks_queues: true, ..Capabilities::default() }
    }

    fn enqueue(&self, messages: Vec<NewMessage>) -> Result<Vec<Enqueued>, QueueError> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.shared().clock.now();
        let job = |message: NewMessage| {
            limits::check_name(&message.queue)?;
            Ok(NewJob {
                priority: message.priority.get(),
                delay: limits::delay(message.delay, now)?,
                ttr: limits::seconds(message.ttr).max(1),
                tube: message.queue,
                text: message.text,
            })
        };
        // All of them are checked before the first is sent.
        let jobs = messages.into_iter().map(job).collect::<Result<Vec<_>, QueueError>>()?;
        Ok(self.shared().enqueue_all(&jobs)?.into_iter().map(Enqueued::new).collect())
    }

    /// Connects at the first dequeue.
    fn consumer(&self, queues: &[String]) -> Result<Box<dyn Consumer>, QueueError> {
        queues.iter().try_for_each(|queue| limits::check_name(queue))?;
        Ok(Box::new(consumer::BeanstalkdConsumer::new(self.clone(), queues.into())))
    }

    fn interrupt(&self) {
        self.shared().interrupts.fetch_add(1, Ordering::SeqCst);
        self.shared().signal.notify();
    }
}

impl Inspection for BeanstalkdQueue {
    fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError> {
        self.shared().peek(id)
    }

    fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
        self.shared().list(filter)
    }

    fn stats(&self) -> Result<Stats, QueueError> {
        self.shared().stats(None)
    }

    fn stats_of(&self, queues: &[String]) -> Result<Stats, QueueError> {
        self.shared().stats(Some(queues))
    }

    fn kick(&self, filter: &Filter) -> Result<u64, QueueError> {
        self.shared().kick(filter)
    }

    fn delete(&self, filter: &Filter) -> Result<u64, QueueError> {
        self.shared().delete(filter)
    }

    fn pause(&self, queue: &str, time: Duration) -> Result<(), QueueError> {
        self.shared().pause(queue, time)
    }

    fn backup(&self, _: &Path) -> Result<u64, QueueError> {
        Err(QueueError::Unsupported(
            "be written into a file: start the server with `-b FOLDER`, stop it, and copy the folder",
        ))
    }
}
