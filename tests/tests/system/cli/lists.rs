//! `list` and `peek`.

use std::io::Read as _;
use std::process::Stdio;

use pulpo_tests::program::Sandbox;
use serde_json::{Value, json};

use super::{WORKER, as_json, both, drain, refused, well};

/// Returns the numbers or payloads of the listed messages.
fn listed(place: &Sandbox, arguments: &[&str]) -> Vec<String> {
    let all = as_json(place, &[&["list", "--json"], arguments].concat());
    let text = |message: &Value| {
        let body = &message["message"]["body"];
        body["payload"].as_str().map_or_else(|| body["number"].to_string(), str::to_owned)
    };
    all.as_array().expect("a list").iter().map(text).collect()
}

/// Two buried, two ready and one delayed message, oldest first.
fn fill(place: &Sandbox) {
    for text in ["bad", "bad"] {
        well(place, &["publish", "echo", "--payload", text]);
    }
    drain(place);
    well(place, &["publish", "record", "--body", r#"{"number": 3}"#]);
    well(place, &["publish", "echo", "--payload", "four"]);
    well(place, &["publish", "record", "--body", r#"{"number": 5}"#, "--delay", "1h"]);
}

#[test]
fn messages_are_found_by_everything_that_distinguishes_them() {
    both(|place| {
        fill(place);
        assert_eq!(listed(place, &[]), ["5", "four", "3", "bad", "bad"], "the newest first");
        assert_eq!(listed(place, &["--state", "ready,delayed"]), ["5", "four", "3"]);
        assert_eq!(listed(place, &["--state", "delayed", "--state", "buried"]), ["5", "bad", "bad"]);
        assert_eq!(listed(place, &["--queue", "side", "--state", "ready"]), ["four"]);
        assert_eq!(listed(place, &["--type", "record"]), ["5", "3"]);
        assert_eq!(listed(place, &["--reason", "BAD WORD"]), ["bad", "bad"]);
        assert!(listed(place, &["--older", "1h"]).is_empty());
        assert_eq!(listed(place, &["--newer", "1h"]).len(), 5);
        assert!(listed(place, &["--newer", "2100-01-01T00:00:00Z"]).is_empty());
        assert_eq!(listed(place, &["--older", "2100-01-01T00:00:00Z", "--limit", "2"]), ["5", "four"]);
    });
}

#[test]
fn a_long_list_is_paged() {
    both(|place| {
        fill(place);
        let page = |arguments: &[&str]| {
            let out = well(place, &[&["list", "--limit", "2"], arguments].concat());
            let next = out.lines().last().and_then(|line| line.strip_prefix("there are more: continue with --after "));
            let next = next.map(|rest| rest.split(',').next().expect("an id").to_owned());
            (out.lines().count(), next)
        };
        let (lines, next) = page(&[]);
        let next = next.expect("more");
        assert_eq!(lines, 4);
        let (lines, last) = page(&["--after", &next]);
        let last = last.expect("more");
        assert_eq!(lines, 4);
        assert_eq!(page(&["--after", &last]), (2, None));
        assert_eq!(page(&["--after", &last, "--state", "ready"]), (1, None), "no messages");
    });
}

#[test]
fn an_empty_queue_has_nothing_to_show() {
    both(|place| {
        drain(place);
        assert_eq!(well(place, &["list"]), "no messages\n");
        assert_eq!(as_json(place, &["list", "--json"]), json!([]));
        assert!(well(place, &["stats"]).contains(" all"));
        assert_eq!(as_json(place, &["stats", "--json"])["counts"], json!([]));
        assert_eq!(well(place, &["kick", "--all"]), "kicked 0 messages\n");
        assert_eq!(well(place, &["purge", "--all", "--yes"]), "deleted 0 messages\n");
        assert_eq!(well(place, &["delete", "--type", "record", "--dry-run"]), "would delete 0 messages\n");
        for command in ["peek", "kick", "delete"] {
            let error = refused(place, 1, &[command, "4711"]);
            assert!(error.starts_with("error: there is no message 4711"), "{error}");
        }
    });
}

#[test]
fn a_message_tells_its_history() {
    both(|place| {
        fill(place);
        let buried = as_json(place, &["list", "--state", "buried", "--limit", "1", "--json"]);
        let id = buried[0]["id"].as_str().expect("an id");
        let shown = well(place, &["peek", id]);
        for part in ["\npublished    20", "\ndue since    20", " ago)\n", "\nttr          1m\n", "\nattempts     1\n"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        for part in [
            "\nlast error   a bad word\n",
            "\nfailed       20",
            "\nheader\n{\n",
            "\nbody\n{\n  \"payload\": \"bad\"\n}\n",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let message = as_json(place, &["peek", id, "--json"]);
        assert_eq!(
            (&message["attempts"], &message["ttr"], &message["abandoned"]),
            (&json!(1), &json!(60.0), &json!(0))
        );
        assert!(message["enqueued_at"].is_string() && message["due_since"].is_string(), "{message}");
        well(place, &["kick", id]);
        let kicked = as_json(place, &["peek", id, "--json"]);
        assert_eq!(kicked["state"], "ready");
    });
}

#[test]
fn hostile_texts_stay_in_their_cells() {
    let hostile = "\u{1b}[2Jfake\u{7}\u{9b}31m\u{202e}\r\n 9 ready \u{85}";
    both(|place| {
        well(place, &["publish", "echo", "--payload", hostile]);
        well(place, &["publish", "echo", "--payload", "bad", "--header", &format!("{hostile}={hostile}")]);
        for arguments in [
            &["list"][..],
            &["list", "--json"],
            &["peek", "1"],
            &["peek", "1", "--json"],
            &["peek", "2"],
            &["list", "--type", hostile],
        ] {
            let said = place.run(WORKER, arguments);
            assert_eq!(said.code, 0, "{arguments:?}: {}", said.err);
            let bad: Vec<_> = said
                .out
                .chars()
                .chain(said.err.chars())
                .filter(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}')
                .collect();
            assert!(bad.is_empty(), "{arguments:?}: {bad:?}");
        }
        let error = refused(place, 1, &["peek", hostile]);
        assert!(error.contains("\\u{1b}[2Jfake") && error.lines().count() == 1, "{error}");
        let message = as_json(place, &["peek", "1", "--json"]);
        assert_eq!(message["message"]["body"]["payload"], hostile, "and it is the same text");
    });
}

#[test]
fn ten_thousand_messages_are_published_listed_and_purged() {
    both(|place| {
        let out = well(place, &["publish", "echo", "--payload", "x", "--count", "10000"]);
        assert!(out.starts_with("published echo 10000 times"), "{out}");
        assert_eq!(well(place, &["list"]).lines().count(), 102);
        assert_eq!(as_json(place, &["list", "--limit", "0", "--json"]).as_array().expect("a list").len(), 10_000);
        assert_eq!(well(place, &["purge", "side", "--dry-run"]), "would delete 10000 messages\n");
        assert_eq!(well(place, &["delete", "--type", "echo", "--limit", "10", "--yes"]), "deleted 10 messages\n");
        let purged = as_json(place, &["purge", "side", "--yes", "--json"]);
        assert_eq!(purged, json!({"matched": 9990, "deleted": 9990, "dry_run": false}));
        assert_eq!(well(place, &["list"]), "no messages\n");
    });
}

#[test]
fn a_reader_may_close_the_pipe_early() {
    both(|place| {
        well(place, &["publish", "echo", "--payload", &"x".repeat(1000), "--count", "200"]);
        for arguments in [&["list", "--limit", "0", "--json"][..], &["stats", "--watch", "100ms"]] {
            let mut command = place.command(WORKER, arguments);
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
            let mut some = [0; 10];
            child.stdout.take().expect("a pipe").read_exact(&mut some).expect("some output");
            let ended = child.wait_with_output().expect("an end");
            assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""));
        }
    });
}
