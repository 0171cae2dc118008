//! The command line, as a process.

use pulpo_tests::program::{CommandOutput, Sandbox};
use serde_json::{Value, json};

mod absent;
mod ages;
mod changes;
mod completions;
mod documented;
mod documents;
mod help;
mod interrupts;
mod lists;
mod names;
mod numbers;
mod publishing;
mod queues;
mod statistics;
mod terminal;
mod watch;
mod widths;

const WORKER: &str = env!("CARGO_BIN_EXE_worker");

/// Runs a test on the embedded queue and on a server.
fn both(test: impl Fn(&Sandbox)) {
    for place in [Sandbox::new(), Sandbox::with_beanstalkd()] {
        test(&place);
    }
}

/// Runs a command and expects success.
#[track_caller]
fn well(place: &Sandbox, arguments: &[&str]) -> String {
    let CommandOutput { out, err, code } = place.run(WORKER, arguments);
    assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}: {out}");
    out
}

#[track_caller]
fn as_json(place: &Sandbox, arguments: &[&str]) -> Value {
    serde_json::from_str(&well(place, arguments)).expect("JSON")
}

/// Runs a command and expects it to fail with this code.
#[track_caller]
fn refused(place: &Sandbox, code: i32, arguments: &[&str]) -> String {
    let said = place.run(WORKER, arguments);
    assert_eq!(said.code, code, "{arguments:?}: {}{}", said.out, said.err);
    said.err
}

/// Runs a command and expects success and a warning.
#[track_caller]
fn warned(place: &Sandbox, arguments: &[&str]) -> (String, String) {
    let CommandOutput { out, err, code } = place.run(WORKER, arguments);
    assert_eq!(code, 0, "{arguments:?}: {out}{err}");
    assert!(err.starts_with("warning: ") && err.lines().count() == 1, "{arguments:?}: {err}");
    (out, err)
}

/// Works until no message is ready any more, and creates the queue if it is missing.
#[track_caller]
fn drain(place: &Sandbox) -> String {
    let drained = place
        .command(WORKER, &["--set", "sleep_duration=100ms", "--set", "shutdown_after_number_of_empty_iterations=1"])
        .output()
        .expect("started");
    assert!(drained.status.success());
    String::from_utf8_lossy(&drained.stderr).into_owned()
}

