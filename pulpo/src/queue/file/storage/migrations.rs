//! The versions of the schema: recognises the version of a database, and brings it to the newest.

use std::fs::{OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode};

use super::error::SqliteError;
use super::folder::{open_or_make, open_own};
use crate::queue::QueueError;

/// Marks a database as pulpo's, in its header: "pulp".
pub(in crate::queue::file) const APPLICATION_ID: i64 = 0x7075_6c70;

/// The migrations, each from the version before; a version's number is its position here, from 1. Never edit a step
/// that was released.
pub(in crate::queue::file) const MIGRATIONS: &[&str] = &[
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
        -- Where `started` counts its lease, as JSON; otherwise null.
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
    -- Two indexes, so that messages without a key are found behind any number of
    -- messages with one.
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

/// The version of the schema that this program reads and writes.
pub(in crate::queue::file) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Why a file is not opened.
pub(in crate::queue::file) enum Refusal {
    Sqlite(SqliteError),
    /// The file in this folder is empty.
    Empty(String),
    ReadOnly,
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
    pub(in crate::queue::file) fn into_queue_error(self, place: &str) -> QueueError {
        match self {
            Self::Sqlite(error) => error.into_queue_error("open", place),
            Self::Empty(folder) => QueueError::NoQueue { place: folder },
            Self::ReadOnly => SqliteError::read_only().into_queue_error("open", place),
            Self::Foreign(found) => QueueError::NotAQueue { place: place.to_owned(), found },
            Self::Newer { found, known } => QueueError::NewerVersion { place: place.to_owned(), found, known },
        }
    }
}

/// Returns the version of the schema: 0 for an empty file.
pub(in crate::queue::file) fn recognise(connection: &Connection) -> Result<i64, Refusal> {
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

/// Brings the schema to the newest version in one transaction, so that a kill leaves the old one. Of several processes,
/// only one migrates; the others wait for it, however long it takes. `file` is `None` in memory.
pub(in crate::queue::file) fn migrate(
    connection: &Connection,
    migrations: &[&str],
    file: Option<&Path>,
) -> Result<(), Refusal> {
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let version = recognise(connection)?;
    if version == known {
        return Ok(());
    }
    if version > known {
        return Err(Refusal::Newer { found: version, known });
    }
    let marker = file.filter(|_| version > 0).map(marker_of);
    begin(connection, marker.as_deref())?;
    let migrated = carry_out(connection, migrations, known, marker.as_deref());
    if !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    migrated
}

/// Begins to write. While another process migrates, there is no limit to the wait.
fn begin(connection: &Connection, marker: Option<&Path>) -> Result<(), Refusal> {
    let mut is_logged = false;
    loop {
        match connection.execute_batch("BEGIN IMMEDIATE") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && marker.is_some_and(is_locked) =>
            {
                if !std::mem::replace(&mut is_logged, true) {
                    tracing::info!("another program is migrating the queue to the newest version: waiting for it");
                }
            }
            begun => return Ok(begun?),
        }
    }
}

fn carry_out(connection: &Connection, migrations: &[&str], known: i64, marker: Option<&Path>) -> Result<(), Refusal> {
    // Another process may have been faster.
    let version = recognise(connection)?;
    if version > known {
        return Err(Refusal::Newer { found: version, known });
    }
    let mut migrating = None;
    if let Some(marker) = marker.filter(|_| version < known) {
        tracing::info!(from = version, to = known, "migrating the queue to the newest version");
        // Without it, the others wait for ten seconds.
        migrating = open_or_make(marker).ok().filter(|file| file.try_lock().is_ok());
    }
    let done = (|| {
        for step in migrations.iter().skip(usize::try_from(version).unwrap_or_default()) {
            connection.execute_batch(step)?;
        }
        if version < known {
            connection.pragma_update(None, "application_id", APPLICATION_ID)?;
            connection.pragma_update(None, "user_version", known)?;
        }
        connection.execute_batch("COMMIT")
    })();
    if let (Some(marker), Some(_)) = (marker, &migrating) {
        let _ = std::fs::remove_file(marker);
    }
    Ok(done?)
}

/// Returns the path of the file that a process holds locked while it migrates this database.
pub(in crate::queue::file) fn marker_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-migration");
    name.into()
}

fn is_locked(marker: &Path) -> bool {
    let lock = open_own(OpenOptions::new().read(true), marker).map(|file| file.try_lock());
    matches!(lock, Ok(Err(TryLockError::WouldBlock)))
}
