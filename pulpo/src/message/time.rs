//! Times on the wire: written in one form, read in those that others write.

use std::borrow::Cow;

use chrono::{DateTime, Local, MappedLocalTime, NaiveDateTime, SecondsFormat, TimeDelta, TimeZone, Utc};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// RFC 3339 in UTC, with as many digits of the second as it has.
pub(super) fn write(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// A time as some producer wrote it.
pub(super) struct Written(pub(super) DateTime<Utc>);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        read(&text, &Local)
            .map(Self)
            .ok_or_else(|| D::Error::custom(format_args!("expected a time such as 2026-11-23T09:00:00Z, got {text:?}")))
    }
}

/// RFC 3339 with any offset; else `YYYY-MM-DD HH:MM:SS[.ffffff]`, with a
/// space or a `T`, as time of the zone `local`.
pub(super) fn read<Tz: TimeZone>(text: &str, local: &Tz) -> Option<DateTime<Utc>> {
    let text = text.trim();
    // chrono's own reading takes RFC 3339, and years of more than 4 digits.
    if let Ok(time) = text.parse::<DateTime<Utc>>() {
        return Some(time);
    }
    let naive = text.replacen('T', " ", 1);
    let naive = NaiveDateTime::parse_from_str(&naive, "%Y-%m-%d %H:%M:%S%.f").ok()?;
    in_zone(naive, local)
}

/// When the clocks go back a time happens twice: the later one is taken, so
/// that a delay never starts early and an expiration never deletes early.
/// When they go forward a time never happens: it is counted on from before.
fn in_zone<Tz: TimeZone>(naive: NaiveDateTime, zone: &Tz) -> Option<DateTime<Utc>> {
    let later = |naive: &NaiveDateTime| match zone.from_local_datetime(naive) {
        MappedLocalTime::Single(time) => Some(time.to_utc()),
        // chrono's local zone does not always have the two in their order.
        MappedLocalTime::Ambiguous(one, other) => Some(one.to_utc().max(other.to_utc())),
        MappedLocalTime::None => None,
    };
    let hour = TimeDelta::hours(1);
    later(&naive).or_else(|| later(&naive.checked_sub_signed(hour)?)?.checked_add_signed(hour))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Minutes east of UTC, as a zone.
    fn east(minutes: i32) -> chrono::FixedOffset {
        chrono::FixedOffset::east_opt(minutes * 60).expect("a zone")
    }

    #[test]
    fn reads_what_others_write() {
        let expected: DateTime<Utc> = "2030-01-02T03:04:05Z".parse().expect("a time");
        for text in [
            "2030-01-02T03:04:05Z",
            "2030-01-02T03:04:05.000Z",
            "2030-01-02t03:04:05z",
            "2030-01-02 03:04:05Z",
            "2030-01-02T05:04:05+02:00",
            " 2030-01-02T03:04:05+00:00 ",
            "2030-01-02 04:34:05",
            "2030-01-02T04:34:05.000000",
        ] {
            assert_eq!(read(text, &east(90)), Some(expected), "{text}");
        }
        for text in ["", "tomorrow", "2030-01-02", "2030-13-02 00:00:00", "1893553445", "2030-01-02 25:00:00"] {
            assert_eq!(read(text, &east(0)), None, "{text}");
        }
    }

    /// A zone whose clocks go forward at 02:00 on 10 March 2030 and back at
    /// 02:00 on 3 November 2030, between UTC-5 and UTC-4.
    #[derive(Clone, Copy)]
    struct Eastern;

    impl TimeZone for Eastern {
        type Offset = chrono::FixedOffset;

        fn from_offset(_: &Self::Offset) -> Self {
            Eastern
        }

        fn offset_from_local_date(&self, _: &chrono::NaiveDate) -> chrono::MappedLocalTime<Self::Offset> {
            unimplemented_in_this_test()
        }

        fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> chrono::MappedLocalTime<Self::Offset> {
            let at = |text: &str| text.parse::<NaiveDateTime>().expect("a time");
            let (winter, summer) = (east(-300), east(-240));
            if *local < at("2030-03-10T02:00:00") || *local >= at("2030-11-03T02:00:00") {
                chrono::MappedLocalTime::Single(winter)
            } else if *local < at("2030-03-10T03:00:00") {
                chrono::MappedLocalTime::None
            } else if *local < at("2030-11-03T01:00:00") {
                chrono::MappedLocalTime::Single(summer)
            } else {
                chrono::MappedLocalTime::Ambiguous(summer, winter)
            }
        }

        fn offset_from_utc_date(&self, _: &chrono::NaiveDate) -> Self::Offset {
            unimplemented_in_this_test()
        }

        fn offset_from_utc_datetime(&self, _: &NaiveDateTime) -> Self::Offset {
            east(-300)
        }
    }

    fn unimplemented_in_this_test() -> ! {
        unreachable!("reading a time asks for times only")
    }

    #[test]
    fn a_time_that_happens_twice_or_never_is_never_early() {
        let read = |text| read(text, &Eastern).map(write);
        assert_eq!(read("2030-11-03 01:30:00").as_deref(), Some("2030-11-03T06:30:00Z"));
        assert_eq!(read("2030-03-10 02:30:00").as_deref(), Some("2030-03-10T07:30:00Z"));
        assert_eq!(read("2030-07-01 12:00:00").as_deref(), Some("2030-07-01T16:00:00Z"));
    }
}
