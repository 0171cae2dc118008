//! Times on the wire: written in one form, read in the forms that producers use.

use chrono::{DateTime, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeDelta, TimeZone, Utc};
use serde_json::value::RawValue;

use super::raw::text;
use crate::report::limited;

/// Writes RFC 3339 in UTC, with as many digits of the second as needed.
pub(super) fn write(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// Reads a time as a producer may have written it in JSON; `docs/messages.md` lists the forms. `None`: the producer
/// gives none.
///
/// # Errors
/// The error message for a value that is not a time.
pub(super) fn read_json<Tz: TimeZone>(value: &RawValue, local: &Tz) -> Result<Option<DateTime<Utc>>, String> {
    let written = value.get();
    let time = if written.starts_with('"') {
        match text(value) {
            Some(text) if text.trim().is_empty() => return Ok(None),
            Some(text) => read(&text, local),
            None => None,
        }
    } else if written == "null" {
        return Ok(None);
    } else {
        read_number(written)
    };
    time.map(Some).ok_or_else(|| {
        let number = written.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        let hint = if number { " (a number is the time since 1970, not a duration)" } else { "" };
        format!("expected a time such as 2026-11-23T09:00:00Z, got {}{hint}", limited(written.to_owned()))
    })
}

/// Reads a text: RFC 3339 or a similar form with an offset, otherwise a time in the zone `local`, otherwise a number as
/// text.
pub(super) fn read<Tz: TimeZone>(text: &str, local: &Tz) -> Option<DateTime<Utc>> {
    let text = text.trim();
    // chrono's own parser reads RFC 3339, and years of more than 4 digits.
    if let Ok(time) = text.parse::<DateTime<Utc>>() {
        return Some(time);
    }
    if let Ok(time) = DateTime::parse_from_rfc2822(text) {
        return Some(time.to_utc());
    }
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if is_digits && text.len() == COMPACT.len() {
        return in_zone(read_clock(&format!("{} {}", &text[..8], &text[8..]))?, local);
    }
    if let Some(time) = read_number(text) {
        return Some(time);
    }
    match split_zone(text)? {
        (clock, Some(offset)) => Some(read_clock(clock)?.checked_sub_signed(offset)?.and_utc()),
        (clock, None) => in_zone(read_clock(clock)?, local),
    }
}

/// A text of this many digits is a date with its time, not a number.
const COMPACT: &str = "20261123090000";

/// Splits the zone off the end: `Z`, an offset (`+01`, `+0100`, `+01:00`), a name in brackets after an offset (Java), a
/// short name after an offset (Go), or `UTC` or `GMT` alone. `None` if the zone is named in another way.
fn split_zone(text: &str) -> Option<(&str, Option<TimeDelta>)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock.trim_end(), Some(TimeDelta::zero())));
    }
    let (text, is_named) = match text.strip_suffix(']') {
        Some(text) => (text.split_once('[')?.0, true),
        None => (text, false),
    };
    let without_letters = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let name = &text[without_letters.len()..];
    let is_utc = name.eq_ignore_ascii_case("utc") || name.eq_ignore_ascii_case("gmt");
    let text = without_letters.trim_end();
    // Look for a sign only after the date, which has dashes of its own.
    let time_at = text.find(['T', 't', ' '])?;
    let sign_at = text[time_at..].rfind(['+', '-', '\u{2212}']).map(|at| time_at + at);
    match sign_at {
        Some(at) => Some((text[..at].trim_end(), Some(read_offset(&text[at..])?))),
        None if is_utc => Some((text, Some(TimeDelta::zero()))),
        None => (name.is_empty() && !is_named).then_some((text, None)),
    }
}

/// Reads `+hh`, `+hhmm`, `+hh:mm` or `+hh:mm:ss`.
fn read_offset(text: &str) -> Option<TimeDelta> {
    let mut rest = text.chars();
    let is_east = rest.next()? == '+';
    let digits = rest.as_str().replace(':', "");
    if !matches!(digits.len(), 2 | 4 | 6) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |at: usize| digits.get(at..at + 2).map_or(Some(0), |part| part.parse::<i64>().ok());
    let (hours, minutes, seconds) = (part(0)?, part(2)?, part(4)?);
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let offset = TimeDelta::seconds(hours * 3600 + minutes * 60 + seconds);
    Some(if is_east { offset } else { -offset })
}

/// Reads a date and a time of day, with or without separators, with or without seconds, with a point or a comma before
/// the fraction.
fn read_clock(text: &str) -> Option<NaiveDateTime> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let date_form = if date.len() == 8 && !date.contains('-') { "%Y%m%d" } else { "%Y-%m-%d" };
    let date = NaiveDate::parse_from_str(date, date_form).ok()?;
    let time = time.trim_start().replacen(',', ".", 1);
    let time_form = match time.find('.').unwrap_or(time.len()) {
        8 => "%H:%M:%S%.f",
        6 => "%H%M%S%.f",
        5 => "%H:%M",
        4 => "%H%M",
        _ => return None,
    };
    Some(date.and_time(NaiveTime::parse_from_str(&time, time_form).ok()?))
}

