//! The contract of queues, so that no other module needs to know which one is in use.
//!
//! An adapter stores messages as text and carries out decisions. It makes none: the worker decides how long to delay a
//! message and when to bury it. An adapter never interprets a body.

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
mod body_field;
#[cfg(feature = "conformance")]
pub mod conformance;
mod dequeue_filter;
mod edit;
mod error;
#[cfg(feature = "file")]
pub mod file;
mod filter;
mod history;
mod import;
mod in_database;
mod keeping;
mod limit;
mod outbox_ids;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "file", feature = "postgres"))]
pub(crate) mod prefetch;
mod running;
mod schedules;
mod settlement;
pub mod several;
pub mod spool;
mod stats;
mod workers;

pub use activity::{Activity, ActivityFilter, ActivityLog, ActivityStep};
#[cfg(feature = "beanstalkc")]
pub(crate) use beanstalkd::queue_name_problem as tube_name_problem;
pub use body_field::{BodyField, BodyFieldError};
pub use dequeue_filter::DequeueFilter;
pub use edit::{Edit, Edited};
pub use error::{Forked, QueueError};
pub use filter::Filter;
#[cfg(any(feature = "file", feature = "postgres"))]
pub(crate) use history::{ABANDONED, worker_of};
pub use history::{Attempt, AttemptOutcome, FailedRun, KEPT_ATTEMPTS};
pub use import::{Import, Imported};
pub use in_database::InDatabase;
pub use keeping::{Keeping, Pruned, Retention};
pub use limit::{Limit, LimitKind, LimitScope};
pub use outbox_ids::OutboxIds;
pub use running::{CANCELLED, Cancelled, LongRun, Progress};
pub use schedules::{Occurrence, OccurrenceMessage, ScheduleStep, ScheduleStore, Schedules, Stepped, StoredEntry};
pub use settlement::{Settlement, enqueue_follow_ups};
use spool::Spool;
pub use stats::{Counts, Paused, Stats, Totals, Unreachable};
pub use workers::{RunningJob, WorkerEntry, WorkerReport, Workers};

/// The default queue of jobs that name none.
pub const DEFAULT_QUEUE: &str = "pulpo";

/// How long a queue is paused until a person resumes it: the longest time that beanstalkd can count, 136 years.
#[cfg(any(feature = "cli", feature = "http"))]
pub(crate) const UNTIL_RESUMED: Duration = Duration::from_secs(u32::MAX as u64);

