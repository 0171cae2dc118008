//! Where what a lane has in hand rests while its handler runs, within reach of
//! the monitor.
//!
//! # Invariants
//! - Only the lane waits at the lock of its slot. Others come in vain while
//!   somebody is there.
//! - The monitor never misses anything for that reason: who leaves a slot wakes
//!   it if it has come in vain.

use super::waker::MonitorWaker;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, MutexGuard, lock, try_lock};

/// What one lane has in hand. Empty between two jobs, and once the job was taken
/// away from the lane, which then ends.
pub(super) struct InFlightSlot<T> {
    held: Mutex<Option<T>>,
    ended: AtomicBool,
    /// Whether the monitor came in vain.
    missed: AtomicBool,
}

impl<T> Default for InFlightSlot<T> {
    fn default() -> Self {
        Self { held: Mutex::new(None), ended: AtomicBool::new(false), missed: AtomicBool::new(false) }
    }
}

impl<T> InFlightSlot<T> {
    /// Calls `action` with what is held, for the lane. Nothing of the user's
    /// may run in it.
    pub(super) fn with<R>(&self, monitor: &MonitorWaker, action: impl FnOnce(&mut Option<T>) -> R) -> R {
        let result = action(&mut lock(&self.held));
        self.wake_if_missed(monitor);
        result
    }

    /// Calls `action` with what is held, for others than the lane and the
    /// monitor; `None` while somebody is there.
    pub(super) fn look<R>(&self, monitor: &MonitorWaker, action: impl FnOnce(&mut Option<T>) -> R) -> Option<R> {
        let result = action(&mut *try_lock(&self.held)?);
        self.wake_if_missed(monitor);
        Some(result)
    }

    fn wake_if_missed(&self, monitor: &MonitorWaker) {
        if self.missed.swap(false, Ordering::SeqCst) {
            monitor.wake();
        }
    }

    /// What is held, for the monitor; `None` while somebody is there, who will
    /// wake the monitor when leaving.
    pub(super) fn visit(&self) -> Option<MutexGuard<'_, Option<T>>> {
        try_lock(&self.held).or_else(|| {
            self.missed.store(true, Ordering::SeqCst);
            // Whoever was there may have left before this was said.
            try_lock(&self.held)
        })
    }

    /// The lane's thread has ended.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Whether the thread has ended and left nothing behind.
    pub(super) fn is_left(&self) -> bool {
        self.has_ended() && try_lock(&self.held).is_some_and(|held| held.is_none())
    }
}
