//! A process that forks while it has an embedded queue open.

use pulpo_tests::program::{CommandOutput, Sandbox};
use pulpo_tests::wait::until;

const FORKING: &str = env!("CARGO_BIN_EXE_forking");
const WORKER: &str = env!("CARGO_BIN_EXE_worker");

fn told(place: &Sandbox) -> Vec<String> {
    let told = std::fs::read_to_string(place.path("child")).expect("the child told something");
    told.lines().map(str::to_owned).collect()
}

fn ids(place: &Sandbox) -> Vec<u64> {
    let said = place.run(WORKER, &["list", "--limit", "0", "--json", "--set", "queue=file:q"]);
    let list: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    let id = |message: &serde_json::Value| message["id"].as_str().expect("an id").parse().expect("a number");
    list.as_array().expect("a list").iter().map(id).collect()
}

#[track_caller]
fn assert_sound(place: &Sandbox) {
    let database = rusqlite::Connection::open(place.path("q/queue.db")).expect("opened");
    let check: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked");
    assert_eq!(check, "ok");
}

#[test]
fn a_fork_is_refused_whatever_it_asks_of_the_queue_of_its_parent() {
    let place = Sandbox::new();
    let CommandOutput { code, err, .. } = place.run(FORKING, &["asks", "q"]);
    assert_eq!((code, err.as_str()), (0, ""), "{:?}", told(&place));
    let mut told = told(&place);
    assert_eq!(told.pop().as_deref(), Some("1"), "a queue of its own in memory");
    assert_eq!(told.len(), 16);
    for line in told {
        assert!(
            line.starts_with("cannot use q") && line.contains(" in a fork: this process was forked from "),
            "{line}"
        );
        assert!(line.contains("fork before the first use of the queue"), "{line}");
    }
    // The queue has the message that the parent published later, and nothing from the child.
    assert_eq!(ids(&place), [2]);
    assert!(!place.path("copy.db").exists());
    assert_sound(&place);
}

#[test]
fn a_fork_of_a_busy_process_hangs_at_no_lock() {
    let place = Sandbox::new();
    let running = place.start(place.command(FORKING, &["threads", "q"]));
    assert_eq!(running.end(), 0, "{}", place.log());
    assert!(told(&place).iter().all(|line| line.starts_with("cannot use q")), "{:?}", told(&place));
    assert_sound(&place);
}

#[test]
fn a_fork_that_outlives_its_parent_takes_nothing_from_other_programs() {
    let place = Sandbox::new();
    let parent = place.start(place.command(FORKING, &["orphan", "q"]));
    assert_eq!(parent.end(), 0);
    // Each of the programs restarts the log, which the child has mapped into memory.
    for _ in 0..20 {
        let said = place.run(WORKER, &["publish", "echo", "--payload", "x", "--set", "queue=file:q"]);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
    }
    let mut ids = ids(&place);
    ids.sort_unstable();
    assert!(ids.into_iter().eq(1..=21));
    std::fs::write(place.path("go"), "").expect("written");
    until("the child has ended well", || place.path("child").exists());
    assert_eq!(told(&place), ["it ended well"]);
    assert_sound(&place);
}

#[test]
fn a_fork_may_open_a_queue_that_its_parent_has_closed() {
    let place = Sandbox::new();
    let CommandOutput { code, err, .. } = place.run(FORKING, &["closed", "q"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(told(&place), ["2"]);
    assert_sound(&place);
}
