//! The queue in a PostgreSQL database, 13 or newer: for programs on several machines, and for jobs that belong to a
//! user's transaction.
//!
//! The tables are in a schema of their own, which the queue creates and migrates. Short statements lease messages with
//! `FOR UPDATE SKIP LOCKED`; no lock is held while a job runs. All times are the database's.
//!
//! - A publication is as durable as a commit of the database (its `synchronous_commit`). Leases and the commits of
//!   short jobs do not wait for the disk: a server that crashes may forget the last half second of them, and then these
//!   jobs run again.
//! - If a connection ends between a publication and its answer, the message may or may not have been stored:
//!   [`QueueError::UnknownOutcome`].
//! - A process shows every two seconds that it is alive. The leases of a killed process end within about seven seconds,
//!   or fifteen behind a pooler; those of a frozen process end with their ttr.
//! - [`Inspection::backup`] is left to `pg_dump`.
//! - The statistics count the messages that are stored; nothing is counted while jobs run. Publications that were
//!   rolled back count among the totals as published and finished.
//!
//! # Forks
//!
//! A forked process opens connections of its own. A [`Consumer`] that it inherits refuses with [`QueueError::Forked`].
//!
//! # Invariants
//! - No statement waits for a job, and each has a time limit.
//! - With `notify = false`, a session keeps no state: no prepared statement, no setting, no lock.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_postgres::types::Type;

use self::error::PostgresError;
use self::inspect::Change;
use self::remote::Remote;
use self::schema::Missing;
use self::shared::Shared;
use super::{
    Activity, ActivityFilter, ActivityLog, Cancelled, Capabilities, Consumer, Edit, Edited, Enqueued, Filter, Import,
    Imported, InDatabase, Inspection, Keeping, MessageState, NewMessage, OutboxIds, Pruned, QueueAdapter, QueueError,
    Retention, Route, ScheduleStore, Stats, StoredMessage, Survey, Workers,
};
use crate::clock::Clock;
use crate::message::MessageId;
use crate::sync::lock;

mod activity;
mod backend;
mod beat;
mod begun;
mod cancel;
mod claim;
mod claiming;
mod columns;
mod connection;
mod consumer;
mod done;
mod edit;
mod error;
mod exchange;
mod floors;
mod group;
mod history;
mod inspect;
mod limits;
mod options;
mod outage;
mod outbox_ids;
mod picked;
mod pool;
mod publish;
mod remote;
mod rights;
mod schedules;
mod schema;
mod settle;
mod shared;
pub(crate) mod tls;
mod told;
mod unique;
mod values;
mod workers;

pub use options::{DEFAULT_SCHEMA, Migrate, PostgresOptions, PostgresUrlError};

/// A PostgreSQL database as a queue. Cheap to clone: all clones share its
/// connections.
#[derive(Clone, Debug)]
pub struct PostgresQueue(Arc<Remote>);

impl PostgresQueue {
    /// Connects to the queue in this database. Creates its tables, or migrates them to this program's version, if the
    /// options allow it. The clock only measures how long a dequeue has waited.
    ///
    /// # Errors
    /// If the database cannot be reached or used, if its tables are not as expected, or if a newer program has migrated
    /// them.
    pub fn connect(options: PostgresOptions, clock: Arc<dyn Clock>) -> Result<Self, QueueError> {
        Self::prepared(options, clock, Missing::Make)
    }

    /// Connects only if the queue exists, to inspect and administer it.
    ///
    /// # Errors
    /// [`QueueError::NoQueue`] if the queue does not exist; otherwise like [`connect`](Self::connect).
    pub fn connect_existing(options: PostgresOptions, clock: Arc<dyn Clock>) -> Result<Self, QueueError> {
        Self::prepared(options, clock, Missing::Refuse)
    }

    fn prepared(options: PostgresOptions, clock: Arc<dyn Clock>, missing: Missing) -> Result<Self, QueueError> {
        let queue = Self::new(options, clock);
        let shared = queue.shared();
        shared.prepare(missing).map_err(|error| shared.error("use", error))?;
        Ok(queue)
    }

