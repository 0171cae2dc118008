//! Shows other processes that this one is alive, and what it is running, so that its leases end immediately when it
//! dies and only the messages that it was running count an attempt.
//!
//! `workers/ID` is locked for as long as the process lives. A process that can lock the file of another one knows that
//! the other has died, and ends its leases. `workers/running/ID` has a slot of 16 bytes for each message that was
//! handed to a lane: the id of the message and the number of its lease. A write is in the system's memory when it
//! returns, and so survives the process. When a process dies, only the runs in its slots count; messages that it had
//! merely leased do not.
//!
//! # Invariants
//! - Once taken, a lock is held until the process ends, even if the run record fails: otherwise others would take a
//!   live process for dead.
//! - A record that may be wrong is removed: without one, all runs count.
//! - Files whose names are not ours are left alone.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use crate::queue::file::storage::file_id::FileId;
use crate::queue::file::storage::folder::{make_folder, open_or_make, open_own};
use crate::sync::lock;

/// The folder beside the database.
pub(in crate::queue::file) const FOLDER: &str = "workers";
const RUNNING: &str = "running";
const SLOT: usize = 16;

/// A message under one of its leases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::queue::file) struct Run {
    pub(in crate::queue::file) message: i64,
    pub(in crate::queue::file) lease: u64,
}

/// The identity of this process, as the others see it.
#[derive(Debug)]
pub(in crate::queue::file) struct ProcessLock {
    /// Random, so that the leases of two processes are never confused, whatever the processes are called.
    id: String,
    /// `None` in memory, where no other process can look.
    base_path: Option<PathBuf>,
    slots: Mutex<Vec<Option<Run>>>,
    /// The file with the slots, which many lanes write at the same time. Without it, all leases count as runs.
    record: RwLock<Option<Record>>,
    registration: Mutex<Registration>,
}

#[derive(Debug)]
struct Record {
    file: File,
    identity: FileId,
}

#[derive(Debug, Default)]
struct Registration {
    /// Whether this process may have leases.
    wanted: bool,
    /// The locked file and its identity.
    lock: Option<(File, FileId)>,
    /// Whether a failure to write has been logged.
    has_warned: bool,
}

impl ProcessLock {
    pub(in crate::queue::file) fn new(id: String, base_path: Option<&Path>) -> Self {
        let base_path = base_path.map(Path::to_owned);
        let (slots, record, registration) = Default::default();
        Self { id, base_path, slots, record, registration }
    }

    pub(in crate::queue::file) fn id(&self) -> &str {
        &self.id
    }

    /// Registers this process with the others, before its first lease.
    pub(in crate::queue::file) fn register(&self) {
        lock(&self.registration).wanted = true;
        self.renew();
    }

    /// Registers again if the files have been removed or could not be written before.
    pub(in crate::queue::file) fn renew(&self) {
        let Some(base_path) = &self.base_path else { return };
        let folder = base_path.join(FOLDER);
        let mut registration = lock(&self.registration);
        // Without a queue there are no leases, and no folder must be created.
        if !registration.wanted || FileId::of(&base_path.join(crate::queue::file::storage::folder::FILE_NAME)).is_none()
        {
            return;
        }
        let file = folder.join(&self.id);
        let is_there = registration.lock.as_ref().is_some_and(|(_, identity)| *identity == FileId::of(&file));
        let record = FileId::of(&record_of(&folder, &self.id));
        if is_there && self.record().as_ref().is_some_and(|known| !record.is_none() && known.identity == record) {
            return;
        }
        // While this lock is held, no lane writes into the old record.
        let mut record = self.record.write().unwrap_or_else(PoisonError::into_inner);
        let written = (|| {
            if !is_there {
                *record = None;
                registration.lock = Some(lock_file(&folder, &self.id)?);
            }
            *record = Some(write_record(&folder, &self.id, &lock(&self.slots))?);
            Ok(())
        })();
        drop(record);
        if let Err(error) = written {
            remove_record(&folder, &self.id);
            registration.warn(&folder, &error);
        }
    }

    /// Returns whether other processes can see what this one runs. If not, only messages that start immediately may be
    /// leased.
    pub(in crate::queue::file) fn is_visible(&self) -> bool {
        self.base_path.is_none() || self.record().is_some()
    }

