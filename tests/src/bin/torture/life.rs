//! Background duties of each process of the driver: it ends with the driver, and records when it
//! was kept from running.

use std::io::{Read as _, stdin};
use std::path::PathBuf;
use std::process::exit;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::ledger::{Event, Ledger};

/// The folder of the run, and the name of this process.
pub(crate) const FOLDER: &str = "TORTURE_FOLDER";
pub(crate) const PROCESS: &str = "TORTURE_PROCESS";

/// How often a process checks whether it was kept from running.
const PULSE: Duration = Duration::from_millis(50);
/// Shorter stalls are not recorded. This is less than the time between the last renewal of a lease
/// that such a stall misses and the end of the lease.
const HARMLESS: Duration = Duration::from_millis(300);

/// Returns the ledger of this process; `None` if no driver started it.
pub(crate) fn ledger() -> Option<&'static Arc<Ledger>> {
    static LEDGER: OnceLock<Option<Arc<Ledger>>> = OnceLock::new();
    LEDGER
        .get_or_init(|| {
            let process = std::env::var(PROCESS).ok()?;
            Some(Arc::new(Ledger::open(&folder()?, &process).expect("the ledger can be opened")))
        })
        .as_ref()
}

pub(crate) fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// Starts the threads for these duties.
pub(crate) fn watch() {
    let Some(ledger) = ledger() else { return };
    thread::spawn(|| {
        // The driver holds the other end and never writes.
        let _ = stdin().read(&mut [0]);
        exit(3);
    });
    thread::spawn(move || {
        loop {
            let before = Instant::now();
            thread::sleep(PULSE);
            let late = before.elapsed().saturating_sub(PULSE);
            if late > HARMLESS {
                ledger.write(Event::Stalled { micros: u64::try_from(late.as_micros()).unwrap_or(u64::MAX) });
            }
        }
    });
}
