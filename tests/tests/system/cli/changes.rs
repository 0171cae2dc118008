//! `kick`, `delete` and `purge`.

use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::until;
use serde_json::json;

use super::{WORKER, as_json, both, drain, refused, well};

fn count(place: &Sandbox, arguments: &[&str]) -> usize {
    let all = as_json(place, &[&["list", "--limit", "0", "--json"], arguments].concat());
    all.as_array().expect("a list").len()
}

/// Four buried messages and one ready message.
fn fill(place: &Sandbox) {
    well(place, &["publish", "echo", "--payload", "bad", "--count", "4"]);
    drain(place);
    well(place, &["publish", "record", "--body", r#"{"number": 1}"#]);
}

#[test]
fn failed_messages_are_kicked_by_filters() {
    both(|place| {
        fill(place);
        assert_eq!(well(place, &["kick", "--reason", "bad", "--dry-run"]), "would kick 4 messages\n");
        assert_eq!(well(place, &["kick", "--reason", "other"]), "kicked 0 messages\n");
        assert_eq!(well(place, &["kick", "--older", "1h"]), "kicked 0 messages\n");
        assert_eq!(well(place, &["kick", "--published-before", "1h"]), "kicked 0 messages\n");
        assert_eq!(count(place, &["--state", "buried"]), 4);
        assert_eq!(well(place, &["kick", "--queue", "side", "--newer", "1h", "--limit", "1"]), "kicked 1 message\n");
        let kicked = as_json(place, &["kick", "--reason", "BAD", "--type", "echo", "--json"]);
        assert_eq!(kicked, json!({"matched": 3, "kicked": 3, "dry_run": false}));
        assert_eq!(count(place, &["--state", "ready"]), 5);
    });
}

#[test]
fn several_ids_are_handled_one_by_one() {
    both(|place| {
        fill(place);
        let all = as_json(place, &["list", "--json"]);
        let ids: Vec<_> =
            all.as_array().expect("a list").iter().map(|message| message["id"].as_str().expect("an id")).collect();
        let [ready, first, second, third, _] = ids[..] else { panic!("five messages, got {ids:?}") };
        assert_eq!(well(place, &["kick", first, second, "--dry-run"]), "would kick 2 messages\n");
        let said = place.run(WORKER, &["kick", first, ready, "999", second]);
        assert_eq!((said.code, said.out.as_str()), (1, format!("kicked {first}\nkicked {second}\n").as_str()));
        let expected =
            format!("error: message {ready} is ready, and only buried ones can be kicked; there is no message 999\n");
        assert_eq!(said.err, expected);
        assert_eq!(well(place, &["delete", first, third]), format!("deleted {first}\ndeleted {third}\n"));
        let deleted = as_json(place, &["delete", ready, "--json"]);
        assert_eq!(deleted, json!({"matched": 1, "deleted": 1, "dry_run": false}));
        assert_eq!(count(place, &[]), 2);
    });
}

#[test]
fn deleting_by_filters_wants_a_confirmation() {
    both(|place| {
        fill(place);
        for arguments in [&["delete", "--state", "buried"][..], &["purge", "side"], &["purge", "--all", "--json"]] {
            let error = refused(place, 2, arguments);
            assert!(error.contains("not a terminal: pass --yes to delete, or --dry-run to see how many"), "{error}");
        }
        assert_eq!(count(place, &[]), 5);
        assert_eq!(well(place, &["purge", "--all", "--dry-run"]), "would delete 5 messages\n");
        assert_eq!(well(place, &["delete", "--state", "ready", "--queue", "side", "--yes"]), "deleted 0 messages\n");
        assert_eq!(well(place, &["delete", "--state", "buried", "--limit", "1", "--yes"]), "deleted 1 message\n");
        assert_eq!(well(place, &["purge", "side", "--state", "ready,delayed", "--yes"]), "deleted 0 messages\n");
        assert_eq!(well(place, &["purge", "side", "--yes"]), "deleted 3 messages\n");
        assert_eq!(well(place, &["purge", "--all", "--older", "1h", "--yes"]), "deleted 0 messages\n");
        assert_eq!(well(place, &["purge", "--all", "--yes"]), "deleted 1 message\n");
    });
}

#[test]
fn messages_of_a_running_worker_stay() {
    both(|place| {
        well(place, &["publish", "nap", "--body", "60000"]);
        let worker = place.start(place.command(WORKER, &["work"]));
        until("it naps", || place.record().contains("asleep"));
        let error = refused(place, 1, &["delete", "1"]);
        assert!(error.starts_with("error: message 1 is reserved by a worker: wait until it is settled"), "{error}");
        assert_eq!(well(place, &["purge", "--all", "--yes"]), "deleted 0 messages\n");
        assert_eq!(
            refused(place, 1, &["kick", "1"]),
            "error: message 1 is reserved, and only buried ones can be kicked\n"
        );
        let shown = well(place, &["peek", "1"]);
        assert!(shown.contains("\nstate        reserved\n") && shown.contains("\nlease ends   20"), "{shown}");
        worker.signal("KILL");
    });
}

#[test]
fn a_command_that_says_too_little_or_too_much_is_refused() {
    let place = Sandbox::new();
    for arguments in [
        &["kick"][..],
        &["kick", "1", "--all"],
        &["kick", "--all", "--type", "echo"],
        &["kick", "1", "--type", "echo"],
        &["kick", "1", "--published-before", "1h"],
        &["kick", "--all", "--published-after", "1h"],
        &["kick", "--all", "--limit", "0"],
        &["kick", "--reason", ""],
        &["kick", "--queue", ""],
        &["list", "--queue", ""],
        &["purge", "", "--yes"],
        &["pause", ""],
        &["resume", ""],
        &["publish", "echo", "--payload", "x", "--expiration", "2020-01-01T00:00:00Z"],
        &["publish", "echo", "--payload", "x", "--delay", "2h", "--expiration", "1h"],
        &["kick", "--older", "1h", "--newer", "2026-11-23T09:00:00+0000x"],
        &["delete", "--older", "1h", "--newer", "10m", "--yes"],
        &["delete", "--state", "buried", "--limit", "0"],
        &["purge", "--all", "--published-before", "2d", "--published-after", "1d", "--yes"],
        &["list", "--older", "1h", "--newer", "1h"],
        &["kick", "--older", "yesterday"],
        &["delete"],
        &["delete", "1", "--state", "buried"],
        &["delete", "1", "--reason", "x"],
        &["delete", "--state", "reserved"],
        &["purge"],
        &["purge", "mail", "--all"],
        &["list", "--state", "ready,lost"],
        &["list", "--newer", "soon"],
        &["peek"],
        &["pause"],
        &["pause", "mail", "0s"],
        &["resume"],
        &["backup"],
        &["relay"],
        &["relay", "--once"],
        &["outbox", "--sql", "mysql"],
        &["stats", "--watch", "1ms"],
        &["completions", "tcsh"],
        &["publish", "echo", "--lines", "file"],
        &["publish", "echo", "--lines", "-", "--count", "2"],
        &["publish", "echo", "--payload", "x", "--skip-bad"],
        &["publish", "echo", "--payload", "x", "--header", "x"],
    ] {
        let error = refused(&place, 2, arguments);
        assert!(error.starts_with("error: "), "{arguments:?}: {error}");
    }
    assert!(!place.path("pulpo-data").exists(), "nothing was opened");
}

#[test]
fn changes_before_an_error_are_reported() {
    let place = Sandbox::new();
    fill(&place);
    well(&place, &["publish", "echo", "--payload", "x", "--delay", "1h", "--count", "3"]);
    let database = rusqlite::Connection::open(place.path("pulpo-data/queue.db")).expect("opened");
    let refuse = |what: &str| {
        format!(
            "CREATE TRIGGER no_{what} BEFORE {what} ON message WHEN old.id IN (3, 7)
             BEGIN SELECT RAISE(ABORT, 'a fault of the disk'); END"
        )
    };
    database.execute_batch(&[refuse("DELETE"), refuse("UPDATE")].join(";")).expect("made");
    for (arguments, out) in [
        (["delete", "2", "3", "4"], "deleted 2\n"),
        (["kick", "4", "3", "5"], "kicked 4\n"),
        (["cancel", "6", "7", "8"], "cancelled 6\n"),
    ] {
        let said = place.run(WORKER, &arguments);
        assert_eq!((said.code, said.out.as_str()), (1, out), "{arguments:?}: {}", said.err);
        let stopped = format!("error: stopped at message {}: ", arguments[2]);
        assert!(said.err.starts_with(&stopped) && said.err.contains("a fault of the disk"), "{}", said.err);
    }
    let said = place.run(WORKER, &["edit", "8", "7", "6", "--priority", "1", "--json"]);
    let edited: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((said.code, edited), (1, json!({"matched": 1, "edited": 1, "dry_run": false})));
    assert!(said.err.starts_with("error: stopped at message 7: "), "{}", said.err);
}
