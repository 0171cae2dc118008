//! Decides which handler checks that a name, or a declared job, has no second handler.
//!
//! If both handlers of a pair in one crate checked, one mistake would cause two errors. So only the
//! first one checks. The compiler expands each attribute of a crate once, in order and in one
//! process, so the first one is always there. A process that expands an attribute twice, as editors
//! do, merely checks less.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

/// The keys that have been asked about in this crate.
#[derive(Default)]
pub(crate) struct Seen(Mutex<Option<State>>);

#[derive(Default)]
struct State {
    keys: HashSet<String>,
    /// The number of questions of each key.
    asks: BTreeMap<String, u32>,
}

impl Seen {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn with<R>(&self, action: impl FnOnce(&mut State) -> R) -> R {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        action(seen.get_or_insert_with(State::default))
    }

    /// Checks whether this key is new. A handler that a `cfg` may remove does not record its key, so
    /// that later handlers ask too.
    pub(crate) fn is_first(&self, key: String, conditional: bool) -> bool {
        self.with(|state| if conditional { !state.keys.contains(&key) } else { state.keys.insert(key) })
    }

    /// Records a question, and returns its place among those of its key.
    pub(crate) fn ask(&self, key: &str) -> u32 {
        self.with(|state| {
            let count = state.asks.entry(key.to_owned()).or_default();
            *count += 1;
            *count - 1
        })
    }

    /// Returns the place of the last question of a key.
    pub(crate) fn last_ask(&self, key: &str) -> Option<u32> {
        self.with(|state| state.asks.get(key).map(|count| count - 1))
    }

    /// Returns the last question of each key.
    pub(crate) fn all_asks(&self) -> Vec<(String, u32)> {
        self.with(|state| state.asks.iter().map(|(key, count)| (key.clone(), count - 1)).collect())
    }
}