/// Keeps messages until they are done. Shared by all threads of a process.
pub trait QueueAdapter: Inspection + fmt::Debug + Send + Sync + 'static {
    /// Returns the abilities of this queue beyond the minimum.
    fn capabilities(&self) -> Capabilities;

    /// Stores these messages and returns the result for each, in the same
    /// order. Once it returns `Ok`, they are as safe as this queue can make
    /// them.
    ///
    /// # Errors
    /// If none of them could be stored, or, without
    /// [`Capabilities::atomic_batches`], not all of them.
    /// [`QueueError::Duplicate`] if the unique key of one is taken and the
    /// duplicate is to be rejected; [`QueueError::Unsupported`] for a unique
    /// one, without [`Capabilities::unique_keys`].
    fn enqueue(&self, messages: Vec<NewMessage>) -> Result<Vec<Enqueued>, QueueError>;

    /// Enqueues without blocking its caller, for a queue that can wake a task
    /// when the work is done. The default returns the messages, and
    /// [`enqueue`](Self::enqueue) is called with them on a thread that may
    /// block.
    fn enqueue_async(&self, messages: Vec<NewMessage>) -> EnqueueAsync {
        EnqueueAsync::Blocks(messages)
    }

    /// Creates a consumer of these queues for one thread.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn consumer(&self, queues: &[String]) -> Result<Box<dyn Consumer>, QueueError>;

    /// Returns the store of the handlers' schedules; `None` without
    /// [`Capabilities::schedules`].
    fn schedules(&self) -> Option<&dyn ScheduleStore> {
        None
    }

    /// Returns the log of numbers over time; `None` without
    /// [`Capabilities::activity`].
    fn activity(&self) -> Option<&dyn ActivityLog> {
        None
    }

    /// Records where the jobs of a worker's types go, for publishers that do not know. A queue to which no other
    /// program publishes need not keep it. A queue that cannot be reached may record it later.
    fn declare(&self, routes: Vec<Route>) {
        drop(routes);
    }

    /// Makes all blocked [`Consumer::dequeue`] calls of this process return,
    /// and the next call of each return without waiting.
    fn interrupt(&self);

    /// Returns the record that takes each [`NewMessage::outbox_id`] once; `None` if the queue cannot know whether it
    /// has taken one before.
    fn outbox_ids(&self) -> Option<&dyn OutboxIds> {
        None
    }

    /// Returns the register of the queue's workers and their runs; `None`
    /// without [`Capabilities::workers`].
    fn workers(&self) -> Option<&dyn Workers> {
        None
    }

    /// Returns the importer of messages from another queue; `None` if the queue
    /// cannot keep their attempts and reasons.
    fn import(&self) -> Option<&dyn Import> {
        None
    }

    /// Returns the part that keeps done messages; `None` without [`Capabilities::archive`].
    fn keeping(&self) -> Option<&dyn Keeping> {
        None
    }

    /// Returns the database of the queue, if a user's transaction there can
    /// publish to the queue with SQL.
    fn in_database(&self) -> Option<InDatabase> {
        None
    }

    /// Returns the spool in front of this queue, if any.
    fn spool(&self) -> Option<&dyn Spool> {
        None
    }

    /// Stops handing out messages of this request type for this long, to all
    /// processes; with a key, only those with this [`LimitKeys::hold_key`]. It
    /// replaces an earlier call; a time of zero ends it.
    ///
    /// # Errors
    /// [`QueueError::Unsupported`] without [`Capabilities::limits`]; or if the
    /// queue cannot be reached.
    fn hold_back(&self, request_type: &str, key: Option<&str>, time: Duration) -> Result<(), QueueError> {
        let _ = (request_type, key, time);
        Err(QueueError::Unsupported("hold jobs back: it keeps no limits"))
    }
}

/// Inspection and administration of a queue, apart from running jobs.
pub trait Inspection {
    /// Returns one message, whatever its state.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError>;

    /// Returns the messages that match the filter, newest first, that is by
    /// descending id.
    ///
    /// # Errors
    /// If the queue cannot be reached, or cannot list.
    fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError>;

    /// Lists like [`list`](Self::list), and returns how many more messages may
    /// match that this queue cannot see. Without `texts`, it may omit the texts
    /// of messages where that costs less.
    ///
    /// # Errors
    /// If the queue cannot be reached, or cannot list.
    fn survey(&self, filter: &Filter, texts: bool) -> Result<Survey, QueueError> {
        let _ = texts;
        Ok(Survey { messages: self.list(filter)?, unseen: 0 })
    }

    /// Returns the servers that have not answered a call since the last time
    /// this was called. With several servers, a call returns the answers of the
    /// others. [`stats`](Self::stats) names the missing servers itself.
    fn take_unreachable(&self) -> Vec<Unreachable> {
        Vec::new()
    }

    /// Returns how many messages there are in each state, which queues are
    /// paused, and how many messages have come and gone.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn stats(&self) -> Result<Stats, QueueError>;

    /// Returns the [`stats`](Self::stats) of these queues only. Totals that an
    /// adapter keeps for all queues together are omitted. The default gets all
    /// and selects; override it if each queue costs something.
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

    /// Requeues buried messages with a fresh set of attempts, and returns how
    /// many. Messages that are not buried stay as they are, and so do those
    /// whose unique key another message has taken.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn kick(&self, filter: &Filter) -> Result<u64, QueueError>;

