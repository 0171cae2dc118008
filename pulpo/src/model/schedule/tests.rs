//! Occurrences in the hours of clock changes, checked against the rules, and against a slow way to find them.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::zone::Zone;
use super::*;

/// Parses a field of numbers, lists, ranges and steps.
fn bits(field: &str, least: u32, most: u32) -> u64 {
    let mut bits = 0;
    for item in field.split(',') {
        let (range, step) = item.split_once('/').unwrap_or((item, "1"));
        let number = |text: &str| text.parse::<u32>().expect("a number");
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((first, last)) => (number(first), number(last)),
            None => (number(range), number(range)),
        };
        for value in (first..=last).step_by(number(step) as usize) {
            bits |= 1 << value;
        }
    }
    bits
}

fn cron(text: &str) -> Cron {
    let fields: Vec<_> = text.split(' ').collect();
    let [minutes, hours, days, months, weekdays] = fields[..] else { panic!("expected five fields, got {text}") };
    Cron {
        minutes: bits(minutes, 0, 59),
        hours: bits(hours, 0, 23) as u32,
        days: bits(days, 1, 31) as u32,
        months: bits(months, 1, 12) as u16,
        weekdays: bits(weekdays, 0, 6) as u8,
        either_day: !days.starts_with('*') && !weekdays.starts_with('*'),
    }
}

