//! One seat at the embedded queue: leases messages and settles them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::grace::{Moment, SPARED};
use super::stored::count;
use super::writer::Durability;
use super::{Shared, insert, pauses, picking, time};
use crate::message::MessageId;
use crate::queue::{Consumer, Delivery, Lease, NewMessage, Pick, QueueAdapter, QueueError};

pub(super) struct FileConsumer {
    shared: Arc<Shared>,
    queues: Arc<[String]>,
    interrupts: u64,
}

/// What looking for a message brought.
enum Look {
    Found(Box<Delivery>),
    /// Nothing is ready before this time, if anything is to come at all.
    Nothing(Option<i64>),
}

impl FileConsumer {
    pub(super) fn new(shared: Arc<Shared>, queues: Arc<[String]>) -> Self {
        let interrupts = shared.interrupts.load(Ordering::SeqCst);
        Self { shared, queues, interrupts }
    }

    fn look(&self, pick: &Arc<Pick>) -> Result<Look, QueueError> {
        let (queues, pick) = (self.queues.clone(), pick.clone());
        let (shared, asked) = (self.shared.clone(), Moment::of(&*self.shared.clock));
        let number = self.shared.leases.fetch_add(1, Ordering::Relaxed);
        let token: Arc<str> = format!("{}-{number}", self.shared.owner).into();
        self.write(Durability::Lazy, move |connection| {
            // Only now, since others may have kept the database locked
            // meanwhile: a lease lasts its ttr from here.
            let ends = shared.grace.look(asked, &*shared.clock);
            let now = ends.now();
            ends.apply(connection)?;
            let (queues, resumed) = pauses::leave_out(connection, &queues, now)?;
            let first = if pick.except_types.is_empty() && pick.except_queues.is_empty() {
                first_ready(connection, &queues, pick.request_type.as_deref())?
            } else {
                picking::first(connection, &queues, &pick)?
            };
            match first {
                Some(id) => lease(connection, id, &token, now).map(|delivery| Look::Found(Box::new(delivery))),
                None => {
                    let due: Option<i64> = connection
                        .prepare_cached("SELECT min(until) FROM message WHERE until IS NOT NULL")?
                        .query_row([], |row| row.get(0))?;
                    // What is over by now, and is not ended, is spared.
                    let due = due.map(|due| if due > now { due } else { now + SPARED });
                    Ok(Look::Nothing(due.into_iter().chain(resumed).min()))
                }
            }
        })
    }

    /// Writes, and remembers since when that is not possible.
    fn write<R: Send + 'static>(
        &self,
        durability: Durability,
        operation: impl FnMut(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, QueueError> {
        let Shared { writer, grace, clock, .. } = &*self.shared;
        let written = writer.write(durability, operation);
        match &written {
            Ok(_) => grace.succeeded(&**clock),
            Err(_) => grace.failed(&**clock),
        }
        written
    }

    /// The next message that fits.
    fn take(&mut self, pick: Pick, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        let pick = Arc::new(pick);
        let clock = self.shared.clock.clone();
        let end = clock.uptime().saturating_add(wait);
        loop {
            let seen = self.shared.signal.seen();
            let next = match self.look(&pick)? {
                Look::Found(delivery) => return Ok(Some(*delivery)),
                Look::Nothing(next) => next,
            };
            let interrupts = self.shared.interrupts.load(Ordering::SeqCst);
            let left = end.saturating_sub(clock.uptime());
            if left.is_zero() || std::mem::replace(&mut self.interrupts, interrupts) != interrupts {
                return Ok(None);
            }
            let due = next.map(|next| {
                let micros = u64::try_from(next.saturating_sub(self.shared.now())).unwrap_or_default();
                // A clock that was set back must not make this spin.
                Duration::from_micros(micros).max(Duration::from_millis(1))
            });
            self.shared.listen();
            self.shared.signal.wait(seen, Some(due.map_or(left, |due| due.min(left))));
        }
    }

    /// Runs a statement on the message if its lease is still this one.
    /// The statement's first two parameters are the id and the token.
    fn settle(
        &self,
        lease: &Lease,
        durability: Durability,
        mut change: impl FnMut(&Connection, &str, &str) -> rusqlite::Result<usize> + Send + 'static,
    ) -> Result<(), QueueError> {
        let wanted = lease.clone();
        let changed =
            self.write(durability, move |connection| change(connection, wanted.id.as_str(), &wanted.token))?;
        if changed == 0 { Err(QueueError::LeaseLost { id: lease.id.clone() }) } else { Ok(()) }
    }

    /// Deletes the message, and keeps in the same transaction what follows
    /// from it, which then is as durable as any publication.
    fn remove(&self, lease: &Lease, outcome: &'static str, follow_ups: Vec<NewMessage>) -> Result<(), QueueError> {
        let (archive, now) = (self.shared.archive, self.shared.now());
        let durability = if follow_ups.is_empty() { Durability::Lazy } else { Durability::Synced };
        self.settle(lease, durability, move |connection, id, token| {
            if archive {
                connection
                    .prepare_cached(
                        "INSERT INTO archive(id, queue, request_type, outcome, attempts, enqueued_at, archived_at, text)
                         SELECT id, queue, request_type, ?3, attempts, enqueued_at, ?4, text
                         FROM message WHERE id = ?1 AND lease = ?2",
                    )?
                    .execute(params![id, token, outcome, now])?;
            }
            let removed =
                connection.prepare_cached("DELETE FROM message WHERE id = ?1 AND lease = ?2")?.execute([id, token])?;
            if removed > 0 {
                insert(connection, &follow_ups, now)?;
            }
            Ok(removed)
        })
    }
}

impl Consumer for FileConsumer {
    fn dequeue(&mut self, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        self.take(Pick::all(), wait)
    }

