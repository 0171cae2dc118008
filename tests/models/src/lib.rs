//! The files of pulpo in which threads meet, compiled with the locks of a model
//! checker in place of the system's, and scenarios of their use.
//!
//! A file of pulpo takes its locks from `crate::sync`. Here that is shuttle's,
//! which decides at each lock, wait and notification which thread goes on, so
//! that a scenario is run in thousands of orders, each from a seed that the
//! failing run prints.

pub mod group_commit_scenarios;
pub mod prefetch_scenarios;

/// As pulpo's own, with shuttle's threads.
mod sync {
    pub(crate) use std::sync::PoisonError;
    use std::time::Duration;

    use shuttle::rand::Rng as _;
    pub(crate) use shuttle::sync::atomic;
    pub(crate) use shuttle::sync::{Arc, Condvar, Mutex, MutexGuard};

    pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait_while<'a, T>(
        condvar: &Condvar,
        guard: MutexGuard<'a, T>,
        condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        condvar.wait_while(guard, condition).unwrap_or_else(PoisonError::into_inner)
    }

    /// Shuttle has no time. Others go on for a while, and then it is over.
    pub(crate) fn wait_timeout_while<'a, T>(
        (_, mutex): (&Condvar, &'a Mutex<T>),
        mut guard: MutexGuard<'a, T>,
        _: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        for _ in 0..shuttle::rand::thread_rng().gen_range(0..4) {
            if !condition(&mut guard) {
                break;
            }
            drop(guard);
            shuttle::thread::yield_now();
            guard = lock(mutex);
        }
        guard
    }
}

mod clock {
    pub(crate) use pulpo::clock::{Clock, SystemClock};
}

/// The folder of pulpo's own.
#[path = "../../../pulpo/src/queue"]
mod queue {
    pub(crate) use pulpo::queue::{Delivery, DequeueFilter, Lease};

    #[allow(dead_code, unused_imports, unreachable_pub, clippy::all, reason = "checked where it belongs")]
    pub(crate) mod prefetch;
}

mod guard {
    /// A panic becomes a text.
    pub(crate) fn catch<R>(code: impl FnOnce() -> R) -> Result<R, String> {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(code)).map_err(|_| "it panicked".to_owned())
    }
}

#[path = "../../../pulpo/src/queue/file/group_commit.rs"]
#[allow(dead_code, unreachable_pub, clippy::all, reason = "checked where it belongs")]
mod group_commit;
