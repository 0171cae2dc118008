//! One of several servers, and whether it is worth asking.
//!
//! A server that did not answer is *away*. All callers leave it alone while another server is there, so that a server
//! that accepts connections and never answers delays no caller. One thread asks it in the background, after a rest that
//! doubles with each failure, until it answers (`away`).
//!
//! A server that refuses publications, because it drains or is full, is not away: it hands out jobs. Publications leave
//! it out for a while.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::message::MessageId;
use crate::process::fork::PerProcess;
use crate::queue::{QueueAdapter, QueueError, StoredMessage};
use crate::report::chain;
use crate::sync::{lock, wait_timeout_while};

/// How long a server rests that did not answer, or refused a publication: at first, and at most.
const SHORTEST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(10);

/// A server that fails only after this time is slow: it costs every caller that long.
const SLOW: Duration = Duration::from_millis(500);

/// How long a thread that waits for a server waits before it checks whether it is still needed.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Returns a text that differs for each running server; `None` if the server has none.
pub(crate) type Identify = Arc<dyn Fn() -> Result<Option<String>, QueueError> + Send + Sync>;

pub(super) struct Server {
    pub(super) name: String,
    pub(super) queue: Arc<dyn QueueAdapter>,
    pub(super) identify: Option<Identify>,
    /// Kept per process, because a fork has its own thread that asks.
    health: PerProcess<Arc<Health>>,
}

#[derive(Default)]
pub(super) struct Health {
    state: Mutex<State>,
    /// Notified when the server is back, or is no longer needed.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Present if it did not answer when it was last asked.
    away: Option<Away>,
    /// How long the last rest was, and when the server was back after it.
    length: Duration,
    back_at: Duration,
    /// Whether a thread asks it in the background.
    is_asked: bool,
    /// Whether it is no longer needed.
    is_over: bool,
    refusals: Refusals,
}

/// Why and for how long a server is left alone.
struct Away {
    until: Duration,
    manner: Manner,
    error: QueueError,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// It refuses connections, or something else that costs a caller no time.
    Quick,
    Slow,
    /// It is another of the servers, under a second name.
    Same,
}

/// How long to publish nothing to a server that accepts nothing.
#[derive(Default)]
struct Refusals {
    until: Duration,
    length: Duration,
}

/// Whether a call that fails returns its error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Caller,
    Nobody,
}

/// In which order servers are asked to take a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Ready,
    Refusing,
    Away,
}

impl Server {
    pub(super) fn new(name: String, queue: Arc<dyn QueueAdapter>, identify: Option<Identify>) -> Self {
        Self { name, queue, identify, health: PerProcess::new() }
    }

    pub(super) fn health(&self) -> &Arc<Health> {
        self.health.get_or_init(Arc::default)
    }

    pub(super) fn id(&self, id: &MessageId) -> MessageId {
        MessageId::from(format!("{}/{id}", self.name))
    }

    pub(super) fn named(&self, message: StoredMessage) -> StoredMessage {
        StoredMessage { id: self.id(&message.id), ..message }
    }

    /// Records that the server has answered.
    pub(super) fn answered(&self, now: Duration) {
        let health = self.health();
        if health.is_away() && !health.is_left_out() {
            self.is_back(now);
        }
    }

    /// Records that the server has accepted a publication.
    pub(super) fn accepted(&self, now: Duration) {
        self.answered(now);
        lock(&self.health().state).refusals = Refusals::default();
    }

    /// Records that the server is no longer away.
    pub(super) fn is_back(&self, now: Duration) {
        let health = self.health();
        let mut state = lock(&health.state);
        let was_away = state.away.take().is_some();
        state.back_at = now;
        drop(state);
        health.changed.notify_all();
        if was_away {
            tracing::info!(server = self.name, "the server is back");
        }
    }

    /// Records that the server refuses publications. Returns whether that is news.
    pub(super) fn refuses(&self, now: Duration) -> bool {
        let mut state = lock(&self.health().state);
        let Refusals { until, length } = &mut state.refusals;
        if now < *until {
            return false;
        }
        let is_news = length.is_zero();
        *length = (*length * 2).clamp(SHORTEST_REST, LONGEST_REST);
        *until = now.saturating_add(*length);
        is_news
    }
}

impl Health {
    pub(super) fn is_away(&self) -> bool {
        lock(&self.state).away.is_some()
    }

    pub(super) fn rank(&self, now: Duration) -> Rank {
        let state = lock(&self.state);
        match &state.away {
            Some(_) => Rank::Away,
            None if now < state.refusals.until => Rank::Refusing,
            None => Rank::Ready,
        }
    }