    /// Returns the message that has taken the unique key of this buried one; while it exists, [`kick`](Self::kick)
    /// leaves this one. `None` if the key is free, or this message has no key.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn key_taken_by(&self, id: &MessageId) -> Result<Option<MessageId>, QueueError> {
        let _ = id;
        Ok(None)
    }

    /// Changes a waiting message. The header in its text is updated too; nothing else in the text changes.
    ///
    /// # Errors
    /// [`QueueError::Unsupported`] without [`Capabilities::edits`];
    /// [`QueueError::BadQueueName`]; or if the queue cannot be reached.
    fn edit(&self, id: &MessageId, edit: &Edit) -> Result<Edited, QueueError> {
        let _ = (id, edit);
        Err(QueueError::Unsupported(
            "change a message that waits: `delete` it and `publish` it again, or use `file:FOLDER` or `postgres://…`",
        ))
    }

    /// Deletes messages and returns how many. Messages that a worker has stay.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn delete(&self, filter: &Filter) -> Result<u64, QueueError>;

    /// Cancels messages. A waiting one is buried at once, with the reason
    /// [`CANCELLED`]. A running one is marked: its worker learns it from
    /// [`Workers::follow_runs`], and however the run ends, even by the death of
    /// its worker, the message is buried with that reason. Buried messages stay
    /// as they are. Cancelling a message again changes nothing, and is counted.
    ///
    /// # Errors
    /// [`QueueError::Unsupported`] without [`Capabilities::cancels`]; or if the
    /// queue cannot be reached.
    fn cancel(&self, filter: &Filter) -> Result<Cancelled, QueueError> {
        let _ = filter;
        Err(QueueError::NO_CANCELS)
    }

    /// Pauses this queue for this long, for all processes; reserved messages
    /// are still settled. It replaces an earlier pause. A time of zero resumes
    /// the queue, paused or not.
    ///
    /// # Errors
    /// [`QueueError::Unsupported`] without [`Capabilities::pauses`];
    /// [`QueueError::NoSuchQueue`] if there is nothing to pause; or if the queue
    /// cannot be reached.
    fn pause(&self, queue: &str, time: Duration) -> Result<(), QueueError> {
        let _ = (queue, time);
        Err(QueueError::Unsupported("be paused"))
    }

    /// Writes a consistent copy of the queue into a new file, and returns its
    /// size in bytes. Others may use the queue at the same time.
    ///
    /// # Errors
    /// [`QueueError::Unsupported`] without [`Capabilities::backups`]; if the
    /// file already exists or cannot be written; or if the queue cannot be
    /// read.
    fn backup(&self, file: &Path) -> Result<u64, QueueError> {
        let _ = file;
        Err(QueueError::Unsupported("be written into a file"))
    }
}

/// A handle through which one thread receives and settles messages.
///
/// A dequeued message is leased: no other consumer gets it for its ttr.
/// [`settle`](Self::settle) and [`touch`](Self::touch) change nothing if the
/// lease is no longer this one.
pub trait Consumer: Send {
    /// Returns the next message that matches the filter, waiting for up to
    /// `wait`; `None` if there was none. It may return `None` early.
    ///
    /// A queue applies the parts of the filter that its [`Capabilities`] name
    /// and ignores the others: the worker checks the message that it gets.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn dequeue(&mut self, filter: &DequeueFilter, wait: Duration) -> Result<Option<Delivery>, QueueError>;

    /// Ends the lease and carries out the settlement.
    ///
    /// After a transient error it can be called again with the same settlement:
    /// follow-ups that it has already stored are removed from it.
    ///
    /// A message that was [cancelled](Inspection::cancel) is buried with the
    /// reason [`CANCELLED`] instead, without counting an attempt, and its
    /// follow-ups are dropped.
    ///
    /// # Errors
    /// [`QueueError::LeaseLost`] if the lease is no longer this one, and
    /// [`QueueError::Cancelled`] if the message was cancelled (for a deferred
    /// commit, [`take_lost_leases`](Self::take_lost_leases) reports it later);
    /// if the queue does not accept the follow-ups; or if it cannot be reached.
    fn settle(&mut self, lease: &Lease, settlement: &mut Settlement) -> Result<(), QueueError>;

    /// Renews these leases, each for another ttr, and returns the lost ones.
    ///
    /// # Errors
    /// If the queue cannot be reached. Some leases may have been renewed.
    fn touch(&mut self, leases: &[Lease]) -> Result<Vec<Lease>, QueueError>;

    /// Carries out the deferred commits, and releases messages that were leased
    /// ahead for this consumer. A worker calls it before a long job and when it
    /// stops.
    ///
    /// # Errors
    /// If the queue cannot be reached; then it can be called again.
    fn flush(&mut self) -> Result<(), QueueError> {
        Ok(())
    }

