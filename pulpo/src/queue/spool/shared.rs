//! The state of a spool: its folder, the embedded queue in it, and the marker file.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::contents::Spooled;
use crate::clock::{Notify, SystemClock};
use crate::process::fork::PerProcess;
use crate::queue::backend::Purpose;
use crate::queue::{Filter, MessageState, QueueAdapter, QueueError};
use crate::sync::lock;

/// Opens the embedded queue.
pub(super) type Open = Box<dyn Fn(Purpose) -> Result<Arc<dyn QueueAdapter>, QueueError> + Send + Sync>;

/// Returns why a name cannot be that of a queue.
pub(super) type NameProblem = Box<dyn Fn(&str) -> Option<&'static str> + Send + Sync>;

pub(super) struct Shared {
    pub(super) queue: Arc<dyn QueueAdapter>,
    pub(super) folder: PathBuf,
    pub(super) purpose: Purpose,
    pub(super) open: Open,
    /// Returns why a name cannot be that of a queue behind the spool.
    pub(super) name_problem: NameProblem,
    /// Kept per process, because a fork has its own thread and queue.
    pub(super) process: PerProcess<Process>,
}

pub(super) struct Process {
    pub(super) store: Mutex<Option<Arc<dyn QueueAdapter>>>,
    /// Wakes the thread that flushes.
    pub(super) notify: Arc<Notify>,
    pub(super) has_thread: Mutex<bool>,
}

impl Shared {
    pub(super) fn process(&self) -> &Process {
        self.process.get_or_init(|| Process {
            store: Mutex::new(None),
            notify: Notify::new(Arc::new(SystemClock::new())),
            has_thread: Mutex::new(false),
        })
    }

    pub(super) fn marker(&self) -> PathBuf {
        self.folder.join("spool.waiting")
    }

    /// Returns whether older messages wait. Costs one system call.
    pub(super) fn has_waiting(&self) -> bool {
        self.marker().exists()
    }

    /// Returns the embedded queue, which is opened once.
    pub(super) fn store(&self, purpose: Purpose) -> Result<Arc<dyn QueueAdapter>, QueueError> {
        let mut store = lock(&self.process().store);
        if let Some(store) = &*store {
            return Ok(store.clone());
        }
        let opened = (self.open)(purpose)?;
        *store = Some(opened.clone());
        Ok(opened)
    }

    /// Returns the embedded queue without creating it.
    pub(super) fn store_if_there(&self) -> Result<Option<Arc<dyn QueueAdapter>>, QueueError> {
        match self.store(Purpose::Administration) {
            Ok(store) => Ok(Some(store)),
            Err(QueueError::NoQueue { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn spooled(&self) -> Result<Spooled, QueueError> {
        let Some(store) = self.store_if_there()? else { return Ok(Spooled::default()) };
        let (mut spooled, mut leased) = (Spooled::default(), 0);
        for counts in store.stats()?.counts {
            leased += counts.reserved;
            spooled.waiting += counts.ready + counts.delayed + counts.reserved;
            spooled.refused += counts.buried;
            spooled.oldest = spooled.oldest.into_iter().chain(counts.oldest_ready).min();
        }
        if leased > 0 {
            // While the oldest ones are being sent, which may take long, they are not ready.
            let sending = store.survey(&Filter::all().state(MessageState::Reserved), false)?.messages;
            let since = sending.iter().filter_map(|message| message.enqueued_at);
            spooled.oldest = since.chain(spooled.oldest).min();
        }
        Ok(spooled)
    }

    /// Creates the marker, and returns whether it was missing.
    pub(super) fn mark(&self) -> Result<bool, QueueError> {
        match std::fs::OpenOptions::new().write(true).create_new(true).open(self.marker()) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(QueueError::Unavailable {
                doing: format!("write {}", self.marker().display()),
                source: Box::new(error),
            }),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The thread notices that the spool is gone.
        self.process().notify.notify();
    }
}