/// Reads a number since 1970: seconds, or milli-, micro- or nanoseconds, judged by its size. A time before 2001 in
/// seconds is refused: a producer that writes `60` means a duration.
fn read_number(text: &str) -> Option<DateTime<Utc>> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_plain = [whole, fraction].iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let (whole, billionths) = if is_plain {
        // Use the digits as written: a float would lose some.
        let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
        (whole.parse().ok()?, digits.fold(0, |sum, digit| sum * 10 + i128::from(digit - b'0')))
    } else {
        if !text.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let number = text.parse::<f64>().ok().filter(|number| number.abs() < 1e30)?;
        #[expect(clippy::cast_possible_truncation, reason = "it is in range, and has no more digits")]
        ((number.trunc() as i128), (number.fract() * 1e9).round() as i128)
    };
    let nanos_of_one = match whole {
        1_000_000_000..1_000_000_000_000 => 1_000_000_000,
        1_000_000_000_000..1_000_000_000_000_000 => 1_000_000,
        1_000_000_000_000_000..1_000_000_000_000_000_000 => 1_000,
        1_000_000_000_000_000_000..1_000_000_000_000_000_000_000 => 1,
        _ => return None,
    };
    let nanos = whole * nanos_of_one + billionths * nanos_of_one / 1_000_000_000;
    let (seconds, nanos) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, u32::try_from(nanos).ok()?)
}

/// Converts local time. When clocks go back, a time occurs twice: the later one counts, so that a delay never starts
/// early and an expiration never deletes early. When they go forward, a time never occurs: it is computed with the
/// offset before the change.
fn in_zone<Tz: TimeZone>(naive: NaiveDateTime, zone: &Tz) -> Option<DateTime<Utc>> {
    let later = |naive: &NaiveDateTime| match zone.from_local_datetime(naive) {
        MappedLocalTime::Single(time) => Some(time.to_utc()),
        // chrono's local zone does not always return the two in order.
        MappedLocalTime::Ambiguous(one, other) => Some(one.to_utc().max(other.to_utc())),
        MappedLocalTime::None => None,
    };
    let hour = TimeDelta::hours(1);
    later(&naive).or_else(|| later(&naive.checked_sub_signed(hour)?)?.checked_add_signed(hour))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a zone from its offset, in minutes east of UTC.
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
            // PostgreSQL
            "2030-01-02 03:04:05+00",
            "2030-01-02 08:34:05+0530",
            "2030-01-02 08:34:05.000000+05:30",
            "2030-01-01 19:04:05-08",
            "2030-01-02 03:57:22+00:53:17",
            // Java, Ruby, Go, JavaScript, ISO 8601 without separators
            "2030-01-02T04:04:05+01:00[Europe/Paris]",
            "2030-01-02 03:04:05 UTC",
            "2030-01-02 05:04:05 +0200",
            "2030-01-02 05:04:05 +0200 EET",
            "Wed, 02 Jan 2030 03:04:05 GMT",
            "20300102T030405Z",
            "20300102T050405+0200",
            "20300102043405",
            "2030-01-02T03:04:05,000Z",
            "2030-01-01T22:04:05\u{2212}05:00",
            // Numbers as text
            "1893553445",
            "1893553445.000",
            "1893553445000",
        ] {
            assert_eq!(read(text, &east(90)), Some(expected), "{text}");
        }
        for text in [
            "",
            "tomorrow",
            "2030-01-02",
            "20300102",
            "2030-13-02 00:00:00",
            "20301302000000",
            "2030-01-02 25:00:00",
            "2030-01-02 03:04:05+1",
            "2030-01-02 03:04:05+24:00",
            "2030-01-02 03:04:05+0260",
            "2030-01-02 03:04:05+",
            "2030-01-02 03:04:05 CET",
            "2030-01-02 03:04:05[Europe/Paris]",
            "2030-01-02 030",
            "+",
            "T",
            "-",
            "Z",
            "]",
            "[]",
            "\u{2212}",
            "é T+é",
        ] {
            assert_eq!(read(text, &east(0)), None, "{text}");
        }
    }

    #[test]
    fn reads_times_without_seconds() {
        let expected: DateTime<Utc> = "2026-11-24T13:37:00Z".parse().expect("a time");
        for text in [
            "2026-11-24T13:37Z",
            "2026-11-24T14:37+01:00",
            "2026-11-24 13:37+00",
            "2026-11-24T14:37+01:00[Europe/Berlin]",
            "20261124T1337Z",
            "2026-11-24 15:07",
        ] {
            assert_eq!(read(text, &east(90)), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_number_is_read_in_the_unit_that_its_size_tells() {
        let read = |json: &str| {
            let value = RawValue::from_string(json.to_owned()).expect("JSON");
            read_json(&value, &east(0)).map(|time| time.map(write))
        };
        for (json, expected) in [
            ("1893553445", "2030-01-02T03:04:05Z"),
            ("1893553445.0", "2030-01-02T03:04:05Z"),
            ("1893553445.123456789", "2030-01-02T03:04:05.123456789Z"),
            ("1.893553445e9", "2030-01-02T03:04:05Z"),
            ("1.8935534455E9", "2030-01-02T03:04:05.500Z"),
            ("1893553445123", "2030-01-02T03:04:05.123Z"),
            ("1893553445123.5", "2030-01-02T03:04:05.123500Z"),
            ("1893553445123456", "2030-01-02T03:04:05.123456Z"),
            ("1893553445123456789", "2030-01-02T03:04:05.123456789Z"),
            ("\"1893553445\"", "2030-01-02T03:04:05Z"),
            ("1000000000", "2001-09-09T01:46:40Z"),
            ("253402300799", "9999-12-31T23:59:59Z"),
            ("253402300799999", "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(read(json), Ok(Some(expected.to_owned())), "{json}");
        }
        for json in ["60", "999999999", "-1893553445", "-1", "1e400", "-1e400", "1e30", "0.5", "true", "{}", "[]"] {
            let error = read(json).expect_err("refused");
            assert!(error.starts_with("expected a time such as 2026-11-23T09:00:00Z, got "), "{json}: {error}");
        }
        for json in ["null", "\"\"", "\"  \""] {
            assert_eq!(read(json), Ok(None), "{json}");
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
