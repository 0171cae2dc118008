//! Cron expressions, as the macro has parsed them into minutes, hours, days, months and weekdays. This module gives
//! them their meaning, including at clock changes.

use chrono::{DateTime, Datelike as _, Months};

use super::zone::{Change, Stretch, Zone};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// February 29th may be eight years away.
const HORIZON: i64 = 9 * 366 * DAY;

/// The five fields of an expression, a bit for each value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cron {
    /// 0 to 59.
    pub(crate) minutes: u64,
    /// 0 to 23.
    pub(crate) hours: u32,
    /// 1 to 31.
    pub(crate) days: u32,
    /// 1 to 12.
    pub(crate) months: u16,
    /// 0, Sunday, to 6.
    pub(crate) weekdays: u8,
    /// Whether either day or weekday is enough, because both were given.
    pub(crate) either_day: bool,
}

const ALL_HOURS: u32 = (1 << 24) - 1;

impl Cron {
    /// Returns the first occurrence at this time or later; times are seconds since 1970 UTC.
    pub(super) fn next(&self, from: i64, zone: &Zone) -> Option<i64> {
        let until = from.checked_add(HORIZON)?;
        let mut from = from;
        while from < until {
            let stretch = zone.stretch(from);
            if let Some(at) = self.next_in(from, stretch) {
                return Some(at);
            }
            from = stretch.end;
        }
        None
    }

    /// Returns the first occurrence in this stretch, if there is one.
    fn next_in(&self, from: i64, stretch: Stretch) -> Option<i64> {
        let Stretch { change, offset, end } = stretch;
        let mut first = from + offset;
        if let Some(change) = change {
            if from == change.at && self.falls_on(change, stretch) {
                return Some(change.at);
            }
            // A local time that the clocks have already shown is over: only its first occurrence counts.
            if !self.is_hourly() {
                first = first.max(change.at + change.before);
            }
        }
        self.next_shown(first, end + offset).map(|shown| shown - offset)
    }

    /// Returns whether the moment of this change is an occurrence although the clocks do not show one: because they
    /// skip it, or would make an hourly job wait for longer than an hour.
    fn falls_on(&self, change: Change, stretch: Stretch) -> bool {
        let (shown_before, shown_after) = (change.at + change.before, change.at + stretch.offset);
        if !self.is_hourly() {
            return self.next_shown(shown_before, shown_after).is_some();
        }
        let mut last = None;
        let mut next = self.next_shown(shown_before - HOUR, shown_before);
        while let Some(shown) = next {
            last = Some(change.at - (shown_before - shown));
            next = self.next_shown(shown + 1, shown_before);
        }
        let following = self.next_shown(shown_after, shown_after + HOUR).map(|shown| shown - stretch.offset);
        last.zip(following).is_some_and(|(last, following)| following - last > HOUR)
    }

    /// Returns whether it runs every hour or more often, on the days that it runs.
    fn is_hourly(&self) -> bool {
        self.hours == ALL_HOURS
    }

    /// Returns the first local time in this range at which it is due. Local times are given as seconds since 1970, as
    /// if they were UTC.
    fn next_shown(&self, from: i64, until: i64) -> Option<i64> {
        let mut day = from.div_euclid(DAY);
        // Round up to a whole minute.
        let mut minute = (from.rem_euclid(DAY) + MINUTE - 1) / MINUTE;
        while day * DAY < until {
            let date = DateTime::from_timestamp(day * DAY, 0)?.date_naive();
            if self.months >> date.month() & 1 == 0 {
                let next_month = date.with_day(1)?.checked_add_months(Months::new(1))?;
                day += next_month.signed_duration_since(date).num_days();
                minute = 0;
                continue;
            }
            let minute_of_day = if self.is_on(date.day(), date.weekday().num_days_from_sunday()) {
                self.next_minute(minute)
            } else {
                None
            };
            if let Some(minute) = minute_of_day {
                return Some(day * DAY + minute * MINUTE).filter(|shown| *shown < until);
            }
            day += 1;
            minute = 0;
        }
        None
    }

    fn is_on(&self, day: u32, weekday: u32) -> bool {
        let (day, weekday) = (self.days >> day & 1 == 1, self.weekdays >> weekday & 1 == 1);
        if self.either_day { day || weekday } else { day && weekday }
    }

    /// Returns the first of its minutes of a day from this one on.
    fn next_minute(&self, from: i64) -> Option<i64> {
        let mut minute = from % 60;
        for hour in from / 60..24 {
            let later = self.minutes >> minute << minute;
            if self.hours >> hour & 1 == 1 && later != 0 {
                return Some(hour * 60 + i64::from(later.trailing_zeros()));
            }
            minute = 0;
        }
        None
    }
}
