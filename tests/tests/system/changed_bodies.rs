//! A body that changes between two versions of a program: the change is found before the deploy,
//! and does no harm while both versions run.

use pulpo_tests::program::{CommandOutput, Running, Sandbox};
use pulpo_tests::wait::until;
use serde_json::{Value, json};

on_each_queue! {
    two_versions_in_either_order_bury_and_lose_nothing
    what_waits_is_decoded_before_a_deploy_and_left_as_it_is
    a_change_that_waiting_messages_do_not_survive_is_counted
}

const FIRST: &str = env!("CARGO_BIN_EXE_shop_version_1");
const SECOND: &str = env!("CARGO_BIN_EXE_shop_version_2");
const THIRD: &str = env!("CARGO_BIN_EXE_shop_version_3");

fn worker(place: &Sandbox, program: &str) -> Running {
    place.start(place.command(program, &["work", "--concurrency", "2"]))
}

fn stop(worker: Running) {
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

fn publish(place: &Sandbox, program: &str, body: &str) {
    let said = place.run(program, &["publish", "order", "--body", body]);
    assert_eq!(said.code, 0, "{}", said.err);
}

fn done(place: &Sandbox, what: &str) -> usize {
    place.record().lines().filter(|line| *line == what).count()
}

fn list(place: &Sandbox) -> Vec<Value> {
    let said = place.run(FIRST, &["list", "--json"]);
    assert_eq!(said.code, 0, "{}", said.err);
    serde_json::from_str(&said.out).expect("JSON")
}

fn as_json(said: &CommandOutput) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}{}", said.out, said.err))
}

