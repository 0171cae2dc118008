//! Runs through the day of the reminders.

use pulpo_tests::program::Sandbox;

#[test]
fn each_reminder_comes_in_its_time_or_not_at_all() {
    let place = Sandbox::new();
    let said = place.run(env!("CARGO_BIN_EXE_reminders"), &[]);
    assert_eq!(said.code, 0, "{}", said.err);
    let lines: Vec<_> = said.out.lines().collect();
    assert!(lines[0].ends_with("10 reminders are planned"), "{}", said.out);
    assert!(lines[1].ends_with("the worker is switched on"), "{}", said.out);
    // Published last, run first.
    assert!(lines[2].ends_with("Günther Öztürk, do not come at 14:00: Dr. Okafor is ill"), "{}", said.out);
    assert!(lines[3].ends_with("Íñigo Etxeberria, do not come at 15:30: Dr. Okafor is ill"), "{}", said.out);

    // Three reminders expired before the worker started. A slow machine may miss more, but never
    // sends one late.
    let log = said.err.lines().filter(|line| line.contains("its expiration has passed")).count();
    assert!(log >= 3, "{}", said.err);
    let reminders: Vec<_> = lines.iter().filter(|line| line.contains(" expects you at ")).collect();
    // Two were deleted.
    assert_eq!(reminders.len() + log, 8, "{}", said.out);
    assert!(!reminders.iter().any(|line| line.contains("Öztürk") || line.contains("Etxeberria")), "{}", said.out);
    let mut expected = Vec::new();
    for line in &reminders {
        let (said_at, at) = (&line[..5], &line[line.len() - 5..]);
        assert!(said_at <= at, "too late: {line}");
        expected.push(at.to_owned());
    }
    assert!(expected.is_sorted(), "{}", said.out);
    // The worker ran for more than two real seconds.
    let overviews = lines.iter().filter(|line| line.contains(" messages went out so far")).count();
    assert!(overviews >= 1, "{}", said.out);
    let done = reminders.len() + 2 + overviews;
    assert_eq!(lines[lines.len() - 1], format!("{done} jobs done, {log} reminders were too late"));
}
