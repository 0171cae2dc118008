//! Creates, opens, recognises and migrates the database.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, TransactionBehavior};

use super::busy;
use super::error::SqliteError;
use super::reopening;
use crate::queue::{MessageState, QueueError};

/// Marks a database as pulpo's, in its header: "pulp".
const APPLICATION_ID: i64 = 0x7075_6c70;

/// The migrations, each from the version before; a version's number is its position here, from 1. Never edit a step
/// that was released.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE message(
        -- Never used again once deleted, and so unique for ever.
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        queue TEXT NOT NULL,
        state INTEGER NOT NULL,
        priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 4294967295),
        -- Times are microseconds since 1970. A delayed message becomes ready
        -- then, a reserved one's lease ends then; else null.
        until INTEGER,
        -- Which delivery has it; null if not reserved.
        lease TEXT,
        -- Milliseconds, up to a thousand years.
        ttr INTEGER NOT NULL CHECK (ttr BETWEEN 1 AND 31556952000000),
        -- Failed runs, and how many of them ended unsettled.
        attempts INTEGER NOT NULL DEFAULT 0,
        lost INTEGER NOT NULL DEFAULT 0,
        -- Since when it could have been started.
        due_since INTEGER NOT NULL,
        enqueued_at INTEGER NOT NULL,
        last_error TEXT,
        last_error_at INTEGER,
        request_type TEXT NOT NULL,
        -- The wire form, as it was published.
        text TEXT NOT NULL) STRICT;
    CREATE INDEX message_ready ON message(queue, priority, id) WHERE state = 0;
    CREATE INDEX message_until ON message(until) WHERE until IS NOT NULL;
    CREATE TABLE archive(
        id INTEGER PRIMARY KEY,
        queue TEXT NOT NULL,
        request_type TEXT NOT NULL,
        outcome TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        enqueued_at INTEGER NOT NULL,
        archived_at INTEGER NOT NULL,
        text TEXT NOT NULL) STRICT;
