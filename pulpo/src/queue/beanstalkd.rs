//! The queue for several machines: a beanstalkd server. A queue is a tube of the same name.
//!
//! Differences from the embedded queue, due to the limits of the server's protocol:
//!
//! - A batch is not atomic. An error in the middle says which messages the server has ([`QueueError::PartOfBatch`]):
//!   the first ones. A server that is out of memory may accept messages after one that it refused. They are deleted
//!   again, except if a worker has already begun them.
//! - If a connection drops between a message and its answer, the server may or may not have the message:
//!   [`QueueError::UnknownOutcome`]. This adapter never sends a publication twice, because only the caller knows
//!   whether that is safe. It does resend follow-ups, since a job may run twice too.
//! - Times are whole seconds, rounded up: no job starts early, and a ttr is at least one second.
//! - Attempts come from the server's counters. An uncounted rollback without a delay, as on a shutdown, does not count:
//!   the job is released and kicked in one write. One with a delay does, so there is no
//!   [`Capabilities::uncounted_rollbacks`].
//! - To bury a message, a worker reserves it. If the burial does not count as an attempt, as after runs that have killed
//!   their workers, the note of the burial says so. If that note is gone, the message is listed with one attempt more.
//! - A kick cannot reset the counters: [`Delivery::kicks`] is the number of kicks, and [`Delivery::failed`] computes
//!   the count from both.
//! - The reason of a rollback is not kept ([`Capabilities::last_errors`]), only logged. The reason of a burial is kept
//!   in a note: see below.
//! - The server cannot enumerate its jobs. [`Inspection::list`] asks for one id after the other, hundreds in one write,
//!   until it has found as many as there are. Of a few messages in given states, it first asks for the ids around those
//!   that the server shows without a search. It gives up after [`MAX_SCANNED_IDS`] ids, which takes some seconds, and
//!   [`Inspection::survey`] returns how many it has not seen. A kick or a deletion by queue and state alone still
//!   reaches them.
//! - There is no archive and no backup; copy the server's own log (`-b`) instead. The statistics do not distinguish
//!   request types, and for ready messages they show how long the next one has waited, not the oldest.
//! - The server does not report when a job was released, kicked or reserved.
//!   [`StoredMessage::since`](super::StoredMessage::since) of such a message is unknown; filters by it leave the
//!   message out and log how many they left out. For a buried message the time is in its note, and for one that was
//!   never reserved the server has it.
//! - A pause ([`Inspection::pause`]) lasts whole seconds, and ends when the server restarts. A queue that has neither
//!   messages nor workers does not exist, so it cannot be paused.
//! - A kick or a deletion by more than a queue first checks each message. If another program changes the message
//!   between the check and the change, within a millisecond or so, it is kicked or deleted in its new state.
//! - Queues cannot be named `pulpo.reasons` or `pulpo.probe`.
//! - Unix sockets are refused: name a host.
//!
//! # Several servers
//!
//! `beanstalkd://a:11300,b:11300/tube` makes one queue of several servers: see [`several`](super::several). All
//! statements here hold for each of them.
//!
//! # Connections
//!
//! - One connection takes and settles messages, for all consumers of a queue and its clones, as of one
//!   [`Pulpo`](crate::Pulpo), in a process; the waiting consumers share its checks. Two queues at one server have one
//!   each: their timeouts may differ, and the one that ends gives back its messages by closing its connection.
//!   While no job is in hand, it waits at the server. While a job is in hand, which may need the connection, it checks
//!   for another job from time to time: after 5 ms, and while none comes after longer and longer pauses, up to 250 ms.
//!   So a job that arrives while another one runs may wait that long. A call that does not wait asks on another
//!   connection how many jobs are ready, so it finds all messages that were published before it.
//! - Up to eight connections publish, and up to four inspect and administer.
//! - A silent server is not a lost one. An answer that does not come within [`BeanstalkdOptions::socket_timeout`] is an
//!   error of the call, and is read when it comes. The connection for leases is given up when nothing has come for ten
//!   times that long. The timeout is for silence, not for a transfer: a large message may take its time.
//! - Each connection has TCP_NODELAY and, on Unix, keepalive.
//!
//! A wait ends at most a second after [`QueueAdapter::interrupt`].
//!
//! # Workers that die
//!
//! A lease ends when its connection does, or after its ttr. The server counts how often it hands out a job, so a job
//! loses an attempt when its worker dies: one attempt per death. No other job loses any, since a dead process has no
//! other connection to which the server could hand its jobs, unless it had two queues at this server. A job that the
//! server handed out at that very moment, before it began to run, loses one too. So does a job that the server handed
//! to a frozen process.
//!
//! The server (1.12) sometimes forgets the ttr of a connection that stays open and completely silent, until the
//! connection sends a command again. Only a frozen process or a machine that vanished is that silent: a live worker
//! renews its leases, and the end of one is noticed.
//!
//! A job that took less than a millisecond, or was part of a batch, is deleted in the round trip that takes the next
//! one ([`Settlement::Commit`](super::Settlement::Commit)).
//!
//! # Reasons of burials
//!
//! A job on the server has no field for a reason, and its body cannot change. So a burial first puts a note, a second
//! job, into the tube `pulpo.reasons`: `{"of": 42, "reason": "…", "at": "…"}`, delayed by 136 years, so that no worker
//! gets it. The note of a burial that does not count as an attempt has `"uncounted": true` as well. Note and burial go in
//! one write. A message whose note the server refuses is still buried.
//!
//! - [`Inspection::list`] comes across the notes. They have ids too, and so take up some of its [`MAX_SCANNED_IDS`].
//! - [`Inspection::peek`] of a buried message has to look for its note, among the ids from the newest down to its own.
//!   It need not look if there are no notes, or if the message's note is the oldest one. Peeking at messages in other
//!   states costs nothing extra.
//! - A kick or a deletion also deletes the notes that it finds quickly. Notes that are left over, for instance by other
//!   programs, have no meaning any more; lists delete those that they come across.
//!
//! # Forks
//!
//! A forked process opens connections of its own. A [`Consumer`] that it inherits refuses with [`QueueError::Forked`],
//! because the jobs that it has reserved belong to the parent.
//!
//! [`Delivery::kicks`]: super::Delivery::kicks
//! [`Delivery::failed`]: super::Delivery::failed

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use self::job::NewJob;
use self::shared::Shared;
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
mod options;
mod pool;
mod protocol;
mod publish;
mod queries;
mod scan;
mod shared;
mod values;

