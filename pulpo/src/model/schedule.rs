//! The times at which the jobs of a schedule are due: cron expressions in their time zones, and periods.
//!
//! Pure: it knows no queue and reads no clock. The macros check expressions and zones at compile time, so nothing here
//! can fail at run time. `due.rs` decides what happens to an occurrence, and the scheduler of a worker carries it out.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

mod cron;
mod due;
mod zone;

pub use self::cron::Cron;
pub(crate) use self::due::{Attendance, HEARTBEAT, is_attended};
use self::zone::{UTC, Zone};

#[cfg(test)]
mod tests;

/// When a handler runs without a publication: the arguments `cron`, `every`, `tz`, `missed` and `overlap` of its
/// attribute.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    entries: &'static [Entry],
    missed: Missed,
    overlap: Overlap,
}

impl Schedule {
    /// Creates the schedule that the attribute submits; reached through `__private`.
    #[must_use]
    pub(crate) const fn new(entries: &'static [Entry], missed: Missed, overlap: Overlap) -> Self {
        Self { entries, missed, overlap }
    }

    /// Returns the entries: one for each `cron`, or the one of `every`.
    #[must_use]
    pub fn entries(&self) -> &'static [Entry] {
        self.entries
    }

    /// Returns what happens to occurrences that no worker was there for.
    #[must_use]
    pub fn missed(&self) -> Missed {
        self.missed
    }

    /// Returns whether an occurrence waits for the one before.
    #[must_use]
    pub fn overlap(&self) -> Overlap {
        self.overlap
    }

    /// Returns the first occurrence after this time; `None` if the next nine years have none.
    #[must_use]
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.entries.iter().filter_map(|entry| entry.next_after(after)).min()
    }

    /// Returns all occurrences after this time, in order.
    pub fn after(&self, after: DateTime<Utc>) -> Occurrences {
        Occurrences { schedule: *self, after }
    }
}

/// Iterates over the occurrences of a schedule, in order.
#[derive(Clone, Debug)]
#[must_use = "an iterator does nothing before it is asked"]
pub struct Occurrences {
    schedule: Schedule,
    after: DateTime<Utc>,
}

impl Iterator for Occurrences {
    type Item = DateTime<Utc>;

    fn next(&mut self) -> Option<DateTime<Utc>> {
        self.after = self.schedule.next_after(self.after)?;
        Some(self.after)
    }
}

/// One `cron` or `every` of a handler. Its text is its identity: a changed text is a new entry, which starts from then
/// on.
#[derive(Clone, Copy, Debug)]
pub struct Entry(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    Cron { text: &'static str, cron: Cron, zone: &'static str },
    Every(Duration),
}

impl Entry {
    pub(crate) const fn cron(text: &'static str, cron: Cron, zone: &'static str) -> Self {
        Self(Kind::Cron { text, cron, zone })
    }

    pub(crate) const fn every(period: Duration) -> Self {
        Self(Kind::Every(period))
    }

    /// Returns the first occurrence after this time; `None` if the next nine years have none.
    #[must_use]
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.0 {
            Kind::Cron { cron, zone, .. } => {
                let next = cron.next(after.timestamp().checked_add(1)?, &Zone::named(zone))?;
                DateTime::from_timestamp(next, 0)
            }
            Kind::Every(period) => {
                let period = i64::try_from(period.as_micros()).ok().filter(|period| *period > 0)?;
                let next = after.timestamp_micros().div_euclid(period).checked_add(1)?.checked_mul(period)?;
                DateTime::from_timestamp_micros(next)
            }
        }
    }

    /// Returns the last occurrences after `after` and up to `until`, at most `most`, in order.
    pub(crate) fn last_until(&self, after: DateTime<Utc>, until: DateTime<Utc>, most: usize) -> Vec<DateTime<Utc>> {
        // Widen the window step by step: how far back the last occurrences are depends on the expression, and going
        // through a year by seconds would take long.
        let mut span = Duration::from_secs(60);
        loop {
            let from = until.checked_sub_signed(chrono::TimeDelta::from_std(span).unwrap_or(chrono::TimeDelta::MAX));
            let from = from.map_or(after, |from| from.max(after));
            let mut last = std::collections::VecDeque::new();
            let mut next = self.next_after(from).filter(|next| *next <= until);
            while let Some(at) = next {
                if last.len() == most {
                    last.pop_front();
                }
                last.push_back(at);
                next = self.next_after(at).filter(|next| *next <= until);
            }
            if last.len() == most || from <= after {
                return last.into();
            }
            span = span.saturating_mul(8);
        }
    }
}

/// Writes the form that lists show and the queue stores: `0 3 * * MON-FRI Europe/Berlin`, `every 5m`.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Cron { text, zone: UTC, .. } => f.write_str(text),
            Kind::Cron { text, zone, .. } => write!(f, "{text} {zone}"),
            Kind::Every(period) => write!(f, "every {}", humantime::format_duration(period)),
        }
    }
}

/// Whether occurrences run that fell due while no worker with their entry was alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// The last one is run, once.
    One,
    /// None is run.
    Skip,
    /// Each one is run, at most the last 100.
    All,
}

/// Whether an occurrence is published while the one before is unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// No. A buried job counts as finished.
    Skip,
    /// Yes.
    Allow,
}
