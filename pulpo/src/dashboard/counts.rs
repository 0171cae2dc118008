//! The counts of the queue, which most pages show.
//!
//! Some queues count all their jobs for each reading, which takes longer the more jobs there are. So a slow reading is
//! reused for a while, and open pages take at most a small share of the queue's time.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::clock::lock;
use crate::queue::{QueueAdapter, QueueError, Stats};

/// A reading that took less than this is not reused.
const QUICK: Duration = Duration::from_millis(20);

/// A slow reading is reused for this many times as long as it took.
const TIMES: u32 = 20;

/// The longest time for which a reading is reused.
const LONGEST: Duration = Duration::from_secs(60);

/// The last reading, if it was slow.
#[derive(Default)]
pub(super) struct SharedCounts(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// The number of changes so far: a reading from before a change is not shown after it.
    changes: u64,
    last: Option<(Stats, Instant)>,
}

impl SharedCounts {
    pub(super) fn read(&self, queue: &dyn QueueAdapter) -> Result<Stats, QueueError> {
        let began = Instant::now();
        let changes = {
            let kept = lock(&self.0);
            if let Some((stats, until)) = &kept.last
                && *until > began
            {
                return Ok(stats.clone());
            }
            kept.changes
        };
        let stats = queue.stats()?;
        let mut kept = lock(&self.0);
        if kept.changes == changes {
            let now = Instant::now();
            kept.last = shown_for(now - began).map(|time| (stats.clone(), now + time));
        }
        Ok(stats)
    }

    /// Returns the number of changes that pages have made.
    pub(super) fn changes(&self) -> u64 {
        lock(&self.0).changes
    }

    /// Discards the reading, so that the next page counts again.
    pub(super) fn forget(&self) {
        let mut kept = lock(&self.0);
        kept.changes += 1;
        kept.last = None;
    }
}

/// Returns for how long to reuse a reading that took this long.
fn shown_for(took: Duration) -> Option<Duration> {
    (took >= QUICK).then(|| (took * TIMES).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_shown_for_longer_the_longer_it_took() {
        let shown = |millis| shown_for(Duration::from_millis(millis));
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(
            [shown(0), shown(19), shown(50), shown(400), shown(10_000)],
            [None, None, seconds(1), seconds(8), seconds(60)]
        );
    }
}