    /// Returns leases that had ended before their deferred commit was carried
    /// out: of this consumer, or of any in this process. Each is returned once.
    fn take_lost_leases(&mut self) -> Vec<Lease> {
        Vec::new()
    }
}

/// Abilities of a queue beyond the minimum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// [`QueueAdapter::enqueue`] stores all of a batch or nothing.
    pub atomic_batches: bool,
    /// A rollback that does not count leaves the attempts unchanged. Without
    /// it, such a rollback with a delay counts as an attempt.
    pub uncounted_rollbacks: bool,
    /// The last error of a buried message is kept: why and when it was buried.
    pub burial_reasons: bool,
    /// The last error of other messages is kept too: why they were put back.
    pub last_errors: bool,
    /// Done messages can be kept, with their results, through [`QueueAdapter::keeping`]: they are
    /// [`MessageState::Done`].
    pub archive: bool,
    /// [`Inspection::peek`] shows the [failed runs](StoredMessage::history) of a
    /// message.
    pub history: bool,
    /// [`Inspection::list`] finds all messages, however many and however old
    /// they are.
    pub complete_lists: bool,
    /// [`Inspection::stats`] distinguishes request types.
    pub stats_by_type: bool,
    /// [`Inspection::edit`] works.
    pub edits: bool,
    /// [`Inspection::pause`] works, in all processes.
    pub pauses: bool,
    /// [`Inspection::backup`] works.
    pub backups: bool,
    /// [`Consumer::dequeue`] can leave out request types, and take only a given
    /// one.
    pub picks_types: bool,
    /// [`Consumer::dequeue`] can leave out queues.
    pub picks_queues: bool,
    /// [`QueueAdapter::schedules`] returns a store for the schedules of
    /// handlers.
    pub schedules: bool,
    /// [`QueueAdapter::activity`] returns the log of numbers over time.
    pub activity: bool,
    /// [`QueueAdapter::enqueue`] keeps one message of each
    /// [unique key](NewMessage::unique).
    pub unique_keys: bool,
    /// [`Consumer::dequeue`] applies the [limits](DequeueFilter::limits) across
    /// all processes, and [`QueueAdapter::hold_back`] works.
    pub limits: bool,
    /// [`Inspection::cancel`] works.
    pub cancels: bool,
    /// [`QueueAdapter::workers`] returns the register of workers.
    pub workers: bool,
    /// Order holds over the whole queue: the most urgent message first, then the oldest, and lists show the newest
    /// first. Without it, this holds only for parts of the queue.
    pub total_order: bool,
}

/// The destination of the jobs of a request type, as its worker knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Route {
    /// The request type.
    pub request_type: String,
    /// The queue.
    pub queue: String,
    /// The priority of messages that set none.
    pub priority: Priority,
    /// How long a lease lasts.
    pub ttr: Duration,
}

/// A message that is about to enter a queue.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewMessage {
    /// The queue.
    pub queue: String,
    /// The request type, for lists and statistics; the text contains it too.
    pub request_type: String,
    /// The priority.
    pub priority: Priority,
    /// The time before which it is not ready, if any.
    pub delay: Option<DateTime<Utc>>,
    /// How long a lease lasts.
    pub ttr: Duration,
    /// The row of an [outbox](crate::outbox) that it came from, if any: see
    /// [`QueueAdapter::outbox_ids`].
    pub outbox_id: Option<String>,
    /// Its unique key, if any: see [`Capabilities::unique_keys`].
    pub unique: Option<Unique>,
    /// The keys of its limits, if any: see [`Capabilities::limits`].
    pub limit_keys: LimitKeys,
    /// The wire form.
    pub text: String,
}

impl NewMessage {
    /// Creates a message with default priority and ttr for `queue`.
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

    /// Sets the row of an outbox that it came from.
    #[must_use]
    pub fn outbox_id(mut self, outbox_id: impl Into<String>) -> Self {
        self.outbox_id = Some(outbox_id.into());
        self
    }

    /// Sets the unique key.
    #[must_use]
    pub fn unique(mut self, unique: Unique) -> Self {
        self.unique = Some(unique);
        self
    }

