//! The embedded queue: SQLite in one file, which many processes use at the same time, without a server. `memory:` is
//! the same code on a database in memory.
//!
//! In each process, one connection writes (see `writer.rs`) and one reads. Leases and acknowledgements need no disk
//! sync: if a power cut loses one, the job runs again, as at-least-once delivery allows. A publication is synced before
//! `enqueue` returns.
//!
//! # Invariants
//! In a fork nothing that the parent has opened is used: each call asks
//! `Shared::check` before it takes a lock, and what is dropped there leaks.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::Connection;

use self::attached::Attached;
use self::counts::Changes;
use self::notify_file::NotifyFiles;
use self::opened::Opened;
use self::shared::Shared;
use self::unique::Holder;
use self::writer::Durability;
use super::{
    Activity, ActivityFilter, ActivityLog, Cancelled, Capabilities, Consumer, Edit, Edited, Enqueued, Filter, Import,
    Imported, Inspection, Keeping, MessageState, NewMessage, OutboxIds, Pruned, QueueAdapter, QueueError, Retention,
    ScheduleStore, Stats, StoredMessage, Survey, Workers,
};
use crate::clock::{Clock, lock};
use crate::keys::{OnDuplicate, Publication};
use crate::message::MessageId;
use crate::queue::EnqueueAsync;

mod activity;
mod attached;
mod backend;
mod backup;
mod busy;
mod cancel;
mod consumer;
mod counts;
mod dequeue;
mod done;
mod edit;
mod erase;
mod error;
mod folder;
mod grace;
mod group_commit;
mod history;
mod import;
mod inspect;
mod lease;
mod lease_store;
mod limits;
mod maintenance;
mod new;
mod notify_file;
mod opened;
mod outbox_ids;
mod pauses;
mod process_lock;
mod schedules;
mod schema;
mod shared;
mod unique;
mod workers;
mod writer;

/// The name of the database in its folder.
pub const FILE_NAME: &str = "queue.db";

/// How many messages one transaction kicks or deletes.
const MAX_CHANGED_AT_ONCE: usize = 1000;

