//! The part of a queue that all threads of a process share.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_postgres::Row;

use super::activity::{Event, Tally};
use super::beat::Beat;
use super::begun::Begun;
use super::claiming::Claiming;
use super::connection::{Connection, Connector};
use super::error::PostgresError;
use super::group::Group;
use super::options::PostgresOptions;
use super::outage::Outage;
use super::outbox_ids;
use super::pool::Pool;
use super::publish;
use super::schema::{self, Missing};
use super::settle::{self, Ended, Settled};
use super::told::{self, Tell, Told};
use crate::clock::{Clock, Notify, SystemClock};
use crate::keys::Publication;
use crate::queue::prefetch::Prefetch;
use crate::queue::prefetch::upkeep::Upkeep;
use crate::queue::{Enqueued, Imported, NewMessage, QueueError, Retention, Route};
use crate::sync::lock;

/// The number of further tries after a conflict with another transaction.
const MAX_CONFLICTS: usize = 10;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: PostgresOptions,
    /// The description of the database, for errors.
    pub(super) place: String,
    pub(super) pool: Pool,
    /// Whether the schema was checked.
    is_prepared: AtomicBool,
    /// Measures how long a dequeue has waited.
    pub(super) clock: Arc<dyn Clock>,
    pub(super) signal: Arc<Notify>,
    pub(super) interrupts: AtomicU64,
    /// For intervals in real time, whatever clock the queue has.
    pub(super) real: SystemClock,
    /// The random id of this process, with which the tokens of its leases begin.
    pub(super) id: String,
    leases: AtomicU64,
    /// The number of deliveries that are not settled.
    pub(super) held: AtomicU64,
    /// The deliveries that were leased ahead and may have to be marked as begun.
    pub(super) begun: Begun,
    publications: Group<Vec<NewMessage>, Result<Vec<Enqueued>, PostgresError>>,
    settlements: Group<Settled, Result<Ended, PostgresError>>,
    pub(super) claiming: Mutex<Claiming>,
    /// Whether a lane of this process waits for runs that are in the way of a
    /// limit.
    pub(super) waits_for_runs: AtomicBool,
    outage: Mutex<Outage>,
    told: Mutex<Told>,
    /// The queues of the consumers of this process.
    pub(super) watched: Mutex<BTreeSet<String>>,
    pub(super) beat: Beat,
    /// The routes of our handlers that are not written yet.
    routes: Mutex<Vec<Route>>,
    /// The numbers over time that are not written yet.
    tally: Tally,
    keeps_done: AtomicBool,
    pub(super) retention: Mutex<Retention>,
    pub(super) prefetch: Prefetch<Arc<Shared>>,
    pub(super) upkeep: Arc<Upkeep>,
    /// Each thread of this process holds a clone until it has ended.
    pub(super) threads: Arc<()>,
}

impl Shared {
    /// Creates it without opening a connection.
    pub(super) fn new(options: PostgresOptions, clock: Arc<dyn Clock>) -> Self {
        Self {
            place: options.place(),
            pool: Pool::new(Connector::new(options.clone())),
            keeps_done: AtomicBool::new(options.enable_archive),
            retention: Mutex::default(),
            options,
            is_prepared: AtomicBool::new(false),
            signal: Notify::new(clock.clone()),
            clock,
            interrupts: AtomicU64::new(0),
            real: SystemClock::new(),
            id: new_id(),
            leases: AtomicU64::new(1),
            held: AtomicU64::new(0),
            begun: Begun::default(),
            publications: Group::default(),
            settlements: Group::default(),
            claiming: Mutex::default(),
            waits_for_runs: AtomicBool::new(false),
            outage: Mutex::default(),
            told: Mutex::default(),
            watched: Mutex::default(),
            beat: Beat::default(),
            routes: Mutex::default(),
            tally: Tally::default(),
            prefetch: Prefetch::default(),
            upkeep: Arc::default(),
            threads: Arc::default(),
        }
    }

    /// Returns whether done messages are kept.
    pub(super) fn keeps_done(&self) -> bool {
        self.keeps_done.load(Ordering::Relaxed)
    }

    /// Sets for how long messages are kept from now on.
    pub(super) fn set_retention(&self, retention: Retention) {
        let keeps_done = retention.done.map_or(self.options.enable_archive, |time| !time.is_zero());
        *lock(&self.retention) = retention;
        self.keeps_done.store(keeps_done, Ordering::Relaxed);
    }

