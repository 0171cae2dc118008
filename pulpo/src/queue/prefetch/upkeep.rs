//! A thread beside the lanes, for work that must not wait for a lane. It sleeps until it is woken, or for the time that
//! its work returned.

use std::thread;
use std::time::Duration;

use crate::guard::catch;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Condvar, Mutex, lock};

/// The pause after a panic: a user's clock may panic, and this thread must continue nevertheless.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    /// Whether it was woken since it last began to work.
    woken: AtomicBool,
    state: Mutex<State>,
    told: Condvar,
}

#[derive(Debug, Default)]
struct State {
    runs: bool,
    woken: bool,
    over: bool,
}

/// When to work again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// After this time, or when it is woken.
    Wake(Duration),
    /// After this time, and not before: it need not be woken until then.
    After(Duration),
    /// Never: the work is over.
    Never,
}

impl Upkeep {
    /// Starts its thread, once. Returns whether there is one.
    pub(crate) fn start(self: &Arc<Self>, name: &str, mut work: impl FnMut() -> Next + Send + 'static) -> bool {
        if std::mem::replace(&mut lock(&self.state).runs, true) {
            return true;
        }
        let upkeep = self.clone();
        let thread = thread::Builder::new().name(name.to_owned()).stack_size(256 * 1024);
        let run = move || while upkeep.turn(&mut work) {};
        if let Err(error) = thread.spawn(run) {
            lock(&self.state).runs = false;
            tracing::warn!(%error, "no thread to settle short jobs in groups: settling each separately");
            return false;
        }
        true
    }

    /// Returns whether the thread exists.
    pub(crate) fn runs(&self) -> bool {
        lock(&self.state).runs
    }

    /// Wakes the thread, because there is something to do now.
    pub(crate) fn wake(&self) {
        if !self.woken.swap(true, Ordering::SeqCst) {
            lock(&self.state).woken = true;
            self.told.notify_one();
        }
    }

    /// Ends the thread.
    pub(crate) fn end(&self) {
        lock(&self.state).over = true;
        self.told.notify_one();
    }

    /// Works once and waits; returns false at the end.
    fn turn(&self, work: &mut impl FnMut() -> Next) -> bool {
        // A later request wakes it again.
        self.woken.store(false, Ordering::SeqCst);
        let next = catch(work).unwrap_or_else(|panic| {
            tracing::error!(panic, "queue maintenance failed, retrying");
            Next::After(PAUSE)
        });
        let wait = match next {
            Next::Wake(wait) => wait,
            Next::After(wait) => {
                self.woken.store(true, Ordering::SeqCst);
                wait
            }
            Next::Never => return false,
        };
        let mut state = lock(&self.state);
        if !state.over && !state.woken {
            state = self.told.wait_timeout(state, wait).unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        state.woken = false;
        !state.over
    }
}
