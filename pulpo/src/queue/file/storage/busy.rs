//! How long to wait for another process that is writing.
//!
//! SQLite calls [`handler`] while it waits, on the waiting thread, and passes only a number. Everything else that the
//! handler needs is in a thread-local.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// For calls where an error loses something that may succeed later: a publication. Also for others, unless a shutdown
/// waits for them.
pub(in crate::queue::file) const LONG: Duration = Duration::from_secs(10);

/// For calls that are retried, by the caller or through the lease of the message, and that a shutdown waits for.
const SHORT: Duration = Duration::from_millis(500);

/// Replaces [`SHORT`] after such a wait has failed.
const AFTER_FAILURE: Duration = Duration::from_millis(20);

/// How long the writer of a queue may wait for other processes.
#[derive(Debug, Default)]
pub(in crate::queue::file) struct Patience {
    hurried: AtomicBool,
    has_failed: AtomicBool,
}

thread_local! {
    /// The limits for the writer that this thread leads; `None` if it may wait for long.
    static CURRENT: RefCell<Option<Arc<Patience>>> = const { RefCell::new(None) };
    static STARTED: Cell<Option<Instant>> = const { Cell::new(None) };
}

impl Patience {
    /// Shortens waits, including those in progress, because a shutdown has begun.
    pub(in crate::queue::file) fn hurry(&self) {
        self.hurried.store(true, Ordering::SeqCst);
    }

    /// Ends the effect of [`hurry`](Self::hurry) when a new worker starts.
    pub(in crate::queue::file) fn calm_down(&self) {
        self.hurried.store(false, Ordering::SeqCst);
    }

    /// Runs code that may have to wait for this long.
    pub(in crate::queue::file) fn while_waiting<R>(self: &Arc<Self>, run: impl FnOnce() -> R) -> R {
        CURRENT.set(Some(self.clone()));
        let _reset = Reset;
        run()
    }

    /// Records whether the last wait failed.
    pub(in crate::queue::file) fn note(&self, has_failed: bool) {
        if self.has_failed.load(Ordering::Relaxed) != has_failed {
            self.has_failed.store(has_failed, Ordering::SeqCst);
        }
    }

    fn limit(&self) -> Duration {
        match (self.hurried.load(Ordering::SeqCst), self.has_failed.load(Ordering::SeqCst)) {
            (false, _) => LONG,
            (true, false) => SHORT,
            (true, true) => AFTER_FAILURE,
        }
    }
}

struct Reset;

impl Drop for Reset {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

/// Waits for another process's transaction. SQLite sends no notification of its end; the pauses are short because
/// transactions are.
pub(in crate::queue::file) fn handler(tries: i32) -> bool {
    let started = STARTED.get().filter(|_| tries > 0).unwrap_or_else(Instant::now);
    STARTED.set(Some(started));
    let pause = Duration::from_micros(100 << tries.clamp(0, 4));
    std::thread::sleep(pause.mul_f64(0.5 + fastrand::f64()));
    CURRENT.with_borrow(|current| started.elapsed() < current.as_ref().map_or(LONG, |patience| patience.limit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how long the handler lets a caller wait.
    fn waited() -> Duration {
        let started = Instant::now();
        (0..).find(|&tries| !handler(tries));
        started.elapsed()
    }

    #[test]
    fn a_stop_shortens_the_waits_that_lose_nothing_and_the_next_ones_even_more() {
        let patience = Arc::new(Patience::default());
        let hurry = patience.clone();
        let hurried = std::thread::spawn(move || {
            std::thread::park_timeout(Duration::from_millis(50));
            hurry.hurry();
        });
        let first = patience.while_waiting(waited);
        hurried.join().expect("no panic");
        assert!(first >= SHORT && first < LONG / 2, "{first:?}");
        patience.note(true);
        // A machine that does other things too may let a thread wait for longer now and then.
        let next = [(); 5].map(|()| patience.while_waiting(waited));
        assert!(next.iter().all(|wait| *wait >= AFTER_FAILURE) && next.iter().any(|wait| *wait < SHORT), "{next:?}");
    }
}
