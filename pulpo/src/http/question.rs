//! Questions of pages that may take long to answer: about a queue, or about many metrics.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::clock::{Clock, SystemClock};

/// The time from which on an answer took long. Quick questions may be asked each time.
const LONG: Duration = Duration::from_millis(100);

/// Asks one question repeatedly, each time on a thread of its own, and at most once at a time: all callers in the
/// meantime share the answer.
///
/// An answer that took long also serves callers within that time afterwards, so that no flood of requests keeps the
/// queue busy for more than half of the time. A question that is never answered costs one thread, and is not repeated.
pub(crate) struct Question<T>(Arc<Inner<T>>);

struct Inner<T> {
    name: &'static str,
    ask: Box<dyn Fn() -> Result<T, String> + Send + Sync>,
    clock: Arc<dyn Clock>,
    state: watch::Sender<State<T>>,
}

struct State<T> {
    /// The number of answers so far.
    answers: u64,
    /// Since when a question has been in progress, in uptime.
    asking: Option<Duration>,
    last: Option<Last<T>>,
}

struct Last<T> {
    answer: Result<T, String>,
    at: Duration,
    took: Duration,
}

/// The reply to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply<T> {
    /// The answer, or its error.
    Answered(Result<T, String>),
    /// No answer yet, this long after the question.
    Late {
        /// How long ago the last answer without an error came, if there was one.
        answered: Option<Duration>,
    },
}

impl<T: Clone + Send + Sync + 'static> Question<T> {
    /// Creates a question that `ask` answers, on threads of this name.
    pub(crate) fn new(name: &'static str, ask: impl Fn() -> Result<T, String> + Send + Sync + 'static) -> Self {
        // Callers wait in real time.
        Self::with_clock(name, Arc::new(SystemClock::new()), ask)
    }

    fn with_clock(
        name: &'static str,
        clock: Arc<dyn Clock>,
        ask: impl Fn() -> Result<T, String> + Send + Sync + 'static,
    ) -> Self {
        let state = watch::Sender::new(State { answers: 0, asking: None, last: None });
        Self(Arc::new(Inner { name, ask: Box::new(ask), clock, state }))
    }

    /// Asks, unless the question is already in progress, and waits for the answer until `patience` has passed since the
    /// question was put. It is put by this call, not when the future is polled.
    pub(crate) fn ask(&self, patience: Duration) -> impl Future<Output = Reply<T>> + Send + use<T> {
        let mut state = self.0.state.subscribe();
        let (answer, left) = self.0.put(patience);
        let asked = self.0.clone();
        async move {
            let has_come = |state: &State<T>| state.answers >= answer;
            // Checked even if no time is left.
            let came = timeout(left, state.wait_for(has_come)).await;
            match came {
                Ok(Ok(state)) => match &state.last {
                    Some(last) => Reply::Answered(last.answer.clone()),
                    None => Reply::Late { answered: None },
                },
                _ => asked.late(),
            }
        }
    }
}

impl<T: Clone + Send + Sync + 'static> Inner<T> {
    /// Puts the question if it is time. Returns the number of the answer that will do, and how long to wait for it.
    fn put(self: &Arc<Self>, patience: Duration) -> (u64, Duration) {
        let (mut answer, mut left, mut start) = (0, patience, false);
        self.state.send_if_modified(|state| {
            let now = self.clock.uptime();
            let fresh = |last: &Last<T>| last.took >= LONG && now.saturating_sub(last.at) < last.took;
            match state.asking {
                Some(since) => {
                    answer = state.answers + 1;
                    left = patience.saturating_sub(now.saturating_sub(since));
                }
                None if state.last.as_ref().is_some_and(fresh) => answer = state.answers,
                None => {
                    state.asking = Some(now);
                    answer = state.answers + 1;
                    start = true;
                }
            }
            false
        });
        if start {
            let asked = self.clone();
            let started = thread::Builder::new().name(self.name.to_owned()).spawn(move || {
                let answer = catch_unwind(AssertUnwindSafe(|| (asked.ask)()));
                asked.answered(answer.unwrap_or_else(|panic| Err(panicked(&*panic))));
            });
            if let Err(error) = started {
                self.answered(Err(format!("cannot start a thread for the query: {error}")));
            }
        }
        (answer, left)
    }

    fn answered(&self, answer: Result<T, String>) {
        self.state.send_modify(|state| {
            let at = self.clock.uptime();
            let took = state.asking.take().map_or(Duration::ZERO, |since| at.saturating_sub(since));
            state.answers += 1;
            state.last = Some(Last { answer, at, took });
        });
    }

    fn late(&self) -> Reply<T> {
        let state = self.state.borrow();
        let answered = state.last.as_ref().filter(|last| last.answer.is_ok());
        Reply::Late { answered: answered.map(|last| self.clock.uptime().saturating_sub(last.at)) }
    }
}

/// Returns the message of a panic in foreign code, such as a user's adapter.
fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a panic: {}", text.unwrap_or("without a message"))
}

impl<T> fmt::Debug for Question<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Question").field(&self.0.name).finish()
    }
}

#[cfg(test)]
mod tests;
