use super::*;

#[test]
fn only_files_of_ours_are_taken_for_dead_processes() {
    let folder = tempfile::tempdir().expect("a folder");
    let workers = folder.path().join(FOLDER);
    let us = Owner::new(new_id().expect("an id"), Some(folder.path()));
    us.appear();
    let dead_id = "00000000000000ff";
    let foreign = ["README", ".gitkeep", "00000000000000FF", "00000000000000ff.bak", "0123456789abcdeg", "ff"];
    for name in foreign.iter().chain([&dead_id]) {
        fs::write(workers.join(name), "kept").expect("written");
    }
    // What has a name like ours, and is no file.
    fs::create_dir(workers.join("0000000000000001")).expect("made");
    #[cfg(unix)]
    std::os::unix::fs::symlink(workers.join("README"), workers.join("0000000000000002")).expect("made");
    let found = dead(folder.path(), &us);
    assert_eq!(found.iter().map(|dead| dead.id.as_str()).collect::<Vec<_>>(), [dead_id]);
    found.into_iter().for_each(Dead::bury);
    assert!(!workers.join(dead_id).exists());
    for name in foreign {
        assert_eq!(fs::read_to_string(workers.join(name)).expect("still there"), "kept");
    }
}
