//! The one connection of a process that writes, and its transactions.
//!
//! What threads and tasks want to write is gathered by `group_commit.rs`; here
//! a group becomes a transaction.
//!
//! # Invariants
//! - A write that fails or panics takes no other one with it.
//! - Nothing is written into a schema of another version.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use rusqlite::{Connection, ErrorCode};

use super::busy::Patience;
use super::error::SqliteError;
use super::group_commit::{GroupCommit, Storage, Waiter};
use super::reopening::ReopeningConnection;
use crate::guard::catch;
use crate::queue::QueueError;
use crate::sync::lock;

/// What a power cut may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Durability {
    /// The operation: it is on its way to the disk.
    Lazy,
    /// Nothing: the operation is on the disk when the call returns.
    Synced,
}

pub(super) struct Writer {
    place: String,
    group: Arc<GroupCommit<Disk>>,
}

type Operation = Box<dyn FnMut(&Connection) -> rusqlite::Result<()> + Send>;

pub(super) struct Request {
    operation: Operation,
    durability: Durability,
    /// Whether it may wait for long for other processes.
    patient: bool,
    /// What is done when it is committed, by whoever commits it.
    after: Option<Box<dyn FnOnce() + Send>>,
}

/// The database as the group commit sees it.
pub(super) struct Disk {
    writing: Mutex<Writing>,
    /// How long to wait for other processes.
    patience: Arc<Patience>,
}

struct Writing {
    connection: ReopeningConnection,
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
    pub(super) fn new(place: String, connection: ReopeningConnection, version: Option<i64>) -> Self {
        let writing = Mutex::new(Writing { connection, durability: None, version });
        let group = GroupCommit::new(Disk { writing, patience: Arc::default() });
        Self { place, group: Arc::new(group) }
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
        operation: impl FnMut(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, SqliteError> {
        let result = Arc::new(Mutex::new(None));
        let operation = keeping(operation, &result);
        self.group.write(Request { operation, durability, patient, after: None })?;
        Ok(take(&result))
    }

    /// [`write`](Self::write) for async code. Nothing is done before it is
    /// polled; once it was, it is written also if the future is dropped.
    /// `after` is done when it is committed, before its task is woken.
    pub(super) fn write_async<R: Send + 'static>(
        &self,
        durability: Durability,
        operation: impl FnMut(&Connection) -> rusqlite::Result<R> + Send + 'static,
        after: impl FnOnce() + Send + 'static,
    ) -> Written<R> {
        let result = Arc::new(Mutex::new(None));
        let operation = keeping(operation, &result);
        let request = Request { operation, durability, patient: true, after: Some(Box::new(after)) };
        Written {
            place: self.place.clone(),
            group: self.group.clone(),
            request: Some(request),
            waiter: Arc::default(),
            result,
        }
    }

    /// How long it waits for other processes.
    pub(super) fn patience(&self) -> &Patience {
        &self.group.storage.patience
    }

    /// The connection itself, for tests.
    #[cfg(test)]
    pub(super) fn with_connection<R>(&self, with: impl FnOnce(&mut Connection) -> R) -> R {
        with(lock(&self.group.storage.writing).connection.connection_mut())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.group.committer.end();
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

/// A write on its way, for a task.
pub(super) struct Written<R> {
    place: String,
    group: Arc<GroupCommit<Disk>>,
    /// Until it is polled.
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
    let committer = group.committer.clone();
    if !committer.is_to_be_started() {
        return Ok(());
    }
    // It keeps no writer alive that its users have dropped.
    let weak = Arc::downgrade(group);
    let lead = move || {
        while committer.wait() {
            let Some(group) = weak.upgrade() else { return };
            // A panic of an operation is caught before; this thread is needed
            // whatever else happens, and all have been told.
            while catch(|| group.lead_for_tasks()).unwrap_or(false) {}
        }
    };
    let thread = std::thread::Builder::new().name("pulpo-commit".to_owned());
    thread.spawn(lead).map(drop).map_err(|source| {
        group.committer.has_not_started();
        let doing = "start the thread that writes for async code".to_owned();
        QueueError::Unavailable { doing, source: Box::new(source) }
    })
}

impl Storage for Disk {
    type Request = Request;
    type Error = SqliteError;

    fn commit(&self, group: &mut [Request]) -> Vec<Result<(), SqliteError>> {
        let is_patient = group.iter().any(|request| request.patient);
        let mut writing = lock(&self.writing);
        let results = self.patience.while_waiting(is_patient, || writing.run(group));
        drop(writing);
        self.patience
            .note(results.iter().any(|done| done.as_ref().is_err_and(|error| error.is(ErrorCode::DatabaseBusy))));
        for (request, done) in group.iter_mut().zip(&results) {
            if let (Some(after), Ok(())) = (request.after.take(), done) {
                let _ = catch(after);
            }
        }
        results
    }

    fn wants_sync(request: &Request) -> bool {
        request.durability == Durability::Synced
    }

    fn panicked() -> SqliteError {
        SqliteError::other("the thread that was to write it panicked".to_owned())
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
