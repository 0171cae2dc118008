//! A board on which the handlers of a test write, and gates at which they wait for the test.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Shared between a test and the handlers of its worker, as their state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Seen {
    lines: Vec<String>,
    open: HashSet<String>,
}

impl Board {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line from a handler.
    pub(crate) fn write(&self, line: impl Into<String>) {
        self.seen().lines.push(line.into());
    }

    /// Returns the lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().lines.clone()
    }

    pub(crate) fn has(&self, line: &str) -> bool {
        self.seen().lines.iter().any(|told| told == line)
    }

    /// Blocks a handler until the test opens this gate.
    pub(crate) fn wait(&self, gate: &str) {
        let shut = |seen: &mut Seen| !seen.open.contains(gate);
        drop(self.0.changed.wait_while(self.seen(), shut).unwrap_or_else(PoisonError::into_inner));
    }

    /// Releases the handlers that wait at this gate.
    pub(crate) fn open(&self, gate: &str) {
        self.seen().open.insert(gate.to_owned());
        self.0.changed.notify_all();
    }
}
