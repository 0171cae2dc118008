//! Commands when there is no queue.

use std::collections::BTreeSet;
use std::path::Path;

use pulpo_tests::program::Sandbox;

use super::{WORKER, refused, well};

/// Every command that reads a queue or changes its messages.
const ALL: [&[&str]; 15] = [
    &["list"],
    &["list", "--json"],
    &["list", "--state", "buried", "--type", "echo"],
    &["stats"],
    &["stats", "--json"],
    &["stats", "--watch", "100ms"],
    &["peek", "1"],
    &["peek", "1", "--json"],
    &["backup", "copy.db"],
    &["purge", "--all", "--yes"],
    &["kick", "--all"],
    &["delete", "1"],
    &["edit", "1", "--priority", "3"],
    &["pause", "side"],
    &["resume", "side"],
];

/// Returns all files below a folder, with their sizes.
fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
        let size = entry.metadata().expect("there").len();
        found.insert(format!("{} {size}", entry.path().display()));
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        }
    }
    found
}

#[test]
fn inspecting_creates_nothing_where_there_is_no_queue() {
    let place = Sandbox::new();
    std::fs::create_dir(place.path("empty")).expect("made");
    std::fs::create_dir(place.path("begun")).expect("made");
    std::fs::write(place.path("begun/queue.db"), "").expect("written");
    std::fs::write(place.path("file"), "text").expect("written");
    let before = files(place.folder());
    for folder in ["nowhere", "a/b/c", "empty", "begun", "file"] {
        for command in ALL {
            let error = refused(&place, 1, &[command, &["--set", &format!("queue=file:{folder}")]].concat());
            assert!(
                error.starts_with("error: there is no queue at ") && error.contains(folder),
                "{command:?}: {error}"
            );
            assert!(error.contains("PULPO_QUEUE") && error.lines().count() == 1, "{command:?}: {error}");
            assert_eq!(files(place.folder()), before, "{command:?} in {folder}");
        }
    }
}

#[test]
fn a_folder_without_a_queue_is_named_as_such() {
    let place = Sandbox::new();
    for folder in ["text", "folder/queue.db", "other"] {
        std::fs::create_dir_all(place.path(folder)).expect("made");
    }
    std::fs::write(place.path("text/queue.db"), "not a database, though it is long enough").expect("written");
    let other = rusqlite::Connection::open(place.path("other/queue.db")).expect("opened");
    other.execute_batch("CREATE TABLE cookies(x)").expect("a table");
    drop(other);
    let before = files(place.folder());
    for (folder, what) in [
        ("text", "a file that is not an SQLite database"),
        ("folder", "a folder"),
        ("other", "the SQLite database of another program"),
    ] {
        let error = refused(&place, 1, &["list", "--set", &format!("queue=file:{folder}")]);
        assert!(error.contains(&format!(" is not a pulpo queue: {what}; ")), "{error}");
    }
    assert_eq!(files(place.folder()), before);
}

#[test]
fn a_queue_that_is_there_is_looked_at_without_a_new_file() {
    let place = Sandbox::new();
    well(&place, &["publish", "echo", "--payload", "x"]);
    let names = || -> BTreeSet<String> {
        files(place.folder()).iter().map(|file| file.split(' ').next().expect("a name").to_owned()).collect()
    };
    let before = names();
    for command in
        [&["list"][..], &["stats"], &["peek", "1"], &["pause", "side"], &["resume", "side"], &["kick", "--all"]]
    {
        well(&place, command);
        assert_eq!(names(), before, "{command:?}");
    }
}

#[test]
fn a_queue_inside_another_program_is_neither_looked_at_nor_filled_by_a_command() {
    let place = Sandbox::new();
    let inside = ["--set", "queue=memory:"];
    for command in ALL {
        let error = refused(&place, 1, &[command, &inside].concat());
        assert!(error.contains("`memory:` exists only within one program"), "{command:?}: {error}");
    }
    let error = refused(&place, 1, &[&["publish", "echo", "--payload", "x"][..], &inside].concat());
    assert!(error.starts_with("error: this queue cannot keep what a command publishes: "), "{error}");
    let work = ["work", "--set", "shutdown_after_number_of_empty_iterations=1", "--set", "sleep_duration=100ms"];
    assert_eq!(place.run(WORKER, &[&work[..], &inside].concat()).code, 0, "a worker has its own");
}

#[test]
fn looking_makes_nothing_at_a_server() {
    let place = Sandbox::with_beanstalkd();
    let server = place.server_address();
    let asked = |words: &str| -> Vec<String> {
        use std::io::{Read as _, Write as _};
        let mut socket = std::net::TcpStream::connect(&server).expect("the server");
        socket.write_all(format!("{words}\r\nquit\r\n").as_bytes()).expect("sent");
        let mut text = String::new();
        socket.read_to_string(&mut text).expect("an answer");
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    let jobs = || asked("stats").into_iter().find(|line| line.starts_with("total-jobs")).expect("a count");
    for command in [
        &["list"][..],
        &["list", "--queue", "side"],
        &["stats"],
        &["kick", "--all"],
        &["kick", "--queue", "side"],
        &["purge", "side", "--yes"],
        &["delete", "--type", "echo", "--yes"],
        &["resume", "side"],
    ] {
        well(&place, command);
        assert_eq!(asked("list-tubes")[2..], ["- default"], "{command:?}");
    }
    for command in [["peek", "1"], ["kick", "1"], ["delete", "1"], ["pause", "side"]] {
        assert_eq!(place.run(WORKER, &command).code, 1, "{command:?}");
        assert_eq!(asked("list-tubes")[2..], ["- default"], "{command:?}");
    }
    assert_eq!(jobs(), "total-jobs: 0");
}
