use std::sync::Arc;

use super::*;
use crate::clock::SystemClock;
use crate::queue::file::FileQueue;
use crate::queue::{DequeueFilter, Filter, Inspection as _, NewMessage, QueueAdapter as _, Settlement};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn existing_queue(path: &Path) -> Result<FileQueue, QueueError> {
    FileQueue::open_existing(path, false, Arc::new(SystemClock::new()))
}

/// Returns all names in the folder, at any depth.
fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        names.push(entry.file_name().to_string_lossy().into_owned());
        if entry.path().is_dir() {
            names.extend(self::names(&entry.path()));
        }
    }
    names.sort();
    names
}

#[test]
fn a_queue_that_is_not_there_is_not_made_by_looking_at_it() {
    let folder = folder();
    let places = ["missing", "a/b/c", "empty", "beginning", "empty_file", "file/below"];
    for made in ["empty", "beginning", "empty_file"] {
        fs::create_dir(folder.path().join(made)).expect("made");
    }
    fs::write(folder.path().join("file"), "").expect("made");
    fs::write(folder.path().join("empty_file/queue.db"), "").expect("made");
    // The remains of a process that was killed while it created a queue.
    let beginning = rusqlite::Connection::open(folder.path().join("beginning/queue.db")).expect("opened");
    beginning.pragma_update(None, "journal_mode", "wal").expect("set");
    drop(beginning);
    let before = names(folder.path());
    for place in places.map(|place| folder.path().join(place)) {
        let error = existing_queue(&place).expect_err("no queue");
        assert_eq!(
            error.to_string(),
            format!(
                "there is no queue at {}: check PULPO_QUEUE; the first publication or worker creates one",
                place.display()
            )
        );
        assert!(!error.is_transient());
    }
    assert_eq!(names(folder.path()), before);
}

#[test]
fn a_queue_that_is_there_is_looked_at_and_administered_without_a_new_file() {
    let folder = folder();
    let queue = FileQueue::open(folder.path(), false, Arc::new(SystemClock::new())).expect("made");
    let enqueued = queue.enqueue(vec![NewMessage::new("pulpo", "job", "{}"); 2]).expect("published");
    drop(queue);
    assert_eq!(names(folder.path()), ["queue.db"]);
    let queue = existing_queue(folder.path()).expect("there");
    assert_eq!(queue.list(&Filter::all()).expect("listed").len(), 2);
    assert_eq!(queue.stats().expect("counted").total(), 2);
    queue.pause("pulpo", std::time::Duration::from_secs(1)).expect("paused");
    assert_eq!(queue.kick(&Filter::all()).expect("none is buried"), 0);
    assert_eq!(queue.delete(&Filter::all().id(enqueued[0].id.clone())).expect("deleted"), 1);
    assert_eq!(names(folder.path()), ["queue.db", "queue.db-shm", "queue.db-wal"]);
    drop(queue);
    assert_eq!(names(folder.path()), ["queue.db"]);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "").expect("written");
    let error = crate::report::chain(&prepare(&file.join("queue")).expect_err("refused"));
    assert!(error.starts_with("cannot create the folder ") && error.contains("/file/queue: "), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_whose_name_is_not_utf_8_is_used_as_it_is() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = folder();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9");
    let base = folder.path().join(name);
    let queue = FileQueue::open(&base, false, Arc::new(SystemClock::new())).expect("made");
    queue.enqueue(vec![NewMessage::new("pulpo", "job", "{}")]).expect("published");
    let mut consumer = queue.consumer(&["pulpo".to_owned()]).expect("a consumer");
    let lease =
        consumer.dequeue(&DequeueFilter::all(), std::time::Duration::ZERO).expect("dequeue").expect("a message").lease;
    consumer.settle(&lease, &mut Settlement::commit()).expect("done");
    let copy = base.join(std::ffi::OsStr::from_bytes(b"\xff.db"));
    assert!(queue.backup(&copy).expect("copied") > 0);
    fs::create_dir(base.join("restored")).expect("made");
    fs::rename(&copy, base.join("restored/queue.db")).expect("moved");
    assert_eq!(existing_queue(&base.join("restored")).expect("there").stats().expect("counted").totals[0].published, 1);
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "no other folder was made");
    assert!(base.join("workers").is_dir());
}

#[cfg(unix)]
mod permissions {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().expect("there").permissions().mode() & 0o7777
    }

    #[test]
    fn created_files_are_for_their_user_alone() {
        let folder = folder();
        let base = folder.path().join("a/b");
        prepare(&base).expect("made");
        make_folder(&base.join("workers/running")).expect("made");
        let modes = ["", "queue.db", "workers", "workers/running"].map(|name| mode(&base.join(name)));
        assert_eq!(modes, [0o700, 0o600, 0o700, 0o700]);
    }

    #[test]
    fn files_created_in_a_setgid_folder_are_for_its_group_as_far_as_the_folder_is() {
        for (of_folder, of_file) in [(0o2770, 0o660), (0o2775, 0o660), (0o2750, 0o640), (0o2700, 0o600)] {
            let folder = folder();
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(of_folder)).expect("set");
            for base in [folder.path().to_owned(), folder.path().join("a/b")] {
                prepare(&base).expect("made");
                make_folder(&base.join("workers/running")).expect("made");
                open_or_make(&base.join("workers/running/1")).expect("made");
                assert_eq!(mode(&base.join("queue.db")), of_file, "in {of_folder:o}");
                assert_eq!(mode(&base.join("workers/running")), of_folder & 0o7770, "in {of_folder:o}");
                assert_eq!(mode(&base.join("workers/running/1")), of_file, "in {of_folder:o}");
            }
        }
    }
}
