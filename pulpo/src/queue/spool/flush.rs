//! Sends the messages that wait in the spool.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::contents::Flushed;
use super::envelope::{Envelope, QUEUE};
use super::shared::Shared;
use crate::queue::{Consumer, Delivery, DequeueFilter, Lease, NewMessage, QueueError, Settlement};
use crate::report::chain;
use crate::sync::lock;

/// Number of messages in one batch.
const BATCH: usize = 100;

/// How often a process checks for messages that others have left.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// The number of checks, of which one counts the messages in the spool instead of relying on the marker.
const CHECKS_PER_COUNT: u32 = 15;

/// The first pause after no server accepted anything. It doubles up to the longest one.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Starts this process's flushing thread, unless it is running.
pub(super) fn start(shared: &Arc<Shared>) {
    let mut has_thread = lock(&shared.process().has_thread);
    if *has_thread {
        return;
    }
    let weak = Arc::downgrade(shared);
    let started = std::thread::Builder::new().name("pulpo-spool".to_owned()).spawn(move || run(&weak));
    // Without a thread, the next publication tries again, and other processes flush.
    *has_thread = started.is_ok();
}

/// Flushes until the spool is no longer in use.
fn run(shared: &Weak<Shared>) {
    let (mut pause, mut checks) = (SHORTEST_PAUSE, 0);
    loop {
        let Some(spool) = shared.upgrade() else { return };
        let notify = spool.process().notify.clone();
        let seen = notify.generation();
        let is_due = checks % CHECKS_PER_COUNT == 0 || spool.has_waiting();
        checks += 1;
        let wait = match if is_due { spool.flush() } else { Ok(Flushed::default()) } {
            Ok(Flushed { stopped_by: None, .. }) => {
                pause = SHORTEST_PAUSE;
                CHECK_INTERVAL
            }
            trouble => {
                if let Err(error) = trouble {
                    tracing::warn!(error = chain(&error), "cannot read the spool, trying again");
                }
                let wait = pause;
                pause = (pause * 2).min(LONGEST_PAUSE);
                wait
            }
        };
        drop(spool);
        notify.wait(seen, Some(wait));
    }
}

impl Shared {
    /// Sends the waiting messages, unless another process is doing so.
    pub(super) fn flush(&self) -> Result<Flushed, QueueError> {
        let mut flushed = Flushed::default();
        let Some(store) = self.store_if_there()? else { return Ok(flushed) };
        let locked = try_lock(&self.folder.join("spool.lock"));
        let lock = locked.map_err(|error| QueueError::Unavailable {
            doing: format!("lock {}", self.folder.display()),
            source: Box::new(error),
        })?;
        let Some(_lock) = lock else { return Ok(Flushed { is_busy: true, ..flushed }) };
        if self.spooled()?.waiting > 0 {
            self.mark()?;
            let mut consumer = store.consumer(&[QUEUE.to_owned()])?;
            while flushed.stopped_by.is_none() {
                let batch = gather(&mut *consumer)?;
                if batch.is_empty() {
                    break;
                }
                self.send(batch, &mut *consumer, &mut flushed)?;
            }
            consumer.flush()?;
        }
        if flushed.stopped_by.is_none() {
            self.unmark()?;
        }
        if flushed.sent > 0 {
            tracing::info!(sent = flushed.sent, refused = flushed.refused, "flushed the spool");
        }
        Ok(flushed)
    }

    /// Removes the marker, unless a message has come.
    pub(super) fn unmark(&self) -> Result<(), QueueError> {
        if self.has_waiting() && self.spooled()?.waiting == 0 {
            // Another program may have removed it.
            let _ = std::fs::remove_file(self.marker());
            if self.spooled()?.waiting > 0 {
                self.mark()?;
                self.process().notify.notify();
            }
        }
        Ok(())
    }

    /// Sends a batch, and settles it in the spool.
    fn send(&self, batch: Vec<Delivery>, consumer: &mut dyn Consumer, flushed: &mut Flushed) -> Result<(), QueueError> {
        let mut waiting: VecDeque<(Lease, NewMessage)> = VecDeque::with_capacity(batch.len());
        for delivery in batch {
            match Envelope::open(&delivery.text) {
                Ok(message) => waiting.push_back((delivery.lease, message)),
                Err(error) => {
                    flushed.refused += 1;
                    settle(consumer, &delivery.lease, Settlement::bury(format!("no message: {error}"), false))?;
                }
            }
        }
        // After a refusal, send one by one, to find out which message it concerns.
        let mut at_once = BATCH;
        while let Some((first, _)) = waiting.front() {
            let first = first.clone();
            let messages: Vec<_> = waiting.iter().take(at_once).map(|(_, message)| message.clone()).collect();
            let count = messages.len();
            let (taken, error) = match self.queue.enqueue(messages) {
                Ok(_) => (count, None),
                Err(QueueError::PartOfBatch { ids, source, .. }) => (ids.len().min(count), Some(*source)),
                Err(error) => (0, Some(error)),
            };
            for (lease, _) in waiting.drain(..taken) {
                settle(consumer, &lease, Settlement::deferrable_commit())?;
            }
            flushed.sent += taken as u64;
            match error {
                None => {}
                Some(error) if is_for_now(&error) => {
                    // A message that is put back keeps its place.
                    for (lease, _) in waiting.drain(..) {
                        settle(consumer, &lease, Settlement::rollback(Duration::ZERO, chain(&error), false))?;
                    }
                    flushed.stopped_by = Some(error);
                }
                Some(_) if count > 1 => at_once = 1,
                Some(error) => {
                    tracing::error!(
                        error = chain(&error),
                        "the queue refuses a message of the spool, which stays there"
                    );
                    waiting.pop_front();
                    flushed.refused += 1;
                    settle(consumer, &first, Settlement::bury(chain(&error), false))?;
                }
            }
        }
        Ok(())
    }
}

/// Returns whether the same message may be accepted later. A message with an unknown outcome is sent again, since it
/// must not be lost.
fn is_for_now(error: &QueueError) -> bool {
    error.is_outage()
        || error.is_transient()
        || matches!(error, QueueError::UnknownOutcome { .. } | QueueError::Forked { .. })
}

/// Takes the next messages, in order.
fn gather(consumer: &mut dyn Consumer) -> Result<Vec<Delivery>, QueueError> {
    let (mut batch, filter) = (Vec::new(), DequeueFilter::default());
    while batch.len() < BATCH {
        match consumer.dequeue(&filter, Duration::ZERO)? {
            Some(delivery) => batch.push(delivery),
            None => break,
        }
    }
    Ok(batch)
}

/// Settles a message. If the lease is lost, another process has it and settles it.
fn settle(consumer: &mut dyn Consumer, lease: &Lease, mut settlement: Settlement) -> Result<(), QueueError> {
    match consumer.settle(lease, &mut settlement) {
        Err(QueueError::LeaseLost { .. }) => Ok(()),
        settled => settled,
    }
}

/// Takes the lock of the one process that flushes; `None` if another has it. The system releases it when a process
/// dies.
fn try_lock(path: &Path) -> io::Result<Option<File>> {
    // Not in place of a link, which may lead out of the folder.
    if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a regular file"));
    }
    let file = match OpenOptions::new().create(true).append(true).open(path) {
        // Another user of the group has created the file.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(path)?,
        opened => opened?,
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