    /// Returns whether it is another of the servers, so that nothing must be sent to it twice.
    pub(super) fn is_left_out(&self) -> bool {
        lock(&self.state).away.as_ref().is_some_and(|away| away.manner == Manner::Same)
    }

    /// Returns why the server is away, if it is.
    pub(super) fn error(&self) -> Option<QueueError> {
        lock(&self.state).away.as_ref().map(|away| copy(&away.error))
    }

    /// Returns why the server is not worth asking; `None` if it is there, or says at once that it is not.
    pub(super) fn objection(&self) -> Option<QueueError> {
        let state = lock(&self.state);
        state.away.as_ref().filter(|away| away.manner != Manner::Quick).map(|away| copy(&away.error))
    }

    /// Waits until the server is back, or until `is_over` returns true.
    pub(super) fn wait_until_back(&self, is_over: impl Fn() -> bool) {
        while !is_over() {
            let state = lock(&self.state);
            let away = |state: &mut State| state.away.is_some() && !state.is_over;
            let state = wait_timeout_while((&self.changed, &self.state), state, CHECK_INTERVAL, away);
            if state.away.is_none() || state.is_over {
                return;
            }
        }
    }

    /// Records a failure of a call. Returns `None` if the server is away already, or else whether a thread asks it,
    /// which it does from now on.
    pub(super) fn fails(&self, error: &QueueError, began: Duration, now: Duration) -> Option<bool> {
        let took = now.saturating_sub(began);
        let mut state = lock(&self.state);
        if let Some(away) = &mut state.away {
            if took >= SLOW && away.manner == Manner::Quick {
                away.manner = Manner::Slow;
            }
            return None;
        }
        state.goes_away(error, took, now);
        Some(std::mem::replace(&mut state.is_asked, true))
    }

    /// Records another failure of the thread that asks the server. Returns whether the reason is of another kind.
    pub(super) fn fails_again(&self, error: &QueueError, began: Duration, now: Duration) -> bool {
        let mut state = lock(&self.state);
        let was_left_out = state.away.as_ref().map(|away| away.manner == Manner::Same);
        state.goes_away(error, now.saturating_sub(began), now);
        was_left_out != Some(matches!(error, QueueError::Rejected { .. }))
    }

    /// Records that no thread asks the server, so that all callers have to.
    pub(super) fn is_not_asked(&self) {
        let mut state = lock(&self.state);
        (state.away, state.is_asked) = (None, false);
    }

    /// Ends the thread that asks the server.
    pub(super) fn end(&self) {
        lock(&self.state).is_over = true;
        self.changed.notify_all();
    }

    /// Waits until it is time to ask the server again. Returns false if there is no need.
    pub(super) fn rest(&self, now: Duration) -> bool {
        let state = lock(&self.state);
        let left = state.away.as_ref().map_or(Duration::ZERO, |away| away.until.saturating_sub(now));
        let rests = |state: &mut State| state.away.is_some() && !state.is_over;
        let mut state = wait_timeout_while((&self.changed, &self.state), state, left, rests);
        let goes_on = rests(&mut state);
        if !goes_on {
            state.is_asked = false;
        }
        goes_on
    }
}

impl State {
    fn goes_away(&mut self, error: &QueueError, took: Duration, now: Duration) {
        // A server that fails again soon after it was back rests for longer.
        let again = self.away.is_some() || now.saturating_sub(self.back_at) < self.length;
        let before = if again { self.length } else { Duration::ZERO };
        self.length = (before * 2).clamp(SHORTEST_REST, LONGEST_REST);
        let manner = match error {
            QueueError::Rejected { .. } => Manner::Same,
            _ if took >= SLOW => Manner::Slow,
            _ => Manner::Quick,
        };
        self.away = Some(Away { until: now.saturating_add(self.length), manner, error: copy(error) });
    }
}

/// Copies an error, with the texts of its causes.
pub(super) fn copy(error: &QueueError) -> QueueError {
    match error {
        QueueError::Unavailable { doing, source } => {
            QueueError::Unavailable { doing: doing.clone(), source: chain(&**source).into() }
        }
        QueueError::Rejected { doing, source } => {
            QueueError::Rejected { doing: doing.clone(), source: chain(&**source).into() }
        }
        QueueError::NotAQueue { place, found } => QueueError::NotAQueue { place: place.clone(), found: found.clone() },
        other => QueueError::Unavailable { doing: "use the server".to_owned(), source: chain(other).into() },
    }
}

#[cfg(test)]
mod tests;
