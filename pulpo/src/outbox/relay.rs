//! The relay: moves committed rows from an outbox to the queue.
//!
//! A row is claimed, enqueued, and deleted. If anything dies in between, the row stays: another relay claims it when
//! the claim is over, and a queue that records which rows it has accepted ([`OutboxIds`](crate::queue::OutboxIds))
//! stores it once. No row is skipped because of its number: each poll takes all rows present, so that a transaction
//! that commits late is found late.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::announce;
use super::open::open;
use super::source::{CLAIM, REFUSED_FOR, Row, Source};
use super::url::OutboxUrl;
use crate::clock::{Clock, Notify};
use crate::keys::OnDuplicate;
use crate::message::{Incoming, Priority, WireBody};
use crate::queue::{LimitKeys, NewMessage, QueueAdapter, QueueError};
use crate::report::chain;
use crate::transaction::row::Route;
use crate::transaction::{BoxError, TransactionError};

/// The shortest pause between two polls, after a transaction of this process was announced.
const SHORTEST_POLL: Duration = Duration::from_millis(1);

/// How often the log repeats a persisting fault.
const REPEAT: Duration = Duration::from_secs(60);

/// How many deleted rows to collect, and for how long, before telling the queue.
const MAX_GONE: usize = 1024;
const TELL_GONE_EVERY: Duration = Duration::from_secs(1);

/// Returns the queue of a request type, its ttr, and the limit keys of this body, for a row that does not give them.
pub(crate) type RouteOf = Arc<dyn Fn(&str, Option<WireBody<'_>>) -> (String, Duration, LimitKeys) + Send + Sync>;

/// Moves the rows of one outbox. It runs on one thread.
pub(crate) struct Relay {
    url: OutboxUrl,
    /// `None` before the first poll, and after an error.
    source: Option<Box<dyn Source>>,
    queue: Arc<dyn QueueAdapter>,
    route_of: RouteOf,
    clock: Arc<dyn Clock>,
    poll: Duration,
    /// Notified when a transaction is announced, and when the relay is to stop.
    notify: Arc<Notify>,
    /// When the current fault was last logged.
    told: Option<Duration>,
    /// The deleted rows that the queue may forget, and when it was last told.
    gone: Vec<String>,
    told_gone: Duration,
}

/// Errors of moving rows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    /// The user's database.
    #[error("cannot read the outbox at {url}")]
    Outbox { url: OutboxUrl, source: BoxError },
    #[error("cannot move jobs from the outbox at {url} to the queue")]
    Queue { url: OutboxUrl, source: QueueError },
}

/// The result of moving a row.
enum Moved {
    /// The message is in the queue, or must not be.
    Gone,
    /// The queue refuses the message permanently.
    Refused,
    /// The queue may accept the message later.
    Later(QueueError),
}

/// Returns the result for a row that was not tried, because an earlier one could not be moved.
fn waits_for_others() -> Moved {
    Moved::Later(QueueError::Unsupported("be asked after it has failed"))
}

/// Returns how many of the first messages neither replace one of those before them nor are dropped because of one.
fn count_until_repeated(messages: &[NewMessage]) -> usize {
    let mut keys = HashSet::new();
    for (count, message) in messages.iter().enumerate() {
        let Some(unique) = &message.unique else { continue };
        let is_first = keys.insert((&message.request_type, &unique.key));
        if !is_first && unique.on_duplicate != OnDuplicate::Keep {
            return count;
        }
    }
    messages.len()
}

impl Relay {
    pub(crate) fn new(
        url: OutboxUrl,
        queue: Arc<dyn QueueAdapter>,
        route_of: RouteOf,
        clock: Arc<dyn Clock>,
        poll: Duration,
    ) -> Self {
        let notify = Notify::new(clock.clone());
        announce::listen(&notify);
        Self {
            url,
            source: None,
            queue,
            route_of,
            clock,
            poll,
            notify,
            told: None,
            gone: Vec::new(),
            told_gone: Duration::ZERO,
        }
    }

    /// Returns the notification that wakes it.
    pub(crate) fn notify(&self) -> &Arc<Notify> {
        &self.notify
    }

