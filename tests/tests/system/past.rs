//! The history of messages, through the command line: failed runs, kept finished messages, edits,
//! and permanent deletion.

use pulpo_tests::program::{CommandOutput, Sandbox};
use pulpo_tests::stored::found;
use pulpo_tests::wait::until;
use serde_json::{Value, json};

const WORKER: &str = env!("CARGO_BIN_EXE_mailing_worker");

#[track_caller]
fn well(place: &Sandbox, arguments: &[&str]) -> String {
    let CommandOutput { out, err, code } = place.run(WORKER, arguments);
    assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}: {out}");
    out
}

#[track_caller]
fn as_json(place: &Sandbox, arguments: &[&str]) -> Value {
    serde_json::from_str(&well(place, &[arguments, &["--json"]].concat())).expect("JSON")
}

#[track_caller]
fn refused(place: &Sandbox, arguments: &[&str]) -> String {
    let said = place.run(WORKER, arguments);
    assert_eq!(said.code, 1, "{arguments:?}: {}{}", said.out, said.err);
    said.err
}

fn publish(place: &Sandbox, request_type: &str, body: &Value, more: &[&str]) -> String {
    let body = body.to_string();
    let said = well(place, &[&["publish", request_type, "--body", &body], more].concat());
    said.trim_end().rsplit(' ').next().expect("an id").to_owned()
}

/// Publishes a mail that is unique by its address for an hour, as another program may. Returns the outcome.
fn publish_once(place: &Sandbox, to: &str) -> Value {
    let header = json!({"request_type": "mail", "unique_key": to, "unique_for": "1h"});
    let message = json!({"header": header, "body": {"to": to}}).to_string();
    let said = place.run_with_input(WORKER, &["publish", "--messages", "-", "--json"], &message);
    assert_eq!(said.code, 0, "{}", said.err);
    serde_json::from_str::<Value>(&said.out).expect("JSON")["publications"].clone()
}

/// Works until nothing is left to do.
fn drain(place: &Sandbox, settings: &[&str]) {
    let mut arguments = vec!["work", "--set", "sleep_duration=1s"];
    arguments.extend(["--set", "shutdown_after_number_of_empty_iterations=1"]);
    settings.iter().for_each(|setting| arguments.extend(["--set", setting]));
    let worked = place.run(WORKER, &arguments);
    assert_eq!(worked.code, 0, "{}", worked.err);
}

fn on_all(test: impl Fn(&Sandbox)) {
    for place in [Sandbox::new(), Sandbox::with_postgres()] {
        test(&place);
    }
}

#[test]
fn a_message_tells_of_its_failed_runs() {
    on_all(|place| {
        let fails = publish(place, "mail", &json!({"to": "ada@example.com", "comes_to": "fails"}), &[]);
        let panics = publish(place, "mail", &json!({"to": "bob@example.com", "comes_to": "panics"}), &[]);
        drain(place, &["keep_done=1h"]);
        let message = as_json(place, &["peek", &fails]);
        assert_eq!(message["state"], "buried");
        let history = message["history"].as_array().expect("a list");
        let outcomes: Vec<_> = history.iter().map(|run| (run["number"].as_u64(), run["outcome"].as_str())).collect();
        assert_eq!(outcomes, [(Some(1), Some("failed")), (Some(2), Some("failed")), (Some(3), Some("failed"))]);
        for run in history {
            assert!(run["error"].as_str().is_some_and(|error| error.contains("cannot reach ada@example.com")), "{run}");
            assert!(run["took"].as_f64().is_some_and(|took| (0.0..10.0).contains(&took)), "{run}");
            assert!(run["started_at"].is_string() && run["worker"].is_string(), "{run}");
        }
        // It is done now, and kept with its history.
        let message = as_json(place, &["peek", &panics]);
        assert_eq!((&message["state"], &message["history"][0]["outcome"]), (&json!("done"), &json!("panicked")));
        assert_eq!(message["result"], json!({"sent_to": "bob@example.com", "bytes": 0}));
        let shown = well(place, &["peek", &fails]);
        assert!(shown.contains("failed runs  1: ") && shown.contains(", failed, worker "), "{shown}");

        // A kick resets the attempts, but not the history.
        well(place, &["kick", &fails]);
        drain(place, &[]);
        let history = as_json(place, &["peek", &fails])["history"].clone();
        assert_eq!(history.as_array().map(Vec::len), Some(6), "{history}");
        assert_eq!(history[5]["number"], 6);
        well(place, &["delete", &fails]);
        assert!(refused(place, &["peek", &fails]).contains("there is no message"));
    });
}

