//! Commits that were put off for a moment: they go out together, with the next
//! leases or by themselves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rusqlite::{Connection, params};

use crate::clock::lock;
use crate::message::MessageId;
use crate::queue::Lease;

/// For how long a commit is put off at most, until it is on its way.
pub(super) const LONGEST: Duration = Duration::from_millis(2);

/// A message that is done, and the lease in which it was.
pub(super) type Done = (i64, Arc<str>);

#[derive(Debug, Default)]
pub(super) struct Later {
    list: Mutex<List>,
    /// Held while some are on their way.
    flight: Mutex<()>,
    lost: Mutex<Vec<Lease>>,
    any_lost: AtomicBool,
}

#[derive(Debug, Default)]
struct List {
    done: Vec<Done>,
    /// Since when the first of them waits.
    since: Option<Duration>,
}

/// Some commits on their way. Nobody sees the list empty while they are not
/// carried out.
pub(super) struct Flight<'later> {
    later: &'later Later,
    pub(super) done: Arc<[Done]>,
    _guard: Option<MutexGuard<'later, ()>>,
}

impl Later {
    /// Puts one off; whether it is the first.
    pub(super) fn add(&self, done: Done, now: Duration) -> bool {
        let mut list = lock(&self.list);
        list.done.push(done);
        let first = list.since.is_none();
        list.since.get_or_insert(now);
        first
    }

    /// How long the first of them has waited.
    pub(super) fn waited(&self, now: Duration) -> Option<Duration> {
        lock(&self.list).since.map(|since| now.saturating_sub(since))
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.list).done.is_empty()
    }

    /// Takes all, if there are any.
    pub(super) fn start(&self) -> Flight<'_> {
        if self.is_empty() {
            return Flight { later: self, done: Arc::default(), _guard: None };
        }
        self.start_alone()
    }

    /// Takes all, once those on their way have arrived.
    pub(super) fn start_alone(&self) -> Flight<'_> {
        let guard = lock(&self.flight);
        let mut list = lock(&self.list);
        list.since = None;
        let done = std::mem::take(&mut list.done).into();
        Flight { later: self, done, _guard: Some(guard) }
    }

    /// Those whose lease had ended by then.
    pub(super) fn take_lost(&self) -> Vec<Lease> {
        if !self.any_lost.swap(false, Ordering::SeqCst) {
            return Vec::new();
        }
        std::mem::take(&mut lock(&self.lost))
    }
}

impl Flight<'_> {
    /// They are carried out, but for these.
    pub(super) fn arrived(self, lost: Vec<Lease>) {
        if !lost.is_empty() {
            lock(&self.later.lost).extend(lost);
            self.later.any_lost.store(true, Ordering::SeqCst);
        }
    }

    /// They could not be carried out: they wait again.
    pub(super) fn failed(self, now: Duration) {
        if self.done.is_empty() {
            return;
        }
        let mut list = lock(&self.later.list);
        list.done.extend(self.done.iter().cloned());
        list.since.get_or_insert(now);
    }
}

/// Deletes these messages, or moves them into the archive; those whose lease
/// is no longer this one.
pub(super) fn carry_out(
    connection: &Connection,
    done: &[Done],
    archive: bool,
    now: i64,
) -> rusqlite::Result<Vec<Lease>> {
    let mut lost = Vec::new();
    for (id, token) in done {
        if remove(connection, *id, token, "done", archive.then_some(now))? == 0 {
            lost.push(Lease { id: MessageId::from(id.cast_unsigned()), token: token.clone() });
        }
    }
    Ok(lost)
}

/// Deletes a message, and archives it at this time if that is wanted.
pub(super) fn remove(
    connection: &Connection,
    id: i64,
    token: &str,
    outcome: &str,
    archive_at: Option<i64>,
) -> rusqlite::Result<usize> {
    if let Some(now) = archive_at {
        connection
            .prepare_cached(
                "INSERT INTO archive(id, queue, request_type, outcome, attempts, enqueued_at, archived_at, text)
                 SELECT id, queue, request_type, ?3, attempts, enqueued_at, ?4, text
                 FROM message WHERE id = ?1 AND lease = ?2",
            )?
            .execute(params![id, token, outcome, now])?;
    }
    connection.prepare_cached("DELETE FROM message WHERE id = ?1 AND lease = ?2")?.execute(params![id, token])
}
