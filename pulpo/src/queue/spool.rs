//! A spool: the embedded queue in front of another queue, for publications while no server accepts them.
//!
//! A publication that certainly was not sent is kept in the spool, synced, and `enqueue` returns an id such as
//! `spool/17`. It is sent, in order, when a server is back; while older messages wait there, new ones queue behind
//! them. A publication with an unknown outcome is never spooled: the message may be in the queue.
//!
//! Any process that has the spool open for a program flushes it, one at a time (guarded by a file lock, which ends with
//! its process). If a process dies between sending a message and recording that, the message is sent again: delivery
//! from the spool is at least once.
//!
//! # Invariants
//! - The marker file exists whenever a message waits, except for moments in which the spooler has not returned or the
//!   flusher checks again. So a publisher finds out with one check of the folder whether older messages wait.
//! - No message is sent before all older ones are sent, refused permanently, or stuck because their server is
//!   unreachable.
//! - The spool is opened, and its folder created, when the first message needs it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use self::contents::{Flushed, Spool, Spooled};
use self::envelope::{Envelope, PREFIX};
use self::shared::Shared;
use super::backend::Purpose;
use super::{
    ActivityLog, Cancelled, Capabilities, Consumer, Edit, Edited, Enqueued, Filter, InDatabase, Inspection, Keeping,
    MessageState, NewMessage, OutboxIds, QueueAdapter, QueueError, Route, ScheduleStore, Stats, StoredMessage, Survey,
    Unreachable, Workers,
};
use crate::message::MessageId;
use crate::process::fork::PerProcess;

mod contents;
mod envelope;
mod flush;
mod shared;

/// The lease of a batch that is being sent. The sender holds the lock of the spool all the time, so this only bounds
/// how long a dead process keeps the batch.
const LEASE: Duration = Duration::from_secs(60);

/// A queue with a spool in front of it. Cheap to clone: all clones share one spool.
#[derive(Clone)]
pub(crate) struct SpooledQueue(Arc<Shared>);

impl fmt::Debug for SpooledQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("folder", &self.0.folder).field("queue", &self.0.queue).finish_non_exhaustive()
    }
}

impl SpooledQueue {
    /// Creates a spool in this folder, which is the folder of the embedded queue that `open` opens.
    pub(crate) fn new(
        queue: Arc<dyn QueueAdapter>,
        folder: &Path,
        purpose: Purpose,
        open: impl Fn(Purpose) -> Result<Arc<dyn QueueAdapter>, QueueError> + Send + Sync + 'static,
        name_problem: impl Fn(&str) -> Option<&'static str> + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            queue,
            folder: folder.to_owned(),
            purpose,
            open: Box::new(open),
            name_problem: Box::new(name_problem),
            process: PerProcess::new(),
        });
        if purpose == Purpose::Program {
            flush::start(&shared);
        }
        Self(shared)
    }

    /// Keeps these messages until a server accepts them.
    fn keep(&self, messages: Vec<NewMessage>) -> Result<Vec<Enqueued>, QueueError> {
        let Self(shared) = self;
        if let Some((name, problem)) =
            messages.iter().find_map(|message| Some((&message.queue, (shared.name_problem)(&message.queue)?)))
        {
            return Err(QueueError::BadQueueName { name: name.clone(), problem });
        }
        let store = shared.store(Purpose::Program)?;
        let is_first = shared.mark()?;
        let kept = store.enqueue(messages.into_iter().map(|message| Envelope::wrap(message, LEASE)).collect());
        let kept = kept.inspect_err(|_| {
            // Without a message, publications must not wait behind it.
            if is_first && let Err(error) = shared.unmark() {
                tracing::debug!(error = crate::report::chain(&error), "cannot check what waits in the spool");
            }
        })?;
        // A flusher may have found the spool empty before these messages were in it.
        shared.mark()?;
        flush::start(shared);
        if is_first {
            shared.process().notify.notify();
        }
        Ok(kept.into_iter().map(|kept| Enqueued::new(format!("{PREFIX}{}", kept.id))).collect())
    }

    fn or_unreachable(stats: Result<Stats, QueueError>) -> Result<Stats, QueueError> {
        match stats {
            Err(error) if error.is_outage() => Ok(Stats::unknown(crate::report::chain(&error))),
            stats => stats,
        }
    }
}

