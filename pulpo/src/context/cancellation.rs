//! The signal that the result of a run no longer counts.

use std::sync::Mutex;
use std::task::Waker;

use crate::sync::lock;

/// Whether the run in a lane no longer counts. Each lane has one, which its runs use in turn.
#[derive(Debug, Default)]
pub(crate) struct Cancellation(Mutex<Cancelled>);

#[derive(Debug, Default)]
struct Cancelled {
    cancelled: bool,
    /// Wakes the future of the run.
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

    /// Resets it for the next run.
    pub(crate) fn reset(&self) {
        *lock(&self.0) = Cancelled::default();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        lock(&self.0).cancelled
    }

    /// Returns whether the run is cancelled; if not, registers the waker for that.
    #[cfg(feature = "tokio")]
    pub(super) fn is_cancelled_or_wakes(&self, waker: &Waker) -> bool {
        let mut state = lock(&self.0);
        if !state.cancelled && !state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        state.cancelled
    }
}
