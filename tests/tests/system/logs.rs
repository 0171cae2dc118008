//! The log of a worker: each line identifies its job, and no line contains a body.

use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::until;
use serde_json::Value;

const WORKER: &str = env!("CARGO_BIN_EXE_operator_worker");

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Works until nothing is left. Returns the log.
#[track_caller]
fn drain(place: &Sandbox, arguments: &[&str]) -> String {
    let idle = ["--set", "sleep_duration=100ms", "--set", "shutdown_after_number_of_empty_iterations=2"];
    let arguments: Vec<_> = ["work"].iter().chain(arguments).chain(&idle).copied().collect();
    let said = place.run(WORKER, &arguments);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(said.out, "");
    said.err
}

#[track_caller]
fn publish(place: &Sandbox, request_type: &str, body: &str) {
    let said = place.run(WORKER, &["publish", request_type, "--body", body]);
    assert_eq!(said.code, 0, "{}", said.err);
}

fn json_lines(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"))).collect()
}

#[track_caller]
fn line<'a>(lines: &'a [Value], message: &str) -> &'a Value {
    let found = lines.iter().find(|line| line["message"].as_str().is_some_and(|text| text.starts_with(message)));
    found.unwrap_or_else(|| panic!("no {message:?} in {lines:#?}"))
}

#[test]
fn lines_of_a_handler_carry_its_job_in_json() {
    let place = Sandbox::new();
    publish(&place, "talk", "\"hello\"");
    let lines = json_lines(&drain(&place, &["--log-format", "json", "--queues", "pulpo"]));
    let talking = line(&lines, "talking");
    assert_eq!(talking["level"], "WARN");
    assert_eq!(talking["length"], 5);
    let span = &talking["span"];
    assert_eq!((&span["name"], &span["id"], &span["request_type"]), (&"job".into(), &"1".into(), &"talk".into()));
    assert_eq!((&span["queue"], &span["attempt"]), (&"pulpo".into(), &1.into()));
    let done = line(&lines, "done");
    assert_eq!((&done["id"], &done["request_type"], &done["queue"]), (&"1".into(), &"talk".into(), &"pulpo".into()));
    assert!(done["took"].is_string() && done["timestamp"].is_string(), "{done}");
}

#[test]
fn lines_of_a_handler_carry_its_job_at_every_level_and_without_colours_in_a_file() {
    let place = Sandbox::new();
    publish(&place, "talk", "\"hello\"");
    let log = drain(&place, &["--log-level", "warn", "--queues", "pulpo"]);
    let expected = r#"job{id="1" request_type="talk" queue="pulpo" attempt=1}: talking length=5"#;
    assert!(log.contains(expected) && !log.contains("done") && !log.contains('\u{1b}'), "{log}");
}

#[test]
fn pretty_lines_are_in_colours_wherever_they_go() {
    let place = Sandbox::new();
    publish(&place, "talk", "\"hello\"");
    assert!(drain(&place, &["--log-format", "pretty"]).contains("\u{1b}["));
}

#[test]
fn the_level_is_that_of_the_flag_or_else_of_the_environment() {
    let place = Sandbox::new();
    let idle = ["work", "--set", "sleep_duration=10ms", "--set", "shutdown_after_number_of_empty_iterations=1"];
    let with = |variable: &str, more: &[&str]| {
        let arguments: Vec<_> = idle.iter().chain(more).copied().collect();
        let said = place.command(WORKER, &arguments).env("RUST_LOG", variable).output().expect("started");
        String::from_utf8_lossy(&said.stderr).contains("the worker starts")
    };
    assert!(with("info", &[]));
    assert!(!with("warn", &[]));
    assert!(with("warn", &["--log-level", "info"]));
}

#[test]
fn a_trace_goes_from_the_message_to_the_log_and_to_what_follows() {
    for place in [Sandbox::new(), Sandbox::with_beanstalkd()] {
        let message = format!(
            r#"{{"header": {{"request_type": "talk", "traceparent": "{TRACE}"}}, "body": {{"payload": "hello"}}}}"#
        );
        put(&place, &message);
        publish(&place, "note", "\"alone\"");
        let lines = json_lines(&drain(&place, &["--log-format", "json"]));
        assert_eq!(line(&lines, "talking")["span"]["traceparent"], TRACE);
        let record = place.record();
        assert!(record.contains(&format!("hello {TRACE}\n")) && record.contains("alone none\n"), "{record}");
    }
}

/// Writes a message into the queue unchanged.
fn put(place: &Sandbox, text: &str) {
    use pulpo::queue::{NewMessage, QueueAdapter};
    let clock = std::sync::Arc::new(pulpo::clock::SystemClock::new());
    let queue: Box<dyn QueueAdapter> = if place.has_server() {
        let (host, port) =
            place.server_address().split_once(':').map(|(h, p)| (h.to_owned(), p.to_owned())).expect("a port");
        let options = pulpo::queue::beanstalkd::BeanstalkdOptions::new(&host).port(port.parse().expect("a number"));
        Box::new(pulpo::queue::beanstalkd::BeanstalkdQueue::new(options, clock))
    } else {
        Box::new(pulpo::queue::file::FileQueue::open(&place.path("pulpo-data"), false, clock).expect("a queue"))
    };
    queue.enqueue(vec![NewMessage::new("pulpo", "talk", text)]).expect("published");
}

