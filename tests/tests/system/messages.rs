//! Hostile messages, sent to the decoder and through the worker on each queue: each is settled with
//! a reason, nothing panics or grows, and no log line is forged.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;

use proptest::prelude::*;
use pulpo::clock::SystemClock;
use pulpo::queue::beanstalkd::{BeanstalkdOptions, BeanstalkdQueue};
use pulpo::queue::file::FileQueue;
use pulpo::queue::{Filter, Inspection, MessageState, NewMessage, QueueAdapter, StoredMessage};
use pulpo::{Message, MessageError};
use pulpo_tests::beanstalkd::{BeanstalkdServer, Options};
use pulpo_tests::program::Sandbox;
use pulpo_tests::stored;
use pulpo_tests::wait::until;
use serde::Deserialize;

use crate::hostile_messages::{giants, message, messages};

const VICTIM: &str = env!("CARGO_BIN_EXE_hostile_input_worker");

/// A type with fields of many types.
#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only its types matter")]
struct Body {
    number: u64,
    text: Option<String>,
    list: Vec<(i8, f32)>,
    map: HashMap<String, Option<Box<Body>>>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_bytes_are_read_or_refused_with_a_reason(bytes in message()) {
        let said = [
            Message::<Body>::from_json(&bytes).map(drop),
            Message::<String>::from_json(&bytes).map(drop),
            Message::<()>::from_json(&bytes).map(drop),
            Message::<serde_json::Value>::from_json(&bytes).map(|message| {
                // A decoded message can be encoded and decoded again.
                let text = message.to_json().expect("JSON");
                let again = Message::<serde_json::Value>::from_json(text.as_bytes()).expect("a message");
                assert_eq!(again.headers(), message.headers());
            }),
        ];
        for error in said.into_iter().filter_map(Result::err) {
            prop_assert!(!error.to_string().is_empty());
            // A text that is invalid for one type is invalid for every type.
            if matches!(error, MessageError::NotUtf8(_)) {
                prop_assert!(std::str::from_utf8(&bytes).is_err());
            }
        }
    }
}

#[test]
fn giants_are_read_or_refused() {
    for bytes in giants(10_000_000) {
        let _ = Message::<Body>::from_json(&bytes);
        let _ = Message::<serde_json::Value>::from_json(&bytes);
    }
}

/// A queue that accepts any bytes, without its adapter.
trait Target {
    fn place(&self) -> &Sandbox;
    fn queue(&self) -> &dyn QueueAdapter;
    fn put(&mut self, messages: &[Vec<u8>]);
}

struct Embedded {
    place: Sandbox,
    queue: FileQueue,
}

impl Embedded {
    fn new() -> Self {
        let place = Sandbox::new();
        let queue = FileQueue::open(&place.path("pulpo-data"), false, Arc::new(SystemClock::new()));
        Self { place, queue: queue.expect("a queue") }
    }
}

impl Target for Embedded {
    fn place(&self) -> &Sandbox {
        &self.place
    }

    fn queue(&self) -> &dyn QueueAdapter {
        &self.queue
    }

    /// Enqueues text through the adapter, and writes the rest into the table.
    fn put(&mut self, messages: &[Vec<u8>]) {
        let mut connection = rusqlite::Connection::open(self.place.path("pulpo-data/queue.db")).expect("opened");
        let transaction = connection.transaction().expect("begun");
        let mut texts = Vec::new();
        for message in messages {
            match std::str::from_utf8(message) {
                Ok(text) => texts.push(NewMessage::new("pulpo", "put", text)),
                Err(_) => drop(stored::insert(&transaction, "pulpo", b"\xff\n", 0, message)),
            }
        }
        transaction.commit().expect("put");
        self.queue.enqueue(texts).expect("put");
    }
}

struct Server {
    place: Sandbox,
    server: BeanstalkdServer,
    queue: BeanstalkdQueue,
}

impl Server {
    fn new() -> Self {
        let server = Options::new().max_job_size(30_000_000).start();
        let options = BeanstalkdOptions::new("127.0.0.1").port(server.port());
        Self { place: Sandbox::new(), server, queue: BeanstalkdQueue::new(options, Arc::new(SystemClock::new())) }
    }
}

impl Target for Server {
    fn place(&self) -> &Sandbox {
        &self.place
    }