/// How many one transaction prunes.
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
        let writing = Attached::open(&file, schema::open)?;
        Self::on_disk(opened, &file, writing, archive, clock)
    }

    /// Opens the queue in this folder only if it exists, to inspect and administer it. Creates no files, except
    /// SQLite's log beside the database, which the last process that has it open removes.
    ///
    /// # Errors
    /// [`QueueError::NoQueue`] if there is none; otherwise like [`open`](Self::open).
    pub fn open_existing(base_path: &Path, archive: bool, clock: Arc<dyn Clock>) -> Result<Self, QueueError> {
        let opened = opened(base_path)?;
        let file = folder::existing(base_path)?;
        let writing = Attached::open(&file, schema::open_existing)?;
        Self::on_disk(opened, &file, writing, archive, clock)
    }

    fn on_disk(
        opened: Opened,
        file: &Path,
        writing: Attached,
        archive: bool,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, QueueError> {
        let reading = Attached::open(file, schema::open_reader)?;
        let notify = NotifyFiles::new(file.parent().unwrap_or(file));
        Self::new(opened, Some(file.to_owned()), writing, Some(reading), Some(notify), archive, clock)
    }

    /// Creates a queue in the memory of this process, for tests and for jobs that may be lost with it.
    ///
    /// # Errors
    /// If SQLite cannot be set up.
    pub fn memory(archive: bool, clock: Arc<dyn Clock>) -> Result<Self, QueueError> {
        let writing = Attached::in_memory(schema::open_in_memory()?);
        Self::new(Opened::in_memory(), None, writing, None, None, archive, clock)
    }

    fn new(
        opened: Opened,
        file: Option<PathBuf>,
        writing: Attached,
        reading: Option<Attached>,
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

/// What was changed in one transaction.
trait Change: Copy + Default + std::ops::AddAssign + Send + 'static {
    /// How many messages.
    fn count(self) -> u64;
}

impl Change for u64 {
    fn count(self) -> u64 {
        self
    }
}

impl Change for Cancelled {
    fn count(self) -> u64 {
        self.total()
    }
}

fn opened(base_path: &Path) -> Result<Opened, QueueError> {
    Opened::on_disk().map_err(|source| QueueError::Forked { place: base_path.display().to_string(), source })
}

impl FileQueue {
    /// Changes what the filter picks, a part in each transaction, so that
    /// workers and publishers have their turn in between. What is picked is
    /// found by reading, since that may take long, and looked at again when it
    /// is changed.
    fn change<C: Change>(
        &self,
        filter: &Filter,
        find: fn(&Connection, &Filter, i64) -> rusqlite::Result<Vec<MessageId>>,
        change: fn(&Connection, &Filter, i64) -> rusqlite::Result<C>,
    ) -> Result<C, QueueError> {
        self.0.check()?;
        let now = self.0.now();
        let mut rest = filter.clone();
        let mut changed = C::default();
        while rest.limit != Some(0) {
            let part = rest.clone().limit(rest.limit.unwrap_or(MAX_CHANGED_AT_ONCE).min(MAX_CHANGED_AT_ONCE));
            let ids = self.0.read(move |connection| find(connection, &part, now))?;
            let Some(last) = ids.last().cloned() else { break };
            let part = Filter { ids: Some(ids.into_iter().collect()), ..rest.clone() };
            let done = self.0.writer.write(Durability::Synced, move |connection| change(connection, &part, now))?;
            changed += done;
            rest.limit =
                rest.limit.map(|limit| limit.saturating_sub(usize::try_from(done.count()).unwrap_or(usize::MAX)));
            rest.after = Some(last);
        }
        Ok(changed)
    }
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
            // However the task ends, the workers are told at once.
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
        self.0.appear(queues);
        Ok(Box::new(consumer::FileConsumer::new(self.0.clone(), &queues.into())))
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

    fn hold_back(&self, request_type: &str, key: Option<&str>, time: Duration) -> Result<(), QueueError> {
        self.0.check()?;
        let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let (request_type, key) = (request_type.to_owned(), key.unwrap_or_default().to_owned());
        let now = self.0.now();
        let until = (micros > 0).then(|| now.saturating_add(micros));
        self.0.writer.write(Durability::Lazy, move |connection| {
            limits::hold_back(connection, &request_type, &key, until, now)
        })?;
        self.0.prefetch.release_all(&self.0).map_err(|error| self.0.error(error))?;
        self.0.signal.notify();
        Ok(())
    }

    fn interrupt(&self) {
        // No thread waits in a fork.
        if self.0.check().is_err() {
            return;
        }
        // A lane may be waiting for another process, too.
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
        // Look without the lock of the writer, since there is usually nothing.
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
        let erase = if thorough { erase::all } else { erase::if_quick };
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
        // If this is lost, the ids are kept for longer than necessary.
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
        self.0.read(move |connection| at_one_moment(connection, |connection| activity::read(connection, &asked, now)))
    }
}

impl Inspection for FileQueue {
    fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError> {
        self.0.check()?;
        let (id, now) = (id.clone(), self.0.now());
        self.0.read(move |connection| at_one_moment(connection, |connection| inspect::peek(connection, &id, now)))
    }

    fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
        Ok(self.survey(filter, true)?.messages)
    }

    fn survey(&self, filter: &Filter, texts: bool) -> Result<Survey, QueueError> {
        self.0.check()?;
        let (filter, now) = (filter.clone(), self.0.now());
        let list = move |connection: &Connection| {
            at_one_moment(connection, |connection| inspect::list(connection, &filter, texts, now))
        };
        Ok(Survey::new(self.0.read(list)?, 0))
    }

    fn stats(&self) -> Result<Stats, QueueError> {
        self.0.check()?;
        let now = self.0.now();
        self.0.read(move |connection| at_one_moment(connection, |connection| inspect::stats(connection, now)))
    }

    fn kick(&self, filter: &Filter) -> Result<u64, QueueError> {
        let buried =
            |connection: &Connection, filter: &Filter, now| inspect::ids(connection, filter, inspect::BURIED, now);
        let kicked = self.change(filter, buried, inspect::kick)?;
        if kicked > 0 {
            self.0.notify_all();
        }
        Ok(kicked)
    }

    fn key_taken_by(&self, id: &MessageId) -> Result<Option<MessageId>, QueueError> {
        self.0.check()?;
        let Ok(id) = id.as_str().parse::<i64>() else { return Ok(None) };
        let now = self.0.now();
        let holder = self.0.read(move |connection| unique::taken_by(connection, id, now))?;
        Ok(holder.map(|id| MessageId::from(id.cast_unsigned())))
    }

    fn delete(&self, filter: &Filter) -> Result<u64, QueueError> {
        let free = |connection: &Connection, filter: &Filter, now| {
            inspect::ids(connection, filter, inspect::NOT_RESERVED, now)
        };
        let deleted = self.change(filter, free, inspect::delete)?;
        if !filter.has_state(MessageState::Done) {
            return Ok(deleted);
        }
        let mut rest = filter.clone();
        rest.limit = rest.limit.map(|limit| limit.saturating_sub(usize::try_from(deleted).unwrap_or(usize::MAX)));
        let done = |connection: &Connection, filter: &Filter, _| done::ids(connection, filter);
        Ok(deleted + self.change(&rest, done, |connection, filter, _| done::delete(connection, filter))?)
    }

    fn edit(&self, id: &MessageId, edit: &Edit) -> Result<Edited, QueueError> {
        self.0.check()?;
        let (shared, id, edit) = (self.0.clone(), id.clone(), edit.clone());
        let edited =
            self.0.writer.write(Durability::Synced, move |connection| edit::edit(connection, &shared, &id, &edit))?;
        if edited == Edited::Changed {
            self.0.notify_all();
        }
        Ok(edited)
    }

    fn cancel(&self, filter: &Filter) -> Result<Cancelled, QueueError> {
        let unburied =
            |connection: &Connection, filter: &Filter, now| inspect::ids(connection, filter, cancel::NOT_BURIED, now);
        let cancelled = self.change(filter, unburied, cancel::cancel)?;
        if cancelled.running > 0 {
            // Nobody is to be handed what lies ready in this process.
            self.0.prefetch.release_all(&self.0).map_err(|error| self.0.error(error))?;
        }
        if cancelled.total() > 0 {
            // What was in the way of others may not be so any more.
            self.0.notify_all();
        }
        Ok(cancelled)
    }

    fn pause(&self, queue: &str, time: Duration) -> Result<(), QueueError> {
        self.0.check()?;
        let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let until = (micros > 0).then(|| self.0.now().saturating_add(micros));
        let paused = queue.to_owned();
        self.0.writer.write(Durability::Synced, move |connection| pauses::set(connection, &paused, until))?;
        self.0.prefetch.release_all(&self.0).map_err(|error| self.0.error(error))?;
        self.0.notify(&[queue.to_owned()]);
        Ok(())
    }

    fn backup(&self, file: &Path) -> Result<u64, QueueError> {
        self.0.check()?;
        let Some(ours) = &self.0.file else {
            return Err(QueueError::Unsupported("be written into a file: it is in memory"));
        };
        // On a connection of its own, since it may take long.
        backup::write(&schema::open_copier(ours)?, self.0.place(), file)
    }
}

