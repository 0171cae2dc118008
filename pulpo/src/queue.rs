//! What a queue must be able to do, so that the rest need not know which one
//! it is.
//!
//! An adapter keeps messages as text and carries out what was decided. It
//! never decides: how long to delay a message and when to bury it comes from
//! the worker. It never looks into a body.

use std::fmt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::keys::Publication;
pub use crate::keys::{LimitKeys, Unique};
use crate::message::{MessageId, Priority};

mod activity;
pub mod backend;
#[cfg(feature = "beanstalkd")]
pub mod beanstalkd;
#[cfg(feature = "conformance")]
pub mod conformance;
mod dequeue_filter;
mod error;
#[cfg(feature = "file")]
pub mod file;
mod filter;
mod import;
mod in_database;
mod limit;
mod outbox_ids;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "file", feature = "postgres"))]
pub(crate) mod prefetch;
mod running;
mod schedules;
mod settlement;
pub mod spool;
mod stats;
mod workers;

pub use activity::{Activity, ActivityFilter, ActivityLog, ActivityStep};
#[cfg(feature = "beanstalkc")]
pub(crate) use beanstalkd::queue_name_problem as tube_name_problem;
pub use dequeue_filter::DequeueFilter;
pub use error::{Forked, QueueError};
pub use filter::Filter;
pub use import::{Import, Imported};
pub use in_database::InDatabase;
pub use limit::{Limit, LimitKind, LimitScope};
pub use outbox_ids::OutboxIds;
pub use running::{CANCELLED, Cancelled, LongRun, Progress};
pub use schedules::{Occurrence, OccurrenceMessage, ScheduleStep, ScheduleStore, Schedules, Stepped, StoredEntry};
pub use settlement::{Settlement, enqueue_follow_ups};
use spool::Spool;
pub use stats::{Counts, Paused, Stats, Totals, Unreachable};
pub use workers::{RunningJob, WorkerEntry, WorkerReport, Workers};

/// The queue of jobs that name none, where the configuration names none.
pub const DEFAULT_QUEUE: &str = "pulpo";

/// How long a queue is paused that only a person resumes: as long as
/// beanstalkd can count, 136 years.
#[cfg(any(feature = "cli", feature = "http"))]
pub(crate) const UNTIL_RESUMED: Duration = Duration::from_secs(u32::MAX as u64);

