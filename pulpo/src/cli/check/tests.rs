use std::collections::HashMap;

use serde_json::Value;

use super::*;
use crate::instance::SetupError;
use crate::queue::QueueError;

/// Runs the command, with a program without handlers and a queue that cannot be opened for this reason.
fn run_without_queue(arguments: &CheckArguments, reason: fn() -> QueueError) -> (String, String) {
    let sources = Sources { environment: Some(HashMap::new()), ..Sources::default() };
    let mut out = Vec::new();
    let open = || Err(SetupError::from(reason()).into());
    let done = run(|_| Ok(()), &sources, None, arguments, &open, &mut out);
    (String::from_utf8(out).expect("text"), done.expect_err("there are problems").to_string())
}

fn unavailable() -> QueueError {
    QueueError::Unavailable { doing: "connect".to_owned(), source: "no route".into() }
}

fn missing() -> QueueError {
    QueueError::NoQueue { place: "./pulpo".to_owned() }
}

#[test]
fn a_queue_that_cannot_be_opened_hides_nothing_that_was_compared() {
    let place = tempfile::tempdir().expect("a folder");
    let file = place.path().join("jobs.snapshot");
    std::fs::write(&file, "pulpo snapshot 1\n\njob gone\nbody: null\n").expect("written");
    let arguments = |queue, json| CheckArguments {
        update: None,
        against: Some(file.clone()),
        allow_removed: Vec::new(),
        queue,
        format: Format { json },
    };
    let (out, error) = run_without_queue(&arguments(true, false), unavailable);
    assert!(out.contains("gone: header.request_type: no handler serves `gone`"), "{out}");
    assert!(!out.contains("decoded 0 messages"), "{out}");
    assert!(error.starts_with("3 problems, one of them with `--queue`: "), "{error}");
    assert!(error.ends_with("no route"), "{error}");

    let (out, error) = run_without_queue(&arguments(true, true), missing);
    let all: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&all["ok"], &all["changes"][0]["job"]), (&Value::from(false), &Value::from("gone")), "{all}");
    let unseen = all["queue"]["not_seen"][0].as_str().unwrap_or_default();
    assert!(unseen.starts_with("the queue: there is no queue at ./pulpo"), "{all}");
    assert!(error.contains("there is no queue at ./pulpo"), "{error}");

    // To count the messages is no more than a help: a queue that is away is a warning, and one that is not there none.
    for (reason, is_told) in [(unavailable as fn() -> QueueError, true), (missing, false)] {
        let (out, error) = run_without_queue(&arguments(false, true), reason);
        let all: Value = serde_json::from_str(&out).expect("JSON");
        let warnings = all["warnings"].as_array().expect("warnings");
        assert_eq!(warnings.iter().any(|it| it["kind"] == "queue_unreachable"), is_told, "{all}");
        assert_eq!(error, "2 problems");
    }
}
