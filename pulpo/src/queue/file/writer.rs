//! Group commit: one connection writes for all threads of the process, and
//! what they want to write while a transaction runs goes into the next one
//! together.
//!
//! There is no thread for it. The first thread to find no active writer
//! becomes the leader: it runs all pending writes in one transaction, and
//! hands the lead to one of those that came in the meantime. A single thread
//! so pays no hand-over, and many threads share a sync of the disk.
//!
//! Threads that were just told that theirs is on the disk mostly come again at
//! once. So the next leader waits for them before it has the disk synced, for
//! as long as a sync takes at most: else two halves of them would take turns,
//! with twice as many syncs. Nobody waits for others that were not there the
//! last time.
//!
//! # Invariants
//! - A write that fails or panics takes no other one with it.
//! - Whatever becomes of a leader, everybody in its group is told, and another
//!   one leads.
//! - Nothing is written into a schema of another version.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use super::attached::Attached;
use super::busy::Patience;
use super::error::SqliteError;
use crate::clock::{Clock as _, SystemClock};
use crate::guard::catch;
use crate::queue::QueueError;
use crate::sync::{lock, wait_timeout_while};

/// What a power cut may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Durability {
    /// The operation: it is on its way to the disk.
    Lazy,
    /// Nothing: the operation is on the disk when the call returns.
    Synced,
}

/// How long a leader waits for others at most, however long a sync takes.
const MAX_GROUP_WINDOW: Duration = Duration::from_millis(1);

pub(super) struct Writer {
    place: String,
    /// Real time, whatever the queue's clock is.
    clock: SystemClock,
    pending: Mutex<Pending>,
    /// As many are pending as the leader waits for.
    complete: Condvar,
    writing: Mutex<Writing>,
    /// How long to wait for other processes.
    patience: Arc<Patience>,
}

/// What is to be written.
#[derive(Default)]
struct Pending {
    has_leader: bool,
    /// The leader waits for more to come.
    gathers: bool,
    requests: Vec<Request>,
    /// How many wanted a sync when the last one was done, or had just had it.
    expected_syncs: usize,
    /// How long that one took, with all that was written.
    sync_took: Duration,
}

impl Pending {
    /// How many want a sync.
    fn syncs(&self) -> usize {
        synced(&self.requests)
    }

    fn is_complete(&self) -> bool {
        self.syncs() >= self.expected_syncs
    }
}

fn synced(requests: &[Request]) -> usize {
    requests.iter().filter(|request| request.durability == Durability::Synced).count()
}

type Operation = Box<dyn FnMut(&Connection) -> rusqlite::Result<()> + Send>;

struct Request {
    operation: Operation,
    durability: Durability,
    /// Whether it may wait for long for other processes.
    patient: bool,
    waiter: Arc<Waiter>,
}

/// A thread that waits.
#[derive(Default)]
struct Waiter {
    inbox: Mutex<Inbox>,
    told: Condvar,
}

#[derive(Default)]
struct Inbox {
    reply: Option<Reply>,
    /// Not by the leader, who tells itself: to wake nobody is a system call too.
    waited_for: bool,
}

enum Reply {
    Lead,
    Done(Result<(), SqliteError>),
}

