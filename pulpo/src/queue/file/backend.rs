//! Parses the names of embedded queues in a configuration: `file:FOLDER` and `memory:`.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::FileQueue;
use crate::clock::Clock;
use crate::process::paths;
use crate::queue::backend::{Address, Factory, Key, Purpose, Registration, Scheme, Settings};
use crate::queue::{QueueAdapter, QueueError};

struct Embedded;

inventory::submit! { Registration::new(&Embedded, file!(), line!()) }

const MEMORY: &str = "memory";

impl Factory for Embedded {
    fn schemes(&self) -> &'static [Scheme] {
        const { &[Scheme::new("file", "file:FOLDER"), Scheme::new(MEMORY, "memory:")] }
    }

    fn table(&self) -> &'static str {
        "file_queue_adapter"
    }

    fn keys(&self) -> &'static [Key] {
        const {
            &[
                Key::path("base_path", "./pulpo-data", "the folder of the embedded queue"),
                Key::flag("enable_archive", "false", "keep done and expired messages in the table `archive`"),
            ]
        }
    }

    fn read(&self, address: &Address<'_>) -> Result<Vec<(&'static str, OsString)>, String> {
        let base_path = match (address.scheme(), address.rest().is_empty()) {
            (MEMORY, true) => OsString::new(),
            (MEMORY, false) => return Err("expected nothing after `memory:`".to_owned()),
            _ => folder(address.rest())?.into(),
        };
        Ok(vec![("base_path", base_path)])
    }

    fn write(&self, settings: &Settings) -> OsString {
        match settings.scheme() {
            MEMORY => OsString::new(),
            _ => settings.path("base_path").into(),
        }
    }

    fn spool_folder<'a>(&self, settings: &'a Settings) -> Option<&'a Path> {
        (settings.scheme() != MEMORY).then(|| settings.path("base_path"))
    }

    fn open(
        &self,
        settings: &Settings,
        purpose: Purpose,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<dyn QueueAdapter>, QueueError> {
        let (base_path, archive) = (settings.path("base_path"), settings.flag("enable_archive"));
        let queue = match (settings.scheme(), purpose) {
            (MEMORY, Purpose::Program) => FileQueue::memory(archive, clock)?,
            (MEMORY, Purpose::Publication) => {
                return Err(QueueError::Unsupported(
                    "keep what a command publishes: `memory:` exists only within one program; use file:FOLDER",
                ));
            }
            (MEMORY, Purpose::Administration) => {
                return Err(QueueError::Unsupported(
                    "be inspected by a command: `memory:` exists only within one program; use file:FOLDER",
                ));
            }
            (_, Purpose::Administration) => FileQueue::open_existing(base_path, archive, clock)?,
            (_, Purpose::Program | Purpose::Publication) => FileQueue::open(base_path, archive, clock)?,
        };
        Ok(Arc::new(queue))
    }
}

/// Returns the folder of `file:FOLDER`. Both `file:/var/queue` and `file:///var/queue` are common.
fn folder(text: &OsStr) -> Result<PathBuf, String> {
    let Some(after_slashes) = paths::after(text, "//") else {
        let is_empty = text.is_empty();
        return if is_empty { Err("expected a folder after `file:`".to_owned()) } else { Ok(text.into()) };
    };
    let path = paths::after(after_slashes, "localhost").unwrap_or(after_slashes);
    if paths::after(path, "/").is_some() {
        return Ok(path.into());
    }
    Err("what follows `file://` is a host: write `file:FOLDER`, or `file:///FOLDER` for one at the root".to_owned())
}
