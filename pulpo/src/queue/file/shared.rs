//! The state of one queue that all threads of a process share.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;

use super::counts;
use super::leases::expiry::{AT_ONCE, LeaseExpiry, end_delays};
use super::leases::lease::LeaseEnder;
use super::leases::process_lock::{self, ProcessLock};
use super::limits::SearchPoints;
use super::maintenance::{AFTER_ERROR, BETWEEN_DELAYS, Maintenance};
use super::notify_file::NotifyFiles;
use super::storage::error::SqliteError;
use super::storage::file_id::FileId;
use super::storage::opened::Opened;
use super::storage::reopening::ReopeningConnection;
use super::storage::rewrite::Quiet;
use super::storage::schema;
use super::storage::values::micros;
use super::storage::writer::{Durability, Writer, check_version};
use crate::clock::{Clock, Notify, SystemClock};
use crate::process::fork::Unforked;
use crate::queue::prefetch::Prefetch;
use crate::queue::prefetch::upkeep::Next;
use crate::queue::{QueueError, Retention};
use crate::report::chain;
use crate::sync::lock;

#[derive(Debug)]
pub(super) struct Shared {
    /// The file or `memory:`, for errors.
    place: String,
    opened: Opened,
    pub(super) writer: Unforked<Writer>,
    /// `None` in memory, where a second connection would be a second database.
    reader: Option<Unforked<Mutex<ReopeningConnection>>>,
    /// Another one, for lists and counts, which may take long; opened with the first.
    inspector: Unforked<Mutex<Option<ReopeningConnection>>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) signal: Arc<Notify>,
    notify: Option<Unforked<NotifyFiles>>,
    /// Whether the queue was opened with an archive.
    archive: bool,
    keeps_done: AtomicBool,
    pub(super) retention: Mutex<Retention>,
    /// Whether messages were pruned since the files were last cleared, and when that was, in real uptime.
    pub(super) pruned: Mutex<Leftover>,
    /// Clears the files when nothing has been written for a while.
    pub(super) quiet: Quiet,
    pub(super) lease_expiry: LeaseExpiry,
    pub(super) interrupts: AtomicU64,
    /// Whether a consumer in this process waits because running messages use up a limit.
    pub(super) waits_for_runs: AtomicBool,
    pub(super) search_points: SearchPoints,
    pub(super) process_lock: Unforked<ProcessLock>,
    leases: AtomicU64,
    /// Messages leased ahead, and deferred commits.
    pub(super) prefetch: Prefetch<Arc<Shared>>,
    pub(super) maintenance: Arc<Maintenance>,
    /// For everything that goes by real time, whatever the queue's clock is.
    pub(super) real: SystemClock,
    /// The database and its folder; `None` in memory.
    pub(super) file: Option<PathBuf>,
    pub(super) folder: Option<PathBuf>,
}

