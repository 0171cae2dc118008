//! Waits for the effects of other threads and processes.

use std::time::{Duration, Instant};

/// Waits until `condition` holds.
///
/// # Panics
/// Panics after two minutes, which is far longer than anything takes, on a machine that does other things too.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !condition() {
        assert!(Instant::now() < end, "timed out waiting until {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Waits for at most this long. Returns whether `condition` became true.
#[must_use]
pub fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while !condition() {
        if Instant::now() >= end {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    true
}
