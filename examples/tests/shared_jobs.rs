//! The producer and the worker of the shared jobs, each in its own process.

use std::path::Path;
use std::process::Command;

fn run(program: &str, folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("PULPO_SLEEP_DURATION", "1s")
        .env("PULPO_SHUTDOWN_AFTER_NUMBER_OF_EMPTY_ITERATIONS", "1")
        .output()
        .expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_worker_runs_the_jobs_of_the_producer() {
    let folder = tempfile::tempdir().expect("a folder");
    let (producer, worker) = (env!("CARGO_BIN_EXE_pictures_producer"), env!("CARGO_BIN_EXE_pictures_worker"));
    assert_eq!(run(worker, folder.path(), &["check"]), "2 handlers, nothing is wrong\n");
    let told = run(producer, folder.path(), &["a.jpg", "b.jpg"]);
    assert_eq!(told, "a.jpg: message 1\nb.jpg: message 2\n");
    let told = run(worker, folder.path(), &[]);
    let mut lines: Vec<_> = told.lines().map(|line| line.split(", number").next().unwrap_or_default()).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["2 pictures were asked for", "a.jpg is 320 wide", "b.jpg is 320 wide"]);
}