    /// Sets the keys of its limits.
    #[must_use]
    pub fn limit_keys(mut self, limit_keys: LimitKeys) -> Self {
        self.limit_keys = limit_keys;
        self
    }
}

/// The result of enqueueing from async code.
#[must_use = "nothing is enqueued until the future is awaited"]
pub enum EnqueueAsync {
    /// They are being enqueued once this is polled, even if it is then dropped.
    Pending(EnqueueFuture),
    /// The queue can only block, and returns the messages.
    Blocks(Vec<NewMessage>),
}

/// An [`enqueue`](QueueAdapter::enqueue) in progress.
pub type EnqueueFuture = Pin<Box<dyn Future<Output = Result<Vec<Enqueued>, QueueError>> + Send>>;

impl fmt::Debug for EnqueueAsync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending(_) => f.write_str("Pending"),
            Self::Blocks(messages) => f.debug_tuple("Blocks").field(messages).finish(),
        }
    }
}

/// The result of enqueueing a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Enqueued {
    /// The id that the queue assigned; for one that was kept or replaced, the
    /// id of the message that has its unique key.
    pub id: MessageId,
    /// Whether it is a new message.
    pub publication: Publication,
}

impl Enqueued {
    /// Creates the result for a new message with this id.
    #[must_use]
    pub fn new(id: impl Into<MessageId>) -> Self {
        Self { id: id.into(), publication: Publication::New }
    }

    /// Creates the result for a duplicate of the message with this id.
    #[must_use]
    pub fn duplicate(id: impl Into<MessageId>, publication: Publication) -> Self {
        Self { id: id.into(), publication }
    }
}

/// A message handed out to one consumer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// The lease that settles it.
    pub lease: Lease,
    /// The queue that it came from.
    pub queue: String,
    /// How many runs have failed so far, including those that ended unsettled.
    pub attempts: u32,
    /// How many of them ended unsettled: the worker crashed, or was silent for
    /// longer than the ttr.
    pub abandoned: u32,
    /// How often it was kicked, in a queue where a kick cannot reset the two
    /// counts above; otherwise 0. See [`Delivery::failed`].
    pub kicks: u32,
    /// The time since which it could have started.
    pub due_since: DateTime<Utc>,
    /// When a worker first [left it to others](Settlement::LeaveToOthers), if
    /// nothing else has happened to it since. A queue that does not know
    /// returns `due_since`, as [`Delivery::new`] does.
    pub left_since: Option<DateTime<Utc>>,
    /// How long the lease lasts without a touch.
    pub ttr: Duration,
    /// The wire form, as it was written.
    pub text: Vec<u8>,
}

impl Delivery {
    /// Creates a first delivery.
    #[must_use]
    pub fn new(lease: Lease, queue: impl Into<String>, due_since: DateTime<Utc>, ttr: Duration, text: Vec<u8>) -> Self {
        let left_since = Some(due_since);
        Self { lease, queue: queue.into(), attempts: 0, abandoned: 0, kicks: 0, due_since, left_since, ttr, text }
    }

    /// Returns how many failed runs count against `max_attempts`.
    ///
    /// These are [`Delivery::attempts`], except for a message that was kicked
    /// in a queue that keeps its old counts. That queue does not know how many
    /// runs came before the kick, only that there were at most one more than
    /// `max_attempts` (the last delivery may have only buried it). So it
    /// subtracts this many for each kick. A kicked message therefore always has
    /// a full set of attempts, and an end.
    #[must_use]
    pub fn failed(&self, max_attempts: u32) -> u32 {
        self.attempts.saturating_sub(self.kicks.saturating_mul(max_attempts.saturating_add(1)))
    }
}

/// The right to settle one delivery of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The message.
    pub id: MessageId,
    /// Distinguishes this delivery from all others of the message.
    pub token: Arc<str>,
}

/// The state of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageState {
    /// Waiting for a worker.
    Ready,
    /// Waiting for its time.
    Delayed,
    /// A worker has it.
    Reserved,
    /// Failed permanently; kept until you requeue or delete it.
    Buried,
    /// Its job is done, or it has expired, and it is kept. A [`Filter`] matches such messages only if it names this
    /// state.
    Done,
}

