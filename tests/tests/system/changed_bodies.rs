//! A body that changes between two versions of a program: the change is found before the deploy,
//! and does no harm while both versions run.

use pulpo_tests::postgres::PostgresServer;
use pulpo_tests::program::{CommandOutput, Running, Sandbox};
use pulpo_tests::proxy::CuttingProxy;
use pulpo_tests::wait::until;
use serde_json::{Value, json};

on_each_queue! {
    two_versions_in_either_order_bury_and_lose_nothing
    waiting_messages_are_decoded_before_a_deploy_and_left_unchanged
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

fn waiting_messages_are_decoded_before_a_deploy_and_left_unchanged(place: &Sandbox) {
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
fn a_faulty_snapshot_is_refused_with_its_line() {
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
fn a_unique_key_of_other_fields_is_a_change_and_a_new_or_removed_one_is_not() {
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

fn delayed_and_running_messages_are_decoded_too(place: &Sandbox) {
    const HOLDING: &str = env!("CARGO_BIN_EXE_crashing_worker");
    let body = r#"{"name": "one", "then": "ok"}"#;
    for more in [&[][..], &["--delay", "1h"]] {
        let said = place.run(HOLDING, &[&["publish", "held", "--body", body][..], more].concat());
        assert_eq!(said.code, 0, "{}", said.err);
    }
    let worker = place.start(place.command(HOLDING, &["work", "--concurrency", "1"]));
    until("one runs", || place.record().lines().any(|line| line == "one begun 1"));
    let said = place.run(HOLDING, &["check", "--queue"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains("decoded 2 messages that wait"), "{}", said.out);
    // A program without the handler finds both.
    let said = place.run(FIRST, &["check", "--queue"]);
    assert!(said.code == 1 && said.out.contains("held: no handler in this program: 2 messages"), "{}", said.out);
    std::fs::write(place.path("one.1"), "").expect("written");
    until("it is over", || place.record().lines().any(|line| line == "one over 1"));
    stop(worker);
}

#[test]
fn delayed_and_running_messages_are_decoded_too_in_the_embedded_queue() {
    delayed_and_running_messages_are_decoded_too(&Sandbox::new());
}

#[test]
fn delayed_and_running_messages_are_decoded_too_in_postgresql() {
    delayed_and_running_messages_are_decoded_too(&Sandbox::with_postgres());
}

#[test]
fn a_queue_that_empties_during_the_check_causes_no_error() {
    let place = Sandbox::new();
    let line = |id| json!({ "header": { "request_type": "order" }, "body": { "id": id, "to": "ada" } }).to_string();
    let lines: Vec<_> = (0..600).map(line).collect();
    std::fs::write(place.path("messages"), lines.join("\n")).expect("written");
    // A machine that is busy with other things may work it off before the first check looks.
    until("it was checked while it was worked off", || {
        let said = place.run(FIRST, &["publish", "--messages", "@messages"]);
        assert_eq!(said.code, 0, "{}", said.err);
        let worker = worker(&place, FIRST);
        let mut checks = 0;
        until("the queue is empty", || {
            let said = place.run(FIRST, &["check", "--queue"]);
            assert_eq!(said.code, 0, "{}{}", said.out, said.err);
            checks += 1;
            said.out.contains("decoded 0 messages")
        });
        stop(worker);
        checks > 1
    });
}

#[test]
fn a_queue_that_goes_away_hides_nothing_that_was_decoded() {
    const WORD: &str = "here it ends";
    let place = Sandbox::with_postgres();
    let line = |id: u64| {
        let to = if id == 25 { WORD } else { "ada" };
        json!({ "header": { "request_type": "order" }, "body": { "id": id, "to": to } }).to_string()
    };
    let lines: Vec<_> = (0..150).map(line).collect();
    std::fs::write(place.path("messages"), lines.join("\n")).expect("written");
    let said = place.run(FIRST, &["publish", "--messages", "@messages"]);
    assert_eq!(said.code, 0, "{}", said.err);
    // The connection is cut in the second page of the list, each time.
    let proxy = CuttingProxy::start(PostgresServer::shared().port(), WORD);
    let (_, schema) = place.database();
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres?schema={schema}&sslmode=disable", proxy.port());
    let check = |more: &[&str]| {
        let mut command = place.command(THIRD, &[&["check", "--queue"], more].concat());
        place.to_end(command.env("PULPO_QUEUE", &url))
    };
    let said = check(&[]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    for expected in [
        "order: body: missing field `recipient`: 100 messages would be buried",
        "not seen: 50 messages: the queue no longer answers: ",
        "decoded 100 messages that wait",
    ] {
        assert!(said.out.contains(expected), "{expected}: {}", said.out);
    }
    assert!(said.err.contains("2 problems, one of them with `--queue`: "), "{}", said.err);
    let said = check(&["--json"]);
    let all = as_json(&said);
    assert_eq!((said.code, &all["ok"], &all["queue"]["looked_at"]), (1, &json!(false), &json!(100)), "{all}");
    assert_eq!(all["queue"]["would_be_buried"][0]["messages"], 100, "{all}");
    let unseen = all["queue"]["not_seen"][0].as_str().unwrap_or_default();
    assert!(unseen.starts_with("50 messages: the queue no longer answers: "), "{all}");
}

#[test]
fn a_snapshot_with_a_line_twice_or_a_conflict_is_refused_and_the_rest_of_an_editor_is_not() {
    let place = Sandbox::new();
    let text = snapshot(&place, FIRST);
    let check = |text: &str| {
        std::fs::write(place.path("jobs.snapshot"), text).expect("written");
        place.run(FIRST, &["check", "--against", "jobs.snapshot"])
    };
    for (text, expected) in [
        (format!("{text}body.id: u8\n"), "line 7: expected the path `body.id` once"),
        (format!("{text}\njob order\n"), "line 8: expected each job once, got `order` twice"),
        (format!("{text}unique id\nunique\n"), "line 8: expected `unique` once"),
        (format!("{text}alias a\nalias a\n"), "line 8: expected the alias `a` once"),
        (text.replace("body.id", "<<<<<<< HEAD\nbody.id"), "line 5: expected a merged file"),
        (text.replace("body.id", "=======\nbody.id"), "line 5: expected a merged file"),
        (
            text.replace("snapshot 1", "snapshot 2"),
            "line 1: expected `pulpo snapshot 1`, got `pulpo snapshot 2`, which a newer",
        ),
        (text.replace("snapshot 1", "snapshot"), "line 1: expected `pulpo snapshot 1`, got `pulpo snapshot`"),
    ] {
        let said = check(&text);
        assert_eq!(said.code, 1, "{text}");
        assert!(said.err.contains(expected), "{}", said.err);
    }
    for text in [format!("\u{feff}{text}"), text.replace('\n', "\r\n"), text.replace('\n', "  \n\n")] {
        let said = check(&text);
        assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    }
}

#[test]
fn an_update_that_fails_leaves_the_file_as_it_was_and_a_link_a_link() {
    let place = Sandbox::new();
    std::fs::create_dir(place.path("shared")).expect("created");
    std::os::unix::fs::symlink("shared/jobs.snapshot", place.path("jobs.snapshot")).expect("linked");
    std::fs::write(place.path("shared/jobs.snapshot"), "pulpo snapshot 1\n").expect("written");
    let text = snapshot(&place, FIRST);
    assert!(place.path("jobs.snapshot").is_symlink());
    assert_eq!(std::fs::read_to_string(place.path("shared/jobs.snapshot")).expect("a file"), text);
    let files = std::fs::read_dir(place.path("shared")).expect("a folder").count();
    assert_eq!(files, 1, "nothing is left beside it");

    // The file is replaced as a whole: a program that has it open still reads the old one.
    let mut before = std::fs::File::open(place.path("shared/jobs.snapshot")).expect("a file");
    let said = place.run(SECOND, &["check", "--update", "jobs.snapshot"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let mut read = String::new();
    std::io::Read::read_to_string(&mut before, &mut read).expect("read");
    assert_eq!(read, text);
    let said = place.run(FIRST, &["check", "--update", "nowhere/jobs.snapshot"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("cannot write nowhere/jobs.snapshot"), "{}", said.err);
}

const BODIES: &str = env!("CARGO_BIN_EXE_picky_worker");

/// Replaces this part of the snapshot of the worker with picky types, and compares the two.
fn compared(place: &Sandbox, from: &str, to: &str) -> (i32, Value) {
    let text = snapshot(place, BODIES);
    assert!(text.contains(from), "{from} is not in\n{text}");
    std::fs::write(place.path("jobs.snapshot"), text.replace(from, to)).expect("written");
    let said = place.run(BODIES, &["check", "--against", "jobs.snapshot", "--json"]);
    (said.code, as_json(&said))
}

fn kinds(all: &Value, key: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = all[key].as_array().into_iter().flatten();
    all.map(|one| (text(&one["path"]), text(&one["kind"]))).filter(|(path, _)| !path.is_empty()).collect()
}

fn pair(path: &str, kind: &str) -> (String, String) {
    (path.to_owned(), kind.to_owned())
}

#[test]
fn a_type_that_cannot_be_checked_is_a_warning_until_an_example_shows_it() {
    let place = Sandbox::new();
    let text = snapshot(&place, BODIES);
    assert!(text.contains("job stock\nbody: object\nbody.count: u32\nbody.sku: text, unseen\n"), "{text}");
    // The version before had one field less; nothing is wrong with that.
    let (code, all) = compared(&place, "body.count: u32\nbody.sku: text, unseen\n", "body.sku: text, unseen\n");
    assert_eq!(kinds(&all, "changes"), []);
    assert_eq!(code, 0, "{all}");
    assert!(kinds(&all, "warnings").contains(&pair("body.sku", "not_seen")), "{all}");

    // With an example, the missing field is found, and the update writes what it shows.
    let example = "body.sku: text, unseen\nexample {\"sku\":\"AB-12\",\"count\":1}\n";
    let (code, all) =
        compared(&place, "body.count: u32\nbody.sku: text, unseen\n", &example.replace(",\"count\":1", ""));
    assert_eq!(kinds(&all, "changes"), [pair("body.count", "field_added")], "{all}");
    assert_eq!(code, 1);
    std::fs::write(place.path("jobs.snapshot"), text.replace("body.sku: text, unseen\n", example)).expect("written");
    let text = snapshot(&place, BODIES);
    assert!(text.contains("\nbody.sku: text, such as \"AB-12\"\nexample {"), "{text}");
    let said = place.run(BODIES, &["check", "--against", "jobs.snapshot", "--json"]);
    assert_eq!((said.code, kinds(&as_json(&said), "warnings")), (0, vec![]), "{}", said.out);
}

#[test]
fn a_type_that_panics_fails_the_check_and_does_not_end_it() {
    let place = Sandbox::new();
    let text = snapshot(&place, BODIES);
    assert!(text.contains("job panics\nbody: object, unseen\nbody.n: u8\n"), "{text}");
    for example in ["example {\"n\":3}\n", "example {\"n\":1}\n"] {
        let text = text.replace("body.n: u8\n", &format!("body.n: u8\n{example}"));
        std::fs::write(place.path("jobs.snapshot"), text).expect("written");
        let said = place.run(BODIES, &["check", "--update", "jobs.snapshot"]);
        let panics = example.contains('1');
        assert_eq!(said.code, i32::from(panics), "{}{}", said.out, said.err);
        let told =
            said.err.contains("the job `panics` does not read its example {\"n\":1}: body: its `Deserialize` panicked");
        assert_eq!(told, panics, "{}", said.err);
        let said = place.run(BODIES, &["check", "--against", "jobs.snapshot", "--json"]);
        assert_eq!(said.code, i32::from(panics), "{}{}", said.out, said.err);
    }
    std::fs::write(place.path("lines"), "{\"n\":2}\n{\"n\":1}\n").expect("written");
    let message = "{\"header\":{\"request_type\":\"panics\"},\"body\":{\"n\":1}}";
    std::fs::write(place.path("messages"), message).expect("written");
    for arguments in
        [&["panics", "--body", "{\"n\":1}"][..], &["panics", "--lines", "@lines"], &["--messages", "@messages"]]
    {
        let said = place.run(BODIES, &[&["publish"][..], arguments].concat());
        assert_eq!(said.code, 1, "{}{}", said.out, said.err);
        let told = said.err.contains("its `Deserialize` panicked");
        assert!(told, "{}", said.err);
    }
    let mut calm = place.command(BODIES, &["publish", "panics", "--body", "{\"n\":1}"]);
    let published = calm.env("CALM", "yes").output().expect("it runs");
    assert!(published.status.success(), "{published:?}");
    let said = place.run(BODIES, &["check", "--queue"]);
    let expected = "panics: body: its `Deserialize` panicked: 1 message would be buried";
    assert_eq!((said.code, said.out.contains(expected)), (1, true), "{}{}", said.out, said.err);
}

#[test]
fn a_unique_key_is_compared_by_the_keys_of_the_same_bodies() {
    let place = Sandbox::new();
    let text = snapshot(&place, BODIES);
    let now = "job billed\nunique customer_id\nbody: object\nbody.amount: u64\nbody.customer: u64, another name of \
               customer_id\nbody.customer_id: u64\n";
    assert!(text.contains(now), "{text}");
    // Another name for the same values is no other key.
    let before = "job billed\nunique customer\nbody: object\nbody.amount: u64\nbody.customer: u64\n";
    let (code, all) = compared(&place, now, before);
    assert_eq!((code, kinds(&all, "changes")), (0, vec![]), "{all}");
    // Another field is, though it may have the same value.
    let before = "job billed\nunique amount\nbody: object\nbody.amount: u64\nbody.customer: u64\n";
    let (code, all) = compared(&place, now, before);
    assert_eq!((code, kinds(&all, "changes")), (1, vec![pair("header.unique_key", "unique_key_changed")]), "{all}");
    // The same field is, if its values are written in another way.
    let now = "job counted\nunique number\nbody: object\nbody.number: anything";
    let text = snapshot(&place, BODIES);
    let line = text.split_once(now).and_then(|(_, rest)| rest.lines().next()).expect("the job").to_owned();
    let (code, all) =
        compared(&place, &format!("{now}{line}"), "job counted\nunique number\nbody: object\nbody.number: u64");
    assert_eq!((code, kinds(&all, "changes")), (1, vec![pair("header.unique_key", "unique_key_changed")]), "{all}");
    assert!(all["changes"][0]["error"].as_str().is_some_and(|error| error.contains("written in another way")), "{all}");
}

#[test]
fn a_unique_key_of_the_whole_body_changes_with_the_body() {
    let place = Sandbox::new();
    let text = snapshot(&place, BODIES);
    let fields = "body: object\nbody.amount: u64, optional\n";
    let at =
        text.split_once("job charged\nunique\n").and_then(|(_, job)| job.lines().find(|line| line.contains("at:")));
    let at = at.expect("the time").to_owned();
    let now = format!(
        "job charged\nunique\n{fields}{at}\nbody.note: text, or null, optional\nbody.sum: u64, optional, another name of amount\n"
    );
    assert!(text.contains(&now), "{now} is not in\n{text}");
    let changed = (1, vec![pair("header.unique_key", "unique_key_changed")]);
    for (before, expected) in [
        // A field that is left out is not in the key; how the time of an unchanged type is written says nothing.
        (format!("body: object\nbody.amount: u64\n{at}\n"), (0, vec![])),
        // A new field with a default, and a new name of one, are.
        (format!("body: object\n{at}\n"), changed.clone()),
        (format!("body: object\n{at}\nbody.sum: u64\n"), changed.clone()),
        // So is one that is no longer there.
        (format!("body: object\nbody.amount: u64\n{at}\nbody.by: text\n"), changed),
    ] {
        let (code, all) = compared(&place, &now, &format!("job charged\nunique\n{before}"));
        assert_eq!((code, kinds(&all, "changes")), expected, "{before}{all}");
    }
}

#[test]
fn messages_under_an_alias_are_counted_too() {
    let place = Sandbox::new();
    let publish = |request_type: &str| {
        let text =
            format!("{{\"header\":{{\"request_type\":\"{request_type}\"}},\"body\":{{\"id\":1,\"name\":\"a\"}}}}\n");
        std::fs::write(place.path("messages"), text).expect("written");
        let said = place.run(BODIES, &["publish", "--messages", "@messages"]);
        assert_eq!(said.code, 0, "{}", said.err);
    };
    ["named", "titled", "titled"].into_iter().for_each(publish);
    let (_, all) = compared(&place, "body.name: text\n", "");
    assert_eq!(
        (&all["changes"][0]["kind"], &all["changes"][0]["waiting"]),
        (&json!("field_added"), &json!(3)),
        "{all}"
    );
    // An alias that has gone concerns its own messages alone.
    let (_, all) = compared(&place, "alias titled\n", "alias called\nalias titled\n");
    assert_eq!(
        (&all["changes"][0]["kind"], &all["changes"][0]["waiting"]),
        (&json!("alias_removed"), &json!(0)),
        "{all}"
    );

    // A queue that does not answer is reported.
    let text = snapshot(&place, BODIES).replace("body.name: text\n", "");
    std::fs::write(place.path("jobs.snapshot"), text).expect("written");
    let mut command = place.command(BODIES, &["check", "--against", "jobs.snapshot", "--json"]);
    command.env("PULPO_QUEUE", "beanstalkd://127.0.0.1:1");
    let output = command.output().expect("it runs");
    let all: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let warnings = all["warnings"].as_array().expect("warnings");
    assert!(warnings.iter().any(|warning| warning["kind"] == "queue_unreachable"), "{all}");
    assert_eq!((output.status.code(), &all["changes"][0]["waiting"]), (Some(1), &json!(null)), "{all}");
}

#[test]
fn a_whole_message_gets_the_shape_of_the_body_that_was_checked() {
    let place = Sandbox::new();
    let said = place.run(FIRST, &["handlers", "--schema", "--json"]);
    let shape = as_json(&said)[0]["shape"].clone();
    let lines = [
        json!({ "header": { "request_type": "order", "source": "shop" }, "body": { "id": 1, "to": "ada" } }),
        json!({ "header": { "request_type": "order", "shape": "1-00000000000000aa" }, "body": { "id": 2, "to": "ada" } }),
        json!({ "header": { "request_type": "order", "shape": "round" }, "body": { "id": 3, "to": "ada" } }),
    ];
    let lines: Vec<_> = lines.iter().map(Value::to_string).collect();
    std::fs::write(place.path("messages"), lines.join("\n")).expect("written");
    let said = place.run(FIRST, &["publish", "--messages", "@messages"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let mut all = list(&place);
    all.sort_by_key(|message| message["message"]["body"]["id"].as_u64());
    let shapes: Vec<_> = all.iter().map(|message| message["message"]["header"]["shape"].clone()).collect();
    assert_eq!(shapes, [shape, json!("1-00000000000000aa"), json!("round")]);
    assert_eq!(all[0]["message"]["header"]["source"], "shop");
}

#[test]
fn a_job_without_a_handler_is_in_the_snapshot_too() {
    const DECLARING: &str = env!("CARGO_BIN_EXE_declaring_worker");
    let place = Sandbox::new();
    let text = place.run(DECLARING, &["handlers", "--schema"]).out;
    assert!(text.contains("\njob only_declared\nalias formerly\nunique n\nbody: object\nbody.n: u8\n"), "{text}");
    let check = |text: &str| {
        std::fs::write(place.path("jobs.snapshot"), text).expect("written");
        kinds(&as_json(&place.run(DECLARING, &["check", "--against", "jobs.snapshot", "--json"])), "changes")
    };
    assert_eq!(check(&text), []);
    let before = text.replace("unique n\nbody: object\nbody.n: u8\n", "unique n\nbody: object\n");
    assert_eq!(check(&before), [pair("body.n", "field_added")]);
}

#[test]
fn a_unique_job_with_another_name_has_other_keys() {
    const DECLARING: &str = env!("CARGO_BIN_EXE_declaring_worker");
    let place = Sandbox::new();
    let text = place.run(DECLARING, &["handlers", "--schema"]).out;
    let check = |text: &str| {
        std::fs::write(place.path("jobs.snapshot"), text).expect("written");
        as_json(&place.run(DECLARING, &["check", "--against", "jobs.snapshot", "--json"]))
    };
    let now = "job only_declared\nalias formerly\nunique n\n";
    assert!(text.contains(now), "{text}");
    let all = check(&text.replace(now, "job formerly\nunique n\n"));
    let change = &all["changes"][0];
    let expected = json!(["formerly", "header.unique_key", "unique_key_changed", "formerly", "only_declared"]);
    assert_eq!(all["changes"].as_array().map(Vec::len), Some(1), "{all}");
    assert_eq!(json!(["job", "path", "kind", "before", "after"].map(|key| &change[key])), expected);
    // Other fields are reported once, and a job that was not unique has no key to lose.
    let all = check(&text.replace(now, "job formerly\nunique other\n"));
    assert_eq!(kinds(&all, "changes"), [pair("header.unique_key", "unique_key_changed")], "{all}");
    assert_eq!(kinds(&check(&text.replace(now, "job formerly\n")), "changes"), []);
}
