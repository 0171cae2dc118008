//! Messages of hostile programs, in each page and each command.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use pulpo_tests::program::Sandbox;
use pulpo_tests::stored::insert;
use serde_json::{Value, json};

use super::{Served, WORKER};

const HOSTILE: &str =
    "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u{202e}\u{2066}\u{1b}[2J\u{7}\u{85}\u{2028}";

on_each_queue! {
    hostile_messages_stay_text_in_pages_and_commands
}

/// Returns the texts of messages, each with a request type that is written beside it where a queue does that.
fn messages() -> Vec<(String, Vec<u8>)> {
    let deep = |inside: &str| format!("{}{inside}{}", "[".repeat(90), "]".repeat(90));
    let message = |request_type: &str, body: Value| {
        let text = json!({ "header": { "request_type": request_type, HOSTILE: HOSTILE }, "body": body }).to_string();
        (request_type.to_owned(), text.into_bytes())
    };
    let raw = |text: &[u8]| (HOSTILE.to_owned(), text.to_owned());
    vec![
        message("pay", json!({ "card": HOSTILE })),
        message(HOSTILE, json!(HOSTILE)),
        message("talk", json!(format!("\0{HOSTILE}\0"))),
        message("", json!({ HOSTILE: [HOSTILE, { HOSTILE: "x".repeat(50_000) }] })),
        message("deep", serde_json::from_str(&deep("1")).expect("JSON")),
        // Indented, it would have a hundred times its size.
        message("wide", serde_json::from_str(&deep(&("0,".repeat(20_000) + "0"))).expect("JSON")),
        raw(HOSTILE.as_bytes()),
        raw(b"\xff\xfe<script>alert(1)</script>"),
        raw("[".repeat(30_000).as_bytes()),
        raw(b"{\"header\": {\"request_type\": \"\\ud800<script>alert(1)</script>\"}, \"body\": "),
    ]
}

/// Puts them into the queue, past the library: ready, and buried where that is possible.
fn fill(place: &Sandbox) {
    let said = place.run(WORKER, &["publish", "note", "--payload", HOSTILE, "--delay", "1h"]);
    assert_eq!(said.code, 0, "{}", said.err);
    for (request_type, text) in messages() {
        if place.has_server() {
            let mut stream = TcpStream::connect(place.server_address()).expect("it listens");
            let put = [format!("use pulpo\r\nput 5 0 60 {}\r\n", text.len()).as_bytes(), &text, b"\r\n"].concat();
            stream.write_all(&put).expect("sent");
            let answers: Vec<_> = BufReader::new(stream).lines().take(2).map_while(Result::ok).collect();
            assert!(answers[1].starts_with("INSERTED"), "{answers:?}");
        } else if place.has_database() {
            let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
            let text = quoted(&String::from_utf8_lossy(&text));
            for state in [0, 3] {
                let [kind, reason] = [&request_type, HOSTILE].map(quoted);
                let _ = place.ask_database(&format!(
                    "INSERT INTO SCHEMA.message(queue, request_type, state, priority, ttr, text, last_error)
                     VALUES ('pulpo', {kind}, {state}, 5, 60000, {text}, {reason}), \
                            ({reason}, {kind}, {state}, 5, 60000, {text}, {reason}) RETURNING id"
                ));
            }
        } else {
            let database = rusqlite::Connection::open(place.path("pulpo-data/queue.db")).expect("opened");
            for (queue, state) in [("pulpo", 0), ("pulpo", 3), (HOSTILE, 0), (HOSTILE, 3)] {
                insert(&database, queue, request_type.as_bytes(), state, &text);
            }
            database.execute("UPDATE message SET last_error = ?1 WHERE state = 3", [HOSTILE]).expect("set");
        }
    }
}

/// Asserts that nothing in a text moves a cursor, hides or turns around what follows.
#[track_caller]
fn assert_harmless(text: &str, what: &str) {
    let wrong =
        |c: &char| (c.is_control() && *c != '\n') || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let wrong: Vec<_> = text.chars().filter(wrong).collect();
    assert!(wrong.is_empty(), "{what}: {wrong:?}");
}