#[test]
fn a_job_is_published_listed_worked_and_gone() {
    let place = Sandbox::new();
    let said = well(&place, &["publish", "record", "--body", r#"{"number": 5}"#]);
    assert_eq!(said, "published record as message 1\n");
    let list = well(&place, &["list"]);
    assert!(
        list.lines().nth(1).is_some_and(|line| line.starts_with(" 1   ready  record  pulpo  65536     0 ")),
        "{list}"
    );
    let log = drain(&place);
    assert!(log.contains("done id=\"1\" request_type=\"record\" attempt=1"), "{log}");
    assert!(place.record().contains(" 5 0 false\n"));
    assert_eq!(well(&place, &["list"]), "no messages\n");
}

#[test]
fn a_body_comes_from_an_argument_a_file_or_standard_input() {
    let place = Sandbox::new();
    std::fs::write(place.path("body.json"), r#"{"number": 2}"#).expect("written");
    well(&place, &["publish", "record", "--body", r#"{"number": 1}"#]);
    well(&place, &["publish", "record", "--body", "@body.json"]);
    let said = place.run_with_input(WORKER, &["publish", "record", "--body", "-"], "{\"number\": 3}\n");
    assert_eq!(said.code, 0, "{}", said.err);
    well(&place, &["publish", "echo", "--payload", "hello"]);
    let bodies: Vec<_> = as_json(&place, &["list", "--json"])
        .as_array()
        .expect("a list")
        .iter()
        .rev()
        .map(|message| message["message"]["body"].clone())
        .collect();
    let expected = [json!({"number": 1}), json!({"number": 2}), json!({"number": 3}), json!({"payload": "hello"})];
    assert_eq!(bodies, expected);
}

#[test]
fn the_options_of_a_publication_reach_the_queue() {
    let place = Sandbox::new();
    let out = well(
        &place,
        &[
            "publish",
            "record",
            "--body",
            r#"{"number": 1}"#,
            "--priority",
            "-3",
            "--delay",
            "1h",
            "--expiration",
            "2100-01-01T00:00:00Z",
            "--count",
            "2500",
        ],
    );
    assert_eq!(out, "published record 2500 times, as messages 1 to 2500\n");
    let message = as_json(&place, &["peek", "2500", "--json"]);
    assert_eq!(message["state"], "delayed");
    assert_eq!(message["priority"], 0);
    assert_eq!(message["message"]["header"]["expiration"], "2100-01-01T00:00:00Z");
    let sent = as_json(&place, &["publish", "say", "--payload", "x", "--json"]);
    assert_eq!(sent, json!({"request_type": "echo", "ids": ["2501"]}));
    let message = as_json(&place, &["peek", "2501", "--json"]);
    assert_eq!((&message["queue"], &message["priority"]), (&json!("side"), &json!(7)));
}

#[test]
fn a_faulty_publication_is_refused_and_nothing_is_queued() {
    let place = Sandbox::new();
    for (arguments, expected) in [
        (&["publish", "recrod"][..], "no handler for the request type \"recrod\"; did you mean \"record\"?"),
        (&["publish", "zzz"], "no handler for the request type \"zzz\"; this program serves: echo, nap, record, say"),
        (
            &["publish", "record", "--body", r#"{"number": "5"}"#],
            "the body does not fit worker::Record of \"record\": body.number: invalid type: string \"5\", expected u64",
        ),
        (&["publish", "record"], "the body does not fit worker::Record of \"record\": body: missing field `number`"),
        (
            &["publish", "record", "--body", "{"],
            "expected JSON in --body: EOF while parsing an object at line 1 column 1",
        ),
        (&["publish", "record", "--body", "@nowhere"], "cannot read nowhere: No such file"),
    ] {
        let error = refused(&place, 1, arguments);
        assert!(error.starts_with(&format!("error: {expected}")), "{error}");
    }
    for arguments in [
        &["publish"][..],
        &["publish", "echo", "--payload", "x", "--delay", "soon"],
        &["publish", "echo", "--payload", "x", "--count", "0"],
        &["publish", "echo", "--payload", "x", "--body", "5"],
        &["list", "--state", "lost"],
        &["kick"],
        &["kick", "1", "--all"],
        &["frobnicate"],
        &["--set", "x"],
    ] {
        let error = refused(&place, 2, arguments);
        assert!(error.starts_with("error: "), "{error}");
    }
    assert!(!place.path("pulpo-data").exists());
}

#[test]
fn failed_messages_are_found_kicked_and_deleted() {
    let place = Sandbox::new();
    for text in ["bad", "good", "bad"] {
        well(&place, &["publish", "echo", "--payload", text]);
    }
    let log = drain(&place);
    assert!(log.contains("buried: look at it with `peek`, retry it with `kick` id=\"1\""), "{log}");
    let buried = as_json(&place, &["list", "--state", "buried", "--type", "echo", "--queue", "side", "--json"]);
    assert_eq!(buried.as_array().expect("a list").len(), 2);
    assert_eq!(as_json(&place, &["list", "--type", "record", "--json"]), json!([]));
    let first = &buried[1];
    assert_eq!(
        (&first["id"], &first["last_error"], &first["attempts"]),
        (&json!("1"), &json!("a bad word"), &json!(1))
    );

    let shown = well(&place, &["peek", "1"]);
    for part in ["id           1\n", "state        buried\n", "last error   a bad word\n", "\"payload\": \"bad\""] {
        assert!(shown.contains(part), "{shown}");
    }
    let mut stats = as_json(&place, &["stats", "--json"]);
    assert!(stats["at"].take().is_string());
    let side = json!({
        "queue": "side", "request_type": "echo", "ready": 0, "delayed": 0, "reserved": 0, "buried": 2,
        "oldest_ready": null,
    });
    let totals = json!([{"queue": null, "published": 3, "finished": 1}]);
    assert_eq!(
        stats,
        json!({
            "at": null, "counts": [side], "paused": [], "totals": totals, "rates": [], "unreachable": [],
            "warnings": [],
        })
    );
    assert!(well(&place, &["stats"]).contains(" side   echo  0      0        0         2       2"));

    assert_eq!(well(&place, &["kick", "1"]), "kicked 1\n");
    assert_eq!(refused(&place, 1, &["kick", "1"]), "error: message 1 is ready, and only buried ones can be kicked\n");
    assert_eq!(well(&place, &["kick", "--type", "record"]), "kicked 0 messages\n");
    assert_eq!(well(&place, &["kick", "--all"]), "kicked 1 message\n");
    assert_eq!(well(&place, &["delete", "1"]), "deleted 1\n");
    for (arguments, expected) in [
        (["delete", "1"], "error: there is no message 1\n"),
        (["kick", "1"], "error: there is no message 1\n"),
        (["peek", "x"], "error: there is no message x: it is done, deleted or expired, or was never in this queue\n"),
    ] {
        assert_eq!(refused(&place, 1, &arguments), expected);
    }
    drain(&place);
    assert_eq!(well(&place, &["list", "--limit", "0"]).lines().count(), 2);
}

#[test]
fn a_long_list_says_that_there_is_more() {
    let place = Sandbox::new();
    well(&place, &["publish", "echo", "--payload", "x", "--count", "101"]);
    let list = well(&place, &["list"]);
    assert_eq!(list.lines().count(), 102);
    assert!(list.ends_with("there are more: continue with --after 2, or --limit 0 for all\n"), "{list}");
    assert_eq!(well(&place, &["list", "--after", "2"]).lines().count(), 2);
    assert_eq!(well(&place, &["list", "--limit", "0"]).lines().count(), 102);
    assert_eq!(as_json(&place, &["list", "--limit", "7", "--json"]).as_array().expect("a list").len(), 7);
}

#[test]
fn the_handlers_are_listed_with_their_policies() {
    let place = Sandbox::new();
    let all = as_json(&place, &["handlers", "--json"]);
    let names: Vec<_> = all.as_array().expect("a list").iter().map(|handler| &handler["request_type"]).collect();
    assert_eq!(names, ["echo", "nap", "record"]);
    let echo = &all[0];
    assert_eq!(echo["body_type"], "worker::Echo");
    assert_eq!(echo["aliases"], json!(["say"]));
    assert_eq!(
        echo["policy"],
        json!({
            "queue": "side", "priority": 7, "max_attempts": 1, "backoff": "1s..1h", "ttr": 60.0, "timeout": 30.0,
            "unique_for": null, "on_duplicate": null, "rate": null, "rate_by": null, "limit": null, "limit_by": null,
        })
    );
    assert_eq!((&echo["schedule"], &echo["unique"]), (&json!([]), &json!(null)));
    let table = well(&place, &["handlers"]);
    assert!(table.contains(" echo, say  worker::Echo "), "{table}");
    assert!(!table.contains("RULES"), "{table}");
    assert!(!place.path("pulpo-data").exists(), "no queue is needed for that");
}

#[test]
fn control_characters_of_a_message_do_not_reach_the_terminal() {
    let place = Sandbox::new();
    well(&place, &["publish", "echo", "--payload", "\u{1b}[2Jfake\u{7}"]);
    let out = well(&place, &["peek", "1"]);
    assert!(!out.contains('\u{1b}') && !out.contains('\u{7}'), "{out}");
}

#[test]
fn a_configuration_that_is_wrong_is_refused_before_anything_is_done() {
    let place = Sandbox::new();
    let error = refused(&place, 1, &["list", "--set", "sleep_duraton=5"]);
    assert!(
        error.contains("unknown configuration key `sleep_duraton`") && error.contains("`sleep_duration`"),
        "{error}"
    );
    let error = refused(&place, 1, &["list", "--set", "queue=redis://x"]);
    assert!(error.contains("to be file:FOLDER, beanstalkd://HOST:PORT/TUBE, memory: or postgres://USER@HOST/DATABASE, got \"redis://x\""), "{error}");
    std::fs::write(place.path("pulpo.toml"), "[file_queue_adapter]\nbase_pth = 'x'\n").expect("written");
    let error = refused(&place, 1, &["stats"]);
    assert!(error.contains("pulpo.toml:2: unknown configuration key `file_queue_adapter.base_pth`"), "{error}");
    assert!(error.contains("did you mean `file_queue_adapter.base_path`?"), "{error}");
    assert!(!place.path("pulpo-data").exists());
}

#[test]
fn help_and_version_are_there_for_everyone() {
    let place = Sandbox::new();
    let help = well(&place, &["--help"]);
    for word in ["work", "publish", "list", "peek", "delete", "kick", "stats", "handlers", "Examples:"] {
        assert!(help.contains(word), "{help}");
    }
    assert!(well(&place, &["--version"]).starts_with("pulpo-tests 0."));
}

#[test]
fn numbers_that_a_server_does_not_have_are_explained() {
    let place = Sandbox::with_beanstalkd();
    well(&place, &["publish", "echo", "--payload", "bad"]);
    let words = "this queue does not count by request type";
    assert!(well(&place, &["stats"]).contains(words));
    let embedded = Sandbox::new();
    drain(&embedded);
    assert!(!well(&embedded, &["stats"]).contains(words));
    drain(&place);
    // Supported commands behave as on the embedded queue.
    let list = well(&place, &["list", "--state", "buried", "--type", "echo"]);
    assert!(list.contains(" buried  echo  side ") && list.contains("a bad word"), "{list}");
    assert!(well(&place, &["peek", "1"]).contains("last error   a bad word\n"));
    assert_eq!(well(&place, &["kick", "--type", "echo"]), "kicked 1 message\n");
    assert_eq!(well(&place, &["delete", "1"]), "deleted 1\n");
    assert_eq!(well(&place, &["list"]), "no messages\n");
}
