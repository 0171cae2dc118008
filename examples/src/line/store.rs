//! The storage of the messages of a [`Line`](super::Line): in memory, or in a file that is read at
//! the beginning of each turn and written at its end.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use pulpo::queue::{MessageState, NewMessage, QueueError};
use serde::{Deserialize, Serialize};

/// The content of a queue.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Messages {
    /// In the order of their ids, which are their positions counted from 1.
    pub(super) all: Vec<Option<Kept>>,
    /// The number of leases so far.
    pub(super) leases: u64,
}

/// A stored message.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) queue: String,
    pub(super) request_type: String,
    pub(super) priority: u32,
    pub(super) ttr: Duration,
    pub(super) text: String,
    #[serde(with = "state")]
    pub(super) state: MessageState,
    /// When it entered this state.
    pub(super) since: DateTime<Utc>,
    pub(super) until: Option<DateTime<Utc>>,
    /// The number of the delivery that holds the message. The next delivery gets another number, so
    /// that a late consumer cannot settle a message that it has lost.
    pub(super) lease: u64,
    pub(super) attempts: u32,
    /// The number of runs whose consumer fell silent.
    pub(super) abandoned: u32,
    pub(super) enqueued_at: DateTime<Utc>,
    pub(super) due_since: DateTime<Utc>,
}

impl Kept {
    /// Stores a new message.
    pub(super) fn new(message: NewMessage, now: DateTime<Utc>) -> Self {
        let until = message.delay.filter(|until| *until > now);
        Self {
            priority: message.priority.get(),
            ttr: message.ttr,
            state: if until.is_some() { MessageState::Delayed } else { MessageState::Ready },
            since: now,
            until,
            lease: 0,
            attempts: 0,
            abandoned: 0,
            enqueued_at: now,
            due_since: until.unwrap_or(now),
            queue: message.queue,
            request_type: message.request_type,
            text: message.text,
        }
    }
}

/// The names of the states, for serde.
mod state {
    use pulpo::queue::MessageState;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(state: &MessageState, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(state.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<MessageState, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[derive(Debug)]
pub(super) struct Store {
    messages: Mutex<Messages>,
    disk: Option<Disk>,
}

#[derive(Debug)]
struct Disk {
    file: PathBuf,
    /// Whether each change waits for the disk.
    sync: bool,
}

impl Store {
    pub(super) fn in_memory() -> Self {
        Self { messages: Mutex::default(), disk: None }
    }

    pub(super) fn in_file(file: &Path, sync: bool) -> Self {
        Self { messages: Mutex::default(), disk: Some(Disk { file: file.to_owned(), sync }) }
    }

    /// Waits until no other thread and no other process uses the messages.
    pub(super) fn turn(&self) -> Result<Turn<'_>, QueueError> {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(disk) = &self.disk else { return Ok(Turn { messages, disk: None }) };
        let unavailable = |error| disk.unavailable("read", error);
        let lock = disk.lock().map_err(unavailable)?;
        *messages = disk.read().map_err(unavailable)?;
        Ok(Turn { messages, disk: Some((disk, lock)) })
    }
}

impl Disk {
    /// Takes the lock. It is a separate file, because the data file is replaced.
    fn lock(&self) -> io::Result<File> {
        let lock = File::create(self.file.with_extension("lock"))?;
        lock.lock()?;
        Ok(lock)
    }

    fn read(&self) -> io::Result<Messages> {
        match fs::read(&self.file) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Messages::default()),
            Err(error) => Err(error),
        }
    }

    /// Replaces the file with a new one, so that there is a complete file at any moment.
    fn write(&self, messages: &Messages) -> io::Result<()> {
        let new = self.file.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(messages)?)?;
        if self.sync {
            file.sync_all()?;
        }
        fs::rename(&new, &self.file)?;
        if self.sync {
            let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(())
    }

    fn unavailable(&self, what: &str, error: io::Error) -> QueueError {
        QueueError::Unavailable { doing: format!("{what} {}", self.file.display()), source: Box::new(error) }
    }
}

/// Exclusive access to the messages.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    messages: MutexGuard<'a, Messages>,
    disk: Option<(&'a Disk, File)>,
}

impl Turn<'_> {
    /// Saves the changes. Without this call, changes do not reach the disk.
    pub(super) fn save(self) -> Result<(), QueueError> {
        let Some((disk, _lock)) = &self.disk else { return Ok(()) };
        disk.write(&self.messages).map_err(|error| disk.unavailable("write", error))
    }
}

impl Deref for Turn<'_> {
    type Target = Messages;

    fn deref(&self) -> &Messages {
        &self.messages
    }
}

impl DerefMut for Turn<'_> {
    fn deref_mut(&mut self) -> &mut Messages {
        &mut self.messages
    }
}
