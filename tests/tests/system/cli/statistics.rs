//! `stats`.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value;

use super::{WORKER, as_json, both, drain, well};

#[test]
fn messages_are_counted_by_queue_and_state() {
    both(|place| {
        well(place, &["publish", "echo", "--payload", "bad"]);
        drain(place);
        well(place, &["publish", "echo", "--payload", "x", "--count", "3"]);
        well(place, &["publish", "record", "--body", r#"{"number": 1}"#, "--delay", "1h"]);
        let stats = as_json(place, &["stats", "--json"]);
        let count = |queue: &str, state: &str| {
            let counts = stats["counts"].as_array().expect("counts").iter().find(|counts| counts["queue"] == queue);
            counts.expect("the queue")[state].as_u64().expect("a number")
        };
        assert_eq!(["ready", "delayed", "reserved", "buried"].map(|state| count("side", state)), [3, 0, 0, 1]);
        assert_eq!(["ready", "delayed", "reserved", "buried"].map(|state| count("pulpo", state)), [0, 1, 0, 0]);
        assert!(stats["counts"][1]["oldest_ready"].is_string() && stats["counts"][0]["oldest_ready"].is_null());
        let table = well(place, &["stats"]);
        let side: Vec<_> =
            table.lines().find(|line| line.starts_with(" side ")).expect("a row").split_whitespace().collect();
        assert!(side.ends_with(&["ago"]) && side.contains(&"3") && side.contains(&"4"), "{table}");
        assert!(table.lines().any(|line| line.starts_with(" all ")), "{table}");
    });
}

#[test]
fn a_watch_tells_how_fast_messages_come_and_go() {
    both(|place| {
        // A server counts only while the queue has messages or users.
        well(place, &["publish", "echo", "--payload", "first", "--delay", "1h"]);
        let mut watch = place
            .command(WORKER, &["stats", "--watch", "100ms", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(watch.stdout.take().expect("a pipe")).lines();
        let mut look =
            || -> Value { serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("JSON") };
        assert_eq!(look()["rates"].as_array().map(Vec::len), Some(0), "nothing to compare with");
        let mut until = |what: &str| {
            for _ in 0..300 {
                let rates = look()["rates"].as_array().expect("rates").clone();
                if rates.iter().any(|rate| rate[what].as_f64().is_some_and(|rate| rate > 0.0)) {
                    return;
                }
            }
            panic!("nothing was {what}");
        };
        well(place, &["publish", "echo", "--payload", "x", "--count", "20"]);
        until("published");
        drain(place);
        until("finished");
        drop(lines);
        assert_eq!(watch.wait().expect("an end").code(), Some(0));
    });
}
