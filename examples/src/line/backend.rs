//! Lets the configuration name the adapter: `PULPO_QUEUE=line:FILE`, or `queue_adapter_type =
//! "line_queue_adapter"` with a table of that name.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use pulpo::clock::Clock;
use pulpo::queue::backend::{Address, Factory, Key, Purpose, Scheme, Settings};
use pulpo::queue::{QueueAdapter, QueueError};

use super::Line;

struct LineFactory;

// After this, every program that links this crate knows the scheme.
pulpo::register_backend!(LineFactory);

const SCHEMES: &[Scheme] = &[Scheme::new("line", "line:FILE")];

const KEYS: &[Key] = &[
    Key::path("file", "./line.json", "the file of the queue, which is made with the first message"),
    Key::flag("sync", "true", "`false`: a publication does not wait for the disk, and a power cut may lose it"),
    Key::duration(
        "look_interval",
        "100ms",
        Duration::from_millis(10)..=Duration::from_secs(60),
        "how often a worker that waits looks for what other processes have published; from 10ms to 1m",
    ),
];

impl Factory for LineFactory {
    fn schemes(&self) -> &'static [Scheme] {
        SCHEMES
    }

    fn table(&self) -> &'static str {
        "line_queue_adapter"
    }

    fn keys(&self) -> &'static [Key] {
        KEYS
    }

    fn read(&self, address: &Address<'_>) -> Result<Vec<(&'static str, OsString)>, String> {
        if address.rest().is_empty() {
            return Err("expected a file after `line:`".to_owned());
        }
        Ok(vec![("file", address.rest().to_owned())])
    }

    fn write(&self, settings: &Settings) -> OsString {
        settings.path("file").into()
    }

    fn open(
        &self,
        settings: &Settings,
        purpose: Purpose,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<dyn QueueAdapter>, QueueError> {
        let file = settings.path("file");
        if purpose == Purpose::Administration && !file.exists() {
            return Err(QueueError::NoQueue { place: file.display().to_string() });
        }
        Ok(Arc::new(Line::in_file(file, settings.flag("sync"), settings.duration("look_interval"), clock)))
    }
}