#[test]
fn a_run_whose_worker_died_is_in_the_history() {
    on_all(|place| {
        let id = publish(place, "mail", &json!({"to": "ada@example.com", "comes_to": "dies"}), &[]);
        let died = place.run(WORKER, &["work", "--concurrency", "1"]);
        assert_ne!(died.code, 0);
        let worker =
            place.start(place.command(WORKER, &["work", "--set", "keep_done=1h", "--set", "sleep_duration=1s"]));
        until("another worker has done it", || {
            as_json(place, &["list", "--state", "done"]).as_array().is_some_and(|all| all.len() == 1)
        });
        let message = as_json(place, &["peek", &id]);
        assert_eq!((&message["attempts"], &message["history"][0]["outcome"]), (&json!(1), &json!("abandoned")));
        drop(worker);
    });
}

#[test]
fn done_messages_are_listed_when_asked_for_and_deleted_in_time() {
    on_all(|place| {
        let ids: Vec<_> =
            (0..3).map(|n| publish(place, "mail", &json!({"to": format!("ada{n}@example.com")}), &[])).collect();
        drain(place, &["keep_done=1h"]);
        assert_eq!(as_json(place, &["list"]), json!([]));
        let done = as_json(place, &["list", "--state", "done"]);
        assert_eq!(done.as_array().map(Vec::len), Some(3));
        assert_eq!(as_json(place, &["stats"])["counts"], json!([]));
        let of_one = as_json(place, &["list", "--state", "done", "--body", "to=ada1@example.com"]);
        assert_eq!((of_one.as_array().map(Vec::len), &of_one[0]["id"]), (Some(1), &json!(ids[1])));
        // A plain delete leaves them out; deleting by id does not.
        assert!(well(place, &["delete", "--older", "0s", "--yes"]).contains("deleted 0"));
        well(place, &["delete", &ids[0]]);
        assert!(well(place, &["purge", "--all", "--yes"]).contains("deleted 0"));
        assert_eq!(as_json(place, &["list", "--state", "done"]).as_array().map(Vec::len), Some(2));

        let worker =
            place.start(place.command(WORKER, &["work", "--set", "keep_done=1s", "--set", "sleep_duration=1s"]));
        until("a worker has cleared them away", || as_json(place, &["list", "--state", "done"]) == json!([]));
        if !place.has_database() {
            let folder = place.path("pulpo-data");
            until("nothing of them is left", || found(&folder, "@example.com").is_empty());
        }
        drop(worker);
    });
}

#[test]
fn kept_messages_are_deleted_when_keeping_is_turned_off() {
    on_all(|place| {
        for n in 0..3 {
            publish(place, "mail", &json!({"to": format!("ada{n}@example.com")}), &[]);
        }
        drain(place, &["keep_done=1h"]);
        assert_eq!(as_json(place, &["list", "--state", "done"]).as_array().map(Vec::len), Some(3));
        // A worker that may end at once has done it too.
        drain(place, &["keep_done=0"]);
        until("they are gone", || as_json(place, &["list", "--state", "done"]) == json!([]));
        if !place.has_database() {
            assert_eq!(found(&place.path("pulpo-data"), "@example.com"), [""; 0]);
        }
    });
}

