//! The word that the result of a run no longer counts.

use std::sync::Mutex;
use std::task::Waker;

use crate::clock::lock;

/// Whether the run in a lane no longer counts. Each lane has one, for one run
/// after the other.
#[derive(Debug, Default)]
pub(crate) struct Cancellation(Mutex<Cancelled>);

#[derive(Debug, Default)]
struct Cancelled {
    cancelled: bool,
    /// Wakes the future that runs.
    waker: Option<Waker>,
}

impl Cancellation {
    pub(crate) fn cancel(&self) {
        let mut state = lock(&self.0);
        state.cancelled = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Another run begins.
    pub(crate) fn reset(&self) {
        *lock(&self.0) = Cancelled::default();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        lock(&self.0).cancelled
    }

    /// Whether it is cancelled; if it is not yet, that will wake this one.
    #[cfg(feature = "tokio")]
    pub(super) fn is_cancelled_or_wakes(&self, waker: &Waker) -> bool {
        let mut state = lock(&self.0);
        if !state.cancelled && !state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        state.cancelled
    }
}
