//! The writing connection of a process, and its transactions.
//!
//! `group_commit.rs` gathers the requests of threads and tasks; here, a group becomes a transaction.
//!
//! # Invariants
//! - A write that fails or panics does not affect the others in its group.
//! - Nothing is written into a schema of another version.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Instant;

use rusqlite::{Connection, ErrorCode};

use super::busy::{self, Patience};
use super::error::SqliteError;
use super::foreign_log::FirstPage;
use super::group_commit::{GroupCommit, Storage, Waiter};
use super::reopening::ReopeningConnection;
use crate::guard::catch;
use crate::queue::QueueError;
use crate::sync::lock;

/// How much of a write a power cut may undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::queue::file) enum Durability {
    /// The operation, which is still on its way to the disk.
    Lazy,
    /// Nothing: the operation is on the disk when the call returns.
    Synced,
}

pub(in crate::queue::file) struct Writer {
    place: String,
    group: Arc<GroupCommit<Disk>>,
}

type Operation = Box<dyn FnMut(&Connection) -> rusqlite::Result<()> + Send>;

pub(in crate::queue::file) struct Request {
    operation: Operation,
    durability: Durability,
    /// Whether it may wait long for other processes, whatever else happens.
    patient: bool,
    /// When it was first tried.
    tried: Option<Instant>,
    /// Called after the commit, by the thread that commits.
    after: Option<Box<dyn FnOnce() + Send>>,
}

/// The database as the group commit sees it.
pub(in crate::queue::file) struct Disk {
    writing: Mutex<Writing>,
    /// Whether another file was found at the path since this was last asked.
    has_reopened: AtomicBool,
    /// How long to wait for other processes.
    patience: Arc<Patience>,
}

struct Writing {
    connection: ReopeningConnection,
    first_page: FirstPage,
    durability: Option<Durability>,
    has_reopened: bool,
    /// The version of the schema that this program writes; `None` for any.
    version: Option<i64>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Writer {
    pub(in crate::queue::file) fn new(place: String, connection: ReopeningConnection, version: Option<i64>) -> Self {
        let first_page = FirstPage::of(connection.path());
        let writing = Mutex::new(Writing { connection, first_page, durability: None, has_reopened: false, version });
        let group = GroupCommit::new(Disk { writing, has_reopened: AtomicBool::new(false), patience: Arc::default() });
        Self { place, group: Arc::new(group) }
    }

    /// Runs `operation` in a transaction, perhaps together with those of other threads, and returns its result after
    /// the commit. The operation may run again after a rollback, and must then do the same.
    pub(in crate::queue::file) fn write<R: Send + 'static>(
        &self,
        durability: Durability,
        operation: impl FnMut(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, QueueError> {
        self.try_write(durability, true, operation).map_err(|error| error.into_queue_error("write to", &self.place))
    }

    /// Writes, with an error that can be cloned for several callers. If it is not `patient`, it waits for other
    /// processes only as long as [`Patience`] allows.
    pub(in crate::queue::file) fn try_write<R: Send + 'static>(
        &self,
        durability: Durability,
        patient: bool,
        operation: impl FnMut(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, SqliteError> {
        let result = Arc::new(Mutex::new(None));
        let operation = keeping(operation, &result);
        self.group.write(Request { operation, durability, patient, tried: None, after: None })?;
        Ok(take(&result))
    }

    /// Writes for async code. Nothing happens before the future is polled; after that, the write takes place even if
    /// the future is dropped. `after` is called after the commit, before the task is woken.
    pub(in crate::queue::file) fn write_async<R: Send + 'static>(
        &self,
        durability: Durability,
        operation: impl FnMut(&Connection) -> rusqlite::Result<R> + Send + 'static,
        after: impl FnOnce() + Send + 'static,
    ) -> Written<R> {
        let result = Arc::new(Mutex::new(None));
        let operation = keeping(operation, &result);
        let request = Request { operation, durability, patient: true, tried: None, after: Some(Box::new(after)) };
        Written {
            place: self.place.clone(),
            group: self.group.clone(),
            request: Some(request),
            waiter: Arc::default(),
            result,
        }
    }

    /// Returns how long it waits for other processes.
    pub(in crate::queue::file) fn patience(&self) -> &Patience {
        &self.group.storage.patience
    }

    /// Returns whether another file was found at the path since the last call.
    pub(in crate::queue::file) fn has_reopened(&self) -> bool {
        let Disk { has_reopened, .. } = &self.group.storage;
        has_reopened.load(Ordering::Relaxed) && has_reopened.swap(false, Ordering::SeqCst)
    }

    /// Lends the connection to a test.
    #[cfg(test)]
    pub(in crate::queue::file) fn with_connection<R>(&self, with: impl FnOnce(&mut Connection) -> R) -> R {
        with(lock(&self.group.storage.writing).connection.connection_mut())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.group.end_committer();
    }
}

fn keeping<R: Send + 'static>(
    mut operation: impl FnMut(&Connection) -> rusqlite::Result<R> + Send + 'static,
    result: &Arc<Mutex<Option<R>>>,
) -> Operation {
    let result = result.clone();
    Box::new(move |connection| {
        *lock(&result) = Some(operation(connection)?);
        Ok(())
    })
}

fn take<R>(result: &Mutex<Option<R>>) -> R {
    lock(result).take().expect("an operation that went well left its result")
}

/// A pending write, for a task.
pub(in crate::queue::file) struct Written<R> {
    place: String,
    group: Arc<GroupCommit<Disk>>,
    /// `None` once it has been polled.
    request: Option<Request>,
    waiter: Arc<Waiter<SqliteError>>,
    result: Arc<Mutex<Option<R>>>,
}

impl<R> Future for Written<R> {
    type Output = Result<R, QueueError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(request) = self.request.take() {
            start_committer(&self.group)?;
            self.group.write_for_a_task(request, &self.waiter);
        }
        self.waiter.poll(task).map(|done| match done {
            Ok(()) => Ok(take(&self.result)),
            Err(error) => Err(error.into_queue_error("write to", &self.place)),
        })
    }
}

