//! Tells the other processes that there is something new, so that an idle
//! worker need not ask again and again.
//!
//! Who changes what is ready rings: it writes one byte into a file beside the
//! database. Who waits has the operating system watch that file. The database
//! itself is not watched, since each lease and acknowledgement changes it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, Watcher as _};

use super::attached::Identity;
use super::folder::open_file;
use super::keeper::Keeper;
use super::owner;
use crate::clock::{Signal, lock};

const FILE_NAME: &str = "queue.bell";

pub(super) struct Bell {
    path: PathBuf,
    /// Opened when it is needed first.
    rope: Mutex<Option<(File, Identity)>>,
    listener: Mutex<Option<Listener>>,
    /// Whether a ring has failed: that is said once.
    failed: AtomicBool,
}

/// Watches the file until it is dropped.
struct Listener {
    watched: Identity,
    _watcher: Option<notify::RecommendedWatcher>,
}

impl std::fmt::Debug for Bell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bell").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Bell {
    pub(super) fn new(base_path: &Path) -> Self {
        Self {
            path: base_path.join(FILE_NAME),
            rope: Mutex::default(),
            listener: Mutex::default(),
            failed: AtomicBool::new(false),
        }
    }

    /// Wakes those who listen in other processes. A ring that fails loses
    /// nothing: a worker looks by itself each `sleep_duration`.
    pub(super) fn ring(&self) {
        let ring = || -> io::Result<()> {
            let standing = Identity::of(&self.path);
            // Who listens has made the file.
            if standing.is_none() {
                return Ok(());
            }
            let mut held = lock(&self.rope);
            let current = held.take().filter(|(_, identity)| *identity == standing);
            let current = match current {
                Some(current) => current,
                None => (fs::OpenOptions::new().write(true).open(&self.path)?, standing),
            };
            owner::write_at(&held.insert(current).0, b"!", 0)
        };
        if let Err(error) = ring() {
            if self.failed.swap(true, Ordering::Relaxed) {
                tracing::debug!(file = %self.path.display(), %error, "cannot wake the workers of other processes");
            } else {
                tracing::warn!(
                    file = %self.path.display(), %error,
                    "cannot wake the workers of other processes: jobs may start up to one `sleep_duration` late"
                );
            }
        }
    }

    /// From now on, a ring notifies `signal`. To be called again before each
    /// wait, since the file may have been replaced.
    pub(super) fn listen(&self, signal: &Arc<Signal>, keeper: &Arc<Keeper>) {
        let mut listener = lock(&self.listener);
        let standing = Identity::of(&self.path);
        if listener.as_ref().is_some_and(|listener| listener.watched == standing) {
            return;
        }
        if listener.is_some() {
            // There may have been rings that nobody heard.
            signal.notify();
        }
        let (signal, keeper) = (signal.clone(), keeper.clone());
        let watching = open_file(&self.path).map_err(notify::Error::io).and_then(|_| {
            let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                // After an error events may be missing: look.
                match &event {
                    Ok(event) if is_of_a_worker(event) => {
                        // The lock of a process that ends is closed.
                        if event.kind.is_remove() || event.kind == CLOSED {
                            keeper.look_for_the_dead();
                        }
                    }
                    Ok(event) if !event.kind.is_modify() && !event.kind.is_remove() => {}
                    _ => signal.notify(),
                }
            })?;
            watcher.watch(&self.path, notify::RecursiveMode::NonRecursive)?;
            // Without it the keeper looks each second.
            let workers = self.path.with_file_name(owner::FOLDER);
            if let Err(error) = watcher.watch(&workers, notify::RecursiveMode::NonRecursive) {
                tracing::debug!(folder = %workers.display(), %error, "cannot watch for the ends of other processes");
            }
            Ok(watcher)
        });
        if let Err(error) = &watching {
            tracing::warn!(
                file = %self.path.display(), %error,
                "cannot watch for publications by other processes: jobs may start up to one `sleep_duration` late"
            );
        }
        // One that failed is not tried again until the file is another.
        let watched = Identity::of(&self.path);
        *listener = Some(Listener { watched, _watcher: watching.ok() });
    }
}

const CLOSED: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));

/// Whether it is of a file by which a process shows that it lives.
fn is_of_a_worker(event: &notify::Event) -> bool {
    event.paths.iter().all(|path| path.parent().is_some_and(|folder| folder.ends_with(owner::FOLDER)))
        && !event.paths.is_empty()
}
