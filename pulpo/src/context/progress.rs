//! How far a run is, from its handler to the thread that keeps it.

use std::sync::Mutex;

use crate::clock::lock;
use crate::queue::Progress;

/// The last word of the run in a lane. Each lane has one, for one run after
/// the other.
#[derive(Debug, Default)]
pub(crate) struct LatestProgress(Mutex<Latest>);

#[derive(Debug, Default)]
struct Latest {
    progress: Option<Progress>,
    /// How often something was said, in all runs.
    said: u64,
    /// Up to which of these the queue knows it.
    kept: u64,
}

impl LatestProgress {
    pub(super) fn say(&self, progress: Progress) {
        let mut latest = lock(&self.0);
        latest.progress = Some(progress);
        latest.said += 1;
    }

    /// What the queue does not know yet, and its number.
    pub(crate) fn news(&self) -> Option<(u64, Progress)> {
        let latest = lock(&self.0);
        let progress = latest.progress.clone().filter(|_| latest.kept < latest.said)?;
        Some((latest.said, progress))
    }

    /// The queue knows what has this number.
    pub(crate) fn is_kept(&self, number: u64) {
        let mut latest = lock(&self.0);
        latest.kept = latest.kept.max(number);
    }

    /// Another run begins.
    pub(crate) fn reset(&self) {
        lock(&self.0).progress = None;
    }
}