",
    "
    -- A queue that hands out nothing before this time.
    CREATE TABLE pause(
        queue TEXT PRIMARY KEY,
        until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    -- What a person looks for first, among however many that are fine.
    CREATE INDEX message_buried ON message(id) WHERE state = 3;
",
    "
    -- A request type in a queue, with the numbers of its messages in these states. The others are reserved.
    CREATE TABLE kind(
        id INTEGER PRIMARY KEY,
        queue TEXT NOT NULL,
        request_type TEXT NOT NULL,
        ready INTEGER NOT NULL DEFAULT 0,
        delayed INTEGER NOT NULL DEFAULT 0,
        buried INTEGER NOT NULL DEFAULT 0,
        -- Events of its messages in the last minute (since 1970) with any; earlier ones are in `activity`.
        minute INTEGER NOT NULL DEFAULT 0,
        published_now INTEGER NOT NULL DEFAULT 0,
        done_now INTEGER NOT NULL DEFAULT 0,
        failed_now INTEGER NOT NULL DEFAULT 0,
        buried_now INTEGER NOT NULL DEFAULT 0,
        expired_now INTEGER NOT NULL DEFAULT 0,
        UNIQUE(queue, request_type)) STRICT;
    -- Events of the messages of a kind in a step of this many minutes that began at this minute; and of all kinds, with
    -- the number of messages that were ready at its end, and since when the oldest was.
    CREATE TABLE activity(
        step INTEGER NOT NULL,
        at INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        published INTEGER NOT NULL,
        done INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        buried INTEGER NOT NULL,
        expired INTEGER NOT NULL,
        PRIMARY KEY(step, at, kind)) STRICT, WITHOUT ROWID;
    CREATE TABLE activity_total(
        step INTEGER NOT NULL,
        at INTEGER NOT NULL,
        published INTEGER NOT NULL,
        done INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        buried INTEGER NOT NULL,
        expired INTEGER NOT NULL,
        waiting INTEGER,
        oldest_ready INTEGER,
        PRIMARY KEY(step, at)) STRICT, WITHOUT ROWID;
    INSERT INTO kind(queue, request_type, ready, delayed, buried)
        SELECT queue, request_type, sum(state = 0), sum(state = 1), sum(state = 3)
        FROM message GROUP BY queue, request_type;
    DROP INDEX message_ready;
    DROP INDEX message_until;
    DROP INDEX message_buried;
    -- Created when a limit needed it.
    DROP INDEX IF EXISTS message_ready_by_type;
    ALTER TABLE message RENAME TO old_message;
    CREATE TABLE message(
        -- Never used again once deleted, and so unique forever.
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        queue TEXT NOT NULL,
        kind INTEGER NOT NULL,
        state INTEGER NOT NULL,
        priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 4294967295),
        -- Times are microseconds since 1970. When a delayed message becomes ready; null in other states.
        due INTEGER,
        -- The delivery that has a reserved message, and until when; null in other states.
        lease TEXT,
        lease_ends INTEGER,
        -- Milliseconds, up to a thousand years.
        ttr INTEGER NOT NULL CHECK (ttr BETWEEN 1 AND 31556952000000),
        -- Failed runs, and how many of them ended without being settled.
        attempts INTEGER NOT NULL DEFAULT 0,
        lost INTEGER NOT NULL DEFAULT 0,
        -- Since when it could have been started.
        due_since INTEGER NOT NULL,
        enqueued_at INTEGER NOT NULL,
        -- When it entered its state. If its delay or lease is over, this is when it entered the next state.
        since INTEGER NOT NULL,
        -- Since when workers have left it to others.
        left_since INTEGER,
        last_error TEXT,
        last_error_at INTEGER,
        -- The number of its failed runs. The last ones each have a row in `attempt`.
        runs INTEGER NOT NULL DEFAULT 0,
        -- Its unique key after its request type; for how long the key is taken (0: while unfinished, 1: while it waits,
        -- 2: for a time); and 1 if this message holds the key now. Null if it is not unique.
        unique_key TEXT,
        key_mode INTEGER,
        holds_key INTEGER,
        -- The keys by which its limits count it; null without any.
        limit_key TEXT,
        -- The first message of the run that it has joined; null if none.
        run INTEGER,
        -- The rows of `started` that count its lease, as JSON; null if there are none.
        starts TEXT,
        -- When it was cancelled, if it is leased and must be buried when the lease ends; otherwise null.
        cancelled INTEGER,
        -- The progress of its run, as its handler has reported it; otherwise null.
        progress REAL,
        progress_text TEXT,
        progress_at INTEGER,
        -- The wire form, as it was published. Null if it is long: then it is stored separately, so that changes of the
        -- row do not rewrite it.
        text TEXT) STRICT;
    CREATE TABLE long_text(
        id INTEGER PRIMARY KEY,
        text TEXT NOT NULL) STRICT;
    INSERT INTO message(id, queue, kind, state, priority, due, lease, lease_ends, ttr, attempts, lost, due_since,
            enqueued_at, since, last_error, last_error_at, text)
        SELECT old.id, old.queue, kind.id, state, priority, iif(state = 1, until, NULL), lease,
            iif(state = 2, until, NULL), ttr, attempts, lost, due_since, enqueued_at,
            iif(state = 0, max(due_since, coalesce(last_error_at, 0)), coalesce(last_error_at, enqueued_at)),
            last_error, last_error_at, iif(length(CAST(text AS BLOB)) > 1000, NULL, text)
        FROM old_message AS old CROSS JOIN kind USING (queue, request_type) ORDER BY old.id;
    INSERT INTO long_text SELECT id, text FROM old_message WHERE length(CAST(text AS BLOB)) > 1000 ORDER BY id;
    DELETE FROM sqlite_sequence WHERE name = 'message';
    INSERT INTO sqlite_sequence(name, seq) SELECT 'message', seq FROM sqlite_sequence WHERE name = 'old_message';
    DROP TABLE old_message;
    -- The next messages of a queue, and of a kind if others must wait.
    CREATE INDEX message_ready ON message(queue, priority, id) WHERE state = 0;
    -- Two, so that what has no key is found behind any number of messages that
    -- have one.
    CREATE INDEX message_ready_of_kind ON message(kind, priority, id) WHERE state = 0 AND limit_key IS NULL;
    CREATE INDEX message_ready_with_key ON message(kind, priority, id) WHERE state = 0 AND limit_key IS NOT NULL;
    CREATE INDEX message_due ON message(due, kind) WHERE due IS NOT NULL;
    CREATE INDEX message_leased ON message(lease_ends, kind) WHERE lease_ends IS NOT NULL;
    CREATE INDEX message_buried ON message(id) WHERE state = 3;
    CREATE INDEX message_cancelled ON message(id) WHERE cancelled IS NOT NULL;
    -- The report of a worker of a process, as JSON. It is valid while the lock of that process is held.
    CREATE TABLE worker(
        process TEXT NOT NULL,
        number INTEGER NOT NULL,
        report TEXT NOT NULL,
        PRIMARY KEY(process, number)) STRICT, WITHOUT ROWID;
    CREATE INDEX message_buried_since ON message(since) WHERE state = 3;
    -- The last failed runs of messages, including archived ones. `took` is in microseconds; `worker` is the beginning
    -- of the lease's token.
    CREATE TABLE attempt(
        message INTEGER NOT NULL,
        number INTEGER NOT NULL,
        started_at INTEGER NOT NULL,
        took INTEGER NOT NULL,
        worker TEXT,
        outcome TEXT NOT NULL,
        error TEXT NOT NULL,
        PRIMARY KEY(message, number)) STRICT, WITHOUT ROWID;
    -- The result of the job, as JSON.
    ALTER TABLE archive ADD COLUMN result TEXT;
    ALTER TABLE archive ADD COLUMN priority INTEGER;
    ALTER TABLE archive ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX archive_at ON archive(archived_at);
    -- Which rows of outboxes have become which messages, and since when they are known to have left the outbox.
    CREATE TABLE outbox_id(
        outbox_id TEXT PRIMARY KEY,
        message INTEGER NOT NULL,
        gone_at INTEGER) STRICT, WITHOUT ROWID;
    CREATE INDEX outbox_id_gone ON outbox_id(gone_at) WHERE gone_at IS NOT NULL;
    -- An entry of a schedule: a request type, and its times.
    CREATE TABLE schedule(
        name TEXT NOT NULL,
        entry TEXT NOT NULL,
        -- Up to when it is settled, and when it is due next.
        settled INTEGER NOT NULL,
        next INTEGER,
        -- The last occurrence that was published, and its message.
        last INTEGER,
        message TEXT,
        PRIMARY KEY(name, entry)) STRICT, WITHOUT ROWID;
    CREATE TABLE schedule_pause(
        name TEXT PRIMARY KEY,
        since INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX message_unique ON message(unique_key, holds_key) WHERE unique_key IS NOT NULL;
    -- The next messages of each key of a limit.
    CREATE INDEX message_ready_of_key ON message(kind, limit_key, priority, id)
        WHERE state = 0 AND limit_key IS NOT NULL;
    -- A unique key that is taken until this time, whatever happens to its message.
    CREATE TABLE timed_key(
        key TEXT PRIMARY KEY,
        message INTEGER NOT NULL,
        ends INTEGER NOT NULL,
        -- For how long it was taken. If that began long from now, the clock was
        -- set back.
        length INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE INDEX timed_key_of_message ON timed_key(message);
    CREATE INDEX timed_key_ends ON timed_key(ends);
    -- How many messages of a handler or a queue (and of a key, for a rate by key) were started at this time; kept while
    -- they count.
    CREATE TABLE started(
        scope TEXT NOT NULL,
        key TEXT NOT NULL,
        at INTEGER NOT NULL,
        count INTEGER NOT NULL,
        ends INTEGER NOT NULL,
        PRIMARY KEY(scope, key, at)) STRICT, WITHOUT ROWID;
    CREATE INDEX started_ends ON started(ends);
    -- A request type (with an empty key), or one of its keys, that is held back until this time.
    CREATE TABLE held_back(
        request_type TEXT NOT NULL,
        key TEXT NOT NULL,
        until INTEGER NOT NULL,
        -- For how long. If that began long from now, the clock was set back.
        length INTEGER NOT NULL,
        PRIMARY KEY(request_type, key)) STRICT, WITHOUT ROWID;
    CREATE INDEX held_back_until ON held_back(until);
",
];

/// The longest ttr that the database accepts, in milliseconds.
pub(super) const LONGEST_TTR: i64 = 31_556_952_000_000;

/// The longest text, in bytes, that is stored in the row of its message.
pub(super) const LONGEST_INLINE_TEXT: usize = 1000;

/// The version of the schema that this program reads and writes.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Returns the code of a state in the database.
pub(super) fn code(state: MessageState) -> i64 {
    match state {
        MessageState::Ready => 0,
        MessageState::Delayed => 1,
        MessageState::Reserved => 2,
        MessageState::Buried => 3,
        // Never in a row of `message`: see `done.rs`.
        MessageState::Done => 4,
    }
}

/// Returns the state with this code.
pub(super) fn state(code: i64) -> MessageState {
    match code {
        0 => MessageState::Ready,
        1 => MessageState::Delayed,
        2 => MessageState::Reserved,
        _ => MessageState::Buried,
    }
}

/// Opens the connection for writing, and brings the schema up to date.
pub(super) fn open(file: &Path) -> Result<Connection, QueueError> {
    open_writer(file, Missing::IsMade)
}

/// Opens it only if the database has a schema already.
pub(super) fn open_existing(file: &Path) -> Result<Connection, QueueError> {
    open_writer(file, Missing::IsRefused)
}

/// How to treat a database without a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    IsMade,
    IsRefused,
}

