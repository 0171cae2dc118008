//! Workers that are stopped while busy, and two versions at the same time.

use std::time::{Duration, Instant};

use pulpo_tests::program::{Running, Sandbox};
use pulpo_tests::wait::{until, within};
use serde_json::Value;

on_each_queue! {
    a_stop_ends_what_it_can_and_gives_the_rest_back_uncounted
    a_batch_is_ended_or_goes_back_as_a_whole
    a_second_signal_does_not_wait_for_the_grace
    an_older_worker_buries_nothing_that_a_newer_one_can_do
    a_newer_worker_may_come_later
    a_body_that_another_version_wrote_waits_for_a_worker_that_can_read_it
    a_body_that_no_version_reads_is_buried_when_the_grace_is_over
}

const PERILS: &str = env!("CARGO_BIN_EXE_crashing_worker");
const OLDER: &str = env!("CARGO_BIN_EXE_old_version_worker");

/// The forms of handlers in these tests: plain, async, batch.
const SHAPES: [&str; 3] = ["held", "held_async", "held_batch"];

fn worker(place: &Sandbox, program: &str, lanes: &str, grace: &str) -> Running {
    let mut command = place.command(program, &["work", "--concurrency", lanes]);
    command.env("PULPO_SHUTDOWN_GRACE", grace);
    place.start(command)
}

