//! The queue of many machines: a beanstalkd server. A queue is a tube of its
//! name.
//!
//! What differs from the embedded queue, since the server's protocol has no
//! more:
//!
//! - A batch is not atomic. An error in the middle says which messages the
//!   server has ([`QueueError::PartOfBatch`]): the first ones. A server that is
//!   out of memory may take some after one that it did not take; they are
//!   deleted again, which fails to stop one that a worker has already begun.
//! - A connection that drops between a message and its answer leaves open
//!   whether the server has it: [`QueueError::UnknownOutcome`]. A publication
//!   is not sent twice by this adapter; only the caller knows whether it may
//!   be. What follows from a job is, since a job may run twice too.
//! - Times are whole seconds, rounded up: nothing starts early, a ttr is at
//!   least one second.
//! - Attempts come from the server's counters. A rollback that does not count
//!   and has no delay, as on a shutdown, does not count; one with a delay
//!   does, so there is no [`Capabilities::uncounted_rollbacks`].
//! - A kick cannot set the counters back: [`Delivery::kicks`] says how often
//!   it happened, and [`Delivery::failed`] makes of it what counts.
//! - Why a message was put back is not kept ([`Capabilities::last_errors`]): it
//!   is in the log. Why it was buried is, in a note: see below.
//! - The server cannot enumerate its jobs. [`Inspection::list`] asks for one
//!   id after the other, hundreds in one write, until it has found as many as
//!   there are; it gives up after [`MAX_SCANNED_IDS`] ids, some seconds' worth,
//!   and [`Inspection::survey`] says how many it has not seen. A kick or a
//!   deletion by no more than queue and state reaches them all the same.
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
//! - Unix sockets are refused: name a host.
//!
//! # Several servers
//!
//! `beanstalkd://a:11300,b:11300/tube` are several servers as one queue: see
//! [`several`](super::several). What is said here holds for each of them.
//!
//! # Connections
//!
//! - One takes and settles, for all consumers of a process; the others that wait
//!   look through it too. While nothing is in hand it waits at the server. While
//!   a job is in hand, for which it may be needed, it looks now and then for
//!   another: after 5 ms, and while nothing comes after ever longer pauses, up
//!   to 250 ms. So another job that comes while one runs may wait that long.
//!   A call that does not wait asks on another connection how many jobs are
//!   ready: what was published before a call is found by it.
//! - Up to eight publish, and up to four look at and change what is there.
//! - A silent server is not a lost one: an answer that does not come within
//!   [`BeanstalkdOptions::socket_timeout`] is an error of the call, and is read
//!   when it comes. A connection for leases is given up when nothing has come
//!   for ten times that long. The timeout is for silence, not for a transfer: a
//!   large message may take its time.
//! - Each has TCP_NODELAY, and on Unix keepalive.
//!
//! A wait ends at most a second after [`QueueAdapter::interrupt`].
//!
//! # The deaths of workers
//!
//! A lease ends when its connection does, or after its ttr. The server counts
//! each time that it hands out a job, so a job loses an attempt when the worker
//! that has it dies: one at one death, and no other job loses any, since a dead
//! process has no other connection to which the server could hand its jobs.
//! A job that the server handed out in the same moment, and that had not begun
//! to run, loses one too. So does one that it handed to a process that stands
//! still.
//!
//! The server (1.12) now and then forgets the ttr of a connection that stays
//! open and says nothing at all, until it says something again. That takes a
//! frozen process or a machine that vanished: a worker that lives renews its
//! leases, and one that ends is noticed.
//!
//! A job that took less than a millisecond, or was one of a batch, is deleted
//! in the round trip that takes the next one
//! ([`Settlement::Commit`](super::Settlement::Commit)).
//!
//! # The reasons of burials
//!
//! A job of the server has no field for a reason and its body cannot change, so
//! a burial first puts a note, a second job, into the tube `pulpo.reasons`:
//! `{"of": 42, "reason": "…", "at": "…"}`, delayed by 136 years, so that nobody
//! is handed it. Note and burial go in one write. A message whose note the
//! server does not take is buried all the same.
//!
//! - [`Inspection::list`] meets the notes on its way. They have ids too, and
//!   so take some of its [`MAX_SCANNED_IDS`].
//! - [`Inspection::peek`] of a buried message has to look for its note, among
//!   the ids from the newest down to its own. It need not if there are no notes,
//!   or its own is the oldest one. Peeks of messages in other states cost
//!   nothing more.
//! - A kick or a deletion takes the notes along that are soon found. Those that
//!   are left over, by other programs for instance, say nothing any more; lists
//!   remove those that they meet.
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
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use self::connection::{Connection, Server};
use self::fault::Fault;
use self::job::NewJob;
use self::lease_connection::LeaseConnection;
use self::pool::Pool;
use self::publish::Stopped;
use super::{
    Capabilities, Consumer, Enqueued, Filter, Inspection, NewMessage, QueueAdapter, QueueError, Stats, StoredMessage,
    Survey,
};
use crate::clock::Clock;
use crate::message::MessageId;
use crate::process::fork::PerProcess;

mod backend;
mod burial_notes;
mod connection;
mod consumer;
mod fault;
mod inspect;
mod job;
mod lease_connection;
mod limits;
mod look;
mod pool;
mod protocol;
mod publish;
mod scan;

pub use scan::MAX_SCANNED_IDS;

