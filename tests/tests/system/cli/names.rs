//! Names of queues and jobs that do not exist.

use pulpo_tests::program::Sandbox;
use pulpo_tests::stored;
use serde_json::json;

use super::{WORKER, as_json, both, drain, refused, warned, well};

#[test]
fn an_unknown_type_is_reported_with_the_nearest_one() {
    both(|place| {
        drain(place);
        let and_no_message = if place.is_on_a_server() { "" } else { ", and no message in the queue" };
        let unknown = |name: &str, advice: &str| {
            format!("warning: no handler of this program{and_no_message} has the request type {name:?}; {advice}\n")
        };
        for (command, out) in [
            (&["list", "--type", "recrod"][..], "no messages\n"),
            (&["list", "--type", "recrod", "--json"], "[]\n"),
            (&["kick", "--type", "recrod"], "kicked 0 messages\n"),
            (&["delete", "--type", "recrod", "--yes"], "deleted 0 messages\n"),
            (&["delete", "--type", "recrod", "--dry-run"], "would delete 0 messages\n"),
            (&["purge", "side", "--type", "recrod", "--yes"], "deleted 0 messages\n"),
        ] {
            assert_eq!(warned(place, command), (out.to_owned(), unknown("recrod", "did you mean \"record\"?")));
        }
        assert_eq!(warned(place, &["list", "--type", "sya"]).1, unknown("sya", "did you mean \"say\"?"), "an alias");
        let known = "known: \"echo\", \"nap\", \"record\", \"say\"";
        assert_eq!(warned(place, &["kick", "--type", "zzz"]).1, unknown("zzz", known));
        for known in ["record", "say"] {
            assert_eq!(well(place, &["list", "--type", known]), "no messages\n", "it is one");
        }
    });
}

#[test]
fn an_unknown_queue_is_reported_with_the_nearest_one() {
    both(|place| {
        drain(place);
        let unknown = "warning: no handler of this program is for the queue \"sdie\", and there are no messages in it; \
             did you mean \"side\"?\n";
        for command in [
            &["list", "--queue", "sdie"][..],
            &["kick", "--queue", "sdie"],
            &["delete", "--queue", "sdie", "--yes"],
            &["purge", "sdie", "--yes"],
            &["purge", "sdie", "--dry-run"],
            &["resume", "sdie"],
        ] {
            assert_eq!(warned(place, command).1, unknown, "{command:?}");
        }
        for known in ["side", "pulpo"] {
            assert_eq!(well(place, &["list", "--queue", known]), "no messages\n", "it is one");
        }
        if place.has_server() {
            return;
        }
        well(place, &["publish", "echo", "--payload", "x", "--delay", "1h"]);
        let id = as_json(place, &["list", "--json"])[0]["id"].as_str().expect("an id").to_owned();
        let edit = |queue: &'static str| place.run(WORKER, &["edit", &id, "--queue", queue]);
        assert_eq!(edit("sdie").err, unknown);
        assert_eq!(edit("side").err, "", "it is known");
    });
}

#[test]
fn names_that_only_messages_have_are_known() {
    let place = Sandbox::new();
    drain(&place);
    // Another program publishes names that this one does not know.
    let database = rusqlite::Connection::open(place.path("pulpo-data/queue.db")).expect("opened");
    stored::insert(&database, "invoices", b"charge", 0, b"{}");
    drop(database);
    assert_eq!(well(&place, &["list", "--type", "charge", "--state", "buried"]), "no messages\n");
    assert_eq!(well(&place, &["kick", "--type", "charge"]), "kicked 0 messages\n");
    assert_eq!(well(&place, &["kick", "--queue", "invoices"]), "kicked 0 messages\n");
    assert!(warned(&place, &["list", "--type", "chrage"]).1.ends_with("did you mean \"charge\"?\n"));
    assert!(warned(&place, &["purge", "invoces", "--yes"]).1.ends_with("did you mean \"invoices\"?\n"));
}

#[test]
fn a_worker_warns_of_a_queue_that_nothing_is_for() {
    both(|place| {
        let end = ["--set", "sleep_duration=100ms", "--set", "shutdown_after_number_of_empty_iterations=1"];
        let worked = |arguments: &[&str]| place.run(WORKER, &[arguments, &end].concat());
        let said = worked(&["work", "--queues", "sdie,pulpo"]);
        assert_eq!(said.code, 0, "{}", said.err);
        let warning = "no handler of this program is for the queue \"sdie\", and there are no messages in it; \
             did you mean \"side\"?";
        assert!(said.err.contains(&format!(" WARN {warning}\n")), "{}", said.err);
        assert!(!worked(&["work", "--queues", "side,pulpo"]).err.contains("WARN"));
        std::fs::write(place.path("pulpo.toml"), "queues = [\"sdie\"]\n").expect("written");
        assert!(worked(&["work"]).err.contains(warning), "wherever the name comes from");
    });
}

#[test]
fn a_page_after_something_that_is_not_an_id_is_refused() {
    both(|place| {
        drain(place);
        well(place, &["publish", "record", "--body", r#"{"number": 1}"#]);
        let error = refused(place, 1, &["list", "--after", "x"]);
        assert_eq!(error, "error: there is no message x to continue after: expected an id as `list` shows it\n");
        assert_eq!(well(place, &["list", "--after", "1"]), "no messages\n", "it is the last one");
    });
}

#[test]
fn several_messages_are_peeked_and_the_missing_ones_named() {
    both(|place| {
        for number in ["1", "2"] {
            well(place, &["publish", "record", "--body", &format!("{{\"number\": {number}}}")]);
        }
        let shown = well(place, &["peek", "1", "2"]);
        assert!(shown.starts_with("id           1\n") && shown.contains("\n}\n\nid           2\n"), "{shown}");
        let said = place.run(WORKER, &["peek", "2", "77", "--json"]);
        let all: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
        assert_eq!((said.code, &all[0]["id"], all.as_array().map(Vec::len)), (1, &json!("2"), Some(1)));
        assert!(said.err.starts_with("error: there is no message 77: "), "{}", said.err);
        assert_eq!(well(place, &["delete", "1", "1"]), "deleted 1\n", "said twice, it is done once");
    });
}
