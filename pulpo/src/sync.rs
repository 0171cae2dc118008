//! Locks and counters that threads share.
//!
//! The code in which lanes, leaders of a group commit and the upkeep thread meet uses these. Its copy in `tests/models`
//! uses those of a model checker instead, which tries the orders in which threads may run.

pub(crate) use std::sync::atomic;
pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

mod once_map;

pub(crate) use self::once_map::OnceMap;

/// Locks data that stays consistent if a thread panics while holding the lock: each change under these locks is a
/// single assignment or a push.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks it as [`lock`] does, unless that would block.
pub(crate) fn try_lock<T: ?Sized>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(std::sync::TryLockError::WouldBlock) => None,
    }
}

/// Waits while the condition holds.
pub(crate) fn wait_while<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    condition: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    condvar.wait_while(guard, condition).unwrap_or_else(PoisonError::into_inner)
}

/// Waits while the condition holds, at most for this duration. It takes the mutex of the guard because a model checker
/// has no time, and lets other threads run instead.
pub(crate) fn wait_timeout_while<'a, T>(
    (condvar, _): (&Condvar, &'a Mutex<T>),
    guard: MutexGuard<'a, T>,
    limit: Duration,
    condition: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    condvar.wait_timeout_while(guard, limit, condition).unwrap_or_else(PoisonError::into_inner).0
}
