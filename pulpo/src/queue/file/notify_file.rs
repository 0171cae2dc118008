//! Notifies other processes of new messages, so that an idle worker need not poll often.
//!
//! Each queue has a file, `notify/NAME`. A process that changes what is ready in a queue writes one byte into its file.
//! A waiting process has the operating system watch the files of its own queues. The database file is not watched,
//! since each lease and acknowledgement changes it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, Watcher as _};

use super::leases::process_lock::{self, write_at};
use super::maintenance::Maintenance;
use super::storage::file_id::FileId;
use super::storage::folder::{make_folder, open_or_make, open_own};
use crate::clock::{Clock as _, Notify, SystemClock};
use crate::sync::lock;

const FOLDER: &str = "notify";

/// How long to wait before a failed watch is retried.
const RETRY: Duration = Duration::from_secs(5);

pub(super) struct NotifyFiles {
    /// Absolute, as the paths of events are.
    base_path: PathBuf,
    handles: Mutex<HashMap<OsString, (File, FileId)>>,
    listener: Mutex<Listener>,
    /// Whether the failure to notify has been logged.
    has_warned: AtomicBool,
}

/// Watches files until it is dropped.
#[derive(Default)]
struct Listener {
    watcher: Option<notify::RecommendedWatcher>,
    watched: HashMap<PathBuf, FileId>,
    /// Whether the failure to watch has been logged, and when to retry, in real uptime.
    retry_at: Option<Duration>,
    clock: SystemClock,
}

impl std::fmt::Debug for NotifyFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NotifyFiles").field("base_path", &self.base_path).finish_non_exhaustive()
    }
}

impl NotifyFiles {
    pub(super) fn new(base_path: &Path) -> Self {
        let base_path = std::path::absolute(base_path).unwrap_or_else(|_| base_path.to_owned());
        let has_warned = AtomicBool::new(false);
        Self { base_path, handles: Mutex::default(), listener: Mutex::default(), has_warned }
    }

    /// Wakes the waiting workers of this queue in other processes. A failure loses nothing: a worker polls every
    /// `sleep_duration`.
    pub(super) fn notify(&self, queue: &str) {
        self.write(file_name(queue));
    }

    fn write(&self, name: OsString) {
        let path = self.base_path.join(FOLDER).join(&name);
        let write = || -> io::Result<()> {
            let current = FileId::of(&path);
            // Waiting processes have created the file.
            if current.is_none() {
                return Ok(());
            }
            let mut handles = lock(&self.handles);
            match handles.get(&name) {
                Some((handle, identity)) if *identity == current => write_at(handle, b"!", 0),
                _ => {
                    let handle = open_own(fs::OpenOptions::new().write(true), &path)?;
                    // Ours is empty, or has the byte of a notification.
                    if handle.metadata()?.len() > 1 {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, "expected an empty file"));
                    }
                    write_at(&handle, b"!", 0)?;
                    handles.insert(name.clone(), (handle, current));
                    Ok(())
                }
            }
        };
        if let Err(error) = write() {
            let file = path.display();
            if self.has_warned.swap(true, Ordering::Relaxed) {
                tracing::debug!(%file, %error, "cannot wake the workers of other processes");
            } else {
                tracing::warn!(
                    %file, %error,
                    "cannot wake the workers of other processes: jobs may start up to one `sleep_duration` late"
                );
            }
        }
    }

    /// From now on, forwards notifications of these queues to `signal`. Must be called again before each wait, since
    /// the files may have been replaced.
    pub(super) fn listen(&self, queues: &[String], signal: &Arc<Notify>, maintenance: &Arc<Maintenance>) {
        let mut listener = lock(&self.listener);
        let folder = self.base_path.join(FOLDER);
        let workers = self.base_path.join(process_lock::FOLDER);
        let is_watched = |path: &Path| {
            let current = FileId::of(path);
            !current.is_none() && listener.watched.get(path) == Some(&current)
        };
        let mut missing: Vec<PathBuf> = queues.iter().map(|queue| folder.join(file_name(queue))).collect();
        missing.retain(|file| !is_watched(file));
        // Without this watch, dead processes are found by a scan each second.
        let workers_missing = !is_watched(&workers) && workers.is_dir();
        if missing.is_empty() && !workers_missing {
            return;
        }
        let uptime = listener.clock.uptime();
        if listener.retry_at.is_some_and(|at| uptime < at) {
            return;
        }
        let watching = (|| {
            if listener.watcher.is_none() {
                listener.watcher = Some(watcher(&workers, signal.clone(), maintenance.clone())?);
            }
            for file in missing {
                listener.watch(&file, signal, || {
                    // Not in a folder that is being removed.
                    fs::metadata(self.base_path.join(super::storage::folder::FILE_NAME))?;
                    make_folder(&folder)?;
                    open_or_make(&file).map(drop)
                })?;
            }
            if workers_missing {
                listener.watch(&workers, signal, || Ok(()))?;
            }
            Ok::<_, notify::Error>(())
        })();
        match watching {
            Ok(()) => listener.retry_at = None,
            Err(error) => {
                let folder = folder.display();
                if listener.retry_at.is_none() {
                    tracing::warn!(
                        %folder, %error,
                        "cannot watch for publications by other processes: jobs may start up to one `sleep_duration` late"
                    );
                }
                // It may watch only half of the paths.
                listener.watcher = None;
                listener.watched.clear();
                listener.retry_at = Some(uptime + RETRY);
            }
        }
    }
}

