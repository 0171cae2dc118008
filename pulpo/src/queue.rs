//! The contract of queues, so that no other module needs to know which one is in use.
//!
//! An adapter stores messages as text and carries out decisions. It makes none: the worker decides how long to delay a
//! message and when to bury it. An adapter never interprets a body.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};

pub use crate::keys::{LimitKeys, Unique};
use crate::message::MessageId;

mod activity;
pub mod backend;
#[cfg(feature = "beanstalkd")]
pub mod beanstalkd;
mod body_field;
mod capabilities;
#[cfg(feature = "conformance")]
pub mod conformance;
mod delivery;
mod dequeue_filter;
mod edit;
mod enqueue;
mod error;
#[cfg(feature = "file")]
pub mod file;
mod filter;
mod follow_ups;
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
mod stored;
mod workers;

pub use activity::{Activity, ActivityFilter, ActivityLog, ActivityStep};
#[cfg(feature = "beanstalkc")]
pub(crate) use beanstalkd::{delay as tube_delay, queue_name_problem as tube_name_problem, seconds as tube_seconds};
pub use body_field::{BodyField, BodyFieldError};
pub use capabilities::Capabilities;
pub use delivery::{Delivery, Lease};
pub use dequeue_filter::DequeueFilter;
pub use edit::{Edit, Edited};
pub use enqueue::{EnqueueAsync, EnqueueFuture, Enqueued, NewMessage, Route};
pub use error::{Forked, QueueError};
pub use filter::Filter;
pub use follow_ups::enqueue_follow_ups;
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
pub use settlement::Settlement;
use spool::Spool;
pub use stats::{Counts, Paused, Stats, Totals, Unreachable};
pub use stored::{MessageState, StoredMessage, Survey};
pub use workers::{RunningJob, WorkerEntry, WorkerReport, Workers};

/// The default queue of jobs that name none.
pub const DEFAULT_QUEUE: &str = "pulpo";

/// How long a queue is paused until a person resumes it: the longest time that beanstalkd can count, 136 years.
#[cfg(any(feature = "cli", feature = "http"))]
pub(crate) const UNTIL_RESUMED: Duration = Duration::from_secs(u32::MAX as u64);

/// Returns these names in their order, each once. A queue that is named twice would be looked at twice, and limits would
/// count its messages twice.
pub(crate) fn distinct(names: &[String]) -> Vec<String> {
    let is_first = |(place, name): &(usize, &String)| !names[..*place].contains(name);
    names.iter().enumerate().filter(is_first).map(|(_, name)| name.clone()).collect()
}

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

    /// Checks that this process may do what a worker does, such as change messages. A worker calls it before it starts,
    /// and so does `check --queue`.
    ///
    /// # Errors
    /// If it may not, with what is missing. A queue that cannot be reached now is no error.
    fn check_rights(&self) -> Result<(), QueueError> {
        Ok(())
    }

    /// Returns texts that name the servers or files with the messages: each is the same under whatever name they are
    /// reached, and no other server or file has it. `move` refuses a target that is the source with them. Empty if the
    /// queue cannot tell.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn stores(&self) -> Result<Vec<String>, QueueError> {
        Ok(Vec::new())
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
    /// processes; with a key that is not empty, only those with this
    /// [`LimitKeys::hold_key`]. It replaces an earlier call. A time of zero ends
    /// it; without a key, also for all keys of the type.
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
    /// and the results of messages where that costs less.
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

    /// Returns a number that changes whenever anything in the queue changes, such as the priority of a message, and
    /// that is cheap to read. It may change without a reason. Open pages of the dashboard use it to refresh. The
    /// default never changes: then they only notice what [`stats`](Self::stats) shows.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn change_mark(&self) -> Result<u64, QueueError> {
        Ok(0)
    }

    /// Requeues buried messages with a fresh set of attempts, and returns how
    /// many. They are ready at once: a `delay` in the header of one that was
    /// [cancelled](Self::cancel) before it was due is over too. Messages that are not buried stay as they are, and so do those
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
            "change a waiting message: `delete` it and `publish` it again, or use `file:FOLDER` or `postgres://…`",
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
        Err(QueueError::Unsupported("be copied into a file"))
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

    /// Returns when [`dequeue`](Self::dequeue) may find a message, if it finds none now: when a delay, a pause or a
    /// lease ends, or a limit lets a message start. `None` if only a publication can change that, or if the queue
    /// cannot tell. The test kit moves its clock to this time.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    #[doc(hidden)]
    fn next_start(&mut self, filter: &DequeueFilter) -> Result<Option<DateTime<Utc>>, QueueError> {
        let _ = filter;
        Ok(None)
    }

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

    /// Settles several messages, and returns the result of each. A worker that
    /// must stop gives back with it what it was running.
    ///
    /// By default it calls [`settle`](Self::settle) for each. A queue overrides
    /// it where one call for all takes less time, or waits once if the queue
    /// cannot be reached.
    fn settle_all(&mut self, all: &mut [(Lease, Settlement)]) -> Vec<Result<(), QueueError>> {
        all.iter_mut().map(|(lease, settlement)| self.settle(lease, settlement)).collect()
    }

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
