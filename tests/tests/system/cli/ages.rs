//! Filters by age, and the recipes of the documentation that use them.

use std::path::Path;

use pulpo_tests::program::Sandbox;

use super::{as_json, both, drain, well};

/// Moves all messages of the queue into the past.
fn age(place: &Sandbox, published_days: i64, since_days: i64) {
    const DAY: i64 = 24 * 60 * 60 * 1_000_000;
    let database = rusqlite::Connection::open(place.path("pulpo-data/queue.db")).expect("opened");
    database
        .execute(
            "UPDATE message SET enqueued_at = enqueued_at - ?1, due_since = due_since - ?1, since = since - ?2,
                last_error_at = last_error_at - ?2",
            [published_days * DAY, since_days * DAY],
        )
        .expect("moved");
}

/// Returns a job that was published 40 days ago, and failed a second ago.
fn fresh_failure() -> Sandbox {
    let place = Sandbox::new();
    well(&place, &["publish", "echo", "--payload", "bad"]);
    drain(&place);
    age(&place, 40, 0);
    place
}

#[test]
fn a_failure_of_a_second_ago_is_not_old() {
    let place = fresh_failure();
    let old = ["--state", "buried", "--older", "30d"];
    assert_eq!(well(&place, &[&["list"][..], &old].concat()), "no messages\n");
    assert_eq!(well(&place, &[&["delete", "--yes"][..], &old].concat()), "deleted 0 messages\n");
    assert!(well(&place, &["list"]).contains("s ago "), "so says SINCE");
    assert_eq!(well(&place, &["kick", "--newer", "1d", "--dry-run"]), "would kick 1 message\n");
    assert_eq!(well(&place, &["kick", "--published-after", "1d"]), "kicked 0 messages\n");
    assert_eq!(well(&place, &["kick", "--published-before", "30d", "--dry-run"]), "would kick 1 message\n");
    assert_eq!(well(&place, &["kick", "--newer", "1d"]), "kicked 1 message\n");
    // After a kick, it has been ready for only a moment.
    assert_eq!(well(&place, &["list", "--state", "ready", "--older", "1h"]), "no messages\n");
    let message = as_json(&place, &["list", "--newer", "1h", "--json"]);
    assert_eq!(message[0]["state"], "ready");
}

#[test]
fn a_failure_of_long_ago_is_old() {
    let place = fresh_failure();
    age(&place, 0, 35);
    assert!(well(&place, &["list"]).contains(" 35days ago "), "so says SINCE");
    assert_eq!(well(&place, &["kick", "--newer", "1d"]), "kicked 0 messages\n");
    assert_eq!(well(&place, &["delete", "--state", "buried", "--older", "30d", "--yes"]), "deleted 1 message\n");
}

#[test]
fn times_are_ages_or_absolute() {
    both(|place| {
        well(place, &["publish", "echo", "--payload", "x"]);
        for fits in [
            ["--published-before", "2100-01-01T00:00:00Z"],
            ["--published-after", "2026-01-01T00:00:00+01:00"],
            ["--published-after", "1h 30m"],
            ["--older", "2100-01-01T00:00:00Z"],
            ["--newer", "2026-01-01T00:00:00Z"],
        ] {
            assert_eq!(
                as_json(place, &["list", "--json", fits[0], fits[1]]).as_array().map(Vec::len),
                Some(1),
                "{fits:?}"
            );
        }
        for other in [
            ["--published-after", "2100-01-01T00:00:00Z"],
            ["--published-before", "2026-01-01T00:00:00+01:00"],
            ["--published-before", "90m"],
            ["--older", "90"],
        ] {
            assert_eq!(well(place, &["list", other[0], other[1]]), "no messages\n", "{other:?}");
        }
    });
}

#[test]
fn a_server_says_what_it_cannot_tell() {
    let place = Sandbox::with_beanstalkd();
    well(&place, &["publish", "echo", "--payload", "bad"]);
    drain(&place);
    // The server does not report when it was kicked.
    well(&place, &["kick", "--all"]);
    let said = place.run(super::WORKER, &["list", "--newer", "1h"]);
    assert_eq!((said.code, said.out.as_str()), (0, "no messages\n"));
    assert!(said.err.contains("does not tell how long some messages have been in their state"), "{}", said.err);
    assert!(said.err.contains("left_out=1"), "{}", said.err);
    assert_eq!(well(&place, &["list", "--published-after", "1h"]).lines().count(), 2);
}

/// Runs the recipes about ages from the table in docs/operating.md as written.
#[test]
fn the_recipes_of_the_documentation_do_what_they_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md");
    let page = std::fs::read_to_string(file).expect("the page");
    let recipe = |what: &str| -> Vec<String> {
        let row =
            page.lines().find(|line| line.starts_with(&format!("| {what} |"))).unwrap_or_else(|| panic!("{what}"));
        let command = row.split('`').nth(1).expect("a command");
        command.split_whitespace().skip(1).map(|word| word.replace("send_email", "echo")).collect()
    };
    let run = |place: &Sandbox, what: &str, more: &[&str]| {
        let recipe = recipe(what);
        let arguments: Vec<&str> = recipe.iter().map(String::as_str).chain(more.iter().copied()).collect();
        well(place, &arguments)
    };
    let place = fresh_failure();
    assert_eq!(run(&place, "Delete what has been buried for a month", &["--yes"]), "deleted 0 messages\n");
    assert_eq!(run(&place, "Retry what was buried in the last day", &["--dry-run"]), "would kick 1 message\n");
    assert_eq!(run(&place, "See what was published more than a month ago", &["--json"]).matches("\"id\"").count(), 1);
    age(&place, 0, 40);
    assert_eq!(run(&place, "Retry what was buried in the last day", &[]), "kicked 0 messages\n");
    assert_eq!(run(&place, "Delete what has been buried for a month", &["--yes"]), "deleted 1 message\n");
    well(&place, &["publish", "echo", "--payload", "waits"]);
    assert_eq!(run(&place, "See what has been waiting for a worker for ten minutes", &[]), "no messages\n");
    age(&place, 1, 1);
    assert_eq!(
        run(&place, "See what has been waiting for a worker for ten minutes", &["--json"]).matches("\"id\"").count(),
        1
    );
}
