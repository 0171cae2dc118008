use super::*;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("queue.db"), "").expect("a file");
    folder
}

fn registered(folder: &tempfile::TempDir) -> ProcessLock {
    let us = ProcessLock::new(new_id().expect("an id"), Some(folder.path()));
    us.register();
    assert!(us.is_visible());
    us
}

fn dead_ids(folder: &tempfile::TempDir) -> Vec<String> {
    let other = ProcessLock::new(new_id().expect("an id"), Some(folder.path()));
    dead_processes(folder.path(), &other).into_iter().map(|dead| dead.id).collect()
}

/// Returns the record of this process as another one sees it.
fn record(folder: &tempfile::TempDir, of: &ProcessLock) -> RunRecord {
    let other = ProcessLock::new(new_id().expect("an id"), Some(folder.path()));
    RunRecord::of(&other, Some(folder.path()), of.id())
}

const FIRST: Run = Run { message: 7, lease: 1 };
const SECOND: Run = Run { message: 8, lease: 1 };

#[test]
fn only_files_of_ours_are_taken_for_dead_processes() {
    let folder = folder();
    let workers = folder.path().join(FOLDER);
    let us = registered(&folder);
    let dead_id = "00000000000000ff";
    // The last one has the name of a process, but not the content.
    let foreign = [
        "README",
        ".gitkeep",
        "00000000000000FF",
        "00000000000000ff.bak",
        "0123456789abcdeg",
        "ff",
        "0123456789abcdef",
    ];
    for name in foreign {
        fs::write(workers.join(name), "kept").expect("written");
    }
    fs::write(workers.join(dead_id), "").expect("written");
    // Something with a name like ours that is not a file.
    fs::create_dir(workers.join("0000000000000001")).expect("made");
    #[cfg(unix)]
    std::os::unix::fs::symlink(workers.join("README"), workers.join("0000000000000002")).expect("made");
    let found = dead_processes(folder.path(), &us);
    assert_eq!(found.iter().map(|dead| dead.id.as_str()).collect::<Vec<_>>(), [dead_id]);
    found.into_iter().for_each(DeadProcess::remove_files);
    assert!(!workers.join(dead_id).exists());
    for name in foreign {
        assert_eq!(fs::read_to_string(workers.join(name)).expect("still there"), "kept");
    }
}

#[test]
fn a_process_that_cannot_write_down_what_it_runs_still_lives() {
    let folder = folder();
    let us = registered(&folder);
    let slot = us.new_slot();
    us.write_slot(slot, Some(FIRST));
    assert!(record(&folder, &us).counts(FIRST) && !record(&folder, &us).counts(SECOND));
    // A full disk, or a failing one.
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("there");
    us.record.write().expect("no panic").as_mut().expect("a record").file = full;
    us.write_slot(slot, Some(SECOND));
    assert!(!us.is_visible(), "nothing is to be leased ahead");
    assert_eq!(dead_ids(&folder), [""; 0]);
    // Without a record of the runs, all count.
    assert!(record(&folder, &us).counts(FIRST) && record(&folder, &us).counts(SECOND));
    // It is written once that is possible again.
    us.renew();
    assert!(us.is_visible());
    assert!(!record(&folder, &us).counts(FIRST) && record(&folder, &us).counts(SECOND));
    let id = us.id().to_owned();
    drop(us);
    assert_eq!(dead_ids(&folder), [id], "the lock ends with the process");
}

#[test]
fn a_process_shows_itself_again_where_its_files_were_taken_away() {
    let folder = folder();
    let us = registered(&folder);
    let slots = [us.new_slot(), us.new_slot()];
    us.write_slot(slots[1], Some(SECOND));
    fs::rename(folder.path().join(FOLDER), folder.path().join("old")).expect("moved");
    us.renew();
    assert!(us.is_visible() && record(&folder, &us).counts(SECOND) && !record(&folder, &us).counts(FIRST));
    assert_eq!(dead_ids(&folder), [""; 0]);
    // Only the lock, only the record, only the folder of the records.
    let workers = folder.path().join(FOLDER);
    for taken in [us.id().to_owned(), format!("{RUNNING}/{}", us.id()), RUNNING.to_owned()] {
        fs::rename(workers.join(&taken), folder.path().join("taken")).expect("moved");
        us.renew();
        us.write_slot(slots[0], Some(FIRST));
        assert!(record(&folder, &us).counts(FIRST) && record(&folder, &us).counts(SECOND), "{taken}");
        us.write_slot(slots[0], None);
        assert!(!record(&folder, &us).counts(FIRST), "{taken}");
        let taken = folder.path().join("taken");
        if taken.is_dir() { fs::remove_dir_all(taken) } else { fs::remove_file(taken) }.expect("removed");
    }
    assert!(workers.join(us.id()).exists());
    // A deleted queue is not created again.
    fs::remove_file(folder.path().join("queue.db")).expect("there");
    fs::remove_dir_all(folder.path().join(FOLDER)).expect("there");
    us.renew();
    assert!(!folder.path().join(FOLDER).exists());
}

#[test]
fn a_process_without_leases_leaves_nothing_behind() {
    let folder = folder();
    let us = registered(&folder);
    let slot = us.new_slot();
    us.write_slot(slot, Some(FIRST));
    us.unregister();
    assert!(folder.path().join(FOLDER).join(us.id()).exists(), "it may run still");
    us.free_slot(slot);
    us.unregister();
    let left = fs::read_dir(folder.path().join(FOLDER)).expect("a folder").flatten().map(|entry| entry.file_name());
    assert_eq!(left.collect::<Vec<_>>(), [RUNNING]);
    assert_eq!(fs::read_dir(folder.path().join(FOLDER).join(RUNNING)).expect("a folder").count(), 0);
}

#[test]
fn only_proof_of_a_death_counts_as_one() {
    let folder = folder();
    let (us, other) = (registered(&folder), registered(&folder));
    let lives = |id: &str| lives(Some(folder.path()), &us, id);
    assert!(lives(other.id()));
    assert!(!lives("00000000000000ff"), "there is no such file");
    // A file that cannot be opened tells nothing.
    fs::create_dir(folder.path().join(FOLDER).join("00000000000000fe")).expect("made");
    assert!(lives("00000000000000fe"));
    let id = other.id().to_owned();
    drop(other);
    assert!(!lives(&id), "its lock is free");
}
