//! Records which process has opened queues, since a fork of it must not open any.
//!
//! SQLite keeps in memory which locks its process holds. A fork copies that memory, while the locks stay with the
//! parent. So a connection that a fork opens would rely on locks that it does not hold.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::process::fork::{Birthplace, Forked};

/// How many queues are open, and in which process. Atomic rather than locked, since a thread of the parent could have
/// held a lock at the moment of the fork.
static COUNT: AtomicUsize = AtomicUsize::new(0);
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// An open queue.
#[derive(Debug)]
pub(in crate::queue::file) struct Opened {
    birthplace: Birthplace,
    /// Whether it counts until it is dropped.
    is_counted: bool,
}

impl Opened {
    /// Registers a queue in memory, where nothing is locked.
    pub(in crate::queue::file) fn in_memory() -> Self {
        Self { birthplace: Birthplace::here(), is_counted: false }
    }

    /// Registers a queue on disk. Refuses in a fork of a process that had queues open.
    pub(in crate::queue::file) fn on_disk() -> Result<Self, Forked> {
        if COUNT.load(Ordering::SeqCst) > 0 {
            Birthplace::of(PROCESS.load(Ordering::SeqCst)).check()?;
        }
        PROCESS.store(std::process::id(), Ordering::SeqCst);
        COUNT.fetch_add(1, Ordering::SeqCst);
        Ok(Self { birthplace: Birthplace::here(), is_counted: true })
    }

    /// Refuses to continue in a fork: no lock may be taken there.
    pub(in crate::queue::file) fn check(&self) -> Result<(), Forked> {
        self.birthplace.check()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if self.is_counted && self.birthplace.is_here() {
            COUNT.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