/// Starts the thread that leads for tasks, once.
fn start_committer(group: &Arc<GroupCommit<Disk>>) -> Result<(), QueueError> {
    group.start_committer(|| {
        let committer = group.committer.clone();
        // It must not keep a writer alive that its users have dropped.
        let weak = Arc::downgrade(group);
        let lead = move || {
            while committer.wait() {
                let Some(group) = weak.upgrade() else { return };
                group.lead_as_committer();
            }
        };
        let thread = std::thread::Builder::new().name("pulpo-commit".to_owned());
        thread.spawn(lead).map(drop).map_err(|source| {
            let doing = "start the thread that writes for async code".to_owned();
            QueueError::Unavailable { doing, source: Box::new(source) }
        })
    })
}

impl Storage for Disk {
    type Request = Request;
    type Error = SqliteError;

    fn commit(&self, group: &mut [Request]) -> Vec<Result<(), SqliteError>> {
        for request in group.iter_mut() {
            request.tried.get_or_insert_with(Instant::now);
        }
        let mut writing = lock(&self.writing);
        let results = self.patience.while_waiting(|| writing.run(group));
        let has_reopened = std::mem::take(&mut writing.has_reopened);
        drop(writing);
        if has_reopened {
            self.has_reopened.store(true, Ordering::SeqCst);
        }
        self.patience
            .note(results.iter().any(|done| done.as_ref().is_err_and(|error| error.is(ErrorCode::DatabaseBusy))));
        for (request, done) in group.iter_mut().zip(&results) {
            // One that is tried again keeps it.
            if let Some(after) = done.is_ok().then(|| request.after.take()).flatten() {
                let _ = catch(after);
            }
        }
        results
    }

