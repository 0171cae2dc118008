//! The signals that stop workers. The handlers are installed once for the process, with the first worker, and cannot be
//! removed again: the crate that installs them shares them with others, `tokio::signal` for instance. So a thread
//! decides what a signal does: it stops the running workers. If no worker is running, it does what the system would
//! have done.
//!
//! # Invariants
//!
//! - While no worker runs, a signal has the action that it had before the first worker: the default, none, or the
//!   program's own handler.
//! - The program's own handlers run as well, before, during and after a worker, whenever they were installed.
//! - A SIGHUP that is ignored when the first worker starts, as with `nohup`, stays ignored.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::{emulate_default_handler, signal_name, unregister};

use super::fork::PerProcess;
use crate::sync::lock;

/// Kept per process, because a fork has no thread that would pass signals on.
static STATE: PerProcess<Mutex<State>> = PerProcess::new();

type Listener = Arc<dyn Fn(&'static str) + Send + Sync>;

#[derive(Default)]
struct State {
    is_watched: bool,
    listeners: BTreeMap<u64, Listener>,
    next: u64,
}

/// Passes signals on until it is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Watch(u64);

/// Calls `listener` with the name of each SIGINT, SIGTERM and SIGHUP, on a thread of ours, instead of ending the
/// process.
///
/// # Errors
/// If the system provides no thread, or no handler can be installed.
pub(crate) fn watch(listener: impl Fn(&'static str) + Send + Sync + 'static) -> io::Result<Watch> {
    let mut state = lock(STATE.get());
    if !state.is_watched {
        start()?;
        state.is_watched = true;
    }
    let id = state.next;
    state.next += 1;
    state.listeners.insert(id, Arc::new(listener));
    Ok(Watch(id))
}

impl Drop for Watch {
    fn drop(&mut self) {
        lock(STATE.get()).listeners.remove(&self.0);
    }
}

fn start() -> io::Result<()> {
    let before = Dispositions::now();
    let stopping = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| *signal != SIGHUP || !before.ignores(*signal));
    let stopping: Vec<_> = stopping.collect();
    let mut signals = Signals::new(&stopping)?;
    let installed = Registrations::now();
    let after = Dispositions::now();
    // If the system does not report which signals are caught, a program that had any handler before is assumed to have
    // one for these.
    let had_others = after.caught == 0 && installed.others_before(stopping.len());
    let default_is_back = move |signal| {
        !had_others && !before.ignores(signal) && !before.catches(signal) && !installed.others_since(&after)
    };
    thread::Builder::new().name("pulpo-signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            let listeners: Vec<_> = lock(STATE.get()).listeners.values().cloned().collect();
            let name = signal_name(signal).unwrap_or("a signal");
            listeners.iter().for_each(|listener| listener(name));
            if listeners.is_empty() && default_is_back(signal) {
                let _ = emulate_default_handler(signal);
            }
        }
    })?;
    Ok(())
}

/// The reactions of the process to signals, as sets with a bit for each. Empty if the system does not report them.
#[derive(Clone, Copy, Debug, Default)]
struct Dispositions {
    ignored: u64,
    caught: u64,
}

impl Dispositions {
    fn now() -> Self {
        std::fs::read_to_string("/proc/thread-self/status").map(|status| Self::read(&status)).unwrap_or_default()
    }

    fn read(status: &str) -> Self {
        let set = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or_default()
        };
        // libc catches these two for itself, with the first thread.
        let own = !(bit(32) | bit(33));
        Self { ignored: set("SigIgn:"), caught: set("SigCgt:") & own }
    }

    fn ignores(&self, signal: i32) -> bool {
        self.ignored & bit(signal) != 0
    }

    fn catches(&self, signal: i32) -> bool {
        self.caught & bit(signal) != 0
    }
}

fn bit(signal: i32) -> u64 {
    signal.checked_sub(1).and_then(|shift| 1_u64.checked_shl(shift.cast_unsigned())).unwrap_or_default()
}

/// Number of handlers that all parts of the program have registered with the crate that installs ours, which numbers
/// them.
#[derive(Clone, Copy, Debug)]
struct Registrations(Option<u128>);

impl Registrations {
    fn now() -> Self {
        let Ok(probe) = signal_hook::flag::register(SIGTERM, Arc::new(AtomicBool::new(false))) else {
            return Self(None);
        };
        let shown = format!("{probe:?}");
        unregister(probe);
        let number = shown.split_once("ActionId(").and_then(|(_, rest)| rest.split_once(')')?.0.parse().ok());
        Self(number)
    }

    /// Returns whether there were any before our own, which were registered just now.
    fn others_before(self, own: usize) -> bool {
        // The first handler has the number 1.
        self.0.is_some_and(|number| number > own as u128 + 1)
    }

    /// Returns whether a part of the program has since registered a handler for a signal that was caught already, such
    /// as ours. Handlers for other signals show in the set of caught ones.
    fn others_since(&self, then: &Dispositions) -> bool {
        let (Some(before), Some(now)) = (self.0, Self::now().0) else { return false };
        let caught_since = Dispositions::now().caught & !then.caught;
        // The question itself took one number.
        now.saturating_sub(before + 1) > u128::from(caught_since.count_ones())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sets_of_a_process_are_read() {
        let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000004002\n";
        let read = Dispositions::read(status);
        assert!(read.ignores(SIGHUP) && read.ignores(13) && !read.ignores(SIGTERM));
        assert!(read.catches(SIGINT) && read.catches(SIGTERM) && !read.catches(SIGHUP));
        assert!(!Dispositions::read("").ignores(SIGHUP));
        assert_eq!(Dispositions::read("SigCgt:\t0000000180000440\n").caught, 0x440);
        assert!(!read.ignores(0) && !read.ignores(65));
    }

    #[test]
    fn registrations_are_counted() {
        let before = Registrations::now().0.expect("the crate tells its numbers");
        assert_eq!(Registrations::now().0, Some(before + 1));
        assert!(Registrations(Some(5)).others_before(3) && !Registrations(Some(4)).others_before(3));
    }
}
