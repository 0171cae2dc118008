//! Who asks whether a name, or a declared job, has a second handler.
//!
//! Of two handlers in one crate both would ask, and one mistake would be two
//! errors. So only the first asks. The compiler expands each attribute of a
//! crate once, in order and in one process, so the first one is always there.
//! A process that expands one twice, as editors do, merely asks less.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// What has been asked about in this crate.
#[derive(Default)]
pub(crate) struct Seen(Mutex<Option<HashSet<String>>>);

impl Seen {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Whether this is the first of its kind. One that a `cfg` may take away
    /// asks, and leaves it to the others to ask too.
    pub(crate) fn is_first(&self, key: String, conditional: bool) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.get_or_insert_with(HashSet::new);
        if conditional { !seen.contains(&key) } else { seen.insert(key) }
    }
}
