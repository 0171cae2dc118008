//! Cron expressions, as the macro has read them: which minutes, hours, days,
//! months and weekdays. Here is what they mean, where clocks change too.

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
    /// Whether one of day and weekday is enough: both were given.
    pub(crate) either_day: bool,
}

const ALL_HOURS: u32 = (1 << 24) - 1;

impl Cron {
    /// The first occurrence at this time or later; times are seconds since 1970
    /// UTC.
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

    /// The first occurrence of this stretch, if it has one.
    fn next_in(&self, from: i64, stretch: Stretch) -> Option<i64> {
        let Stretch { change, offset, end } = stretch;
        let mut first = from + offset;
        if let Some(change) = change {
            if from == change.at && self.falls_on(change, stretch) {
                return Some(change.at);
            }
            // What the clocks have shown before has been: only the first time
            // counts.
            if !self.is_hourly() {
                first = first.max(change.at + change.before);
            }
        }
        self.next_shown(first, end + offset).map(|shown| shown - offset)
    }

    /// Whether the moment of this change is an occurrence though the clocks do
    /// not show one: since they skip one, or would leave an hourly job out for
    /// longer than an hour.
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

    /// Whether it runs every hour or oftener, on the days that it runs.
    fn is_hourly(&self) -> bool {
        self.hours == ALL_HOURS
    }

    /// The first time in this range that the clocks show when it is due. Local
    /// times, as seconds since 1970 would be if they were UTC.
    fn next_shown(&self, from: i64, until: i64) -> Option<i64> {
        let mut day = from.div_euclid(DAY);
        // A second later is the next minute.
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

    /// The first of its minutes of a day from this one on.
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
