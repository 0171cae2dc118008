//! Runs the conformance suite on the adapter of the example, and the example itself.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use pulpo::clock::{Clock as _, ManualClock};
use pulpo::queue::QueueAdapter;
use pulpo::queue::conformance::Harness;
use pulpo_examples::line::Line;
use pulpo_examples::orders::Status;
use pulpo_tests::program::{CommandOutput, Sandbox};
use serde_json::{Value, json};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_queue_adapter");

/// The test bench that the suite needs: an empty queue, and a way to let time pass.
struct Test {
    queue: Line,
    clock: ManualClock,
    _folder: Option<TempDir>,
}

impl Test {
    fn in_memory() -> Self {
        let clock = ManualClock::at(Utc::now());
        Self { queue: Line::new(Arc::new(clock.clone())), clock, _folder: None }
    }

    fn in_a_file() -> Self {
        let (clock, folder) = (ManualClock::at(Utc::now()), tempfile::tempdir().expect("a folder"));
        let (file, interval) = (folder.path().join("line.json"), Duration::from_millis(10));
        let queue = Line::in_file(&file, false, interval, Arc::new(clock.clone()));
        Self { queue, clock, _folder: Some(folder) }
    }
}

impl Harness for Test {
    fn queue(&self) -> &dyn QueueAdapter {
        &self.queue
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }
}

// One test for each case of the suite.
mod in_memory {
    pulpo::queue_conformance!(super::Test::in_memory());
}

#[test]
fn a_file_keeps_them_as_the_memory_does() {
    for (name, case) in pulpo::queue::conformance::CASES {
        // The adapter writes the whole file for each of a thousand messages.
        if *name != "a_batch_keeps_its_order_and_has_an_id_each" {
            case(&Test::in_a_file());
        }
    }
}

#[test]
fn a_worker_works_on_it() {
    let said = Sandbox::new().run(PROGRAM, &[]);
    assert_eq!(said.code, 0, "{}", said.err);
    let (orders, _) = pulpo_examples::orders::read().expect("orders");
    let unpaid = orders.iter().filter(|o| o.status == Status::Unpaid).count();
    let many = orders.iter().filter(|o| o.quantity > 10 && o.status == Status::Paid).count();
    assert!(said.out.contains(&format!("queued     {} in \"pulpo\"\n", orders.len())), "{}", said.out);
    let packed = format!("packed     {} orders, {many} of them at the second attempt\n", orders.len() - unpaid);
    assert!(said.out.contains(&packed), "{}", said.out);
    assert!(said.out.ends_with(&format!("kept       {unpaid} for a person\n")), "{}", said.out);
}

/// Runs a command of the program on the queue that the environment names.
fn run(place: &Sandbox, arguments: &[&str]) -> CommandOutput {
    place.to_end(place.command(PROGRAM, arguments).env("PULPO_QUEUE", "line:queue.json"))
}

fn well(place: &Sandbox, arguments: &[&str]) -> String {
    let output = run(place, arguments);
    assert_eq!(output.code, 0, "{arguments:?}: {} {}", output.out, output.err);
    output.out
}

