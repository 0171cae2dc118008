//! A program that forks after it has used pulpo: through its default, from async code, and within a
//! handler. `../forks.rs` tests the embedded queue directly.

use std::collections::HashSet;

use pulpo_tests::beanstalkd::free_port;
use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::until;

const EMBEDDER: &str = env!("CARGO_BIN_EXE_embedder");
const WORKER: &str = env!("CARGO_BIN_EXE_worker");

/// Returns the lines that the processes recorded, each without its process id.
fn lines(place: &Sandbox) -> Vec<String> {
    place.record().lines().filter_map(|line| Some(line.split_once(' ')?.1.to_owned())).collect()
}

/// Returns the acknowledged publications of all processes.
fn acknowledged(place: &Sandbox) -> Vec<String> {
    lines(place).iter().filter_map(|line| Some(line.split_once(" published ")?.1.to_owned())).collect()
}

/// Checks that exactly the acknowledged publications are in the queue, once each.
#[track_caller]
fn nothing_is_lost(place: &Sandbox) {
    let said = place.run(WORKER, &["list", "--limit", "0", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    let there: Vec<_> = list.as_array().expect("a list").iter().map(|it| it["id"].as_str().expect("an id")).collect();
    let acknowledged = acknowledged(place);
    let of_each: HashSet<_> = acknowledged.iter().map(String::as_str).collect();
    assert_eq!(of_each.len(), acknowledged.len(), "no id twice: {acknowledged:?}");
    assert_eq!(there.iter().copied().collect::<HashSet<_>>(), of_each);
    assert_eq!(there.len(), acknowledged.len());
}

/// Checks that the embedded queue refused the child's publications, or that a server, to which the
/// child connects again, accepted them.
#[track_caller]
fn the_child_has_published(place: &Sandbox, count: usize) {
    let lines = lines(place);
    let of_child = |what: &str| lines.iter().filter(|line| line.starts_with(&format!("child {what} "))).count();
    let (published, refused) = if place.has_server() || place.has_database() { (count, 0) } else { (0, count) };
    assert_eq!((of_child("published"), of_child("was refused:"), of_child("failed:")), (published, refused, 0));
}

on_each_queue! {
    a_fork_and_its_parent_publish_beside_each_other
    a_fork_that_outlives_its_parent_publishes_beside_another_program
    a_fork_of_a_busy_program_hangs_nowhere
    a_fork_at_the_first_use_of_the_queue_hangs_nowhere
    a_fork_that_a_handler_returns_in_ends
}

fn a_fork_and_its_parent_publish_beside_each_other(place: &Sandbox) {
    let program = place.start(place.command(EMBEDDER, &["fork", "together"]));
    assert_eq!(program.end(), 0, "{}", place.log());
    the_child_has_published(place, 25);
    assert_eq!(lines(place).iter().filter(|line| line.starts_with("parent published ")).count(), 44);
    nothing_is_lost(place);
}

fn a_fork_that_outlives_its_parent_publishes_beside_another_program(place: &Sandbox) {
    let parent = place.start(place.command(EMBEDDER, &["fork", "orphan"]));
    let others: Vec<_> = (0..10).map(|_| place.run(WORKER, &["publish", "echo", "--payload", "x", "--json"])).collect();
    assert_eq!(parent.end(), 0, "{}", place.log());
    until("the child has ended", || place.record().contains("the child has ended"));
    the_child_has_published(place, 25);
    let mut known = place.record();
    for other in others {
        let said: serde_json::Value = serde_json::from_str(&other.out).expect("JSON");
        let id = said["ids"][0].as_str().or(said[0]["id"].as_str()).unwrap_or_else(|| panic!("{said}"));
        known.push_str(&format!("0 other published {id}\n"));
    }
    std::fs::write(place.path("record"), known).expect("written");
    nothing_is_lost(place);
}

fn a_fork_of_a_busy_program_hangs_nowhere(place: &Sandbox) {
    let program = place.start(place.command(EMBEDDER, &["fork-busy", "20"]));
    assert_eq!(program.end(), 0, "{}", place.log());
    nothing_is_lost(place);
}

/// What a program sets up once, it sets up then. `PULPO_FORKS` asks for more of them.
fn a_fork_at_the_first_use_of_the_queue_hangs_nowhere(place: &Sandbox) {
    let times = std::env::var("PULPO_FORKS").unwrap_or_else(|_| "24".to_owned());
    let program = place.start(place.command(EMBEDDER, &["fork-first", &times]));
    assert_eq!(program.end(), 0, "{}", place.log());
    nothing_is_lost(place);
}

fn a_fork_that_a_handler_returns_in_ends(place: &Sandbox) {
    let worker = place.start(place.command(EMBEDDER, &["work"]));
    for action in ["fork", "note after"] {
        assert_eq!(place.run(EMBEDDER, &["publish", action]).code, 0);
    }
    until("both jobs are done", || place.record().contains("note after") && place.record().contains("ended with"));
    worker.signal("TERM");
    assert_eq!(worker.end(), 0, "{}", place.log());
    let mut lines = lines(place);
    lines.sort();
    assert_eq!(lines, ["note after", "the child ended with 1", "the child returns"]);
    assert_eq!(place.run(WORKER, &["list"]).out, "no messages\n");
}

#[test]
fn a_fork_that_works_keeps_what_is_done_as_configured() {
    let place = Sandbox::with_postgres();
    let mut command = place.command(EMBEDDER, &["work-in-a-fork"]);
    command.env("PULPO_KEEP_DONE", "1h");
    assert_eq!(place.start(command).end(), 0, "{}", place.log());
    let done = place.run(WORKER, &["list", "--state", "done", "--json"]);
    let done: serde_json::Value = serde_json::from_str(&done.out).expect("JSON");
    assert_eq!(done.as_array().expect("a list").len(), 2, "by the child and by its parent: {done}");
}

#[test]
fn a_fork_works_at_a_server_on_connections_of_its_own() {
    let place = Sandbox::with_beanstalkd();
    let program = place.start(place.command(EMBEDDER, &["work-in-a-fork"]));
    assert_eq!(program.end(), 0, "{}", place.log());
    let lines = lines(&place);
    for line in ["the child has done 1", "the parent has done 1"] {
        assert!(lines.iter().any(|it| it == line), "{lines:?}");
    }
}

#[test]
fn a_fork_counts_in_its_own_metrics_and_its_parent_goes_on_with_its_own() {
    let place = Sandbox::with_beanstalkd();
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = place.command(EMBEDDER, &["count-in-a-fork", &address]);
    command.env("PULPO_LISTEN", &address);
    assert_eq!(place.start(command).end(), 0, "{}", place.log());
    let counted: Vec<_> = lines(&place).into_iter().filter(|line| line.contains(" counted ")).collect();
    assert_eq!(counted, ["child counted 1", "parent counted 3"]);
}
