//! Foreign data is shown unchanged.

use std::process::Command;

use pulpo_tests::program::Sandbox;
use pulpo_tests::stored;

use super::{as_json, both, drain, well};

/// A message whose text no Rust program would write.
const FOREIGN: &str = r#"{"header": {"request_type": "charge", "account": 12345678901234567890123, "x": 1, "x": 2},
    "body": {"cents": 98765432109876543210, "rate": 1.10, "tiny": 1E-400, "cents": -0, "list": [ ], "text": "é"}}"#;

/// Publishes the text as another program would.
fn publish(place: &Sandbox, text: &str) {
    if place.is_on_a_server() {
        use std::io::{Read as _, Write as _};
        let mut socket = std::net::TcpStream::connect(place.server_address()).expect("the server");
        let put = format!("use pulpo\r\nput 1024 0 60 {}\r\n{text}\r\nquit\r\n", text.len());
        socket.write_all(put.as_bytes()).expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer");
        assert!(answer.contains("INSERTED"), "{answer}");
        return;
    }
    drain(place);
    let database = rusqlite::Connection::open(place.path("pulpo-data/queue.db")).expect("opened");
    stored::insert(&database, "pulpo", b"charge", 0, text.as_bytes());
}

#[test]
fn numbers_and_repeated_keys_are_shown_as_they_are() {
    both(|place| {
        publish(place, FOREIGN);
        for command in [&["peek", "1"][..], &["peek", "1", "--json"], &["list", "--json"]] {
            let out = well(place, command);
            for part in [
                "\"account\": 12345678901234567890123,",
                "\"x\": 1,",
                "\"x\": 2\n",
                "\"cents\": 98765432109876543210,",
                "\"rate\": 1.10,",
                "\"tiny\": 1E-400,",
                "\"cents\": -0,",
                "\"list\": [],",
                "\"text\": \"é\"\n",
            ] {
                assert!(out.contains(part), "{command:?} without {part}: {out}");
            }
        }
        assert_eq!(as_json(place, &["list", "--json"])[0]["message"]["header"]["x"], 2, "it is JSON");
        let shown = well(place, &["peek", "1"]);
        let header = "\nheader\n{\n  \"request_type\": \"charge\",\n  \"account\": 12345678901234567890123,\n  \"x\": 1,\n  \"x\": 2\n}\nbody\n{\n";
        assert!(shown.contains(header), "in their order: {shown}");
        // Another language reads the same number.
        let script = "import json,sys; print(json.load(sys.stdin)[0]['message']['header']['account'])";
        let listed =
            place.command("sh", &["-c", &format!("'{}' list --json | python3 -c \"{script}\"", super::WORKER)]);
        assert_eq!(said(listed), "12345678901234567890123\n");
    });
}

fn said(mut command: Command) -> String {
    String::from_utf8(command.output().expect("started").stdout).expect("a text")
}

#[test]
fn one_message_does_not_make_a_list_unreadable() {
    both(|place| {
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        for text in [r#"{"body": "\ud800"}"#, deep.as_str(), "{\"body\":\t1,\r\n\"header\": {}}", "no JSON"] {
            publish(place, text);
        }
        let all = as_json(place, &["list", "--json"]);
        let messages: Vec<_> = all.as_array().expect("a list").iter().rev().map(|one| &one["message"]).collect();
        assert_eq!(messages[0], r#"{"body": "\ud800"}"#);
        assert_eq!(*messages[1], deep.as_str());
        assert_eq!(messages[2]["body"], 1);
        assert_eq!(messages[3], "no JSON");
        for id in ["1", "2", "3", "4"] {
            well(place, &["peek", id]);
        }
        assert!(well(place, &["peek", "4"]).ends_with("message (not JSON)\nno JSON\n"));
    });
}

#[test]
fn a_byte_order_mark_is_not_part_of_the_input() {
    both(|place| {
        let body = "\u{feff}{\"number\": 1}";
        well(place, &["publish", "record", "--body", body]);
        std::fs::write(place.path("body.json"), body).expect("written");
        well(place, &["publish", "record", "--body", "@body.json"]);
        let piped = place.run_with_input(super::WORKER, &["publish", "record", "--body", "-"], body);
        assert_eq!(piped.code, 0, "{}", piped.err);
        std::fs::write(place.path("lines"), format!("{body}\r\n{{\"number\": 2}}\r\n")).expect("written");
        well(place, &["publish", "record", "--lines", "@lines"]);
        let numbers: Vec<_> = as_json(place, &["list", "--json"])
            .as_array()
            .expect("a list")
            .iter()
            .map(|message| message["message"]["body"]["number"].clone())
            .collect();
        assert_eq!(numbers, [2, 1, 1, 1, 1]);
        for (file, text) in [("bom.toml", "\u{feff}concurrency = 3\n"), ("bom.json", "\u{feff}{\"concurrency\": 3}")] {
            std::fs::write(place.path(file), text).expect("written");
            let config = well(place, &["config", "--config", file]);
            assert!(config.contains(&format!(" {file}:1\n")), "{config}");
        }
    });
}
