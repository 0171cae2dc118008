//! The embedded queue: SQLite in one file, which many processes use at the same time, without a server. `memory:` is
//! the same code on a database in memory.
//!
//! In each process, one connection writes (see `storage/writer.rs`) and one reads. Leases and acknowledgements need no
//! disk sync: if a power cut loses one, the job runs again, as at-least-once delivery allows. A publication is synced
//! before `enqueue` returns.
//!
//! # Invariants
//! Nothing that the parent opened is used in a fork: each call checks `Shared::check` before it takes a lock, and
//! whatever is dropped there leaks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::Connection;

use self::enqueue::{enqueue, queues_of};
use self::notify_file::NotifyFiles;
use self::shared::Shared;
pub use self::storage::folder::FILE_NAME;
use self::storage::opened::Opened;
use self::storage::reopening::ReopeningConnection;
use self::storage::values::at_one_moment;
use self::storage::writer::Durability;
use self::storage::{folder, rewrite, schema};
use super::{
    Activity, ActivityFilter, ActivityLog, Capabilities, Consumer, Enqueued, Import, Imported, Keeping, NewMessage,
    OutboxIds, Pruned, QueueAdapter, QueueError, Retention, ScheduleStore, Workers,
};
use crate::clock::Clock;
use crate::keys::Publication;
use crate::message::MessageId;
use crate::queue::{EnqueueAsync, LimitKeys};
use crate::sync::lock;

mod activity;
mod backend;
mod backup;
mod cancel;
mod consumer;
mod counts;
mod dequeue;
mod done;
mod edit;
mod enqueue;
mod erase;
mod history;
mod import;
mod inspect;
mod inspection;
mod lease_store;
mod leases;
mod limits;
mod maintenance;
mod new;
mod notify_file;
mod outbox_ids;
mod pauses;
mod picked;
mod schedules;
mod shared;
mod storage;
mod unique;
mod workers;

/// The maximum number of messages to prune in one transaction.
const MAX_PRUNED_AT_ONCE: i64 = 1000;

/// The embedded queue. Cheap to clone: all clones share one queue.
#[derive(Clone, Debug)]
pub struct FileQueue(Arc<Shared>);

impl FileQueue {
    /// Opens the queue in this folder, and creates it if it does not exist. With `archive`, done messages are kept in
    /// the table `archive`.
    ///
    /// # Errors
    /// If the folder or the file cannot be created or written, or is not a queue of pulpo, or one of a newer version.
    /// Nothing is changed then.
    pub fn open(base_path: &Path, archive: bool, clock: Arc<dyn Clock>) -> Result<Self, QueueError> {
        let opened = opened(base_path)?;
        let file = folder::prepare(base_path)?;
        let writing = ReopeningConnection::open(&file, schema::open)?;
        Self::on_disk(opened, &file, writing, archive, clock)
    }

    /// Opens the queue in this folder only if it exists, to inspect and administer it. Creates no files, except
    /// SQLite's log beside the database, which the last process that has it open removes.
    ///
    /// # Errors
    /// [`QueueError::NoQueue`] if there is no queue; otherwise like [`open`](Self::open).
    pub fn open_existing(base_path: &Path, archive: bool, clock: Arc<dyn Clock>) -> Result<Self, QueueError> {
        let opened = opened(base_path)?;
        let file = folder::existing(base_path)?;
        let writing = ReopeningConnection::open(&file, schema::open_existing)?;
        Self::on_disk(opened, &file, writing, archive, clock)
    }