/// Keeps messages until they are done. Shared by all threads of a process.
pub trait QueueAdapter: Inspection + fmt::Debug + Send + Sync + 'static {
    /// What this queue can do beyond what every queue can.
    fn capabilities(&self) -> Capabilities;

    /// Keeps these messages, and says what became of each, in the same order.
    /// When it returns Ok they are as safe as this queue can make them.
    ///
    /// # Errors
    /// If none of them, or with a queue without
    /// [`Capabilities::atomic_batches`] not all of them, could be kept.
    /// [`QueueError::Duplicate`] if the unique key of one is taken and it is to
    /// be rejected; [`QueueError::Unsupported`] for a unique one, without
    /// [`Capabilities::unique_keys`].
    fn enqueue(&self, messages: Vec<NewMessage>) -> Result<Vec<Enqueued>, QueueError>;

    /// [`enqueue`](Self::enqueue) for async code, without blocking its caller:
    /// a queue that can have it done by others, and wake a task when it is.
    /// This one gives the messages back, and [`enqueue`](Self::enqueue) is
    /// called with them on a thread that may block.
    fn enqueue_async(&self, messages: Vec<NewMessage>) -> EnqueueAsync {
        EnqueueAsync::Blocks(messages)
    }

    /// A consumer of these queues for one thread.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn consumer(&self, queues: &[String]) -> Result<Box<dyn Consumer>, QueueError>;

    /// What keeps the schedules of handlers; `None` without
    /// [`Capabilities::schedules`].
    fn schedules(&self) -> Option<&dyn ScheduleStore> {
        None
    }

    /// What keeps numbers over time; `None` without
    /// [`Capabilities::activity`].
    fn activity(&self) -> Option<&dyn ActivityLog> {
        None
    }

    /// A worker tells where the jobs of its types go, for publishers that do
    /// not know. A queue that no other program publishes into needs not keep
    /// it. One that cannot be reached may keep it later.
    fn declare(&self, routes: Vec<Route>) {
        drop(routes);
    }

    /// Makes all blocked [`Consumer::dequeue`] calls of this process return,
    /// and the next one of each not wait.
    fn interrupt(&self);

    /// What takes each [`NewMessage::outbox_id`] once; `None` if the queue
    /// cannot tell whether it has taken one before.
    fn outbox_ids(&self) -> Option<&dyn OutboxIds> {
        None
    }

    /// What knows the workers of the queue, and is told of their runs; `None`
    /// without [`Capabilities::workers`].
    fn workers(&self) -> Option<&dyn Workers> {
        None
    }

    /// What takes messages over from another queue; `None` if the queue keeps
    /// nothing of what has become of them there.
    fn import(&self) -> Option<&dyn Import> {
        None
    }

    /// The database that the queue is in, if a user's transaction there can
    /// publish into the queue by SQL.
    fn in_database(&self) -> Option<InDatabase> {
        None
    }

    /// The spool in front of this queue, if it has one.
    fn spool(&self) -> Option<&Spool> {
        None
    }

    /// From now on, and for this long, hands out no message of this request
    /// type, to no process: with a key, none whose
    /// [`LimitKeys::hold_key`] it is. In place of an earlier one; a time of
    /// zero ends it.
    ///
    /// # Errors
    /// [`QueueError::Unsupported`] without [`Capabilities::limits`]; or if the
    /// queue cannot be reached.
    fn hold_back(&self, request_type: &str, key: Option<&str>, time: Duration) -> Result<(), QueueError> {
        let _ = (request_type, key, time);
        Err(QueueError::Unsupported("hold jobs back: it keeps no limits"))
    }
}

/// What people and programs look at and change in a queue, apart from the jobs
/// that run.
pub trait Inspection {
    /// One message, in whatever state it is.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError>;

    /// The messages that the filter picks, the newest first: by id, the
    /// greatest first.
    ///
    /// # Errors
    /// If the queue cannot be reached, or cannot list.
    fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError>;

    /// The same as [`list`](Self::list), and how many more fit that this queue
    /// cannot see. Without `texts` the messages may come without them, where
    /// that costs less.
    ///
    /// # Errors
    /// If the queue cannot be reached, or cannot list.
    fn survey(&self, filter: &Filter, texts: bool) -> Result<Survey, QueueError> {
        let _ = texts;
        Ok(Survey { messages: self.list(filter)?, unseen: 0 })
    }

    /// What there is: how many messages in each state, which queues are
    /// paused, and how many messages have come and gone.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn stats(&self) -> Result<Stats, QueueError>;