fn as_json(place: &Sandbox, arguments: &[&str]) -> Value {
    let text = well(place, &[arguments, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

fn refused(place: &Sandbox, arguments: &[&str]) -> String {
    let output = run(place, arguments);
    assert_eq!(output.code, 1, "{arguments:?}: {}", output.out);
    output.err
}

/// Publishes one paid order and one unpaid order.
fn publish(place: &Sandbox) {
    let (orders, _) = pulpo_examples::orders::read().expect("orders");
    for status in [Status::Paid, Status::Unpaid] {
        let order = orders.iter().find(|order| order.status == status && order.quantity < 10).expect("one");
        let body = serde_json::to_string(order).expect("JSON");
        let published = as_json(place, &["publish", "pack", "--body", &body]);
        assert_eq!(published["ids"].as_array().map(Vec::len), Some(1));
    }
}

const UNTIL_IDLE: &[&str] =
    &["work", "--set", "sleep_duration=10ms", "--set", "shutdown_after_number_of_empty_iterations=1"];

#[test]
fn every_command_works_on_it() {
    let place = Sandbox::new();
    let nothing = refused(&place, &["list"]);
    assert!(nothing.contains("there is no queue at") && nothing.contains("queue.json"), "{nothing}");
    publish(&place);
    assert_eq!(as_json(&place, &["list"]).as_array().map(Vec::len), Some(2));
    assert!(well(&place, &["list"]).contains("pack"));
    assert_eq!(as_json(&place, &["stats"])["counts"][0]["ready"], 2);
    well(&place, UNTIL_IDLE);
    let buried = as_json(&place, &["list", "--state", "buried"]);
    assert_eq!((buried.as_array().map(Vec::len), &buried[0]["id"]), (Some(1), &json!("2")));
    assert!(well(&place, &["peek", "2"]).contains("buried"));
    assert_eq!(as_json(&place, &["peek", "2"])["state"], "buried");
    assert_eq!(as_json(&place, &["kick", "2"])["kicked"], 1);
    assert_eq!(as_json(&place, &["stats"])["counts"][0]["ready"], 1);
    assert_eq!(as_json(&place, &["delete", "2"])["deleted"], 1);
    assert_eq!(as_json(&place, &["list"]), json!([]));
    publish(&place);
    assert!(well(&place, &["purge", "pulpo", "--yes"]).contains('2'));
    assert_eq!(as_json(&place, &["check"])["ok"], true);
    assert_eq!(as_json(&place, &["handlers"])[0]["request_type"], "pack");
    // The adapter refuses unsupported operations with an explanation.
    let paused = refused(&place, &["pause", "pulpo"]);
    assert!(paused.contains("this queue cannot be paused"), "{paused}");
    let resumed = refused(&place, &["resume", "pulpo"]);
    assert!(resumed.contains("this queue cannot be paused"), "{resumed}");
    let backup = refused(&place, &["backup", "copy"]);
    assert!(backup.contains("this queue cannot be copied into a file"), "{backup}");
}

/// How each command ends on a queue with a buried message, 2, and a ready one, 3: its code, and a part of what it says.
const COMMANDS: &[(&str, &[&str], i32, &str)] = &[
    ("work", UNTIL_IDLE.split_at(1).1, 0, "done=1"),
    ("publish", &["pack", "--body", "{}"], 1, "missing field"),
    ("list", &[], 0, "buried"),
    ("peek", &["2"], 0, "buried"),
    ("delete", &["3"], 0, "deleted 3"),
    ("cancel", &["3"], 1, "this queue cannot cancel messages: `delete`"),
    ("kick", &["2"], 0, "kicked 2"),
    ("purge", &["pulpo", "--yes"], 0, "deleted 2"),
    ("edit", &["3", "--priority", "1"], 1, "this queue cannot change a waiting message: `delete`"),
    ("pause", &["pulpo"], 1, "this queue cannot be paused"),
    ("resume", &["pulpo"], 1, "this queue cannot be paused"),
    ("schedule", &[], 1, "this queue cannot keep schedules"),
    ("workers", &[], 1, "this queue cannot list its workers"),
    ("stats", &[], 0, "this queue does not count by request type"),
    ("watch", &[], 1, "this queue cannot say which jobs run"),
    ("relay", &[], 2, "no outbox is configured"),
    ("outbox", &[], 0, "no outbox is configured"),
    ("dashboard", &["--listen", "nowhere"], 2, "nowhere"),
    ("move", &["--to", "line:other.json"], 1, "this queue cannot keep a message buried"),
    ("backup", &["copy"], 1, "this queue cannot be copied into a file"),
    ("migrate", &[], 1, "this queue cannot be migrated by a command"),
    ("handlers", &[], 0, "pack"),
    ("check", &["--queue"], 0, "decoded 1 message"),
    ("config", &[], 0, "line_queue_adapter"),
    ("spool", &[], 1, "there is no spool"),
    ("completions", &["bash"], 0, "complete"),
    ("help", &["stats"], 0, "Usage"),
];

#[test]
fn each_command_works_on_it_or_says_why_not() {
    let help = well(&Sandbox::new(), &["--help"]);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // Longer descriptions go on in lines that are indented further.
    let listed = listed.filter_map(|line| line.strip_prefix("  ")?.split_once(' ').map(|(name, _)| name));
    let listed: Vec<_> = listed.filter(|name| !name.is_empty()).collect();
    assert_eq!(listed, COMMANDS.iter().map(|(command, ..)| *command).collect::<Vec<_>>());
    for (command, arguments, code, expected) in COMMANDS {
        let place = Sandbox::new();
        publish(&place);
        well(&place, UNTIL_IDLE);
        publish(&place);
        assert_eq!(as_json(&place, &["delete", "4"])["deleted"], 1);
        let output = run(&place, &[&[*command] as &[&str], arguments].concat());
        let said = output.out + &output.err;
        assert!(output.code == *code && said.contains(expected), "{command} {}: {said}", output.code);
    }
}

/// Returns the value of a configuration key, and its source.
fn setting(place: &Sandbox, key: &str) -> (String, String) {
    let settings = as_json(place, &["config"]);
    let setting = settings.as_array().expect("settings").iter().find(|it| it["key"] == key).expect("the key");
    (setting["value"].as_str().expect("a text").to_owned(), setting["from"].as_str().expect("a text").to_owned())
}

#[test]
fn its_keys_are_those_of_the_configuration() {
    let place = Sandbox::new();
    let text = "[line_queue_adapter]\nfile = \"unused.json\"\nlook_interval = \"1s\"\n";
    std::fs::write(place.path("pulpo.toml"), text).expect("written");
    let file = std::fs::canonicalize(place.folder()).expect("a folder").join("queue.json");
    let (file, from) = (file.display().to_string(), "environment".to_owned());
    assert_eq!(setting(&place, "queue"), (format!("line:{file}"), from.clone()));
    assert_eq!(setting(&place, "queue_adapter_type"), ("line_queue_adapter".to_owned(), from.clone()));
    assert_eq!(setting(&place, "line_queue_adapter.file"), (file, from));
    assert_eq!(setting(&place, "line_queue_adapter.look_interval"), ("1s".to_owned(), "file".to_owned()));
    assert_eq!(setting(&place, "line_queue_adapter.sync"), ("true".to_owned(), "default".to_owned()));
    let table = well(&place, &["config"]);
    assert!(table.contains("line_queue_adapter.look_interval") && table.contains("pulpo.toml:3"), "{table}");

    // Only by the table and its variable.
    let mut command = place.command(PROGRAM, &["config", "--json"]);
    command.env("PULPO_QUEUE_ADAPTER_TYPE", "LineQueueAdapter").env("PULPO_LINE_QUEUE_ADAPTER__SYNC", "false");
    let output = place.to_end(&mut command);
    assert!(output.out.contains("unused.json") && output.err.is_empty(), "{}{}", output.out, output.err);
}

#[test]
fn a_mistake_in_its_keys_is_refused_with_its_place() {
    let place = Sandbox::new();
    for (arguments, expected) in [
        (
            ["stats", "--set", "line_queue_adapter.look_intervall=1s"],
            "unknown configuration key `line_queue_adapter.look_intervall`; \
             did you mean `line_queue_adapter.look_interval`?",
        ),
        (
            ["stats", "--set", "line_queue_adapter.look_interval=1ms"],
            "the command line: expected `line_queue_adapter.look_interval` to be a duration from 10ms to 1m",
        ),
        (["list", "--set", "line_queue_adapter.sync=maybe"], "to be true or false, got \"maybe\""),
        (
            ["list", "--set", "queue=line:"],
            // The other linked adapters depend on the features of the build.
            " or line:FILE, got \"line:\": expected a file after `line:`",
        ),
        (
            ["list", "--set", "queue=lime:x"],
            "got \"lime:x\": no adapter in this program registers the scheme `lime:`; did you mean `line:`?",
        ),
        (["list", "--set", "queue_adapter_type=lines"], " or line_queue_adapter, got \"lines\""),
    ] {
        let error = refused(&place, &arguments);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    // A misspelt variable causes a warning.
    let mut command = place.command(PROGRAM, &["config"]);
    let output = place.to_end(command.env("PULPO_LINE_QUEUE_ADAPTER__SYNK", "false"));
    assert!(output.err.contains("did you mean PULPO_LINE_QUEUE_ADAPTER__SYNC?"), "{}", output.err);
}
