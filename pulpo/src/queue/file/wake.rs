//! Tells the other processes that there is something new, so that an idle
//! worker need not ask again and again.
//!
//! Who changes what is ready rings: it writes one byte into a file beside the
//! database. Who waits has the operating system watch that file. The database
//! itself is not watched, since each lease and acknowledgement changes it.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use notify::Watcher as _;

use super::schema::{private_file, unavailable};
use crate::clock::{Signal, lock};
use crate::queue::QueueError;

const FILE_NAME: &str = "queue.bell";

pub(super) struct Bell {
    path: PathBuf,
    rope: Mutex<File>,
    listener: Mutex<Option<notify::RecommendedWatcher>>,
}

impl std::fmt::Debug for Bell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bell").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Bell {
    pub(super) fn new(base_path: &Path) -> Result<Self, QueueError> {
        let path = base_path.join(FILE_NAME);
        let rope = private_file(&path).map_err(|error| unavailable("make the file", &path, error))?;
        Ok(Self { path, rope: Mutex::new(rope), listener: Mutex::new(None) })
    }

    /// Wakes those who listen in other processes. A ring that fails loses
    /// nothing: a worker looks by itself each `sleep_duration`.
    pub(super) fn ring(&self) {
        let mut rope = lock(&self.rope);
        if let Err(error) = rope.seek(SeekFrom::Start(0)).and_then(|_| rope.write_all(b"!")) {
            tracing::debug!(file = %self.path.display(), %error, "cannot wake the workers of other processes");
        }
    }

    /// From now on, a ring notifies `signal`.
    pub(super) fn listen(&self, signal: &Arc<Signal>) {
        let mut listener = lock(&self.listener);
        if listener.is_some() {
            return;
        }
        let signal = signal.clone();
        let watching = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // After an error events may be missing: look.
            if event.is_ok_and(|event| !event.kind.is_modify()) {
                return;
            }
            signal.notify();
        })
        .and_then(|mut watcher| watcher.watch(&self.path, notify::RecursiveMode::NonRecursive).map(|()| watcher));
        match watching {
            Ok(watcher) => *listener = Some(watcher),
            Err(error) => tracing::warn!(
                file = %self.path.display(), %error,
                "cannot watch for publications by other processes: jobs may start up to one `sleep_duration` late"
            ),
        }
    }
}