#[test]
fn no_body_is_logged_not_even_in_the_error_of_one_that_does_not_fit() {
    const SECRET: &str = "4111-1111-1111-1111";
    for place in [Sandbox::new(), Sandbox::with_beanstalkd()] {
        for body in [
            // An error from serde that quotes the value.
            format!(r#"{{"header": {{"request_type": "pay"}}, "body": {{"card": "{SECRET}"}}}}"#),
            format!(r#"{{"header": {{"request_type": "pay"}}, "body": "{SECRET}"}}"#),
            // Invalid JSON that contains a body.
            format!(r#"{{"header": {{"request_type": "pay"}}, "body": {{"card": "{SECRET}" "#),
            format!("{SECRET} is not JSON"),
            // A handler that fails, one that succeeds, and an unknown one.
            format!(r#"{{"header": {{"request_type": "pay"}}, "body": {{"card": 0, "name": "{SECRET}"}}}}"#),
            format!(r#"{{"header": {{"request_type": "pay"}}, "body": {{"card": 1, "name": "{SECRET}"}}}}"#),
            format!(r#"{{"header": {{"request_type": "unheard"}}, "body": {{"card": "{SECRET}"}}}}"#),
        ] {
            put(&place, &body);
        }
        let log = drain(&place, &["--log-level", "trace", "--set", "unknown_type_grace=0", "--queues", "pulpo"]);
        assert!(!log.contains(SECRET) && !log.contains("4111"), "{log}");
        assert_eq!(log.matches("buried").count(), 6 + 1, "six of them, and the summary:\n{log}");
        // Enough to find the message, and to see the cause.
        let expected =
            "reason=\"body.card: does not fit the type of its handler, at line 1 column 30; `peek` tells why\"";
        assert!(log.contains("id=\"1\" request_type=\"pay\" attempt=1 queue=\"pulpo\""), "{log}");
        assert!(log.contains(expected), "{log}");
        let peeked = place.run(WORKER, &["peek", "1"]);
        assert!(
            peeked.out.contains(&format!("body.card: invalid type: string \"{SECRET}\", expected u64")),
            "{}",
            peeked.out
        );
    }
}

#[test]
fn buffered_lines_are_written_out_at_the_end_whatever_end_it_is() {
    let place = Sandbox::new();
    let said = place.run(WORKER, &["publish", "note", "--body", "\"hello\"", "--count", "300"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let log = drain(&place, &["--set", "enable_output_buffering=true"]);
    assert_eq!(log.matches(" done id=").count(), 300, "{log}");
    assert!(log.trim_end().lines().last().is_some_and(|line| line.contains("the worker has stopped")), "{log}");
    // A worker that ends with an error, after other lines.
    std::fs::write(place.path("notes.toml"), "enable_output_buffering = true\nlog_format = \"json\"\n")
        .expect("written");
    let arguments = [
        "work",
        "--config",
        "notes.toml",
        "--queues",
        "two words",
        "--set",
        "queue=beanstalkd://127.0.0.1:1",
        "--log-level",
        "trace",
    ];
    let said = place.run(WORKER, &arguments);
    assert_eq!(said.code, 1, "{}", said.err);
    let lines: Vec<_> = said.err.lines().collect();
    assert!(lines.last().is_some_and(|line| line.starts_with("error: ")), "{}", said.err);
}

#[test]
fn the_banner_shows_on_a_terminal_or_when_it_is_asked_for() {
    let place = Sandbox::new();
    let log = drain(&place, &[]);
    assert!(!log.contains("|_"), "{log}");
    let log =
        drain(&place, &["--set", "enable_banner=true", "--set", "banner_name=shop", "--set", "banner_font=slant"]);
    assert!(log.starts_with("         __"), "{log}");
    assert!(log.contains("operator_worker") || log.contains("pulpo-tests"), "{log}");
    let on_terminal =
        format!("{WORKER} work --set sleep_duration=10ms --set shutdown_after_number_of_empty_iterations=1");
    for (setting, shown) in [("", true), (" --set enable_banner=false", false)] {
        let output = place
            .command("script", &["--quiet", "--return", "--command", &format!("{on_terminal}{setting}"), "/dev/null"])
            .stdin(std::process::Stdio::null())
            .output()
            .expect("script is there");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        assert_eq!(text.contains(r"| |_"), shown, "{text}");
        assert!(text.contains("\u{1b}["), "colours: {text}");
    }
}

/// The program with a handler that snoozes.
const SNOOZING: &str = env!("CARGO_BIN_EXE_long_lease_worker");

#[test]
fn a_snooze_is_not_a_warning_and_only_a_run_has_a_duration() {
    let place = Sandbox::new();
    let said = place.run(SNOOZING, &["publish", "snooze", "--body", "{}"]);
    assert_eq!(said.code, 0, "{}", said.err);
    publish(&place, "talk", "\"for another program\"");
    let worker = place.start_with_log(place.command(SNOOZING, &["work", "--log-format", "json"]), "log");
    let says = |what: &str| place.log_named("log").contains(what);
    until("one is snoozed, and one is left to others", || says("snoozed") && says("put back"));
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
    let lines = json_lines(&place.log_named("log"));
    let snoozed = line(&lines, "snoozed");
    assert_eq!((&snoozed["level"], &snoozed["request_type"]), (&"INFO".into(), &"snooze".into()));
    assert!(snoozed["took"].is_string() && snoozed["again_in"].is_string(), "{snoozed}");
    let put_back = line(&lines, "put back");
    assert_eq!((&put_back["level"], &put_back["request_type"]), (&"WARN".into(), &"talk".into()));
    assert_eq!(put_back.get("took"), None, "{put_back}");
}
