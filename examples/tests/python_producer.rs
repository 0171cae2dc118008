//! Runs the Python producers and the worker for their jobs.

use std::path::Path;

use pulpo_tests::program::{CommandOutput, Sandbox};
use pulpo_tests::python::interpreter;

const WORKER: &str = env!("CARGO_BIN_EXE_python_producer");

/// Works until no job is ready any more.
fn drain(place: &Sandbox) -> CommandOutput {
    place.run(WORKER, &["--set", "sleep_duration=2s", "--set", "shutdown_after_number_of_empty_iterations=1"])
}

fn python(place: &Sandbox, arguments: &[&str]) -> CommandOutput {
    let said = place.run(interpreter().to_str().expect("a path"), arguments);
    assert_eq!(said.code, 0, "{}", said.err);
    said
}

fn lines(said: &CommandOutput) -> Vec<&str> {
    let mut lines: Vec<_> = said.out.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn jobs_from_python_reach_typed_handlers() {
    let place = Sandbox::with_beanstalkd();
    let producer = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/producer.py");
    let said = python(&place, &[producer.to_str().expect("a path"), &place.server_address()]);
    assert_eq!(said.out, "published 4 jobs\n");
    let said = drain(&place);
    assert_eq!(lines(&said), ["a second later", "a text alone", "to ada@example.com: Grüße aus 🐍"]);
    // The log does not show the content of a body.
    assert!(said.err.contains("body.to: does not fit the type of its handler"), "{}", said.err);
}

#[test]
fn messages_of_the_original_implementation_reach_typed_handlers() {
    let place = Sandbox::with_beanstalkd();
    let messages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pulpo/src/model/message/python.jsonl");
    let put = "
import json, sys, greenstalk
host, port = sys.argv[1].rsplit(':', 1)
with greenstalk.Client((host, int(port)), use='pulpo') as queue:
    for line in open(sys.argv[2]):
        queue.put(json.loads(line))
";
    python(&place, &["-c", put, &place.server_address(), messages.to_str().expect("a path")]);
    let said = drain(&place);
    assert_eq!(lines(&said), ["hello world", "to someone@example.com: hello", "to é 世界 🐙: ", "x"]);
    // One job is due in 2030, and one has no request type.
    assert!(said.err.contains("its delay is not over"), "{}", said.err);
    assert!(said.err.contains("expected the name of a job in header.request_type, got none"), "{}", said.err);
    let left = place.run(WORKER, &["list"]).out;
    assert!(left.contains(" 5   delayed  echo ") && left.contains(" 6   buried "), "{left}");
}

#[test]
fn an_order_from_python_and_its_job_are_both_there_or_neither() {
    let place = Sandbox::with_postgres();
    let made = place.run(WORKER, &["migrate"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let (url, schema) = place.database();
    let orders = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/orders.py");
    let said = python(&place, &[orders.to_str().expect("a path"), url, schema]);
    assert_eq!(said.out, "placed order 1\nrefused: only 100 are in stock\nplaced order 3\n");
    assert_eq!(
        place.ask_database("SELECT string_agg(customer, ' ' ORDER BY id) FROM orders").trim(),
        "ada@example.com eve@example.com"
    );
    let said = drain(&place);
    assert_eq!(lines(&said), ["to ada@example.com: your order 1", "to eve@example.com: your order 3"]);
}
