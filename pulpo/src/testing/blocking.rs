//! Runs blocking code on another thread if the caller's must not block, because a Tokio runtime polls its tasks there.

#[cfg(feature = "tokio")]
use std::sync::{Arc, Mutex};
#[cfg(feature = "tokio")]
use std::task::{Poll, Waker};
#[cfg(feature = "tokio")]
use std::thread;

#[cfg(feature = "tokio")]
use crate::sync::lock;

/// Runs the work here, or on another thread if this one belongs to a runtime, and waits for it.
pub(super) fn run<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    #[cfg(feature = "tokio")]
    if tokio::runtime::Handle::try_current().is_ok() {
        let work = with_logs(work);
        let done = thread::scope(|scope| scope.spawn(work).join());
        return done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
    work()
}

/// Runs the work on a thread of its own. It does not use the runtime's blocking threads: a test may have paused the
/// runtime's time, which stands still until they end.
#[cfg(feature = "tokio")]
pub(super) async fn run_async<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    struct Shared<R> {
        result: Option<thread::Result<R>>,
        waker: Option<Waker>,
    }
    let shared = Arc::new(Mutex::new(Shared { result: None, waker: None }));
    let (theirs, work) = (shared.clone(), with_logs(work));
    thread::spawn(move || {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        let mut shared = lock(&theirs);
        shared.result = Some(result);
        if let Some(waker) = shared.waker.take() {
            waker.wake();
        }
    });
    let result = std::future::poll_fn(|task| {
        let mut shared = lock(&shared);
        match shared.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                shared.waker = Some(task.waker().clone());
                Poll::Pending
            }
        }
    });
    result.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Sends the thread's logs to the subscriber of the calling thread.
#[cfg(feature = "tokio")]
fn with_logs<R>(work: impl FnOnce() -> R) -> impl FnOnce() -> R {
    let logs = tracing::dispatcher::get_default(Clone::clone);
    move || tracing::dispatcher::with_default(&logs, work)
}
