//! A change of the current folder does not move the queue.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::until;

const EMBEDDER: &str = env!("CARGO_BIN_EXE_embedder");
const WORKER: &str = env!("CARGO_BIN_EXE_worker");

/// The ways to configure a folder by a relative path.
const RELATIVE: [&[(&str, &str)]; 4] = [
    &[],
    &[("PULPO_QUEUE", "file:pulpo-data")],
    &[("PULPO_QUEUE", "file:elsewhere/../pulpo-data")],
    &[("PULPO_FILE_QUEUE_ADAPTER__BASE_PATH", "./pulpo-data")],
];

#[test]
fn a_worker_whose_handler_changes_the_folder_works_on() {
    for variables in RELATIVE {
        let place = Sandbox::new();
        std::fs::create_dir(place.path("elsewhere")).expect("made");
        let mut command = place.command(EMBEDDER, &["work"]);
        command.envs(variables.iter().copied());
        let worker = place.start(command);
        let publish = |action: &str| {
            let said = place.to_end(place.command(EMBEDDER, &["publish", action]).envs(variables.iter().copied()));
            assert_eq!(said.code, 0, "{}", said.err);
        };
        publish("chdir elsewhere");
        until("the handler has changed the folder", || place.record().contains("chdir elsewhere"));
        publish("note after");
        until("the job after it is done", || place.record().contains("note after"));
        worker.signal("TERM");
        assert_eq!(worker.end(), 0, "{}", place.log());
        assert!(!place.path("elsewhere/pulpo-data").exists());
    }
}

#[test]
fn a_producer_that_changes_the_folder_publishes_where_it_began() {
    for variables in RELATIVE {
        let place = Sandbox::new();
        std::fs::create_dir(place.path("elsewhere")).expect("made");
        let mut command = place.command(EMBEDDER, &["wander", "elsewhere"]);
        let said = place.to_end(command.envs(variables.iter().copied()));
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(!place.path("elsewhere/pulpo-data").exists());
        let said = place.to_end(place.command(WORKER, &["list", "--json"]).envs(variables.iter().copied()));
        // One before and one after the change.
        assert_eq!(said.out.matches("\"id\": ").count(), 2, "{}", said.out);
    }
}

#[test]
fn a_folder_that_is_not_text_is_used_as_it_is() {
    let place = Sandbox::new();
    let name = OsString::from_vec(b"queue-\xff".to_vec());
    let mut value = OsString::from("file:");
    value.push(&name);
    let said = place.to_end(place.command(EMBEDDER, &["publish", "note x"]).env("PULPO_QUEUE", &value));
    assert_eq!(said.code, 0, "{}", said.err);
    let made: Vec<_> =
        std::fs::read_dir(place.folder()).expect("a folder").map(|it| it.expect("one").file_name()).collect();
    assert_eq!(made, [name]);
    assert!(place.folder().join(&made[0]).join("queue.db").exists());
}

#[test]
fn a_relative_folder_without_a_current_one_is_reported() {
    let place = Sandbox::new();
    std::fs::create_dir(place.path("gone")).expect("made");
    let run = |queue: &str| {
        let script = format!("rmdir ../gone; PULPO_QUEUE={queue} exec {EMBEDDER} publish 'note x'");
        let said = place.to_end(place.command("sh", &["-c", &script]).current_dir(place.path("gone")));
        std::fs::create_dir(place.path("gone")).expect("made again");
        said
    };
    let said = run("file:pulpo-data");
    assert_eq!(said.code, 1);
    // As `main` prints an error, with its `Debug`.
    assert!(said.err.contains("NoFolder { path: \"pulpo-data\""), "{}", said.err);
    assert_eq!(run(&format!("file:{}", place.path("pulpo-data").display())).code, 0);
}