impl MessageState {
    /// All states, in the order of a message's life.
    pub const ALL: [Self; 5] = [Self::Ready, Self::Delayed, Self::Reserved, Self::Buried, Self::Done];

    /// The states of messages that are not over: all but [`Done`](Self::Done).
    pub const LIVE: [Self; 4] = [Self::Ready, Self::Delayed, Self::Reserved, Self::Buried];

    /// Returns whether the job is still to be done: the message waits or runs.
    #[must_use]
    pub const fn is_unfinished(self) -> bool {
        matches!(self, Self::Ready | Self::Delayed | Self::Reserved)
    }

    /// Returns the name of the state.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Delayed => "delayed",
            Self::Reserved => "reserved",
            Self::Buried => "buried",
            Self::Done => "done",
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
            .ok_or_else(|| format!("expected ready, delayed, reserved, buried or done, got {text:?}"))
    }
}

/// The result of a survey of a queue.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Survey {
    /// The messages that match the filter, newest first.
    pub messages: Vec<StoredMessage>,
    /// How many more messages in the queue and states of the filter could not
    /// be seen: 0 with [`Capabilities::complete_lists`].
    pub unseen: u64,
}

impl Survey {
    /// Creates a survey of these messages, and how many more there are.
    #[must_use]
    pub fn new(messages: Vec<StoredMessage>, unseen: u64) -> Self {
        Self { messages, unseen }
    }
}

/// A message as it is stored in the queue.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoredMessage {
    /// The id in the queue.
    pub id: MessageId,
    /// The queue.
    pub queue: String,
    /// The request type; empty if it has none.
    pub request_type: String,
    /// Its state.
    pub state: MessageState,
    /// When it entered this state, if the queue knows: when it was published,
    /// put back, due, leased, buried or kicked. Filters by age use it, see
    /// [`Filter::older_than`].
    pub since: Option<DateTime<Utc>>,
    /// The priority.
    pub priority: Priority,
    /// When a delayed message becomes ready, and when the lease of a reserved
    /// one ends.
    pub until: Option<DateTime<Utc>>,
    /// The token of the lease of a reserved message, if the queue knows. It
    /// begins with the part that identifies the worker.
    pub lease: Option<String>,
    /// How many runs have failed so far.
    pub attempts: u32,
    /// How many of them ended unsettled.
    pub abandoned: u32,
    /// How often it was kicked, if the queue counts that.
    pub kicks: Option<u32>,
    /// When it was published, if the queue knows.
    pub enqueued_at: Option<DateTime<Utc>>,
    /// The time from which it can start, if the queue knows.
    pub due_since: Option<DateTime<Utc>>,
    /// How long a lease of it lasts, if the queue knows.
    pub ttr: Option<Duration>,
    /// Why its last run failed, if the queue knows.
    pub last_error: Option<String>,
    /// The time of that failure.
    pub last_error_at: Option<DateTime<Utc>>,
    /// How far its run is, if it is reserved and its handler has reported it.
    pub progress: Option<Progress>,
    /// Whether it is reserved and was cancelled: it is buried when its run ends.
    pub cancelled: bool,
    /// Its unique key, if it has or remembers one, and for how long from now it keeps the key.
    pub unique: Option<Unique>,
    /// Whether it has that key now: a buried message only remembers it, and so
    /// does one that runs and was unique while it waited.
    pub has_key: bool,
    /// The keys by which its limits count it.
    pub limit_keys: LimitKeys,
    /// Its last failed runs, the oldest first, 20 at most. Only
    /// [`Inspection::peek`] fills it, with [`Capabilities::history`].
    pub history: Vec<Attempt>,
    /// The result of its job as JSON, if it is done and its handler stored one.
    pub result: Option<String>,
    /// For a message that is [over](MessageState::Done): whether its expiration had passed, so that it was not run.
    pub has_expired: bool,
    /// The wire form, as it was written.
    pub text: Vec<u8>,
}

impl StoredMessage {
    /// Creates a message in this state with nothing else known.
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
            history: Vec::new(),
            result: None,
            has_expired: false,
            unique: None,
            has_key: false,
            limit_keys: LimitKeys::default(),
            text: text.into(),
        }
    }
}
