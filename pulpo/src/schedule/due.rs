//! What is to be published now, of an entry that was last looked at some time
//! ago.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Entry, Missed};

/// How often a worker shows that it has its entries.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(10);

/// Nobody has an entry that has not been looked at for longer than this.
const ALIVE: Duration = Duration::from_secs(30);

/// How many occurrences are caught up at most.
const MOST: usize = 100;

/// Since when a worker has had an entry without a break, as far as it knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attendance(pub(crate) DateTime<Utc>);

impl Entry {
    /// The occurrences to publish, the earliest first: of those after
    /// `settled`, until which all is settled, and until now.
    pub(crate) fn due(
        &self,
        missed: Missed,
        settled: DateTime<Utc>,
        now: DateTime<Utc>,
        attendance: Attendance,
    ) -> Vec<DateTime<Utc>> {
        let lapsed = settled + ALIVE;
        let most = match missed {
            // Somebody was there all the time: none is missed, only late.
            _ if now <= lapsed => MOST,
            Missed::All => MOST,
            Missed::One => 1,
            // This worker was there: nothing is skipped, and nothing comes as a
            // flood after it was frozen, or its queue away.
            Missed::Skip if attendance.0 <= lapsed => 1,
            Missed::Skip => 0,
        };
        if most == 0 { Vec::new() } else { self.last_until(settled, now, most) }
    }
}

/// Whether anybody has an entry that was last looked at then.
#[cfg(any(feature = "cli", feature = "http"))]
pub(crate) fn is_attended(settled: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now <= settled + ALIVE
}