impl Listener {
    fn watch(&mut self, path: &Path, signal: &Notify, make: impl Fn() -> io::Result<()>) -> notify::Result<()> {
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        make().map_err(notify::Error::io)?;
        let identity = FileId::of(path);
        if self.watched.contains_key(path) {
            // The watch of the file that was replaced; it may be gone already.
            let _ = watcher.unwatch(path);
        }
        watcher.watch(path, notify::RecursiveMode::NonRecursive)?;
        // Notifications may have been missed.
        if self.watched.insert(path.to_owned(), identity).is_some() || self.retry_at.is_some() {
            signal.notify();
        }
        Ok(())
    }
}

fn watcher(
    workers: &Path,
    signal: Arc<Notify>,
    maintenance: Arc<Maintenance>,
) -> notify::Result<notify::RecommendedWatcher> {
    let workers = workers.to_owned();
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| match react(&event, &workers) {
        Reaction::Nothing => {}
        Reaction::Notify => signal.notify(),
        Reaction::ScanDeadProcesses => maintenance.scan_dead_processes(),
        Reaction::Both => {
            signal.notify();
            maintenance.scan_dead_processes();
        }
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Reaction {
    Nothing,
    Notify,
    ScanDeadProcesses,
    /// Some events are missing.
    Both,
}

/// Classifies an event.
fn react(event: &notify::Result<notify::Event>, workers: &Path) -> Reaction {
    const CLOSED: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));
    let Ok(event) = event else { return Reaction::Both };
    if event.need_rescan() || matches!(event.kind, EventKind::Any | EventKind::Other) {
        return Reaction::Both;
    }
    let of_a_worker = |path: &PathBuf| path == workers || path.parent() == Some(workers);
    if !event.paths.is_empty() && event.paths.iter().all(of_a_worker) {
        // The lock file of a process that ends is closed.
        let ends = event.kind.is_remove() || event.kind == CLOSED;
        return if ends { Reaction::ScanDeadProcesses } else { Reaction::Nothing };
    }
    if event.kind.is_modify() || event.kind.is_remove() { Reaction::Notify } else { Reaction::Nothing }
}

/// Returns the file of a queue. Two queues may share one: that costs an unnecessary query.
fn file_name(queue: &str) -> OsString {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    queue.chars().take(100).map(plain).collect::<String>().into()
}

#[cfg(test)]
mod tests;
