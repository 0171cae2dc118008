//! One writer for all threads of the process: what they want to write while a
//! transaction is running goes into the next one together.
//!
//! There is no thread for it. Who finds nobody writing leads: it runs all that
//! waits in one transaction, and hands the lead to one of those that came
//! meanwhile. A single thread so pays no hand-over, and many threads share a
//! sync of the disk.
//!
//! Those who were just told that theirs is on the disk mostly come again at
//! once. So the next leader waits for them before it has the disk synced, for as
//! long as a sync takes at most: else two halves of them would take turns, with
//! twice as many syncs. Nobody waits for others that were not there the last
//! time.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use super::attached::Attached;
use super::error::SqliteError;
use crate::clock::{Clock as _, SystemClock, lock};
use crate::queue::QueueError;

/// What a power cut may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Durability {
    /// The operation: it is on its way to the disk.
    Lazy,
    /// Nothing: the operation is on the disk when the call returns.
    Synced,
}

/// How long is waited for others at most, however long a sync takes.
const LONGEST_PATIENCE: Duration = Duration::from_millis(1);

pub(super) struct Writer {
    place: String,
    /// Real time, whatever the queue's clock is.
    clock: SystemClock,
    line: Mutex<Line>,
    /// As many are waiting as the leader waits for.
    complete: Condvar,
    connection: Mutex<Writing>,
}

/// Those who want to write.
#[derive(Default)]
struct Line {
    led: bool,
    /// The leader waits for more to come.
    gathers: bool,
    waiting: Vec<Request>,
    /// How many wanted a sync when the last one was done, or had just had it.
    crowd: usize,
    /// How long that one took, with all that was written.
    sync_took: Duration,
}

impl Line {
    /// How many want a sync.
    fn syncs(&self) -> usize {
        synced(&self.waiting)
    }

    fn is_complete(&self) -> bool {
        self.syncs() >= self.crowd
    }
}

fn synced(requests: &[Request]) -> usize {
    requests.iter().filter(|request| request.durability == Durability::Synced).count()
}

type Operation = Box<dyn FnMut(&Connection) -> rusqlite::Result<()> + Send>;

struct Request {
    operation: Operation,
    durability: Durability,
    turn: Arc<Turn>,
}

/// What one who waits is told.
#[derive(Default)]
struct Turn {
    heard: Mutex<Heard>,
    told: Condvar,
}

#[derive(Default)]
struct Heard {
    word: Option<Word>,
    /// Not by the leader, who tells itself: to wake nobody is a system call too.
    waited_for: bool,
}

enum Word {
    Lead,
    Done(Result<(), SqliteError>),
}