fn publish(place: &Sandbox, request_type: &str, name: &str) {
    let body = format!(r#"{{"name": "{name}", "then": "ok"}}"#);
    let said = place.run(PERILS, &["publish", request_type, "--body", &body]);
    assert_eq!(said.code, 0, "{}", said.err);
}

fn release(place: &Sandbox, name: &str) {
    std::fs::write(place.path(&format!("{name}.1")), "").expect("written");
}

fn recorded(place: &Sandbox, what: &str) -> bool {
    place.record().lines().any(|line| line == what)
}

/// Returns the messages, by the names in their bodies.
fn listed(place: &Sandbox) -> Vec<(String, String, u64)> {
    let said = place.run(PERILS, &["list", "--json"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let all: Vec<Value> = serde_json::from_str(&said.out).expect("JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = |message: &Value| text(&message["message"]["body"]["name"]);
    let mut listed: Vec<_> = all
        .iter()
        .map(|message| (name(message), text(&message["state"]), message["attempts"].as_u64().unwrap_or(u64::MAX)))
        .collect();
    listed.sort_unstable();
    listed
}

/// Starts a worker that is busy with two jobs of each form, whose names end in `short` and `long`,
/// and that has at least one idle lane.
fn busy(place: &Sandbox, grace: &str) -> Running {
    let worker = worker(place, PERILS, "9", grace);
    for shape in SHAPES {
        for length in ["short", "long"] {
            let name = format!("{shape}-{length}");
            publish(place, shape, &name);
            until("it runs", || recorded(place, &format!("{name} begun 1")));
        }
    }
    worker
}

fn a_stop_ends_what_it_can_and_gives_the_rest_back_uncounted(place: &Sandbox) {
    let worker = busy(place, "6s");
    let stopped = Instant::now();
    worker.signal("TERM");
    until("it is heard", || place.log().contains("shutting down"));
    for shape in SHAPES {
        release(place, &format!("{shape}-short"));
    }
    until("the short ones are over", || SHAPES.iter().all(|shape| recorded(place, &format!("{shape}-short over 1"))));
    // No new job is taken, although there are idle lanes.
    publish(place, "held", "next");
    assert_eq!(worker.end(), 0);
    let took = stopped.elapsed();
    assert!(took >= Duration::from_secs(6) && took < Duration::from_secs(60), "a grace of 6s took {took:?}");
    // They are released at once, as if they had not begun.
    let ready = |name: &str| (name.to_owned(), "ready".to_owned(), 0);
    let left = ["held-long", "held_async-long", "held_batch-long", "next"].map(ready);
    assert_eq!(listed(place), left, "{}", place.log());
    assert!(!recorded(place, "next begun 1"), "{}", place.record());
    let log = place.log();
    // A server or a database may hand the last message to a lane that was waiting when the stop
    // came; it is returned unchanged.
    let put_back = log.matches("put back").count();
    let most = if place.is_on_a_server() || place.has_database() { 6 } else { 3 };
    assert!((3..=most).contains(&put_back), "{log}");

    // The next worker begins with the first attempt.
    let next = self::worker(place, PERILS, "9", "3s");
    for (name, ..) in &left {
        let begun = || place.record().lines().filter(|line| *line == format!("{name} begun 1")).count();
        let wanted = if name == "next" { 1 } else { 2 };
        until("it runs again", || begun() == wanted);
        release(place, name);
    }
    until("all are done", || listed(place).is_empty());
    next.signal("TERM");
    assert_eq!(next.end(), 0);
}

fn a_batch_is_ended_or_goes_back_as_a_whole(place: &Sandbox) {
    for name in ["a", "b"] {
        publish(place, "held_batch", name);
    }
    let begun = || recorded(place, "a begun 1") && recorded(place, "b begun 1");
    let worker = self::worker(place, PERILS, "1", "500ms");
    until("one call has both", begun);
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
    let back = |name: &str| (name.to_owned(), "ready".to_owned(), 0);
    assert_eq!(listed(place), ["a", "b"].map(back), "{}", place.log());

    std::fs::remove_file(place.path("record")).expect("removed");
    let worker = self::worker(place, PERILS, "1", "1h");
    until("one call has both again", begun);
    worker.signal("TERM");
    ["a", "b"].iter().for_each(|name| release(place, name));
    assert_eq!(worker.end(), 0);
    assert_eq!(listed(place), []);
}

fn a_second_signal_does_not_wait_for_the_grace(place: &Sandbox) {
    let worker = busy(place, "1h");
    worker.signal("TERM");
    until("it is heard", || place.log().contains("signal again to stop now"));
    let heard = Instant::now();
    until("a second one counts", || heard.elapsed() >= Duration::from_secs(1));
    let stopped = Instant::now();
    worker.signal("INT");
    assert_eq!(worker.end(), 0);
    assert!(stopped.elapsed() < Duration::from_secs(60), "{:?}", stopped.elapsed());
    let listed = listed(place);
    assert_eq!(listed.len(), 6);
    assert!(listed.iter().all(|(_, state, attempts)| state == "ready" && *attempts == 0), "{listed:?}");
}

fn older_puts_back(place: &Sandbox, times: usize) {
    until("the older worker has put it back", || {
        place.log().matches("no handler for the request type `held` in this worker").count() >= times
    });
}

fn an_older_worker_buries_nothing_that_a_newer_one_can_do(place: &Sandbox) {
    let older = worker(place, OLDER, "1", "3s");
    until("it works", || place.log().contains("the worker starts"));
    for number in 0..4 {
        publish(place, "held", &format!("new{number}"));
        for attempt in 1..=20 {
            std::fs::write(place.path(&format!("new{number}.{attempt}")), "").expect("written");
        }
    }
    older_puts_back(place, 4);
    // The first worker to look takes a due message, and the older one puts it back for longer each time.
    let newer = worker(place, PERILS, "8", "3s");
    assert!(within(Duration::from_secs(120), || listed(place).is_empty()), "{:?}", listed(place));
    for number in 0..4 {
        let over = format!("new{number} over ");
        assert_eq!(place.record().lines().filter(|line| line.starts_with(&over)).count(), 1, "{}", place.record());
    }
    assert!(!place.log().contains("buried"), "{}", place.log());
    for worker in [older, newer] {
        worker.signal("TERM");
        assert_eq!(worker.end(), 0);
    }
}

fn a_newer_worker_may_come_later(place: &Sandbox) {
    let older = worker(place, OLDER, "2", "3s");
    publish(place, "held", "late");
    // Each time after a longer wait.
    older_puts_back(place, 3);
    older.signal("TERM");
    assert_eq!(older.end(), 0);
    let waiting = listed(place);
    let put_back = place.log().matches("no handler for the request type `held` in this worker").count() as u64;
    let uncounted = if place.is_on_a_server() { 3..=put_back } else { 0..=0 };
    assert!(waiting.len() == 1 && waiting[0].1 != "buried" && uncounted.contains(&waiting[0].2), "{waiting:?}");
    (1..20).for_each(|attempt| std::fs::write(place.path(&format!("late.{attempt}")), "").expect("written"));
    let newer = worker(place, PERILS, "1", "3s");
    until("it is done", || recorded(place, &format!("late over {}", waiting[0].2 + 1)));
    until("it is gone", || listed(place).is_empty());
    newer.signal("TERM");
    assert_eq!(newer.end(), 0);
}

/// The two versions, each with a body that it writes.
const VERSIONS: [(&str, &str); 2] = [(PERILS, r#"{"customer_id": 7}"#), (OLDER, r#"{"customer": "ada"}"#)];

fn a_body_that_another_version_wrote_waits_for_a_worker_that_can_read_it(place: &Sandbox) {
    // Either version may start first; the other one publishes.
    for (publisher, other) in [(0, 1), (1, 0)] {
        let (writer, body) = VERSIONS[publisher];
        let waits = "another version of the program wrote it";
        let before = place.log().matches(waits).count();
        let worker = self::worker(place, VERSIONS[other].0, "2", "3s");
        for request_type in ["invoice", "invoice_in_batches"] {
            let said = place.run(writer, &["publish", request_type, "--body", body]);
            assert_eq!(said.code, 0, "{}", said.err);
        }
        until("both are put back", || place.log().matches(waits).count() >= before + 2);
        worker.signal("TERM");
        assert_eq!(worker.end(), 0);
        let waiting = listed(place);
        assert!(waiting.len() == 2 && waiting.iter().all(|(_, state, _)| state != "buried"), "{waiting:?}");
        assert!(place.is_on_a_server() || waiting.iter().all(|(.., attempts)| *attempts == 0), "{waiting:?}");

        let worker = self::worker(place, writer, "2", "3s");
        until("both are done", || listed(place).is_empty());
        worker.signal("TERM");
        assert_eq!(worker.end(), 0);
    }
    assert!(!place.log().contains("buried id="), "{}", place.log());
    assert_eq!(place.record().lines().filter(|line| *line == "invoice 7").count(), 2, "{}", place.record());
}

fn a_body_that_no_version_reads_is_buried_when_the_grace_is_over(place: &Sandbox) {
    let (writer, body) = VERSIONS[0];
    let said = place.run(writer, &["publish", "invoice", "--body", body]);
    assert_eq!(said.code, 0, "{}", said.err);
    let mut command = place.command(OLDER, &["work", "--concurrency", "1"]);
    command.env("PULPO_UNKNOWN_TYPE_GRACE", "2s");
    let older = place.start(command);
    until("it is buried", || listed(place).iter().any(|(_, state, _)| state == "buried"));
    older.signal("TERM");
    assert_eq!(older.end(), 0);
    // It has waited first, and the reason says both what does not fit and why it waited.
    let log = place.log();
    assert!(log.contains("put back"), "{log}");
    let said = place.run(OLDER, &["list", "--json"]);
    let all: Vec<Value> = serde_json::from_str(&said.out).expect("JSON");
    let reason = all[0]["last_error"].as_str().unwrap_or_default();
    assert!(reason.starts_with("body: missing field `customer`"), "{reason}");
    assert!(reason.ends_with("no worker that can read it came within 2s"), "{reason}");
}

/// The newer worker's only lane is busy for longer than the grace of the older one.
fn a_message_that_a_living_worker_has_a_handler_for_is_never_buried_by_an_older_one(place: &Sandbox) {
    let newer = worker(place, PERILS, "1", "3s");
    publish(place, "held", "first");
    until("it runs", || recorded(place, "first begun 1"));
    let mut older = place.command(OLDER, &["work", "--concurrency", "4"]);
    older.env("PULPO_UNKNOWN_TYPE_GRACE", "1s").env("PULPO_SHUTDOWN_GRACE", "3s");
    let older = place.start(older);
    for name in ["second", "third"] {
        publish(place, "held", name);
    }
    let began = Instant::now();
    older_puts_back(place, 1);
    let buried = || listed(place).iter().any(|(_, state, _)| state == "buried");
    assert!(!within(Duration::from_secs(4), buried), "{}", place.log());
    // It is left alone, and not taken again and again.
    let looks = place.log().matches("no handler for the request type `held`").count();
    let most = 8 + began.elapsed().as_secs();
    assert!(looks as u64 <= most, "{looks} looks, of {most} at most: {}", place.log());
    for name in ["first", "second", "third"] {
        release(place, name);
    }
    until("all are done", || listed(place).is_empty());
    for worker in [older, newer] {
        worker.signal("TERM");
        assert_eq!(worker.end(), 0);
    }
}

/// Both versions have a handler for the job, but only the newer one, whose only lane is busy, reads this body.
fn a_message_that_a_living_worker_can_read_is_never_buried_by_an_older_one(place: &Sandbox) {
    let newer = worker(place, PERILS, "1", "3s");
    publish(place, "held", "first");
    until("it runs", || recorded(place, "first begun 1"));
    until("it tells what it reads", || {
        let said = place.run(PERILS, &["workers", "--json"]);
        let all: Value = serde_json::from_str(&said.out).unwrap_or_default();
        all[0]["shapes"]["invoice"].is_string()
    });
    let mut older = place.command(OLDER, &["work", "--concurrency", "4"]);
    older.env("PULPO_UNKNOWN_TYPE_GRACE", "1s").env("PULPO_SHUTDOWN_GRACE", "3s");
    let older = place.start(older);
    let (writer, body) = VERSIONS[0];
    let said = place.run(writer, &["publish", "invoice", "--body", body]);
    assert_eq!(said.code, 0, "{}", said.err);
    let (began, waits) = (Instant::now(), "another version of the program wrote it");
    until("the older worker has put it back", || place.log().contains(waits));
    let buried = || listed(place).iter().any(|(_, state, _)| state == "buried");
    assert!(!within(Duration::from_secs(4), buried), "{}", place.log());
    // It is not looked at again and again.
    let looks = place.log().matches(waits).count();
    let most = 6 + began.elapsed().as_secs();
    assert!(looks as u64 <= most, "{looks} looks, of {most} at most: {}", place.log());
    // The deploy goes on, and the busy lane has time.
    older.signal("TERM");
    assert_eq!(older.end(), 0);
    release(place, "first");
    until("both are done", || listed(place).is_empty());
    assert!(recorded(place, "invoice 7"), "{}", place.record());
    newer.signal("TERM");
    assert_eq!(newer.end(), 0);
}

#[test]
fn a_message_that_a_worker_of_the_embedded_queue_can_read_waits_for_it() {
    a_message_that_a_living_worker_can_read_is_never_buried_by_an_older_one(&Sandbox::new());
}

#[test]
fn a_message_that_a_worker_of_postgresql_can_read_waits_for_it() {
    a_message_that_a_living_worker_can_read_is_never_buried_by_an_older_one(&Sandbox::with_postgres());
}

#[test]
fn a_message_that_a_worker_of_the_embedded_queue_has_a_handler_for_waits_for_it() {
    a_message_that_a_living_worker_has_a_handler_for_is_never_buried_by_an_older_one(&Sandbox::new());
}

#[test]
fn a_message_that_a_worker_of_postgresql_has_a_handler_for_waits_for_it() {
    a_message_that_a_living_worker_has_a_handler_for_is_never_buried_by_an_older_one(&Sandbox::with_postgres());
}