    /// The [`stats`](Self::stats) of these queues alone, with what is paused
    /// and what has come and gone in them. Totals that an adapter keeps for
    /// all queues together are left out. This one asks for all and picks; an
    /// adapter to which each queue costs something asks for these only.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn stats_of(&self, queues: &[String]) -> Result<Stats, QueueError> {
        let mut stats = self.stats()?;
        stats.counts.retain(|counts| queues.contains(&counts.queue));
        stats.paused.retain(|paused| queues.contains(&paused.queue));
        stats.totals.retain(|totals| totals.queue.as_ref().is_some_and(|queue| queues.contains(queue)));
        Ok(stats)
    }

    /// Makes buried messages ready again, with all their attempts before
    /// them. Says how many; messages that are not buried stay as they are, and
    /// so do those whose unique key another message has by now.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn kick(&self, filter: &Filter) -> Result<u64, QueueError>;

    /// The message that has the unique key of this one, which is buried: as
    /// long as it is there, [`kick`](Self::kick) leaves this one. `None` if the
    /// key is free, or it has none.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn key_taken_by(&self, id: &MessageId) -> Result<Option<MessageId>, QueueError> {
        let _ = id;
        Ok(None)
    }

    /// Deletes messages. Says how many; those that a worker has stay.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn delete(&self, filter: &Filter) -> Result<u64, QueueError>;

    /// Cancels messages. One that waits is buried at once, with the reason
    /// [`CANCELLED`]. One that runs is marked: its worker learns it by
    /// [`Workers::follow_runs`], and however the run ends, also by the death of
    /// its worker, the message is buried with that reason. Those that are
    /// buried stay as they are. To cancel what is cancelled already changes
    /// nothing, and is counted.
    ///
    /// # Errors
    /// [`QueueError::Unsupported`] without [`Capabilities::cancels`]; or if the
    /// queue cannot be reached.
    fn cancel(&self, filter: &Filter) -> Result<Cancelled, QueueError> {
        let _ = filter;
        Err(QueueError::NO_CANCELS)
    }

    /// From now on, and for this long, hands out nothing of this queue, to no
    /// process; what is reserved is settled as ever. In place of an earlier
    /// pause. A time of zero resumes it, paused or not.
    ///
    /// # Errors
    /// [`QueueError::Unsupported`] without [`Capabilities::pauses`];
    /// [`QueueError::NoSuchQueue`] if there is nothing to pause; or if the queue
    /// cannot be reached.
    fn pause(&self, queue: &str, time: Duration) -> Result<(), QueueError> {
        let _ = (queue, time);
        Err(QueueError::Unsupported("be paused"))
    }

    /// Writes all that is in the queue at one moment into a new file, and says
    /// its size in bytes. Others may use the queue meanwhile.
    ///
    /// # Errors
    /// [`QueueError::Unsupported`] without [`Capabilities::backups`]; if the
    /// file is there already, or cannot be written; or if the queue cannot be
    /// read.
    fn backup(&self, file: &Path) -> Result<u64, QueueError> {
        let _ = file;
        Err(QueueError::Unsupported("be written into a file"))
    }
}

/// A handle through which one thread receives and settles messages.
///
/// A message that was dequeued is leased: for its ttr nobody else gets it.
/// [`settle`](Self::settle) and [`touch`](Self::touch) change nothing when the
/// lease is no longer this one.
pub trait Consumer: Send {
    /// The next message that fits the filter, waiting for one up to `wait`;
    /// `None` if there was none. It may return `None` early.
    ///
    /// A queue applies the parts of the filter that its [`Capabilities`] name,
    /// and ignores the others: the worker looks at what it gets.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn dequeue(&mut self, filter: &DequeueFilter, wait: Duration) -> Result<Option<Delivery>, QueueError>;

    /// Ends the lease and does with the message what was decided.
    ///
    /// After an error that is transient it can be called again with the same
    /// settlement: what it has kept of the follow-ups it has taken out of it.
    ///
    /// A message that was [cancelled](Inspection::cancel) is buried with the
    /// reason [`CANCELLED`] in place of all that, uncounted, and nothing follows
    /// from its run.
    ///
    /// # Errors
    /// [`QueueError::LeaseLost`] if the lease is no longer this one, and
    /// [`QueueError::Cancelled`] if the message was cancelled (of a commit that
    /// was deferred, [`take_lost_leases`](Self::take_lost_leases) says so
    /// later); if the queue does not take the follow-ups; or if it cannot be
    /// reached.
    fn settle(&mut self, lease: &Lease, settlement: &mut Settlement) -> Result<(), QueueError>;

    /// Renews these leases, each for another ttr. Returns those that are
    /// lost.
    ///
    /// # Errors
    /// If the queue cannot be reached. Some may be renewed then.
    fn touch(&mut self, leases: &[Lease]) -> Result<Vec<Lease>, QueueError>;

