//! The slot in which a lane's consumer and its job rest while the handler runs, within reach of the monitor.
//!
//! # Invariants
//! - Only the lane waits for the lock of its slot. Other threads return without a result while the slot is in use.
//! - The monitor never misses anything for that reason: a thread that leaves a slot wakes the monitor if it found the
//!   slot in use.

use std::ops::Deref;

use super::waker::MonitorWaker;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, MutexGuard, lock, try_lock};

/// The jobs that one lane has in hand. Empty between two jobs, and after the job was taken away from the lane, which
/// then ends.
pub(super) struct InFlightSlot<T> {
    held: Mutex<Option<T>>,
    ended: AtomicBool,
    /// Whether the monitor found the slot in use.
    missed: AtomicBool,
}

impl<T> Default for InFlightSlot<T> {
    fn default() -> Self {
        Self { held: Mutex::new(None), ended: AtomicBool::new(false), missed: AtomicBool::new(false) }
    }
}

impl<T> InFlightSlot<T> {
    /// Calls `action` with the contents, for the lane. No user code may run in it.
    pub(super) fn with<R>(&self, monitor: &MonitorWaker, action: impl FnOnce(&mut Option<T>) -> R) -> R {
        let result = action(&mut lock(&self.held));
        self.wake_if_missed(monitor);
        result
    }

    /// Calls `action` with the contents, for threads other than the lane and the monitor; `None` while the slot is in
    /// use.
    pub(super) fn try_with<R>(&self, monitor: &MonitorWaker, action: impl FnOnce(&mut Option<T>) -> R) -> Option<R> {
        let result = action(&mut *try_lock(&self.held)?);
        self.wake_if_missed(monitor);
        Some(result)
    }

    fn wake_if_missed(&self, monitor: &MonitorWaker) {
        if self.missed.swap(false, Ordering::SeqCst) {
            monitor.wake();
        }
    }

    /// Locks the contents for the monitor; `None` while the slot is in use. Its user will then wake the monitor when it
    /// leaves.
    pub(super) fn visit(&self) -> Option<MutexGuard<'_, Option<T>>> {
        try_lock(&self.held).or_else(|| {
            self.missed.store(true, Ordering::SeqCst);
            // The other thread may have left before the flag was set.
            try_lock(&self.held)
        })
    }

    /// Records that the lane's thread has ended.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Returns whether the thread has ended and the slot is empty.
    pub(super) fn is_left(&self) -> bool {
        self.has_ended() && try_lock(&self.held).is_some_and(|held| held.is_none())
    }
}

/// Takes the contents of these slots, for the monitor. Those that are in use remain for the next call.
pub(super) fn take_unused<T, S: Deref<Target = InFlightSlot<T>>>(slots: &mut Vec<S>) -> Vec<T> {
    let mut taken = Vec::new();
    slots.retain(|slot| match slot.visit() {
        Some(mut held) => {
            taken.extend(held.take());
            false
        }
        None => true,
    });
    taken
}