impl Spool for SpooledQueue {
    fn folder(&self) -> &Path {
        &self.0.folder
    }

    fn spooled(&self) -> Result<Spooled, QueueError> {
        self.0.spooled()
    }

    fn messages(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
        let Some(store) = self.0.store_if_there()? else { return Ok(Vec::new()) };
        // The queue and the id are in the envelope.
        let mut inner = Filter { ids: None, queue: None, after: None, limit: None, ..filter.clone() };
        if let Some(ids) = &filter.ids {
            inner = inner.ids(ids.iter().filter_map(number));
        }
        let mut found: Vec<_> = store.list(&inner)?.into_iter().map(Envelope::unwrap).collect();
        found.retain(|message| filter.queue.as_ref().is_none_or(|queue| *queue == message.queue));
        found.truncate(filter.limit.unwrap_or(usize::MAX));
        Ok(found)
    }

    fn flush(&self, refused: bool) -> Result<Flushed, QueueError> {
        if refused && let Some(store) = self.0.store_if_there()? {
            store.kick(&Filter::all())?;
        }
        self.0.flush()
    }
}

/// Returns the error of a publication that should be in the spool for this reason, and cannot be kept there.
fn not_kept(why: &str, error: QueueError) -> QueueError {
    match error {
        // This is about the message, and no spool would keep it.
        QueueError::BadQueueName { .. } | QueueError::TooBig { .. } | QueueError::Forked { .. } => error,
        error => {
            let doing = format!("keep the publication in the spool ({why})");
            QueueError::Unavailable { doing, source: Box::new(error) }
        }
    }
}

/// Returns the number of a spooled message in the spool.
fn number(id: &MessageId) -> Option<MessageId> {
    id.as_str().strip_prefix(PREFIX).map(MessageId::from)
}

impl QueueAdapter for SpooledQueue {
    fn capabilities(&self) -> Capabilities {
        self.0.queue.capabilities()
    }

    fn enqueue(&self, messages: Vec<NewMessage>) -> Result<Vec<Enqueued>, QueueError> {
        let Self(shared) = self;
        if !messages.is_empty() && shared.has_waiting() {
            // A process that ends soon sends them now.
            if shared.purpose == Purpose::Publication {
                shared.flush().map_err(|error| not_kept("older messages wait there", error))?;
            }
            if shared.has_waiting() {
                return self.keep(messages).map_err(|error| not_kept("older messages wait there", error));
            }
        }
        let of = messages.len();
        let error = match shared.queue.enqueue(messages.clone()) {
            Ok(enqueued) => return Ok(enqueued),
            Err(error) => error,
        };
        let (taken, why) = match &error {
            QueueError::PartOfBatch { ids, source, .. } => (ids.clone(), &**source),
            error => (Vec::new(), error),
        };
        if !why.is_outage() {
            return Err(error);
        }
        let rest = messages.into_iter().skip(taken.len()).collect();
        match self.keep(rest) {
            Ok(kept) => {
                tracing::debug!(error = crate::report::chain(&error), "kept in the spool: no server accepted it");
                Ok(taken.into_iter().map(Enqueued::new).chain(kept).collect())
            }
            Err(spool) => {
                let error = not_kept(&crate::report::chain(why), spool);
                Err(if taken.is_empty() {
                    error
                } else {
                    QueueError::PartOfBatch { ids: taken, of, source: Box::new(error) }
                })
            }
        }
    }

    fn consumer(&self, queues: &[String]) -> Result<Box<dyn Consumer>, QueueError> {
        self.0.queue.consumer(queues)
    }