    /// Carries out the commits that were deferred, and makes ready again what
    /// was leased ahead for this consumer. A worker calls it before a long
    /// job and when it stops.
    ///
    /// # Errors
    /// If the queue cannot be reached; then it can be called again.
    fn flush(&mut self) -> Result<(), QueueError> {
        Ok(())
    }

    /// Leases whose commit was deferred and did nothing, since they had ended
    /// by then, or buried a message that was cancelled: of this consumer, or of any of this process. Each is returned
    /// once.
    fn take_lost_leases(&mut self) -> Vec<Lease> {
        Vec::new()
    }
}

/// What a queue can do beyond what every queue can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// [`QueueAdapter::enqueue`] keeps all of a batch or none.
    pub atomic_batches: bool,
    /// A rollback that does not count leaves the attempts as they were.
    /// Without it, one that does not count and has a delay is taken for an
    /// attempt.
    pub uncounted_rollbacks: bool,
    /// Why a message was buried, and when, can be asked for as its last error.
    pub burial_reasons: bool,
    /// So can the last error of a message that is not buried: why it was put
    /// back.
    pub last_errors: bool,
    /// Done messages can be kept in an archive.
    pub archive: bool,
    /// [`Inspection::list`] finds all messages, however many and however old
    /// they are.
    pub complete_lists: bool,
    /// [`Inspection::stats`] tells request types apart.
    pub stats_by_type: bool,
    /// [`Inspection::pause`] works, in all processes.
    pub pauses: bool,
    /// [`Inspection::backup`] works.
    pub backups: bool,
    /// [`Consumer::dequeue`] leaves out request types, and takes only
    /// the one that it is asked for.
    pub picks_types: bool,
    /// [`Consumer::dequeue`] leaves out queues.
    pub picks_queues: bool,
    /// [`QueueAdapter::schedules`] hands out what keeps the schedules of
    /// handlers.
    pub schedules: bool,
    /// [`QueueAdapter::activity`] hands out what keeps numbers over time.
    pub activity: bool,
    /// [`QueueAdapter::enqueue`] keeps one message of each
    /// [unique key](NewMessage::unique).
    pub unique_keys: bool,
    /// [`Consumer::dequeue`] keeps to the [limits](DequeueFilter::limits) that
    /// hold over all processes, and [`QueueAdapter::hold_back`] works.
    pub limits: bool,
    /// [`Inspection::cancel`] works.
    pub cancels: bool,
    /// [`QueueAdapter::workers`] hands out what knows the workers.
    pub workers: bool,
}

/// Where the jobs of a request type go, as a worker that has it knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Route {
    /// Which request type.
    pub request_type: String,
    /// Into which queue.
    pub queue: String,
    /// With which priority, if the message says none.
    pub priority: Priority,
    /// How long a lease of them lasts.
    pub ttr: Duration,
}

/// A message on its way into a queue.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewMessage {
    /// Which queue.
    pub queue: String,
    /// For lists and statistics; the text holds it too.
    pub request_type: String,
    /// Its place in the queue.
    pub priority: Priority,
    /// Not ready before, if said.
    pub delay: Option<DateTime<Utc>>,
    /// How long a lease lasts.
    pub ttr: Duration,
    /// Which row of an [outbox](crate::outbox) it was, if it was one: see
    /// [`QueueAdapter::outbox_ids`].
    pub outbox_id: Option<String>,
    /// Its unique key, if it has one: see [`Capabilities::unique_keys`].
    pub unique: Option<Unique>,
    /// By what its limits tell its messages apart, if by anything: see
    /// [`Capabilities::limits`].
    pub limit_keys: LimitKeys,
    /// The wire form.
    pub text: String,
}