    /// Returns a new slot, which is reused for one message after another.
    pub(in crate::queue::file) fn new_slot(&self) -> usize {
        let mut slots = lock(&self.slots);
        slots.push(None);
        slots.len() - 1
    }

    /// Frees a slot, because its message is settled. The file changes only when the slot is used again; until then it
    /// names a lease that no longer exists.
    pub(in crate::queue::file) fn free_slot(&self, slot: usize) {
        if let Some(place) = lock(&self.slots).get_mut(slot) {
            *place = None;
        }
    }

    /// Writes into the slot which message its lane has; `None` clears it.
    pub(in crate::queue::file) fn write_slot(&self, slot: usize, run: Option<Run>) {
        let record = self.record();
        if let Some(place) = lock(&self.slots).get_mut(slot) {
            *place = run;
        }
        let Some(Record { file, .. }) = &*record else { return };
        let written = write_at(file, &bytes(run), (slot * SLOT) as u64);
        drop(record);
        if let Err(error) = written {
            let mut registration = lock(&self.registration);
            *self.record.write().unwrap_or_else(PoisonError::into_inner) = None;
            let folder = self.base_path.as_ref().map(|path| path.join(FOLDER)).unwrap_or_default();
            remove_record(&folder, &self.id);
            registration.warn(&folder, &error);
        }
    }

    /// Returns the record, which is not replaced while the guard lives.
    fn record(&self) -> RwLockReadGuard<'_, Option<Record>> {
        self.record.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the registration, unless lanes may have left messages unsettled.
    pub(in crate::queue::file) fn unregister(&self) {
        let is_idle = self.runs().is_empty();
        let is_registered = lock(&self.registration).lock.is_some();
        if let Some(base_path) = &self.base_path
            && is_registered
            && is_idle
        {
            remove(&base_path.join(FOLDER), &self.id);
        }
    }

    fn runs(&self) -> HashSet<Run> {
        lock(&self.slots).iter().copied().flatten().collect()
    }
}

impl Registration {
    fn warn(&mut self, folder: &Path, error: &io::Error) {
        if std::mem::replace(&mut self.has_warned, true) {
            return;
        }
        let folder = folder.display();
        if self.lock.is_some() {
            tracing::warn!(
                %folder, %error,
                "cannot record which messages are running: if this process dies, all of its leases count as attempts"
            );
        } else {
            tracing::warn!(
                %folder, %error,
                "cannot show other processes that this one is alive: if it dies, its jobs wait until their leases end"
            );
        }
    }
}

/// A dead process that no other process is handling at the same time.
#[derive(Debug)]
pub(in crate::queue::file) struct DeadProcess {
    pub(in crate::queue::file) id: String,
    folder: PathBuf,
    _lock: File,
}

impl DeadProcess {
    /// Removes the files, after the leases have been ended.
    pub(in crate::queue::file) fn remove_files(self) {
        remove(&self.folder, &self.id);
    }
}

/// Returns a new id for a process.
pub(in crate::queue::file) fn new_id() -> Result<String, getrandom::Error> {
    let mut random = [0; 8];
    getrandom::fill(&mut random)?;
    Ok(format!("{:016x}", u64::from_ne_bytes(random)))
}