    /// Checks, once, that the database can be reached and its schema used.
    pub(super) fn prepare(&self, missing: Missing) -> Result<(), PostgresError> {
        if self.is_prepared() {
            return Ok(());
        }
        let prepared = self.pool.take().and_then(|mut connection| {
            schema::prepare(&mut connection, &self.options, missing)?;
            // A migration may have invalidated its prepared statements, and has
            // removed its time limit.
            connection.give_up();
            Ok(())
        });
        self.note(prepared.as_ref().err());
        prepared?;
        self.is_prepared.store(true, Ordering::Release);
        Ok(())
    }

    /// Returns whether the database could be reached once.
    pub(super) fn is_prepared(&self) -> bool {
        self.is_prepared.load(Ordering::Acquire)
    }

    /// As [`prepare`](Self::prepare), and creates the queue if it does not exist.
    pub(super) fn prepared(&self) -> Result<(), PostgresError> {
        self.prepare(Missing::Make)
    }

    fn connection(&self) -> Result<super::pool::Pooled<'_>, PostgresError> {
        self.prepared()?;
        let taken = self.pool.take();
        if let Err(error) = &taken {
            self.note(Some(error));
        }
        taken
    }

    /// Does `work` on a connection of the pool.
    pub(super) fn with<R>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<R, PostgresError>,
    ) -> Result<R, PostgresError> {
        let done = self.connection().and_then(|mut connection| work(&mut connection));
        self.note(done.as_ref().err());
        done
    }

    /// Does `work`, which may be done twice: once more if the connection had ended,
    /// for example after a restart of the server.
    pub(super) fn ask<R>(
        &self,
        work: impl Fn(&mut Connection) -> Result<R, PostgresError>,
    ) -> Result<R, PostgresError> {
        match self.with(&work) {
            Err(error) if error.is_in_doubt() || error.is_foreign_session() => self.with(&work),
            done => done,
        }
    }

    pub(super) fn error(&self, verb: &str, error: PostgresError) -> QueueError {
        error.into_queue_error(verb, &self.place)
    }

    /// Records whether the server could be reached.
    pub(super) fn note(&self, error: Option<&PostgresError>) {
        let reached = !error.is_some_and(PostgresError::breaks_connection);
        lock(&self.outage).note(reached, self.real.uptime());
    }

    /// Returns for how many seconds leases could be renewed.
    pub(super) fn renewable_for(&self) -> f64 {
        lock(&self.outage).renewable_for(self.real.uptime())
    }

    /// Does `work`, and tries again after each conflict with another transaction.
    pub(super) fn with_conflicts<R>(
        &self,
        work: impl Fn(&mut Connection) -> Result<R, PostgresError>,
    ) -> Result<R, PostgresError> {
        for _ in 0..MAX_CONFLICTS {
            match self.with(&work) {
                Err(error) if error.is_conflict() => {}
                done => return done,
            }
        }
        self.with(work)
    }

    /// Stores messages, in one transaction with those of other threads.
    pub(super) fn enqueue(&self, messages: Vec<NewMessage>) -> Result<Vec<Enqueued>, QueueError> {
        publish::check(&messages, &self.place)?;
        let queues = queues_of(&messages);
        // A transaction that takes unique keys may wait, and must not delay others.
        if messages.iter().any(|message| message.unique.is_some()) {
            let kept = {
                let messages: Vec<&NewMessage> = messages.iter().collect();
                self.with_conflicts(|connection| publish::insert(connection, &messages))
            };
            return self.kept(&messages, kept);
        }
        let kept = self.publications.submit(messages, |all| {
            let kept = self.enqueue_all(&all);
            let of_kept = all.iter().zip(&kept).filter(|(_, kept)| kept.is_ok()).flat_map(|(messages, _)| messages);
            self.have_published(of_kept);
            kept
        });
        let kept = kept.unwrap_or_else(|| Err(PostgresError::abandoned()));
        let kept = kept.map_err(|error| error.into_publish_error(&self.place))?;
        self.tell(queues);
        Ok(kept)
    }

    /// Stores messages of outboxes, each once.
    pub(super) fn enqueue_once(&self, messages: &[NewMessage]) -> Result<Vec<Enqueued>, QueueError> {
        publish::check(messages, &self.place)?;
        self.kept(messages, self.with_conflicts(|connection| outbox_ids::insert(connection, messages)))
    }

    /// Stores messages of another queue.
    pub(super) fn import(&self, messages: &[Imported]) -> Result<Vec<Enqueued>, QueueError> {
        let new: Vec<_> = messages.iter().map(|imported| imported.message.clone()).collect();
        publish::check(&new, &self.place)?;
        self.kept(&new, self.with_conflicts(|connection| outbox_ids::import(connection, messages)))
    }

    /// Counts new messages and notifies workers, also of messages that were there
    /// before, because workers have skipped them for a moment.
    fn kept(
        &self,
        messages: &[NewMessage],
        kept: Result<Vec<Enqueued>, PostgresError>,
    ) -> Result<Vec<Enqueued>, QueueError> {
        let kept = kept.map_err(|error| error.into_publish_error(&self.place))?;
        let is_new = |(_, kept): &(_, &Enqueued)| kept.publication == Publication::New;
        self.have_published(messages.iter().zip(&kept).filter(is_new).map(|(message, _)| message));
        self.tell(queues_of(messages));
        Ok(kept)
    }

    fn enqueue_all(&self, all: &[Vec<NewMessage>]) -> Vec<Result<Vec<Enqueued>, PostgresError>> {
        let insert = |all: &[Vec<NewMessage>]| {
            let messages: Vec<&NewMessage> = all.iter().flatten().collect();
            self.with(|connection| publish::insert(connection, &messages))
        };
        match insert(all) {
            Ok(kept) => {
                let mut kept = kept.into_iter();
                all.iter().map(|messages| Ok(kept.by_ref().take(messages.len()).collect())).collect()
            }
            // One of them was refused. The others must not fail with it.
            Err(error) if all.len() > 1 && !error.breaks_connection() => {
                all.iter().map(|messages| insert(std::slice::from_ref(messages))).collect()
            }
            Err(error) => all.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    /// Wakes lanes that wait for a limit, because runs have ended.
    pub(super) fn runs_have_ended(&self) {
        if self.waits_for_runs.swap(false, Ordering::SeqCst) {
            self.signal.notify();
        }
    }

    /// Notifies lanes that wait for these queues, here and in other processes.
    pub(super) fn tell(self: &Shared, queues: BTreeSet<String>) {
        self.signal.notify();
        if !self.options.notify {
            return;
        }
        let tell = lock(&self.told).add(queues, self.real.uptime());
        match tell {
            Tell::Now(queues) => self.tell_now(&queues),
            Tell::Wake => self.beat.nudge(),
            Tell::Later => {}
        }
    }

    /// Sends the waiting notifications if their time has come. Otherwise returns how
    /// long until then.
    pub(super) fn tell_waiting(&self) -> Option<Duration> {
        let due = lock(&self.told).take_due(self.real.uptime())?;
        due.map(|queues| self.tell_now(&queues)).err()
    }

    fn tell_now(&self, queues: &BTreeSet<String>) {
        let channel = self.options.channel();
        match self.with(|connection| told::send(connection, &channel, queues)) {
            Ok(workers) => lock(&self.told).have_seen(workers),
            // They will find the message when they poll, within two seconds.
            Err(error) => tracing::debug!(%error, "cannot tell other processes of a publication"),
        }
    }

    /// Settles a lease, in one transaction with those of other threads.
    pub(super) fn settle(&self, settled: Settled) -> Result<Ended, QueueError> {
        let archive = self.keeps_done();
        let done = self.settlements.submit(settled, |all| {
            let mut answers = Vec::new();
            let with = self.with(|connection| {
                answers = settle::settle(connection, &all, archive);
                // So that an outage is noticed.
                answers.iter().find_map(|answer| answer.as_ref().err().cloned()).map_or(Ok(()), Err)
            });
            match with {
                Err(error) if answers.is_empty() => all.iter().map(|_| Err(error.clone())).collect(),
                _ => answers,
            }
        });
        done.unwrap_or_else(|| Err(PostgresError::abandoned())).map_err(|error| self.error("settle at", error))
    }

    /// Returns the token of a new lease.
    pub(super) fn token(&self) -> String {
        format!("{}-{}", self.id, self.leases.fetch_add(1, Ordering::Relaxed))
    }

    /// Stores the routes of our request types, for other publishers.
    pub(super) fn declare(&self, routes: Vec<Route>) {
        *lock(&self.routes) = routes;
        self.write_routes();
    }

    /// Writes routes that are not written yet. After an error, the next beat tries
    /// again.
    pub(super) fn write_routes(&self) {
        let routes = std::mem::take(&mut *lock(&self.routes));
        if routes.is_empty() {
            return;
        }
        if let Err(error) = self.with(|connection| publish::declare(connection, &routes)) {
            tracing::debug!(%error, "cannot say where jobs go, trying again");
            let mut waiting = lock(&self.routes);
            if waiting.is_empty() && error.is_outage() {
                *waiting = routes;
            }
        }
    }

    /// Counts publications for the numbers over time.
    pub(super) fn have_published<'a>(&self, messages: impl IntoIterator<Item = &'a NewMessage>) {
        let names = messages.into_iter().map(|message| (message.queue.as_str(), message.request_type.as_str()));
        self.has_happened(Event::Published, names);
    }

    /// Counts this event for messages of these queues and types, for the numbers
    /// over time.
    pub(super) fn has_happened<'a>(&self, event: Event, messages: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let now = self.real.uptime();
        if self.tally.add(event, messages, now) && !self.beat.has_begun() {
            // The thread of a producer sleeps until it is woken.
            self.beat.nudge();
        }
        // In case there is no thread.
        if self.tally.due_in(now).is_some_and(|due| due.is_zero()) {
            self.write_activity();
        }
    }

    /// Counts runs that ended with their workers. This column has their queues, and
    /// the next one their types.
    pub(super) fn have_failed(&self, rows: &[Row], column: usize) -> Result<(), PostgresError> {
        for row in rows {
            let (queues, types): (Option<Vec<String>>, Option<Vec<String>>) =
                (row.try_get(column)?, row.try_get(column + 1)?);
            let (queues, types) = (queues.unwrap_or_default(), types.unwrap_or_default());
            let names = queues.iter().zip(&types).map(|(queue, request_type)| (queue.as_str(), request_type.as_str()));
            self.has_happened(Event::Failed, names);
        }
        Ok(())
    }

    /// Writes the numbers over time if their time has come. Returns how long until
    /// the next time.
    pub(super) fn write_activity_when_due(&self) -> Option<Duration> {
        let due = self.tally.due_in(self.real.uptime())?;
        if due.is_zero() {
            self.write_activity();
            return self.tally.due_in(self.real.uptime());
        }
        Some(due)
    }

    fn write_activity(&self) {
        let write = |counts: &super::activity::Counts, chores| self.with(|connection| counts.add(connection, chores));
        self.tally.write(self.real.uptime(), write);
    }

    /// Wakes the waiting lanes.
    pub(super) fn wake(&self) {
        self.signal.notify();
    }

    /// Tells the threads of this process to end, and does not wait for them.
    pub(super) fn end_threads(&self) {
        self.upkeep.end();
        self.beat.end();
    }

    /// Returns whether any thread of this process has not ended yet.
    pub(super) fn has_threads(&self) -> bool {
        Arc::strong_count(&self.threads) > 1
    }

    /// Sends the notifications that still wait, at the end.
    fn tell_last(&self) {
        let queues = lock(&self.told).take();
        if !queues.is_empty() {
            self.tell_now(&queues);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.tell_last();
        self.write_activity();
        self.end_threads();
        if self.held.load(Ordering::SeqCst) == 0 && self.prefetch.is_empty() && self.beat.has_begun() {
            let left = self.with(|connection| super::beat::unregister(connection, &self.id));
            if let Err(error) = left {
                tracing::debug!(%error, "cannot say that this process has ended: others will notice");
            }
        }
    }
}

/// Returns the queues of these messages, which are mostly one.
fn queues_of(messages: &[NewMessage]) -> BTreeSet<String> {
    let mut queues = BTreeSet::new();
    for message in messages {
        if !queues.contains(&message.queue) {
            queues.insert(message.queue.clone());
        }
    }
    queues
}

/// Returns a random id, unique among all processes on all machines.
fn new_id() -> String {
    let mut bytes = [0; 10];
    if getrandom::fill(&mut bytes).is_err() {
        // The system has no randomness. This one depends on time and thread.
        fastrand::fill(&mut bytes);
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
