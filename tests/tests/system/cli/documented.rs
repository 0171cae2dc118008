//! Checks that docs/json.md names each field of each output, and no other.

use std::collections::BTreeSet;
use std::path::Path;

use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::until;
use serde_json::Value;

use super::{WORKER, as_json, both, drain, well};

/// Returns the fields that the section of a command names.
fn documented(command: &str) -> BTreeSet<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/json.md");
    let text = std::fs::read_to_string(file).expect("the documentation");
    let (_, section) = text.split_once(&format!("\n## {command}\n")).expect("a section of the command");
    let section = section.split("\n## ").next().expect("a text");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.flat_map(|row| {
        let (cell, _) = row.split_once("` |").expect("a cell");
        cell.split("`, `").map(str::to_owned).collect::<Vec<_>>()
    });
    names.collect()
}

/// Returns the existing fields, such as `counts[].queue`. It leaves out fields that a producer wrote, and those that are
/// named by request types.
fn fields(value: &Value) -> BTreeSet<String> {
    fn walk(prefix: String, value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(parts) if !prefix.ends_with("message") && !prefix.ends_with("shapes") => {
                for (key, part) in parts {
                    let dot = if prefix.is_empty() { "" } else { "." };
                    walk(format!("{prefix}{dot}{key}"), part, found);
                }
            }
            Value::Array(parts) if ["states", "aliases", "schedule"].iter().all(|own| !prefix.ends_with(own)) => {
                parts.iter().for_each(|part| walk(format!("{prefix}[]"), part, found));
            }
            _ => drop(found.insert(prefix)),
        }
    }
    let mut found = BTreeSet::new();
    walk(String::new(), value, &mut found);
    found
}

#[track_caller]
fn assert_documented(command: &str, output: &Value) {
    assert_eq!(fields(output), documented(command), "of {command}: {output:#}");
}

