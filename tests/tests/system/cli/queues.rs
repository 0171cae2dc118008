//! `pause`, `resume`, `backup` and `config`.

use pulpo_tests::program::Sandbox;
use serde_json::{Value, json};

use super::{WORKER, as_json, both, drain, refused, warned, well};

#[test]
fn a_paused_queue_rests_in_all_processes_until_it_is_resumed() {
    both(|place| {
        well(place, &["publish", "echo", "--payload", "later"]);
        well(place, &["publish", "record", "--body", r#"{"number": 1}"#]);
        let said = well(place, &["pause", "side", "10m"]);
        assert!(said.starts_with("paused side until 20"), "{said}");
        assert!(said.ends_with(" (in 9m)\n") || said.ends_with(" (in 10m)\n"), "{said}");
        drain(place);
        assert!(place.record().contains(" 1 0 false\n") && !place.record().contains("later"), "{}", place.record());
        let stats = well(place, &["stats"]);
        assert!(stats.contains("\nPAUSED side until 20"), "{stats}");
        let stats = as_json(place, &["stats", "--json"]);
        assert_eq!((&stats["paused"][0]["queue"], stats["paused"].as_array().map(Vec::len)), (&json!("side"), Some(1)));
        assert_eq!(well(place, &["resume", "side"]), "resumed side\n");
        assert_eq!(well(place, &["resume", "side"]), "side was not paused\n");
        assert_eq!(as_json(place, &["stats", "--json"])["paused"], json!([]));

        assert_eq!(well(place, &["pause", "side"]), "paused side until it is resumed\n");
        let paused = as_json(place, &["pause", "side", "1h", "--json"]);
        assert!(paused["queue"] == "side" && paused["paused_until"].is_string(), "{paused}");
        assert_eq!(as_json(place, &["resume", "side", "--json"]), json!({"queue": "side", "was_paused": true}));
        drain(place);
        assert!(place.record().contains("later"));
    });
}

#[test]
fn an_unknown_queue_is_pointed_out() {
    let embedded = Sandbox::new();
    drain(&embedded);
    let unknown = "warning: no handler of this program is for the queue \"sied\", and there are no messages in it; did you mean \"side\"?\n";
    let (out, err) = warned(&embedded, &["pause", "sied"]);
    assert_eq!((out.as_str(), err.as_str()), ("paused sied until it is resumed\n", unknown));
    let (out, _) = warned(&embedded, &["pause", "again", "1h", "--json"]);
    assert!(out.contains("\"paused_until\": \"20"), "{out}");
    assert_eq!(well(&embedded, &["resume", "sied"]), "resumed sied\n");
    let (out, err) = warned(&embedded, &["resume", "sied"]);
    assert_eq!((out.as_str(), err.as_str()), ("sied was not paused\n", unknown));
    let place = Sandbox::with_beanstalkd();
    let error = refused(&place, 1, &["pause", "sied"]);
    assert!(error.contains(" has no queue \"sied\": it knows one only while there are messages or workers"), "{error}");
    assert_eq!(warned(&place, &["resume", "sied"]).0, "sied was not paused\n");
    assert!(refused(&place, 1, &["pause", "si ed"]).contains("cannot be the name of a queue here"));
}

#[test]
fn a_backup_is_restored_and_worked() {
    let place = Sandbox::new();
    for text in ["one", "bad", "two"] {
        well(&place, &["publish", "echo", "--payload", text]);
    }
    let said = well(&place, &["backup", "copy.db"]);
    assert!(said.starts_with("wrote ") && said.ends_with(" KiB to copy.db\n"), "{said}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = place.path("copy.db").metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let size = place.path("copy.db").metadata().expect("there").len();
    let again = refused(&place, 1, &["backup", "copy.db"]);
    assert_eq!(again, "error: copy.db already exists: name a new file\n");
    let copy = as_json(&place, &["backup", "other.db", "--json"]);
    assert_eq!(copy, json!({"file": "other.db", "bytes": size}));
    assert!(
        refused(&place, 1, &["backup", "nowhere/copy.db"])
            .starts_with("error: cannot create the file nowhere/copy.db: ")
    );

    // Later messages are not in the copy.
    well(&place, &["purge", "--all", "--yes"]);
    std::fs::create_dir(place.path("restored")).expect("made");
    std::fs::copy(place.path("copy.db"), place.path("restored/queue.db")).expect("copied");
    let restored = ["--set", "queue=file:restored"];
    let arguments = ["--set", "sleep_duration=100ms", "--set", "shutdown_after_number_of_empty_iterations=1"];
    let worked = place.run(WORKER, &[restored, [arguments[0], arguments[1]], [arguments[2], arguments[3]]].concat());
    assert_eq!(worked.code, 0, "{}", worked.err);
    assert!(place.record().contains(" one\n") && place.record().contains(" two\n"), "{}", place.record());
    let list = well(&place, &[&["list"][..], &restored].concat());
    assert!(list.contains("a bad word") && list.lines().count() == 2, "{list}");
    // Ids continue where they were.
    let sent = as_json(&place, &[&["publish", "echo", "--payload", "x", "--json"][..], &restored].concat());
    assert_eq!(sent["ids"], json!(["4"]));
    assert_eq!(well(&place, &["list"]), "no messages\n");
}

#[test]
fn a_server_is_not_copied_and_says_what_to_do() {
    let place = Sandbox::with_beanstalkd();
    let expected = "error: this queue cannot be copied into a file: start the server with `-b FOLDER`, stop it, and copy the folder\n";
    assert_eq!(refused(&place, 1, &["backup", "copy.db"]), expected);
    assert!(!place.path("copy.db").exists());
}

#[test]
fn each_value_of_the_configuration_shows_where_it_comes_from() {
    let place = Sandbox::new();
    std::fs::write(place.path("pulpo.toml"), "# the shop\nsleep_duration = \"2s\"\nconcurrency = 3\n")
        .expect("written");
    let arguments = ["config", "--json", "--set", "shutdown_grace=1s"];
    let output = place.command(WORKER, &arguments).env("PULPO_CONCURRENCY", "5").output().expect("started");
    assert!(output.status.success());
    let all: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let setting = |key: &str| {
        let all = all.as_array().expect("a list");
        let mut setting = all.iter().find(|one| one["key"] == key).expect("the key").clone();
        let about = setting.as_object_mut().expect("an object");
        for name in ["default", "meaning"] {
            assert!(
                about.remove(name).is_some_and(|text| text.as_str().is_some_and(|text| !text.is_empty())),
                "{name}"
            );
        }
        setting
    };
    assert_eq!(
        setting("sleep_duration"),
        json!({"key": "sleep_duration", "value": "2s", "from": "file", "file": "pulpo.toml", "line": 2})
    );
    let variable = json!({"key": "concurrency", "value": "5", "from": "environment", "variable": "PULPO_CONCURRENCY"});
    assert_eq!(setting("concurrency"), variable);
    assert_eq!(setting("shutdown_grace"), json!({"key": "shutdown_grace", "value": "1s", "from": "command_line"}));
    let folder = std::fs::canonicalize(place.folder()).expect("a folder").join("pulpo-data");
    let value = format!("file:{}", folder.display());
    assert_eq!(setting("queue"), json!({"key": "queue", "value": value, "from": "default"}));
    let table = well(&place, &["config"]);
    let row = table.lines().find(|line| line.contains(" sleep_duration ")).expect("a row");
    assert!(row.contains(" 2s ") && row.ends_with(" pulpo.toml:2"), "{table}");
    assert!(!place.path("pulpo-data").exists(), "no queue is needed for that");
    assert!(refused(&place, 1, &["config", "--set", "concurency=3"]).contains("`concurrency`"));
}
