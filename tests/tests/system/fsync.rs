//! Losses in a power cut, derived from the system calls: `publish`, `kick` and `delete` return only
//! after a sync of their writes.

use pulpo_tests::program::{CommandOutput, Sandbox};

const WORKER: &str = env!("CARGO_BIN_EXE_worker");

/// A system call that changes a file, syncs it to the disk, or writes to a stream.
#[derive(Debug)]
struct Call {
    name: String,
    /// The path of the file, or the kind of descriptor.
    file: String,
}

/// Runs a command and returns its calls on files.
fn calls(place: &Sandbox, arguments: &[&str]) -> Vec<Call> {
    let trace = place.path("trace");
    let path = trace.display().to_string();
    // `-y` prints the path of each file; `-s 0` leaves out the written data.
    let traced = ["-f", "-y", "-s", "0", "-e", "trace=write,pwrite64,fsync,fdatasync,msync", "-o", &path, WORKER];
    let CommandOutput { code, err, .. } = place.run("strace", &[&traced, arguments].concat());
    assert_eq!(code, 0, "strace is there and may trace: {err}");
    let trace = std::fs::read_to_string(&trace).expect("a trace");
    trace
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once(' ')?.1.trim_start().split_once('(')?;
            let file = rest.split_once('<')?.1.split_once('>')?.0;
            Some(Call { name: name.to_owned(), file: file.to_owned() })
        })
        .collect()
}

fn is_sync(call: &Call) -> bool {
    call.name == "fsync" || call.name == "fdatasync"
}

/// Returns the position of the call that reports success on standard output.
fn said(calls: &[Call], place: &Sandbox) -> usize {
    let of_queue = |call: &Call| call.file.starts_with(&place.path("pulpo-data").display().to_string());
    calls
        .iter()
        .position(|call| call.name == "write" && !of_queue(call) && call.file.contains("pipe"))
        .expect("it said so")
}

/// Asserts that each write into the log before the answer is followed by a sync of the log before
/// the answer.
#[track_caller]
fn assert_synced(calls: &[Call], place: &Sandbox) {
    let before = &calls[..said(calls, place)];
    let last = |wanted: &dyn Fn(&Call) -> bool| {
        before.iter().rposition(|call| call.file.ends_with("queue.db-wal") && wanted(call))
    };
    let written = last(&|call| !is_sync(call)).expect("it writes into the log");
    let synced = last(&is_sync).expect("it syncs the log");
    assert!(synced > written, "{before:#?}");
}

#[track_caller]
fn assert_folder_synced(calls: &[Call], place: &Sandbox) {
    let before = &calls[..said(calls, place)];
    let folder = std::fs::canonicalize(place.path("pulpo-data")).expect("a folder").display().to_string();
    let made = before.iter().position(|call| call.file.ends_with("queue.db-wal")).expect("it writes into the log");
    assert!(before[made..].iter().any(|call| is_sync(call) && call.file == folder), "{before:#?}");
}

#[test]
fn messages_are_synced_before_they_are_acknowledged() {
    let place = Sandbox::new();
    let first = calls(&place, &["publish", "echo", "--payload", "bad"]);
    assert_synced(&first, &place);
    assert_folder_synced(&first, &place);
    let parent = std::fs::canonicalize(place.folder()).expect("a folder").display().to_string();
    assert!(first.iter().any(|call| is_sync(call) && call.file == parent), "the folder itself was made: {first:#?}");

    let second = calls(&place, &["publish", "echo", "--payload", "bad"]);
    assert_synced(&second, &place);
    assert_folder_synced(&second, &place);
    let batch = calls(&place, &["publish", "echo", "--payload", "bad", "--count", "100"]);
    assert_synced(&batch, &place);
    let syncs = batch.iter().filter(|call| is_sync(call) && call.file.ends_with("-wal")).count();
    assert!(syncs <= 4, "a batch is one transaction, not {syncs}");

    let drained = place
        .command(WORKER, &["--set", "sleep_duration=100ms", "--log-level", "error"])
        .env("PULPO_SHUTDOWN_AFTER_NUMBER_OF_EMPTY_ITERATIONS", "1")
        .output();
    assert!(drained.expect("started").status.success());
    assert_synced(&calls(&place, &["kick", "1"]), &place);
    assert_synced(&calls(&place, &["delete", "1"]), &place);
}

#[test]
fn each_folder_made_for_a_queue_is_synced_with_the_one_above_it() {
    let place = Sandbox::new();
    std::fs::create_dir(place.path("a")).expect("made");
    let calls = calls(&place, &["publish", "echo", "--payload", "x", "--set", "queue=file:a/b/c/d"]);
    let before = &calls[..calls.iter().position(|call| call.file.ends_with("queue.db")).expect("it is made")];
    let root = std::fs::canonicalize(place.folder()).expect("a folder");
    for folder in ["", "a", "a/b", "a/b/c", "a/b/c/d"] {
        let path = root.join(folder).display().to_string();
        let path = path.trim_end_matches('/');
        assert!(before.iter().any(|call| is_sync(call) && call.file == path), "{folder:?} is not synced: {before:#?}");
    }
}
