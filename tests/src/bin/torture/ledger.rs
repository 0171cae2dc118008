//! The record of all events, stored beside the queue: a file for each process, one appending write
//! for each entry, so that a kill loses at most the entry that was being written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::kind::{Kind, Then};

/// An event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// A producer is about to publish.
    Publishing { key: String, kind: Kind },
    /// `publish` has returned Ok.
    Published { key: String, id: String },
    /// `publish` has returned an error that says the message is not in the queue.
    Refused { key: String, why: String },
    /// `publish` has returned an unknown outcome.
    Unsure { key: String },
    /// A handler was called. Members of a batch know neither id nor attempt.
    Start { key: String, kind: Kind, id: Option<String>, attempt: Option<u32>, lane: u32, call: u64 },
    /// The run is about to return, or to be told that it is over.
    End { key: String, lane: u32, call: u64, then: Then },
    /// This process did nothing for this many microseconds until now.
    Stalled { micros: u64 },
    /// The driver is about to inflict this fault on a process.
    Fault { process: String, fault: Fault },
    /// The driver found that a process has ended.
    Gone { process: String, how: String },
    /// The server at this address is about to be killed.
    ServerKilled { server: Option<String> },
    /// The server has ended.
    ServerGone,
    /// The driver found the message buried, and removed it from the queue.
    Buried { key: String, id: String, attempts: u32, reason: Option<String> },
    /// The message was still in the queue at the end.
    Left { key: String, id: String, state: String },
}

/// The faults that the driver inflicts on processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fault {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, and SIGCONT after more than the ttr.
    Pause,
    /// SIGTERM.
    Stop,
}

impl Event {
    /// Returns the job of the event.
    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Self::Publishing { key, .. }
            | Self::Published { key, .. }
            | Self::Refused { key, .. }
            | Self::Unsure { key }
            | Self::Start { key, .. }
            | Self::End { key, .. }
            | Self::Buried { key, .. }
            | Self::Left { key, .. } => Some(key),
            Self::Stalled { .. }
            | Self::Fault { .. }
            | Self::Gone { .. }
            | Self::ServerKilled { .. }
            | Self::ServerGone => None,
        }
    }
}

/// An event with its time in microseconds since 1970.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) at: u64,
    pub(crate) event: Event,
}

/// The ledger of one process.
#[derive(Debug)]
pub(crate) struct Ledger(File);

impl Ledger {
    /// Opens the ledger of the process of this name.
    pub(crate) fn open(folder: &Path, process: &str) -> io::Result<Self> {
        let path = folder_of(folder).join(process);
        OpenOptions::new().create(true).append(true).open(path).map(Self)
    }

    pub(crate) fn write(&self, event: Event) {
        let mut line = serde_json::to_vec(&Entry { at: now(), event }).expect("an entry is JSON");
        line.push(b'\n');
        // Without its evidence, this program can show nothing.
        (&self.0).write_all(&line).expect("the ledger can be written");
    }
}

/// Creates the folder of the ledgers.
pub(crate) fn prepare(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder_of(folder))
}

/// Calls `each` with every process and entry; the entries of a process are in order.
pub(crate) fn read(folder: &Path, mut each: impl FnMut(&str, Entry)) -> io::Result<()> {
    for file in fs::read_dir(folder_of(folder))? {
        let path = file?.path();
        let process = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for line in fs::read(&path)?.split_inclusive(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(entry) => each(&process, entry),
                // The process was writing this entry when it was killed.
                Err(_) if !line.ends_with(b"\n") => {}
                Err(error) => return Err(io::Error::other(format!("{}: {error}", path.display()))),
            }
        }
    }
    Ok(())
}

fn folder_of(folder: &Path) -> PathBuf {
    folder.join("ledger")
}

pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970");
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