    fn on_disk(
        opened: Opened,
        file: &Path,
        writing: ReopeningConnection,
        archive: bool,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, QueueError> {
        let reading = ReopeningConnection::open(file, schema::open_reader)?;
        let notify = NotifyFiles::new(file.parent().unwrap_or(file));
        Self::new(opened, Some(file.to_owned()), writing, Some(reading), Some(notify), archive, clock)
    }

    /// Creates a queue in the memory of this process, for tests and for jobs that may be lost with it.
    ///
    /// # Errors
    /// If SQLite cannot be set up.
    pub fn memory(archive: bool, clock: Arc<dyn Clock>) -> Result<Self, QueueError> {
        let writing = ReopeningConnection::in_memory(schema::open_in_memory()?);
        Self::new(Opened::in_memory(), None, writing, None, None, archive, clock)
    }

    fn new(
        opened: Opened,
        file: Option<PathBuf>,
        writing: ReopeningConnection,
        reading: Option<ReopeningConnection>,
        notify: Option<NotifyFiles>,
        archive: bool,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, QueueError> {
        let shared = Shared::new(opened, file, writing, reading, notify, archive, clock)?;
        Ok(Self(Arc::new(shared)))
    }

    /// Returns the path of the file, or `memory:`.
    #[must_use]
    pub fn place(&self) -> &str {
        self.0.place()
    }

    /// Returns the folder that was opened; `None` in memory.
    #[must_use]
    pub fn base_path(&self) -> Option<PathBuf> {
        self.0.folder.clone()
    }
}

fn opened(base_path: &Path) -> Result<Opened, QueueError> {
    Opened::on_disk().map_err(|source| QueueError::Forked { place: base_path.display().to_string(), source })
}

impl QueueAdapter for FileQueue {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            total_order: true,
            atomic_batches: true,
            uncounted_rollbacks: true,
            burial_reasons: true,
            last_errors: true,
            archive: true,
            history: true,
            edits: true,
            complete_lists: true,
            stats_by_type: true,
            pauses: true,
            backups: self.0.folder.is_some(),
            picks_types: true,
            picks_queues: true,
            schedules: true,
            activity: true,
            unique_keys: true,
            limits: true,
            cancels: true,
            workers: true,
        }
    }

    fn enqueue(&self, messages: Vec<NewMessage>) -> Result<Vec<Enqueued>, QueueError> {
        self.0.check()?;
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.0.now();
        let queues = queues_of(&messages);
        let enqueued =
            self.0.writer.write(Durability::Synced, move |connection| enqueue(connection, &messages, now))?;
        let enqueued = enqueued.map_err(|id| QueueError::Duplicate { id })?;
        if enqueued.iter().any(|one| one.publication != Publication::Kept) {
            self.0.notify(&queues);
        }
        Ok(enqueued)
    }

    fn enqueue_async(&self, messages: Vec<NewMessage>) -> EnqueueAsync {
        let shared = self.0.clone();
        EnqueueAsync::Pending(Box::pin(async move {
            shared.check()?;
            if messages.is_empty() {
                return Ok(Vec::new());
            }
            let now = shared.now();
            let (queues, notifying) = (queues_of(&messages), Arc::downgrade(&shared));
            // Notifies the workers immediately, however the task ends.
            let notify = move || {
                if let Some(shared) = notifying.upgrade() {
                    shared.notify(&queues);
                }
            };
            let enqueue = move |connection: &Connection| enqueue(connection, &messages, now);
            let enqueued = shared.writer.write_async(Durability::Synced, enqueue, notify).await?;
            enqueued.map_err(|id| QueueError::Duplicate { id })
        }))
    }

    fn consumer(&self, queues: &[String]) -> Result<Box<dyn Consumer>, QueueError> {
        self.0.check()?;
        self.0.writer.patience().calm_down();
        self.0.register(queues);
        Ok(Box::new(consumer::FileConsumer::new(self.0.clone(), &super::distinct(queues).into())))
    }

    fn outbox_ids(&self) -> Option<&dyn OutboxIds> {
        Some(self)
    }

    fn import(&self) -> Option<&dyn Import> {
        Some(self)
    }

    fn schedules(&self) -> Option<&dyn ScheduleStore> {
        Some(self)
    }

    fn keeping(&self) -> Option<&dyn Keeping> {
        Some(self)
    }

    fn workers(&self) -> Option<&dyn Workers> {
        Some(self)
    }

    fn activity(&self) -> Option<&dyn ActivityLog> {
        Some(self)
    }

    fn stores(&self) -> Result<Vec<String>, QueueError> {
        let path = self.0.folder.as_ref().and_then(|folder| std::fs::canonicalize(folder.join("queue.db")).ok());
        Ok(path.into_iter().map(|path| format!("file {}", path.display())).collect())
    }