#[cfg(feature = "beanstalkc")]
pub(crate) use self::limits::{delay, seconds};
pub use self::options::BeanstalkdOptions;
pub use self::scan::MAX_SCANNED_IDS;

/// A beanstalkd server as a queue. Cheap to clone: all clones share its connections.
#[derive(Clone, Debug)]
pub struct BeanstalkdQueue(Arc<Remote>);

#[derive(Debug)]
struct Remote {
    options: BeanstalkdOptions,
    clock: Arc<dyn Clock>,
    /// A fork opens its own connections.
    shared: PerProcess<Arc<Shared>>,
}

impl BeanstalkdQueue {
    /// Creates the queue at this server. It connects when there is something to do, so a server that is not running yet
    /// is not an error.
    ///
    /// The clock measures delays when they are converted to whole seconds for the server; everything else follows the
    /// server's clock.
    #[must_use]
    pub fn new(options: BeanstalkdOptions, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Remote { options, clock, shared: PerProcess::new() }))
    }

    /// Returns the part that all clones in this process share.
    fn shared(&self) -> &Arc<Shared> {
        self.0.shared.get_or_init(|| Arc::new(Shared::new(&self.0.options, self.0.clock.clone())))
    }

    /// Creates the queue at this server, and checks that the server is reachable.
    ///
    /// # Errors
    /// If it cannot be reached, or is not beanstalkd.
    pub fn connect(options: BeanstalkdOptions, clock: Arc<dyn Clock>) -> Result<Self, QueueError> {
        let queue = Self::new(options, clock);
        queue.shared().inspect("connect to", |_| Ok(()))?;
        Ok(queue)
    }

    /// Returns the name of the server, for people.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.shared().place
    }
}

/// Returns why beanstalkd refuses this name for a tube, and so for a queue; `None` if it accepts it. For checks before
/// a publication.
#[must_use]
pub fn queue_name_problem(name: &str) -> Option<&'static str> {
    limits::name_problem(name)
}

/// Returns the capabilities of every server.
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
        let shared = self.shared();
        let now = shared.clock.now();
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
        // Check all messages before sending the first one.
        let jobs = messages.into_iter().map(job).collect::<Result<Vec<_>, QueueError>>()?;
        Ok(shared.enqueue_all(&jobs)?.into_iter().map(Enqueued::new).collect())
    }

    /// Connects at the first dequeue.
    fn consumer(&self, queues: &[String]) -> Result<Box<dyn Consumer>, QueueError> {
        queues.iter().try_for_each(|queue| limits::check_name(queue))?;
        let queues = super::distinct(queues).into();
        Ok(Box::new(consumer::BeanstalkdConsumer::new(Arc::new(self.clone()), self.shared().clone(), queues)))
    }

    fn stores(&self) -> Result<Vec<String>, QueueError> {
        let identity = self.shared().identity()?;
        Ok(identity.into_iter().map(|id| format!("beanstalkd {id}")).collect())
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
            "be copied into a file: start the server with `-b FOLDER`, stop it, and copy the folder",
        ))
    }
}