impl NewMessage {
    /// A message with default priority and ttr for `queue`.
    #[must_use]
    pub fn new(queue: impl Into<String>, request_type: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            queue: queue.into(),
            request_type: request_type.into(),
            priority: Priority::DEFAULT,
            delay: None,
            ttr: crate::policy::Policy::DEFAULT.ttr,
            outbox_id: None,
            unique: None,
            limit_keys: LimitKeys::default(),
            text: text.into(),
        }
    }

    /// Made of this row of an outbox.
    #[must_use]
    pub fn outbox_id(mut self, outbox_id: impl Into<String>) -> Self {
        self.outbox_id = Some(outbox_id.into());
        self
    }

    /// With this unique key.
    #[must_use]
    pub fn unique(mut self, unique: Unique) -> Self {
        self.unique = Some(unique);
        self
    }

    /// Limited by these keys.
    #[must_use]
    pub fn limit_keys(mut self, limit_keys: LimitKeys) -> Self {
        self.limit_keys = limit_keys;
        self
    }
}

/// What becomes of messages that async code enqueues.
#[must_use = "nothing is enqueued until the future is awaited"]
pub enum EnqueueAsync {
    /// They are on their way once this is polled, and are enqueued also if it
    /// is dropped then.
    Pending(EnqueueFuture),
    /// The queue can only block: here they are again.
    Blocks(Vec<NewMessage>),
}

/// An [`enqueue`](QueueAdapter::enqueue) on its way.
pub type EnqueueFuture = Pin<Box<dyn Future<Output = Result<Vec<Enqueued>, QueueError>> + Send>>;

impl fmt::Debug for EnqueueAsync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending(_) => f.write_str("Pending"),
            Self::Blocks(messages) => f.debug_tuple("Blocks").field(messages).finish(),
        }
    }
}

/// What became of a message that was enqueued.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Enqueued {
    /// The id that the queue gave it; that of the message which has its unique
    /// key, if it was kept or replaced.
    pub id: MessageId,
    /// Whether it is a message of its own.
    pub publication: Publication,
}

impl Enqueued {
    /// A new message with this id.
    #[must_use]
    pub fn new(id: impl Into<MessageId>) -> Self {
        Self { id: id.into(), publication: Publication::New }
    }

    /// What became of one whose unique key the message with this id has.
    #[must_use]
    pub fn duplicate(id: impl Into<MessageId>, publication: Publication) -> Self {
        Self { id: id.into(), publication }
    }
}

/// A message handed out to one consumer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// What settles it.
    pub lease: Lease,
    /// The queue that it came from.
    pub queue: String,
    /// How many runs failed so far, those included that ended without a word.
    pub attempts: u32,
    /// How many of them ended unsettled: the worker crashed or timed out
    /// for longer than the ttr.
    pub abandoned: u32,
    /// How often it was kicked, in a queue where a kick cannot set the two
    /// counts above to 0; else 0. See [`Delivery::failed`].
    pub kicks: u32,
    /// Since when it could have been started.
    pub due_since: DateTime<Utc>,
    /// When a worker first [left it to others](Settlement::LeaveToOthers), if
    /// nothing else has become of it since. A queue that does not know says
    /// what [`Delivery::new`] says: `due_since`.
    pub left_since: Option<DateTime<Utc>>,
    /// How long the lease lasts without a touch.
    pub ttr: Duration,
    /// The wire form, as somebody wrote it.
    pub text: Vec<u8>,
}

impl Delivery {
    /// A first delivery.
    #[must_use]
    pub fn new(lease: Lease, queue: impl Into<String>, due_since: DateTime<Utc>, ttr: Duration, text: Vec<u8>) -> Self {
        let left_since = Some(due_since);
        Self { lease, queue: queue.into(), attempts: 0, abandoned: 0, kicks: 0, due_since, left_since, ttr, text }
    }

    /// How many failed runs count against `max_attempts`.
    ///
    /// These are [`Delivery::attempts`], except for a message that was kicked
    /// in a queue that keeps its old counts. How many runs were before the
    /// kick is not known there, but that one more than `max_attempts` is the
    /// most (the last delivery may have only buried it): so many are not
    /// counted for each kick. A kicked message so always has all its attempts
    /// before it, and has an end.
    #[must_use]
    pub fn failed(&self, max_attempts: u32) -> u32 {
        self.attempts.saturating_sub(self.kicks.saturating_mul(max_attempts.saturating_add(1)))
    }
}

