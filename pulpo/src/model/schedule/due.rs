//! Decides what to publish now of an entry that was last checked some time ago.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Entry, Missed};

/// How often a worker records that it attends to its entries.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(10);

/// An entry that no worker has recorded for longer than this is unattended.
const ALIVE: Duration = Duration::from_secs(30);

/// The maximum number of occurrences to catch up on.
const MOST: usize = 100;

/// Since when a worker has attended to an entry without a break, as far as it knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attendance(pub(crate) DateTime<Utc>);

impl Entry {
    /// Returns the occurrences to publish, in order: those after `settled`, the time until which all is settled, and
    /// until now.
    pub(crate) fn due(
        &self,
        missed: Missed,
        settled: DateTime<Utc>,
        now: DateTime<Utc>,
        attendance: Attendance,
    ) -> Vec<DateTime<Utc>> {
        let lapsed = settled + ALIVE;
        let most = match missed {
            // A worker was there all the time: no occurrence is missed, only late.
            _ if now <= lapsed => MOST,
            Missed::All => MOST,
            Missed::One => 1,
            // This worker was there: it skips nothing, and publishes no flood after it was frozen or its queue was
            // away.
            Missed::Skip if attendance.0 <= lapsed => 1,
            Missed::Skip => 0,
        };
        if most == 0 { Vec::new() } else { self.last_until(settled, now, most) }
    }
}

/// Returns whether any worker attends to an entry that was last checked then.
pub(crate) fn is_attended(settled: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now <= settled + ALIVE
}
