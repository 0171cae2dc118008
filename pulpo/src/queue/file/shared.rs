//! What all threads of a process share of one queue.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rusqlite::Connection;

use super::attached::Attached;
use super::error::SqliteError;
use super::grace::Grace;
use super::keeper::Keeper;
use super::later::{self, Later};
use super::lease::{self, Ending};
use super::micros;
use super::opened::Opened;
use super::owner::{self, Owner};
use super::stock::Stock;
use super::wake::Bell;
use super::writer::{Durability, Writer};
use crate::clock::{Clock, Signal, SystemClock, lock};
use crate::process::fork::Unforked;
use crate::queue::{Lease, QueueError};

#[derive(Debug)]
pub(super) struct Shared {
    /// For errors: the file, or `memory:`.
    place: String,
    opened: Opened,
    pub(super) writer: Unforked<Writer>,
    /// `None` in memory, where a second connection would be a second database.
    reader: Option<Unforked<Mutex<Attached>>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) signal: Arc<Signal>,
    bell: Option<Unforked<Bell>>,
    pub(super) archive: bool,
    pub(super) grace: Grace,
    pub(super) interrupts: AtomicU64,
    pub(super) owner: Unforked<Owner>,
    leases: AtomicU64,
    /// One for each choice of queues that its consumers serve.
    stocks: Mutex<Vec<Arc<Stock>>>,
    pub(super) later: Later,
    pub(super) keeper: Arc<Keeper>,
    /// For what goes by real time, whatever the queue's clock is.
    pub(super) real: SystemClock,
    /// The database, and the folder that it is in; `None` in memory.
    pub(super) file: Option<PathBuf>,
    pub(super) folder: Option<PathBuf>,
}