/// Several queries that see the same. In the writer there is a transaction.
fn at_one_moment<R>(
    connection: &Connection,
    look: impl FnOnce(&Connection) -> rusqlite::Result<R>,
) -> rusqlite::Result<R> {
    let transaction = connection.is_autocommit().then(|| connection.unchecked_transaction()).transpose()?;
    let seen = look(connection)?;
    transaction.map_or(Ok(()), rusqlite::Transaction::finish)?;
    Ok(seen)
}

/// The queues of these messages, each once.
fn queues_of(messages: &[NewMessage]) -> Vec<String> {
    let mut queues: Vec<String> = Vec::new();
    for message in messages {
        if !queues.contains(&message.queue) {
            queues.push(message.queue.clone());
        }
    }
    queues
}

/// Keeps new messages, and says what became of each; or on account of which
/// message one of them is rejected, and with it all.
fn enqueue(
    connection: &Connection,
    messages: &[NewMessage],
    now: i64,
) -> rusqlite::Result<Result<Vec<Enqueued>, MessageId>> {
    match unique::rejection(connection, messages, now, None)? {
        Some(id) => Ok(Err(id)),
        None => insert(connection, messages, now).map(Ok),
    }
}

/// The same of messages none of which is to be rejected.
fn insert(connection: &Connection, messages: &[NewMessage], now: i64) -> rusqlite::Result<Vec<Enqueued>> {
    let mut enqueued = Vec::with_capacity(messages.len());
    let mut counts = Changes::default();
    // Those of a batch are mostly of one kind.
    let mut kind: Option<(&NewMessage, i64)> = None;
    // Which message of this batch, or before it, has which unique key.
    let mut holders: HashMap<String, i64> = HashMap::new();
    for message in messages {
        if let Some(id) = outbox_ids::taken(connection, message)? {
            enqueued.push(Enqueued::new(id));
            continue;
        }
        let same =
            kind.filter(|(last, _)| (&last.queue, &last.request_type) == (&message.queue, &message.request_type));
        let number = match same {
            Some((_, number)) => number,
            None => counts::kind(connection, &message.queue, &message.request_type)?,
        };
        kind = Some((message, number));
        let Some(unique) = &message.unique else {
            let id = new::insert(connection, message, number, now, &mut counts)?;
            outbox_ids::remember(connection, message, id)?;
            enqueued.push(Enqueued::new(id.cast_unsigned()));
            continue;
        };
        let columns = unique::Columns::of(&message.request_type, unique, now);
        let (id, publication) = match holders.get(&columns.key) {
            Some(id) => (*id, Publication::Kept),
            None => match Holder::find(connection, &columns, now)? {
                Some(holder) if holder.keeps(connection)? => {
                    let replaces = unique.on_duplicate == OnDuplicate::Replace && holder.waits;
                    if replaces {
                        new::replace(connection, holder.id, message, number, now, &mut counts)?;
                    }
                    (holder.id, if replaces { Publication::Replaced } else { Publication::Kept })
                }
                _ => {
                    let id = new::insert(connection, message, number, now, &mut counts)?;
                    columns.give(connection, id, now)?;
                    (id, Publication::New)
                }
            },
        };
        outbox_ids::remember(connection, message, id)?;
        holders.insert(columns.key, id);
        enqueued.push(Enqueued::duplicate(id.cast_unsigned(), publication));
    }
    counts.write(connection)?;
    Ok(enqueued)
}

/// Microseconds since 1970, as the database keeps times.
fn micros(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

/// The same, rounded up: nothing starts early.
fn micros_up(time: DateTime<Utc>) -> i64 {
    micros(time) + i64::from(!time.timestamp_subsec_nanos().is_multiple_of(1000))
}

fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(if micros < 0 {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    })
}

#[cfg(test)]
mod tests;