#[test]
fn each_field_of_the_output_is_documented_and_each_documented_one_is_there() {
    both(|place| {
        well(place, &["publish", "echo", "--payload", "bad", "--count", "2"]);
        drain(place);
        let mut published = as_json(place, &["publish", "echo", "--payload", "x", "--json"]);
        // The tests of interruptions check the fields that exist only if publishing breaks off.
        for only_then in ["of", "next_line", "error"] {
            assert!(published.get(only_then).is_none(), "{published}");
            published[only_then] = Value::Null;
        }
        // Only for duplicates.
        assert!(published.get("publications").is_none(), "{published}");
        published["publications"] = serde_json::json!(["kept"]);
        assert_documented("publish", &published);
        assert_documented("pause", &as_json(place, &["pause", "side", "--json"]));
        assert_documented("list", &as_json(place, &["list", "--json"]));
        let mut peeked = as_json(place, &["peek", "1", "--json"]);
        if peeked["history"] == Value::Array(Vec::new()) {
            assert!(place.is_on_a_server(), "{peeked}");
            let run = serde_json::json!(
                {"number": 1, "started_at": "", "took": 0.0, "worker": "", "outcome": "failed", "error": ""}
            );
            peeked["history"] = serde_json::json!([run]);
        }
        assert_documented("peek", &peeked);
        let mut kicked = all_seen(as_json(place, &["kick", "1", "--json"]));
        assert!(kicked.get("left").is_none(), "{kicked}");
        kicked["left"] = serde_json::json!([{"id": "1", "taken_by": "2"}]);
        assert_documented("kick", &kicked);
        let mut stats = as_json(place, &["stats", "--json"]);
        assert_eq!(stats["rates"], Value::Array(Vec::new()));
        // Rates appear only in the second report; the test of the watch checks their fields.
        stats["rates"] = serde_json::json!([{"queue": null, "published": 0.0, "finished": 0.0}]);
        // The tests of servers that are down and of spools check these fields.
        assert_eq!((&stats["unreachable"], stats.get("spool")), (&Value::Array(Vec::new()), None));
        stats["unreachable"] = serde_json::json!([{"server": "", "error": ""}]);
        // Only a queue that something slows down has them.
        assert_eq!(stats["warnings"], Value::Array(Vec::new()));
        stats["warnings"] = serde_json::json!([""]);
        stats["spool"] = serde_json::json!({"waiting": 0, "oldest": null, "refused": 0});
        assert_documented("stats", &stats);
        assert_documented("resume", &as_json(place, &["resume", "side", "--json"]));
        assert_documented("delete", &all_erased(as_json(place, &["delete", "1", "--json"])));
        assert_documented("delete", &all_erased(as_json(place, &["purge", "--all", "--yes", "--json"])));
        assert_documented("handlers", &as_json(place, &["handlers", "--json"]));
        assert_documented("handlers --schema", &as_json(place, &["handlers", "--schema", "--json"]));
        std::fs::write(place.path("jobs.snapshot"), "pulpo snapshot 1\n\njob gone\nbody: null\n").expect("written");
        let said = place.run(WORKER, &["check", "--against", "jobs.snapshot", "--queue", "--json"]);
        let check = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.err));
        assert_documented("check", &with_a_problem(check));
    });
    let place = Sandbox::new();
    well(&place, &["publish", "nap", "--body", "60000", "--delay", "1h"]);
    assert_documented("cancel", &as_json(&place, &["cancel", "1", "--json"]));
    well(&place, &["publish", "nap", "--body", "60000"]);
    let _worker = place.start(place.command(WORKER, &["work", "--log-level", "error"]));
    let mut workers = Value::Null;
    until("a worker runs something", || {
        workers = as_json(&place, &["workers", "--json"]);
        workers[0]["running"][0].is_object()
    });
    // The job has not reported any progress.
    assert_eq!(workers[0]["running"][0]["progress"], Value::Null);
    workers[0]["running"][0]["progress"] = serde_json::json!({"fraction": 0.5, "text": "", "at": ""});
    assert_documented("workers", &workers);
    let watch = place.start_with_output(place.command(WORKER, &["watch", "--interval", "100ms", "--json"]));
    let mut event = Value::Null;
    until("it says what runs", || {
        let said = std::fs::read_to_string(place.path("out")).unwrap_or_default();
        let line = said.lines().next().and_then(|line| serde_json::from_str(line).ok());
        event = line.unwrap_or_default();
        event.is_object()
    });
    drop(watch);
    event["progress"] = workers[0]["running"][0]["progress"].clone();
    assert_documented("watch", &event);
    let place = Sandbox::new();
    drain(&place);
    well(&place, &["publish", "echo", "--payload", "x"]);
    assert_documented("edit", &as_json(&place, &["edit", "1", "--priority", "3", "--json"]));
    assert_documented("backup", &as_json(&place, &["backup", "copy.db", "--json"]));
    std::fs::write(place.path("pulpo.toml"), "concurrency = 2\n").expect("written");
    let output =
        place.command(WORKER, &["config", "--json"]).env("PULPO_SLEEP_DURATION", "1s").output().expect("started");
    assert_documented("config", &serde_json::from_slice(&output.stdout).expect("JSON"));
}

/// Adds the count of messages that a list could not see, which other tests check.
fn all_seen(mut report: Value) -> Value {
    assert!(report.get("unseen").is_none(), "{report}");
    report["unseen"] = Value::from(0);
    report
}

/// Adds the list of running messages that were to be erased, which other tests check.
fn all_erased(mut report: Value) -> Value {
    assert!(report.get("running").is_none(), "{report}");
    report["running"] = serde_json::json!(["1"]);
    all_seen(report)
}

/// Adds problems and warnings, whose form the tests of `check` show.
fn with_a_problem(mut check: Value) -> Value {
    for list in ["problems", "warnings"] {
        assert_eq!(check[list], Value::Array(Vec::new()));
        check[list] = serde_json::json!([{"kind": "setup", "message": "", "file": null, "line": null}]);
    }
    check["warnings"][0]["job"] = Value::Null;
    check["warnings"][0]["path"] = Value::Null;
    // The tests of changed bodies check the content of these lists.
    for list in ["would_be_buried", "unknown_types", "not_seen"] {
        assert_eq!(check["queue"][list], Value::Array(Vec::new()));
    }
    let fault = serde_json::json!({"job": "", "path": "", "reason": "", "messages": 1});
    check["queue"]["would_be_buried"] = serde_json::json!([fault]);
    check["queue"]["unknown_types"] = serde_json::json!([{"job": "", "messages": 1}]);
    check["queue"]["not_seen"] = serde_json::json!([""]);
    check
}