struct Writing {
    connection: Attached,
    durability: Option<Durability>,
    /// The version of the schema that this program writes; `None`: any.
    version: Option<i64>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Writer {
    pub(super) fn new(place: String, connection: Attached, version: Option<i64>) -> Self {
        let writing = Mutex::new(Writing { connection, durability: None, version });
        Self {
            place,
            clock: SystemClock::new(),
            pending: Mutex::default(),
            complete: Condvar::new(),
            writing,
            patience: Arc::default(),
        }
    }

    /// Runs `operation` in a transaction, perhaps with those of other threads,
    /// and returns its result when that is committed. It may be run again,
    /// after a rollback, and then must do the same.
    pub(super) fn write<R: Send + 'static>(
        &self,
        durability: Durability,
        operation: impl FnMut(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, QueueError> {
        self.try_write(durability, true, operation).map_err(|error| error.into_queue_error("write to", &self.place))
    }

    /// The same, with an error that can be told to several; one that is not
    /// `patient` waits for other processes only as long as [`Patience`] says.
    pub(super) fn try_write<R: Send + 'static>(
        &self,
        durability: Durability,
        patient: bool,
        mut operation: impl FnMut(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, SqliteError> {
        let result = Arc::new(Mutex::new(None));
        let slot = result.clone();
        let waiter = Arc::new(Waiter::default());
        let operation = Box::new(move |connection: &Connection| {
            *lock(&slot) = Some(operation(connection)?);
            Ok(())
        });
        let leads = {
            let mut pending = lock(&self.pending);
            pending.requests.push(Request { operation, durability, patient, waiter: waiter.clone() });
            if pending.gathers && pending.is_complete() {
                self.complete.notify_one();
            }
            !std::mem::replace(&mut pending.has_leader, true)
        };
        let mut reply = if leads { Reply::Lead } else { waiter.wait() };
        if matches!(reply, Reply::Lead) {
            self.lead();
            reply = waiter.wait();
        }
        let Reply::Done(done) = reply else { unreachable!("a leader is told the result of its own write") };
        done?;
        Ok(lock(&result).take().expect("an operation that went well left its result"))
    }

    /// The connection itself, for tests.
    #[cfg(test)]
    pub(super) fn with_connection(&self, with: impl FnOnce(&mut Connection)) {
        with(lock(&self.writing).connection.connection_mut());
    }

    /// How long it waits for other processes.
    pub(super) fn patience(&self) -> &Patience {
        &self.patience
    }

    /// Runs all that is pending, the leader's own among it, and hands over.
    fn lead(&self) {
        let mut leading = Leading { writer: self, group: Vec::new() };
        leading.group = self.gather();
        let started = self.clock.uptime();
        let is_patient = leading.group.iter().any(|request| request.patient);
        let mut writing = lock(&self.writing);
        let results = self.patience.while_waiting(is_patient, || writing.run(&mut leading.group));
        drop(writing);
        self.patience
            .note(results.iter().any(|done| done.as_ref().is_err_and(|error| error.is(ErrorCode::DatabaseBusy))));
        self.remember(&leading.group, started);
        for (request, done) in leading.group.drain(..).zip(results) {
            request.waiter.tell(Reply::Done(done));
        }
    }

    /// All that is pending, once those have come again that were just told.
    fn gather(&self) -> Vec<Request> {
        let mut pending = lock(&self.pending);
        if pending.syncs() > 0 && !pending.is_complete() {
            let window = pending.sync_took.min(MAX_GROUP_WINDOW);
            let incomplete = |pending: &mut Pending| !pending.is_complete();
            pending.gathers = true;
            pending = wait_timeout_while(&self.complete, pending, window, incomplete);
            pending.gathers = false;
        }
        std::mem::take(&mut pending.requests)
    }

    /// Before anybody is told, and can come again.
    fn remember(&self, group: &[Request], started: Duration) {
        let syncs = synced(group);
        if syncs == 0 {
            return;
        }
        let mut pending = lock(&self.pending);
        pending.expected_syncs = syncs + pending.syncs();
        pending.sync_took = self.clock.uptime().saturating_sub(started);
    }
}

/// One thread's time as the leader. However it ends, everybody in its group is
/// told, and another one leads: else all would wait for ever.
struct Leading<'a> {
    writer: &'a Writer,
    /// Those that have not been told.
    group: Vec<Request>,
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        let panicked = || SqliteError::other("the thread that was to write it panicked".to_owned());
        for request in self.group.drain(..) {
            request.waiter.tell(Reply::Done(Err(panicked())));
        }
        let mut pending = lock(&self.writer.pending);
        match pending.requests.first() {
            Some(next) => next.waiter.tell(Reply::Lead),
            None => pending.has_leader = false,
        }
    }
}

impl Waiter {
    fn tell(&self, reply: Reply) {
        let mut inbox = lock(&self.inbox);
        inbox.reply = Some(reply);
        if inbox.waited_for {
            self.told.notify_one();
        }
    }