    /// Moves rows until it is told to stop, and returns how many.
    pub(crate) fn run(&mut self, is_stopped: impl Fn() -> bool) -> u64 {
        let mut all = 0;
        let mut seen = self.notify.generation();
        let mut announced = self.clock.uptime();
        let mut failures = 0;
        while !is_stopped() {
            let pause = match self.pass() {
                Ok(moved) => {
                    self.recovered();
                    failures = 0;
                    if moved > 0 {
                        all += moved;
                        continue;
                    }
                    // An announced transaction commits soon, or not for long.
                    let since = self.clock.uptime().saturating_sub(announced);
                    (since / 4).clamp(SHORTEST_POLL.min(self.poll), self.poll)
                }
                Err(error) => {
                    self.complain(&error);
                    failures = (failures + 1).min(6);
                    self.poll.max(Duration::from_millis(100)) * (1 << failures)
                }
            };
            self.notify.wait(seen, Some(pause));
            let generation = self.notify.generation();
            if generation != seen {
                seen = generation;
                announced = self.clock.uptime();
            }
        }
        self.tell_gone();
        all
    }

    /// Moves all rows that are there now, and returns how many.
    pub(crate) fn drain(&mut self) -> Result<u64, RelayError> {
        let mut all = 0;
        loop {
            let moved = self.pass()?;
            all += moved;
            if moved == 0 {
                self.tell_gone();
                return Ok(all);
            }
        }
    }

    /// Returns how many rows stay because the queue refuses them.
    #[cfg(feature = "cli")]
    pub(crate) fn refused_rows(&mut self) -> Result<u64, RelayError> {
        let now = self.now();
        Ok(self.with_source(|source| source.counts(now))?.refused)
    }

    /// Moves the first unclaimed rows, and returns how many.
    pub(crate) fn pass(&mut self) -> Result<u64, RelayError> {
        let claimed_at = self.clock.uptime();
        let now = self.now();
        let rows = self.with_source(|source| source.claim(now))?;
        if rows.is_empty() {
            if !self.gone.is_empty() && claimed_at.saturating_sub(self.told_gone) >= TELL_GONE_EVERY {
                self.tell_gone();
            }
            return Ok(0);
        }
        // If this relay was stopped for longer than its claim lasts, the rows belong to another relay by now.
        if self.clock.uptime().saturating_sub(claimed_at) >= CLAIM {
            return Ok(0);
        }
        let (mut gone, mut refused, mut left, mut trouble) = (Vec::new(), Vec::new(), Vec::new(), None);
        for (row, moved) in rows.iter().zip(self.enqueue(&rows)) {
            match moved {
                Moved::Gone => gone.push(row.clone()),
                Moved::Refused => refused.push(row.clone()),
                Moved::Later(error) => {
                    left.push(row.clone());
                    trouble.get_or_insert(error);
                }
            }
        }
        if !gone.is_empty() {
            self.with_source(|source| source.delete(&gone))?;
            self.gone.extend(gone.iter().map(Row::outbox_id));
            if self.gone.len() >= MAX_GONE {
                self.tell_gone();
            }
        }
        if !refused.is_empty() {
            self.with_source(|source| source.release(&refused, now, REFUSED_FOR))?;
        }
        if !left.is_empty() {
            self.with_source(|source| source.release(&left, now, Duration::ZERO))?;
        }
        match trouble {
            Some(source) => Err(RelayError::Queue { url: self.url.clone(), source }),
            None => Ok(gone.len() as u64),
        }
    }

    /// Puts the rows into the queue, in their order. Two with one unique key are two publications, of which the later
    /// one may replace the other, or is dropped and named in the log: of a batch, a queue takes the first and is silent.
    fn enqueue(&self, rows: &[Row]) -> Vec<Moved> {
        let messages: Vec<_> = rows.iter().map(|row| self.message(row)).collect();
        let mut all: Vec<Moved> = Vec::with_capacity(rows.len());
        while all.len() < rows.len() {
            if all.iter().any(|moved| matches!(moved, Moved::Later(_))) {
                // A later one must not come before those.
                all.push(waits_for_others());
                continue;
            }
            let begin = all.len();
            let end = begin + count_until_repeated(&messages[begin..]);
            all.extend(self.enqueue_part(&rows[begin..end], messages[begin..end].to_vec()));
        }
        all
    }