impl Shared {
    pub(super) fn new(
        opened: Opened,
        file: Option<PathBuf>,
        writing: Attached,
        reading: Option<Attached>,
        bell: Option<Bell>,
        archive: bool,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, QueueError> {
        let id = owner::new_id().map_err(|source| QueueError::Unavailable {
            doing: "get random bytes for the id of this process".to_owned(),
            source: Box::new(source),
        })?;
        let place = file.as_ref().map_or_else(|| "memory:".to_owned(), |file| file.display().to_string());
        let folder = file.as_deref().and_then(Path::parent).map(Path::to_owned);
        Ok(Self {
            opened,
            writer: Unforked::new(Writer::new(place.clone(), writing)),
            reader: reading.map(Mutex::new).map(Unforked::new),
            signal: Signal::new(clock.clone()),
            clock,
            bell: bell.map(Unforked::new),
            archive,
            grace: Grace::default(),
            interrupts: AtomicU64::new(0),
            owner: Unforked::new(Owner::new(id, folder.as_deref())),
            // An empty cell says 0.
            leases: AtomicU64::new(1),
            stocks: Mutex::default(),
            later: Later::default(),
            keeper: Arc::default(),
            real: SystemClock::new(),
            place,
            file,
            folder,
        })
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Refuses to go on in a fork of the process that opened the queue. To be
    /// asked first of all in each call from outside.
    pub(super) fn check(&self) -> Result<(), QueueError> {
        self.opened.check().map_err(|source| QueueError::Forked { place: self.place.clone(), source })
    }

    /// Tells all who wait, here and in other processes, to look again.
    pub(super) fn announce(&self) {
        self.signal.notify();
        if let Some(bell) = &self.bell {
            bell.ring();
        }
    }

    /// From now on, hears of what other processes publish, and of their ends.
    pub(super) fn listen(&self) {
        if let Some(bell) = &self.bell {
            bell.listen(&self.signal, &self.keeper);
        }
    }

    /// This process is to have leases: shows it to the others, and frees what
    /// those have left that died.
    pub(super) fn appear(self: &Arc<Self>) {
        self.owner.appear();
        if !self.keeper.runs() {
            self.end_leases_of_the_dead();
            Keeper::run(self);
        }
        self.listen();
    }

    pub(super) fn read<R: Send + 'static>(
        &self,
        mut query: impl FnMut(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, QueueError> {
        match &self.reader {
            Some(reader) => {
                let mut reader = lock(reader);
                let read = reader.current().and_then(|(connection, _)| Ok(query(connection)?));
                read.map_err(|error| error.into_queue_error("read", &self.place))
            }
            None => self.writer.write(Durability::Lazy, query),
        }
    }

    /// Writes, and remembers since when that is not possible.
    pub(super) fn write<R: Send + 'static>(
        &self,
        durability: Durability,
        operation: impl FnMut(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, SqliteError> {
        let written = self.writer.try_write(durability, operation);
        match &written {
            Ok(_) => self.grace.succeeded(&*self.clock),
            Err(_) => self.grace.failed(&*self.clock),
        }
        written
    }

    /// In the words of the queue.
    pub(super) fn error(&self, error: SqliteError) -> QueueError {
        error.into_queue_error("write to", &self.place)
    }

    pub(super) fn now(&self) -> i64 {
        micros(self.clock.now())
    }

    /// The number of another lease of this process.
    pub(super) fn next_lease(&self) -> u64 {
        self.leases.fetch_add(1, Ordering::Relaxed)
    }

    /// What lies ready for the consumers of these queues.
    pub(super) fn stock(&self, queues: &Arc<[String]>) -> Arc<Stock> {
        let mut stocks = lock(&self.stocks);
        if let Some(stock) = stocks.iter().find(|stock| stock.queues == *queues) {
            return stock.clone();
        }
        let stock = Arc::new(Stock::new(queues.clone()));
        stocks.push(stock.clone());
        stock
    }

    pub(super) fn stocks(&self) -> Vec<Arc<Stock>> {
        lock(&self.stocks).clone()
    }

    /// Carries out the commits that were put off.
    pub(super) fn flush(&self) -> Result<(), QueueError> {
        let now = self.now();
        let flight = self.later.start_alone();
        if flight.done.is_empty() {
            return Ok(());
        }
        let (done, archive) = (flight.done.clone(), self.archive);
        match self.write(Durability::Lazy, move |connection| later::carry_out(connection, &done, archive, now)) {
            Ok(lost) => {
                flight.arrived(lost);
                Ok(())
            }
            Err(error) => {
                flight.failed(self.real.uptime());
                Err(self.error(error))
            }
        }
    }

    /// Makes ready again what was leased ahead and not handed to a lane.
    pub(super) fn give_back(&self, leases: Vec<Lease>) -> Result<(), SqliteError> {
        if leases.is_empty() {
            return Ok(());
        }
        self.write(Durability::Lazy, move |connection| lease::give_back(connection, &leases))?;
        self.announce();
        Ok(())
    }

    /// The same with all of it.
    pub(super) fn give_back_all(&self) -> Result<(), QueueError> {
        let all = self.stocks().iter().flat_map(|stock| stock.clear()).collect();
        self.give_back(all).map_err(|error| self.error(error))
    }

    /// Ends the leases of processes that have died, at once: what they were
    /// running counts as an attempt, and what they had only leased does not.
    pub(super) fn end_leases_of_the_dead(self: &Arc<Self>) {
        let Some(folder) = &self.folder else { return };
        for dead in owner::dead(folder, &self.owner) {
            let (us, id, now) = (self.clone(), dead.id.clone(), self.now());
            let ended = self.write(Durability::Lazy, move |connection| {
                Ending::new(connection, &us.owner, us.folder.as_deref(), now).end_all_of(&id)
            });
            match ended {
                Ok(0) => dead.bury(),
                Ok(leases) => {
                    tracing::warn!(leases, "another process has died: what it was working on is ready again");
                    dead.bury();
                    self.announce();
                }
                Err(error) => tracing::debug!(%error, "cannot end the leases of a process that has died, trying again"),
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The keeper and the files are those of the parent.
        if self.check().is_err() {
            return;
        }
        self.keeper.end();
        if self.later.is_empty() && self.stocks().iter().all(|stock| stock.is_empty()) {
            self.owner.leave();
        }
    }
}