/// The right to settle a message, of one delivery alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The message.
    pub id: MessageId,
    /// Tells this delivery from all others of the message.
    pub token: Arc<str>,
}

/// Where a message is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageState {
    /// Waits for a worker.
    Ready,
    /// Waits for its time.
    Delayed,
    /// A worker has it.
    Reserved,
    /// Failed for good; waits for a person.
    Buried,
}

impl MessageState {
    /// All states, in the order of a message's life.
    pub const ALL: [Self; 4] = [Self::Ready, Self::Delayed, Self::Reserved, Self::Buried];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Delayed => "delayed",
            Self::Reserved => "reserved",
            Self::Buried => "buried",
        }
    }
}

impl fmt::Display for MessageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for MessageState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("expected ready, delayed, reserved or buried, got {text:?}"))
    }
}

/// What a look through a queue has brought.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Survey {
    /// The messages that the filter picks, the newest first.
    pub messages: Vec<StoredMessage>,
    /// How many more messages are in the queue and the states of the filter
    /// that were out of reach: 0 with [`Capabilities::complete_lists`].
    pub unseen: u64,
}

impl Survey {
    /// These messages, and how many more there are.
    #[must_use]
    pub fn new(messages: Vec<StoredMessage>, unseen: u64) -> Self {
        Self { messages, unseen }
    }
}

/// A message as it lies in the queue.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoredMessage {
    /// The queue's id.
    pub id: MessageId,
    /// Which queue.
    pub queue: String,
    /// The request type; empty if it has none.
    pub request_type: String,
    /// Where it is in its life.
    pub state: MessageState,
    /// When it came into this state, if the queue knows: when it was published,
    /// put back, due, leased, buried or kicked. Ages go by it, see
    /// [`Filter::older_than`].
    pub since: Option<DateTime<Utc>>,
    /// Its place in the queue.
    pub priority: Priority,
    /// When a delayed message becomes ready, and when the lease of a reserved
    /// one ends.
    pub until: Option<DateTime<Utc>>,
    /// Which delivery has it, if it is reserved and the queue knows: the lease's
    /// token, which begins with what is the worker's own.
    pub lease: Option<String>,
    /// How many runs failed so far.
    pub attempts: u32,
    /// How many of them ended without a word.
    pub abandoned: u32,
    /// How often it was kicked, if the queue counts that.
    pub kicks: Option<u32>,
    /// When it was published, if the queue knows.
    pub enqueued_at: Option<DateTime<Utc>>,
    /// Since when it could have been started, or can be, if the queue knows.
    pub due_since: Option<DateTime<Utc>>,
    /// How long a lease of it lasts, if the queue knows.
    pub ttr: Option<Duration>,
    /// Why its last run failed, if the queue knows.
    pub last_error: Option<String>,
    /// When that was.
    pub last_error_at: Option<DateTime<Utc>>,
    /// How far its run is, if it is reserved and its handler has said so.
    pub progress: Option<Progress>,
    /// Whether it is reserved and was cancelled: it is buried when its run ends.
    pub cancelled: bool,
    /// The wire form, as somebody wrote it.
    pub text: Vec<u8>,
}

impl StoredMessage {
    /// A message in this state of which nothing else is known.
    #[must_use]
    pub fn new(id: MessageId, queue: impl Into<String>, state: MessageState, text: impl Into<Vec<u8>>) -> Self {
        Self {
            id,
            queue: queue.into(),
            request_type: String::new(),
            state,
            since: None,
            priority: Priority::DEFAULT,
            until: None,
            lease: None,
            attempts: 0,
            abandoned: 0,
            kicks: None,
            enqueued_at: None,
            due_since: None,
            ttr: None,
            last_error: None,
            last_error_at: None,
            progress: None,
            cancelled: false,
            text: text.into(),
        }
    }
}