    /// Connects if the database can be reached; otherwise it is tried again when there is something to do.
    fn open(options: PostgresOptions, clock: Arc<dyn Clock>) -> Result<Self, QueueError> {
        let queue = Self::new(options, clock);
        let shared = queue.shared();
        match shared.prepared() {
            Err(error) if !error.is_outage() => return Err(shared.error("use", error)),
            Err(error) => tracing::warn!(%error, "cannot reach {} yet", shared.place),
            Ok(()) => {}
        }
        Ok(queue)
    }

    fn new(options: PostgresOptions, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Remote::new(options, clock)))
    }

    /// Returns the part that all clones of this queue share.
    fn shared(&self) -> &Arc<Shared> {
        self.0.shared()
    }

    /// Returns the database, in words for people.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.shared().place
    }

    /// Changes the messages that match the filter, in several transactions, so that workers get their turn in between.
    fn change(&self, filter: &Filter, change: Change) -> Result<u64, QueueError> {
        let shared = self.shared();
        let mut rest = filter.clone();
        let mut changed = 0;
        while rest.limit != Some(0) {
            let (done, last) = shared
                .with_conflicts(|connection| change.part(connection, &rest))
                .map_err(|error| shared.error("change messages at", error))?;
            changed += done;
            rest.limit = rest.limit.map(|limit| limit.saturating_sub(usize::try_from(done).unwrap_or(usize::MAX)));
            let Some(last) = last else { break };
            rest.after = Some(last);
        }
        Ok(changed)
    }
}

/// Migrates the tables of these options to this program's version, whatever their `migrate` says. Returns the versions
/// that were applied; empty if the tables are up to date.
///
/// # Errors
/// If the database cannot be reached, or the role may not change it.
pub fn migrate(options: &PostgresOptions) -> Result<Vec<i32>, QueueError> {
    let connector = connection::Connector::new(options.clone());
    let migrated = connector.connect().and_then(|mut connection| schema::migrate(&mut connection, options));
    migrated.map_err(|error| error.into_queue_error("migrate", &options.place()))
}

/// Returns the statements that create the tables, for a person to run by hand.
#[must_use]
pub fn migration_sql(options: &PostgresOptions) -> String {
    schema::sql(options)
}

/// The running server, since a copy of its files has the same number, the database in it, and the schema in that.
const STORE: &str = "SELECT concat_ws(' ', 'postgres', system_identifier,
        extract(epoch FROM pg_postmaster_start_time())::numeric, database.oid, space.oid)
    FROM pg_control_system(), pg_catalog.pg_database AS database, pg_catalog.pg_namespace AS space
    WHERE database.datname = current_database() AND space.nspname = $1";

