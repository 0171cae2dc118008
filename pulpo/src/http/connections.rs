//! Tracks the open connections, and decides which one makes room for another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

/// The progress of a connection. The one with the least progress makes room first, and of several the oldest.
#[derive(Clone, Debug, Default)]
pub(super) struct Phase(Arc<AtomicU8>);

impl Phase {
    /// Records that no whole request has arrived, or that its answer is sent: the client is not waiting for us.
    pub(super) fn idle(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Records that the answer is on its way.
    pub(super) fn answered(&self) {
        self.0.store(1, Ordering::Relaxed);
    }

    /// Records that a request waits for its answer.
    pub(super) fn asked(&self) {
        self.0.store(2, Ordering::Relaxed);
    }
}

/// The open connections, at most one per slot.
#[derive(Debug)]
pub(super) struct Connections {
    slots: Arc<Semaphore>,
    /// In order of arrival.
    open: Vec<(AbortHandle, Phase)>,
}

impl Connections {
    pub(super) fn new(most: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(most)), open: Vec::new() }
    }

    /// Takes a slot for one more connection, until the returned value is dropped. If all are taken, one connection is
    /// closed, and at once: sparing the young ones would make all others wait behind them.
    pub(super) async fn slot(&mut self) -> Option<OwnedSemaphorePermit> {
        if let Ok(slot) = self.slots.clone().try_acquire_owned() {
            return Some(slot);
        }
        self.make_room();
        self.slots.clone().acquire_owned().await.ok()
    }

    pub(super) fn push(&mut self, task: AbortHandle, phase: Phase) {
        self.open.retain(|(task, _)| !task.is_finished());
        self.open.push((task, phase));
    }

    /// Closes the connection with the least progress. Returns false if no connection is open.
    pub(super) fn make_room(&mut self) -> bool {
        self.open.retain(|(task, _)| !task.is_finished());
        let phases = self.open.iter().map(|(_, phase)| phase.0.load(Ordering::Relaxed));
        let Some((first, _)) = phases.enumerate().min_by_key(|(_, phase)| *phase) else { return false };
        self.open.remove(first).0.abort();
        true
    }
}