fn open_writer(file: &Path, missing: Missing) -> Result<Connection, QueueError> {
    let place = file.display().to_string();
    let open = || -> Result<Connection, Refusal> {
        if has_foreign_log(file) {
            return Err(Refusal::ForeignLog);
        }
        let mut connection = connect(file)?;
        // SQLite falls back to reading where it may not write.
        if connection.is_readonly(MAIN_DB)? {
            return Err(Refusal::ReadOnly);
        }
        // Checked before anything is changed: is it pulpo's, and not newer?
        if recognise(&connection)? == 0 && missing == Missing::IsRefused {
            return Err(Refusal::Empty(file.parent().unwrap_or(file).display().to_string()));
        }
        become_wal(&connection)?;
        // Also erases what a migration deletes.
        connection.execute_batch("PRAGMA secure_delete = ON;")?;
        migrate(&mut connection, MIGRATIONS)?;
        connection.execute_batch(
            // `synchronous` is set for each transaction, see the writer. For the reasons for these sizes see
            // ARCHITECTURE.md.
            "PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -16000;",
        )?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    };
    open().map_err(|refusal| refusal.into_queue_error(&place))
}

/// Opens the connection for reading only.
pub(super) fn open_reader(file: &Path) -> Result<Connection, QueueError> {
    open_another(file, "PRAGMA query_only = ON;")
}