#[test]
fn a_worker_deletes_buried_messages_in_time_and_keeps_the_others() {
    on_all(|place| {
        publish(place, "mail", &json!({"to": "ada@example.com", "comes_to": "bounces"}), &[]);
        let waits = publish(place, "mail", &json!({"to": "bob@example.com"}), &["--delay", "1h"]);
        drain(place, &[]);
        assert_eq!(as_json(place, &["list", "--state", "buried"]).as_array().map(Vec::len), Some(1));
        let worker =
            place.start(place.command(WORKER, &["work", "--set", "keep_buried=1s", "--set", "sleep_duration=1s"]));
        until("it is deleted", || as_json(place, &["list", "--state", "buried"]) == json!([]));
        if !place.has_database() {
            let folder = place.path("pulpo-data");
            until("nothing of it is left", || found(&folder, "ada@example.com").is_empty());
        }
        assert_eq!(as_json(place, &["list"])[0]["id"], json!(waits));
        drop(worker);
    });
}

#[test]
fn after_a_clean_stop_nothing_of_what_was_done_is_left() {
    let place = Sandbox::new();
    let publish_many = |name: &str, more: &[&str]| {
        let mails = (0..100).map(|n| {
            let text = "x".repeat(n * 37 % 900);
            json!({"to": format!("{name}{n}@example.com"), "text": text}).to_string() + "\n"
        });
        let arguments = [&["publish", "mail", "--lines", "-"], more].concat();
        let said = place.run_with_input(WORKER, &arguments, &mails.collect::<String>());
        assert_eq!(said.code, 0, "{}", said.err);
    };
    // Those that stay move to other pages, and so do those that go.
    for round in 0..3 {
        publish_many(&format!("ada{round}-"), &[]);
        publish_many(&format!("bob{round}-"), &["--delay", "1h"]);
    }
    let folder = place.path("pulpo-data");
    assert!(!found(&folder, "ada0-").is_empty());
    drain(&place, &[]);
    for name in ["ada0-", "ada1-", "ada2-"] {
        assert_eq!(found(&folder, name), [""; 0]);
    }
    assert!(!found(&folder, "bob2-99@example.com").is_empty());
}

#[test]
fn after_a_clean_stop_nothing_of_what_was_done_is_left_in_a_large_file() {
    let place = Sandbox::new();
    let text = "x".repeat(9000);
    let publish_many = |name: &str, count: usize, more: &[&str]| {
        let mails =
            (0..count).map(|n| json!({"to": format!("{name}{n}@example.com"), "text": text}).to_string() + "\n");
        let arguments = [&["publish", "mail", "--lines", "-"], more].concat();
        let said = place.run_with_input(WORKER, &arguments, &mails.collect::<String>());
        assert_eq!(said.code, 0, "{}", said.err);
    };
    // The file is too large to be rewritten until most of it is done, and more than a little of it stays.
    publish_many("ada-", 3_000, &[]);
    publish_many("bob-", 3_000, &["--delay", "1h"]);
    publish_many("ada-", 3_000, &[]);
    let folder = place.path("pulpo-data");
    let size = std::fs::metadata(folder.join("queue.db")).expect("a file").len();
    assert!(size > 64 << 20, "{size} bytes");
    drain(&place, &[]);
    assert_eq!(found(&folder, "ada-"), [""; 0]);
    assert!(!found(&folder, "bob-2999@example.com").is_empty());
}