fn ids(place: &Sandbox) -> Vec<String> {
    let said = place.run(WORKER, &["list", "--limit", "0", "--json"]);
    let all: Value = serde_json::from_str(&said.out).expect("JSON");
    all.as_array().expect("a list").iter().filter_map(|one| one["id"].as_str().map(str::to_owned)).collect()
}

fn look_at_each_page(place: &Sandbox, served: &Served) {
    let query: String = HOSTILE.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let named = ["/", "/jobs", "/jobs?state=buried", "/queues", "/schedules", "/workers"].map(str::to_owned);
    let filtered = [
        format!("/?type={query}&queue={query}"),
        format!("/jobs?type={query}&queue={query}&reason={query}"),
        format!("/jobs?state={query}"),
        format!("/jobs/{query}"),
        format!("/{query}"),
    ];
    for path in named.into_iter().chain(filtered).chain(ids(place).iter().map(|id| format!("/jobs/{id}"))) {
        let answer = served.get(&path);
        assert!(answer.status < 500 && answer.body.len() < 500_000, "{path}: {} {}", answer.status, answer.body.len());
        assert!(!answer.body.contains("<script>alert") && !answer.body.contains("<img"), "{path}: {}", answer.body);
        // A field of a form has the value that is sent back.
        let shown = answer.body.split("value=\"").map(|part| part.split_once('"').map_or(part, |(_, rest)| rest));
        assert_harmless(&shown.collect::<String>(), &path);
    }
}

fn ask_each_command(place: &Sandbox) {
    let all = ids(place);
    let each: Vec<_> = all.iter().flat_map(|id| [vec!["peek", id], vec!["peek", id, "--json"]]).collect();
    let commands: [&[&str]; 27] = [
        &["list"],
        &["list", "--json"],
        &["stats"],
        &["stats", "--json"],
        &["workers"],
        &["check", "--queue"],
        &["list", "--type", HOSTILE],
        &["list", "--queue", HOSTILE],
        &["list", "--reason", HOSTILE],
        &["list", "--body", HOSTILE],
        &["list", "--after", HOSTILE],
        &["peek", HOSTILE],
        &["kick", HOSTILE],
        &["cancel", HOSTILE],
        &["delete", HOSTILE],
        &["edit", HOSTILE, "--priority", "1"],
        &["delete", "--type", HOSTILE, "--dry-run"],
        &["purge", HOSTILE, "--dry-run"],
        &["pause", HOSTILE, "1s"],
        &["resume", HOSTILE],
        &["schedule", "pause", HOSTILE],
        &["publish", HOSTILE, "--body", "1"],
        &["publish", "pay", "--body", HOSTILE],
        &["move", "--to", HOSTILE],
        &["config", "--set", HOSTILE],
        &["config", "--set", "banner_name=\u{1b}[2J"],
        &["backup", "\u{1b}[2J/\u{202e}"],
    ];
    for arguments in commands.into_iter().chain(each.iter().map(Vec::as_slice)) {
        let said = place.run(WORKER, arguments);
        assert_harmless(&(said.out.clone() + &said.err), &format!("{arguments:?}"));
        assert!([0, 1, 2].contains(&said.code) && !said.err.contains("panicked"), "{arguments:?}: {}", said.err);
        if arguments.last() == Some(&"--json") {
            let read: Result<Value, _> = serde_json::from_str(&said.out);
            assert!(read.is_ok() && said.out.len() < 5_000_000, "{arguments:?}: {read:?}, {} bytes", said.out.len());
        }
    }
}

fn hostile_messages_stay_text_in_pages_and_commands(place: &Sandbox) {
    fill(place);
    let served = Served::start(place, &["--allow-changes"], &[]);
    look_at_each_page(place, &served);
    ask_each_command(place);
    // The worker reports them, and its reports are shown too.
    let settings = ["sleep_duration=100ms", "shutdown_after_number_of_empty_iterations=2", "unknown_type_grace=0s"];
    let work: Vec<_> = ["work"].into_iter().chain(settings.iter().flat_map(|one| ["--set", *one])).collect();
    let said = place.run(WORKER, &work);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_harmless(&said.err, "the log");
    look_at_each_page(place, &served);
    ask_each_command(place);
}
