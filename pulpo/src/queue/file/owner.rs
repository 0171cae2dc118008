//! What a process tells the others of itself while it holds leases: that it
//! lives, by a lock that the system takes away with the process; and which of
//! its messages are being run, by a file that outlives it.
//!
//! `workers/ID` is locked for as long as the process lives. Who can lock it
//! knows that the process has died, and ends its leases at once.
//! `workers/running/ID` has a cell of 16 bytes for each message that was
//! handed to a lane: the id of the message and the number of its lease. A
//! write into it is in the system's memory when it returns, and so survives
//! the process. Of a process that died, the runs of those messages count, and
//! nothing else that it had leased.

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::folder::{make_folder, open_file};
use crate::clock::lock;

/// Beside the database.
pub(super) const FOLDER: &str = "workers";
const RUNNING: &str = "running";
const CELL: usize = 16;

/// A message, in one of its leases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Run {
    pub(super) message: i64,
    pub(super) lease: u64,
}

/// This process.
#[derive(Debug)]
pub(super) struct Owner {
    /// Random, so that the leases of two processes are never taken for each
    /// other's, whatever the processes are called.
    id: String,
    cells: Mutex<Vec<Option<Run>>>,
    shown: Mutex<Shown>,
}

#[derive(Debug)]
enum Shown {
    /// In memory, where no other process looks.
    Alone,
    /// No leases so far.
    NotYet(PathBuf),
    Files {
        _alive: File,
        running: File,
        folder: PathBuf,
    },
    /// Its files cannot be written: all its leases count as runs.
    Blind,
}

impl Owner {
    pub(super) fn new(id: String, base_path: Option<&Path>) -> Self {
        let shown = base_path.map_or(Shown::Alone, |path| Shown::NotYet(path.join(FOLDER)));
        Self { id, cells: Mutex::default(), shown: Mutex::new(shown) }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Shows itself to the other processes, before its first lease.
    pub(super) fn appear(&self) {
        let mut shown = lock(&self.shown);
        let Shown::NotYet(folder) = &*shown else { return };
        *shown = match files(folder, &self.id) {
            Ok((alive, running)) => Shown::Files { _alive: alive, running, folder: folder.clone() },
            Err(error) => {
                tracing::warn!(
                    folder = %folder.display(), %error,
                    "cannot show other processes that this one lives: if it dies, its jobs wait for the end of their leases"
                );
                Shown::Blind
            }
        };
    }

    /// Whether other processes would know what is being run: if not, nothing
    /// may be leased that is not run at once.
    pub(super) fn is_seen(&self) -> bool {
        matches!(&*lock(&self.shown), Shown::Alone | Shown::Files { .. })
    }

    /// A cell for one message after the other.
    pub(super) fn cell(&self) -> usize {
        let mut cells = lock(&self.cells);
        cells.push(None);
        cells.len() - 1
    }

    /// The message of this cell is settled. Its file says so only when the
    /// cell is used again: until then it names a lease that is no more.
    pub(super) fn free(&self, cell: usize) {
        if let Some(place) = lock(&self.cells).get_mut(cell) {
            *place = None;
        }
    }

    /// The message of this cell is handed to a lane; `None`: none is.
    pub(super) fn show(&self, cell: usize, run: Option<Run>) {
        if let Some(place) = lock(&self.cells).get_mut(cell) {
            *place = run;
        }
        let mut shown = lock(&self.shown);
        let Shown::Files { running, folder, .. } = &mut *shown else { return };
        let Run { message, lease } = run.unwrap_or_default();
        let mut bytes = [0; CELL];
        bytes[..8].copy_from_slice(&message.to_le_bytes());
        bytes[8..].copy_from_slice(&lease.to_le_bytes());
        if let Err(error) = write_at(running, &bytes, (cell * CELL) as u64) {
            tracing::warn!(folder = %folder.display(), %error, "cannot write down which messages are being run");
            // A file that is wrong is worse than none: without it, all count.
            let _ = fs::remove_file(folder.join(RUNNING).join(&self.id));
            *shown = Shown::Blind;
        }
    }

    /// This process holds no lease any more, but those that its lanes may not
    /// have settled.
    pub(super) fn leave(&self) {
        if let Shown::Files { folder, .. } = &*lock(&self.shown)
            && lock(&self.cells).iter().all(Option::is_none)
        {
            remove(folder, &self.id);
        }
    }
}

/// A process that has died; nobody else takes it for one meanwhile.
#[derive(Debug)]
pub(super) struct Dead {
    pub(super) id: String,
    folder: PathBuf,
    _lock: File,
}

impl Dead {
    /// Its leases have been ended.
    pub(super) fn bury(self) {
        remove(&self.folder, &self.id);
    }
}

/// A new id for a process.
pub(super) fn new_id() -> Result<String, getrandom::Error> {
    let mut random = [0; 8];
    getrandom::fill(&mut random)?;
    Ok(format!("{:016x}", u64::from_ne_bytes(random)))
}

fn is_id(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The processes that have died and left leases in this folder.
pub(super) fn dead(base_path: &Path, us: &Owner) -> Vec<Dead> {
    let folder = base_path.join(FOLDER);
    let Ok(entries) = fs::read_dir(&folder) else { return Vec::new() };
    let mut dead = Vec::new();
    for entry in entries.flatten() {
        // Whatever else somebody keeps there is not ours to take away.
        let Ok(id) = entry.file_name().into_string() else { continue };
        let is_ours = is_id(&id) && entry.file_type().is_ok_and(|kind| kind.is_file());
        if id == us.id || !is_ours {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else { continue };
        // That of a process that lives is locked.
        if file.try_lock().is_ok() {
            dead.push(Dead { id, folder: folder.clone(), _lock: file });
        }
    }
    dead
}

/// Which runs of a process that is silent or dead count; all if nobody knows.
#[derive(Debug)]
pub(super) struct Ran(Option<HashSet<Run>>);

impl Ran {
    /// Of the process with this id, which may be this one.
    pub(super) fn of(us: &Owner, base_path: Option<&Path>, id: &str) -> Self {
        if id == us.id {
            return Self(us.is_seen().then(|| lock(&us.cells).iter().copied().flatten().collect()));
        }
        let bytes = base_path.and_then(|path| fs::read(path.join(FOLDER).join(RUNNING).join(id)).ok());
        Self(bytes.map(|bytes| bytes.chunks_exact(CELL).map(run).collect()))
    }

    pub(super) fn counts(&self, run: Run) -> bool {
        self.0.as_ref().is_none_or(|runs| runs.contains(&run))
    }
}

fn run(cell: &[u8]) -> Run {
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or_default();
    Run { message: number(&cell[..8]).cast_signed(), lease: number(&cell[8..]) }
}

fn files(folder: &Path, id: &str) -> io::Result<(File, File)> {
    make_folder(&folder.join(RUNNING))?;
    let running = open_file(&folder.join(RUNNING).join(id))?;
    // Room for some lanes, so that a full disk is met now.
    write_at(&running, &[0; 64 * CELL], 0)?;
    // Locked before it has its name, so that nobody takes it for a dead one's.
    let unnamed = folder.join(format!(".{id}"));
    let alive = open_file(&unnamed)?;
    match alive.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(error)) => return Err(error),
        Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::ResourceBusy.into()),
    }
    fs::rename(unnamed, folder.join(id))?;
    Ok((alive, running))
}

/// The name of the lock goes last, so that one who is interrupted here is
/// followed by another.
fn remove(folder: &Path, id: &str) {
    let _ = fs::remove_file(folder.join(RUNNING).join(id));
    let _ = fs::remove_file(folder.join(id));
}

pub(super) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
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
