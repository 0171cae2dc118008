//! The files of pulpo that synchronize threads, compiled with the locks of a model checker instead
//! of the system's, and scenarios that use them.
//!
//! A file of pulpo takes its locks from `crate::sync`. In this crate these are shuttle's, which
//! decides at each lock, wait and notification which thread continues. So a scenario runs in
//! thousands of orders, each from a seed that a failing run prints.

pub mod prefetch_scenarios;
pub use storage::group_commit_scenarios;
pub use worker::slot_scenarios;

/// Replaces pulpo's module, with shuttle's threads.
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

    pub(crate) fn try_lock<T: ?Sized>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
        mutex.try_lock().ok()
    }

    /// Shuttle has no time. Other threads run for a while, and then the timeout is over.
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
    use std::time::Duration;

    pub(crate) use pulpo::clock::{Clock, SystemClock};

    use crate::sync::{Condvar, Mutex, lock, wait_while};

    /// Replaces pulpo's `Notify`, with shuttle's threads: a wait ends when it is notified,
    /// and never because of the time.
    #[derive(Default)]
    pub(crate) struct Notify {
        count: Mutex<u64>,
        changed: Condvar,
    }

    impl Notify {
        pub(crate) fn generation(&self) -> u64 {
            *lock(&self.count)
        }

        pub(crate) fn notify(&self) {
            *lock(&self.count) += 1;
            self.changed.notify_all();
        }

        pub(crate) fn wait(&self, seen: u64, _: Option<Duration>) {
            drop(wait_while(&self.changed, lock(&self.count), |count| *count == seen));
        }
    }
}

/// The folder of pulpo's own.
#[path = "../../../pulpo/src/worker"]
mod worker {
    #[allow(dead_code, unreachable_pub, clippy::all, reason = "checked where it belongs")]
    mod slot;
    // In here, since what it uses is for the worker alone.
    #[path = "../../../tests/models/src/slot_scenarios.rs"]
    pub mod slot_scenarios;
    #[allow(dead_code, unreachable_pub, clippy::all, reason = "checked where it belongs")]
    mod waker;
}

/// Replaces pulpo's folder of this name.
#[path = "../../../pulpo/src/queue"]
mod queue {
    pub(crate) use pulpo::queue::{Delivery, DequeueFilter, Lease, Limit, LimitKind, LimitScope};

    #[allow(dead_code, unused_imports, unreachable_pub, clippy::all, reason = "checked where it belongs")]
    pub(crate) mod prefetch;
}

mod guard {
    /// Turns a panic into a text.
    pub(crate) fn catch<R>(code: impl FnOnce() -> R) -> Result<R, String> {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(code)).map_err(|_| "it panicked".to_owned())
    }
}

/// The embedded queue's folder of this name.
#[path = "../../../pulpo/src/queue/file/storage"]
mod storage {
    #[allow(dead_code, unreachable_pub, clippy::all, reason = "checked where it belongs")]
    mod group_commit;
    // In here, since what it uses is for that folder alone.
    #[path = "../../../../../tests/models/src/group_commit_scenarios.rs"]
    pub mod group_commit_scenarios;
}