    fn hold_back(&self, request_type: &str, key: Option<&str>, time: Duration) -> Result<(), QueueError> {
        self.0.check()?;
        let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let key = key.map(LimitKeys::stored).unwrap_or_default().into_owned();
        let (request_type, now) = (request_type.to_owned(), self.0.now());
        self.0.writer.write(Durability::Lazy, move |connection| {
            limits::hold_back(connection, &request_type, &key, micros, now)
        })?;
        self.0.prefetch.release_all(&self.0).map_err(|error| self.0.error(error))?;
        self.0.signal.notify();
        Ok(())
    }

    fn interrupt(&self) {
        // A fork has no waiting threads.
        if self.0.check().is_err() {
            return;
        }
        // A lane may also be waiting for another process to finish writing.
        self.0.writer.patience().hurry();
        self.0.interrupts.fetch_add(1, Ordering::SeqCst);
        self.0.signal.notify();
    }
}

impl Keeping for FileQueue {
    fn set_retention(&self, retention: Retention) {
        self.0.set_retention(retention);
    }

    fn prune(&self) -> Result<Pruned, QueueError> {
        self.0.check()?;
        let Retention { done, buried } = *lock(&self.0.retention);
        let now = self.0.now();
        let until = |time: Option<Duration>| {
            let micros = i64::try_from(time?.as_micros()).unwrap_or(i64::MAX);
            Some(now.saturating_sub(micros))
        };
        let (done, buried) = (until(done), until(buried));
        // Check without the writer's lock first, since there is usually nothing to do.
        let any = self.0.read(move |connection| {
            let any_done = done.map(|time| done::any_until(connection, time)).transpose()?;
            let any_buried = buried.map(|time| inspect::any_buried_until(connection, time)).transpose()?;
            Ok(any_done == Some(true) || any_buried == Some(true) || unique::any_over(connection, now)?)
        })?;
        if !any {
            erase::after_pruning(&self.0)?;
            return Ok(Pruned::default());
        }
        let pruned = self.0.writer.write(Durability::Lazy, move |connection| {
            let most = MAX_PRUNED_AT_ONCE;
            let keys = unique::forget_over(connection, now, most)?;
            let done = done.map_or(Ok(0), |time| done::prune(connection, time, most))?;
            let buried = buried.map_or(Ok(0), |time| inspect::prune_buried(connection, time, most))?;
            Ok([keys, done, buried])
        })?;
        lock(&self.0.pruned).in_log = true;
        let [_, done, buried] = pruned;
        let more = pruned.iter().any(|count| *count >= MAX_PRUNED_AT_ONCE.unsigned_abs());
        if !more {
            erase::after_pruning(&self.0)?;
        }
        Ok(Pruned::new(done + buried, more))
    }

    fn erase_deleted(&self, thorough: bool) -> Result<(), QueueError> {
        self.0.check()?;
        let erase = if thorough { rewrite::all } else { rewrite::if_quick };
        self.0.file.as_deref().map_or(Ok(()), erase)
    }
}

impl Import for FileQueue {
    fn import(&self, messages: Vec<Imported>) -> Result<Vec<Enqueued>, QueueError> {
        self.0.check()?;
        let now = self.0.now();
        let ids =
            self.0.writer.write(Durability::Synced, move |connection| import::insert(connection, &messages, now))?;
        let ids = ids.map_err(|id| QueueError::Duplicate { id })?;
        self.0.notify_all();
        Ok(ids.into_iter().map(Enqueued::new).collect())
    }
}

impl OutboxIds for FileQueue {
    fn rows_are_gone(&self, outbox_ids: &[String]) -> Result<(), QueueError> {
        self.0.check()?;
        let (outbox_ids, now) = (outbox_ids.to_vec(), self.0.now());
        // If this write is lost, the ids are only kept longer than necessary.
        let forget = move |connection: &Connection| outbox_ids::rows_are_gone(connection, &outbox_ids, now);
        self.0.writer.write(Durability::Lazy, forget)
    }

    fn message_of_row(&self, number: u64) -> Result<Option<MessageId>, QueueError> {
        self.0.check()?;
        self.0.read(move |connection| outbox_ids::message_of(connection, number))
    }
}

impl ActivityLog for FileQueue {
    fn read_activity(&self, asked: &ActivityFilter) -> Result<Vec<Activity>, QueueError> {
        self.0.check()?;
        let (asked, now) = (asked.clone(), self.0.now());
        self.0
            .inspect(move |connection| at_one_moment(connection, |connection| activity::read(connection, &asked, now)))
    }

    fn knows_waiting(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