#[test]
fn only_waiting_messages_are_edited() {
    on_all(|place| {
        let id = publish(place, "mail", &json!({"to": "ada@example.com"}), &["--delay", "1h"]);
        assert!(well(place, &["edit", &id, "--priority", "3", "--dry-run"]).contains("would edit 1 message"));
        assert_eq!(as_json(place, &["peek", &id])["priority"], 65536);
        let edited = as_json(place, &["edit", &id, "--priority", "3", "--delay", "0", "--queue", "pulpo"]);
        assert_eq!(edited, json!({"matched": 1, "edited": 1, "dry_run": false}));
        let message = as_json(place, &["peek", &id]);
        assert_eq!((&message["state"], &message["priority"]), (&json!("ready"), &json!(3)));
        assert_eq!(message["message"]["header"]["priority"], 3);
        drain(place, &["keep_done=1h"]);
        let error = refused(place, &["edit", &id, "--priority", "4"]);
        assert!(error.contains("is done, and only waiting messages can be changed"), "{error}");
        let buried = publish(place, "mail", &json!({"to": "ada@example.com", "comes_to": "bounces"}), &[]);
        drain(place, &[]);
        let error = refused(place, &["edit", &buried, "999", "--delay", "2h"]);
        assert!(
            error.contains("is buried") && error.contains("kick it first") && error.contains("no message 999"),
            "{error}"
        );
        let wrong = place.run(WORKER, &["edit", &id]);
        assert_eq!((wrong.code, wrong.err.as_str()), (2, "error: expected --priority, --delay or --queue\n"));
    });
}

#[test]
fn a_server_that_keeps_nothing_says_so() {
    let place = Sandbox::with_beanstalkd();
    let id = publish(&place, "mail", &json!({"to": "ada@example.com"}), &[]);
    publish(&place, "mail", &json!({"to": "bob@example.com"}), &[]);
    let error = refused(&place, &["edit", &id, "--priority", "3"]);
    assert!(error.contains("this queue cannot change a waiting message"), "{error}");
    let error = refused(&place, &["list", "--state", "done"]);
    assert!(error.contains("keeps no done messages"), "{error}");
    let error = refused(&place, &["work", "--set", "keep_done=1h"]);
    assert!(error.contains("`keep_done` and `keep_buried` need a queue that keeps what is done"), "{error}");
    // The supported filters: it can read bodies.
    assert_eq!(as_json(&place, &["list", "--body", "to=bob@example.com"]).as_array().map(Vec::len), Some(1));
    assert!(well(&place, &["delete", "--body", "to=ada@example.com", "--yes"]).contains("deleted 1"));
    assert_eq!(as_json(&place, &["list"])[0]["history"], Value::Null, "a list shows none");
}

/// Publishes twenty messages to Ada in all states, and as many to Bob.
fn in_all_states(place: &Sandbox) {
    for name in ["ada", "bob"] {
        let to = format!("{name}@example.com");
        for n in 0..4 {
            let text = "x".repeat(n * 900);
            publish(place, "mail", &json!({"to": to, "text": text}), &[]);
            publish(place, "mail", &json!({"to": to, "comes_to": "fails", "text": text}), &[]);
            publish(place, "mail", &json!({"to": to, "comes_to": "bounces", "text": text}), &[]);
            publish(place, "mail", &json!({"to": to, "text": text}), &["--delay", "1h"]);
        }
        publish_once(place, &to);
        publish(place, "mail", &json!({"to": to, "comes_to": "panics"}), &[]);
        publish(place, "mail", &json!({"to": to, "comes_to": "waits"}), &[]);
        let wide = publish(place, "mail", &json!({"to": to}), &["--delay", "2h"]);
        let said = place.run(WORKER, &["edit", &wide, "--queue", "night", "--priority", "7"]);
        assert_eq!(said.code, 0, "{}", said.err);
    }
}