    /// A shutdown shortens the wait of a whole group, for the sake of the requests that it waits for. The others are tried
    /// again.
    fn tries_again(&self, request: &Request, done: &Result<(), SqliteError>) -> bool {
        let may_wait = || request.patient && request.tried.is_some_and(|since| since.elapsed() < busy::LONG);
        done.as_ref().is_err_and(|error| error.is(ErrorCode::DatabaseBusy)) && may_wait()
    }

    fn wants_sync(request: &Request) -> bool {
        request.durability == Durability::Synced
    }

    fn panicked() -> SqliteError {
        SqliteError::other("the thread that was to write it panicked".to_owned())
    }
}

impl Writing {
    /// Runs the group and returns the result of each request.
    fn run(&mut self, group: &mut [Request]) -> Vec<Result<(), SqliteError>> {
        let durability = group.iter().map(|request| request.durability).max().unwrap_or(Durability::Lazy);
        let all =
            |connection: &Connection| group.iter_mut().try_for_each(|request| call(|| (request.operation)(connection)));
        match self.transaction(durability, all) {
            Ok(()) => vec![Ok(()); group.len()],
            // A request that cannot be written must not fail the others.
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
            // A checkpoint moves the log into the database and frees its space, so that a queue that has filled the
            // disk can still be worked off.
            Err(Failed::Within(error)) if error.is(ErrorCode::DiskFull) && self.empty_the_log() => {
                self.try_transaction(durability, &mut operations)
            }
            // After a failed sync the system may have discarded what it could not write, and would not report that the
            // next time.
            Err(Failed::Within(error)) if error.is_lost_sync() => {
                self.connection.reopen();
                Err(Failed::Before(error))
            }
            done => done,
        }
    }

    /// Checkpoints the log. Returns whether all of it is in the database now.
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
            self.first_page = FirstPage::of(self.connection.path());
            self.durability = None;
            self.has_reopened = true;
        }
        self.set_durability(durability)?;
        let transaction = Transaction::begin(self.connection.connection())?;
        if let Err(error) = self.version.map_or(Ok(()), |known| transaction.check_version(known)) {
            drop(transaction);
            // An older database may have been put in its place; reopening migrates it.
            self.connection.reopen();
            return Err(Failed::Before(error));
        }
        let first_page = self.version.map_or(Ok(()), |version| self.first_page.write(transaction.0, version));
        let done = first_page.map_err(SqliteError::from);
        let done = done.and_then(|()| operations(transaction.0)).and_then(|()| transaction.commit());
        done.inspect_err(|_| self.first_page.forget()).map_err(Failed::Within)
    }

    /// Sets `synchronous`, which SQLite accepts only between transactions.
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

/// Runs an operation. It may call the user's code, such as a clock, and that may panic: then only this operation fails.
fn call(operation: impl FnOnce() -> rusqlite::Result<()>) -> Result<(), SqliteError> {
    match catch(operation) {
        Ok(done) => done.map_err(SqliteError::from),
        Err(text) => Err(SqliteError::other(format!("a panic: {text}"))),
    }
}

/// A transaction that is rolled back unless it is committed.
struct Transaction<'connection>(&'connection Connection);

impl<'connection> Transaction<'connection> {
    fn begin(connection: &'connection Connection) -> rusqlite::Result<Self> {
        run(connection, "BEGIN IMMEDIATE")?;
        Ok(Self(connection))
    }

    /// Checks the version of the schema: a newer program may have migrated the database since it was opened.
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
pub(in crate::queue::file) fn check_version(connection: &Connection, known: i64) -> Result<(), SqliteError> {
    let found: i64 = connection.prepare_cached("PRAGMA user_version")?.query_row([], |row| row.get(0))?;
    if found == known { Ok(()) } else { Err(SqliteError::other_version(found, known)) }
}

fn run(connection: &Connection, statement: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute([]).map(drop)
}

enum Failed {
    /// No operation ran, or none may run again.
    Before(SqliteError),
    /// An operation failed, or the commit did.
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