    fn queue(&self) -> &dyn QueueAdapter {
        &self.queue
    }

    /// As any program could that connects to the server.
    fn put(&mut self, messages: &[Vec<u8>]) {
        let mut socket = BufReader::new(TcpStream::connect(("127.0.0.1", self.server.port())).expect("connected"));
        let mut say = |words: &[u8], expected: &str| {
            socket.get_mut().write_all(words).expect("sent");
            let mut answer = String::new();
            socket.read_line(&mut answer).expect("an answer");
            assert!(answer.starts_with(expected), "{answer}");
        };
        say(b"use pulpo\r\n", "USING pulpo");
        for message in messages {
            let mut words = format!("put 65536 0 60 {}\r\n", message.len()).into_bytes();
            words.extend(message);
            words.extend(b"\r\n");
            say(&words, "INSERTED");
        }
    }
}

/// Returns a worker for these messages.
fn victim(target: &dyn Target, queue: &str) -> Command {
    let mut command = target.place().command(VICTIM, &["work", "--concurrency", "2", "--log-level", "info"]);
    command.env("PULPO_QUEUE", queue).env("PULPO_UNKNOWN_TYPE_GRACE", "0s").env("PULPO_SLEEP_DURATION", "1s");
    command
}

/// Checks that no message is left that could start now.
fn settled(queue: &dyn QueueAdapter) -> bool {
    queue.stats().is_ok_and(|stats| stats.counts.iter().all(|stats| stats.ready == 0 && stats.reserved == 0))
}