impl Shared {
    pub(super) fn new(
        opened: Opened,
        file: Option<PathBuf>,
        writing: ReopeningConnection,
        reading: Option<ReopeningConnection>,
        notify: Option<NotifyFiles>,
        archive: bool,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, QueueError> {
        let id = process_lock::new_id().map_err(|source| QueueError::Unavailable {
            doing: "get random bytes for the id of this process".to_owned(),
            source: Box::new(source),
        })?;
        let place = file.as_ref().map_or_else(|| "memory:".to_owned(), |file| file.display().to_string());
        let folder = file.as_deref().and_then(Path::parent).map(Path::to_owned);
        Ok(Self {
            opened,
            writer: Unforked::new(Writer::new(place.clone(), writing, Some(schema::VERSION))),
            reader: reading.map(Mutex::new).map(Unforked::new),
            inspector: Unforked::new(Mutex::default()),
            signal: Notify::new(clock.clone()),
            clock,
            notify: notify.map(Unforked::new),
            archive,
            keeps_done: AtomicBool::new(archive),
            retention: Mutex::default(),
            pruned: Mutex::default(),
            quiet: Quiet::default(),
            lease_expiry: LeaseExpiry::default(),
            interrupts: AtomicU64::new(0),
            waits_for_runs: AtomicBool::new(false),
            search_points: SearchPoints::default(),
            process_lock: Unforked::new(ProcessLock::new(id, folder.as_deref())),
            // 0 marks an empty slot.
            leases: AtomicU64::new(1),
            prefetch: Prefetch::default(),
            maintenance: Arc::default(),
            real: SystemClock::new(),
            place,
            file,
            folder,
        })
    }

    /// Returns whether done messages are kept.
    pub(super) fn keeps_done(&self) -> bool {
        self.keeps_done.load(Ordering::Relaxed)
    }

    /// Sets how long to keep messages from now on.
    pub(super) fn set_retention(&self, retention: Retention) {
        let keeps_done = retention.done.map_or(self.archive, |time| !time.is_zero());
        *lock(&self.retention) = retention;
        self.keeps_done.store(keeps_done, Ordering::Relaxed);
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Refuses to continue in a fork of the process that opened the queue. Every call from outside starts with this.
    pub(super) fn check(&self) -> Result<(), QueueError> {
        self.opened.check().map_err(|source| QueueError::Forked { place: self.place.clone(), source })
    }

    /// Notifies all waiting consumers of these queues, here and in other processes.
    pub(super) fn notify(&self, queues: &[String]) {
        self.signal.notify();
        if let Some(files) = &self.notify {
            queues.iter().for_each(|queue| files.notify(queue));
        }
    }

    /// Notifies consumers that wait for a limit, because runs have ended.
    pub(super) fn runs_have_ended(&self) {
        if self.waits_for_runs.swap(false, Ordering::SeqCst) {
            self.signal.notify();
        }
    }

    /// Notifies all waiting consumers of all queues.
    pub(super) fn notify_all(&self) {
        self.signal.notify();
        let Some(files) = &self.notify else { return };
        match self.read(counts::queues) {
            Ok(queues) => queues.iter().for_each(|queue| files.notify(queue)),
            Err(error) => tracing::debug!(%error, "cannot read which queues to notify"),
        }
    }

    /// From now on, listens for messages that other processes publish into these queues, and for their ends.
    pub(super) fn listen(&self, queues: &[String]) {
        if let Some(files) = &self.notify {
            files.listen(queues, &self.signal, &self.maintenance);
        }
    }

    /// Prepares this process for leases: registers it with the others, and ends the leases of dead processes.
    pub(super) fn register(self: &Arc<Self>, queues: &[String]) {
        self.process_lock.register();
        if !self.maintenance.runs() {
            self.end_leases_of_the_dead();
            let weak = Arc::downgrade(self);
            self.maintenance.start(move || weak.upgrade().map_or(Next::Never, |shared| shared.maintain()));
        }
        self.listen(queues);
    }

    /// Does the work of the background thread that is due.
    fn maintain(self: &Arc<Self>) -> Next {
        if self.maintenance.is_scan_due(self.real.uptime()) {
            self.process_lock.renew();
            self.end_leases_of_the_dead();
        }
        if let Some(file) = &self.file
            && let Err(error) = self.quiet.clear_if_quiet(file, self.real.uptime())
        {
            tracing::debug!(error = chain(&error), "cannot clear the files of traces");
        }
        if self.maintenance.take_delays_over(self.real.uptime()) {
            let pause = self.end_delays();
            self.maintenance.pause_delays(self.real.uptime(), pause);
        }
        let again_in = self.maintenance.again_in(self.real.uptime());
        match self.prefetch.run_upkeep(self) {
            Some(again) => Next::After(again.min(again_in)),
            None => Next::Wake(again_in),
        }
    }

    /// Makes some delayed messages ready that are due, and requests to do it again if there may be more. Returns the
    /// pause until then.
    fn end_delays(&self) -> Duration {
        let now = self.now();
        match self.write(Durability::Lazy, move |connection| end_delays(connection, now)) {
            Ok(is_more) => {
                if is_more {
                    self.maintenance.note_delays_over();
                }
                BETWEEN_DELAYS
            }
            Err(error) => {
                tracing::debug!(error = chain(&error), "cannot make delayed messages ready");
                if error.is_transient() {
                    self.maintenance.note_delays_over();
                }
                AFTER_ERROR
            }
        }
    }

    /// Lends the connection for reading to a test.
    #[cfg(test)]
    pub(super) fn with_reader(&self, with: impl FnOnce(&mut Connection)) {
        with(lock(self.reader.as_ref().expect("on disk")).connection_mut());
    }

    /// Lends the connection for lists and counts to a test.
    #[cfg(test)]
    pub(super) fn with_inspector(&self, with: impl FnOnce(&mut Connection)) {
        self.inspect(|_| Ok(())).expect("opened");
        with(lock(&self.inspector).as_mut().expect("opened").connection_mut());
    }

    pub(super) fn read<R: Send + 'static>(
        &self,
        query: impl FnMut(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, QueueError> {
        self.try_read(query).map_err(|error| error.into_queue_error("read", &self.place))
    }

    /// Reads what may take long, while the lanes and others go on with reads that do not.
    pub(super) fn inspect<R: Send + 'static>(
        &self,
        mut query: impl FnMut(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, QueueError> {
        let Some(file) = &self.file else { return self.read(query) };
        let mut inspector = lock(&self.inspector);
        let open = match &mut *inspector {
            Some(open) => open,
            None if FileId::of(file).is_none() => return Err(SqliteError::gone().into_queue_error("read", &self.place)),
            none => none.insert(ReopeningConnection::open(file, schema::open_reader)?),
        };
        let read = (|| {
            let (connection, _) = open.current()?;
            check_version(connection, schema::VERSION)?;
            Ok::<_, SqliteError>(query(connection)?)
        })();
        read.map_err(|error| error.into_queue_error("read", &self.place))
    }

    /// Reads, with an error that can be cloned for several callers.
    pub(super) fn try_read<R: Send + 'static>(
        &self,
        mut query: impl FnMut(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, SqliteError> {
        let Some(reader) = &self.reader else { return self.writer.try_write(Durability::Lazy, true, query) };
        let mut reader = lock(reader);
        let (connection, _) = reader.current()?;
        check_version(connection, schema::VERSION)?;
        Ok(query(connection)?)
    }

    /// Writes, and records since when writing has failed. It is for calls that are retried, by the caller or through the
    /// lease of the message: a shutdown shortens how long they wait for other processes.
    pub(super) fn write<R: Send + 'static>(
        &self,
        durability: Durability,
        operation: impl FnMut(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, SqliteError> {
        let written = self.writer.try_write(durability, false, operation);
        match &written {
            Ok(_) => self.lease_expiry.succeeded(&*self.clock),
            Err(_) => self.lease_expiry.failed(&*self.clock),
        }
        if self.writer.has_reopened() {
            // The folder may be a new one, where no other process knows this one.
            self.process_lock.renew();
        }
        written
    }

    /// Converts an error into the queue's error.
    pub(super) fn error(&self, error: SqliteError) -> QueueError {
        error.into_queue_error("write to", &self.place)
    }

    pub(super) fn now(&self) -> i64 {
        micros(self.clock.now())
    }

    /// Returns the number of the next lease of this process.
    pub(super) fn next_lease(&self) -> u64 {
        self.leases.fetch_add(1, Ordering::Relaxed)
    }

    /// Ends the leases of dead processes immediately. Messages that were running count an attempt; messages that were
    /// only leased do not.
    pub(super) fn end_leases_of_the_dead(self: &Arc<Self>) {
        let Some(folder) = &self.folder else { return };
        for dead in process_lock::dead_processes(folder, &self.process_lock) {
            match self.end_leases_of(&dead.id) {
                Ok(0) => dead.remove_files(),
                Ok(leases) => {
                    tracing::warn!(leases, "another process has died: its jobs are ready again");
                    dead.remove_files();
                }
                Err(error) => tracing::debug!(%error, "cannot end the leases of a process that has died, trying again"),
            }
        }
    }

    /// Ends the leases of this process, in parts, so that no other process waits long. Returns how many.
    fn end_leases_of(self: &Arc<Self>, id: &str) -> Result<usize, SqliteError> {
        let mut leases = 0;
        loop {
            let (us, id, now) = (self.clone(), id.to_owned(), self.now());
            let ended = self.write(Durability::Lazy, move |connection| {
                forget_worker(connection, &id)?;
                LeaseEnder::new(connection, &us.process_lock, us.folder.as_deref(), now).end_all_of(&id, AT_ONCE)
            })?;
            leases += ended;
            if ended > 0 {
                self.notify_all();
            }
            if ended < usize::from(AT_ONCE) {
                return Ok(leases);
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // In a fork, the thread and the files belong to the parent.
        if self.check().is_err() {
            return;
        }
        self.maintenance.end();
        if self.prefetch.is_empty() {
            self.process_lock.unregister();
        }
    }
}

/// Pruned messages that may have left traces in the files.
#[derive(Debug, Default)]
pub(super) struct Leftover {
    /// Whether traces are in the log.
    pub(super) in_log: bool,
    /// Whether traces are in pages of the database.
    pub(super) in_pages: bool,
    /// When the database was last rewritten, in real uptime.
    pub(super) rewritten: Option<Duration>,
}

/// Deletes the reports of the workers of a dead process.
pub(super) fn forget_worker(connection: &Connection, process: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM worker WHERE process = ?1")?.execute([process]).map(drop)
}