    fn dequeue_of(&mut self, request_type: &str, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        self.take(Pick::all().request_type(request_type), wait)
    }

    fn dequeue_where(&mut self, pick: &Pick, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        self.take(pick.clone(), wait)
    }

    fn commit(&mut self, lease: &Lease) -> Result<(), QueueError> {
        self.remove(lease, "done", Vec::new())
    }

    fn commit_with(
        &mut self,
        lease: &Lease,
        follow_ups: &mut Vec<NewMessage>,
        _: &dyn QueueAdapter,
    ) -> Result<(), QueueError> {
        self.remove(lease, "done", follow_ups.clone())?;
        if !follow_ups.is_empty() {
            follow_ups.clear();
            self.shared.announce();
        }
        Ok(())
    }

    fn expire(&mut self, lease: &Lease) -> Result<(), QueueError> {
        self.remove(lease, "expired", Vec::new())
    }

    fn rollback(&mut self, lease: &Lease, delay: Duration, reason: &str, counted: bool) -> Result<(), QueueError> {
        let (now, reason) = (self.shared.now(), reason.to_owned());
        let wait = i64::try_from(delay.as_nanos().div_ceil(1000)).unwrap_or(i64::MAX);
        let until = (wait > 0).then(|| now.saturating_add(wait));
        self.settle(lease, Durability::Lazy, move |connection, id, token| {
            connection
                .prepare_cached(
                    "UPDATE message SET state = iif(?3 IS NULL, 0, 1), until = ?3, lease = NULL,
                        attempts = attempts + ?4, last_error = ?5, last_error_at = ?6
                     WHERE id = ?1 AND lease = ?2",
                )?
                .execute(params![id, token, until, counted, reason, now])
        })?;
        self.shared.announce();
        Ok(())
    }

    fn bury(&mut self, lease: &Lease, reason: &str, counted: bool) -> Result<(), QueueError> {
        let (now, reason) = (self.shared.now(), reason.to_owned());
        self.settle(lease, Durability::Lazy, move |connection, id, token| {
            connection
                .prepare_cached(
                    "UPDATE message SET state = 3, until = NULL, lease = NULL,
                        attempts = attempts + ?5, last_error = ?3, last_error_at = ?4
                     WHERE id = ?1 AND lease = ?2",
                )?
                .execute(params![id, token, reason, now, counted])
        })
    }

    fn touch(&mut self, lease: &Lease) -> Result<(), QueueError> {
        let shared = self.shared.clone();
        self.settle(lease, Durability::Lazy, move |connection, id, token| {
            // The lease lasts from when it is renewed, not from when it was to be.
            connection
                .prepare_cached("UPDATE message SET until = ?3 + ttr * 1000 WHERE id = ?1 AND lease = ?2")?
                .execute(params![id, token, shared.now()])
        })
    }
}

/// The first message of these queues, of this request type if one is wanted:
/// the most urgent, then the oldest.
fn first_ready(connection: &Connection, queues: &[String], wanted: Option<&str>) -> rusqlite::Result<Option<i64>> {
    // One query for each queue, since only so the index gives the order; an
    // index without the queue would walk over all messages of other queues.
    let mut first = connection.prepare_cached(
        "SELECT priority, id FROM message
         WHERE state = 0 AND queue = ?1 AND (?2 IS NULL OR request_type = ?2) ORDER BY priority, id LIMIT 1",
    )?;
    let mut best: Option<(i64, i64)> = None;
    for queue in queues {
        let found = first.query_row(params![queue, wanted], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        best = match (best, found) {
            (Some(best), Some(found)) => Some(best.min(found)),
            (best, found) => best.or(found),
        };
    }
    Ok(best.map(|(_, id)| id))
}

fn lease(connection: &Connection, id: i64, token: &Arc<str>, now: i64) -> rusqlite::Result<Delivery> {
    connection
        .prepare_cached(
            "UPDATE message SET state = 2, lease = ?2, until = ?3 + ttr * 1000 WHERE id = ?1
             RETURNING queue, attempts, lost, due_since, ttr, text",
        )?
        .query_row(params![id, token, now], |row| {
            Ok(Delivery {
                lease: Lease { id: MessageId::from(id.to_string()), token: token.clone() },
                queue: row.get(0)?,
                attempts: count(row.get(1)?),
                lost: count(row.get(2)?),
                kicks: 0,
                due_since: time(row.get(3)?),
                ttr: Duration::from_millis(u64::try_from(row.get::<_, i64>(4)?).unwrap_or_default()),
                text: row.get_ref(5)?.as_bytes()?.to_owned(),
            })
        })
}