#[test]
fn erased_messages_are_in_no_file_of_the_queue() {
    let place = Sandbox::new();
    in_all_states(&place);
    let mut work = place.command(WORKER, &["work", "--concurrency", "6", "--set", "keep_done=1h"]);
    work.env("RELEASE", place.path("release"));
    let worker = place.start(work);
    let count =
        |state: &str| as_json(&place, &["list", "--state", state, "--limit", "0"]).as_array().map_or(0, Vec::len);
    until("two wait, and the others are done or buried", || {
        (count("reserved"), count("done"), count("buried")) == (2, 12, 16)
            && place.record().matches("waits").count() == 2
    });
    let folder = place.path("pulpo-data");
    assert!(!found(&folder, "ada@example.com").is_empty());

    // While the worker lives and runs one of them.
    let said = place.run(WORKER, &["delete", "--body", "to=ada@example.com", "--yes", "--json"]);
    let report: Value = serde_json::from_str(&said.out).expect("JSON");
    let running = as_json(&place, &["list", "--state", "reserved", "--body", "to=ada@example.com"])[0]["id"].clone();
    assert_eq!((said.code, &report["deleted"], &report["running"]), (1, &json!(19), &json!([running])), "{}", said.err);
    assert!(said.err.contains(running.as_str().expect("an id")), "{}", said.err);
    std::fs::write(place.path("release"), "").expect("written");
    until("they are done", || count("reserved") == 0);
    let said = well(&place, &["delete", "--body", "to=ada@example.com", "--yes"]);
    assert_eq!(said, "deleted 1 message\n");
    assert_eq!(found(&folder, "ada@example.com"), [""; 0], "with the worker on it");
    // No other worker has lost anything.
    for (state, expected) in [("done", 7), ("buried", 8), ("delayed", 5)] {
        let left = as_json(&place, &["list", "--state", state, "--body", "to=bob@example.com", "--limit", "0"]);
        assert_eq!(left.as_array().map(Vec::len), Some(expected), "{state}");
    }
    assert_eq!(as_json(&place, &["list", "--body", "to=ada@example.com"]), json!([]));
    // Her key is free again, and his is not.
    let published = ["ada", "bob"].map(|name| publish_once(&place, &format!("{name}@example.com")));
    assert_eq!(published, [json!(["new"]), json!(["kept"])]);
    drop(worker);
}

#[test]
fn traces_that_cannot_be_erased_yet_are_reported() {
    let place = Sandbox::new();
    publish(&place, "mail", &json!({"to": "ada@example.com"}), &[]);
    publish(&place, "mail", &json!({"to": "bob@example.com"}), &[]);
    let reader = rusqlite::Connection::open(place.path("pulpo-data/queue.db")).expect("opened");
    reader.execute_batch("BEGIN; SELECT count(*) FROM message").expect("the queue answers");
    let error = refused(&place, &["delete", "--body", "to=ada@example.com", "--yes"]);
    assert!(error.contains("may still be in the files") && error.contains("run the same command again"), "{error}");
    reader.execute_batch("COMMIT").expect("an end");
    drop(reader);
    // There is nothing more to delete, but still something to clear away.
    well(&place, &["delete", "--body", "to=ada@example.com", "--yes"]);
    assert_eq!(found(&place.path("pulpo-data"), "ada@example.com"), [""; 0]);
    assert!(!found(&place.path("pulpo-data"), "bob@example.com").is_empty());
}

#[test]
fn a_move_takes_what_has_the_body_and_its_history() {
    let (here, there) = (Sandbox::new(), Sandbox::with_postgres());
    publish(&here, "mail", &json!({"to": "ada@example.com", "comes_to": "fails"}), &[]);
    publish(&here, "mail", &json!({"to": "bob@example.com", "comes_to": "fails"}), &[]);
    drain(&here, &[]);
    let command = there.command(WORKER, &[]);
    let (_, url) = command.get_envs().find(|(key, _)| *key == "PULPO_QUEUE").expect("a queue");
    let url = url.expect("a URL").to_string_lossy();
    let to = ["move", "--to", &url, "--body", "to=ada@example.com"];
    assert!(well(&here, &[&to[..], &["--dry-run"]].concat()).contains("would move 1 message"));
    assert!(well(&here, &to).starts_with("moved 1 message"));
    assert_eq!(as_json(&here, &["list"]).as_array().map(Vec::len), Some(1));
    let id = as_json(&there, &["list"])[0]["id"].as_str().expect("an id").to_owned();
    let history = as_json(&there, &["peek", &id])["history"].clone();
    assert_eq!((history.as_array().map(Vec::len), &history[2]["number"]), (Some(3), &json!(3)), "{history}");
}