    fn wait(&self) -> Reply {
        let mut inbox = lock(&self.inbox);
        loop {
            match inbox.reply.take() {
                Some(reply) => return reply,
                None => {
                    inbox.waited_for = true;
                    inbox = self.told.wait(inbox).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

impl Writing {
    /// What became of each.
    fn run(&mut self, group: &mut [Request]) -> Vec<Result<(), SqliteError>> {
        let durability = group.iter().map(|request| request.durability).max().unwrap_or(Durability::Lazy);
        let all =
            |connection: &Connection| group.iter_mut().try_for_each(|request| call(|| (request.operation)(connection)));
        match self.transaction(durability, all) {
            Ok(()) => vec![Ok(()); group.len()],
            // One that cannot be written must not take the others with it.
            Err(Failed::Within(_)) if group.len() > 1 => {
                let alone = |request: &mut Request| {
                    let operation = &mut request.operation;
                    self.transaction(request.durability, |connection| call(|| operation(connection)))
                        .map_err(Failed::into_error)
                };
                group.iter_mut().map(alone).collect()
            }
            Err(failed) => vec![Err(failed.into_error()); group.len()],
        }
    }

    fn transaction(
        &mut self,
        durability: Durability,
        mut operations: impl FnMut(&Connection) -> Result<(), SqliteError>,
    ) -> Result<(), Failed> {
        match self.try_transaction(durability, &mut operations) {
            // What is in the log already may find its place in the database,
            // and leave its own: so a queue that has filled the disk can still
            // be worked off.
            Err(Failed::Within(error)) if error.is(ErrorCode::DiskFull) && self.empty_the_log() => {
                self.try_transaction(durability, &mut operations)
            }
            // After that the system may have thrown away what it could not
            // write, and would say nothing of it the next time.
            Err(Failed::Within(error)) if error.is_lost_sync() => {
                self.connection.reopen();
                Err(Failed::Before(error))
            }
            done => done,
        }
    }

    /// True if all of it is in the database now.
    fn empty_the_log(&self) -> bool {
        let connection = self.connection.connection();
        let done =
            |row: &rusqlite::Row<'_>| Ok(row.get::<_, i64>(0)? == 0 && row.get::<_, i64>(1)? == row.get::<_, i64>(2)?);
        connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], done).unwrap_or(false)
    }

    fn try_transaction(
        &mut self,
        durability: Durability,
        operations: &mut impl FnMut(&Connection) -> Result<(), SqliteError>,
    ) -> Result<(), Failed> {
        if self.connection.current()?.1 {
            self.durability = None;
        }
        self.set_durability(durability)?;
        let transaction = Transaction::begin(self.connection.connection())?;
        if let Err(error) = self.version.map_or(Ok(()), |known| transaction.check_version(known)) {
            drop(transaction);
            // An older one was put in its place, and is brought up to date.
            self.connection.reopen();
            return Err(Failed::Before(error));
        }
        operations(transaction.0).and_then(|()| transaction.commit()).map_err(Failed::Within)
    }

    /// SQLite takes this setting only between transactions.
    fn set_durability(&mut self, durability: Durability) -> Result<(), Failed> {
        if self.durability != Some(durability) {
            let level = match durability {
                Durability::Lazy => "PRAGMA synchronous = NORMAL",
                Durability::Synced => "PRAGMA synchronous = FULL",
            };
            self.connection.connection().execute_batch(level)?;
            self.durability = Some(durability);
        }
        if durability == Durability::Synced {
            self.connection.sync_folder()?;
        }
        Ok(())
    }
}

/// Runs an operation. It may run code of the user's, such as a clock, that
/// panics: then it has failed, and nobody else's with it.
fn call(operation: impl FnOnce() -> rusqlite::Result<()>) -> Result<(), SqliteError> {
    match catch(operation) {
        Ok(done) => done.map_err(SqliteError::from),
        Err(text) => Err(SqliteError::other(format!("a panic: {text}"))),
    }
}

/// Rolled back unless it is committed.
struct Transaction<'connection>(&'connection Connection);

impl<'connection> Transaction<'connection> {
    fn begin(connection: &'connection Connection) -> rusqlite::Result<Self> {
        run(connection, "BEGIN IMMEDIATE")?;
        Ok(Self(connection))
    }

    /// A newer program may have migrated the database since it was opened.
    fn check_version(&self, known: i64) -> Result<(), SqliteError> {
        check_version(self.0, known)
    }

    fn commit(self) -> Result<(), SqliteError> {
        Ok(run(self.0, "COMMIT")?)
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // Some errors, a full disk among them, have rolled back already.
        if !self.0.is_autocommit() {
            let _ = run(self.0, "ROLLBACK");
        }
    }
}

/// Refuses a database whose schema has another version by now.
pub(super) fn check_version(connection: &Connection, known: i64) -> Result<(), SqliteError> {
    let found: i64 = connection.prepare_cached("PRAGMA user_version")?.query_row([], |row| row.get(0))?;
    if found == known { Ok(()) } else { Err(SqliteError::other_version(found, known)) }
}

fn run(connection: &Connection, statement: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute([]).map(drop)
}

enum Failed {
    /// No operation was run, or none may be run again.
    Before(SqliteError),
    /// Some operation, or the commit.
    Within(SqliteError),
}

impl<E: Into<SqliteError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Before(error.into())
    }
}

impl Failed {
    fn into_error(self) -> SqliteError {
        match self {
            Self::Before(error) | Self::Within(error) => error,
        }
    }
}

#[cfg(test)]
mod tests;