    /// Puts rows into the queue: together, and one by one if the queue objects to any.
    fn enqueue_part(&self, rows: &[Row], messages: Vec<NewMessage>) -> Vec<Moved> {
        let first = match self.queue.enqueue(messages.clone()) {
            Ok(_) => return rows.iter().map(|_| Moved::Gone).collect(),
            Err(QueueError::PartOfBatch { ids, .. }) => ids.len(),
            Err(error) if rows.len() == 1 => return vec![self.refused(&rows[0], error)],
            Err(error) if error.is_transient() => {
                let first = std::iter::once(Moved::Later(error));
                return first.chain(std::iter::repeat_with(waits_for_others)).take(rows.len()).collect();
            }
            Err(_) => 0,
        };
        let mut all: Vec<_> = rows[..first].iter().map(|_| Moved::Gone).collect();
        for (row, message) in rows.iter().zip(messages).skip(first) {
            all.push(match self.queue.enqueue(vec![message]) {
                Ok(_) => Moved::Gone,
                Err(error) => self.refused(row, error),
            });
        }
        all
    }

    fn refused(&self, row: &Row, error: QueueError) -> Moved {
        if let QueueError::Duplicate { id } = error {
            let row = row.number;
            tracing::warn!(outbox = %self.url, row, %id, "dropped a job of the outbox: a message has the same unique key");
            return Moved::Gone;
        }
        let may_succeed = error.is_transient() || matches!(error, QueueError::UnknownOutcome { .. });
        if may_succeed || matches!(error, QueueError::Forked { .. }) {
            return Moved::Later(error);
        }
        tracing::error!(
            outbox = %self.url,
            row = row.number,
            error = chain(&error),
            "the queue refuses a job of the outbox: it stays there, retrying in ten minutes"
        );
        Moved::Refused
    }

    /// Returns the message that a row becomes. An unreadable row goes into the queue as it is, where a worker buries it
    /// with the reason.
    fn message(&self, row: &Row) -> NewMessage {
        let route = Route::read(&row.message);
        let outbox_id = row.outbox_id();
        let mut incoming = Incoming::read(row.message.as_bytes()).ok();
        let text = incoming.as_mut().and_then(|message| {
            message.header.outbox_id = Some(outbox_id.clone());
            message.rewritten().ok()
        });
        let incoming = incoming.filter(|_| text.is_some());
        let text = text.unwrap_or_else(|| row.message.clone());
        let request_type = incoming.as_ref().map_or("", |message| message.header.request_type()).to_owned();
        let (priority, delay, unique) = match &incoming {
            // Faults in it were errors at its publication.
            Some(Incoming { header, .. }) => {
                (header.priority(), header.delay(), header.unique.read(Default::default()).ok().flatten())
            }
            None => (Priority::DEFAULT, None, None),
        };
        // Other producers do not know these.
        let (queue_of, ttr_of, keys_of) = (self.route_of)(&request_type, incoming.as_ref().map(Incoming::body));
        let (queue, ttr) = (route.queue.unwrap_or(queue_of), route.ttr.unwrap_or(ttr_of));
        let limit_keys = route.limit_keys.unwrap_or(keys_of);
        let mut message = NewMessage::new(queue, request_type, text).outbox_id(outbox_id).limit_keys(limit_keys);
        (message.priority, message.delay, message.ttr, message.unique) = (priority, delay, ttr, unique);
        message
    }

    fn now(&self) -> i64 {
        self.clock.now().timestamp_millis()
    }

    /// Calls `ask` with the connection to the outbox; after an error the next call connects again.
    fn with_source<R>(&mut self, ask: impl FnOnce(&mut dyn Source) -> Result<R, BoxError>) -> Result<R, RelayError> {
        let open_and_ask = || {
            let mut source = match self.source.take() {
                Some(source) => source,
                None => open(&self.url)?,
            };
            let answer = ask(&mut *source)?;
            self.source = Some(source);
            Ok(answer)
        };
        open_and_ask().map_err(|error: BoxError| RelayError::Outbox {
            source: TransactionError::new(error, self.url.dialect()).into_source(),
            url: self.url.clone(),
        })
    }

    /// Lets the queue forget the rows that are gone. If that fails, it keeps them for longer than necessary.
    fn tell_gone(&mut self) {
        let gone = std::mem::take(&mut self.gone);
        self.told_gone = self.clock.uptime();
        if let (Some(known), false) = (self.queue.outbox_ids(), gone.is_empty()) {
            let _ = known.rows_are_gone(&gone);
        }
    }

    fn complain(&mut self, error: &RelayError) {
        let now = self.clock.uptime();
        if self.told.is_none_or(|told| now.saturating_sub(told) >= REPEAT) {
            self.told = Some(now);
            tracing::error!(error = chain(error), "cannot move the outbox, retrying");
        }
    }

    fn recovered(&mut self) {
        if self.told.take().is_some() {
            tracing::info!(outbox = %self.url, "moving the outbox again");
        }
    }
}
