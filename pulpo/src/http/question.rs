//! What pages ask that may take long: of a queue, or of many metrics.

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

/// From here on an answer took long. What is quick may be asked each time.
const LONG: Duration = Duration::from_millis(100);

/// Asks one thing again and again, each time on a thread of its own, and at
/// most once at a time: all who ask in the meantime share the answer.
///
/// An answer that took long also serves those who come within that time, so
/// that no flood of requests keeps the queue busy for more than half of it.
/// A question that is never answered costs one thread, and is not repeated.
pub(crate) struct Question<T>(Arc<Inner<T>>);

struct Inner<T> {
    name: &'static str,
    ask: Box<dyn Fn() -> Result<T, String> + Send + Sync>,
    clock: Arc<dyn Clock>,
    state: watch::Sender<State<T>>,
}

struct State<T> {
    /// How often it was answered.
    answers: u64,
    /// Since when it is being asked, in uptime.
    asking: Option<Duration>,
    last: Option<Last<T>>,
}

struct Last<T> {
    answer: Result<T, String>,
    at: Duration,
    took: Duration,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply<T> {
    /// The answer, or why there is none.
    Answered(Result<T, String>),
    /// Nothing yet, this long after it was asked.
    Late {
        /// How long ago the last answer came that was no error, if one did.
        answered: Option<Duration>,
    },
}

impl<T: Clone + Send + Sync + 'static> Question<T> {
    /// A question that `ask` answers. `name` is that of its threads.
    pub(crate) fn new(name: &'static str, ask: impl Fn() -> Result<T, String> + Send + Sync + 'static) -> Self {
        // Whoever asks waits in real time.
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

    /// Asks, unless it is being asked already, and waits for the answer until
    /// `patience` has passed since the question was put. It is put when this
    /// is called, not when the future is polled.
    pub(crate) fn ask(&self, patience: Duration) -> impl Future<Output = Reply<T>> + Send + use<T> {
        let mut state = self.0.state.subscribe();
        let (answer, left) = self.0.put(patience);
        let asked = self.0.clone();
        async move {
            let has_come = |state: &State<T>| state.answers >= answer;
            // Looked at even if no time is left.
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
    /// Starts asking if it is time. Returns which answer will do, by its
    /// number, and how long to wait for it.
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
                self.answered(Err(format!("the system gives no thread to ask on: {error}")));
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

/// The message of a panic in code that is not ours: an adapter of the user's.
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