    fn hold_back(&self, request_type: &str, key: Option<&str>, time: Duration) -> Result<(), QueueError> {
        self.0.queue.hold_back(request_type, key, time)
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

    fn keeping(&self) -> Option<&dyn Keeping> {
        self.0.queue.keeping()
    }

    fn activity(&self) -> Option<&dyn ActivityLog> {
        self.0.queue.activity()
    }

    fn schedules(&self) -> Option<&dyn ScheduleStore> {
        self.0.queue.schedules()
    }

    fn workers(&self) -> Option<&dyn Workers> {
        self.0.queue.workers()
    }

    fn in_database(&self) -> Option<InDatabase> {
        self.0.queue.in_database()
    }

    fn declare(&self, routes: Vec<Route>) {
        self.0.queue.declare(routes);
    }

    fn outbox_ids(&self) -> Option<&dyn OutboxIds> {
        self.0.queue.outbox_ids()
    }

    fn spool(&self) -> Option<&dyn Spool> {
        Some(self)
    }
}

/// Spooled messages have ids of their own; all other requests go to the queue.
impl Inspection for SpooledQueue {
    fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError> {
        match number(id) {
            Some(_) => Ok(self.messages(&Filter::all().id(id.clone()))?.pop()),
            None => self.0.queue.peek(id),
        }
    }

    fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
        self.0.queue.list(filter)
    }

    fn take_unreachable(&self) -> Vec<Unreachable> {
        self.0.queue.take_unreachable()
    }

    fn survey(&self, filter: &Filter, texts: bool) -> Result<Survey, QueueError> {
        self.0.queue.survey(filter, texts)
    }

    /// Covers the queue without the spool, which reports its own content. While no server answers, the servers count as
    /// unreachable.
    fn stats(&self) -> Result<Stats, QueueError> {
        Self::or_unreachable(self.0.queue.stats())
    }

    fn stats_of(&self, queues: &[String]) -> Result<Stats, QueueError> {
        Self::or_unreachable(self.0.queue.stats_of(queues))
    }

    fn change_mark(&self) -> Result<u64, QueueError> {
        match self.0.queue.change_mark() {
            // The statistics say so.
            Err(error) if error.is_outage() => Ok(0),
            mark => mark,
        }
    }

    fn kick(&self, filter: &Filter) -> Result<u64, QueueError> {
        self.0.queue.kick(filter)
    }

    fn key_taken_by(&self, id: &MessageId) -> Result<Option<MessageId>, QueueError> {
        self.0.queue.key_taken_by(id)
    }

    /// Deletes spooled messages by their ids in the spool; the rest of the filter goes to the queue.
    fn delete(&self, filter: &Filter) -> Result<u64, QueueError> {
        let Some(ids) = &filter.ids else { return self.0.queue.delete(filter) };
        let (spooled, others): (Vec<_>, Vec<_>) = ids.iter().cloned().partition(|id| number(id).is_some());
        let mut deleted = 0;
        if !spooled.is_empty()
            && let Some(store) = self.0.store_if_there()?
        {
            let free = [MessageState::Ready, MessageState::Delayed, MessageState::Buried];
            let filter = Filter { ids: None, states: free.to_vec(), queue: None, ..filter.clone() };
            deleted += store.delete(&filter.ids(spooled.iter().filter_map(number)))?;
        }
        if !others.is_empty() {
            deleted += self.0.queue.delete(&Filter { ids: None, ..filter.clone() }.ids(others))?;
        }
        Ok(deleted)
    }

    fn cancel(&self, filter: &Filter) -> Result<Cancelled, QueueError> {
        self.0.queue.cancel(filter)
    }

    fn edit(&self, id: &MessageId, edit: &Edit) -> Result<Edited, QueueError> {
        if number(id).is_some() {
            return Err(QueueError::Unsupported("change messages in its spool: delete them and publish them again"));
        }
        self.0.queue.edit(id, edit)
    }

    fn pause(&self, queue: &str, time: Duration) -> Result<(), QueueError> {
        self.0.queue.pause(queue, time)
    }

    fn backup(&self, file: &Path) -> Result<u64, QueueError> {
        self.0.queue.backup(file)
    }
}
