//! Decides which handler checks that a name, or a declared job, has no second handler.
//!
//! If both handlers of a pair in one crate checked, one mistake would cause two errors. So only the
//! first one checks. The compiler expands each attribute of a crate once, in order and in one
//! process, so the first one is always there. A process that expands an attribute twice, as editors
//! do, merely checks less.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// The keys that have been asked about in this crate.
#[derive(Default)]
pub(crate) struct Seen(Mutex<Option<HashSet<String>>>);

impl Seen {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Checks whether this key is new. A handler that a `cfg` may remove does not record its key, so
    /// that later handlers ask too.
    pub(crate) fn is_first(&self, key: String, conditional: bool) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.get_or_insert_with(HashSet::new);
        if conditional { !seen.contains(&key) } else { seen.insert(key) }
    }
}