fn entry(text: &'static str, zone: &'static str) -> Entry {
    Entry::cron(text, cron(text), zone)
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

/// Asserts the occurrences after this time, as UTC, to the minute.
#[track_caller]
fn assert_follow(text: &'static str, zone: &'static str, after: &str, expected: &[&str]) {
    let (mut at, mut got) = (time(after), Vec::new());
    for _ in expected {
        at = entry(text, zone).next_after(at).expect("another");
        got.push(at.format("%m-%d %H:%M").to_string());
    }
    assert_eq!(got, expected, "{text} in {zone}");
}

#[test]
fn fields_mean_what_they_mean_in_a_crontab() {
    let follow = |text, expected| assert_follow(text, UTC, "2026-11-23T09:00:00Z", expected);
    follow("* * * * *", &["11-23 09:01", "11-23 09:02"]);
    follow(
        "*/20 9-10 * * *",
        &["11-23 09:20", "11-23 09:40", "11-23 10:00", "11-23 10:20", "11-23 10:40", "11-24 09:00"],
    );
    follow("0 3 * * 1-5", &["11-24 03:00", "11-25 03:00", "11-26 03:00", "11-27 03:00", "11-30 03:00"]);
    follow("30 23 31 * *", &["12-31 23:30", "01-31 23:30", "03-31 23:30"]);
    follow("0 0 29 2 *", &["02-29 00:00"]);
    // Either the day of the month or of the week, if both are given.
    follow("0 0 1 12 6", &["12-01 00:00", "12-05 00:00", "12-12 00:00"]);
    // Both, if one of them is a step of `*`.
    follow("0 0 */2 12 6", &["12-05 00:00", "12-19 00:00"]);
    assert_eq!(entry("0 0 29 2 *", UTC).next_after(time("2026-11-23T09:00:00Z")), Some(time("2028-02-29T00:00:00Z")));
    assert_eq!(entry("0 0 29 2 *", UTC).next_after(time("2096-02-29T00:00:00Z")), Some(time("2104-02-29T00:00:00Z")));
    assert_eq!(entry("0 0 30 2 *", UTC).next_after(time("2026-11-23T09:00:00Z")), None);
}

#[test]
fn a_local_time_that_does_not_exist_is_the_first_instant_after_the_gap() {
    // 02:00 is 03:00 in Berlin, at 01:00 UTC.
    let berlin = "Europe/Berlin";
    assert_follow("30 2 * * *", berlin, "2026-03-28T00:00:00Z", &["03-28 01:30", "03-29 01:00", "03-30 00:30"]);
    assert_follow("0 3 * * *", berlin, "2026-03-28T00:00:00Z", &["03-28 02:00", "03-29 01:00", "03-30 01:00"]);
    // One instant is one occurrence, however many local times lead to it.
    assert_follow("*/15 2-3 * * *", berlin, "2026-03-29T00:00:00Z", &["03-29 01:00", "03-29 01:15", "03-29 01:30"]);
    // 02:00 is 03:00 in New York, at 07:00 UTC.
    assert_follow("30 2 * * *", "America/New_York", "2026-03-08T00:00:00Z", &["03-08 07:00", "03-09 06:30"]);
    // 02:00 is 02:30 on Lord Howe Island, at 15:30 UTC of the day before.
    assert_follow("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", &["10-03 15:30", "10-04 15:15"]);
    // 00:00 was 01:00 in São Paulo, at 03:00 UTC of a Sunday.
    let sao_paulo = "America/Sao_Paulo";
    assert_follow("0 0 * * *", sao_paulo, "2017-10-14T00:00:00Z", &["10-14 03:00", "10-15 03:00", "10-16 02:00"]);
    assert_follow("0 0 * * 0", sao_paulo, "2017-10-14T00:00:00Z", &["10-15 03:00", "10-22 02:00"]);
    // There was no 30th of December 2011 on Samoa.
    assert_follow("0 12 30 12 *", "Pacific/Apia", "2011-12-29T12:00:00Z", &["12-30 10:00", "12-29 22:00"]);
}

#[test]
fn a_local_time_that_comes_twice_is_the_first_one() {
    // 03:00 is 02:00 in Berlin, at 01:00 UTC.
    let berlin = "Europe/Berlin";
    assert_follow("30 2 * * *", berlin, "2026-10-24T12:00:00Z", &["10-25 00:30", "10-26 01:30"]);
    assert_follow("*/30 2-3 * * *", berlin, "2026-10-25T00:00:00Z", &["10-25 00:30", "10-25 02:00", "10-25 02:30"]);
    // Also from within the second occurrence of that hour.
    assert_follow("30 2 * * *", berlin, "2026-10-25T01:10:00Z", &["10-26 01:30"]);
    assert_follow("30 1 * * *", "America/New_York", "2026-11-01T00:00:00Z", &["11-01 05:30", "11-02 06:30"]);
    assert_follow("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", &["04-04 14:45", "04-05 15:15"]);
    // 00:00 of a Sunday was 23:00 of the Saturday in São Paulo, at 02:00 UTC.
    let sao_paulo = "America/Sao_Paulo";
    assert_follow("30 23 * * *", sao_paulo, "2018-02-17T12:00:00Z", &["02-18 01:30", "02-19 02:30"]);
    assert_follow("0 0 * * 0", sao_paulo, "2018-02-17T12:00:00Z", &["02-18 03:00", "02-25 03:00"]);
}

#[test]
fn hourly_and_more_frequent_entries_neither_pause_nor_double() {
    let changes = [
        ("Europe/Berlin", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "2026-10-25T01:00:00Z"),
        ("America/New_York", "2026-03-08T07:00:00Z"),
        ("America/New_York", "2026-11-01T06:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ];
    for (zone, change) in changes {
        let start = time(change) - chrono::TimeDelta::hours(5);
        for (text, minutes) in [("* * * * *", 1), ("*/10 * * * *", 10), ("*/30 * * * *", 30), ("7,37 0-23 * * *", 30)] {
            let mut last = entry(text, zone).next_after(start).expect("one");
            for _ in 0..600 / minutes {
                let next = entry(text, zone).next_after(last).expect("another");
                assert_eq!((next - last).num_minutes(), minutes, "{text} in {zone} at {next}");
                last = next;
            }
        }
        for text in ["0 * * * *", "15 * * * *", "30 * * * *", "45 * * * *"] {
            let all: Vec<_> = Occurrences { schedule: once(entry(text, zone)), after: start }.take(10).collect();
            for pair in all.windows(2) {
                let apart = (pair[1] - pair[0]).num_minutes();
                let by_halves = zone == "Australia/Lord_Howe";
                assert!(apart == 60 || by_halves && (15..60).contains(&apart), "{text} in {zone}: {apart} min");
            }
        }
    }
}

fn once(entry: Entry) -> Schedule {
    Schedule::new(Box::leak(Box::new([entry])), Missed::One, Overlap::Skip)
}

#[test]
fn a_period_is_counted_from_1970() {
    let five = Entry::every(Duration::from_secs(300));
    assert_eq!(five.next_after(time("2026-11-23T09:01:00Z")), Some(time("2026-11-23T09:05:00Z")));
    assert_eq!(five.next_after(time("2026-11-23T09:05:00Z")), Some(time("2026-11-23T09:10:00Z")));
    let odd = Entry::every(Duration::from_millis(1500));
    assert_eq!(odd.next_after(time("1970-01-01T00:00:01Z")), Some(time("1970-01-01T00:00:01.5Z")));
    assert_eq!(odd.next_after(time("1969-12-31T23:59:58Z")), Some(time("1969-12-31T23:59:58.500Z")));
    assert_eq!(five.next_after(DateTime::<Utc>::MAX_UTC), None);
}

#[test]
fn several_expressions_of_a_handler_are_one_sequence() {
    let all = [entry("0 9 * * *", UTC), entry("0 */9 * * *", UTC), Entry::every(Duration::from_secs(12 * 3600))];
    let schedule = Schedule::new(Box::leak(Box::new(all)), Missed::One, Overlap::Skip);
    let hours: Vec<_> =
        schedule.after(time("2026-11-23T00:00:00Z")).take(5).map(|at| at.format("%H").to_string()).collect();
    assert_eq!(hours, ["09", "12", "18", "00", "09"]);
}

#[test]
fn an_entry_is_known_by_its_text() {
    assert_eq!(entry("0 3 * * 1-5", "Europe/Berlin").to_string(), "0 3 * * 1-5 Europe/Berlin");
    assert_eq!(entry("0 3 * * 1-5", UTC).to_string(), "0 3 * * 1-5");
    assert_eq!(Entry::every(Duration::from_secs(90)).to_string(), "every 1m 30s");
}

#[test]
fn missed_times_run_as_the_policy_says() {
    let nightly = entry("0 3 * * *", UTC);
    let (settled, now) = (time("2026-11-20T12:00:00Z"), time("2026-11-23T09:00:00Z"));
    let away = Attendance(now);
    let due = |missed, settled, attendance| nightly.due(missed, settled, now, attendance);
    let nights = ["2026-11-21T03:00:00Z", "2026-11-22T03:00:00Z", "2026-11-23T03:00:00Z"].map(time);
    assert_eq!(due(Missed::One, settled, away), nights[2..]);
    assert!(due(Missed::Skip, settled, away).is_empty());
    assert_eq!(due(Missed::All, settled, away), nights);
    // A worker that was there skips nothing, and publishes no flood.
    assert_eq!(due(Missed::Skip, settled, Attendance(settled)), nights[2..]);
    assert_eq!(due(Missed::One, settled, Attendance(settled)), nights[2..]);
    // A late occurrence is still due.
    let second = Entry::every(Duration::from_secs(1));
    for missed in [Missed::One, Missed::Skip, Missed::All] {
        let late = second.due(missed, now - chrono::TimeDelta::seconds(3), now, away);
        assert_eq!(late.len(), 3, "{missed:?}");
        assert_eq!(late[2], now);
    }
    // It must not go through ten years of seconds.
    let all = second.due(Missed::All, now - chrono::TimeDelta::days(3650), now, away);
    assert_eq!((all.len(), all[0], all[99]), (100, now - chrono::TimeDelta::seconds(99), now));
    assert!(second.due(Missed::One, now, now, away).is_empty());
}

/// Finds the occurrences by the words of the rule: goes through all times that the clocks show.
fn slowly(cron: Cron, zone: &Zone, change: i64) -> BTreeSet<i64> {
    let hourly = cron.hours == (1 << 24) - 1;
    let (before, after) = (zone.offset(change - 1), zone.offset(change));
    let mut all = BTreeSet::new();
    for shown in (change - 90_000..change + 90_000).step_by(60) {
        let is_due = Entry::cron("", cron, UTC).next_after(DateTime::from_timestamp(shown - 1, 0).expect("a time"));
        if is_due.map(|at| at.timestamp()) != Some(shown) {
            continue;
        }
        let mut instants: Vec<_> = [before, after]
            .into_iter()
            .filter(|offset| zone.offset(shown - offset) == *offset)
            .map(|o| shown - o)
            .collect();
        instants.sort_unstable();
        match instants[..] {
            [] if hourly => {}
            [] => drop(all.insert(change)),
            [first, ..] if !hourly => drop(all.insert(first)),
            _ => all.extend(instants),
        }
    }
    all
}

proptest! {
    // Each case goes through more than three days of minutes.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_rules_hold_for_any_expression(
        minutes in 1_u64..1 << 60, hours in 1_u32..1 << 24, every_hour: bool,
        zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"]),
        second_change: bool,
    ) {
        // Sparse hours are the interesting ones.
        let hours = if every_hour { (1 << 24) - 1 } else { hours & 0b1111 | 1 << 4 };
        let cron = Cron { minutes, hours, days: u32::MAX, months: u16::MAX, weekdays: 127, either_day: false };
        let place = Zone::named(zone);
        let mut change = place.stretch(time("2026-01-10T00:00:00Z").timestamp()).end;
        if second_change {
            change = place.stretch(change).end;
        }
        let expected: Vec<_> = slowly(cron, &place, change)
            .into_iter().filter(|at| (change - 43_200..change + 43_200).contains(at)).collect();
        let mut got = Vec::new();
        let mut next = cron.next(change - 43_200, &place);
        while let Some(at) = next.filter(|at| *at < change + 43_200) {
            got.push(at);
            next = cron.next(at + 1, &place);
        }
        // An hourly job may fall on the change itself only if the clocks change by half an hour.
        if every_hour && zone == "Australia/Lord_Howe" {
            got.retain(|at| *at != change || expected.contains(at));
        }
        prop_assert_eq!(got, expected);
    }
}