/// Writes the snapshot of a program to a file. Returns its text.
fn snapshot(place: &Sandbox, program: &str) -> String {
    let file = place.path("jobs.snapshot");
    let said = place.run(program, &["check", "--update", "jobs.snapshot"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    std::fs::read_to_string(file).expect("a snapshot")
}

fn two_versions_in_either_order_bury_and_lose_nothing(place: &Sandbox) {
    // Before the deploy: version 2 reads everything that version 1 wrote.
    snapshot(place, FIRST);
    let said = place.run(SECOND, &["check", "--against", "jobs.snapshot"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains("warning: order: body."), "{}", said.out);
    assert!(said.out.contains("replace the workers before the producers"), "{}", said.out);

    // Workers first: the new one reads both.
    let old = worker(place, FIRST);
    publish(place, FIRST, r#"{"id": 1, "to": "ada"}"#);
    until("the old one works", || done(place, "order 1 for ada") == 1);
    let new = worker(place, SECOND);
    stop(old);
    publish(place, FIRST, r#"{"id": 2, "to": "ada"}"#);
    publish(place, SECOND, r#"{"id": 3, "recipient": "ada", "express": false}"#);
    until("the new one works", || done(place, "order 2 for ada") == 1 && done(place, "order 3 for ada") == 1);
    stop(new);

    // Producers first: messages that the old worker cannot read wait for the new one.
    let old = worker(place, FIRST);
    publish(place, SECOND, r#"{"id": 4, "recipient": "bob", "express": true}"#);
    until("it is put back", || place.log().contains("another version of the program wrote it"));
    let new = worker(place, SECOND);
    until("it is done", || done(place, "order 4 for bob") == 1);
    until("nothing is left", || list(place).is_empty());
    stop(old);
    stop(new);
    assert!(!place.log().contains("buried id="), "{}", place.log());
    assert_eq!(place.record().lines().count(), 4, "{}", place.record());
}

fn what_waits_is_decoded_before_a_deploy_and_left_as_it_is(place: &Sandbox) {
    publish(place, FIRST, r#"{"id": 1, "to": "ada"}"#);
    publish(place, FIRST, r#"{"id": 2, "to": "bob"}"#);
    // A server reports how long ago, not since when.
    let what = |all: &[Value]| -> Vec<_> {
        all.iter().map(|one| ["id", "message", "state", "attempts", "priority"].map(|key| one[key].clone())).collect()
    };
    let before = list(place);
    let said = place.run(SECOND, &["check", "--queue"]);
    assert_eq!((said.code, said.out.contains("decoded 2 messages that wait")), (0, true), "{}{}", said.out, said.err);

    let said = place.run(THIRD, &["check", "--queue"]);
    assert_eq!(said.code, 1);
    let expected = "order: body: missing field `recipient`: 2 messages would be buried";
    assert!(said.out.contains(expected), "{}", said.out);

    // A message of a type that this program does not know.
    let said = place.run(env!("CARGO_BIN_EXE_old_version_worker"), &["publish", "known"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let said = place.run(THIRD, &["check", "--queue", "--json"]);
    assert_eq!(said.code, 1);
    let queue = &as_json(&said)["queue"];
    assert_eq!(queue["looked_at"], 3, "{queue}");
    assert_eq!(queue["would_be_buried"][0]["job"], "order");
    assert_eq!(queue["would_be_buried"][0]["path"], "body");
    assert_eq!(queue["would_be_buried"][0]["messages"], 2);
    assert_eq!(queue["unknown_types"], json!([{ "job": "known", "messages": 1 }]));
    assert_eq!(queue["not_seen"], json!([]));

    let after = list(place);
    assert_eq!(after.len(), 3);
    assert_eq!(what(&after[1..]), what(&before), "nothing has changed");
}

fn a_change_that_waiting_messages_do_not_survive_is_counted(place: &Sandbox) {
    snapshot(place, FIRST);
    publish(place, FIRST, r#"{"id": 1, "to": "ada"}"#);
    let said = place.run(THIRD, &["check", "--against", "jobs.snapshot"]);
    assert_eq!(said.code, 1);
    for expected in [
        "order: body.recipient: missing field `recipient`",
        "if it is the former `to`, give it `#[serde(alias = \"to\")]`",
        "messages of this job that wait now: 1",
        "deploy in steps",
    ] {
        assert!(said.out.contains(expected), "{expected}: {}", said.out);
    }
    let said = place.run(THIRD, &["check", "--against", "jobs.snapshot", "--json"]);
    assert_eq!(said.code, 1);
    let all = as_json(&said);
    let change = &all["changes"][0];
    assert_eq!(all["ok"], false);
    assert_eq!(
        (&change["job"], &change["path"], &change["kind"]),
        (&json!("order"), &json!("body.recipient"), &json!("field_added"))
    );
    assert_eq!(change["waiting"], 1);
    assert_eq!(all["changes"].as_array().map(Vec::len), Some(1), "{all}");
}

#[test]
fn a_snapshot_reads_well_and_keeps_what_people_wrote_into_it() {
    let place = Sandbox::new();
    let text = snapshot(&place, FIRST);
    let expected = "pulpo snapshot 1\n\njob order\nbody: object\nbody.id: u64\nbody.to: text\n";
    assert_eq!(text, expected);

    let notes =
        "# Jobs of the shop.\npulpo snapshot 1\n\n# Since spring.\njob order\nexample {\"id\":7,\"to\":\"ada\"}\n";
    std::fs::write(place.path("jobs.snapshot"), notes).expect("written");
    let text = snapshot(&place, FIRST);
    let expected = "# Jobs of the shop.\npulpo snapshot 1\n\n# Since spring.\njob order\nbody: object\nbody.id: u64\n\
                    body.to: text\nexample {\"id\":7,\"to\":\"ada\"}\n";
    assert_eq!(text, expected);
    // A second snapshot is the same.
    assert_eq!(snapshot(&place, FIRST), expected);

    // An example that the program itself cannot read is a mistake.
    let said = place.run(THIRD, &["check", "--update", "jobs.snapshot"]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("does not read its example {\"id\":7,\"to\":\"ada\"}: body: missing field"),
        "{}",
        said.err
    );
    assert_eq!(std::fs::read_to_string(place.path("jobs.snapshot")).expect("a file"), expected);
}

#[test]
fn a_snapshot_that_is_none_is_refused_with_its_line() {
    let place = Sandbox::new();
    for (text, expected) in [
        ("", "expected `pulpo snapshot 1` in the first line, got an empty file"),
        ("pulpo snapshot 2\n", "line 1: expected `pulpo snapshot 1`, got `pulpo snapshot 2`"),
        ("pulpo snapshot 1\nbody: object\n", "line 2: expected `job NAME`, got `body: object`"),
        ("pulpo snapshot 1\njob a\nbody: what is this?\n", "line 3: expected a path and what is read there"),
    ] {
        std::fs::write(place.path("jobs.snapshot"), text).expect("written");
        let said = place.run(FIRST, &["check", "--against", "jobs.snapshot"]);
        assert_eq!(said.code, 1, "{text}");
        assert!(said.err.contains(expected), "{}", said.err);
    }
    let said = place.run(FIRST, &["check", "--against", "nowhere"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("cannot read nowhere"), "{}", said.err);
}

#[test]
fn a_job_that_is_gone_is_a_change_unless_it_is_allowed() {
    let place = Sandbox::new();
    let text = "pulpo snapshot 1\n\njob orders\nalias basket\nbody: object\nbody.id: u64\nbody.to: text\n\njob \
                greet\nbody: null\n";
    std::fs::write(place.path("jobs.snapshot"), text).expect("written");
    let said = place.run(FIRST, &["check", "--against", "jobs.snapshot", "--json"]);
    assert_eq!(said.code, 1);
    let all = as_json(&said);
    let kinds: Vec<_> = all["changes"]
        .as_array()
        .expect("changes")
        .iter()
        .map(|change| (change["job"].as_str().unwrap_or_default(), change["kind"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(kinds, [("greet", "job_removed"), ("orders", "job_renamed"), ("orders", "alias_removed")]);
    assert!(all["changes"][1]["advice"].as_str().is_some_and(|advice| advice.contains("alias = \"orders\"")), "{all}");

    let allow = ["--allow-removed", "orders", "--allow-removed", "greet", "--allow-removed", "basket"];
    let said = place.run(FIRST, &[&["check", "--against", "jobs.snapshot"][..], &allow].concat());
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let said = place.run(FIRST, &["check", "--allow-removed", "greet"]);
    assert_eq!(said.code, 2, "it is of --against alone");
}

#[test]
fn an_example_covers_what_serde_hides() {
    let place = Sandbox::new();
    let text =
        "pulpo snapshot 1\n\njob order\nbody: anything\nexample {\"id\":7,\"to\":\"ada\"}\nexample {\"id\":\"7\"}\n";
    std::fs::write(place.path("jobs.snapshot"), text).expect("written");
    let said = place.run(FIRST, &["check", "--against", "jobs.snapshot", "--json"]);
    assert_eq!(said.code, 1);
    let all = as_json(&said);
    assert!(all["changes"].as_array().is_some_and(|all| all.iter().any(|change| change["path"] == "body.id")), "{all}");
}

#[test]
fn the_schema_of_the_handlers_is_that_of_the_snapshot() {
    let place = Sandbox::new();
    let said = place.run(FIRST, &["handlers", "--schema"]);
    assert_eq!((said.code, said.out.as_str()), (0, snapshot(&place, FIRST).as_str()), "{}", said.err);
    let said = place.run(FIRST, &["handlers", "--schema", "--json"]);
    let all = as_json(&said);
    assert_eq!(all[0]["request_type"], "order");
    assert_eq!(all[0]["body"][1], json!({ "path": "body.id", "reads": "u64" }));
    // Messages carry the same shape.
    publish(&place, FIRST, r#"{"id": 1, "to": "ada"}"#);
    assert_eq!(list(&place)[0]["message"]["header"]["shape"], all[0]["shape"]);
}

#[test]
fn a_unique_key_of_other_fields_is_a_change_and_a_new_or_removed_one_is_none() {
    const WORKER: &str = env!("CARGO_BIN_EXE_limited_worker");
    let place = Sandbox::new();
    let text = snapshot(&place, WORKER);
    assert!(text.contains("\njob once\nunique\n") && text.contains("\njob waits\nunique key\n"), "{text}");
    let check = |text: &str| {
        std::fs::write(place.path("jobs.snapshot"), text).expect("written");
        place.run(WORKER, &["check", "--against", "jobs.snapshot", "--json"])
    };
    let other = text.replace("job waits\nunique key\n", "job waits\nunique tenant, address.city\n");
    let said = check(&other);
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    let all = as_json(&said);
    assert_eq!(all["changes"].as_array().map(Vec::len), Some(1), "{all}");
    let change = &all["changes"][0];
    let expected = json!(["waits", "header.unique_key", "unique_key_changed", "tenant, address.city", "key"]);
    assert_eq!(json!(["job", "path", "kind", "before", "after"].map(|key| &change[key])), expected);

    // The key was the whole body, and is now one field of it.
    let said = check(&text.replace("job waits\nunique key\n", "job waits\nunique\n"));
    assert_eq!((said.code, as_json(&said)["changes"][0]["before"].as_str()), (1, Some("the whole body")));

    for text in [text.replace("unique key\n", ""), text.replace("job waits\n", "job waits\n\n"), text] {
        let said = check(&text);
        assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    }
}