/// How many connections publications and inspection have at most.
const PUBLISHING: usize = 8;
const INSPECTING: usize = 4;

/// Where the server is, and how to speak to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BeanstalkdOptions {
    /// A name or an address. A name is resolved again for each connection.
    pub host: String,
    /// 11300 by default.
    pub port: u16,
    /// How long the server may be silent before a call is given up with an
    /// error and its connection replaced. Ten seconds by default.
    pub socket_timeout: Duration,
    /// How long the server is asked to wait for a job in one go; an interrupt
    /// waits for the end of it. In whole seconds; one by default, and at most.
    pub reserve_timeout: Duration,
    /// How many ids a list asks for at most, the newest first:
    /// [`MAX_SCANNED_IDS`] by default.
    pub max_scanned_ids: u64,
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
            max_scanned_ids: MAX_SCANNED_IDS,
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

    /// See [`BeanstalkdOptions::max_scanned_ids`](#structfield.max_scanned_ids).
    #[must_use]
    pub fn max_scanned_ids(mut self, most: u64) -> Self {
        self.max_scanned_ids = most;
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
    publishing: Pool,
    inspecting: Pool,
    /// Takes and settles.
    leases: LeaseConnection,
    max_scanned_ids: u64,
    /// How many bytes a job may have, as the server has said once.
    max_job_size: OnceLock<Option<u64>>,
    /// Says what time it is for delays.
    clock: Arc<dyn Clock>,
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
        queue.shared().inspect("connect to", |_| Ok(()))?;
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
        let BeanstalkdOptions { host, port, socket_timeout, reserve_timeout, max_scanned_ids } = options.clone();
        let place = format!("beanstalkd at {host}:{port}");
        let server = Server { host, port, response_timeout: socket_timeout };
        Self {
            place,
            publishing: Pool::new(server.clone(), PUBLISHING),
            inspecting: Pool::new(server.clone(), INSPECTING),
            leases: LeaseConnection::new(server, reserve_timeout),
            max_scanned_ids,
            max_job_size: OnceLock::new(),
            clock,
        }
    }

    /// Looks at or changes what is at the server, on a connection of its own.
    fn inspect<R>(&self, doing: &str, talk: impl FnOnce(&mut Connection) -> Result<R, Fault>) -> Result<R, QueueError> {
        let answer = self.inspecting.take(None).and_then(|mut connection| talk(&mut connection));
        answer.map_err(|fault| self.error(doing, fault))
    }

    /// Whether one of these tubes has a job to hand out.
    fn has_ready(&self, tubes: &[String]) -> Result<bool, Fault> {
        let stats = look::all_tube_stats(&mut *self.inspecting.take(None)?, tubes.to_vec())?;
        Ok(stats.iter().any(|(_, tube)| tube.ready() > 0 && tube.pause_left.is_zero()))
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

    fn max_job_size(&self, connection: &mut Connection) -> Result<Option<u64>, Fault> {
        if let Some(known) = self.max_job_size.get() {
            return Ok(*known);
        }
        let told = publish::max_job_size(connection)?;
        Ok(*self.max_job_size.get_or_init(|| told))
    }

    fn enqueue_all(&self, jobs: &[NewJob]) -> Result<Vec<MessageId>, QueueError> {
        let tube = jobs.first().map(|job| job.tube.as_str());
        let mut connection = self.publishing.take(tube).map_err(|fault| self.error("publish to", fault))?;
        let most_bytes = if jobs.len() > 1 { self.max_job_size(&mut connection) } else { Ok(None) };
        let most_bytes = most_bytes.map_err(|fault| self.error("publish to", fault))?;
        let mut ids = Vec::with_capacity(jobs.len());
        let put = publish::put_all(&mut connection, jobs, most_bytes, &mut ids);
        let ids: Vec<MessageId> = ids.into_iter().map(MessageId::from).collect();
        let Err(Stopped { fault, in_doubt }) = put else {
            self.leases.look();
            return Ok(ids);
        };
        let error = match fault {
            Fault::TooBig => {
                let limit = publish::max_job_size(&mut connection).ok().flatten();
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

/// The time this long before.
fn ago(now: DateTime<Utc>, time: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(time).ok().and_then(|time| now.checked_sub_signed(time)).unwrap_or(now)
}

/// The time this long after.
fn ahead(now: DateTime<Utc>, time: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(time).ok().and_then(|time| now.checked_add_signed(time)).unwrap_or(now)
}

/// What every server can do.
fn capabilities() -> Capabilities {
    Capabilities {
        burial_reasons: true,
        pauses: true,
        picks_queues: true,
        total_order: true,
        ..Capabilities::default()
    }
}

impl QueueAdapter for BeanstalkdQueue {
    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    fn enqueue(&self, messages: Vec<NewMessage>) -> Result<Vec<Enqueued>, QueueError> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.shared().clock.now();
        let job = |message: NewMessage| {
            limits::check_name(&message.queue)?;
            if message.unique.is_some() {
                return Err(QueueError::NO_UNIQUE_KEYS);
            }
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
        self.shared().leases.interrupt();
    }
}

impl Inspection for BeanstalkdQueue {
    fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError> {
        self.shared().peek(id)
    }

    fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
        self.shared().list(filter)
    }

    fn survey(&self, filter: &Filter, texts: bool) -> Result<Survey, QueueError> {
        self.shared().survey(filter, texts)
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