/// Returns the peak memory of the process so far, in MB.
fn peak_memory(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a process of ours");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    peak.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

fn assert_honest(log: &str) {
    for line in log.lines() {
        let ours = match serde_json::from_str::<serde_json::Value>(line) {
            Ok(line) => line["timestamp"].is_string() && line["level"].is_string(),
            Err(_) => {
                line.starts_with("20")
                    && ["INFO", "WARN", "ERROR"].contains(&line[28..].split_whitespace().next().unwrap_or_default())
            }
        };
        assert!(ours, "a line that is not ours: {line:?}");
        let forged = line.chars().find(|c| c.is_control() || "\u{2028}\u{2029}\u{202e}".contains(*c));
        assert_eq!(forged, None, "{line:?}");
    }
}

/// Sends all hostile messages to a worker.
fn survive(mut target: impl Target, address: &str) {
    let count = 4000;
    target.put(&messages(count));
    let worker = target.place().start(victim(&target, address));
    until("all are settled", || settled(target.queue()));
    let before = peak_memory(worker.id());
    for giant in giants(10_000_000) {
        target.put(&[giant]);
        until("the giant is settled", || settled(target.queue()));
    }
    let after = peak_memory(worker.id());
    // Each of the two lanes may hold one of 10 MB, and some copies of parts.
    assert!(before < 100 && after < before + 250, "{before} MB, and {after} MB with giants");

    let left = target.queue().list(&Filter::all()).expect("a list");
    assert!(left.len() > count / 2, "{}", left.len());
    for message in &left {
        match message.state {
            MessageState::Buried => {
                let reason = message.last_error.as_deref().unwrap_or_default();
                assert!(!reason.is_empty() && reason.len() < 5000, "{}: {reason:?}", text(message));
            }
            MessageState::Delayed => {
                let read = Message::<serde::de::IgnoredAny>::from_json(&message.text).expect("a message");
                assert!(read.headers().delay().is_some_and(|at| at > chrono::Utc::now()), "{}", text(message));
            }
            other => panic!("{other}: {}", text(message)),
        }
    }

    // The worker still works as before.
    target.put(&[br#"{"header":{"request_type":"text"},"body":{"payload":"good"}}"#.to_vec()]);
    until("a good one is done", || settled(target.queue()));
    assert_eq!(target.queue().list(&Filter::all()).expect("a list").len(), left.len());
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
    assert_honest(&target.place().log());
}

/// Line ends, cursor movements, text direction changes.
const NASTY: &str = r"\u0000\r\n2026-11-23T09:00:00.000000Z  INFO done id=\u001b[2J\u001b]0;x\u0007\u0085\u2028\u2029\u202e\u009b31m\u007f";

/// Views hostile messages in each way that is open to a person.
fn look(target: &mut dyn Target, address: &str, format: &str) {
    let payload = |request_type: &str| {
        format!(
            r#"{{"id":"{NASTY}","header":{{"request_type":"{request_type}","{NASTY}":"{NASTY}"}},"body":{{"payload":"{NASTY}"}}}}"#
        )
    };
    let delayed = format!(r#"{{"header":{{"request_type":"text","delay":"{NASTY}"}},"body":{{}}}}"#);
    let raw: String = serde_json::from_str(&format!("\"{NASTY}\"")).expect("a text");
    let all = [payload("fail"), payload("panic"), payload("text"), payload(NASTY), delayed, raw];
    target.put(&all.map(String::into_bytes));
    // With each log format.
    let mut command = victim(target, address);
    command.env("PULPO_LOG_FORMAT", format);
    let worker = target.place().start(command);
    until("all are settled", || settled(target.queue()));
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
    assert_honest(&target.place().log());
    assert_eq!(target.place().log().matches("buried: look").count(), 5, "{}", target.place().log());

    let run = |arguments: &[&str]| {
        let said = target.place().command(VICTIM, arguments).env("PULPO_QUEUE", address).output().expect("started");
        let out = String::from_utf8(said.stdout).expect("a text") + &String::from_utf8(said.stderr).expect("a text");
        let bad = |c: &char| (c.is_control() && *c != '\n') || "\u{2028}\u{2029}\u{202e}".contains(*c);
        assert_eq!(out.chars().find(bad), None, "{arguments:?}: {out:?}");
        assert!(!out.contains("\n2026-11-23T09:00:00.0000"), "{arguments:?}: {out}");
        out
    };
    assert_eq!(run(&["list"]).lines().count(), 6);
    let list: serde_json::Value = serde_json::from_str(&run(&["list", "--json"])).expect("JSON");
    let ids: Vec<_> =
        list.as_array().expect("a list").iter().map(|message| message["id"].as_str().expect("an id")).collect();
    assert_eq!(ids.len(), 5);
    for id in &ids {
        assert!(run(&["peek", id]).contains("last error"));
        let peeked: serde_json::Value = serde_json::from_str(&run(&["peek", id, "--json"])).expect("JSON");
        assert_eq!(peeked["state"], "buried");
    }
    run(&["stats"]);
    run(&["stats", "--json"]);
    let raw: String = serde_json::from_str(&format!("\"{}\"", NASTY.replace(r"\u0000", ""))).expect("a text");
    for arguments in [["peek", &raw], ["delete", &raw], ["kick", &raw], ["publish", &raw]] {
        run(&arguments);
    }
    run(&["list", "--type", &raw, "--queue", &raw]);
}

#[test]
fn nothing_in_a_message_forges_a_line_on_the_embedded_queue() {
    let mut target = Embedded::new();
    let hostile: String = serde_json::from_str(&format!("\"{NASTY}\"")).expect("a text");
    let mut other = NewMessage::new(hostile.clone(), hostile, "{}");
    other.delay = Some(chrono::Utc::now() + chrono::TimeDelta::days(1));
    let id = target.queue.enqueue(vec![other]).expect("put").remove(0).id;
    let stats = target.place.run(VICTIM, &["stats"]);
    assert_eq!(stats.out.chars().find(|c| c.is_control() && *c != '\n'), None, "{}", stats.out);
    assert_eq!(target.queue.delete(&Filter::all().id(id)).expect("deleted"), 1);
    look(&mut target, "file:pulpo-data", "plain");
}

#[test]
fn nothing_in_a_message_forges_a_line_on_beanstalkd() {
    let mut target = Server::new();
    let address = format!("beanstalkd://127.0.0.1:{}", target.server.port());
    look(&mut target, &address, "json");
}

fn text(message: &StoredMessage) -> String {
    let text = String::from_utf8_lossy(&message.text);
    text.chars().take(500).collect()
}

#[test]
fn hostile_messages_on_the_embedded_queue() {
    survive(Embedded::new(), "file:pulpo-data");
}

#[test]
fn hostile_messages_on_beanstalkd() {
    let target = Server::new();
    let address = format!("beanstalkd://127.0.0.1:{}", target.server.port());
    survive(target, &address);
}