/// Opens a connection for making copies, which SQLite treats as writing.
pub(super) fn open_copier(file: &Path) -> Result<Connection, QueueError> {
    open_another(file, "")
}

/// Opens another connection to a database that is open already.
fn open_another(file: &Path, pragmas: &str) -> Result<Connection, QueueError> {
    let open = || -> rusqlite::Result<Connection> {
        let connection = connect(file)?;
        connection.execute_batch(pragmas)?;
        Ok(connection)
    };
    open().map_err(|error| SqliteError::from(error).into_queue_error("read", &file.display().to_string()))
}

/// Creates a database in memory with the same schema.
pub(super) fn open_in_memory() -> Result<Connection, QueueError> {
    let open = || -> Result<Connection, Refusal> {
        let mut connection = Connection::open_in_memory()?;
        migrate(&mut connection, MIGRATIONS)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    };
    open().map_err(|refusal| refusal.into_queue_error("memory:"))
}

/// Connects to an existing file, with the settings that all our connections share.
#[allow(unused_mut, reason = "rusqlite before 0.41 sets the handler through a shared reference")]
fn connect(file: &Path) -> rusqlite::Result<Connection> {
    // Our own locks guard each connection.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags)?;
    connection.busy_handler(Some(busy::handler))?;
    connection.execute_batch(EVERYWHERE)?;
    Ok(connection)
}