impl QueueAdapter for PostgresQueue {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            total_order: true,
            atomic_batches: true,
            uncounted_rollbacks: true,
            burial_reasons: true,
            last_errors: true,
            archive: true,
            history: true,
            edits: true,
            complete_lists: true,
            stats_by_type: true,
            pauses: true,
            backups: false,
            picks_types: true,
            picks_queues: true,
            schedules: true,
            activity: true,
            unique_keys: true,
            limits: true,
            cancels: true,
            workers: true,
        }
    }

    fn enqueue(&self, messages: Vec<NewMessage>) -> Result<Vec<Enqueued>, QueueError> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let shared = self.shared();
        // It sends delayed notifications, and writes the numbers over time.
        beat::run(shared, false).map_err(|error| shared.error("publish to", error))?;
        let is_of_outbox = messages.iter().any(|message| message.outbox_id.is_some());
        if is_of_outbox { shared.enqueue_once(&messages) } else { shared.enqueue(messages) }
    }

    fn consumer(&self, queues: &[String]) -> Result<Box<dyn Consumer>, QueueError> {
        queues.iter().try_for_each(|queue| publish::check_queue(queue))?;
        let shared = self.shared();
        lock(&shared.watched).extend(queues.iter().cloned());
        beat::run(shared, true).map_err(|error| shared.error("take from", error))?;
        shared.start_upkeep();
        Ok(Box::new(consumer::PostgresConsumer::new(self.0.clone(), &super::distinct(queues).into())))
    }

    fn schedules(&self) -> Option<&dyn ScheduleStore> {
        Some(self)
    }

    fn workers(&self) -> Option<&dyn Workers> {
        Some(self)
    }

    fn activity(&self) -> Option<&dyn ActivityLog> {
        Some(self)
    }

    fn in_database(&self) -> Option<InDatabase> {
        Some(InDatabase::new(self.0.options.database(), &self.0.options.schema))
    }

    fn import(&self) -> Option<&dyn Import> {
        Some(self)
    }

    fn outbox_ids(&self) -> Option<&dyn OutboxIds> {
        Some(self)
    }

    fn keeping(&self) -> Option<&dyn Keeping> {
        Some(self)
    }

    fn check_rights(&self) -> Result<(), QueueError> {
        let shared = self.shared();
        // It could not be reached a moment ago, and connecting may take long.
        if !shared.is_prepared() {
            return Ok(());
        }
        match shared.ask(|connection| rights::check(connection, &shared.options.schema)) {
            Err(error) if !error.is_outage() => Err(shared.error("work on", error)),
            _ => Ok(()),
        }
    }

    fn stores(&self) -> Result<Vec<String>, QueueError> {
        let shared = self.shared();
        let asked = shared.ask(|connection| {
            let rows = connection.run_text(STORE, &[(&shared.options.schema, Type::TEXT)])?;
            rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<String>, PostgresError>>()
        });
        match asked {
            // Some hosts keep roles from asking.
            Err(error) if !error.is_outage() => Ok(Vec::new()),
            asked => asked.map_err(|error| shared.error("identify", error)),
        }
    }

    fn declare(&self, routes: Vec<Route>) {
        self.shared().declare(routes);
    }

    fn hold_back(&self, request_type: &str, key: Option<&str>, time: Duration) -> Result<(), QueueError> {
        let shared = self.shared();
        let key = key.unwrap_or_default();
        shared
            .ask(|connection| limits::hold_back(connection, request_type, key, time))
            .and_then(|()| shared.prefetch.release_all(shared))
            .map_err(|error| shared.error("hold jobs back in", error))?;
        // Notify all queues, since messages that were held back may go on.
        shared.tell([String::new()].into());
        Ok(())
    }

    fn interrupt(&self) {
        self.shared().interrupts.fetch_add(1, Ordering::SeqCst);
        self.shared().signal.notify();
    }
}

impl Keeping for PostgresQueue {
    fn set_retention(&self, retention: Retention) {
        self.shared().set_retention(retention);
    }

    fn prune(&self) -> Result<Pruned, QueueError> {
        let shared = self.shared();
        let retention = *lock(&shared.retention);
        let pruned = shared.with(|connection| done::prune(connection, retention));
        pruned.map_err(|error| shared.error("clear away old messages of", error))
    }
}

impl Import for PostgresQueue {
    fn import(&self, messages: Vec<Imported>) -> Result<Vec<Enqueued>, QueueError> {
        self.shared().import(&messages)
    }
}

impl OutboxIds for PostgresQueue {
    fn rows_are_gone(&self, outbox_ids: &[String]) -> Result<(), QueueError> {
        let shared = self.shared();
        shared
            .ask(|connection| outbox_ids::rows_are_gone(connection, outbox_ids))
            .map_err(|error| shared.error("forget rows of outboxes in", error))
    }

    fn message_of_row(&self, number: u64) -> Result<Option<MessageId>, QueueError> {
        let shared = self.shared();
        let found = shared.ask(|connection| outbox_ids::message_of(connection, number));
        let found = found.map_err(|error| shared.error("read", error))?;
        Ok(found.map(|id| MessageId::from(id.cast_unsigned())))
    }
}

impl ActivityLog for PostgresQueue {
    fn read_activity(&self, asked: &ActivityFilter) -> Result<Vec<Activity>, QueueError> {
        let shared = self.shared();
        shared.ask(|connection| activity::read(connection, asked)).map_err(|error| shared.error("read", error))
    }

    fn knows_waiting(&self) -> bool {
        true
    }
}