fn is_id(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Returns the dead processes that left leases in this folder.
pub(in crate::queue::file) fn dead_processes(base_path: &Path, us: &ProcessLock) -> Vec<DeadProcess> {
    let folder = base_path.join(FOLDER);
    let Ok(entries) = fs::read_dir(&folder) else { return Vec::new() };
    let mut dead = Vec::new();
    for entry in entries.flatten() {
        // Other files in the folder are not ours to remove.
        let Ok(id) = entry.file_name().into_string() else { continue };
        if id == us.id || !is_id(&id) {
            continue;
        }
        let Ok(file) = open_own(OpenOptions::new().read(true), &entry.path()) else { continue };
        // Ours is empty. A live process holds the lock of its file.
        if file.metadata().is_ok_and(|file| file.len() == 0) && file.try_lock().is_ok() {
            dead.push(DeadProcess { id, folder: folder.clone(), _lock: file });
        }
    }
    dead
}

/// Returns whether the process with this id is alive, as far as this one can tell: only a missing file and a free lock
/// prove that it is not.
pub(in crate::queue::file) fn lives(base_path: Option<&Path>, us: &ProcessLock, id: &str) -> bool {
    if id == us.id {
        return true;
    }
    let Some(path) = base_path.filter(|_| is_id(id)).map(|base| base.join(FOLDER).join(id)) else { return false };
    match open_own(OpenOptions::new().read(true), &path) {
        Ok(file) => file.try_lock().is_err(),
        Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
    }
}

/// Which runs of a silent or dead process count; `None` if unknown, and then all do.
#[derive(Debug)]
pub(in crate::queue::file) struct RunRecord(Option<HashSet<Run>>);

impl RunRecord {
    /// Reads the record of the process with this id, which may be this one.
    pub(in crate::queue::file) fn of(us: &ProcessLock, base_path: Option<&Path>, id: &str) -> Self {
        if id == us.id {
            return Self(us.is_visible().then(|| us.runs()));
        }
        let read = |base: &Path| {
            let mut bytes = Vec::new();
            let path = record_of(&base.join(FOLDER), id);
            open_own(OpenOptions::new().read(true), &path)?.read_to_end(&mut bytes)?;
            Ok::<_, io::Error>(bytes)
        };
        let bytes = base_path.filter(|_| is_id(id)).and_then(|base| read(base).ok());
        Self(bytes.map(|bytes| bytes.chunks_exact(SLOT).map(run).collect()))
    }

    pub(in crate::queue::file) fn counts(&self, run: Run) -> bool {
        self.0.as_ref().is_none_or(|runs| runs.contains(&run))
    }
}

fn run(slot: &[u8]) -> Run {
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or_default();
    Run { message: number(&slot[..8]).cast_signed(), lease: number(&slot[8..]) }
}

fn bytes(run: Option<Run>) -> [u8; SLOT] {
    let Run { message, lease } = run.unwrap_or_default();
    let mut bytes = [0; SLOT];
    bytes[..8].copy_from_slice(&message.to_le_bytes());
    bytes[8..].copy_from_slice(&lease.to_le_bytes());
    bytes
}

fn lock_file(folder: &Path, id: &str) -> io::Result<(File, FileId)> {
    make_folder(&folder.join(RUNNING))?;
    // Locked before it gets its name, so that no process takes it for a dead one's.
    let unnamed = folder.join(format!(".{id}"));
    let alive = open_or_make(&unnamed)?;
    match alive.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(error)) => return Err(error),
        Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::ResourceBusy.into()),
    }
    let file = folder.join(id);
    fs::rename(unnamed, &file)?;
    Ok((alive, FileId::of(&file)))
}

fn record_of(folder: &Path, id: &str) -> PathBuf {
    folder.join(RUNNING).join(id)
}

fn write_record(folder: &Path, id: &str, slots: &[Option<Run>]) -> io::Result<Record> {
    make_folder(&folder.join(RUNNING))?;
    let path = record_of(folder, id);
    let record = open_or_make(&path)?;
    // Reserves room for some lanes, so that a full disk is noticed now.
    let mut all = slots.iter().copied().flat_map(bytes).collect::<Vec<_>>();
    all.resize(all.len().max(64 * SLOT), 0);
    record.set_len(0)?;
    write_at(&record, &all, 0)?;
    Ok(Record { file: record, identity: FileId::of(&path) })
}

fn remove_record(folder: &Path, id: &str) {
    let _ = fs::remove_file(record_of(folder, id));
}

/// Removes the files of a process. The name of the lock goes last, so that another process can finish an interrupted
/// removal.
fn remove(folder: &Path, id: &str) {
    remove_record(folder, id);
    let _ = fs::remove_file(folder.join(id));
}

pub(in crate::queue::file) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_all_at(file, bytes, offset);
    #[cfg(not(unix))]
    {
        use std::io::{Seek as _, Write as _};
        let mut file = file;
        file.seek(io::SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }
}

#[cfg(test)]
mod tests;