/// Settings for every connection. Sorting, statement journals and copies use no temporary file, since there may be no
/// folder for one. Apple's `fsync` leaves data in the drive's cache unless told otherwise; on other systems these
/// settings change nothing.
const EVERYWHERE: &str = "PRAGMA temp_store = MEMORY; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;";

/// Why a file is not opened.
enum Refusal {
    Sqlite(SqliteError),
    /// The file in this folder is empty.
    Empty(String),
    ReadOnly,
    /// The log beside it belongs to another database.
    ForeignLog,
    Foreign(String),
    Newer {
        found: i64,
        known: i64,
    },
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error.into())
    }
}

impl Refusal {
    fn into_queue_error(self, place: &str) -> QueueError {
        match self {
            Self::Sqlite(error) => error.into_queue_error("open", place),
            Self::Empty(folder) => QueueError::NoQueue { place: folder },
            Self::ForeignLog => QueueError::ForeignLog { place: place.to_owned() },
            Self::ReadOnly => SqliteError::read_only().into_queue_error("open", place),
            Self::Foreign(found) => QueueError::NotAQueue { place: place.to_owned(), found },
            Self::Newer { found, known } => QueueError::NewerVersion { place: place.to_owned(), found, known },
        }
    }
}

/// Returns whether the log belongs to an earlier database at this path: a copy has no log, and its header says that it
/// was never written through one. SQLite would mix the pages of both.
fn has_foreign_log(file: &Path) -> bool {
    let mut header = [0; 20];
    let is_copy = File::open(file).and_then(|mut file| file.read_exact(&mut header)).is_ok() && header[18] == 1;
    is_copy && reopening::log_of(file).metadata().is_ok_and(|log| log.len() > 0)
}

/// Returns the version of the schema: 0 for an empty file.
fn recognise(connection: &Connection) -> Result<i64, Refusal> {
    // A single statement sees one moment: another process may be creating the schema between two.
    let (version, application, tables): (i64, i64, i64) = connection.query_row(
        "SELECT (SELECT user_version FROM pragma_user_version), (SELECT application_id FROM pragma_application_id),
            count(*) FROM sqlite_schema",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    if application == APPLICATION_ID || (tables == 0 && version == 0) {
        return Ok(version);
    }
    Err(Refusal::Foreign("the SQLite database of another program".to_owned()))
}

/// Switches to write-ahead logging, so that readers do not wait for writers. The switch needs exclusive access, and
/// SQLite does not wait for that.
fn become_wal(connection: &Connection) -> Result<(), Refusal> {
    for tries in 0.. {
        let switched = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0));
        match switched {
            Ok(mode) if mode.eq_ignore_ascii_case("wal") => return Ok(()),
            Ok(mode) => return Err(Refusal::Foreign(format!("a file that cannot be shared (journal mode {mode})"))),
            Err(error) => {
                let error = SqliteError::from(error);
                if !error.is(ErrorCode::DatabaseBusy) || !busy::handler(tries) {
                    return Err(Refusal::Sqlite(error));
                }
            }
        }
    }
    Ok(())
}

/// Brings the schema to the newest version in one transaction, so that a kill leaves the old one. Of several processes,
/// only one migrates.
fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), Refusal> {
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let version = recognise(connection)?;
    if version == known {
        return Ok(());
    }
    if version > known {
        return Err(Refusal::Newer { found: version, known });
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    let version = recognise(&transaction)?;
    for step in migrations.iter().skip(usize::try_from(version).unwrap_or_default()) {
        transaction.execute_batch(step)?;
    }
    if version < known {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", known)?;
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests;