impl Inspection for PostgresQueue {
    fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError> {
        let shared = self.shared();
        shared.ask(|connection| inspect::peek(connection, id)).map_err(|error| shared.error("read", error))
    }

    fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
        Ok(self.survey(filter, true)?.messages)
    }

    fn survey(&self, filter: &Filter, texts: bool) -> Result<Survey, QueueError> {
        let shared = self.shared();
        let found = shared.ask(|connection| inspect::list(connection, filter, texts));
        Ok(Survey::new(found.map_err(|error| shared.error("read", error))?, 0))
    }

    fn edit(&self, id: &MessageId, edit: &Edit) -> Result<Edited, QueueError> {
        edit.queue.as_deref().map_or(Ok(()), publish::check_queue)?;
        let shared = self.shared();
        let edited = shared.with(|connection| edit::edit(connection, id, edit));
        let edited = edited.map_err(|error| shared.error("change a message of", error))?;
        if edited == Edited::Changed {
            shared.tell([String::new()].into());
        }
        Ok(edited)
    }

    fn stats(&self) -> Result<Stats, QueueError> {
        let shared = self.shared();
        shared.ask(inspect::stats).map_err(|error| shared.error("read", error))
    }

    fn change_mark(&self) -> Result<u64, QueueError> {
        let shared = self.shared();
        shared.ask(inspect::change_mark).map_err(|error| shared.error("read", error))
    }

    fn kick(&self, filter: &Filter) -> Result<u64, QueueError> {
        let kicked = self.change(filter, Change::Kick)?;
        if kicked > 0 {
            self.shared().tell([String::new()].into());
        }
        Ok(kicked)
    }

    fn key_taken_by(&self, id: &MessageId) -> Result<Option<MessageId>, QueueError> {
        let Some(id) = values::number(id.as_str()) else { return Ok(None) };
        let shared = self.shared();
        let holder = shared.ask(|connection| unique::taken_by(connection, id));
        let holder = holder.map_err(|error| shared.error("read", error))?;
        Ok(holder.map(|id| MessageId::from(id.cast_unsigned())))
    }

    fn delete(&self, filter: &Filter) -> Result<u64, QueueError> {
        let deleted = self.change(filter, Change::Delete)?;
        if !filter.has_state(MessageState::Done) {
            return Ok(deleted);
        }
        let mut rest = filter.clone();
        rest.limit = rest.limit.map(|limit| limit.saturating_sub(usize::try_from(deleted).unwrap_or(usize::MAX)));
        Ok(deleted + self.change(&rest, Change::DeleteDone)?)
    }

    fn cancel(&self, filter: &Filter) -> Result<Cancelled, QueueError> {
        let shared = self.shared();
        let mut rest = filter.clone();
        let mut cancelled = Cancelled::default();
        while rest.limit != Some(0) {
            let (done, last) = shared
                .with(|connection| cancel::part(connection, &rest))
                .map_err(|error| shared.error("change messages at", error))?;
            cancelled += done;
            let count = usize::try_from(done.total()).unwrap_or(usize::MAX);
            rest.limit = rest.limit.map(|limit| limit.saturating_sub(count));
            let Some(last) = last else { break };
            rest.after = Some(last);
        }
        if cancelled.running > 0 {
            // No lane may get the messages that are prefetched in this process.
            shared.prefetch.release_all(shared).map_err(|error| shared.error("change messages at", error))?;
        }
        Ok(cancelled)
    }

    fn pause(&self, queue: &str, time: Duration) -> Result<(), QueueError> {
        publish::check_queue(queue)?;
        let shared = self.shared();
        shared
            .ask(|connection| inspect::pause(connection, queue, time))
            .and_then(|()| shared.prefetch.release_all(shared))
            .map_err(|error| shared.error("pause a queue of", error))?;
        shared.tell([queue.to_owned()].into());
        Ok(())
    }

    fn backup(&self, _: &Path) -> Result<u64, QueueError> {
        Err(QueueError::Unsupported(
            "be copied into a file by pulpo: use pg_dump with the schema of the queue, or the backups of the server",
        ))
    }
}
