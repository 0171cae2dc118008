//! The counts of the queue, which most pages show.
//!
//! Some queues count all their jobs for each reading, which takes longer the more jobs there are. So a slow reading is
//! reused for a while, and open pages take at most a small share of the queue's time.

use std::cmp::Reverse;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use maud::{Markup, html};

use super::html::number;
use crate::queue::{Counts, QueueAdapter, QueueError, Stats};
use crate::sync::lock;

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

/// Maximum number of rows of a table of counts. Anybody who can publish can invent any number of types and queues.
pub(super) const MOST_ROWS: usize = 500;

/// Returns the rows of such a table: all in their order, or those with the most jobs. Rows that have to be there come
/// first.
pub(super) fn largest(all: &[Counts], has_to_be_there: impl Fn(&Counts) -> bool) -> Vec<&Counts> {
    let mut rows: Vec<_> = all.iter().collect();
    if rows.len() > MOST_ROWS {
        rows.sort_by_cached_key(|counts| Reverse((has_to_be_there(counts), counts.total())));
        rows.truncate(MOST_ROWS);
    }
    rows
}

/// Renders a note below the table, if rows are missing.
pub(super) fn left_out(all: usize) -> Markup {
    html! {
        @if all > MOST_ROWS {
            p.faint { "Showing the " (MOST_ROWS) " with the most jobs of " (number(all as u64)) ". The filters of the jobs find all." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_with_many_rows_shows_the_largest_and_those_that_have_to_be_there() {
        let all: Vec<_> = (0..=MOST_ROWS as u64)
            .map(|number| {
                let mut counts = Counts::new(format!("queue-{number}"), "job");
                counts.ready = number;
                counts
            })
            .collect();
        let names = |rows: Vec<&Counts>| rows.iter().map(|counts| counts.queue.clone()).collect::<Vec<_>>();
        let shown = names(largest(&all, |_| false));
        assert_eq!((shown.len(), &*shown[0], &*shown[MOST_ROWS - 1]), (MOST_ROWS, "queue-500", "queue-1"));
        let shown = names(largest(&all, |counts| counts.ready == 0));
        assert_eq!((shown.len(), &*shown[0], &*shown[1]), (MOST_ROWS, "queue-0", "queue-500"));
        let shown = names(largest(&all[..3], |_| false));
        assert_eq!(shown, ["queue-0", "queue-1", "queue-2"]);
        assert_eq!(left_out(MOST_ROWS).into_string(), "");
        assert!(left_out(12_345).into_string().contains("of 12,345."));
    }

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
