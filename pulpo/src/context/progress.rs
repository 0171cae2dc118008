//! The progress of a run, on its way from the handler to the thread that stores it.

use std::sync::Mutex;

use crate::queue::Progress;
use crate::sync::lock;

/// The latest report of the run in a lane. Each lane has one, which its runs use in turn.
#[derive(Debug, Default)]
pub(crate) struct LatestProgress(Mutex<Latest>);

#[derive(Debug, Default)]
struct Latest {
    progress: Option<Progress>,
    /// Number of reports, over all runs.
    said: u64,
    /// The last of these reports that the queue has.
    kept: u64,
}

impl LatestProgress {
    pub(super) fn say(&self, progress: Progress) {
        let mut latest = lock(&self.0);
        latest.progress = Some(progress);
        latest.said += 1;
    }

    /// Returns the report that the queue does not have yet, with its number.
    pub(crate) fn news(&self) -> Option<(u64, Progress)> {
        let latest = lock(&self.0);
        let progress = latest.progress.clone().filter(|_| latest.kept < latest.said)?;
        Some((latest.said, progress))
    }

    /// Records that the queue has the report with this number.
    pub(crate) fn is_kept(&self, number: u64) {
        let mut latest = lock(&self.0);
        latest.kept = latest.kept.max(number);
    }

    /// Returns the last report of the run that has just ended.
    #[cfg(feature = "testing")]
    pub(crate) fn take(&self) -> Option<Progress> {
        lock(&self.0).progress.take()
    }

    /// Resets it for the next run.
    pub(crate) fn reset(&self) {
        lock(&self.0).progress = None;
    }
}
