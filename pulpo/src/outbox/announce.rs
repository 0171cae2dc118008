//! Notifies the relays of this process that a transaction may commit soon.

use std::sync::{Arc, Mutex, Weak};

use crate::clock::Notify;
use crate::process::fork::PerProcess;
use crate::sync::lock;

/// The listeners. Kept per process: a fork has none of them, and must not wait for a thread of its parent.
static LISTENERS: PerProcess<Mutex<Vec<Weak<Notify>>>> = PerProcess::new();

/// Announces that a job was written in a transaction of this process, so that relays look often for a while.
pub(crate) fn announce() {
    let mut listeners = lock(LISTENERS.get());
    listeners.retain(|listener| match listener.upgrade() {
        Some(listener) => {
            listener.notify();
            true
        }
        None => false,
    });
}

/// Notifies the listener of each announcement from now on.
pub(super) fn listen(listener: &Arc<Notify>) {
    lock(LISTENERS.get()).push(Arc::downgrade(listener));
}