struct Writing {
    connection: Attached,
    durability: Option<Durability>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Writer {
    pub(super) fn new(place: String, connection: Attached) -> Self {
        let connection = Mutex::new(Writing { connection, durability: None });
        Self { place, clock: SystemClock::new(), line: Mutex::default(), complete: Condvar::new(), connection }
    }

    /// Runs `operation` in a transaction, perhaps with those of other threads,
    /// and returns its result when that is committed. It may be run again,
    /// after a rollback, and then must do the same.
    pub(super) fn write<R: Send + 'static>(
        &self,
        durability: Durability,
        operation: impl FnMut(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, QueueError> {
        self.try_write(durability, operation).map_err(|error| error.into_queue_error("write to", &self.place))
    }

    /// The same, with an error that can be told to several.
    pub(super) fn try_write<R: Send + 'static>(
        &self,
        durability: Durability,
        mut operation: impl FnMut(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, SqliteError> {
        let result = Arc::new(Mutex::new(None));
        let place = result.clone();
        let turn = Arc::new(Turn::default());
        let request = Request {
            operation: Box::new(move |connection| {
                *lock(&place) = Some(operation(connection)?);
                Ok(())
            }),
            durability,
            turn: turn.clone(),
        };
        let leads = {
            let mut line = lock(&self.line);
            line.waiting.push(request);
            if line.gathers && line.is_complete() {
                self.complete.notify_one();
            }
            !std::mem::replace(&mut line.led, true)
        };
        let mut word = if leads { Word::Lead } else { turn.wait() };
        if matches!(word, Word::Lead) {
            self.lead();
            word = turn.wait();
        }
        let done = match word {
            Word::Done(done) => done,
            Word::Lead => unreachable!("who has led is told the result"),
        };
        done?;
        Ok(lock(&result).take().expect("an operation that went well left its result"))
    }

    /// Runs all that waits, the leader's own among it, and hands over.
    fn lead(&self) {
        let mut leading = Leading { writer: self, group: Vec::new() };
        leading.group = self.gather();
        let started = self.clock.uptime();
        let mut writing = lock(&self.connection);
        let outcome = writing.run(&mut leading.group);
        self.remember(synced(&leading.group), started);
        for (request, done) in leading.group.drain(..).zip(outcome) {
            request.turn.tell(Word::Done(done));
        }
    }

    /// All that waits, once those have come again that were just told.
    fn gather(&self) -> Vec<Request> {
        let mut line = lock(&self.line);
        if line.syncs() > 0 && !line.is_complete() {
            let patience = line.sync_took.min(LONGEST_PATIENCE);
            let incomplete = |line: &mut Line| !line.is_complete();
            line.gathers = true;
            let waited = self.complete.wait_timeout_while(line, patience, incomplete);
            line = waited.unwrap_or_else(PoisonError::into_inner).0;
            line.gathers = false;
        }
        std::mem::take(&mut line.waiting)
    }

    /// Before anybody is told, and can come again.
    fn remember(&self, group: usize, started: Duration) {
        if group > 0 {
            let mut line = lock(&self.line);
            line.crowd = group + line.syncs();
            line.sync_took = self.clock.uptime().saturating_sub(started);
        }
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
        for request in self.group.drain(..) {
            let error = SqliteError::other("the thread that wrote it panicked".to_owned());
            request.turn.tell(Word::Done(Err(error)));
        }
        let mut line = lock(&self.writer.line);
        match line.waiting.first() {
            Some(next) => next.turn.tell(Word::Lead),
            None => line.led = false,
        }
    }
}

impl Turn {
    fn tell(&self, word: Word) {
        let mut heard = lock(&self.heard);
        heard.word = Some(word);
        if heard.waited_for {
            self.told.notify_one();
        }
    }

    fn wait(&self) -> Word {
        let mut heard = lock(&self.heard);
        loop {
            match heard.word.take() {
                Some(word) => return word,
                None => {
                    heard.waited_for = true;
                    heard = self.told.wait(heard).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

impl Writing {
    fn run(&mut self, group: &mut [Request]) -> Vec<Result<(), SqliteError>> {
        let together = self.transaction(group);
        match together {
            Ok(()) => group.iter().map(|_| Ok(())).collect(),
            // One that cannot be written must not take the others with it.
            Err(Failed::Within(_)) if group.len() > 1 => group
                .iter_mut()
                .map(|request| self.transaction(std::slice::from_mut(request)).map_err(Failed::into_error))
                .collect(),
            Err(failed) => {
                let error = failed.into_error();
                group.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }

    fn transaction(&mut self, group: &mut [Request]) -> Result<(), Failed> {
        match self.try_transaction(group) {
            // What is in the log already may find its place in the database,
            // and leave its own: so a queue that has filled the disk can still
            // be worked off.
            Err(Failed::Within(error)) if error.is(ErrorCode::DiskFull) && self.empty_the_log() => {
                self.try_transaction(group)
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

    fn try_transaction(&mut self, group: &mut [Request]) -> Result<(), Failed> {
        if self.connection.current()?.1 {
            self.durability = None;
        }
        self.set_durability(group.iter().map(|request| request.durability).max().unwrap_or(Durability::Lazy))?;
        let transaction = Transaction::begin(self.connection.connection())?;
        group
            .iter_mut()
            .try_for_each(|request| call(&mut request.operation, transaction.0))
            .and_then(|()| transaction.commit())
            .map_err(Failed::Within)
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
fn call(operation: &mut Operation, connection: &Connection) -> Result<(), SqliteError> {
    match catch_unwind(AssertUnwindSafe(|| operation(connection))) {
        Ok(done) => done.map_err(SqliteError::from),
        Err(payload) => {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no text");
            let error = SqliteError::other(format!("a panic: {text}"));
            // To drop it may panic too.
            std::mem::forget(payload);
            Err(error)
        }
    }
}

/// Rolled back unless it is committed.
struct Transaction<'connection>(&'connection Connection);

impl<'connection> Transaction<'connection> {
    fn begin(connection: &'connection Connection) -> rusqlite::Result<Self> {
        run(connection, "BEGIN IMMEDIATE")?;
        Ok(Self(connection))
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

fn run(connection: &Connection, statement: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute([]).map(drop)
}

enum Failed {
    /// No operation was run.
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
