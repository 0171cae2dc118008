use super::*;

fn cron(text: &str) -> Result<Cron, Vec<String>> {
    let mut faults = Faults::default();
    let literal = LitStr::new(text, proc_macro2::Span::call_site()).to_token_stream();
    let cron = quoted(&literal, &mut faults);
    cron.ok_or_else(|| faults.iter().map(ToString::to_string).collect())
}

fn tokens(text: &str) -> Result<Cron, Vec<String>> {
    let mut faults = Faults::default();
    let tokens: TokenStream = format!("({text})").parse().expect("tokens");
    let Some(TokenTree::Group(group)) = tokens.into_iter().next() else { panic!("expected a group") };
    let cron = listed(&group, &mut faults);
    cron.ok_or_else(|| faults.iter().map(|fault| fault.span().source_text().unwrap_or_default()).collect())
}

fn values(bits: u64) -> Vec<u32> {
    (0..64).filter(|bit| bits >> bit & 1 == 1).collect()
}

#[test]
fn a_field_is_a_set_of_its_values() {
    let read = |index: usize, text: &str| {
        values(super::read(&FIELDS[index], text).unwrap_or_else(|why| panic!("{text}{why}")))
    };
    assert_eq!(read(0, "*/20,5"), [0, 5, 20, 40]);
    assert_eq!(read(0, "50/5"), [50, 55]);
    assert_eq!(read(1, "9-17/4,23"), [9, 13, 17, 23]);
    assert_eq!(read(2, "*").len(), 31);
    assert_eq!(read(3, "jan,APR-Jun,12"), [1, 4, 5, 6, 12]);
    assert_eq!(read(4, "MON-FRI"), [1, 2, 3, 4, 5]);
    assert_eq!(read(4, "FRI-SUN"), [0, 5, 6]);
    assert_eq!(read(4, "5-7"), [0, 5, 6]);
    assert_eq!(read(4, "sun"), [0]);
    assert_eq!(read(4, "SUN-SUN"), [0]);
    assert_eq!(read(4, "7"), [0]);
    assert_eq!(read(4, "*"), [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(read(4, "*/5"), [0, 5]);
    assert_eq!(read(4, "2/5"), [2]);
    assert_eq!(read(4, "MON/2"), [1, 3, 5]);
}

#[test]
fn a_wrong_value_of_a_field_is_refused() {
    for (index, text) in [
        (0, "60"),
        (0, "-1"),
        (0, "*/0"),
        (0, "*/60"),
        (0, "a"),
        (0, "1.5"),
        (0, "1,,2"),
        (0, "+5"),
        (0, ""),
        (0, "1-"),
        (0, "MON"),
        (1, "24"),
        (1, "12-9"),
        (1, "3pm"),
        (2, "0"),
        (2, "32"),
        (2, "L"),
        (2, "15W"),
        (2, "?"),
        (3, "0"),
        (3, "13"),
        (3, "January"),
        (3, "MON"),
        (4, "8"),
        (4, "fun"),
        (4, "monday"),
        (4, "5#2"),
        (4, "SAT-MON"),
        (4, "JAN"),
        (4, "*/8"),
        (4, "7/2"),
        (4, "1-5/0"),
        (4, "*-5"),
        (4, "1-2-3"),
        (4, "1/2/3"),
    ] {
        assert!(super::read(&FIELDS[index], text).is_err(), "{}: {text}", FIELDS[index].name);
    }
}

#[test]
fn both_forms_mean_the_same() {
    for text in [
        "0 3 * * MON-FRI",
        "*/5 * * * *",
        "0,30 9-17/2 1 JAN,JUL *",
        "05 08 * * 7",
        "59 23 31 12 *",
        "0 */6 1,15 * SUN",
        "@daily",
        "@hourly",
        "@yearly",
    ] {
        let (one, other) = (
            cron(text).unwrap_or_else(|faults| panic!("{faults:?}")),
            tokens(text).unwrap_or_else(|at| panic!("{at:?}")),
        );
        let all = |cron: &Cron| (cron.text.clone(), cron.minutes, cron.hours, cron.days, cron.months, cron.weekdays);
        assert_eq!(all(&one), all(&other), "{text}");
        assert_eq!(one.text, text);
    }
    assert_eq!(cron("  0  3 *\t* 1 ").ok().map(|cron| cron.text).as_deref(), Some("0 3 * * 1"));
    let weekly = cron("@weekly").expect("a nickname");
    assert_eq!((weekly.minutes, weekly.hours, weekly.weekdays, weekly.either_day), (1, 1, 1, false));
}

#[test]
fn each_wrong_field_is_a_fault_on_its_tokens() {
    let at = |text: &str| tokens(text).err().unwrap_or_default();
    assert_eq!(at("*/5 25 * * fun"), ["25", "fun"]);
    assert_eq!(at("0-99 3 * * MON-FOO"), ["0-99", "MON-FOO"]);
    assert_eq!(at("0 3 5#2 * *"), ["5#2"]);
    assert_eq!(at("0 3 ? * ?"), ["?", "?"]);
    assert_eq!(at("0 0 30 2 *"), ["30 2"]);
    for (text, count) in [("", 0), ("0 3 * *", 4), ("0 0 3 * * MON", 6)] {
        assert_eq!(at(text).len(), 1, "{text}");
        let fault = cron(text).err().expect("a fault").concat();
        assert!(
            fault.contains(&format!("expected five fields, minute hour day month weekday, got {count}")),
            "{fault}"
        );
    }
    let both = cron("61 25 * * *").err().expect("faults");
    assert_eq!(both.len(), 2);
    assert!(
        both[0].contains("expected minutes from 0 to 59") && both[1].contains("expected hours from 0 to 23"),
        "{both:?}"
    );
}

#[test]
fn a_day_that_never_comes_is_refused() {
    for never in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 30-31 FEB *"] {
        let fault = cron(never).err().expect("a fault").concat();
        assert!(fault.contains("which never comes"), "{fault}");
    }
    for good in ["0 0 29 2 *", "0 0 30 2 MON", "0 0 31 * *", "0 0 30,1 2 *", "0 0 */31 2 *"] {
        assert!(cron(good).is_ok(), "{good}");
    }
    let reboot = cron("@reboot").err().expect("a fault").concat();
    assert!(reboot.contains("expected @hourly, @daily"), "{reboot}");
    let every = cron("@every 5m").err().expect("a fault").concat();
    assert!(every.contains("write `every = \"5m\"`"), "{every}");
}

#[test]
fn an_unknown_zone_is_refused_with_the_nearest() {
    let meant = |name: &str| {
        let literal = LitStr::new(name, proc_macro2::Span::call_site()).to_token_stream();
        zone(&literal).map_err(|error| error.to_string())
    };
    for good in ["Europe/Berlin", "UTC", "America/Argentina/Buenos_Aires", "Asia/Calcutta"] {
        assert_eq!(meant(good).as_deref(), Ok(good));
    }
    for (name, nearest) in [
        ("Europe/Berln", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("America/New York", "America/New_York"),
        ("New York", "America/New_York"),
        ("Asia/Tokio", "Asia/Tokyo"),
        ("utc", "UTC"),
    ] {
        let error = meant(name).expect_err("no zone");
        assert!(error.contains(&format!("did you mean \"{nearest}\"?")), "{name}: {error}");
    }
    assert!(!meant("+02:00").expect_err("no zone").contains("did you mean"));
}
